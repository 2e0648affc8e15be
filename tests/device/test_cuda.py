"""Training and sampling on one GPU: the CPU's numbers within rounding, resumed bit for bit, within the memory promised.

TRICKSTER_DEVICE=cpu runs the same on a CPU with tiny sizes, so that a GPU's minutes are not spent on slips.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.device.place import DEVICE, MISSING, ON_GPU, plan_of
from tests.engine.conftest import trickster
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_resume import Config, begin, same_checkpoint
from trickster_engine.backends.base import Batch, NonFiniteError
from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.select import open_backend
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.cuda import OPTIONS_VARIABLE
from trickster_engine.backends.torch.ddp import DataParallelBackend
from trickster_engine.backends.torch.fsdp import ShardedBackend
from trickster_engine.backends.torch.process_group import MEETING_FILE_VARIABLE, torch_process_group
from trickster_engine.config.plan import Plan
from trickster_engine.estimates.memory import training_memory
from trickster_engine.inference.batched_decoding import Batch as TextBatch
from trickster_engine.inference.sampling import SamplingOptions, generate

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(MISSING, reason="no CUDA device here; TRICKSTER_DEVICE=cpu runs the same code on a CPU"),
]

Record = Callable[[str, object], None]
#: Of a loss: what is left of a number in bf16 after some updates, and of one in fp32.
TOLERANCE = {"bf16": 2e-2, "fp32": 1e-3}


def batches(plan: Plan, step: int) -> list[Batch]:
    random = np.random.default_rng(step)
    shape = (plan.training.batch_size, plan.model.max_seq_len)
    # Text with something to learn: each byte is the one before it, or the next.
    starts = random.integers(0, 200, (plan.training.gradient_accumulation_steps, shape[0], 1))
    steps = random.integers(0, 2, (plan.training.gradient_accumulation_steps, shape[0], shape[1] + 1)).cumsum(axis=2)
    tokens = (starts + steps) % plan.model.vocab_size
    return [(part[:, :-1].copy(), part[:, 1:].copy()) for part in tokens]


@contextmanager
def opened(plan: Plan, device: str = DEVICE, **settled: object) -> Iterator[TorchBackend]:
    torch._dynamo.reset()  # it gives up compiling after a few variants of one function
    backend = TorchBackend(plan, device, **settled)  # type: ignore[arg-type]
    try:
        yield backend
    finally:
        backend.close()


def losses(backend: TorchBackend, plan: Plan, steps: int = 12) -> list[float]:
    return [backend.step(batches(plan, step), 1.0).loss for step in range(steps)]


def small(**training: object) -> Plan:
    """Half a nano without chance and in smaller batches, which a CPU does beside a GPU."""
    settings = {"batch_size": 2, "compile": "never", "learning_rate": 1e-3, **training}
    shape = {"dropout": 0.0, "num_kv_heads": 4, "num_layers": 3, "max_seq_len": 256}
    return plan_of("nano", shape, **settings)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_losses_are_the_cpus_within_rounding(precision: str, optimizer: str, record_property: Record) -> None:
    plan = small(precision=precision, optimizer=optimizer)
    with opened(replace(plan, training=replace(plan.training, precision="fp32")), "cpu") as backend:
        expected = losses(backend, plan)
        validation = backend.evaluate(batches(plan, 99))
        weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
        weights = {name: value.copy() for name, value in weights.items()}
        with opened(plan) as other:
            found = losses(other, plan)
            record_property("largest difference", max(abs(a - b) for a, b in zip(found, expected, strict=True)))
            assert found == pytest.approx(expected, rel=TOLERANCE[precision])
            assert found[-1] < found[0] - 0.1, "it learns"
            other.load(weights, state, random)  # a CPU's checkpoint goes on here
            assert other.evaluate(batches(plan, 99)) == pytest.approx(validation, rel=1e-4), "evaluated in fp32"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("optimizer", "compile_", "options"),
    [
        ("adamw", "never", ""),
        ("muon", "never", ""),
        ("adamw", "always", ""),
        ("adamw", "never", "graphs"),
        ("adamw", "always", "whole_model,graphs"),
    ],
)
def test_a_run_resumed_in_another_process_is_the_same_run_bit_for_bit(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, optimizer: str, compile_: str, options: str
) -> None:
    if not ON_GPU and compile_ == "always" and not options:
        pytest.skip("tests/engine/training/test_compile.py does it on a CPU")
    monkeypatch.setenv(OPTIONS_VARIABLE, options)
    length = 256 if ON_GPU else 32  # several blocks of keys, whose gradients attention adds up
    path = tiny_config(
        model_config={"hidden_dim": 128, "num_heads": 4, "num_kv_heads": 2, "mlp_dim": 256, "max_seq_len": length},
        training_config={
            "optimizer": optimizer, "compile": compile_, "precision": "bf16" if ON_GPU else "fp32",
            "batch_size": 8 if ON_GPU else 2, "gradient_accumulation_steps": 2,
        },
        device_config={"device_type": DEVICE},
    )  # fmt: skip
    straight, outcome = begin(path)
    assert outcome == "finished"
    with stopped_after(5):
        broken, outcome = begin(path)
    assert outcome == "stopped"
    told = trickster("resume", broken.path)
    assert told.returncode == 0, told.stderr
    same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")


@pytest.mark.parametrize("kind", [DataParallelBackend, ShardedBackend])
def test_one_process_of_a_group_learns_what_one_alone_learns(
    kind: Callable[[Plan, str, str, ProcessGroup], TorchBackend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = {MEETING_FILE_VARIABLE: str(tmp_path / "meeting")}
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", **meeting}.items():
        monkeypatch.setenv(name, value)
    plan = small(precision="fp32")
    with opened(plan) as backend:
        expected = losses(backend, plan)
    with torch_process_group(DEVICE) as group:
        several = kind(plan, DEVICE, "fp32", group)
        found = losses(several, plan)
        weights = {name: np.array(value) for name, value in several.weights().items()}
        several.close()
    assert found == pytest.approx(expected, rel=1e-4)
    assert all(np.isfinite(value).all() for value in weights.values())


@pytest.mark.parametrize("options", ["", "whole_model", "graphs", "whole_model,graphs"])
def test_compiled_or_recorded_it_learns_the_same(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = small(precision="bf16" if ON_GPU else "fp32")
    with opened(plan) as backend:
        expected = losses(backend, plan)
    monkeypatch.setenv(OPTIONS_VARIABLE, options)
    wanted = options != "graphs" and (ON_GPU or "whole_model" in options)
    with opened(plan, compiled=wanted) as backend:
        assert backend.compiled is wanted, backend.notices()
        assert (backend._recorded is not None) is (ON_GPU and "graphs" in options)
        assert losses(backend, plan) == pytest.approx(expected, rel=TOLERANCE["bf16"] if ON_GPU else 1e-4)


def test_a_loss_that_is_not_finite_changes_no_weight() -> None:
    plan = small(precision="fp32")
    with opened(plan) as backend:
        assert backend._updates_early is ON_GPU
        losses(backend, plan, 2)
        with torch.no_grad():
            backend.model.model.norm.weight[0] = float("inf")
        before = {name: value.copy() for name, value in {**backend.weights(), **backend.optimizer_state()}.items()}
        with pytest.raises(NonFiniteError):
            backend.step(batches(plan, 3), 1.0)
        after = {**backend.weights(), **backend.optimizer_state()}
        assert all(np.array_equal(value, after[name]) for name, value in before.items())


def test_the_cache_gives_the_tokens_of_the_whole_window(record_property: Record) -> None:
    plan = small(precision="fp32")
    with opened(plan) as backend:
        losses(backend, plan)
        model, length = backend.sampling_model(), plan.model.max_seq_len
        prompts = [[5, 6, 7, 8], [90, 91, 91, 92]]
        options = SamplingOptions(max_new_tokens=length, temperature=0.0)
        logits: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        texts = {
            cached: torch.stack(list(generate(model, prompts, options, use_cache=cached, watch=logits[cached].append)))
            for cached in (True, False)
        }
        strayed = max((a - b).abs().max().item() for a, b in zip(logits[True], logits[False], strict=True))
        record_property("largest difference of logits", strayed)
        assert strayed < 2e-3
        assert torch.equal(texts[True], texts[False])
        drawn = [list(generate(model, prompts[:1], SamplingOptions(max_new_tokens=20))) for _ in range(2)]
        assert torch.equal(torch.stack(drawn[0]), torch.stack(drawn[1])), "the seed decides"


@torch.no_grad()
def test_texts_side_by_side_get_the_logits_of_each_alone(record_property: Record) -> None:
    """As `trickster serve` writes them: of different lengths, and after one has left."""
    plan = small(precision="fp32")
    with opened(plan) as backend:
        with torch.enable_grad():
            losses(backend, plan, 4)
        model = backend.sampling_model()
        side_by_side = TextBatch(model, 3)
        texts, strayed = [[5, 6, 7, 8], [90], list(range(40, 59))], 0.0
        for text in texts:
            side_by_side.read(side_by_side.join(), text[:-1])
        for turn in range(10):
            if turn == 5:
                side_by_side.leave(0)
                texts = [texts[2], texts[1]]
            logits = side_by_side.step([text[-1] for text in texts])
            for row, text in enumerate(texts):
                alone = model(torch.tensor([text], device=model.device))[0, -1].float().cpu()
                strayed = max(strayed, float((logits[row] - alone).abs().max()))
                text.append(int(alone.argmax()))
        record_property("largest difference of logits", strayed)
        assert strayed < 2e-3


@pytest.mark.parametrize(("preset", "layers"), [("nano-11m", 6), ("midi", 12), ("mega", 4)])
def test_memory_is_what_was_estimated(preset: str, layers: int, record_property: Record) -> None:
    plan = plan_of(preset, {"num_layers": layers}, precision="bf16", compile="never", gradient_accumulation_steps=2)
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
    with opened(plan) as backend:
        losses(backend, plan, 3)
    if not ON_GPU:
        pytest.skip("a CPU has no such count: it trained, and tests/engine/estimates compares its memory")
    peak = torch.cuda.max_memory_allocated() - held
    estimate = training_memory(plan, "bf16")
    record_property("peak", peak)
    record_property("estimate", estimate.as_json())
    assert estimate.device == pytest.approx(peak, rel=0.15)


def test_the_device_is_opened_as_a_run_opens_it() -> None:
    backend = open_backend(plan_of("nano"))
    try:
        assert (backend.device == "cpu") is not ON_GPU
        assert torch.are_deterministic_algorithms_enabled() is ON_GPU
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    finally:
        backend.close()
    assert not torch.are_deterministic_algorithms_enabled()
