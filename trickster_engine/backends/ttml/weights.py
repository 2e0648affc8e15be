"""How ttml lays out a Llama's weights, and the way from there to the canonical names and back. NumPy only.

Canonical is Hugging Face: `model.layers.0.self_attn.q_proj.weight` [rows, columns], rotary halves split. ttml keeps
every tensor four-dimensional, names it with slashes below a root, fuses some matrices by stacking their rows, and
rotates neighbouring pairs of rows instead of halves. Names and fusion changed over time and differ between its Python
and its C++ model, so they are read off the model that is there. A layout mistake is silent: a model with unpermuted
rows loads, talks fluently and is 1.3 nats worse.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import EMBEDDING, FINAL_NORM, OUTPUT, weight_shapes
from trickster_engine.errors import TricksterError

Weights = dict[str, NDArray[np.float32]]


# <root>/blocks/3/attention/q_linear/weight (Python) or <root>/llama_block_3/attention/q_linear/weight (C++)
_BLOCK_NAME = re.compile(r"^[^/]+/(?:blocks/|llama_block_)(\d+)/(.+)$")
_TOP_NAME = re.compile(r"^[^/]+/(tok_emb/weight|fc/weight|ln_fc/gamma)$")

# The tail of a block's name -> the canonical matrices whose rows are stacked in it, from the top.
_BLOCK_PARTS: Mapping[str, tuple[str, ...]] = {
    "attention_norm/gamma": ("input_layernorm",),
    "mlp_norm/gamma": ("post_attention_layernorm",),
    "attention/q_linear/weight": ("self_attn.q_proj",),
    "attention/kv_linear/weight": ("self_attn.k_proj", "self_attn.v_proj"),
    "attention/qkv_linear/weight": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention/out_linear/weight": ("self_attn.o_proj",),
    "mlp/w1/weight": ("mlp.gate_proj",),
    "mlp/w3/weight": ("mlp.up_proj",),
    "mlp/w2/weight": ("mlp.down_proj",),
    "mlp/w_gate_up/weight": ("mlp.gate_proj", "mlp.up_proj"),
}


@dataclass(frozen=True)
class Slot:
    """One tensor of a ttml model: its name, its shape there, and the canonical weights stacked in it."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[str, ...]


class TtmlLayout:
    """The tensors of one ttml model and what they hold."""

    def __init__(self, config: ModelConfig, shapes: Mapping[str, Sequence[int]]) -> None:
        """Read the layout off a model's parameter names and shapes.

        Raises TricksterError `ttml-layout` unless every tensor is known and together they are this very model.
        """
        self._config = config
        self._shapes = weight_shapes(config)
        top = {match.group(1) for name in shapes if (match := _TOP_NAME.match(name))}
        tied = len(top & {"tok_emb/weight", "fc/weight"}) == 1
        if tied != config.tie_embeddings:
            raise _unknown(
                f"its embedding and output weights are {'one tensor' if tied else 'two tensors'}, and the config has "
                f"tie_embeddings: {str(config.tie_embeddings).lower()}"
            )
        self.slots = tuple(Slot(name, tuple(shape), self._parts(name, tied)) for name, shape in sorted(shapes.items()))
        self._check()

    def to_ttml(self, weights: Mapping[str, NDArray[np.float32]], names: Container[str] | None = None) -> Weights:
        """Canonical arrays -> one float32 array [1, 1, rows, columns] per ttml tensor, contiguous and writable.

        Optimizer moments go the same way as weights; an optimizer may own some of the tensors only, those in `names`.
        """
        return {slot.name: self._stack(slot, weights) for slot in self.slots if names is None or slot.name in names}

    def from_ttml(self, tensors: Mapping[str, NDArray[np.float32]]) -> Weights:
        """Undo `to_ttml`: canonical names, shapes and row order, in the order of the forward pass."""
        found: Weights = {}
        for slot in self.slots:
            matrix = np.asarray(tensors[slot.name], dtype=np.float32).reshape(slot.shape[-2:])
            row = 0
            for part in slot.parts:
                rows = self._rows(part)
                found[part] = self._restore(part, matrix[row : row + rows])
                row += rows
        return {name: found[name] for name in self._shapes}

    def _parts(self, name: str, tied: bool) -> tuple[str, ...]:
        if match := _TOP_NAME.match(name):
            kind = match.group(1)
            if kind == "ln_fc/gamma":
                return (FINAL_NORM,)
            return (EMBEDDING,) if tied or kind == "tok_emb/weight" else (OUTPUT,)
        match = _BLOCK_NAME.match(name)
        if not match or match.group(2) not in _BLOCK_PARTS:
            raise _unknown(f"it has a tensor named {name}")
        return tuple(f"model.layers.{match.group(1)}.{part}.weight" for part in _BLOCK_PARTS[match.group(2)])

    def _check(self) -> None:
        held = [part for slot in self.slots for part in slot.parts]
        times = Counter(held)
        for part in self._shapes:
            if times[part] != 1:
                raise _unknown(f"{part} is in {times[part]} of its tensors")
        for part in held:
            if part not in self._shapes:
                raise _unknown(f"it contains {part}, which this model_config does not have")
        for slot in self.slots:
            rows = sum(self._rows(part) for part in slot.parts)
            columns = self._shapes[slot.parts[0]][-1]
            if slot.shape != (1, 1, rows, columns):
                raise _unknown(f"{slot.name} is {list(slot.shape)}, not [1, 1, {rows}, {columns}]")

    def _rows(self, part: str) -> int:
        shape = self._shapes[part]
        return shape[0] if len(shape) == 2 else 1

    def _heads(self, part: str) -> int | None:
        if part.endswith("q_proj.weight"):
            return self._config.num_heads
        return self._config.num_kv_heads if part.endswith("k_proj.weight") else None

    def _stack(self, slot: Slot, weights: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        array = np.zeros(slot.shape, dtype=np.float32)
        matrix = array.reshape(slot.shape[-2:])
        row = 0
        for part in slot.parts:
            rows = self._rows(part)
            source = np.asarray(weights[part], dtype=np.float32).reshape(rows, -1)
            heads = self._heads(part)
            matrix[row : row + rows] = source if heads is None else interleave_halves(source, heads)
            row += rows
        return array

    def _restore(self, part: str, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        heads = self._heads(part)
        restored = matrix if heads is None else split_pairs(matrix, heads)
        return np.array(restored, dtype=np.float32).reshape(self._shapes[part])


def interleave_halves(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head from split halves (Hugging Face) to pairs (ttml): row 2i <- i, row 2i + 1 <- i + C/2."""
    rows, columns = matrix.shape
    return np.reshape(matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2), (rows, columns))


def split_pairs(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo `interleave_halves`."""
    rows, columns = matrix.shape
    return np.reshape(matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2), (rows, columns))


def round_to_bf16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest bfloat16 to each value, ties to even, as float32: then it does not matter how an upload rounds."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(array), rounded.view(np.float32), array).astype(np.float32)


def _unknown(what: str) -> TricksterError:
    return TricksterError(
        "ttml-layout",
        f"Trickster does not know how this ttml lays out its Llama: {what}.",
        "Nothing was trained. Run `trickster doctor --json` and attach its output to an issue; you can train the "
        "model on another device with device_config.device_type: cpu or cuda.",
    )
