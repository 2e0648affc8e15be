"""Tokenizers made elsewhere: a stream of their tokens reads as the whole does, and both as the library says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.tokenizer import Tokenizer, TokenizerKind
from trickster_engine.inference.sampling import SamplingOptions, sample, sample_batch, stream
from trickster_engine.model.llama import Llama

TEXT = "the king and the lord are here , naïve café at €5 - “yes” 日本語 🙂 to be or not to be . " * 30


def byte_level() -> Library:
    """As GPT-2's: byte-level BPE with added tokens, one of them special."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(
        [TEXT], trainers.BpeTrainer(show_progress=False, vocab_size=300, initial_alphabet=alphabet)
    )
    library.add_special_tokens(["<|endoftext|>"])
    library.add_tokens(["lord ", "\n\n"])
    return library


def metaspace(scheme: str) -> Library:
    """As T5's: Unigram, with a visible space before each word."""
    library = Library(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    library.decoder = decoders.Metaspace(prepend_scheme=scheme)
    special = ["<unk>", "</s>"]
    library.train_from_iterator(
        [TEXT], trainers.UnigramTrainer(show_progress=False, vocab_size=120, special_tokens=special, unk_token="<unk>")
    )
    return library


def word_piece() -> Library:
    """As BERT's."""
    library = Library(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.train_from_iterator(
        [TEXT],
        trainers.WordPieceTrainer(show_progress=False, vocab_size=120, special_tokens=["[UNK]", "[CLS]", "[SEP]"]),
    )
    return library


def byte_fallback() -> Library:
    """As Llama 2's: BPE that spells rare characters in bytes."""
    library = Library(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    library.decoder = decoders.Sequence(steps)
    special = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    library.train_from_iterator(
        [TEXT[:60]], trainers.BpeTrainer(show_progress=False, vocab_size=290, special_tokens=special, limit_alphabet=20)
    )
    return library


def word_ends() -> Library:
    """As the first GPT's: the end of a word is part of its last token."""
    library = Library(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        show_progress=False, vocab_size=120, special_tokens=["<unk>"], end_of_word_suffix="</w>"
    )
    library.train_from_iterator([TEXT], trainer)
    return library


MAKERS: dict[str, Callable[[], Library]] = {
    "byte-level": byte_level,
    "metaspace": lambda: metaspace("always"),
    "metaspace-first": lambda: metaspace("first"),
    "metaspace-never": lambda: metaspace("never"),
    "word-piece": word_piece,
    "byte-fallback": byte_fallback,
    "word-ends": word_ends,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def foreign(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(MAKERS[request.param](), "other")


def _streamed(tokenizer: Tokenizer, ids: list[int], prompt: list[int]) -> str:
    decoder = tokenizer.stream_decoder(prompt)
    return "".join(decoder.feed(index) for index in ids) + decoder.finish()


def test_a_stream_of_any_ids_reads_as_the_whole(foreign: Tokenizer) -> None:
    chooser = random.Random(foreign.vocab_size)
    size = foreign.vocab_size + 2  # two that no token has
    for _ in range(300):
        ids = [chooser.randrange(size) for _ in range(chooser.randrange(30))]
        whole = foreign.library.decode(ids, skip_special_tokens=False)
        assert _streamed(foreign, ids, []) == foreign.decode(ids) == whole, ids
        prompt = [chooser.randrange(size) for _ in range(chooser.randrange(4))]
        assert _streamed(foreign, ids, prompt) == foreign.decode_after(prompt, ids), (prompt, ids)


def test_a_stream_of_text_cut_anywhere_reads_as_the_whole(foreign: Tokenizer) -> None:
    ids = foreign.encode(TEXT[:200]).tolist()
    whole = foreign.decode(ids)
    for cut in range(1, len(ids)):  # inside a character as well
        assert _streamed(foreign, ids[:cut], []) == foreign.decode(ids[:cut])
        if "\ufffd" not in foreign.decode(ids[:cut]):
            assert foreign.decode(ids[:cut]) + _streamed(foreign, ids[cut:], ids[:cut]) == whole


def test_pieces_come_as_soon_as_they_are_text(foreign: Tokenizer) -> None:
    decoder = foreign.stream_decoder()
    pieces = [decoder.feed(index) for index in foreign.encode("the king and the lord are here").tolist()]
    assert decoder.finish() == ""
    assert sum(1 for piece in pieces if piece) > 4


def test_a_piece_keeps_its_space() -> None:
    for name in ("metaspace", "word-piece", "byte-fallback"):
        tokenizer = Tokenizer(MAKERS[name](), "other")
        ids = tokenizer.encode("the king").tolist()
        assert "".join(map(tokenizer.piece, ids)) == " the king", name
        assert tokenizer.decode(ids) == "the king"


def test_a_decoder_that_takes_back_what_it_gave_still_ends_with_the_whole() -> None:
    library = Library(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    library.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("ab", "X")])
    tokenizer = Tokenizer(library, "other")
    decoder = tokenizer.stream_decoder()
    assert [decoder.feed(index) for index in (1, 0, 1, 1)] == ["b", "a", "", ""]
    assert decoder.finish() == "Xb"
    assert tokenizer.decode([1, 0, 1, 1]) == "bXb"  # of which "a" is told already


@pytest.mark.parametrize("kind", list(MAKERS))
def test_a_model_with_such_a_tokenizer_streams_what_it_samples(kind: str) -> None:
    named: TokenizerKind = "other"
    tokenizer = Tokenizer(MAKERS[kind](), named)
    config = ModelConfig(vocab_size=320, hidden_dim=16, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=16)
    model, options = Llama(config).initialize(3), SamplingOptions(max_new_tokens=60, temperature=1.5)
    text = sample(model, tokenizer, "the king", options)
    assert "".join(stream(model, tokenizer, "the king", options)) == text
    assert sample_batch(model, tokenizer, ["the king"], options) == [text]
    assert not any(mark in text for mark in ("Ġ", "Ċ", "▁", "</w>"))
