"""One update of the torch backend: a textbook's numbers bit for bit, read from the device once and late."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.refusals import refused
from trickster_engine.backends.base import Batch, NonFiniteError
from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.torch import cuda
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.cuda import OPTIONS_VARIABLE, CudaOptions, cuda_options, use_repeatable_kernels
from trickster_engine.backends.torch.ddp import DataParallelBackend
from trickster_engine.backends.torch.evaluation_batches import EVALUATION_BYTES, merged, rows_at_once
from trickster_engine.backends.torch.fsdp import ShardedBackend
from trickster_engine.backends.torch.losses import summed_cross_entropy, training_loss
from trickster_engine.backends.torch.process_group import MEETING_FILE_VARIABLE, torch_process_group
from trickster_engine.config import preset_plan
from trickster_engine.config.plan import Plan
from trickster_engine.data.batches import validation_windows
from trickster_engine.model.llama import Llama

SHARES, ROWS, LENGTH = 3, 4, 32


def plan(optimizer: str = "adamw", **model: Any) -> Plan:
    base = preset_plan("pico")
    shape = {"hidden_dim": 32, "mlp_dim": 64, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "dropout": 0.1}
    training: dict[str, Any] = {"optimizer": optimizer, "precision": "fp32", "compile": "never", "batch_size": ROWS}
    return replace(
        base,
        model=replace(base.model, max_seq_len=LENGTH, **{**shape, **model}),
        training=replace(base.training, gradient_accumulation_steps=SHARES, **training),
    )


def batches(seed: int, count: int = SHARES, rows: int = ROWS) -> list[Batch]:
    random = np.random.default_rng(seed)
    return [(random.integers(0, 256, (rows, LENGTH)), random.integers(0, 256, (rows, LENGTH))) for _ in range(count)]


def textbook(wanted: Plan, steps: int) -> Iterator[tuple[float, float, dict[str, torch.Tensor]]]:
    """Losses, gradient norms and weights of updates as they stand in books, every number read where it arises."""
    training = wanted.training
    torch.manual_seed(training.seed)
    model = Llama(wanted.model).initialize(training.seed).train()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    scales = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": scales, "weight_decay": 0.0}]
    betas = (training.beta1, training.beta2)
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate, betas=betas, fused=True)
    for step in range(steps):
        loss = 0.0
        for x, y in batches(step):
            part = training_loss(model(torch.from_numpy(x)), torch.from_numpy(y), training) / SHARES
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.grad_clip).item()
        optimizer.step()
        optimizer.zero_grad()
        yield loss, norm, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("early", [False, True], ids=["read first", "updated first, as on a GPU"])
def test_an_update_is_the_textbooks_bit_for_bit(early: bool) -> None:
    expected = list(textbook(plan(), 4))  # first, since dropout of both draws from one generator
    backend = TorchBackend(plan(), "cpu")
    assert not backend._updates_early and not torch.are_deterministic_algorithms_enabled()
    backend._updates_early = early
    for step, (loss, norm, weights) in enumerate(expected):
        result = backend.step(batches(step), 1.0)
        assert (result.loss, result.grad_norm) == (loss, norm)
        assert all(torch.equal(weights[name], value) for name, value in backend.model.state_dict().items())
    # Evaluations sum in the order in which the batches come, as if each had been read at once.
    given = batches(9, count=5)
    with torch.no_grad():
        parts = [summed_cross_entropy(backend.model.eval()(torch.from_numpy(x)), torch.from_numpy(y)) for x, y in given]
    total = 0.0
    for part in parts:
        total += part.item()
    assert backend.evaluate(given) == total / sum(y.size for _, y in given)


class Readings(TorchFunctionMode):
    """Counts where a number is brought from a tensor in single precision to Python: there a GPU would be waited for.

    What processes say to each other is in double precision and lies on the host anyway.
    """

    WAITING = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.WAITING and args[0].dtype in (torch.float32, torch.bfloat16):
            self.count += 1
        return func(*args, **(kwargs or {}))


class InsideReadings(TorchDispatchMode):
    """The same for what torch's own code reads, in optimizers and in clipping: item() and what comes down to it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
            self.count += args[0].dtype != torch.float64
        return func(*args, **(kwargs or {}))


@contextmanager
def group_of_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessGroup]:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", MEETING_FILE_VARIABLE: str(path)}.items():
        monkeypatch.setenv(name, value)
    try:
        with torch_process_group("cpu") as group:
            yield group
    finally:
        if torch.distributed.is_initialized():  # after a test that failed, too
            torch.distributed.destroy_process_group()


Open = Callable[[Plan, ProcessGroup], TorchBackend]


@pytest.mark.parametrize(
    ("opened", "optimizer"),
    [
        (lambda wanted, group: TorchBackend(wanted, "cpu", group=group), "adamw"),
        (lambda wanted, group: TorchBackend(wanted, "cpu", group=group), "muon"),
        (lambda wanted, group: DataParallelBackend(wanted, "cpu", None, group), "muon"),
        (lambda wanted, group: ShardedBackend(wanted, "cpu", None, group), "adamw"),
    ],
    ids=["alone", "muon", "DDP", "FSDP"],
)
def test_an_update_and_an_evaluation_wait_for_the_device_once(
    opened: Open, optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(optimizer, dropout=0.0)  # both would draw from one generator
    with group_of_one(tmp_path / "meeting", monkeypatch) as group:
        backend = opened(wanted, group)
        plain = TorchBackend(wanted, "cpu")
        assert backend.step(batches(0), 1.0).loss == plain.step(batches(0), 1.0).loss
        for work in (lambda: backend.step(batches(1), 1.0), lambda: backend.evaluate(batches(2, count=6))):
            with Readings() as readings:
                work()
            with InsideReadings() as inside:
                work()
            assert readings.count <= 1 and inside.count <= 1


def test_a_number_that_is_not_finite_leaves_everything_as_it_was_when_the_update_starts_first() -> None:
    backend = TorchBackend(plan(), "cpu")
    backend._updates_early = True
    backend.step(batches(0), 1.0)
    with torch.no_grad():
        backend.model.model.norm.weight[0] = math.inf
    before = {name: value.copy() for name, value in {**backend.weights(), **backend.optimizer_state()}.items()}
    with pytest.raises(NonFiniteError):
        backend.step(batches(1), 1.0)
    after = {**backend.weights(), **backend.optimizer_state()}
    assert before.keys() == after.keys() and any(name.startswith("step/") for name in before)
    assert all(np.array_equal(value, after[name]) for name, value in before.items())


def test_only_torchs_fused_adamw_starts_before_the_loss_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TorchBackend(plan(), "cpu")._optimizers.can_decide_on_the_device
    assert not TorchBackend(plan("muon"), "cpu")._optimizers.can_decide_on_the_device
    with group_of_one(tmp_path / "meeting", monkeypatch) as group:
        assert not ShardedBackend(plan(), "cpu", None, group)._optimizers.can_decide_on_the_device


def test_larger_evaluation_batches_hold_the_same_rows() -> None:
    tokens = np.random.default_rng(0).integers(0, 256, 1000)
    small, large = list(validation_windows(tokens, LENGTH, 3)), list(merged(validation_windows(tokens, LENGTH, 3), 8))
    assert [len(x) for x, _ in large[:-2]] == [6] * (len(large) - 2)  # as many whole batches as fit
    assert large[-1][0].shape[1] < LENGTH, "the short rest stays by itself"
    for part in (0, 1):
        first, second = (np.concatenate([batch[part].ravel() for batch in given]) for given in (small, large))
        assert np.array_equal(first, second)
    backend = TorchBackend(plan(), "cpu")
    assert backend.evaluate(large) == pytest.approx(backend.evaluate(small), rel=1e-6)
    model = preset_plan("mega").model
    logits_and_block = 4 * model.max_seq_len * (6 * model.hidden_dim + 3 * model.mlp_dim + 3 * model.vocab_size)
    assert rows_at_once(model) == max(1, EVALUATION_BYTES // logits_and_block)
    assert rows_at_once(replace(model, vocab_size=10**9)) == 1


def test_options_for_gpus_are_read_by_name_and_change_nothing_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_options() == CudaOptions()
    monkeypatch.setenv(OPTIONS_VARIABLE, "graphs,-repeatable,-early_update")
    assert cuda_options() == CudaOptions(repeatable=False, graphs=True, early_update=False)
    results = TorchBackend(plan(), "cpu").step(batches(0), 1.0)
    monkeypatch.delenv(OPTIONS_VARIABLE)
    assert TorchBackend(plan(), "cpu").step(batches(0), 1.0) == results
    monkeypatch.setenv(OPTIONS_VARIABLE, "graph")
    with refused("bad-environment", naming="'graph'"):
        cuda_options()


def test_kernels_that_repeat_are_asked_for_and_given_back() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in cuda._WORKSPACES, "cuBLAS reads it when it starts"
    before = TorchBackend(plan("muon"), "cpu").step(batches(0), 1.0)
    give_back = use_repeatable_kernels()
    try:
        # Strictly: with `warn_only`, torch's flash attention would stay as it is.
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        backend = TorchBackend(plan("muon"), "cpu")
        assert backend.step(batches(0), 1.0) == before, "no operation of an update lacks such a kernel on a CPU"
        backend.evaluate(batches(1))
    finally:
        give_back()
    assert not torch.are_deterministic_algorithms_enabled()
