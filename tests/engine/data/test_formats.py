"""Every format in every packing: read exactly, or refused with its place; what writes them here is none of ours."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.refusals import refused
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.patterns import Selection
from trickster_engine.config.plan import Plan
from trickster_engine.config.plan_values import plan_from, values_of
from trickster_engine.data import extraction, records
from trickster_engine.data.corpus import Corpus, Reading, resolve_corpus
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.extraction import extract
from trickster_engine.data.prepare import prepare
from trickster_engine.data.records import Progress
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.sharded.prepare_shards import Manner
from trickster_engine.data.survey import text_facts
from trickster_engine.errors import TricksterError
from trickster_engine.system import unpacking
from trickster_engine.training.stopping import stopped_while_preparing

RECORDS = ['Café, "quoted" and 東京\r\nin two lines', "a; b\tc", "ends in a line end\n", "🙂", " indented"]
PROSE = "\n".join(RECORDS)
PACKINGS = ["", ".gz", ".bz2", ".xz", ".zst", ".zip", ".zst.zip"]


def _zstd(data: bytes) -> bytes:
    zstd: Any = unpacking.zstd_module()
    packed: bytes = zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    return packed


def _zip(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": _zstd,
}


def _packed(data: bytes, name: str, packing: str) -> bytes:
    for one in packing.split(".")[1:]:
        if one == "zip":
            return _zip(data, name)
        data = PACKERS[one](data)
        name += f".{one}"
    return data


def _jsonl(texts: list[Any]) -> bytes:
    lines = [json.dumps({"id": n, "body": text}, ensure_ascii=n % 2 == 0) for n, text in enumerate(texts)]
    return "".join(f"{line}\n" for line in lines).encode()


def _csv(texts: list[Any]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerows([["id", "body"], *([n, t] for n, t in enumerate(texts))])
    return buffer.getvalue().encode()


def _parquet(texts: list[Any]) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"id": list(range(len(texts))), "body": texts}), buffer, row_group_size=2)
    return buffer.getvalue()


def _prose(texts: list[Any]) -> bytes:
    return "\n".join(text for text in texts if text).encode()


FORMATS: dict[str, Callable[[list[Any]], bytes]] = {
    ".txt": _prose,
    ".md": _prose,
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _corpus(folder: Path, name: str, data: bytes, **reading: Any) -> Corpus:
    (folder / name).write_bytes(data)
    corpus = resolve_corpus(name, folder, selection=Selection(records=True))
    return Corpus(**{**vars(corpus), "reading": Reading(**{"text_field": "body", **reading})})


def _write(folder: Path, name: str, packing: str, data: bytes, **reading: Any) -> Corpus:
    return _corpus(folder, name + packing, _packed(data, name, packing), **reading)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_it_is_read_exactly(format: str, packing: str, tmp_path: Path) -> None:
    data = FORMATS[format](["", *RECORDS, None])
    corpus = _write(tmp_path, f"text{format}", packing, data)
    assert "".join(corpus.text_chunks()) == "".join(corpus.text_chunks(7)) == PROSE
    marked = Corpus(**{**vars(corpus), "reading": Reading(documents="files", text_field="body")})
    documents = [PROSE] if format in (".txt", ".md") else RECORDS
    assert "".join(marked.text_chunks()).split("\0") == [*documents, ""]
    manner = Manner(progress=False, interrupt=None, report=None, processes=1)
    if corpus.is_packed:
        folder = tmp_path / "work"
        folder.mkdir()
        plain, left_out = extract(corpus, folder, "text", manner)
        assert plain.path.read_bytes() == PROSE.encode()
        assert left_out.counts == ({} if len(documents) == 1 else {"record without text": 2})
        assert extract(corpus, folder, "text", manner) == (plain, left_out)  # found again, nothing read


CUT = "archive-damaged", "{name}"
BROKEN: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    # name of the file: what is in it, the code, and what the message says
    "prose not UTF-8": (".txt", lambda: b"one\ntwo caf\xe9\n", "corpus-not-utf8", "line 2"),
    "prose UTF-16": (".txt", lambda: "one".encode("utf-16"), "corpus-not-utf8", "byte order mark of UTF-16LE"),
    "prose with a zero": (".txt", lambda: b"one\0two", "corpus-binary", "offset 3"),
    "no JSON": (".jsonl", lambda: b'{"body": "a"}\n{"body": "b"\n', "record-broken", "line 2 is not JSON"),
    "one array": (".jsonl", lambda: b'[{"body": "a"}]', "record-broken", "line 1 is a list"),
    "a number": (".jsonl", lambda: b'{"body": "a"}\n\n3\n', "record-broken", "line 3 is no object"),
    "nested": (".jsonl", lambda: b'{"body": ' + b"[" * 100_000, "record-broken", "line 1"),
    "no field": (".jsonl", lambda: b'{"body": "a"}\n{"Body": "b", "n": 1}', "record-without-field", "line 2"),
    "not text": (".jsonl", lambda: b'{"body": "a"}\n{"body": 7}', "record-not-text", "line 2"),
    "lone half": (".jsonl", lambda: b'{"body": "a\\ud83d"}', "record-not-text", "line 1"),
    "a zero": (".jsonl", lambda: b'{"body": "a"}\n{"body": "\\u0000"}', "corpus-binary", "line 2"),
    "mixed encodings": (".jsonl", lambda: b'{"body": "a"}\n{"body": "caf\xe9"}', "corpus-not-utf8", "line 2"),
    "JSONL UTF-16": (".jsonl", lambda: '{"body": "a"}'.encode("utf-16"), "corpus-not-utf8", "UTF-16"),
    "CSV no column": (".csv", lambda: b"id,text\n1,a\n", "record-without-field", "line 1"),
    "CSV columns": (".csv", lambda: b"id,body\n1,a\n2,b, c\n", "record-broken", "line 3 has 3 columns"),
    "CSV open quote": (".csv", lambda: b'id,body\n1,a\n2,"b\n3,c\n', "record-broken", "begins at line 3"),
    "CSV not UTF-8": (".csv", lambda: b"id;body\n1;a\n2;caf\xe9\n", "corpus-not-utf8", "line 3"),
    "no Parquet": (".parquet", lambda: b"PAR1 it is not", "archive-damaged", ""),
    "Parquet cut": (".parquet", lambda: _parquet(RECORDS)[:-20], "archive-damaged", ""),
    "Parquet column": (
        ".parquet",
        lambda: _written(pa.table({"text": ["a"]})),
        "record-without-field",
        "It has: text",
    ),
    "TSV no column": (".tsv", lambda: b"id, or number, or name\ttext\n1\ta\n", "record-without-field", "text"),
    "inside": (".jsonl", lambda: b'{"body": {"text": "a"}}', "record-not-text", "is an object"),
    "Parquet inside": (
        ".parquet",
        lambda: _written(pa.table({"body": [{"count": 1, "text": "a"}]})),
        "record-not-text",
        "body.text",
    ),
    "Parquet numbers": (".parquet", lambda: _written(pa.table({"body": [1]})), "record-not-text", "int64"),
}


def _written(table: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def test_null_is_no_text_wherever_it_stands(tmp_path: Path) -> None:
    """In place of the text, of the object that has it, and in a file in which nothing else stands there."""
    rows = [{"body": {"text": "a"}}, {"body": None}, {"body": {"text": None}}, {"body": {"text": "b"}}]
    none = [{"body": None}, {"body": None}]
    reading = {"text_field": "body.text", "documents": "files"}
    for kept, empty, listed in (("a\0b\0", 2, rows), ("", 2, none)):
        lines = "\n".join(map(json.dumps, listed)).encode()
        for name, data in (("a.jsonl", lines), ("a.parquet", _written(pa.Table.from_pylist(listed)))):
            progress = Progress()
            pieces = _corpus(tmp_path, name, data, **reading).pieces(progress)
            assert "".join(text for text, _ in pieces) == kept
            assert progress.left_out.counts == {"record without text": empty}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_with_its_place(case: str, packing: str, tmp_path: Path) -> None:
    suffix, data, code, says = BROKEN[case]
    corpus = _write(tmp_path, f"text{suffix}", packing, data())
    with pytest.raises(TricksterError) as caught:
        "".join(corpus.text_chunks())
    assert caught.value.code == code
    assert corpus.files[0].shown in caught.value.message
    assert says in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize("packing", [one for one in PACKINGS if one])
def test_an_archive_that_is_cut_or_changed_is_refused(packing: str, tmp_path: Path) -> None:
    whole = _packed(np.random.default_rng(3).bytes(30_000).hex().encode(), "text.txt", packing)
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    for data in (whole[:middle], whole[:-3], flipped, b"no archive at all, but long enough for any header"):
        with refused("archive-damaged") as error:
            "".join(_corpus(tmp_path, f"text.txt{packing}", data).text_chunks())
        assert f"text.txt{packing}" in error.value.message
    # What follows a whole stream is more text, as the tools of each format have it; a zip archive has one end.
    if ".zip" not in packing:
        both = _packed(b"one ", "", packing) + _packed(b"two", "", packing)
        assert "".join(_corpus(tmp_path, f"both.txt{packing}", both).text_chunks()) == "one two"


def test_what_was_made_to_fill_a_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_HARMLESS_BYTES", 1 << 20)
    for packing in PACKINGS[1:]:
        bomb = _packed(b"a" * (8 << 20), "text.txt", packing)
        read = 0
        with refused("archive-grows"):
            for chunk in _corpus(tmp_path, f"text.txt{packing}", bomb).text_chunks(1 << 16):
                read += len(chunk)
        assert read <= max(1 << 20, 300 * len(bomb))


def test_many_harmless_members_fill_no_disk_together(
    tmp_path: Path, plan_for: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_HARMLESS_BYTES", 1 << 20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"{number}.txt", b"a" * 200_000)
    (tmp_path / "many.zip").write_bytes(buffer.getvalue())
    with refused("archive-grows"):
        prepare(plan_for("many.zip", "byte", 256), tmp_path, progress=False)


def test_an_archive_is_listed_once(
    tmp_path: Path, plan_for: Callable[..., Plan], prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(30):
            archive.writestr(f"{number:02}.txt", prose[number * 100 : number * 100 + 100])
    (tmp_path / "many.zip").write_bytes(buffer.getvalue())
    opened: list[str] = []
    real = unpacking.open_archive

    def counted(raw: BinaryIO, shown: str) -> zipfile.ZipFile:
        opened.append(shown)
        return real(raw, shown)

    monkeypatch.setattr(unpacking, "open_archive", counted)
    dataset = prepare(plan_for("many.zip", "byte", 256), tmp_path, progress=False)
    assert len(opened) == 1
    whole = "\n".join(prose[number * 100 : number * 100 + 100] for number in range(30))
    assert dataset.train_text() + dataset.val_text() == whole


def test_records_and_plain_text_side_by_side_are_each_read_in_their_own_way(
    tmp_path: Path, plan_for: Callable[..., Plan], prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line for line in prose.splitlines() if line.strip()]
    (tmp_path / "train.jsonl").write_bytes(_jsonl(lines[20:]))
    (tmp_path / "val.txt").write_text("\r\n".join(lines[:20]), encoding="utf-8", newline="")
    plan = plan_for("shakespeare", "byte", 257, text_field="body")
    for documents in ("stream", "lines"):
        data = replace(plan.data, train_data="train.jsonl", val_data="val.txt", documents=documents, line_ends="lf")
        one = replace(plan, data=data)
        small = prepare(one, tmp_path, cache_dir=tmp_path / f"small {documents}", progress=False)
        with monkeypatch.context() as patch:
            patch.setattr(prepare_shards, "LARGE_BYTES", 100)
            large = prepare(one, tmp_path, cache_dir=tmp_path / f"large {documents}", progress=False, processes=1)
        assert large.val_text() == small.val_text() and "\r" not in small.val_text()
        assert large.train_text() == small.train_text()


def test_an_archive_is_a_folder(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("b.txt", "a/z.txt", "a/picture.png", "__MACOSX/a.txt", ".hidden.txt", "../up.txt", "c.zip"):
            archive.writestr(name, name)
        archive.writestr("empty.txt", "")
        archive.mkdir("folder.txt") if hasattr(archive, "mkdir") else archive.writestr("folder.txt/", "")
    corpus = _corpus(tmp_path, "texts.zip", buffer.getvalue())
    assert "".join(corpus.text_chunks()) == "a/z.txt\nb.txt"
    assert corpus.left_out.counts == {
        "archive in an archive": 1,
        "binary": 1,
        "empty": 1,
        "hidden": 2,
        "of other programs": 1,
    }
    assert not (tmp_path / "up.txt").exists()
    encrypted = bytearray(buffer.getvalue())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # as every zip program marks what it encrypts
        place = encrypted.find(signature)
        while place >= 0:
            encrypted[place + at] |= 1
            place = encrypted.find(signature, place + 1)
    with refused("archive-encrypted"):
        _corpus(tmp_path, "secret.zip", bytes(encrypted))
    with refused("archive-unknown"):
        _corpus(tmp_path, "texts.tar.gz", gzip.compress(b"x"))


def test_a_folder_takes_what_patterns_say(tmp_path: Path) -> None:
    root = tmp_path / "texts"
    for name in ("a.txt", "a.txt.gz", "b.md.xz", "c.log", "d.jsonl", "e.csv.zst", "notes/f.txt", "notes/old/g.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        kind = f".{name.split('.')[1]}"
        data = {".jsonl": _jsonl([name]), ".csv": _csv([name])}.get(kind, name.encode())
        (root / name).write_bytes(_packed(data, "", name.partition(kind)[2]))
    (root / "h.zip").write_bytes(_zip(b"in h", "in.txt"))

    def found(*include: str, exclude: tuple[str, ...] = (), field: str | None = None) -> tuple[str, dict[str, int]]:
        corpus = resolve_corpus("texts", tmp_path, selection=Selection(include, exclude, field is not None))
        corpus = Corpus(**{**vars(corpus), "reading": Reading(text_field=field)})
        return "".join(corpus.text_chunks()), corpus.left_out.counts

    text, left_out = found()
    assert text.split() == ["a.txt", "b.md.xz", "notes/f.txt", "notes/old/g.txt"]
    assert left_out == {
        "archive that data_config.include does not name": 1,
        "compressed copy of a file beside it": 1,
        "no text file extension": 1,
        "records, and data_config.text_field names no field": 2,
    }
    assert found(field="body")[0].split()[2:4] == ["d.jsonl", "e.csv.zst"]
    assert found("*.log", "notes/*.txt")[0].split() == ["c.log", "notes/f.txt"]
    assert found("**/*.txt", exclude=("old/", "notes/old/"))[0].split() == ["a.txt", "notes/f.txt"]
    assert found("*.zip") == ("in h", {"not included": 8})
    assert found("*.gz")[0] == "a.txt.gz"


def test_what_was_left_out_of_records_is_shown_each_time(
    tmp_path: Path, cache: Path, plan_for: Callable[..., Plan], prose: str
) -> None:
    texts = [None, *prose.splitlines(), "  "]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(_jsonl(texts)))
    plan = plan_for("a.jsonl.gz", text_field="body")
    assert prepare(plan, tmp_path).source.left_out == {"record without text": sum(not (t or "").strip() for t in texts)}
    past = 1_600_000_000_000_000_000
    os.utime(tmp_path / "a.jsonl.gz", ns=(past, past))
    first = prepare(plan, tmp_path)
    again = prepare(plan, tmp_path)
    assert first.source == again.source
    rows = dict(text_facts(plan, again).rows())
    assert "record without text: " in rows["Skipped"]
    assert not list((cache / "datasets").glob(".preparing-*"))
    # The same text as a plain file is the same dataset.
    (tmp_path / "b.txt").write_text(
        "\n".join(text for text in texts if text and text.strip()), encoding="utf-8", newline=""
    )
    plain = prepare(plan_for("b.txt"), tmp_path)
    assert (plain.fingerprint, plain.directory) == (first.fingerprint, first.directory)


@pytest.mark.parametrize("documents", ["stream", "lines"])
def test_a_large_one_goes_on_where_it_was_stopped(
    documents: str,
    tmp_path: Path,
    plan_for: Callable[..., Plan],
    prose: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepare_shards, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(prepare_shards, "SHARD_BYTES", 200_000)
    monkeypatch.setattr(extraction, "_PIECE_BYTES", 20_000)
    monkeypatch.setattr(extraction, "_NOTED_BYTES", 40_000)
    texts = [f"{number} {line}" for number in range(6) for line in prose.splitlines() if line.strip()]
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(_zstd(_jsonl(texts)))
    plan = plan_for(path.name, "bpe", 400, text_field="body", documents=documents)
    other = tmp_path / "other"

    def prepared(interrupt: Callable[[], None] | None = None) -> Dataset:
        return prepare(plan, tmp_path, cache_dir=other, progress=False, processes=1, interrupt=interrupt)

    places: list[int] = []
    for after in (5, 8, 12):  # twice while unpacking, then beyond it
        calls = 0

        def interrupt(after: int = after) -> None:
            nonlocal calls
            calls += 1
            if calls > after:
                raise stopped_while_preparing()

        with refused("stopped-while-preparing"):
            prepared(interrupt)
        (journal,) = (other / "datasets").glob(".preparing-*/text-0.jsonl")
        places.append(json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])["place"]["records"])
    assert 0 < places[0] < places[1]
    with monkeypatch.context() as without_records:
        without_records.delattr(records, "_json_lines")
        again = prepared()  # what is unpacked is not unpacked again
    whole = prepare(plan, tmp_path, cache_dir=tmp_path / "fresh", progress=False, processes=1)
    assert again.fingerprint == whole.fingerprint
    assert not list((other / "datasets").glob(".preparing-*"))
    if documents == "stream":
        assert whole.train_text() + whole.val_text() == "\n".join(texts)


@pytest.mark.parametrize("large", [False, True])
def test_sources_are_each_split_and_repeated(
    large: bool, tmp_path: Path, plan_for: Callable[..., Plan], prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(prepare_shards, "LARGE_BYTES", 10_000)
        monkeypatch.setattr(prepare_shards, "SHARD_BYTES", 60_000)
    first, second = prose[:20_000], prose[20_000:30_000]
    (tmp_path / "a.txt").write_text(first, encoding="utf-8", newline="")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "b.jsonl.gz").write_bytes(gzip.compress(_jsonl([second])))
    sources = (CorpusSource("a.txt", 2), CorpusSource("notes"))
    plan = plan_for(corpus="a.txt", tokenizer="char", vocab_size=200, text_field="body")
    plan = replace(plan, data=replace(plan.data, corpus=sources))
    dataset = prepare(plan, tmp_path, progress=False, processes=1)
    assert dataset.train_text() == "\n".join([first[:18_000], first[:18_000], second[:9_000]])
    assert dataset.val_text() == "\n".join([first[18_000:], second[9_000:]])
    assert prepare(plan, tmp_path).fingerprint == dataset.fingerprint
    assert plan_from(values_of(plan)) is not None
    # By documents: none is on both sides, also where two sources share one.
    (tmp_path / "a.txt").write_text("\n".join(f"line {number}" for number in range(300)), encoding="utf-8")
    (tmp_path / "notes" / "b.jsonl.gz").unlink()
    (tmp_path / "notes" / "b.txt").write_text("\n".join(f"line {number}" for number in range(200, 400)), "utf-8")
    plan = replace(plan, data=replace(plan.data, documents="lines"))
    dataset = prepare(plan, tmp_path, progress=False, processes=1)
    parts = (dataset.train, dataset.val)
    train, val = ("".join(dataset.text_chunks(part)).split("\0")[:-1] for part in parts)
    assert not set(train) & set(val)
    assert {*train, *val} == {f"line {number}" for number in range(400)}
    assert {train.count(line) for line in train if int(line[5:]) < 200} == {2}
    assert {train.count(line) for line in train if int(line[5:]) >= 300} == {1}


def test_a_dataset_that_was_saved_is_read_as_datasets_reads_it(
    tmp_path: Path, plan_for: Callable[..., Plan], prose: str
) -> None:
    """With several splits, several files each, nulls, an object, and what `map` has cached beside it."""
    datasets = pytest.importorskip("datasets")
    lines = [line for line in prose.splitlines() if line.strip()][:300]
    rows = [{"id": number, "message": {"text": line, "n": 1} if number % 50 else None} for number, line in
            enumerate(lines)]  # fmt: skip
    dataset = datasets.Dataset.from_list(rows).shuffle(seed=1)
    parts = datasets.DatasetDict({"train": dataset.select(range(250)), "test": dataset.select(range(250, 300))})
    parts.save_to_disk(str(tmp_path / "saved"), num_shards={"train": 3, "test": 1})
    again = datasets.load_from_disk(str(tmp_path / "saved"))
    wanted = {split: [row["message"]["text"] for row in again[split] if row["message"]] for split in again}
    (tmp_path / "saved/train/cache-1.arrow").write_bytes(
        (tmp_path / "saved/test/data-00000-of-00001.arrow").read_bytes()
    )

    def found(name: str) -> list[str]:
        corpus = resolve_corpus(name, tmp_path, selection=Selection(records=True))
        corpus = Corpus(**{**vars(corpus), "reading": Reading(text_field="message.text", documents="files")})
        return "".join(corpus.text_chunks()).split("\0")[:-1]

    assert found("saved") == found("saved/train") == wanted["train"]
    assert found("saved/test") == wanted["test"]
    corpus = resolve_corpus("saved", tmp_path, selection=Selection(records=True))
    assert corpus.left_out.counts["split other than train"] == 1
    whole = replace(plan_for("shakespeare", "byte", 257, documents="lines", text_field="message.text"))
    data = replace(whole.data, train_data="saved/train", val_data="saved/test")
    ready = prepare(replace(whole, data=data), tmp_path, progress=False)
    assert ready.train_text().splitlines() == wanted["train"] and ready.val_text().splitlines() == wanted["test"]
    with refused("record-not-text", "message.n"):
        prepare(replace(whole, data=replace(data, text_field="message.n")), tmp_path, progress=False)
    with refused("corpus-no-text-files", "text_field"):
        resolve_corpus("saved", tmp_path)
    next((tmp_path / "saved/train").glob("data-00001*")).unlink()
    with refused("dataset-damaged", "lacks 1 of the 3 files"):
        found("saved")
    (tmp_path / "saved/train/state.json").write_text("{}")
    with refused("dataset-damaged"):
        found("saved")


def test_the_figures_of_the_page_are_those_that_were_measured() -> None:
    docs = Path(__file__).parents[3] / "docs"
    kept = json.loads((docs / "text/formats.json").read_text("utf-8"))
    page = " ".join((docs / "text.md").read_text("utf-8").split())
    turns = [*kept["stopped"].values(), kept["to the end"]]
    assert [turn["result"] is None for turn in turns] == [True, True, True, False], "called off, and then whole"
    assert all(turns[-1]["shown"]) and kept["to the end"]["result"]["tokens"] == kept["records"]["text"] - 1
    largest, files = max(peak for turn in turns for peak in turn["peaks"]), kept["files"]
    assert max(largest, *files["peaks"]) < 1e9 and files["shown"]
    for said in (
        f"{kept['records']['compressed'] / 1e9:.2f} GB with {kept['records']['text'] / 1e9:.2f} GB of text",
        f"{sum(turn['seconds'] for turn in turns):.0f} s in all",
        f"at most {largest / 1e6:.0f} MB of memory in a process",
        f"{files['count']:,} files took {max(files['peaks']) / 1e6:.0f} MB",
        f"on {kept['processors']} processors",
    ):
        assert said in page, said
