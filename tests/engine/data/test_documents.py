"""Documents: read as they stand, never cut, on one side of the split only, and the same in shards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from tests.refusals import refused
from trickster_engine.config.check import check
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.plan import Plan
from trickster_engine.config.split import validation_size
from trickster_engine.data.description import read_description
from trickster_engine.data.documents import END_OF_TEXT, MARK, separated_documents
from trickster_engine.data.facts import kept_facts
from trickster_engine.data.findings import findings
from trickster_engine.data.index import text_recipe
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.prepare import Dataset, prepare
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.survey import text_facts

MakePlan = Callable[..., Plan]
SEPARATORS = ["\n", "\n\n", "--", "<|endoftext|>", "\n%\n"]
VOCABULARY = {"byte": 257, "char": 400, "bpe": 500}


def _as_divided(text: str, separator: str) -> list[str]:
    """What the documents are, said in one line."""
    return [part.strip("\r\n") for part in text.split(separator) if part.strip()]


def _chunks(text: str, sizes: list[int]) -> Iterator[str]:
    at = 0
    for size in sizes:
        yield text[at : at + size]
        at += size
    yield text[at:]


@example("a\n----------\nbbb", "\n----------\n", [8])
@given(st.text("ab \n\r-<%", max_size=60), st.sampled_from([*SEPARATORS, "aba"]), st.lists(st.integers(1, 9)))
def test_documents_do_not_depend_on_how_the_text_comes(text: str, separator: str, sizes: list[int]) -> None:
    found = "".join(separated_documents(_chunks(text, sizes), separator))
    assert found == "".join(document + MARK for document in _as_divided(text, separator))


def _documents(count: int, seed: int = 3) -> list[str]:
    """Documents of many lengths, some of them the same, with dashes and what the end is called in them."""
    chooser = random.Random(seed)
    words = ["the", "king", "Ünder", "-----", "\u6771\u4eac", "a-b", "e\u0301", "x" * 40, "<|end", "1,234"]
    some = [" ".join(chooser.choices(words, k=chooser.randint(1, 60))) for _ in range(count)]
    return [chooser.choice(some[:20]) if chooser.random() < 0.1 else one for one in some]


def _tokens_by_document(dataset: Dataset, tokens: object) -> list[list[int]]:
    ids = np.asarray(tokens[:], dtype=np.int64)  # type: ignore[index]
    end = dataset.tokenizer.end_id
    assert ids[-1] == end, "the last document ends as well"
    ends = np.flatnonzero(ids == end)
    return [part.tolist() for part in np.split(ids, ends + 1)[:-1]]


def _texts(dataset: Dataset, tokens: object) -> list[str]:
    return [dataset.tokenizer.decode(ids[:-1]) for ids in _tokens_by_document(dataset, tokens)]


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
@pytest.mark.parametrize("large", [False, True])
def test_every_document_is_whole_on_one_side(
    tmp_path: Path, plan_for: MakePlan, monkeypatch: pytest.MonkeyPatch, tokenizer: str, large: bool
) -> None:
    if large:  # the worker processes are real
        monkeypatch.setattr(prepare_shards, "LARGE_BYTES", 10_000)
        monkeypatch.setattr(prepare_shards, "SHARD_BYTES", 10_000)
    written = _documents(600)
    half = len(written) // 2
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes("\n---\n".join(written[:half]).encode())
    (folder / "b.txt").write_bytes(("\ufeff" + "\r\n---\r\n".join(written[half:])).encode())
    plan = plan_for("texts", tokenizer, VOCABULARY[tokenizer])
    data = replace(plan.data, documents="separated", document_separator="\n---\n", line_ends="lf")
    plan = replace(plan, data=data)
    dataset = prepare(plan, tmp_path, progress=False, processes=2)
    train, val = _texts(dataset, dataset.train), _texts(dataset, dataset.val)
    assert Counter(train + val) == Counter(written)
    assert not set(train) & set(val)
    wanted = validation_size(sum(len(one) + 1 for one in written), plan.data.val_fraction)
    assert wanted - max(map(len, written)) <= dataset.val_characters <= wanted
    assert dataset.val_characters == sum(len(one) + 1 for one in val)
    counts = read_description(dataset.directory).documents
    assert counts is not None
    assert (counts.train, counts.val, counts.dropped) == (len(train), len(val), 0)
    assert counts.duplicates == len(written) - len(set(written)) > 0
    # The choice is made by what documents say: it is the same for the same ones in another order, in one file.
    (tmp_path / "other.txt").write_bytes("\n---\n".join(reversed(written)).encode())
    other = replace(plan, data=replace(data, corpus="other.txt", drop_duplicates=True))
    with monkeypatch.context() as small:
        small.setattr(prepare_shards, "LARGE_BYTES", 1 << 40)
        fewer = prepare(other, tmp_path, progress=False)
    assert Counter(_texts(fewer, fewer.train) + _texts(fewer, fewer.val)) == Counter(set(written))
    counts = read_description(fewer.directory).documents
    assert counts is not None and counts.dropped == counts.duplicates == len(written) - len(set(written))
    # To other programs it is a tokenizer with an end-of-text token, which stands before what they encode.
    theirs = AutoTokenizer.from_pretrained(dataset.directory)
    assert theirs.eos_token_id == theirs.bos_token_id == dataset.tokenizer.end_id == dataset.tokenizer.vocab_size - 1
    assert load_tokenizer(dataset.directory).kind == tokenizer
    for ids in _tokens_by_document(dataset, dataset.train)[:50]:
        text = dataset.tokenizer.decode(ids[:-1])
        assert theirs(text)["input_ids"] == [theirs.eos_token_id, *ids[:-1]]
        assert theirs.decode(ids[:-1]) == text


@pytest.mark.parametrize("tokenizer", ["byte", "char", "bpe"])
def test_what_the_end_is_called_is_text(tmp_path: Path, plan_for: MakePlan, tokenizer: str) -> None:
    lines = [f"{number} says {END_OF_TEXT} here" for number in range(300)]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    plan = plan_for("a.txt", tokenizer, VOCABULARY[tokenizer])
    plan = replace(plan, data=replace(plan.data, documents="lines"))
    dataset = prepare(plan, tmp_path, progress=False)
    assert Counter(_texts(dataset, dataset.train) + _texts(dataset, dataset.val)) == Counter(lines)
    ids = dataset.tokenizer.encode(lines[0])
    assert dataset.tokenizer.end_id not in ids and dataset.tokenizer.decode(ids) == lines[0]
    assert load_tokenizer(dataset.directory).encode(lines[0]).tolist() == ids.tolist()


def test_files_are_documents_and_one_is_too_few(tmp_path: Path, plan_for: MakePlan) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    texts = [f"{number}\n\nof these files\n" * 5 for number in range(20)]
    for number, text in enumerate([*texts, " \n"]):
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8", newline="")
    plan = plan_for("texts", "byte", 257)
    plan = replace(plan, data=replace(plan.data, documents="files"))
    dataset = prepare(plan, tmp_path, progress=False)
    assert Counter(_texts(dataset, dataset.train) + _texts(dataset, dataset.val)) == Counter(texts)
    (tmp_path / "one.txt").write_text(texts[0], encoding="utf-8")
    with refused("corpus-one-document", "one.txt"):
        prepare(replace(plan, data=replace(plan.data, corpus="one.txt")), tmp_path, progress=False)


def test_what_check_says_of_documents(tmp_path: Path, plan_for: MakePlan) -> None:
    written = _documents(300)
    (tmp_path / "a.txt").write_text("\n".join(written), encoding="utf-8")
    plan = plan_for("a.txt", "byte", 257, documents="lines")
    copies = len(written) - len(set(written))
    for drop, ending in ((False, f"{copies} are duplicates"), (True, f"{copies} duplicates left out")):
        wanted = replace(plan, data=replace(plan.data, drop_duplicates=drop))
        dataset = prepare(wanted, tmp_path, progress=False)
        facts = text_facts(wanted, dataset)
        train, val = (len(_texts(dataset, part)) for part in (dataset.train, dataset.val))
        assert dict(facts.rows())["Documents"] == f"{train} training, {val} validation; {ending}"
        assert ("documents-repeat" in {finding.code for finding in findings(wanted, facts)}) is not drop
        assert kept_facts(wanted, dataset.source, dataset.directory) == facts


def test_documents_that_weigh_twice_are_no_duplicates(tmp_path: Path, plan_for: MakePlan) -> None:
    """Nor is one told to leave them out, least of all where that was asked for."""
    for name, number in (("a.txt", 100), ("b.txt", 200)):
        lines = [f"{number + line} of these" for line in range(number)]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    plan = plan_for("a.txt", "byte", 257, documents="lines")
    for drop in (False, True):
        data = replace(plan.data, corpus=(CorpusSource("a.txt", 2), CorpusSource("b.txt")), drop_duplicates=drop)
        wanted = replace(plan, data=data)
        dataset = prepare(wanted, tmp_path, progress=False)
        facts = text_facts(wanted, dataset)
        train = _texts(dataset, dataset.train)
        assert len(train) > len(set(train)), "they are there twice"
        assert "duplicates" not in dict(facts.rows())["Documents"]
        assert "documents-repeat" not in {finding.code for finding in findings(wanted, facts)}
        assert kept_facts(wanted, dataset.source, dataset.directory) == facts


def test_validation_text_of_its_own_is_taken_out_of_the_training_text(tmp_path: Path, plan_for: MakePlan) -> None:
    written = _documents(200)
    train, val = written[:150], [*written[100:], written[0]]
    for name, documents in (("train.txt", train), ("val.txt", val)):
        (tmp_path / name).write_text("\n".join(documents), encoding="utf-8")
    plan = plan_for("shakespeare", "byte", 257)
    data = replace(plan.data, train_data="train.txt", val_data="val.txt", documents="lines")
    both = prepare(replace(plan, data=data), tmp_path, progress=False)
    assert _texts(both, both.train) == train and _texts(both, both.val) == val
    apart = prepare(replace(plan, data=replace(data, drop_duplicates=True)), tmp_path, progress=False)
    assert _texts(apart, apart.val) == list(dict.fromkeys(val))
    assert _texts(apart, apart.train) == [one for one in dict.fromkeys(train) if one not in set(val)]


def test_a_stream_is_what_it_was() -> None:
    """A key of before there were documents: what was prepared then is found."""
    assert text_recipe(Plan(), {"kind": "byte"}).key(["0" * 64]) == "35e8324b68db06afb05a55a91ff5bbf4"


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("documents: line", "unknown-value"),
        ('documents: separated\n  document_separator: ""', "empty-separator"),
        ("documents: lines\n  train_data: a.pt\n  val_data: b.pt", "documents-of-tensors"),
        ("mask_documents: true\n  documents: lines\ndevice_config:\n  device_type: mps", "mask-documents-device"),
        ("documents: lines\nmodel_config:\n  vocab_size: 256", "vocabulary-too-small"),
        ("documents: lines\n  tokenizer: bpe\nmodel_config:\n  vocab_size: 257", "vocabulary-too-small"),
    ],
)
def test_what_documents_do_not_go_with(section: str, code: str) -> None:
    result = check(f"data_config:\n  {section}\n")
    assert [problem.code for problem in result.problems if problem.severity == "error"] == [code]


def test_a_vocabulary_left_out_has_room_for_the_end() -> None:
    plan = check("data_config:\n  documents: lines\n").plan
    assert plan is not None and plan.model.vocab_size == 257


def test_a_tokenizer_from_elsewhere_ends_documents_by_its_own_token(tmp_path: Path, plan_for: MakePlan) -> None:
    lines = [f"{number} says </s> here" for number in range(300)]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel()
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library.train_from_iterator(lines, trainer)
    folder = tmp_path / "m"
    folder.mkdir()
    library.save(str(folder / "tokenizer.json"))
    plan = plan_for("a.txt", "./m", 300, documents="lines")
    with refused("tokenizer-without-end"):
        prepare(plan, tmp_path, progress=False)
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}', encoding="utf-8")
    dataset = prepare(plan, tmp_path, progress=False)
    assert dataset.tokenizer.end_id == 1 and dataset.tokenizer.begin_id is None
    found = _tokens_by_document(dataset, dataset.train) + _tokens_by_document(dataset, dataset.val)
    characters = dataset.train_characters + dataset.val_characters
    assert characters == sum(len(f" {line}") + 1 for line in lines)  # the end is one, however it is called
    library.encode_special_tokens = True
    assert Counter(map(tuple, found)) == Counter((*library.encode(line).ids, 1) for line in lines)
    # In text that is shown a document ends with a line, and what the token is called stands where the text says it.
    shown = dataset.train_text() + dataset.val_text()
    assert Counter(shown.splitlines()) == Counter(f" {line}" for line in lines)
    some = [*library.encode(lines[0]).ids, 1, *library.encode(lines[1]).ids]
    assert dataset.tokenizer.decode_documents(some) == f" {lines[0]}\n {lines[1]}"
