"""One token at a time in NumPy gives what the model gives, from the same memory."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.engine.model.test_huggingface import SHAPES, small
from trickster_engine.config.plan import ModelConfig
from trickster_engine.inference.decoding import _OneToken, token_reader
from trickster_engine.model.llama import KeyValueCache, Llama


def sharp(config: ModelConfig, seed: int = 3) -> Llama:
    """Random weights that give logits of the size that trained ones give, and norms that are not all one."""
    model = Llama(config).initialize(seed).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.copy_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
        else:
            parameter.mul_(4)
    return model


def cache_for(model: Llama, rows: int = 1) -> KeyValueCache:
    return KeyValueCache(model.config, rows, model.device, model.model.embed_tokens.weight.dtype)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("prompt_length", [1, 9])
def test_every_token_of_a_window_gets_the_models_logits(kind: str, prompt_length: int) -> None:
    model = sharp(small(**SHAPES[kind], max_seq_len=96))
    text = torch.randint(0, 256, (1, 96), generator=torch.Generator().manual_seed(0))
    expected = model(text)[0]
    assert expected.abs().max() > 1
    read = token_reader(model, cache_for(model))
    assert torch.allclose(read(text[:, :prompt_length])[0], expected[prompt_length - 1], rtol=0, atol=1e-4)
    for position in range(prompt_length, 96):
        logits = read(text[:, position : position + 1])
        assert logits.shape == (1, 256)
        assert torch.allclose(logits[0], expected[position], rtol=0, atol=1e-4), position


def test_both_ways_go_on_from_each_others_cache() -> None:
    model = sharp(small(num_kv_heads=2))
    text = torch.randint(0, 256, (1, 40), generator=torch.Generator().manual_seed(1))
    cache = cache_for(model)
    read_one = _OneToken(model, cache)
    for position in range(40):
        token = text[:, position : position + 1]
        logits = read_one(int(token)) if position % 2 else model(token, cache)[:, -1]
    assert cache.length == 40
    assert torch.allclose(logits, model(text)[:, -1], rtol=0, atol=1e-4)


def test_a_change_of_the_weights_is_seen() -> None:
    model = sharp(small())
    cache = cache_for(model)
    read = token_reader(model, cache)
    before = read(torch.tensor([[65]]))
    for parameter in model.parameters():
        parameter.mul_(1.5)
    cache.length = 0
    after = read(torch.tensor([[65]]))
    assert not torch.allclose(before, after, atol=1e-2)
    assert torch.allclose(after, model(torch.tensor([[65]]))[:, -1], rtol=0, atol=1e-4)


def test_gates_far_from_zero_give_numbers_and_no_warning() -> None:
    model = sharp(small())
    for name, weight in model.named_parameters():
        if "gate_proj" in name:
            weight.mul_(2000)
    token = torch.tensor([[65]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits = token_reader(model, cache_for(model))(token)
    expected = model(token)[:, -1]
    assert expected.isfinite().all()
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_several_texts_and_other_number_types_are_left_to_the_model() -> None:
    model = sharp(small())
    text = torch.randint(0, 256, (3, 12), generator=torch.Generator().manual_seed(2))
    read = token_reader(model, cache_for(model, 3))
    read(text[:, :-1])
    assert torch.allclose(read(text[:, -1:]), model(text)[:, -1], rtol=0, atol=1e-4)

    rounded = sharp(small()).bfloat16()
    read = token_reader(rounded, cache_for(rounded))
    read(text[:1, :-1])
    logits = read(text[:1, -1:])
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, rounded(text[:1])[:, -1].float(), rtol=0.1, atol=0.3)
