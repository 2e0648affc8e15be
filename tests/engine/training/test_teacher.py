"""`training_config.distill_from`: learning from another model's probabilities. torch's own functions are the judge."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from tests.engine.conftest import trickster
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_processes import same_curve, several
from tests.engine.training.test_resume import begin, same_checkpoint
from tests.engine.training.test_starting_weights import byte_bpe, save_llama
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.losses import training_loss
from trickster_engine.bench.updates import Updates
from trickster_engine.config import ModelConfig, Plan, TrainingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory
from trickster_engine.training.start import resume

Config = Callable[..., Path]
TEACHER = "training_config.distill_from"


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_has_the_gradient_of_cross_entropy_and_divergence(weight: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits, teachers = (torch.randn((2, 5, 7), generator=generator, dtype=torch.double) for _ in range(2))
    targets = torch.randint(0, 7, (2, 5), generator=generator)
    taught = teachers.softmax(-1)
    ours, theirs = logits.float().requires_grad_(), logits.clone().requires_grad_()
    loss = training_loss(ours, targets, TrainingConfig(distill_weight=weight), taught.float())
    loss.backward()
    divergence = F.kl_div(
        theirs.flatten(0, 1).log_softmax(-1),
        teachers.flatten(0, 1).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    wanted = (1 - weight) * F.cross_entropy(theirs.flatten(0, 1), targets.flatten()) + weight * divergence
    wanted.backward()
    entropy = -(taught * taught.log()).sum(-1).mean()  # of the teacher: it has no slope
    assert loss.item() == pytest.approx((wanted + weight * entropy).item(), rel=1e-5)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad.double(), theirs.grad, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_learns_what_its_teacher_says_and_the_teacher_learns_nothing(compiled: bool) -> None:
    """With all the weight on the teacher, a text of noise teaches nothing: the student comes to agree with it."""
    model = ModelConfig(
        hidden_dim=32, num_layers=2, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16, dropout=0.1
    )
    training = TrainingConfig(
        batch_size=8, learning_rate=3e-3, warmup_steps=0, precision="fp32", distill_from="m", distill_weight=1.0
    )
    teacher = Llama(replace(model, dropout=0.0, num_layers=1)).initialize(5)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(3)
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    backend = TorchBackend(Plan(model=model, training=training), "cpu", compiled=compiled, teachers=[teacher])
    noise = np.random.default_rng(1)

    def apart() -> float:
        tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 16)))
        with torch.no_grad():
            ours, theirs = (one(tokens).flatten(0, 1).log_softmax(-1) for one in (backend.model.eval(), teacher))
        return F.kl_div(ours, theirs, reduction="batchmean", log_target=True).item()

    apart_before = apart()
    for _ in range(120):
        tokens = noise.integers(0, 256, (8, 17))
        backend.step([(tokens[:, :-1], tokens[:, 1:])], 1.0)
    assert apart() < 0.8 * apart_before
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())


def test_a_teacher_reads_the_text_where_the_model_reads_other_tokens() -> None:
    training = TrainingConfig(batch_size=2, precision="fp32", distill_from="m")
    model = replace(ModelConfig(), hidden_dim=32, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16)
    backend = TorchBackend(Plan(model=model, training=training), "cpu", teachers=[Llama(model).initialize(5)])
    text = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 17)))
    inputs, targets = text[:, :-1], text[:, 1:]
    noisy = inputs.clone()
    noisy[:, 4:9] = 7
    clean, other = backend._taught(inputs, targets), backend._taught(noisy, targets)
    assert clean is not None and other is not None and torch.equal(clean, other)
    (teacher,) = backend._teachers
    assert torch.equal(clean, teacher(inputs).detach().softmax(-1))


def test_several_teachers_teach_the_mean_of_their_probabilities() -> None:
    training = TrainingConfig(batch_size=2, precision="fp32", distill_from=("a", "b", "c"))
    model = replace(ModelConfig(), hidden_dim=32, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16)
    teachers = [Llama(replace(model, num_layers=layers)).initialize(layers) for layers in (1, 2, 3)]
    backend = TorchBackend(Plan(model=model, training=training), "cpu", teachers=teachers)
    text = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 17)))
    said = backend._taught(text[:, :-1], text[:, 1:])
    with torch.no_grad():
        apart = [F.softmax(teacher(text[:, :-1]).double(), -1) for teacher in teachers]
    assert said is not None and torch.allclose(said.double(), sum(apart[1:], apart[0]) / 3, atol=1e-7)
    assert not torch.allclose(said.double(), apart[0], atol=1e-3)


def test_a_teacher_without_weight_changes_nothing(tiny_config: Config) -> None:
    """The run that it teaches is, to rounding, the run that has none; with weight it is another."""
    alone, _ = begin(tiny_config(**several(1)))
    ignored, _ = begin(tiny_config(**several(1, training_config=taught(alone, 0.0))))
    heard, _ = begin(tiny_config(**several(1, training_config=taught(alone, 0.5))))
    same_curve(alone, ignored, 1e-5)
    with pytest.raises(AssertionError):
        same_curve(alone, heard, 1e-5)
    # Timing a config times its teacher; a race to a loss would leave out the teacher's own training.
    plan = heard.plan()
    assert plan is not None and len(Updates(plan, "cpu").backend._teachers) == 1
    masked = Updates(replace(plan, data=replace(plan.data, documents="lines", mask_documents=True)), "cpu").backend
    assert masked.model.model.document_end is not None and len(masked._teachers) == 1
    assert masked._teachers[0].model.document_end == masked.model.model.document_end
    raced = trickster("bench", tiny_config(training_config=taught(alone, 0.5)), "--until", "1")
    assert raced.returncode != 0 and "teacher" in raced.stderr


@pytest.mark.parametrize(("optimizer", "several_teachers"), [("adamw", False), ("muon", True)])
def test_a_taught_run_goes_on_bit_for_bit_when_its_teacher_has_gone(
    tiny_config: Config, optimizer: str, several_teachers: bool
) -> None:
    teacher, _ = begin(tiny_config())
    first = taught(teacher, 0.5)
    training = {**first, "optimizer": optimizer, "replace_inputs": 0.1}
    if several_teachers:
        training["r_drop"] = 1.0
        other, _ = begin(tiny_config(training_config={"seed": 3}))
        training["distill_from"] = [first["distill_from"], f"runs/{other.id}"]
    path = tiny_config(training_config=training)
    straight, outcome = begin(path)
    copies = sorted(folder.name for folder in straight.path.glob("teacher*"))
    assert copies == (["teacher", "teacher-2"] if several_teachers else ["teacher"])
    card = (straight.path / "final" / "README.md").read_text("utf-8")
    names = [teacher.id, other.id] if several_teachers else [teacher.id]
    assert f"12 steps, taught by {' and '.join(f'`runs/{name}`' for name in names)} beside the text" in card
    assert outcome == "finished"
    with stopped_after(4):
        broken, _ = begin(path)
    shutil.rmtree(teacher.path)
    assert resume(broken, show_progress=False) == "finished"
    same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")
    with pytest.raises(TricksterError, match="teacher"):
        resume(straight, {TEACHER: "null", "training_config.max_steps": "14"}, show_progress=False)
    file = straight.path / copies[-1] / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(TricksterError, match="damaged"):
        resume(straight, {"training_config.max_steps": "14"}, show_progress=False)


def test_a_teacher_of_other_tokens_is_refused_and_leaves_nothing(tiny_config: Config, tmp_path: Path) -> None:
    save_llama(tmp_path / "model", {}, torch.float32)
    path = tiny_config(training_config={"distill_from": "model"})
    with pytest.raises(TricksterError) as missing:  # nothing says what its tokens are
        begin(path)
    assert missing.value.code == "tokenizer-missing"
    byte_bpe(tmp_path / "model")  # 320 tokens for a model of 256
    with pytest.raises(TricksterError) as another:
        begin(path)
    assert another.value.code == "teacher-tokenizer"
    assert not list((tmp_path / "runs").iterdir())
    good, _ = begin(tiny_config())
    with pytest.raises(TricksterError, match="another tokenizer"):  # with the copy of the first already made
        begin(tiny_config(training_config={"distill_from": [f"runs/{good.id}", "model"]}))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [good.id]


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_processes_are_taught_as_one_is(tiny_config: Config, sharding: str) -> None:
    teacher, _ = begin(tiny_config(**several(1)))
    training = {**taught(teacher, 0.5), "optimizer": "adamw"}
    one, _ = begin(tiny_config(**several(1, training_config=training)))
    changes = several(2, training_config=training)
    device = {**changes["device_config"], "sharding": sharding}
    two, outcome = begin(tiny_config(**{**changes, "device_config": device}))
    assert outcome == "finished"
    same_curve(one, two, 1e-4)


def taught(teacher: RunDirectory, weight: float) -> dict[str, object]:
    return {"distill_from": f"runs/{teacher.id}", "distill_weight": weight}
