"""One token at a time, by the compiled kernel or in NumPy, gives what the model gives, from the same memory."""

from __future__ import annotations

import shutil
import sys
import warnings

import pytest
import torch

from tests.engine.model.test_huggingface import SHAPES, small
from trickster_engine.backends.torch.kernels.library import Kernels, load_kernels
from trickster_engine.config.plan import ModelConfig
from trickster_engine.inference import decoding
from trickster_engine.inference.compiled_decoding import CompiledReader
from trickster_engine.inference.decoding import rounded, token_reader
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


needs_compiler = pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="no g++ on Linux")


@pytest.fixture(params=[pytest.param("compiled", marks=needs_compiler), "numpy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two ways reads a single token."""
    kernels = load_kernels(lambda _: None) if request.param == "compiled" else None
    monkeypatch.setattr(decoding, "kernels_at_hand", lambda: kernels)
    return str(request.param)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("prompt_length", [1, 9])
def test_every_token_of_a_window_gets_the_models_logits(kind: str, prompt_length: int, way: str) -> None:
    model = sharp(small(**SHAPES[kind], max_seq_len=96))
    text = torch.randint(0, 256, (1, 96), generator=torch.Generator().manual_seed(0))
    expected = model(text)[0]
    assert expected.abs().max() > 1
    cache = cache_for(model)
    assert (decoding.compiled_reader(model, cache) is not None) == (way == "compiled")
    read = token_reader(model, cache)
    assert torch.allclose(read(text[:, :prompt_length])[0], expected[prompt_length - 1], rtol=0, atol=1e-4)
    for position in range(prompt_length, 96):
        logits = read(text[:, position : position + 1])
        assert logits.shape == (1, 256)
        assert torch.allclose(logits[0], expected[position], rtol=0, atol=1e-4), position


def test_both_ways_go_on_from_each_others_cache(way: str) -> None:
    model = sharp(small(num_kv_heads=2))
    text = torch.randint(0, 256, (1, 40), generator=torch.Generator().manual_seed(1))
    cache = cache_for(model)
    read = token_reader(model, cache)
    for position in range(40):
        token = text[:, position : position + 1]
        logits = read(token) if position % 2 else model(token, cache)[:, -1]
    assert cache.length == 40
    assert torch.allclose(logits, model(text)[:, -1], rtol=0, atol=1e-4)


@needs_compiler
@pytest.mark.parametrize("kind", SHAPES)
def test_read_in_bf16_a_rounded_model_gives_its_own_logits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = load_kernels(lambda _: None)
    monkeypatch.setattr(decoding, "kernels_at_hand", lambda: kernels)
    given = sharp(small(**SHAPES[kind]))
    model = rounded(given)
    text = torch.randint(0, 256, (1, 40), generator=torch.Generator().manual_seed(5))
    reader = decoding.compiled_reader(model, cache_for(model), in_bf16=True)
    assert reader is not None
    for position, token in enumerate(text[0]):
        logits = reader([int(token)], [position])
    assert torch.allclose(logits, model(text)[:, -1], rtol=0, atol=1e-4)
    assert not torch.equal(model(text), given(text)), "the model given has kept its own weights"


@needs_compiler
@pytest.mark.parametrize("kind", SHAPES)
def test_in_fp64_the_kernel_gives_the_models_digits(kind: str) -> None:
    """For several texts of different lengths too, and to the last bit what it gives for one alone."""
    model = sharp(small(**SHAPES[kind])).double()
    texts = torch.randint(0, 256, (3, 40), generator=torch.Generator().manual_seed(4))
    lengths = [40, 9, 23]
    kernels = load_kernels(lambda _: None, with_fp64=True)
    cache, alone = cache_for(model, 3), cache_for(model)
    together, one = CompiledReader(kernels, model, cache.store), CompiledReader(kernels, model, alone.store)
    for position in range(40):
        here = [min(position, length - 1) for length in lengths]  # a text that is over reads its last token again
        logits = together([int(texts[row, place]) for row, place in enumerate(here)], here)
        assert torch.equal(logits[1:2], one([int(texts[1, here[1]])], [here[1]]))
    for row, length in enumerate(lengths):
        expected = model(texts[row : row + 1, :length])[0, -1]
        assert torch.allclose(logits[row], expected, rtol=0, atol=1e-11 * float(expected.abs().max())), row


@needs_compiler
@pytest.mark.parametrize("first", [0, 1])
def test_a_kernel_that_computes_something_else_is_not_used(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong everywhere, or only where a token has others to attend to."""
    kernels = load_kernels(lambda _: None)

    class Wrong(Kernels):
        def __init__(self) -> None: ...

        def __call__(self, name: str, dtype: torch.dtype, *arguments: torch.Tensor | int | float | None) -> None:
            kernels(name, dtype, *arguments)
            logits = arguments[-1]
            assert isinstance(logits, torch.Tensor)
            positions = arguments[-2]
            assert isinstance(positions, torch.Tensor)
            if int(positions[0]) >= first:
                logits[0, 7] += 0.01 * logits.norm()

    monkeypatch.setattr(decoding, "kernels_at_hand", Wrong)
    model = sharp(small())
    cache = cache_for(model)
    assert decoding.compiled_reader(model, cache) is None
    token = torch.tensor([[65]])
    assert torch.allclose(token_reader(model, cache)(token), model(token)[:, -1], rtol=0, atol=1e-4)


def test_a_change_of_the_weights_is_seen(way: str) -> None:
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


def test_gates_far_from_zero_give_numbers_and_no_warning(way: str) -> None:
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
