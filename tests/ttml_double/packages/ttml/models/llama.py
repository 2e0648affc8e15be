"""The Llamas of the double: the Python one, and the C++ one with its own names and habits."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Any

import torch
import ttnn
from ttnn._variant import VARIANT

from .. import ops
from .._runtime import NamedParameters, Tensor, compile_once, context, each, passing, result
from . import RunnerType, WeightTyingType


def _parameter(shape: tuple[int, ...], deviation: float | None, generator: torch.Generator) -> Tensor:
    values = torch.ones(shape) if deviation is None else torch.randn(shape, generator=generator) * deviation
    tensor = Tensor.from_numpy(values.numpy(), ttnn._Layout.TILE, ttnn._DataType.BFLOAT16)
    tensor.set_requires_grad(True)
    tensor._make_leaf()
    return tensor


class _Llama:
    """The arithmetic that both share."""

    def _build(self, shape: dict[str, Any], tied: bool, root: str, block: str) -> None:
        passing("model")
        self._shape = shape
        self._training = True
        generator = torch.Generator().manual_seed(context().get_seed())
        head = shape["hidden"] // shape["heads"]
        hidden, mlp = shape["hidden"], shape["mlp"]
        self._rope = ops.build_rope_params(shape["length"], head, shape["theta"])
        self._named = NamedParameters()

        def add(name: str, rows: int, columns: int, deviation: float | None = 0.02) -> None:
            self._named[f"{root}/{name}"] = _parameter((1, 1, rows, columns), deviation, generator)

        add("fc/weight", shape["vocab"], hidden)
        if not tied:
            add("tok_emb/weight", shape["vocab"], hidden)
        add("ln_fc/gamma", 1, hidden, None)
        for index in range(shape["layers"]):
            at = f"{block}{index}"
            add(f"{at}/attention_norm/gamma", 1, hidden, None)
            add(f"{at}/mlp_norm/gamma", 1, hidden, None)
            if VARIANT.fused_qkv:
                add(f"{at}/attention/qkv_linear/weight", hidden + 2 * shape["groups"] * head, hidden)
            else:
                add(f"{at}/attention/q_linear/weight", hidden, hidden)
                add(f"{at}/attention/kv_linear/weight", 2 * shape["groups"] * head, hidden)
            add(f"{at}/attention/out_linear/weight", hidden, hidden)
            if VARIANT.fused_gate_up:
                add(f"{at}/mlp/w_gate_up/weight", 2 * mlp, hidden)
            else:
                add(f"{at}/mlp/w1/weight", mlp, hidden)
                add(f"{at}/mlp/w3/weight", mlp, hidden)
            add(f"{at}/mlp/w2/weight", hidden, mlp)
        self._root, self._block, self._tied = root, block, tied

    def parameters(self) -> NamedParameters:
        named = NamedParameters(dict(self._named.pairs()))
        named.wrapped = VARIANT.wrapped_parameters
        return named

    def train(self) -> None:
        self._training = True

    def eval(self) -> None:
        self._training = False

    def _at(self, index: int, tail: str) -> Tensor:
        weight: Tensor = self._named[f"{self._root}/{self._block}{index}/{tail}"]
        return weight

    def _forward(self, ids: Tensor, mask: Tensor | None) -> Any:
        passing("forward")
        compile_once(("forward", tuple(ids.shape()), mask is None))
        shape = self._shape
        table = self._named[f"{self._root}/{'fc' if self._tied else 'tok_emb'}/weight"]
        h = ops.embedding.embedding(ids, table)
        for index in range(shape["layers"]):
            x = ops.rmsnorm.rmsnorm(h, self._at(index, "attention_norm/gamma"), 1e-5)
            h = ops.binary.add(h, self._drop(self._attend(index, x, mask), shape["attention_dropout"]))
            x = ops.rmsnorm.rmsnorm(h, self._at(index, "mlp_norm/gamma"), 1e-5)
            h = ops.binary.add(h, self._drop(self._feed_forward(index, x), shape["mlp_dropout"]))
        h = ops.rmsnorm.rmsnorm(h, self._named[f"{self._root}/ln_fc/gamma"], 1e-5)
        return ops.linear.linear(h, self._named[f"{self._root}/fc/weight"])

    def _attend(self, index: int, x: Tensor, mask: Tensor | None) -> Any:
        heads, groups = self._shape["heads"], self._shape["groups"]
        if VARIANT.fused_qkv:
            packed = ops.linear.linear(x, self._at(index, "attention/qkv_linear/weight"))
            q, k, v = ops.multi_head_utils.heads_creation(packed, heads, groups)
        else:
            qs = ops.linear.linear(x, self._at(index, "attention/q_linear/weight"))
            kvs = ops.linear.linear(x, self._at(index, "attention/kv_linear/weight"))
            q, k, v = ops.multi_head_utils.grouped_heads_creation(qs, kvs, heads, groups)
        q, k = ops.rope.rope(q, self._rope), ops.rope.rope(k, self._rope)
        y = ops.attention.scaled_dot_product_attention(q, k, v, mask)
        return ops.linear.linear(ops.multi_head_utils.heads_fusion(y), self._at(index, "attention/out_linear/weight"))

    def _feed_forward(self, index: int, x: Tensor) -> Any:
        if VARIANT.fused_gate_up:
            both = ops.linear.linear(x, self._at(index, "mlp/w_gate_up/weight"))
            gate = result(each(lambda y: y.chunk(2, -1)[0], both), both)
            up = result(each(lambda y: y.chunk(2, -1)[1], both), both)
        else:
            gate = ops.linear.linear(x, self._at(index, "mlp/w1/weight"))
            up = ops.linear.linear(x, self._at(index, "mlp/w3/weight"))
        if VARIANT.mistake == "gate_up_swapped":
            gate, up = up, gate
        return ops.linear.linear(ops.binary.mul(ops.unary.silu(gate), up), self._at(index, "mlp/w2/weight"))

    def _drop(self, x: Tensor, probability: float) -> Any:
        return ops.dropout.dropout(x, probability) if self._training and probability > 0 else x


def _check(hidden: int, heads: int, groups: int, length: int) -> None:
    if length % 32:
        raise ValueError(f"Max position embeddings must be divisible by 32. Provided {length}")
    if hidden % 32:
        raise ValueError(f"Hidden size must be divisible by 32. Provided {hidden}")
    if hidden % heads or heads % groups:
        raise ValueError("Hidden size must be divisible by the heads, and the heads by the key/value heads")


@dataclass(frozen=True)
class _PythonConfig:
    hidden_size: int = 384
    intermediate_size: int | None = None
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    vocab_size: int = 256
    max_position_embeddings: int = 256
    rope_theta: float = 10000.0
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    runner_type: object = RunnerType.Default
    weight_tying: object = WeightTyingType.Disabled


class _CppConfig:
    """A C++ struct with defaults: its fields are set one by one, and there are no others."""

    __slots__ = (
        "dropout_prob", "embedding_dim", "intermediate_dim", "max_sequence_length", "num_blocks", "num_groups",
        "num_heads", "runner_type", "theta", "vocab_size", "weight_tying",
    )  # fmt: skip

    def __init__(self) -> None:
        self.num_heads, self.num_groups, self.embedding_dim = 6, 3, 384
        self.intermediate_dim: int | None = None
        self.dropout_prob, self.theta, self.num_blocks, self.vocab_size = 0.2, 10000.0, 6, 256
        self.max_sequence_length, self.runner_type = 256, RunnerType.Default
        self.weight_tying = WeightTyingType.Enabled


class _Cpp(_Llama):
    def __init__(self, config: _CppConfig) -> None:
        if not isinstance(config, _CppConfig):
            raise TypeError("__init__(): incompatible function arguments")
        _check(config.embedding_dim, config.num_heads, config.num_groups, config.max_sequence_length)
        shape = {
            "hidden": config.embedding_dim, "mlp": config.intermediate_dim, "layers": config.num_blocks,
            "heads": config.num_heads, "groups": config.num_groups, "vocab": config.vocab_size,
            "length": config.max_sequence_length, "theta": config.theta,
            "attention_dropout": config.dropout_prob, "mlp_dropout": config.dropout_prob,
        }  # fmt: skip
        self._build(shape, config.weight_tying is WeightTyingType.Enabled, "llama", "llama_block_")

    def __call__(self, tensor: Tensor, mask: Tensor) -> Any:
        if not isinstance(mask, Tensor):
            raise TypeError("__call__(): incompatible function arguments. Expected: tensor, mask")
        return self._forward(tensor, mask)


if VARIANT.cpp_old_names:
    LlamaConfig: type = _CppConfig
    Llama: type = _Cpp

    def create_llama_model(config: _CppConfig) -> _Cpp:
        return _Cpp(config)

else:
    CppLlamaConfig, CppLlama = _CppConfig, _Cpp

    def create_cpp_llama_model(config: _CppConfig) -> _Cpp:
        return _Cpp(config)


if VARIANT.python_llama:
    LlamaConfig = make_dataclass(
        "LlamaConfig",
        [
            (name, field.type, field.default)
            for name, field in _PythonConfig.__dataclass_fields__.items()
            if name not in VARIANT.config_fields_missing
        ],
        frozen=True,
    )

    class Llama(_Llama):  # type: ignore[no-redef]  # the C++ one had this name before
        def __init__(self, config: Any) -> None:
            values = {**{name: getattr(_PythonConfig(), name) for name in _PythonConfig.__dataclass_fields__},
                      **vars(config)}  # fmt: skip
            _check(
                values["hidden_size"], values["num_attention_heads"], values["num_key_value_heads"],
                values["max_position_embeddings"],
            )  # fmt: skip
            shape = {
                "hidden": values["hidden_size"], "mlp": values["intermediate_size"],
                "layers": values["num_hidden_layers"], "heads": values["num_attention_heads"],
                "groups": values["num_key_value_heads"], "vocab": values["vocab_size"],
                "length": values["max_position_embeddings"], "theta": values["rope_theta"],
                "attention_dropout": values["attention_dropout"], "mlp_dropout": values["mlp_dropout"],
            }  # fmt: skip
            self._build(shape, values["weight_tying"] is WeightTyingType.Enabled, "Llama", "blocks/")

        def __call__(self, *arguments: Any, **keywords: Any) -> Any:
            return self.forward(*arguments, **keywords)

        def forward(
            self, input: Tensor, mask: Tensor | None, kv_cache: object = None, new_tokens: object = None
        ) -> Any:
            return self._forward(input, mask)
