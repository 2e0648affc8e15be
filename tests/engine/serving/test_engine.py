"""What a text becomes does not depend on the others in the batch, nor on when it joins."""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.model.test_decoding import needs_compiler
from tests.engine.model.test_huggingface import small
from trickster_engine.backends.torch.kernels.library import load_kernels
from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.make_tokenizer import byte_tokenizer, with_end
from trickster_engine.inference import decoding
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, encode_prompt, sample
from trickster_engine.model.llama import Llama
from trickster_engine.serving.api_error import ApiError
from trickster_engine.serving.continuation import Continuation, Piece
from trickster_engine.serving.engine import Engine, Job
from trickster_engine.serving.metrics import Metrics
from trickster_engine.serving.requests import Prompt

pytestmark = pytest.mark.xdist_group("serve")
Heard = queue.SimpleQueue[tuple[int, Piece | ApiError]]


def hear(heard: Heard, number: int, _: int, piece: Piece | ApiError) -> None:
    heard.put((number, piece))


@pytest.mark.parametrize("way", [pytest.param("kernel", marks=needs_compiler), "torch"])
def test_a_text_is_the_same_alone_and_among_31_others(run: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Other lengths, other chances; past the context too, where the window slides as it does in `trickster sample`."""
    kernels = load_kernels(lambda _: None) if way == "kernel" else None
    monkeypatch.setattr(decoding, "kernels_at_hand", lambda: kernels)
    model, tokenizer, _ = load_model(run)
    options = [
        SamplingOptions(
            20 + 7 * (seed % 11), (0.0, 0.7, 1.0)[seed % 3], 0 if seed % 4 else 5, (1, 0.9)[seed % 2], seed=seed
        )
        for seed in range(32)
    ]
    prompts = ["ROMEO:\nWhat say you " * (1 + seed % 5) for seed in range(32)]
    wanted = [sample(model, tokenizer, prompt, one) for prompt, one in zip(prompts, options, strict=True)]
    texts = [
        Continuation(Prompt(encode_prompt(tokenizer, prompt), prompt, 0), one, one.max_new_tokens, (), tokenizer, 64)
        for prompt, one in zip(prompts, options, strict=True)
    ]
    heard: Heard = queue.SimpleQueue()
    engine = Engine(model, tokenizer.vocab_size, 12, Metrics())
    engine.start()
    got = [""] * 32
    for number, text in enumerate(texts):
        engine.submit(Job([text], partial(hear, heard, number), number % 2 == 0))
    finished = 0
    while finished < 32:
        number, piece = heard.get(timeout=60)
        assert isinstance(piece, Piece)
        got[number] += piece.text
        finished += piece.finish == "length"
    engine.close()
    assert got == wanted


def test_a_document_ends_where_its_last_token_is_drawn() -> None:
    tokenizer = with_end(byte_tokenizer())
    assert tokenizer.end_id is not None
    shape: dict[str, Any] = {
        "hidden_dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "num_kv_heads": 2,
        "mlp_dim": 32,
        "max_seq_len": 32,
    }
    config = ModelConfig(vocab_size=tokenizer.vocab_size, dropout=0.0, **shape)
    model = Llama(config).initialize(3)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(8)
    options = SamplingOptions(max_new_tokens=2000, temperature=1.0)
    written = ((seed, sample(model, tokenizer, "a", replace(options, seed=seed))) for seed in range(100))
    wanted = next((seed, text) for seed, text in written if 5 < len(text) < 1000)
    heard: Heard = queue.SimpleQueue()
    engine = Engine(model, tokenizer.vocab_size, 2, Metrics())
    engine.start()
    prompt = Prompt(encode_prompt(tokenizer, "a"), "a", 1)
    text = Continuation(prompt, replace(options, seed=wanted[0]), 2000, (), tokenizer, 32, logprobs=0)
    engine.submit(Job([text], partial(hear, heard, 0), in_pieces=False))
    _, piece = heard.get(timeout=60)
    engine.close()
    assert isinstance(piece, Piece)
    assert (piece.text, piece.finish) == (wanted[1], "stop")
    assert len(piece.chances) == text.count


def test_what_the_model_cannot_do_is_said_and_others_go_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer, _ = load_model(run)
    heard: Heard = queue.SimpleQueue()
    engine = Engine(model, tokenizer.vocab_size, 2, Metrics())
    engine.start()

    def submit() -> None:
        text = Continuation(Prompt([65], "A", 0), SamplingOptions(seed=1), 3, (), tokenizer, 64)
        engine.submit(Job([text], partial(hear, heard, 0), in_pieces=False))

    def ask() -> Piece | ApiError:
        submit()
        return heard.get(timeout=60)[1]

    first = ask()
    kept = model.model.norm.weight.detach().clone()
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    refused = ask()
    with torch.no_grad():
        model.model.norm.weight.copy_(kept)
    assert isinstance(refused, ApiError) and refused.status == 500
    assert refused.body["error"]["code"] == "loss-not-finite"
    assert ask() == first
    assert engine.works
    # Where even giving a turn up fails, as after a fault of a GPU, the thread ends: everybody who waits is told.
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: 1 / 0)
    monkeypatch.setattr(engine._batch, "step", lambda _: 1 / 0)
    with engine._changed:
        for _ in range(3):  # two join, one waits
            submit()
    heard_of = [heard.get(timeout=60)[1] for _ in range(3)]
    assert [one.status for one in heard_of if isinstance(one, ApiError)] == [500, 500, 503]
    assert not engine.works
    with pytest.raises(ApiError, match="failed"):
        submit()
    engine.close()
    with pytest.raises(ApiError):
        engine.submit(Job([], lambda *_: None, in_pieces=False))


def test_a_text_without_numbers_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_tokenizer()
    model = Llama(small(max_seq_len=32)).initialize(1).eval().requires_grad_(False)
    prompts = [b"A", b"B", b"C"]

    def texts(wanted: list[bytes]) -> dict[bytes, Piece | ApiError]:
        heard: Heard = queue.SimpleQueue()
        engine = Engine(model, tokenizer.vocab_size, 3, Metrics())
        step = engine._batch.step

        def spoilt(tokens: list[int]) -> torch.Tensor:
            logits = step(tokens)
            logits[[token == ord("B") for token in tokens]] = torch.nan
            return logits

        monkeypatch.setattr(engine._batch, "step", spoilt)
        options = SamplingOptions(8, 0.0)
        for number, prompt in enumerate(wanted):
            text = Continuation(Prompt([*prompt], prompt.decode(), 0), options, 8, (), tokenizer, 32)
            engine.submit(Job([text], partial(hear, heard, number), in_pieces=False))
        engine.start()  # now that all of them wait, they join together
        got = dict(heard.get(timeout=60) for _ in wanted)
        engine.close()
        return {wanted[number]: piece for number, piece in got.items()}

    together = texts(prompts)
    refused = together.pop(b"B")
    assert isinstance(refused, ApiError) and refused.body["error"]["code"] == "loss-not-finite"
    assert together == {prompt: texts([prompt])[prompt] for prompt in (b"A", b"C")}
