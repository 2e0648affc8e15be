"""Generating text: the cache changes nothing but the time, options do what they say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from tests.refusals import refused
from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.make_tokenizer import byte_tokenizer, char_tokenizer
from trickster_engine.inference.sampling import (
    SamplingOptions,
    choose,
    generate,
    sample,
    sample_batch,
    shaped_probabilities,
    stream,
)
from trickster_engine.model.llama import Llama

CONFIG = ModelConfig(
    vocab_size=256, hidden_dim=32, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=64, max_seq_len=48, dropout=0.1
)


@pytest.fixture(scope="module")
def model() -> Llama:
    # Sharper than fresh weights, so that the choice of the likeliest token does not hang on the last bit.
    model = Llama(CONFIG).initialize(2)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(8)
    return model


def tokens(model: Llama, prompts: list[list[int]], options: SamplingOptions, use_cache: bool = True) -> list[list[int]]:
    return [ids.tolist() for ids in generate(model, prompts, options, use_cache=use_cache)]


@pytest.mark.parametrize("temperature", [0, 0.8])
@pytest.mark.parametrize("prompt_length", [1, 6, 47, 48, 130])
def test_the_cache_gives_the_same_text_also_past_the_window(
    model: Llama, temperature: float, prompt_length: int
) -> None:
    prompt = [list(itertools.islice(itertools.cycle(b"ROMEO:"), prompt_length))]
    options = SamplingOptions(max_new_tokens=150, temperature=temperature, seed=5)
    cached = tokens(model, prompt, options)
    assert cached == tokens(model, prompt, options, use_cache=False)
    assert len(cached) == 150


def test_the_same_seed_gives_the_same_text_and_another_seed_another(model: Llama) -> None:
    tokenizer = byte_tokenizer()
    first = sample(model, tokenizer, "KING:", SamplingOptions(seed=1))
    assert first == sample(model, tokenizer, "KING:", SamplingOptions(seed=1))
    assert first != sample(model, tokenizer, "KING:", SamplingOptions(seed=2))


def test_sampling_leaves_the_model_and_the_random_state_of_training_alone(model: Llama) -> None:
    model.train()
    before = torch.get_rng_state()
    sample(model, byte_tokenizer(), "KING:", SamplingOptions(max_new_tokens=5))
    assert model.training
    assert torch.equal(before, torch.get_rng_state())


def test_streaming_gives_the_same_text_in_pieces(model: Llama) -> None:
    tokenizer, options = byte_tokenizer(), SamplingOptions(max_new_tokens=80, temperature=1.5)
    pieces = list(stream(model, tokenizer, "GHOST:", options))
    assert len(pieces) > 1
    assert "".join(pieces) == sample(model, tokenizer, "GHOST:", options)


def test_a_batch_of_prompts_of_different_lengths(model: Llama) -> None:
    tokenizer, options = byte_tokenizer(), SamplingOptions(max_new_tokens=20, temperature=0)
    prompts = ["ROMEO:", "KING:", "GHOST:"]
    together = sample_batch(model, tokenizer, prompts, options)
    assert together == [sample(model, tokenizer, prompt, options) for prompt in prompts]


def test_top_k_keeps_only_the_likeliest() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    kept = shaped_probabilities(logits, SamplingOptions(temperature=1.0, top_k=2))[0]
    assert torch.equal(kept > 0, torch.tensor([True, True, False, False]))
    assert kept.sum().item() == pytest.approx(1)


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    for top_p, expected in ((0.4, 1), (0.5, 1), (0.6, 2), (0.85, 3), (1.0, 4)):
        kept = shaped_probabilities(logits, SamplingOptions(temperature=1.0, top_p=top_p))[0]
        assert (kept > 0).sum().item() == expected, top_p
        assert kept.sum().item() == pytest.approx(1)


@pytest.mark.parametrize(
    "tiny", [SamplingOptions(temperature=1e-40), SamplingOptions(temperature=1e-300), SamplingOptions(top_p=1e-300)]
)
def test_options_below_what_32_bits_hold_take_the_likeliest(model: Llama, tiny: SamplingOptions) -> None:
    greedy = sample(model, byte_tokenizer(), "GHOST:", SamplingOptions(max_new_tokens=20, temperature=0))
    assert sample(model, byte_tokenizer(), "GHOST:", replace(tiny, max_new_tokens=20)) == greedy


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    wanted = torch.tensor([0.5, 0.3, 0.2, 0.0])
    rows = wanted.log().expand(20_000, 4)
    drawn = choose(rows, torch.zeros(20_000, 1), SamplingOptions(temperature=1.0), torch.Generator().manual_seed(4))
    shares = torch.bincount(drawn, minlength=4) / 20_000
    assert shares[3] == 0
    assert torch.allclose(shares, wanted, rtol=0, atol=0.015)  # more than four standard deviations


def test_a_repetition_penalty_keeps_the_model_from_its_rut(model: Llama) -> None:
    options = SamplingOptions(max_new_tokens=40, temperature=0)
    plain = tokens(model, [[65]], options)
    penalised = tokens(model, [[65]], replace(options, repetition_penalty=3.0))
    assert len({t[0] for t in penalised}) > len({t[0] for t in plain})


def test_generation_stops_when_asked(model: Llama) -> None:
    answers = iter([False, False, True])
    text = list(generate(model, [[65]], SamplingOptions(max_new_tokens=50), lambda: next(answers)))
    assert len(text) == 2


def test_only_the_tokenizers_own_tokens_are_written() -> None:
    tokenizer = char_tokenizer("abc")
    text = sample(Llama(CONFIG).initialize(0), tokenizer, "a", SamplingOptions(max_new_tokens=60, temperature=2.0))
    assert set(text) <= set("abc")
    assert len(text) == 60


def test_unknown_characters_are_named() -> None:
    with refused("prompt-unknown-characters", "ß"):
        sample(Llama(CONFIG), char_tokenizer("abc"), "aß", SamplingOptions())


def test_an_empty_prompt_is_refused(model: Llama) -> None:
    with refused("prompt-empty"):
        sample(model, byte_tokenizer(), "", SamplingOptions())
