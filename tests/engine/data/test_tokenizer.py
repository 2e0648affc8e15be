"""Tokenizers: text survives them, short cuts agree with the library, and transformers opens what they save."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.refusals import refused
from trickster_engine.data.make_tokenizer import (
    byte_tokenizer,
    char_tokenizer,
    load_tokenizer,
    mapped_tokenizer,
    require_vocabulary,
    train_bpe,
)
from trickster_engine.data.tokenizer import Tokenizer, cut_safely, readable_alphabet
from trickster_engine.errors import TricksterError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# Text with what byte-level pre-tokenizers care about: runs of white space, contractions, digits, punctuation.
SPACED = st.text(st.sampled_from("  \n\n\t\r\u00a0\u2003\x1c\x85abé東🙂0123'.,—'s'll"), max_size=200)


@pytest.fixture(scope="module")
def bpe(prose: str) -> Tokenizer:
    """Trained on prose and on long runs of white space, which become tokens of their own."""
    return train_bpe(bpe_text(prose), 600)


def bpe_text(prose: str) -> list[str]:
    return [prose, "\n\n\n    x\n\n\n\n      y \u00a0\u00a0" * 300]


@pytest.fixture(params=["byte", "char", "bpe"])
def any_kind(request: pytest.FixtureRequest, prose: str, bpe: Tokenizer) -> Tokenizer:
    return {"byte": byte_tokenizer(), "char": char_tokenizer(prose), "bpe": bpe}[request.param]


def _library_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.library.encode(text, add_special_tokens=False).ids)


def test_byte_ids_are_byte_values() -> None:
    every = bytes(range(256))
    tokenizer = byte_tokenizer()
    assert tokenizer.vocab_size == 256
    assert tokenizer.token_bytes == [bytes([value]) for value in range(256)]
    assert tokenizer.encode("Aé").tolist() == [0x41, 0xC3, 0xA9]
    assert tokenizer.decode(list(every)) == every.decode("utf-8", "replace")


@given(text=TEXT)
def test_byte_round_trip_and_agreement_with_the_library(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64
    assert ids.tolist() == _library_ids(tokenizer, text)
    assert tokenizer.decode(ids) == text == tokenizer.library.decode(ids.tolist(), skip_special_tokens=False)


@given(text=TEXT)
def test_char_round_trip_and_agreement_with_the_library(text: str) -> None:
    tokenizer = char_tokenizer(text or "x")
    ids = tokenizer.encode(text)
    assert ids.tolist() == _library_ids(tokenizer, text) == [sorted(set(text)).index(character) for character in text]
    assert tokenizer.decode(ids) == text == tokenizer.library.decode(ids.tolist(), skip_special_tokens=False)


@given(text=st.one_of(TEXT, SPACED))
def test_bpe_round_trip_and_agreement_with_the_library(bpe: Tokenizer, text: str) -> None:
    ids = bpe.encode(text)
    assert ids.tolist() == _library_ids(bpe, text)
    assert bpe.decode(ids) == text == bpe.library.decode(ids.tolist(), skip_special_tokens=False)


@given(ids=st.lists(st.integers(0, 255)))
def test_decoding_any_bytes_agrees_with_the_library(ids: list[int]) -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(ids) == tokenizer.library.decode(ids, skip_special_tokens=False)


@given(data=st.data())
def test_decoding_any_bpe_ids_agrees_with_the_library(bpe: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, bpe.vocab_size - 1)))
    assert bpe.decode(ids) == bpe.library.decode(ids, skip_special_tokens=False)


@settings(max_examples=200)
@example(text="a\n\n\n\nb    c \n\n\n\nd", cuts=[], size=1)
@example(text="a\n\n\n\nb    c \n\n\n\nd", cuts=[2, 3, 9], size=3)
@given(text=SPACED, cuts=st.lists(st.integers(0, 200), max_size=6), size=st.integers(1, 40))
def test_a_stream_encodes_as_the_whole(bpe: Tokenizer, text: str, cuts: list[int], size: int) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(edges)]
    pieces = list(cut_safely(chunks, size))
    assert "".join(pieces) == text
    assert [index for piece in pieces for index in _library_ids(bpe, piece)] == _library_ids(bpe, text)
    blocks = list(bpe.encode_stream(chunks))
    assert [index for block in blocks for index in block.tolist()] == bpe.encode(text).tolist()
    assert "".join(bpe.decode_stream(blocks)) == text


def test_a_long_text_encodes_as_the_whole(bpe: Tokenizer, prose: str) -> None:
    long = prose * 3  # longer than the pieces that are encoded side by side
    assert bpe.encode(long).tolist() == _library_ids(bpe, long)


def test_cutting_never_gives_empty_or_needless_pieces() -> None:
    assert list(cut_safely([], 4)) == []
    assert list(cut_safely(["aa aa aa aa"], 4)) == ["aa", " aa", " aa", " aa"]
    assert list(cut_safely(["a" * 50], 4)) == ["a" * 50]


@given(text=TEXT)
def test_streaming_ids_one_at_a_time_gives_the_same_text(bpe: Tokenizer, text: str) -> None:
    for tokenizer in (byte_tokenizer(), bpe):
        ids = tokenizer.encode(text).tolist()
        decoder = tokenizer.stream_decoder()
        assert "".join(decoder.feed(index) for index in ids) + decoder.finish() == text


def test_a_character_appears_once_it_is_whole() -> None:
    decoder = byte_tokenizer().stream_decoder()
    assert [decoder.feed(value) for value in "é".encode() + b"\xe6"] == ["", "é", ""]
    assert decoder.finish() == "\ufffd"


def test_ids_without_a_token_are_shown_and_never_fail(any_kind: Tokenizer) -> None:
    beyond = any_kind.vocab_size + 5
    known = int(any_kind.encode("a")[0])
    assert any_kind.decode([known, beyond, known]) == "a\ufffda"
    assert any_kind.stream_decoder().feed(beyond) == "\ufffd"
    assert any_kind.decode([]) == ""


def test_saved_files_load_as_the_same_kind(any_kind: Tokenizer, prose: str, tmp_path: Path) -> None:
    any_kind.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.kind, loaded.vocab_size, loaded.digest) == (any_kind.kind, any_kind.vocab_size, any_kind.digest)
    assert loaded.encode(prose).tolist() == any_kind.encode(prose).tolist()


@pytest.mark.parametrize("with_model", [False, True])
def test_transformers_round_trips_the_corpus(any_kind: Tokenizer, prose: str, tmp_path: Path, with_model: bool) -> None:
    from transformers import AutoTokenizer

    any_kind.save(tmp_path)
    if with_model:  # beside a Llama's config.json, transformers must not put Llama's own rules in place of ours
        (tmp_path / "config.json").write_text(
            json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        )
    auto = AutoTokenizer.from_pretrained(tmp_path)
    for text in (prose, prose[:1], "  kind , sweet .\n\n the  queen's ", "the . ? ! 's don't"):
        if any_kind.unknown_characters(text):
            continue
        ids = auto(text)["input_ids"]
        assert ids == any_kind.encode(text).tolist()
        assert auto.decode(ids) == text
        assert auto.decode(ids, skip_special_tokens=True) == text
    assert len(auto) == any_kind.vocab_size


@settings(max_examples=40)
@given(SPACED, st.sampled_from("aé東0- \n"), st.integers(200, 900), SPACED)
@example("x'", "l", 600, "l")
def test_long_words_are_cut_alike_by_the_library_and_by_the_stream(
    bpe: Tokenizer, before: str, letter: str, count: int, after: str
) -> None:
    """A text without blanks is one word; no token runs over its 256th character, wherever the stream is cut."""
    text = before + letter * count + after
    ids = _library_ids(bpe, text)
    assert bpe.encode(text).tolist() == ids and bpe.decode(ids) == text
    pieces = list(cut_safely([text], 300, bpe._cut_in_word))
    assert "".join(pieces) == text
    assert [index for piece in pieces for index in _library_ids(bpe, piece)] == ids


def test_tokenizers_of_before_are_read_as_they_were(prose: str, tmp_path: Path) -> None:
    """Earlier ones cut no word. On ordinary text both have the same tokens, so runs go on with what they have."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, min_frequency=2, show_progress=False, initial_alphabet=alphabet)
    library.train_from_iterator([prose], trainer)
    library.save(str(tmp_path / "tokenizer.json"))
    old, new = load_tokenizer(tmp_path), train_bpe([prose], 600)
    assert (old.kind, old.digest) == (new.kind, new.digest) == ("bpe", new.digest)
    assert np.array_equal(old.encode(prose), new.encode(prose))
    new.save(tmp_path)
    assert load_tokenizer(tmp_path).kind == "bpe"


def test_transformers_round_trips_tiny_shakespeare(shakespeare: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for tokenizer in (byte_tokenizer(), char_tokenizer(shakespeare), train_bpe([shakespeare[:1_003_854]], 1024)):
        tokenizer.save(tmp_path / tokenizer.kind)
        auto = AutoTokenizer.from_pretrained(tmp_path / tokenizer.kind)
        ids = auto(shakespeare)["input_ids"]
        assert np.array_equal(ids, tokenizer.encode(shakespeare))
        assert auto.decode(ids) == shakespeare


def test_unknown_characters_are_named_once_and_in_order() -> None:
    tokenizer = char_tokenizer("abc \n")
    assert tokenizer.unknown_characters("a€b🙂€") == ["€", "🙂"]
    with pytest.raises(TricksterError) as caught:
        tokenizer.encode("a€b🙂€")
    assert caught.value.code == "unknown-characters"
    assert "'€' (U+20AC), '🙂' (U+1F642)" in caught.value.message
    assert r"\n" in caught.value.advice and "a b c" in caught.value.advice
    assert byte_tokenizer().unknown_characters("a€b🙂€") == []


@pytest.mark.parametrize("text", ["\ud800", "ab\udcffc"])
def test_half_a_character_is_an_error_in_words(any_kind: Tokenizer, text: str) -> None:
    with pytest.raises(TricksterError) as caught:
        any_kind.encode(text)
    assert caught.value.code == "not-text"


def test_readable_alphabet() -> None:
    assert readable_alphabet("abcdefz \n") == r"\n ' ' a-f z"


def test_bpe_is_the_same_in_every_process(prose: str, tmp_path: Path, bpe: Tokenizer) -> None:
    (tmp_path / "prose.txt").write_bytes("|".join(bpe_text(prose)).encode())
    script = (
        "import sys, pathlib\n"
        "from trickster_engine.data.make_tokenizer import train_bpe\n"
        "text = pathlib.Path(sys.argv[1]).read_bytes().decode()\n"
        "sys.stdout.buffer.write(train_bpe(text.split('|'), 600).files()['tokenizer.json'].encode())"
    )
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "prose.txt")],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.stdout.decode() == bpe.files()["tokenizer.json"]


def test_bpe_keeps_to_its_size_and_shortens_text(bpe: Tokenizer, prose: str) -> None:
    assert 256 < bpe.vocab_size <= 600
    assert len(bpe.encode(prose)) < len(prose.encode()) / 2
    assert train_bpe(["ab"], 600).vocab_size == 256  # nothing occurs twice
    with pytest.raises(TricksterError) as caught:
        train_bpe([prose], 255)
    assert caught.value.code == "vocabulary-too-small"


def test_the_models_vocabulary_has_to_hold_the_tokenizers() -> None:
    require_vocabulary(byte_tokenizer(), 256)
    with refused("vocabulary-too-small", "256"):
        require_vocabulary(byte_tokenizer(), 96)


def test_ids_of_ones_own() -> None:
    tokenizer = mapped_tokenizer({"b": 0, "a": 7, "<end>": 3})
    assert tokenizer.encode("ab").tolist() == [7, 0]
    assert tokenizer.decode([7, 0, 3, 1]) == "ab<end>\ufffd"
    assert tokenizer.vocab_size == 8


def test_someone_elses_tokenizer_is_used_as_it_is(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers

    library = Library(models.WordLevel({"to": 0, "be": 1, "?": 2}, unk_token="?"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path)
    assert loaded.kind == "other"
    assert loaded.encode("to be or").tolist() == [0, 1, 2]
    assert loaded.decode(np.array([0, 1])) == "to be"


@pytest.mark.parametrize("content", ["", "{", "{}", '{"model": 3}', "\udcff"])
def test_a_damaged_tokenizer_is_an_error_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(TricksterError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code == "tokenizer-damaged"


def test_a_missing_tokenizer_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(TricksterError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code == "tokenizer-missing"


def test_a_tokenizer_truncated_anywhere_never_loads_as_another(tmp_path: Path) -> None:
    byte_tokenizer().save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 3, 97):
        path.write_bytes(whole[:length])
        with refused("tokenizer-damaged"):
            load_tokenizer(tmp_path)
