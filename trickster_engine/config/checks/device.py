"""Rules about where training runs: several devices, and what a Tenstorrent board asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from trickster_engine.config.checks.model import (
    DEVICE,
    DIM,
    HEADS,
    LENGTH,
    MLP,
    VOCABULARY,
    head_fixes,
    multiples_around,
    nearest_numbers,
)
from trickster_engine.config.checks.training import BATCH, R_DROP
from trickster_engine.config.problems import Problem, Severity
from trickster_engine.config.settings import Settings, rule

MESH = "device_config.mesh_shape"
DDP = "device_config.enable_ddp"
LOSS = "training_config.loss"
PRECISION = "training_config.precision"
OPTIMIZER = "training_config.optimizer"
SHARDING = "device_config.sharding"
RECOMPUTING = "training_config.activation_checkpointing"
NORM_EPS = "model_config.norm_eps"

TILE = 32  # a Tenstorrent core computes on tiles of 32 x 32 numbers
WIDEST_HEAD = 256  # the widest head that the rotary and attention kernels take
BOARD_NORM_EPS = 1e-5  # a constant of ttml's norm


def devices(settings: Settings) -> int:
    """Return how many devices the mesh has."""
    rows, columns = cast("tuple[int, int]", settings.value(MESH))
    return rows * columns


def shown_mesh(settings: Settings) -> str:
    """Return the mesh as it is written."""
    rows, columns = cast("tuple[int, int]", settings.value(MESH))
    return f"[{rows}, {columns}]"


def _on_board(settings: Settings) -> bool:
    return settings.text(DEVICE) == "tt"


@rule(MESH, DDP)
def _mesh_needs_ddp(settings: Settings) -> Iterator[Problem]:
    count = devices(settings)
    if count > 1 and not settings.truth(DDP):
        message = (
            f"mesh_shape {shown_mesh(settings)} names {count} devices, but enable_ddp is false, so only one would be "
            "used. Set enable_ddp: true, or name one device."
        )
        fixes = (settings.write(DDP, True, preferred=True), settings.write(MESH, (1, 1)))
        yield settings.problem("mesh-without-ddp", "error", message, MESH, DDP, fixes=fixes)


@rule(MESH, DDP)
def _ddp_needs_mesh(settings: Settings) -> Iterator[Problem]:
    if settings.truth(DDP) and devices(settings) == 1:
        message = "enable_ddp is true, but mesh_shape [1, 1] is a single device."
        fixes = (settings.write(DDP, False), settings.write(MESH, (1, 2), why="two devices"))
        yield settings.problem("ddp-on-one-device", "warning", message, DDP, MESH, fixes=fixes)


@rule(MESH, DDP, BATCH)
def _batch_is_shared_out(settings: Settings) -> Iterator[Problem]:
    count, batch = devices(settings), settings.integer(BATCH)
    if settings.truth(DDP) and count > 1 and batch % count:
        message = (
            f"batch_size {batch} cannot be divided evenly among {count} devices (mesh_shape {shown_mesh(settings)}). "
            "It is the total over all of them."
        )
        fixes = [settings.write(BATCH, size) for size in nearest_numbers(batch, multiples_around(batch, count))]
        yield settings.problem("batch-divides-devices", "error", message, BATCH, MESH, fixes=tuple(fixes))


@rule(MESH, DEVICE)
def _one_row(settings: Settings) -> Iterator[Problem]:
    rows, columns = cast("tuple[int, int]", settings.value(MESH))
    if rows > 1:
        severity_reason = (
            "A Tenstorrent mesh with more than one row opens and then hangs in the second step."
            if _on_board(settings)
            else "Data-parallel training needs a line of devices."
        )
        message = f"mesh_shape {shown_mesh(settings)} has {rows} rows. {severity_reason} Write [1, {rows * columns}]."
        fixes = (settings.write(MESH, (1, rows * columns), preferred=True),)
        yield settings.problem("mesh-one-row", "error", message, MESH, DEVICE, fixes=fixes)


@rule(MESH, DEVICE)
def _device_comes_in_numbers(settings: Settings) -> Iterator[Problem]:
    device, count = settings.text(DEVICE), devices(settings)
    if device == "mps" and count > 1:
        message = f"device_type {device} is a single device, but mesh_shape {shown_mesh(settings)} names {count}."
        fixes = (settings.write(MESH, (1, 1), preferred=True),)
        yield settings.problem("mesh-of-one-device", "error", message, MESH, DEVICE, fixes=fixes)


@rule(SHARDING, MESH, DDP, DEVICE)
def _sharding_needs_devices(settings: Settings) -> Iterator[Problem]:
    if settings.text(SHARDING) == "full" and devices(settings) == 1 and not _on_board(settings):
        message = "sharding is full, but mesh_shape [1, 1] is a single device, which has the whole model."
        fixes = (settings.write(SHARDING, "none"), settings.write(MESH, (1, 2), why="two devices"))
        yield settings.problem("sharding-on-one-device", "warning", message, SHARDING, MESH, fixes=fixes)


@rule(SHARDING, OPTIMIZER)
def _sharding_needs_adamw(settings: Settings) -> Iterator[Problem]:
    if settings.text(SHARDING) == "full" and settings.text(OPTIMIZER) == "muon":
        message = (
            "optimizer muon needs whole matrices, and with sharding full no device has one. Use adamw, or sharding "
            "none, with the whole model on each device."
        )
        fixes = (settings.write(OPTIMIZER, "adamw", preferred=True), settings.write(SHARDING, "none"))
        yield settings.problem("sharding-needs-adamw", "error", message, SHARDING, OPTIMIZER, fixes=fixes)


def _in_tiles(path: str, why: str) -> None:
    """Make a rule of a size that a Tenstorrent board takes in whole tiles only."""

    @rule(DEVICE, path)
    def in_tiles(settings: Settings) -> Iterator[Problem]:
        value = settings.integer(path)
        if _on_board(settings) and value % TILE:
            name = path.split(".")[1]
            message = f"{name} {value} must be a multiple of {TILE} on a Tenstorrent board: {why}"
            # A width is shared out among the heads, each of whole tiles.
            heads = settings.integer(HEADS) if path == DIM and settings.knows(HEADS) else 1
            around = nearest_numbers(value, multiples_around(value, TILE * heads))
            if path == VOCABULARY:  # fewer rows than tokens would not do
                around = [number for number in around if number > value]
            fixes = [settings.write(path, number, preferred=index == 0) for index, number in enumerate(around)]
            yield settings.problem("tt-multiple-of-32", "error", message, path, DEVICE, fixes=tuple(fixes))


_in_tiles(DIM, "it computes on tiles of 32 x 32 numbers.")
_in_tiles(MLP, "it computes on tiles of 32 x 32 numbers.")
_in_tiles(VOCABULARY, "the output layer is stored in tiles. Unused tokens do no harm.")
_in_tiles(LENGTH, "attention's backward pass crashes with other lengths.")


def _only(path: str, allowed: tuple[object, ...], code: str, severity: Severity, message: str) -> None:
    """Make a rule of the values that a key may have on a Tenstorrent board, the one to write first."""

    @rule(DEVICE, path)
    def only(settings: Settings) -> Iterator[Problem]:
        value = settings.value(path)
        if _on_board(settings) and value not in allowed:
            fixes = (settings.write(path, allowed[0], preferred=True),)
            yield settings.problem(code, severity, message.format(value), path, DEVICE, fixes=fixes)


_only(
    SHARDING, ("none",), "tt-sharding", "error",
    "sharding full is not available on Tenstorrent boards: each chip has the whole model.",
)  # fmt: skip
_only(
    RECOMPUTING, (False,), "tt-activation-checkpointing", "error",
    "activation_checkpointing is not available on Tenstorrent boards. Lower batch_size to save memory.",
)  # fmt: skip
_only(
    LOSS, ("cross_entropy",), "tt-loss", "error",
    "loss {} is not available on a Tenstorrent board: ttml has plain cross-entropy only.",
)  # fmt: skip
_only(
    R_DROP, (0.0,), "tt-r-drop", "error",
    "r_drop {:g} is not available on a Tenstorrent board: ttml has no divergence between two predictions.",
)  # fmt: skip
_only(
    NORM_EPS, (BOARD_NORM_EPS,), "tt-norm-eps", "error",
    "norm_eps {:g} is not available on a Tenstorrent board: ttml's norm always adds 1e-5.",
)  # fmt: skip
_only(
    PRECISION, ("auto", "bf16"), "tt-precision", "warning",
    "A Tenstorrent board keeps weights and computes in bf16, so precision fp32 is not available there.",
)  # fmt: skip


@rule(DEVICE, DIM, HEADS)
def _tt_head_dim(settings: Settings) -> Iterator[Problem]:
    dim, heads = settings.integer(DIM), settings.integer(HEADS)
    if not _on_board(settings) or dim % heads:
        return
    width = dim // heads
    if width % TILE:
        message = (
            f"head_dim is {width} (hidden_dim {dim} / num_heads {heads}). On a Tenstorrent board it must be a "
            f"multiple of {TILE}: rotary embeddings are computed one tile at a time."
        )
        yield settings.problem("tt-head-dim", "error", message, HEADS, DIM, DEVICE, fixes=head_fixes(settings))
    elif width > WIDEST_HEAD:
        message = (
            f"head_dim is {width} (hidden_dim {dim} / num_heads {heads}). On a Tenstorrent board it can be at most "
            f"{WIDEST_HEAD}: use more heads."
        )
        yield settings.problem("tt-head-dim", "error", message, HEADS, DIM, DEVICE, fixes=head_fixes(settings))
