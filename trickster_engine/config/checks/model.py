"""Rules about the shape of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import log

from trickster_engine.config.problems import Fix, Problem
from trickster_engine.config.settings import Settings, rule

DIM = "model_config.hidden_dim"
HEADS = "model_config.num_heads"
KV_HEADS = "model_config.num_kv_heads"
VOCABULARY = "model_config.vocab_size"
LENGTH = "model_config.max_seq_len"
MLP = "model_config.mlp_dim"
DEVICE = "device_config.device_type"


def nearest_numbers(wanted: int, candidates: Iterable[int], count: int = 2) -> list[int]:
    """Return the `count` candidates nearest to `wanted` by ratio, nearest first."""
    return sorted(candidates, key=lambda candidate: (abs(log(candidate / wanted)), -candidate))[:count]


def divisors(number: int, most: int) -> list[int]:
    """Return the divisors of `number` up to `most`."""
    return [divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0]


def multiples_around(wanted: int, step: int) -> list[int]:
    """Return the multiples of `step` next to `wanted`: the one below (unless 0) and the one above."""
    below = wanted // step * step
    return [multiple for multiple in (below, below + step) if multiple > 0 and multiple != wanted]


def grain(settings: Settings) -> int:
    """Return what a head's width must be a multiple of: 32 on a Tenstorrent board, else 2."""
    return 32 if settings.knows(DEVICE) and settings.text(DEVICE) == "tt" else 2


def head_fixes(settings: Settings) -> tuple[Fix | None, ...]:
    """Return fixes that make the heads divide the width into slices of an allowed size."""
    dim, heads, unit = settings.integer(DIM), settings.integer(HEADS), grain(settings)
    allowed = [
        count for count in divisors(dim, 1024) if dim // count % unit == 0 and dim // count <= 256 and count != heads
    ]
    kv_given = settings.is_given(KV_HEADS) and settings.knows(KV_HEADS)
    if kv_given:
        allowed = [count for count in allowed if count % settings.integer(KV_HEADS) == 0]
    counts = nearest_numbers(heads, allowed)
    widest = 256 * heads if unit == 32 else 65_536
    widths = nearest_numbers(dim, [width for width in multiples_around(dim, heads * unit) if width <= widest])
    fixes = [settings.write(HEADS, count, why=f"head_dim {dim // count}") for count in counts]
    fixes += [settings.write(DIM, width, why=f"head_dim {width // heads}") for width in widths]
    return tuple(fixes)


@rule(DIM, HEADS)
def _heads_divide_dim(settings: Settings) -> Iterator[Problem]:
    dim, heads = settings.integer(DIM), settings.integer(HEADS)
    if dim % heads:
        message = f"hidden_dim {dim} is not divisible by num_heads {heads} ({dim} / {heads} = {dim / heads:.2f})."
        yield settings.problem("heads-divide-dim", "error", message, HEADS, DIM, fixes=head_fixes(settings))


@rule(DIM, HEADS)
def _head_dim_even(settings: Settings) -> Iterator[Problem]:
    dim, heads = settings.integer(DIM), settings.integer(HEADS)
    if dim % heads == 0 and dim // heads % 2:
        message = (
            f"head_dim is {dim // heads} (hidden_dim {dim} / num_heads {heads}), which is odd. Rotary embeddings "
            "rotate pairs of numbers, so head_dim must be even."
        )
        yield settings.problem("head-dim-even", "error", message, HEADS, DIM, fixes=head_fixes(settings))


@rule(HEADS, KV_HEADS)
def _kv_heads_divide_heads(settings: Settings) -> Iterator[Problem]:
    heads, kv_heads = settings.integer(HEADS), settings.integer(KV_HEADS)
    if heads % kv_heads:
        said = "more than" if kv_heads > heads else "no divisor of"
        message = (
            f"num_kv_heads {kv_heads} is {said} num_heads {heads}. Every key/value head serves the same number of "
            "query heads, so num_heads must be divisible by it."
        )
        counts = nearest_numbers(kv_heads, divisors(heads, 1024))
        fixes = [settings.write(KV_HEADS, count, why=f"{heads // count} query heads each") for count in counts]
        yield settings.problem("kv-heads-divide-heads", "error", message, KV_HEADS, HEADS, fixes=tuple(fixes))
