"""How many parameters a model has, by part."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trickster_engine.config.plan import ModelConfig


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

    def as_json(self) -> dict[str, int]:
        """Return the counts as plain JSON."""
        return asdict(self)


def count_parameters(model: ModelConfig) -> ParameterCount:
    """Count the parameters of a model: V·d + L·(2d² + 2·d·d_kv + 3·d·ff + 2d) + d when embeddings are tied.

    V is vocab_size, d hidden_dim, d_kv the width of all key/value heads together, ff mlp_dim, L num_layers.
    """
    width = model.hidden_dim
    kv_width = model.num_kv_heads * model.head_dim
    attention = 2 * width * width + 2 * width * kv_width  # queries and output; keys and values
    mlp = 3 * width * model.mlp_dim  # gate, up, down
    norms = 2 * width
    embedding = model.vocab_size * width
    output = 0 if model.tie_embeddings else embedding
    layers = model.num_layers
    return ParameterCount(
        total=embedding + output + layers * (attention + mlp + norms) + width,
        embedding=embedding,
        attention=layers * attention,
        mlp=layers * mlp,
        norms=layers * norms + width,
        output=output,
        per_block=attention + mlp + norms,
        matrices=layers * (attention + mlp),
    )
