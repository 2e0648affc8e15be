"""The shapes of the model's weights, from which counts, FLOPs, memory and layouts follow."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from trickster_engine.config.plan import ModelConfig

Shape = tuple[int, ...]

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
OUTPUT = "lm_head.weight"


def block_shapes(model: ModelConfig) -> dict[str, Shape]:
    """One block's weights by their names in it, in the order of the forward pass. A matrix is [outputs, inputs]."""
    hidden, kv, mlp = model.hidden_dim, model.kv_dim, model.mlp_dim
    return {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (hidden, hidden),
        "self_attn.k_proj.weight": (kv, hidden),
        "self_attn.v_proj.weight": (kv, hidden),
        "self_attn.o_proj.weight": (hidden, hidden),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (mlp, hidden),
        "mlp.up_proj.weight": (mlp, hidden),
        "mlp.down_proj.weight": (hidden, mlp),
    }


def block_matrices(model: ModelConfig) -> list[Shape]:
    """The shapes of the matrices of one block: what Muon trains, and what every token is multiplied by."""
    return [shape for shape in block_shapes(model).values() if len(shape) == 2]


def outer_shapes(model: ModelConfig) -> dict[str, Shape]:
    """The weights outside of the blocks; without an output layer where it shares the embedding's weights."""
    table = (model.vocab_size, model.hidden_dim)
    shapes: dict[str, Shape] = {EMBEDDING: table, FINAL_NORM: (model.hidden_dim,)}
    return shapes if model.tie_embeddings else {**shapes, OUTPUT: table}


def weight_shapes(model: ModelConfig) -> dict[str, Shape]:
    """All weights by their canonical names, those of Hugging Face's Llama, in the order of the forward pass."""
    outer, block = outer_shapes(model), block_shapes(model)
    layers = range(model.num_layers)
    blocks = {f"model.layers.{layer}.{name}": shape for layer in layers for name, shape in block.items()}
    return {EMBEDDING: outer.pop(EMBEDDING), **blocks, **outer}


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by part. `attention`, `mlp` and `norms` are totals over all blocks (and the final norm)."""

    total: int
    embedding: int
    attention: int
    mlp: int
    norms: int
    output: int  # 0 when the output layer shares the embedding's weights
    per_block: int
    matrices: int  # in the matrices inside the blocks: what Muon trains


def count_parameters(model: ModelConfig) -> ParameterCount:
    """Count the parameters of a model: V·d + L·(2d² + 2·d·d_kv + 3·d·ff + 2d) + d when embeddings are tied.

    V is vocab_size, d hidden_dim, d_kv the width of all key/value heads together, ff mlp_dim, L num_layers.
    """
    outer = {name: prod(shape) for name, shape in outer_shapes(model).items()}
    block = {name: prod(shape) for name, shape in block_shapes(model).items()}
    layers, per_block = model.num_layers, sum(block.values())
    attention = sum(count for name, count in block.items() if name.startswith("self_attn."))
    mlp = sum(count for name, count in block.items() if name.startswith("mlp."))
    return ParameterCount(
        total=sum(outer.values()) + layers * per_block,
        embedding=outer[EMBEDDING],
        attention=layers * attention,
        mlp=layers * mlp,
        norms=layers * (per_block - attention - mlp) + outer[FINAL_NORM],
        output=outer.get(OUTPUT, 0),
        per_block=per_block,
        matrices=layers * (attention + mlp),
    )
