"""The kernels for CPUs: the same numbers as torch's, kept where nobody else can put code, made again when damaged."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.torch import backend
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.fused_block import FusedBlock
from trickster_engine.backends.torch.fused_head import FusedHead
from trickster_engine.backends.torch.kernels.library import Kernels, NoKernelsError, load_kernels
from trickster_engine.backends.torch.kernels_check import require_agreement
from trickster_engine.backends.torch.muon import BatchedMuon
from trickster_engine.config import preset_plan
from trickster_engine.config.plan import ModelConfig
from trickster_engine.model.llama import Block, Llama, run_block, run_norm

pytestmark = pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="no g++ on Linux")

T = TypeVar("T")
SHAPES: dict[str, dict[str, Any]] = {
    "whole tiles": {},
    "grouped-query, padded": {"num_kv_heads": 2, "max_seq_len": 100, "hidden_dim": 96, "num_heads": 4, "mlp_dim": 100},
    "shorter than a tile": {"num_kv_heads": 4, "max_seq_len": 7, "hidden_dim": 80, "num_heads": 8, "mlp_dim": 37},
    "wide heads, several blocks": {"max_seq_len": 150, "hidden_dim": 144, "num_heads": 2, "num_kv_heads": 1},
}


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return load_kernels(lambda _: None, with_fp64=True)


def model_of(shape: dict[str, Any], dtype: torch.dtype = torch.float32) -> tuple[ModelConfig, Llama]:
    config = replace(preset_plan("pico").model, **{"num_layers": 2, "num_kv_heads": 4} | shape)
    model = Llama(config).initialize(0).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # no weight that is all ones, or so small that its part does not show
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return config, model.train()


def gradients(model: Llama, kernels: Kernels | None, tokens: Tensor, bf16: bool = False) -> dict[str, Tensor]:
    """The loss and the gradient of every weight, with the kernels or without."""
    head = FusedHead(kernels) if kernels else None
    model.model.run_block = FusedBlock(kernels) if kernels else run_block
    model.model.run_norm = head.norm if head else run_norm
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(tokens[:, :-1])
    if head:
        loss = head.cross_entropy(logits, tokens[:, 1:])
    else:
        logits = logits if logits.dtype == torch.float64 else logits.float()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    torch.autograd.backward(loss / 3)  # as of one of three micro-batches
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    return {"loss": loss.detach()} | found


@pytest.mark.parametrize("target", [-1, 5, 1 << 40])
def test_a_target_beyond_the_vocabulary_is_refused_as_by_torch(kernels: Kernels, target: int) -> None:
    logits, targets = torch.randn(1, 2, 5), torch.tensor([[1, target]])
    for loss in (FusedHead(kernels).cross_entropy, lambda x, y: nn.functional.cross_entropy(x[0], y[0])):
        with pytest.raises(IndexError, match=f"Target {target} is out of bounds"):
            loss(logits, targets)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("kind", "near"), [("fp64", 1e-12), ("fp32", 2e-5), ("bf16", 0.04)])
def test_losses_and_gradients_are_those_of_torch(
    kernels: Kernels, shape: dict[str, Any], kind: str, near: float
) -> None:
    config, model = model_of(shape, torch.float64 if kind == "fp64" else torch.float32)
    tokens = torch.randint(0, 256, (3, config.max_seq_len + 1), generator=torch.Generator().manual_seed(2))
    plain = gradients(model, None, tokens, kind == "bf16")
    fused = gradients(model, kernels, tokens, kind == "bf16")
    assert plain.keys() == fused.keys()
    for name, wanted in plain.items():
        strayed = torch.linalg.vector_norm(fused[name] - wanted) / torch.linalg.vector_norm(wanted)
        assert strayed <= near, name


def test_an_evaluation_on_them_is_that_of_torch(kernels: Kernels) -> None:
    """Without dropout, and only for its time: what looks into the model afterwards finds its modules called."""
    plan = preset_plan("pico")
    plan = replace(plan, model=replace(plan.model, num_layers=2, dropout=0.5))
    tokens = torch.randint(256, (3, 4, 65), generator=torch.Generator().manual_seed(2)).numpy()
    batches = [(piece[:, :-1], piece[:, 1:]) for piece in tokens]
    losses, called = {}, 0

    def count(*_: object) -> None:
        nonlocal called
        called += 1

    for compiled in (False, True):
        one = TorchBackend(plan, "cpu", "fp32", compiled)
        for block in one.model.model.layers:
            block.register_forward_hook(count)
        losses[compiled] = one.evaluate(batches)
        assert called == 3 * 2, "torch's blocks, and no others, were called in the first evaluation alone"

        def stopped() -> Iterator[tuple[Any, Any]]:
            yield batches[0]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            one.evaluate(stopped())
        assert one.model.model.run_block_in_evaluation is run_block
        one.close()
        called -= 0 if compiled else 2
    assert losses[True] == pytest.approx(losses[False], rel=1e-6)


def test_gradients_with_dropout_are_the_slopes_of_what_was_computed(kernels: Kernels) -> None:
    """Numerical differentiation of the forward pass is the truth here: torch would drop other elements."""
    _, model = model_of({"max_seq_len": 5, "hidden_dim": 16, "num_heads": 2, "num_kv_heads": 1, "mlp_dim": 6})
    model = model.double()
    block, rotary = model.model.layers[0], model.model.rotary
    assert isinstance(block, Block)
    block.dropout = 0.4
    fused = FusedBlock(kernels)

    def same_draws(x: Tensor, *_: Tensor) -> Tensor:
        torch.manual_seed(3)
        return fused(block, x, rotary)

    x = torch.randn(2, 5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    assert torch.autograd.gradcheck(same_draws, (x, *block.parameters()))


def test_dropout_drops_its_share_and_not_the_same_twice(kernels: Kernels) -> None:
    rows, width, p = 512, 256, 0.3
    ones = torch.ones(rows, width)
    kept = []
    for seed in (5, 6):
        out = torch.empty_like(ones)
        kernels("add_backward", torch.float32, rows, width, ones, p, seed, out)
        assert torch.all((out == 0) | torch.isclose(out, torch.tensor(1 / (1 - p))))
        kept.append(out > 0)
    deviation = (p * (1 - p) / ones.numel()) ** 0.5
    for mask in kept:
        assert abs(mask.float().mean() - (1 - p)) < 5 * deviation
        # Neither rows, nor columns, nor neighbours, nor seeds depend on each other.
        for mean, count in ((mask.float().mean(0), rows), (mask.float().mean(1), width)):
            assert (mean - (1 - p)).abs().max() < 5 * (p * (1 - p) / count) ** 0.5
    pairs = [(kept[0], kept[1]), (kept[0][1:], kept[0][:-1]), (kept[0][:, 1:], kept[0][:, :-1])]
    for one, other in pairs:
        assert abs((one & other).float().mean() - (1 - p) ** 2) < 5 * deviation


@pytest.mark.parametrize("shape", [(16, 128, 128), (12, 384, 128), (5, 40, 100), (2, 3, 7)])
def test_muon_orthogonalises_as_torch_does(kernels: Kernels, shape: tuple[int, int, int]) -> None:
    """In fp64, against the singular value decomposition as well: singular vectors stay, values come near 1."""
    count, rows, columns = shape
    gradients = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    moved = []
    for dtype, near in ((torch.float64, 1e-10), (torch.float32, 1e-4), (torch.bfloat16, 0.06)):
        kept = torch.float64 if dtype == torch.float64 else torch.float32
        both = []
        for used in (None, kernels):
            matrices = [nn.Parameter(torch.zeros(rows, columns, dtype=kept)) for _ in range(count)]
            for matrix, gradient in zip(matrices, gradients, strict=True):
                matrix.grad = gradient.to(kept)
            BatchedMuon(matrices, lr=0.05, dtype=dtype, kernels=used).step()
            both.append(torch.stack([matrix.detach() for matrix in matrices]))
        assert torch.linalg.vector_norm(both[1] - both[0]) < near * torch.linalg.vector_norm(both[0])
        moved.append(both[1])
    left, _, right = torch.linalg.svd(gradients, full_matrices=False)
    exact = moved[0] / -(0.05 * max(1, rows / columns) ** 0.5)
    inner = left.mT @ exact @ right.mT
    values = inner.diagonal(dim1=1, dim2=2)
    assert torch.linalg.vector_norm(inner - torch.diag_embed(values)) < 1e-9 * torch.linalg.vector_norm(inner)
    assert 0.3 < values.median() < 1.3


def test_what_is_not_a_number_is_seen(kernels: Kernels) -> None:
    for place in ("model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.k_proj.weight"):
        _, model = model_of({"max_seq_len": 16})
        with torch.no_grad():
            model.get_parameter(place)[0, 0] = torch.nan
        tokens = torch.randint(0, 256, (2, 17), generator=torch.Generator().manual_seed(2))
        assert gradients(model, kernels, tokens, bf16=True)["loss"].isnan()


@pytest.mark.parametrize("broken_in", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("broken", ["swiglu_backward", "attention", "muon"])
def test_a_wrong_kernel_is_not_trained_with(kernels: Kernels, broken: str, broken_in: torch.dtype) -> None:
    def wrong(name: str, dtype: torch.dtype, *arguments: Tensor | int | float | None) -> None:
        kernels(name, dtype, *arguments)
        if name == broken and dtype == broken_in:
            if name == "muon":
                table = arguments[1]
                assert isinstance(table, Tensor)
                ctypes.memset(int(table[0, 0]), 0, 4 * int(table[0, 3]) * int(table[0, 4]))
                return
            made = arguments[-2 if name == "attention" else -1]
            assert isinstance(made, Tensor)
            made.view(-1)[: made.numel() // 2] += 1

    _, model = model_of({})
    formats = (torch.float32, torch.bfloat16)
    require_agreement(kernels, model, formats)
    with pytest.raises(NoKernelsError, match="compute something else"):
        require_agreement(wrong, model, formats)  # type: ignore[arg-type]


def test_a_process_without_kernels_keeps_nobody_waiting(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that train together agree on the same things in the same order, whichever of them has a compiler."""

    def none(_: object) -> Kernels:
        raise NoKernelsError("no compiler")

    class Asked(ProcessGroup):
        def __init__(self) -> None:
            super().__init__()
            self.values: list[object] = []

        def broadcast(self, value: T) -> T:
            self.values.append(value)
            return value

    groups = Asked(), Asked()
    for group, load in zip(groups, (lambda _: kernels, none), strict=True):
        monkeypatch.setattr(backend, "load_kernels", load)
        TorchBackend(preset_plan("sim"), "cpu", None, True, group=group).close()
    assert len(groups[0].values) == len(groups[1].values) > 0


def test_kernels_are_compiled_once_and_again_when_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path / "cache"))
    reports: list[str] = []
    load_kernels(reports.append)
    load_kernels(reports.append)
    assert len(reports) == 1
    folder = tmp_path / "cache" / "kernels"
    (library,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    content = library.read_bytes()
    library.unlink()  # what is loaded stays whole
    library.write_bytes(content[:1000])  # the system's loader is killed by such a file
    load_kernels(reports.append)
    assert len(reports) == 2
    assert library.read_bytes() == content
    assert list(folder.iterdir()) == [library]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_strangers_kernels_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path))
    folder = tmp_path / "kernels"
    folder.mkdir()
    if sys.platform != "win32":
        os.chown(folder, 12345, 12345)
    with pytest.raises(NoKernelsError, match="another user"):
        load_kernels(lambda _: None)
    plan = preset_plan("pico")
    plan = replace(plan, training=replace(plan.training, precision="fp32"))
    backend = TorchBackend(plan, "cpu")  # trains all the same
    assert not backend.compiled
    assert backend.model.model.run_block is run_block
