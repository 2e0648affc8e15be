"""Reading ttml's pickled checkpoints on any machine, without ttml and without running what a pickle asks to run.

`pickle_data.py` makes plain data of the file; what it holds is looked at here. Two formats are known: the single record
that `train_nanogpt.py` wrote, and the stream of records of `ttml.checkpointing` (one header, then one array for each
tensor, in the order of the header's manifest).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.ttml.weights import TtmlLayout
from trickster_engine.config.plan import ModelConfig
from trickster_engine.errors import TricksterError
from trickster_engine.interop.pickle_data import PickleFile, whole_number
from trickster_engine.interop.pickle_machine import Named, PickleError
from trickster_engine.system.os_errors import reason

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TtmlCheckpoint:
    """What a file holds. Arrays are float32, by ttml's names."""

    step: int | None
    model: Mapping[str, Floats]
    optimizer: Mapping[str, Any]  # numbers, and arrays below their kinds; empty if the file holds none
    header: Mapping[str, Any]  # whatever the program that saved it added; objects are `Named`

    def model_config(
        self,
        num_heads: int | None = None,
        rope_theta: float | None = None,
        max_seq_len: int | None = None,
    ) -> ModelConfig:
        """The shape of the model. What the file does not say must be given.

        Raises TricksterError where something is missing or the file holds no Llama.
        """
        saved = self.header.get("model_config") or self.header.get("transformer_config")
        heads = num_heads or _saved(saved, "num_heads", "num_attention_heads")
        theta = rope_theta or _saved(saved, "theta", "rope_theta")
        length = max_seq_len or _saved(saved, "max_sequence_length", "max_position_embeddings")
        missing = [
            name
            for name, value in (("num_heads", heads), ("rope_theta", theta), ("max_seq_len", length))
            if value is None
        ]
        if missing:
            raise TricksterError(
                "checkpoint-incomplete",
                f"The file does not contain the model's {', '.join(missing)}, and they do not follow from the shapes "
                "of the weights.",
                "Give them; they are num_heads, theta and max_sequence_length of the model's YAML.",
            )
        try:
            return self._inferred(int(heads), float(theta), int(length))
        except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
            raise TricksterError(
                "not-a-llama",
                "The shapes in the checkpoint do not match a Llama with this number of heads.",
                "Give a checkpoint of a nanollama model, and the num_heads of its YAML.",
            ) from error

    def canonical_weights(self, config: ModelConfig) -> dict[str, Floats]:
        """The weights under their Hugging Face names and row order. Raises TricksterError if they are another model."""
        shapes = {name: array.shape for name, array in self.model.items()}
        return TtmlLayout(config, shapes).from_ttml(self.model)

    def _inferred(self, heads: int, theta: float, length: int) -> ModelConfig:
        output = self._ending("fc/weight") or self._ending("tok_emb/weight")
        down = self._ending("mlp/w2/weight")
        if not output or not down:
            raise TricksterError(
                "not-a-llama",
                "The checkpoint does not contain a ttml Llama.",
                "Give a checkpoint of a nanollama model.",
            )
        vocabulary, hidden = output[0].shape[-2:]
        if min(heads, length) < 1 or length > 1 << 24 or hidden % heads or not math.isfinite(theta) or theta < 1:
            raise ValueError(f"{heads} heads, context {length}, theta {theta}")
        head = hidden // heads
        fused = self._ending("attention/qkv_linear/weight")
        split = self._ending("attention/kv_linear/weight")
        kv_rows = split[0].shape[-2] if split else fused[0].shape[-2] - hidden
        if head % 2 or kv_rows < 2 * head or kv_rows % (2 * head):
            raise ValueError(f"{kv_rows} rows of keys and values for heads of {head}")
        return ModelConfig(
            vocab_size=vocabulary,
            hidden_dim=hidden,
            num_layers=len(down),
            num_heads=heads,
            num_kv_heads=kv_rows // (2 * head),
            mlp_dim=down[0].shape[-1],
            max_seq_len=length,
            dropout=0.0,
            rope_theta=theta,
            tie_embeddings=not (self._ending("fc/weight") and self._ending("tok_emb/weight")),
        )

    def _ending(self, tail: str) -> list[Floats]:
        return [array for name, array in self.model.items() if name.endswith(f"/{tail}")]


def read(path: Path) -> TtmlCheckpoint:
    """Read a checkpoint of either format. Raises TricksterError for anything else."""
    try:
        with PickleFile(path) as file:
            first = file.load()
            if isinstance(first, dict) and "manifest" in first:
                return _streamed(first, file)
            if isinstance(first, dict) and "model_state" in first:
                return _single(first, file)
    except OSError as error:
        raise TricksterError(
            "checkpoint-missing", f"{path} cannot be read: {reason(error)}.", "Give a .pkl file of ttml's."
        ) from error
    except PickleError as error:
        raise _unreadable(path, str(error)) from error
    raise _unreadable(path, "it is neither of the two formats")


def _single(record: Mapping[str, Any], file: PickleFile) -> TtmlCheckpoint:
    states = record["model_state"]
    entries = states.values() if isinstance(states, dict) else [None]
    if not all(isinstance(entry, dict) and "data" in entry for entry in entries):
        raise PickleError("its model_state contains no arrays")
    model = {str(name): _floats(file, entry["data"], entry.get("shape")) for name, entry in states.items()}
    header = {key: value for key, value in record.items() if key != "model_state"}
    return TtmlCheckpoint(whole_number(header.get("step")), model, {}, header)


def _streamed(record: Mapping[str, Any], file: PickleFile) -> TtmlCheckpoint:
    version = record.get("format")
    if version != 1:
        known = version if isinstance(version, int) and abs(version) < 1 << 32 else "unknown"
        raise TricksterError(
            "checkpoint-format",
            f"The checkpoint has format {known}; Trickster knows 1.",
            "Load it with the ttml that wrote it and save the weights as NumPy arrays.",
        )
    manifest, header = record["manifest"], record.get("header") or {}
    if not isinstance(manifest, dict) or not isinstance(header, dict):
        raise PickleError("its header or manifest is not a list of names")
    walk = _Manifest(file)
    groups = {name: walk.filled(node) for name, node in manifest.items()}
    model, optimizer = groups.get("model", {}), groups.get("optimizer", {})
    if not isinstance(model, dict) or not all(isinstance(array, np.ndarray) for array in model.values()):
        raise PickleError("its model contains something other than arrays")
    return TtmlCheckpoint(whole_number(header.get("step")), model, optimizer, header)


class _Manifest:
    """Fills a manifest's skeleton with the arrays that follow it in the file, in the file's order."""

    #: One group under many names would be walked as often; a model has a dozen groups.
    _MOST_GROUPS = 1_000

    def __init__(self, file: PickleFile) -> None:
        self._file = file
        self._left = self._MOST_GROUPS

    def filled(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        self._left -= 1
        if self._left < 0:
            raise PickleError("its manifest has too many groups")
        names = node.get("named_parameters")
        if isinstance(names, (dict, list, tuple)):
            return {str(name): _floats(self._file, self._file.load(), None) for name in names}
        return {name: self.filled(child) for name, child in node.items()}


def _floats(file: PickleFile, value: Any, shape: Any) -> Floats:
    array = file.array(value)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # bfloat16 is the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    values = array.astype(np.float32)
    if shape is None:
        return values
    if not isinstance(shape, (list, tuple)) or not all(whole_number(size) is not None for size in shape):
        raise PickleError("an array of an impossible shape")
    try:
        return values.reshape([whole_number(size) or 0 for size in shape])
    except ValueError as error:
        raise PickleError(str(error)) from error


def _saved(saved: Any, *names: str) -> Any:
    """A value of a saved model config, which is a mapping or an object of a script's class."""
    for name in names:
        value = saved.get(name) if isinstance(saved, (dict, Named)) else None
        if value is not None:
            return value
    return None


def _unreadable(path: Path, why: str) -> TricksterError:
    return TricksterError(
        "checkpoint-unreadable",
        f"{path} is not a ttml checkpoint that Trickster can read: {why}.",
        "Give a .pkl file written by tt-train's train.py or train_nanogpt.py.",
    )
