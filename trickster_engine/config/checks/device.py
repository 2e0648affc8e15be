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
from trickster_engine.config.checks.rule import rule
from trickster_engine.config.checks.training import BATCH
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings

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
def mesh_needs_ddp(settings: Settings) -> Iterator[Problem]:
    """Several devices without data-parallel training would be opened and not used."""
    count = devices(settings)
    if count > 1 and not settings.truth(DDP):
        message = (
            f"mesh_shape {shown_mesh(settings)} names {count} devices, but enable_ddp is false, so only one would be "
            "used. Set enable_ddp: true, or name one device."
        )
        fixes = (settings.write(DDP, True, preferred=True), settings.write(MESH, (1, 1)))
        yield settings.problem("mesh-without-ddp", "error", message, MESH, DDP, fixes=fixes)


@rule(MESH, DDP)
def ddp_needs_mesh(settings: Settings) -> Iterator[Problem]:
    """Data-parallel training on one device does nothing."""
    if settings.truth(DDP) and devices(settings) == 1:
        message = "enable_ddp is true, but mesh_shape [1, 1] is a single device."
        fixes = (settings.write(DDP, False), settings.write(MESH, (1, 2), why="two devices"))
        yield settings.problem("ddp-on-one-device", "warning", message, DDP, MESH, fixes=fixes)


@rule(MESH, DDP, BATCH)
def batch_is_shared_out(settings: Settings) -> Iterator[Problem]:
    """Each device gets the same number of sequences."""
    count, batch = devices(settings), settings.integer(BATCH)
    if settings.truth(DDP) and count > 1 and batch % count:
        message = (
            f"batch_size {batch} cannot be divided evenly among {count} devices (mesh_shape {shown_mesh(settings)}). "
            "It is the total over all of them."
        )
        fixes = [settings.write(BATCH, size) for size in nearest_numbers(batch, multiples_around(batch, count))]
        yield settings.problem("batch-divides-devices", "error", message, BATCH, MESH, fixes=tuple(fixes))


@rule(MESH, DEVICE)
def one_row(settings: Settings) -> Iterator[Problem]:
    """Data-parallel training runs on a line of devices."""
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
def device_comes_in_numbers(settings: Settings) -> Iterator[Problem]:
    """An Apple computer has one GPU. Any number of processes share a processor's cores."""
    device, count = settings.text(DEVICE), devices(settings)
    if device == "mps" and count > 1:
        message = f"device_type {device} is a single device, but mesh_shape {shown_mesh(settings)} names {count}."
        fixes = (settings.write(MESH, (1, 1), preferred=True),)
        yield settings.problem("mesh-of-one-device", "error", message, MESH, DEVICE, fixes=fixes)


@rule(SHARDING, MESH, DDP, DEVICE)
def sharding_needs_devices(settings: Settings) -> Iterator[Problem]:
    """One device has nobody to share the model with."""
    if settings.text(SHARDING) == "full" and devices(settings) == 1 and not _on_board(settings):
        message = "sharding is full, but mesh_shape [1, 1] is a single device, which has the whole model."
        fixes = (settings.write(SHARDING, "none"), settings.write(MESH, (1, 2), why="two devices"))
        yield settings.problem("sharding-on-one-device", "warning", message, SHARDING, MESH, fixes=fixes)


@rule(SHARDING, OPTIMIZER)
def sharding_needs_adamw(settings: Settings) -> Iterator[Problem]:
    """Muon works on whole matrices, and no device has one."""
    if settings.text(SHARDING) == "full" and settings.text(OPTIMIZER) == "muon":
        message = (
            "optimizer muon needs whole matrices, and with sharding full no device has one. Use adamw, or sharding "
            "none, with the whole model on each device."
        )
        fixes = (settings.write(OPTIMIZER, "adamw", preferred=True), settings.write(SHARDING, "none"))
        yield settings.problem("sharding-needs-adamw", "error", message, SHARDING, OPTIMIZER, fixes=fixes)


@rule(SHARDING, DEVICE)
def tt_sharding(settings: Settings) -> Iterator[Problem]:
    """Sharding is torch's."""
    if _on_board(settings) and settings.text(SHARDING) != "none":
        message = "sharding full is not available on Tenstorrent boards: each chip has the whole model."
        fixes = (settings.write(SHARDING, "none", preferred=True),)
        yield settings.problem("tt-sharding", "error", message, SHARDING, DEVICE, fixes=fixes)


@rule(RECOMPUTING, DEVICE)
def tt_recomputing(settings: Settings) -> Iterator[Problem]:
    """Recomputing is torch's."""
    if _on_board(settings) and settings.truth(RECOMPUTING):
        message = "activation_checkpointing is not available on Tenstorrent boards. Lower batch_size to save memory."
        fixes = (settings.write(RECOMPUTING, False, preferred=True),)
        yield settings.problem("tt-activation-checkpointing", "error", message, RECOMPUTING, DEVICE, fixes=fixes)


def _tile(settings: Settings, path: str, why: str) -> Iterator[Problem]:
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


@rule(DEVICE, DIM)
def tt_width(settings: Settings) -> Iterator[Problem]:
    """The width is laid out in tiles."""
    yield from _tile(settings, DIM, "it computes on tiles of 32 x 32 numbers.")


@rule(DEVICE, MLP)
def tt_mlp(settings: Settings) -> Iterator[Problem]:
    """The feed-forward width is laid out in tiles."""
    yield from _tile(settings, MLP, "it computes on tiles of 32 x 32 numbers.")


@rule(DEVICE, VOCABULARY)
def tt_vocabulary(settings: Settings) -> Iterator[Problem]:
    """The output layer is laid out in tiles."""
    yield from _tile(settings, VOCABULARY, "the output layer is stored in tiles. Unused tokens do no harm.")


@rule(DEVICE, LENGTH)
def tt_length(settings: Settings) -> Iterator[Problem]:
    """Attention's backward pass stops the program on other lengths."""
    yield from _tile(settings, LENGTH, "attention's backward pass crashes with other lengths.")


@rule(DEVICE, DIM, HEADS)
def tt_head_dim(settings: Settings) -> Iterator[Problem]:
    """A head is one or more tiles wide, and not too many."""
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


@rule(DEVICE, LOSS)
def tt_loss(settings: Settings) -> Iterator[Problem]:
    """The board's library has one loss for language models."""
    if _on_board(settings) and settings.text(LOSS) != "cross_entropy":
        message = (
            f"loss {settings.text(LOSS)} is not available on a Tenstorrent board: ttml has plain cross-entropy only."
        )
        fixes = (settings.write(LOSS, "cross_entropy", preferred=True),)
        yield settings.problem("tt-loss", "error", message, LOSS, DEVICE, fixes=fixes)


@rule(DEVICE, NORM_EPS)
def tt_norm_eps(settings: Settings) -> Iterator[Problem]:
    """The board's library does not ask what its norm should add."""
    value = settings.number(NORM_EPS)
    if _on_board(settings) and value != BOARD_NORM_EPS:
        message = f"norm_eps {value:g} is not available on a Tenstorrent board: ttml's norm always adds 1e-5."
        fixes = (settings.write(NORM_EPS, BOARD_NORM_EPS, preferred=True),)
        yield settings.problem("tt-norm-eps", "error", message, NORM_EPS, DEVICE, fixes=fixes)


@rule(DEVICE, PRECISION)
def tt_precision(settings: Settings) -> Iterator[Problem]:
    """The board computes in bf16."""
    if _on_board(settings) and settings.text(PRECISION) == "fp32":
        message = "A Tenstorrent board keeps weights and computes in bf16, so precision fp32 is not available there."
        fixes = (settings.write(PRECISION, "auto", preferred=True),)
        yield settings.problem("tt-precision", "warning", message, PRECISION, DEVICE, fixes=fixes)
