"""Reading ttml's pickled checkpoints on any machine, without ttml and without running what a pickle asks to run.

A pickle is a program. This reader carries out the few operations that make NumPy arrays; every other class or function
that a file names becomes an inert object that only remembers what it was given. Two formats are known: the single
record that `train_nanogpt.py` wrote, and the stream of records of `ttml.checkpointing` (one header, then one array for
each tensor, in the order of the header's manifest).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.ttml_weights import TtmlLayout
from trickster_engine.config.plan import ModelConfig
from trickster_engine.errors import TricksterError

Floats = NDArray[np.float32]


class Opaque:
    """An object of a class that this reader does not know: its name and what it was made of. It can do nothing."""

    module = ""
    name = ""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.arguments = (arguments, keywords)
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, name: str) -> Any:
        """A field of the object, or None."""
        return self.state.get(name) if isinstance(self.state, dict) else None


@dataclass(frozen=True)
class TtmlCheckpoint:
    """What a file holds. Arrays are float32, by ttml's names."""

    step: int | None
    model: Mapping[str, Floats]
    optimizer: Mapping[str, Any]  # numbers, and arrays below their kinds; empty if the file holds none
    header: Mapping[str, Any]  # whatever the program that saved it added; classes are `Opaque`

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
                f"The file does not say what the model's {', '.join(missing)} were: they are in no weight's shape.",
                "Give them: they are num_heads, theta and max_sequence_length of the model's YAML.",
            )
        return self._inferred(int(heads), float(theta), int(length))

    def canonical_weights(self, config: ModelConfig) -> dict[str, Floats]:
        """The weights under their Hugging Face names and row order. Raises TricksterError if they are another model."""
        shapes = {name: array.shape for name, array in self.model.items()}
        return TtmlLayout(config, shapes).from_ttml(self.model)

    def _inferred(self, heads: int, theta: float, length: int) -> ModelConfig:
        output = self._ending("fc/weight") or self._ending("tok_emb/weight")
        down = self._ending("mlp/w2/weight")
        if not output or not down:
            raise TricksterError(
                "not-a-llama", "The checkpoint holds no Llama of ttml's.", "Give a checkpoint of a nanollama model."
            )
        vocabulary, hidden = output[0].shape[-2:]
        head = hidden // heads
        fused = self._ending("attention/qkv_linear/weight")
        split = self._ending("attention/kv_linear/weight")
        kv_rows = split[0].shape[-2] if split else fused[0].shape[-2] - hidden
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
        with path.open("rb") as file:
            first = _Unpickler(file).load()
            if isinstance(first, dict) and "manifest" in first:
                return _streamed(first, file)
            if isinstance(first, dict) and "model_state" in first:
                return _single(first)
    except OSError as error:
        raise TricksterError(
            "checkpoint-missing", f"{path} cannot be read: {error.strerror}.", "Name a .pkl file of ttml's."
        ) from error
    except TricksterError:
        raise
    except Exception as error:  # an unpickler raises nearly anything on a damaged file
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    raise _unreadable(path, "it is neither of the two formats")


class _Unpickler(pickle.Unpickler):
    """Knows how arrays are made, and turns everything else into `Opaque`."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module.replace("numpy.core", "numpy._core"), name))
        if allowed is not None:
            return allowed
        return type(name.rsplit(".", 1)[-1], (Opaque,), {"module": module, "name": name})

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent objects are not part of ttml's checkpoints")


class _BFloat16:
    """Stands for ml_dtypes.bfloat16, whether or not that is installed: such arrays arrive as their bits."""


def _dtype(kind: Any, *_flags: Any) -> np.dtype[Any]:
    made = np.dtype("<u2") if kind is _BFloat16 else np.dtype(kind)
    if made.hasobject:
        raise pickle.UnpicklingError("an array of objects")
    return made


def _empty_array(kind: Any, _shape: Any, _type: Any) -> Any:
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("an array of a class of its own")
    return np.ndarray((0,), dtype="b")


def _from_buffer(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> NDArray[Any]:
    array: NDArray[Any] = np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")
    return array


def _bytes(text: str, _encoding: str) -> bytes:
    return text.encode("latin-1")


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    return np.frombuffer(data, dtype=dtype)[0]


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): _empty_array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("ml_dtypes", "bfloat16"): _BFloat16,
    ("_codecs", "encode"): _bytes,
}


def _single(record: Mapping[str, Any]) -> TtmlCheckpoint:
    model = {name: _floats(entry["data"], entry.get("shape")) for name, entry in record["model_state"].items()}
    header = {key: value for key, value in record.items() if key != "model_state"}
    return TtmlCheckpoint(_step(header), model, {}, header)


def _streamed(record: Mapping[str, Any], file: BinaryIO) -> TtmlCheckpoint:
    if record.get("format") != 1:
        raise TricksterError(
            "checkpoint-format",
            f"The checkpoint has format {record.get('format')!r}; Trickster knows 1.",
            "Load it with the ttml that wrote it and save the weights as NumPy arrays.",
        )
    groups = {name: _rebuild(node, lambda: _Unpickler(file).load()) for name, node in record["manifest"].items()}
    header = dict(record.get("header") or {})
    return TtmlCheckpoint(_step(header), groups.get("model", {}), groups.get("optimizer", {}), header)


def _rebuild(node: Any, following: Callable[[], Any]) -> Any:
    """Fill a manifest's skeleton with the arrays that follow it in the file, in the file's order."""
    if not isinstance(node, dict):
        return node
    if "named_parameters" in node:
        return {name: _floats(following(), None) for name in node["named_parameters"]}
    return {name: _rebuild(child, following) for name, child in node.items()}


def _floats(array: Any, shape: Any) -> Floats:
    if not isinstance(array, np.ndarray):
        raise pickle.UnpicklingError(f"a {type(array).__name__} where an array should be")
    if array.dtype == np.uint16:  # bfloat16 is the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    values = np.array(array, dtype=np.float32)
    return values if shape is None else values.reshape(tuple(int(size) for size in shape))


def _step(header: Mapping[str, Any]) -> int | None:
    step = header.get("step")
    return int(step) if isinstance(step, (int, np.integer)) else None


def _saved(saved: Any, *names: str) -> Any:
    """A value of a saved model config, which is a mapping or an object of a script's class."""
    for name in names:
        value = saved.get(name) if isinstance(saved, (dict, Opaque)) else None
        if value is not None:
            return value
    return None


def opaque_objects(value: Any) -> Iterator[Opaque]:
    """The objects of unknown classes in a header: what was not carried out."""
    if isinstance(value, Opaque):
        yield value
        value = value.state
    if isinstance(value, dict):
        for inner in value.values():
            yield from opaque_objects(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from opaque_objects(inner)


def _unreadable(path: Path, why: str) -> TricksterError:
    return TricksterError(
        "checkpoint-unreadable",
        f"{path} is no checkpoint of ttml's that Trickster can read: {why}.",
        "Give a .pkl file written by tt-train's train.py or train_nanogpt.py.",
    )
