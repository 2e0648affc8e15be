"""Completions while typing: the text that greedy decoding gives, whatever was typed before, and what it saves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import LlamaForCausalLM

from tests.engine.conftest import dialogue
from tests.engine.model.test_huggingface import small, trained
from trickster_engine.cli import main
from trickster_engine.data.baselines import best_order
from trickster_engine.data.kneser_ney import predict
from trickster_engine.data.make_tokenizer import byte_tokenizer, char_tokenizer, train_bpe, with_end
from trickster_engine.data.ngram_model import NgramModel
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.keys_saved import type_again
from trickster_engine.inference import completion
from trickster_engine.inference.completion import Completer, Rules, offered
from trickster_engine.inference.decoding import rounded, token_reader
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import KeyValueCache, Llama

Config = Callable[..., Path]

TEXT = dialogue(4000)
ALL = Rules(confidence=0.0, most_tokens=12, one_line=False)


@pytest.fixture(scope="module")
def model() -> Llama:
    return trained(small(max_seq_len=64)).eval().requires_grad_(False)


def test_a_completion_is_what_transformers_writes(model: Llama, tmp_path: Path) -> None:
    config = model.config
    weights = rounded(model).state_dict()  # what is read for a key is in bfloat16
    write_model(tmp_path, config, {name: value.numpy() for name, value in weights.items()})
    theirs = LlamaForCausalLM.from_pretrained(tmp_path)
    completer = Completer(model, byte_tokenizer())
    for before in ("R", "ROMEO: wherefore", TEXT[:40], TEXT[100:140]):
        ids = torch.tensor([list(before.encode())])
        written = theirs.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert completer.complete(before, ALL) == bytes(written.tolist()).decode("utf-8", "ignore")


@pytest.mark.parametrize("kind", ["byte", "char", "bpe"])
def test_what_was_typed_before_changes_nothing(model: Llama, kind: str) -> None:
    tokenizer: Tokenizer = {
        "byte": byte_tokenizer,
        "char": lambda: char_tokenizer(set(TEXT)),
        "bpe": lambda: train_bpe([TEXT], 256 + 40),
    }[kind]()
    shaped = model if kind == "byte" else trained_with(tokenizer)
    completer = Completer(shaped, tokenizer)
    at = [3, 4, 5, 30, 31, 29, 300, 301, 302, 200, 201, 700, 703, 2500, 2501, 2502, 10]
    for end in at:
        assert completer.complete(TEXT[:end], ALL) == Completer(shaped, tokenizer).complete(TEXT[:end], ALL), end


def trained_with(tokenizer: Tokenizer) -> Llama:
    """A model whose rows are a tokenizer's; what it says matters less here than that it says the same again."""
    torch.manual_seed(1)
    llama = Llama(small(max_seq_len=64, vocab_size=tokenizer.vocab_size)).initialize(1).eval().requires_grad_(False)
    for parameter in llama.parameters():
        if parameter.ndim > 1:
            parameter.mul_(4)
    return llama


def test_a_key_costs_only_what_is_new(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counting(model: Llama, cache: KeyValueCache, *, in_bf16: bool) -> Callable[[Tensor], Tensor]:
        reader = token_reader(model, cache, in_bf16=in_bf16)

        def reads(tokens: Tensor) -> Tensor:
            read.append(tokens.numel())
            return reader(tokens)

        return reads

    monkeypatch.setattr(completion, "token_reader", counting)
    completer = Completer(model, byte_tokenizer())
    offer = completer.complete(TEXT[:40], ALL)
    assert read[0] == 40
    read.clear()
    typed = TEXT[:40] + offer[0]
    along = completer.complete(typed, ALL)  # typed along: what was computed for the offer serves again
    assert sum(read) <= 2
    assert along == Completer(model, byte_tokenizer()).complete(typed, ALL)
    read.clear()
    completer.complete(TEXT[:39], ALL)  # taken back: its last logits were never looked at
    completer.complete(typed, ALL)
    read.clear()
    completer.complete(TEXT[:40] + "#", ALL)  # something else: that key, and what follows it
    assert sum(read) <= ALL.most_tokens
    read.clear()
    completer.complete(TEXT[:40] + offer, Rules(confidence=1.1, most_tokens=8))
    assert sum(read) <= 1 + len(offer.encode())


def test_only_the_beginning_of_a_text_begins_a_document() -> None:
    """Long texts come cut; the middle of one is completed as what it is, whatever the context takes."""
    tokenizer = with_end(byte_tokenizer())
    model = Llama(small(max_seq_len=64, vocab_size=257)).initialize(4).eval().requires_grad_(False)
    completer = Completer(model, tokenizer)
    for from_beginning in (True, False):
        completer.complete("To be", ALL, from_beginning=from_beginning)
        assert completer._held[:2] == ([tokenizer.begin_id, ord("T")] if from_beginning else [*b"To"])


def test_a_begun_subword_is_completed_to_a_longer_one() -> None:
    """Of `th` typed, the model was never asked: it knows the token ` the`, and ` th` alone hardly occurs."""
    tokenizer = train_bpe(["the other theme then there " * 200], 256 + 12)
    whole = int(tokenizer.encode(" the")[-1])
    assert len(tokenizer.encode("other the")) < len(tokenizer.encode("other th")) + 2
    llama = trained_with(tokenizer)
    completer = Completer(llama, tokenizer)
    ids, text = tokenizer.encode("other the"), "other the"
    begun = tokenizer.token_bytes[int(ids[-1])]
    assert begun and text.encode().endswith(begun)
    allowed = completer._beginning_with(begun)
    assert allowed[int(ids[-1])] == 1
    for token, piece in enumerate(tokenizer.token_bytes):
        assert bool(allowed[token]) == piece.startswith(begun)
    assert completer._beginning_with(tokenizer.token_bytes[whole])[whole] == 1


def test_characters_that_a_model_does_not_know_end_what_it_reads() -> None:
    tokenizer = char_tokenizer(set(TEXT))
    completer = Completer(trained_with(tokenizer), tokenizer)
    assert completer.complete("ROMEO: 漢" + TEXT[:20], ALL) == completer.complete(TEXT[:20], ALL)
    assert completer.complete("漢", ALL) == ""
    assert completer.complete("", ALL) == ""


def test_an_offer_ends_with_the_belief_with_the_line_and_inside_no_character() -> None:
    def pieces(text: str | bytes, probability: float = 0.9) -> list[tuple[bytes, float]]:
        return [(bytes([byte]), probability) for byte in (text.encode() if isinstance(text, str) else text)]

    assert offered(pieces("abcdefgh"), Rules(confidence=0.7)) == "abc"  # 0.9^3 = 0.729, 0.9^4 = 0.656
    assert offered(pieces("ab\r\ncd"), Rules(confidence=0)) == "ab"
    assert offered(pieces("ab\ncd"), Rules(confidence=0, one_line=False)) == "ab\ncd"
    assert offered(pieces("ab\u00e9"[:2].encode() + b"\xc3"), Rules(confidence=0)) == "ab"
    assert offered(pieces(b"ab\xff\xffcd"), Rules(confidence=0)) == "ab"
    assert offered(pieces("a"), Rules(confidence=0)) == ""
    assert offered(((b"x", 1.0) for _ in count()), Rules(confidence=0, most_tokens=5)) == "xxxxx"


def test_keys_are_counted_as_a_typist_presses_them() -> None:
    text = "the cat sat on the mat"
    # A word known by its first letter: t|he, then a space to type; " cat" is never offered.
    offers = {"t": "he", "the cat sat on ": "the mat", "the c": "at dog"}
    saved = type_again(text, lambda before: offers.get(before, ""))
    # t, "he" at once, " ", c, "at" as the word of an offer that goes on wrongly, " sat on " in eight, "the mat" at once
    assert saved.keys == 1 + 1 + 1 + 1 + 1 + 8 + 1
    assert (saved.characters, saved.offers, saved.right) == (len(text), 3, 3)
    assert saved.share == pytest.approx(1 - 14 / 22)
    assert type_again(text, lambda _: "").share == 0.0
    whole = type_again(text, lambda before: text[len(before) :], begin=4)
    assert (whole.characters, whole.keys) == (18, 1)
    wrong = type_again(text, lambda _: "zz")
    assert (wrong.keys, wrong.right, wrong.offers) == (22, 0, 22)


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=2, max_size=400), st.binary(min_size=2, max_size=60), st.integers(1, 8))
def test_counts_in_memory_predict_what_the_streamed_ones_do(train: bytes, text: bytes, order: int) -> None:
    tokens = np.frombuffer(train, dtype=np.uint8)
    read = np.frombuffer(text, dtype=np.uint8)
    *_, expected = islice(predict(lambda: [tokens], read, 256), order)
    ngrams = NgramModel(tokens, order)
    for place in range(1, len(text)):
        believed = ngrams.probabilities(text[:place])
        assert believed.sum() == pytest.approx(1)
        assert -np.log(believed[text[place]]) == pytest.approx(expected.losses[place - 1])


def test_a_run_says_how_many_keys_it_saves(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config(training_config={"max_steps": 40, "eval_interval": 40, "save_interval": 40})
    assert main(["train", str(path)]) == 0
    run = path.parent / "runs" / "tiny-001"
    capsys.readouterr()
    assert main(["evaluate", str(run), "--characters", "300", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["characters"] == 300
    for name in ("model", "ngram"):
        assert found[name]["share"] == pytest.approx(1 - found[name]["keys"] / 300)
    assert found["ngram"]["share"] > 0.1  # a dialogue that repeats itself
    own = path.parent / "own.txt"
    own.write_text(TEXT[:1500], encoding="utf-8")
    assert main(["evaluate", str(run), "--typing", str(own), "--confidence", "1"]) == 0
    said = capsys.readouterr().out
    assert "without completion" in said and f"{found['ngram_order']}-gram over bytes" in said
    assert main(["evaluate", str(run), "--typing", str(path.parent)]) == 1
    assert "error:" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", str(run), "--characters", "0"])
    assert best_order(np.frombuffer(TEXT.encode(), np.uint8), 256) >= 3
