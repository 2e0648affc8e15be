"""The parameter estimate is the model's own count, for any shape."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import count_parameters
from trickster_engine.model.llama import Llama


@st.composite
def shapes(draw: st.DrawFn) -> ModelConfig:
    num_kv_heads = draw(st.integers(1, 8))
    num_heads = num_kv_heads * draw(st.integers(1, 6))
    return ModelConfig(
        vocab_size=draw(st.integers(2, 40_000)),
        hidden_dim=num_heads * 2 * draw(st.integers(1, 64)),
        num_layers=draw(st.integers(1, 12)),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        mlp_dim=draw(st.integers(1, 4096)),
        max_seq_len=draw(st.integers(1, 256)),
        tie_embeddings=draw(st.booleans()),
    )


@settings(max_examples=250, deadline=None)
@given(shapes())
def test_the_estimate_is_the_models_own_count(config: ModelConfig) -> None:
    with torch.device("meta"):  # shapes without memory
        model = Llama(config)
    count = count_parameters(config)
    assert count.total == sum(parameter.numel() for parameter in model.parameters())
    assert count.embedding == model.model.embed_tokens.weight.numel()
    assert count.attention == sum(p.numel() for n, p in model.named_parameters() if ".self_attn." in n)
    assert count.mlp == sum(p.numel() for n, p in model.named_parameters() if ".mlp." in n)
    assert count.norms == sum(p.numel() for n, p in model.named_parameters() if "norm" in n)
