"""A Llama on the device, in ttml's Python implementation or its C++ one."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.ttml.device import TtmlDevice
from trickster_engine.backends.ttml.package import missing
from trickster_engine.backends.ttml.tensors import Floats, tensor_of
from trickster_engine.config.plan import ModelConfig


class TtmlModel:
    """A Llama on the device."""

    def __init__(self, device: TtmlDevice, native: Any, mask: Any) -> None:
        """`mask` is None for the Python model, whose kernel is causal by itself, and faster."""
        self._device = device
        self._native = native
        self._mask = mask

    @property
    def implementation(self) -> str:
        """`Python` or `C++`."""
        return "Python" if self._mask is None else "C++"

    def native_parameters(self) -> Any:
        """ttml's own mapping of names to tensors, in no particular order."""
        return self._native.parameters()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors' names and shapes."""
        return {name: tuple(tensor_of(value).shape()) for name, value in self.native_parameters().items()}

    def assign(self, arrays: Mapping[str, Floats]) -> None:
        """Overwrite weights by ttml's names; the arrays have exactly the tensors' shapes."""
        parameters = self.native_parameters()
        for name, array in arrays.items():
            tensor_of(parameters[name]).assign(self._device.tensors.upload_weights(array))

    def arrays(self) -> dict[str, Floats]:
        """All weights by ttml's names."""
        return {
            name: self._device.tensors.download_copy(tensor_of(value))
            for name, value in self.native_parameters().items()
        }

    def forward(self, tokens: NDArray[np.integer[Any]], *, training: bool) -> Any:
        """Tokens [B, T] to logits [B, 1, T, V] on the device, with dropout in training."""
        sequences, length = tokens.shape
        ids = self._device.tensors.upload_tokens(tokens, (sequences, 1, 1, length))
        if training:
            self._native.train()
            return self._native(ids, self._mask)
        self._native.eval()
        return self._native(ids, None if self._mask is None else self._device.tensors.clone(self._mask))


def create_model(device: TtmlDevice, config: ModelConfig) -> TtmlModel:
    """A Llama of this shape with random weights, in ttml's Python implementation, or its C++ one if it must be.

    Raises TricksterError where neither can do what the config asks for.
    """
    try:
        module: Any = importlib.import_module("ttml.models.llama")
    except ModuleNotFoundError:
        # Older builds bind it without making it importable.
        module = getattr(getattr(device.ttml, "models", None), "llama", None)
        if module is None:
            raise missing("a Llama model") from None
    tying = getattr(device.ttml.models, "WeightTyingType", None)
    if tying is not None:
        tying = tying.Enabled if config.tie_embeddings else tying.Disabled
    make_config: Any = getattr(module, "LlamaConfig", None)
    known = {field.name for field in dataclasses.fields(make_config)} if dataclasses.is_dataclass(make_config) else None
    if known is None or not hasattr(module, "Llama"):
        length = config.max_seq_len
        mask = device.tensors.upload_weights(np.tril(np.ones((1, 1, length, length), dtype=np.float32)))
        return TtmlModel(device, _create_cpp_model(module, config, tying), mask)
    values = _python_values(config, tying)
    # Whether leaving out a field that this build does not know changes nothing.
    harmless = {
        "weight_tying": not config.tie_embeddings,
        "rope_theta": config.rope_theta == 10000.0,
        "attention_dropout": config.dropout == 0,
        "mlp_dropout": config.dropout == 0,
    }
    lacking = sorted(name for name in values if name not in known and not harmless.get(name, False))
    if lacking:
        raise missing(f"{', '.join(lacking)} in its LlamaConfig, which this model_config needs")
    kept = {name: value for name, value in values.items() if name in known}
    return TtmlModel(device, module.Llama(make_config(**kept)), mask=None)


def _python_values(config: ModelConfig, tying: Any) -> dict[str, Any]:
    return {
        "hidden_size": config.hidden_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_seq_len,
        "rope_theta": config.rope_theta,
        "attention_dropout": config.dropout,
        "mlp_dropout": config.dropout,
        "weight_tying": tying,
    }


def _create_cpp_model(module: Any, config: ModelConfig, tying: Any) -> Any:
    for config_name, create_name in (
        ("CppLlamaConfig", "create_cpp_llama_model"),
        ("LlamaConfig", "create_llama_model"),  # before the Python model took the name
    ):
        if hasattr(module, config_name) and hasattr(module, create_name):
            break
    else:
        raise missing("a Llama model that Trickster can build")
    native = getattr(module, config_name)()
    native.num_heads = config.num_heads
    native.num_groups = config.num_kv_heads
    native.embedding_dim = config.hidden_dim
    native.intermediate_dim = config.mlp_dim
    native.dropout_prob = config.dropout
    native.theta = config.rope_theta
    native.num_blocks = config.num_layers
    native.vocab_size = config.vocab_size
    native.max_sequence_length = config.max_seq_len
    native.weight_tying = tying  # the C++ default is tied, the Python one is not
    return getattr(module, create_name)(native)
