"""What each layer does is measured without touching training, as transformers measures it, and names planted faults."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import LlamaForCausalLM

from tests.engine.conftest import dialogue, trickster
from tests.engine.training.reading import of_kind
from tests.engine.training.stopping import stopped_after
from tests.refusals import refused
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config import check
from trickster_engine.data.batches import evenly_spaced_windows
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.data.prepare import prepare
from trickster_engine.model.huggingface import write_model
from trickster_engine.runs import RunDirectory, pieces
from trickster_engine.runs.diagnosis import FAULTS, diagnose
from trickster_engine.runs.event_types import Event
from trickster_engine.training.faults import FAR_TOO_HIGH
from trickster_engine.training.start import resume, start

Config = Callable[..., Path]


def train(path: Path, fault: str = "") -> RunDirectory:
    text = path.read_text(encoding="utf-8")
    plan = check(text, path.parent).plan
    assert plan is not None
    return start(path, text, plan, show_progress=False, fault=fault)[0]


def events(run: RunDirectory) -> list[Event]:
    return [event for piece in pieces(run.events_path) for event in piece.events]


def findings(run: RunDirectory) -> list[str]:
    return [finding.code for finding in diagnose(run.plan(), events(run))]


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_each_planted_fault_is_named_and_no_other(fault: str, tiny_config: Config, corpus: Path) -> None:
    corpus.write_text(dialogue(20_000), encoding="utf-8")
    changes = {
        "max_steps": 160, "warmup_steps": 10, "eval_interval": 40, "log_interval": 10, "save_interval": 160,
        "batch_size": 16, "optimizer": "adamw", "learning_rate": FAR_TOO_HIGH if fault == "rate-too-high" else 0.003,
    }  # fmt: skip
    path = tiny_config(training_config=changes, model_config={"num_layers": 3, "dropout": 0.0})
    run = train(path, fault)
    assert findings(run) == [FAULTS[fault]] if fault else findings(run) == []
    # A run of the lesson keeps what is wrong to itself: the reader is to find it.
    assert of_kind(events(run), "warning") == []
    if fault:
        with refused("broken-on-purpose"):
            resume(run)


def test_a_rate_near_zero_freezes_nothing_and_a_first_update_is_no_fault(tiny_config: Config, tmp_path: Path) -> None:
    path = tiny_config(training_config={"optimizer": "adamw", "warmup_steps": 0})
    plan = check(path.read_text(encoding="utf-8"), tmp_path).plan
    assert plan is not None
    one = torch.ones(32, requires_grad=True)
    small = torch.full((32,), 0.02, requires_grad=True)
    ratios = {}
    for rate in (1e-8, 1e-3):
        for weight in (one, small):
            weight.grad, before = torch.ones(32), weight.detach().clone()
            torch.optim.AdamW([weight], lr=rate, weight_decay=0).step()
            ratios[rate, weight is one] = float((weight.detach() - before).norm() / before.norm())
    assert ratios[1e-8, True] == 0 < ratios[1e-8, False]  # what fp32 does to a norm's weights at the end of a schedule

    def told(step: int, ratio: float, output: float, loss: float) -> list[str]:
        shared = {"t": 0.0, "step": step}
        moved = {"embedding": ratio, "0": ratio, "output": output}
        layers: Any = {
            "kind": "layers", **shared, "update_ratio": moved, "changed_by_future": 0.0, "order": {},
            "dead_neurons": {}, "attention_entropy": {}, "effective_rank": {}, "activation_rms": {},
        }  # fmt: skip
        evaluated: Any = {"kind": "eval", **shared, "train_loss": loss, "val_loss": loss}
        return [finding.code for finding in diagnose(plan, [evaluated, layers])]

    assert told(500, ratios[1e-8, False], 0.0, 1.0) == []
    assert told(500, ratios[1e-3, False], 0.0, 1.0) == ["layer-frozen"]
    uniform = math.log(plan.model.vocab_size)
    assert told(1, ratios[1e-3, False], 0.001, uniform) == []  # it has not had the time
    assert told(50, ratios[1e-3, False], 0.001, uniform) == ["rate-too-high"]


def test_training_is_the_same_bit_for_bit_with_and_without(tiny_config: Config) -> None:
    def weights(run: RunDirectory) -> dict[str, np.ndarray]:
        return dict(load_file(run.path / "checkpoints/step-000012/model.safetensors"))

    settings = {"optimizer": "adamw", "log_interval": 1}
    measured, plain = (
        train(tiny_config(training_config={**settings, "layer_statistics": wanted})) for wanted in (True, False)
    )
    with stopped_after(7):
        broken = train(tiny_config(training_config=settings))
    resume(broken, show_progress=False)
    assert len(of_kind(events(measured), "layers")) == 4 and of_kind(events(plain), "layers") == []
    for other in (plain, broken):
        for kind in ("loss", "grad_norm"):
            ours, theirs = ({e["step"]: e[kind] for e in of_kind(events(run), "step")} for run in (measured, other))
            assert ours == theirs and len(ours) == 12
        ours, theirs = weights(measured), weights(other)
        assert all(np.array_equal(array, theirs[name]) for name, array in ours.items())
    final = of_kind(events(broken), "layers")[-1]
    assert {**of_kind(events(measured), "layers")[-1], "t": 0} == {**final, "t": 0}


def test_figures_are_those_of_transformers_and_of_the_update_itself(tiny_config: Config, tmp_path: Path) -> None:
    shape = {"dropout": 0.0, "num_kv_heads": 1}
    path = tiny_config(training_config={"optimizer": "adamw", "grad_clip": 0}, model_config=shape)
    plan = check(path.read_text(encoding="utf-8"), tmp_path).plan
    assert plan is not None
    dataset = prepare(plan, tmp_path)
    backend = TorchBackend(plan, "cpu", "fp32", compiled=False)
    batch = evenly_spaced_windows(dataset.train, 32, 4)
    for _ in range(20):  # away from its initialisation, where all attention is even
        backend.step([batch], 1.0)
    before = {name: array.copy() for name, array in backend.weights().items()}
    assert backend.layer_watch is not None
    backend.layer_watch.watch_next_update()
    norm = backend.step([batch], 1.0).grad_norm
    after = backend.weights()
    found = backend.layer_watch.measure(batch, batch)

    def length(arrays: dict[str, np.ndarray], layer: str) -> float:
        return math.sqrt(sum(float(np.square(a.astype(float)).sum()) for name, a in arrays.items() if layer in name))

    moved = {name: after[name] - before[name] for name in before}
    assert found.grad_norm is not None and found.update_ratio is not None
    assert math.hypot(*found.grad_norm.values()) == pytest.approx(norm, rel=1e-5)
    for key, part in {"embedding": "embed_tokens", "0": ".0.", "1": ".1.", "output": "model.norm"}.items():
        assert found.update_ratio[key] == pytest.approx(length(moved, part) / length(before, part), rel=1e-4)
        assert found.weight_norm[key] == pytest.approx(length(dict(after), part), rel=1e-5)

    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model", plan.model, after)
    byte_tokenizer().save(tmp_path / "model")
    folder = str(tmp_path / "model")
    reference = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    neurons: list[torch.Tensor] = []
    last: list[torch.Tensor] = []  # the last block's output, which transformers keeps only after the norm
    reference.model.norm.register_forward_pre_hook(lambda _, inputs: last.append(inputs[0]))
    for layer in reference.model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, inputs: neurons.append(inputs[0]))
    with torch.no_grad():
        out = reference(torch.from_numpy(batch[0]), output_attentions=True, output_hidden_states=True)
    greatest = np.log(np.arange(1, 33))[1:]
    for number, weights in enumerate(out.attentions):
        attention = weights.double().numpy()
        entropy = -(attention * np.log(np.where(attention > 0, attention, 1))).sum(-1)[..., 1:]
        assert found.attention_entropy[str(number)] == pytest.approx((entropy / greatest).mean(), rel=1e-4)
        states = (last[0] if number == 1 else out.hidden_states[number + 1]).double().numpy()
        assert found.activation_rms[str(number)] == pytest.approx(math.sqrt((states**2).mean()), rel=1e-4)
        rows = states.reshape(-1, states.shape[-1])
        singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
        shares = singular / singular.sum()
        assert found.effective_rank[str(number)] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
        active = neurons[number].reshape(-1, plan.model.mlp_dim).double().numpy()
        dead = (np.abs(active).max(0) < 0.01 * math.sqrt((active**2).mean())).mean()
        assert found.dead_neurons[str(number)] == pytest.approx(dead)
    assert found.changed_by_future == 0


def test_a_broken_run_of_the_lesson_is_diagnosed(tmp_path: Path, corpus: Path) -> None:
    small = {
        "data_config.corpus": corpus.name, "model_config.hidden_dim": 32, "model_config.num_heads": 2,
        "model_config.num_layers": 2, "model_config.mlp_dim": 64, "max_steps": 10, "eval_interval": 5,
        "warmup_steps": 2, "sampling_config.max_new_tokens": 2,
    }  # fmt: skip
    sets = [word for key, value in small.items() for word in ("--set", f"{key}={value}")]
    made = trickster("break", "no-causal-mask", *sets, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "mask" not in made.stdout.lower()  # the reader is to find it
    told = trickster("diagnose", "broken-001", "--json", cwd=tmp_path)
    assert [one["code"] for one in json.loads(told.stdout)["findings"]] == ["sees-the-future"]
    assert json.loads((tmp_path / "runs/broken-001/run.json").read_text())["data"]["fault"] == "no-causal-mask"
