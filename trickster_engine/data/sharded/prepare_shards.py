"""Prepare a text that is too large for one process to read in a minute: in shards, side by side, and never twice.

The work lies in a folder of its own, `.preparing-<key>`, named after the files as they are and the recipe. Every shard
that is done is noted in a journal there. When the process is killed, whoever prepares the same text next takes the
folder over: shards whose sums still hold are kept, the rest is done. The finished folder is renamed into its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trickster_engine.config.keys.data import DataConfig
from trickster_engine.data.corpus import Corpus, Reading
from trickster_engine.data.dataset import finish_sharded_dataset
from trickster_engine.data.description import TokenFile, token_file
from trickster_engine.data.document_choice import PARTS, TRAINING, Choice, Documents, choose_all, chosen
from trickster_engine.data.make_tokenizer import load_tokenizer, require_vocabulary
from trickster_engine.data.near_duplicates import grouped
from trickster_engine.data.read_text import with_lf
from trickster_engine.data.scan import Scan, corpus_changed
from trickster_engine.data.sharded.layout import (
    Shard,
    cut_into_shards,
    read_portion,
    read_shard_text,
    shard_size,
)
from trickster_engine.data.sharded.work_folder import JOURNAL_BYTES, storing
from trickster_engine.data.sharded.worker_pool import Workers
from trickster_engine.data.tokenizer import TOKENIZER_FILE, Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import NotAPlainFileError, open_to_append, read_bytes, sweep_temporaries
from trickster_engine.system.json_checksum import seal, unseal
from trickster_engine.system.progress_bar import tqdm
from trickster_engine.system.replace_folder import discard

# Below this many bytes a text is prepared in one go, in this process.
LARGE_BYTES = 64 << 20
# A shard is at least this long, and there are no more of them than this: each holds a file open for as long as the
# dataset is. Other shards would be another dataset: these numbers stay as they are.
SHARD_BYTES = 32 << 20
MOST_SHARDS = 128
_REPORTED_S = 5.0
_TOKENIZER_FOLDER = "tokenizer"

MakeTokenizer = Callable[[], Tokenizer]


@dataclass(frozen=True)
class Manner:
    """How to go about preparing: nothing here changes the tokens."""

    progress: bool
    interrupt: Callable[[], None] | None
    report: Callable[[str], None] | None
    processes: int | None


@dataclass
class LargeText:
    """One or two corpora being prepared: one that is split, or one to train on and one held out."""

    corpora: Sequence[Corpus]
    folder: Path
    manner: Manner
    shards: list[Shard] = field(default_factory=list)
    scans: list[Scan] = field(default_factory=list)
    first_shards: int = 0  # how many of the shards belong to the first corpus
    choice: Choice | None = None  # of documents

    @property
    def _reading(self) -> Reading:
        return self.corpora[0].reading

    def _reading_of(self, shard: int) -> Reading:
        """One of two corpora may have been unpacked to plain text, and the other not."""
        return self.corpora[0 if shard < self.first_shards else -1].reading

    def scan(self, want_alphabet: bool) -> list[list[str]]:
        """Read all text once; return what identifies the content. Raises what reading raises."""
        cut = [cut_into_shards(corpus, max(SHARD_BYTES, -(-corpus.size // MOST_SHARDS))) for corpus in self.corpora]
        self.first_shards = len(cut[0])
        self.shards = [shard for shards in cut for shard in shards]
        known = {entry["shard"]: Scan(**entry["scan"]) for entry in self._noted("scan")}
        jobs = [
            (
                number,
                {
                    "do": "scan",
                    "shard": _plain(shard),
                    "alphabet": want_alphabet,
                    "reading": vars(self._reading_of(number)),
                },
            )
            for number, shard in enumerate(self.shards)
            if number not in known
        ]
        for number, answer in self._work("Reading", jobs):
            known[number] = Scan(**answer)
            self._note("scan", {"shard": number, "scan": answer})
        self.scans = [known[number] for number in range(len(self.shards))]
        return [
            [scan.sha256 for scan in scans]
            for scans in (self.scans[: self.first_shards], self.scans[self.first_shards :])
        ]

    def characters(self, corpus: int) -> int:
        """Return the length of a corpus."""
        scans = self.scans[: self.first_shards] if corpus == 0 else self.scans[self.first_shards :]
        return sum(scan.characters for scan in scans)

    def choose_documents(self, data: DataConfig) -> None:
        """Choose which documents are for validation, where there are any. Raises what `choose_all` raises."""
        if self._reading.is_stream:
            return
        documents = [Documents.from_text(scan.documents) for scan in self.scans]
        first, second = documents[: self.first_shards], documents[self.first_shards :]
        corpora = [first, second] if len(self.corpora) == 2 else [first]
        near = self._grouped if data.drop_near_duplicates else None
        name = self.corpora[0].name
        self.choice = choose_all(corpora, data.val_fraction, name, drop=data.drops, grouping=near)

    def _grouped(self, documents: Sequence[Documents]) -> Sequence[Documents]:
        """Documents with one sum for those that are nearly alike."""
        size = sum(corpus.size for corpus in self.corpora)
        title = f"Comparing documents of {self.corpora[0].title}"
        with tqdm(total=size, desc=title, unit="B", unit_scale=True, disable=not self.manner.progress) as bar:

            def texts(number: int) -> Iterator[str]:
                for chunk in read_shard_text(self.shards[number], reading=self._reading_of(number)):
                    self._asked_to_stop()
                    yield chunk
                    bar.update(len(chunk))

            return grouped(documents, map(texts, range(len(self.shards))), self.folder, self._asked_to_stop)

    def training_documents(self) -> Iterator[str]:
        """Yield all that is trained on, with MARK behind each document."""
        assert self.choice is not None
        for shard, choice in zip(self.shards[: self.first_shards], self.choice.parts, strict=False):
            for chunk in chosen(read_shard_text(shard, reading=self._reading), choice, TRAINING):
                self._asked_to_stop()
                yield chunk

    def encode(self, make_tokenizer: MakeTokenizer, train_characters: int, vocab_size: int) -> None:
        """Write every shard's tokens and finish the dataset in the work folder."""
        tokenizer = self._tokenizer(make_tokenizer)
        require_vocabulary(tokenizer, vocab_size)
        jobs = self._encoding_jobs(train_characters)
        done = self._still_whole(tokenizer)
        left = [(number, job) for number, job in enumerate(jobs) if _file_name(job) not in done]
        for number, answer in self._work("Encoding", left):
            job = jobs[number]
            if answer.pop("text") != self.scans[job["number"]].sha256:
                raise corpus_changed(self.corpora[0].path)
            done[_file_name(job)] = TokenFile(_file_name(job), **answer)
            self._note("tokens", {"tokenizer": tokenizer.digest, "file": vars(done[_file_name(job)])})
        files = [done[_file_name(job)] for job in jobs]
        parts = {part: [file for file in files if file.name.startswith(part)] for part in ("train", "val")}
        with storing(self.folder):
            finish_sharded_dataset(
                self.folder,
                tokenizer,
                {part: [file for file in parts[part] if file.tokens] for part in parts},
                self.choice.counts if self.choice is not None else None,
            )
            # The work's own notes, and what a killed process was in the middle of writing.
            for path in self.folder.glob("*.jsonl"):
                path.unlink()
            sweep_temporaries(self.folder)
            shutil.rmtree(self.folder / _TOKENIZER_FOLDER)

    def training_sample(self, train_characters: int, limit: int, piece: int) -> Iterator[str]:
        """Yield about `limit` bytes of the training text, or all of a shorter one, in pieces spread evenly over it.

        Only the pieces are read. The same text gives the same sample.
        """
        whole: list[Shard] = []
        left = train_characters
        for number, scan in enumerate(self.scans[: self.first_shards]):
            if scan.characters > left:
                break
            left -= scan.characters
            whole.append(self.shards[number])
        size = sum(map(shard_size, whole))
        if not whole or size <= limit:
            yield from self._first_characters(train_characters, limit)
            return
        pieces = max(1, limit // piece)
        starts = [number * (size - piece) // max(1, pieces - 1) for number in range(pieces)]
        at = 0
        for shard in whole:
            end = at + shard_size(shard)
            for start in starts:
                if at <= start < end and (text := read_portion(shard, start - at, piece)):
                    self._asked_to_stop()
                    yield "".join(with_lf([text])) if self._reading.lf else text
            at = end

    def _first_characters(self, count: int, limit: int) -> Iterator[str]:
        """Yield the text's first characters, at most `limit` of them."""
        left = min(count, limit)
        for shard in self.shards[: self.first_shards]:
            for chunk in read_shard_text(shard, reading=self._reading):
                self._asked_to_stop()
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return

    def _tokenizer(self, make_tokenizer: MakeTokenizer) -> Tokenizer:
        """Return the tokenizer that an earlier process made, or make it; either way it lies in the folder then."""
        kept = self.folder / _TOKENIZER_FOLDER
        noted = [entry["sha256"] for entry in self._noted("tokenizer")]
        with contextlib.suppress(TricksterError, OSError):
            if noted and not kept.is_symlink() and _sum_of_tokenizer(kept) == noted[-1]:
                return load_tokenizer(kept)
        tokenizer = make_tokenizer()
        unfinished = self.folder / f"{_TOKENIZER_FOLDER}.part"
        with storing(self.folder):
            for folder in (kept, unfinished):
                discard(folder)
            unfinished.mkdir()
            tokenizer.save(unfinished)
            unfinished.rename(kept)
            self._note("tokenizer", {"sha256": _sum_of_tokenizer(kept)})
        return tokenizer

    def _asked_to_stop(self) -> None:
        if self.manner.interrupt is not None:
            self.manner.interrupt()

    def _encoding_jobs(self, train_characters: int) -> list[dict[str, Any]]:
        """Return one job for each file of tokens, in order: a shard each, but two where the split falls inside one."""
        jobs = []
        at = 0
        for number, shard in enumerate(self.shards):
            characters = self.scans[number].characters
            if number == self.first_shards:
                at = train_characters = 0  # the second corpus is held out whole
            boundary = min(max(0, train_characters - at), characters)
            at += characters
            if self.choice is not None:
                for part, size in zip(PARTS, self.choice.characters[number], strict=True):
                    if size:
                        choice = {"choice": self.choice.parts[number]}
                        jobs.append(self._encoding_job(number, shard, part, 0, None, size) | choice)
                continue
            for part, begin, end in (("train", 0, boundary), ("val", boundary, characters)):
                if begin < end:
                    rest = end if end < characters else None
                    jobs.append(self._encoding_job(number, shard, part, begin, rest, characters))
        return jobs

    def _encoding_job(
        self, number: int, shard: Shard, part: str, begin: int, end: int | None, characters: int
    ) -> dict[str, Any]:
        job = {
            "do": "encode",
            "number": number,
            "part": part,
            "shard": _plain(shard),
            "reading": vars(self._reading_of(number)),
            "characters": characters,
            "begin": begin,
            "end": end,
            "tokenizer": str(self.folder / _TOKENIZER_FOLDER),
        }
        return {**job, "path": str(self.folder / _file_name(job))}

    def _still_whole(self, tokenizer: Tokenizer) -> dict[str, TokenFile]:
        """Return the files that an earlier process finished with the same tokenizer, where their sums still hold."""
        noted = {}
        for entry in self._noted("tokens"):
            if entry["tokenizer"] == tokenizer.digest:
                noted[entry["file"]["name"]] = token_file(entry["file"])
        files = list(noted.values())
        jobs = [(number, {"do": "check", "path": str(self.folder / file.name)}) for number, file in enumerate(files)]
        sums = dict(self._work("Checking", jobs, sized=False))
        return {file.name: file for number, file in enumerate(files) if sums[number]["sha256"] == file.sha256}

    def _work(
        self, doing: str, jobs: list[tuple[int, dict[str, Any]]], sized: bool = True
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Do jobs in several processes, under a progress bar and with a line for whoever follows from time to time."""
        if not jobs:
            return
        title = f"{doing} {self.corpora[0].title}"
        total = sum(map(shard_size, self.shards)) if sized else len(jobs)
        left = sum(span[2] - span[1] + span[3] for _, job in jobs for span in job["shard"]) if sized else total
        told = time.monotonic()
        quiet = not self.manner.progress
        with (
            Workers(self.manner.processes, self.manner.interrupt) as workers,
            tqdm(
                total=total,
                initial=total - left,
                desc=title,
                unit="B" if sized else "files",
                unit_scale=sized,
                delay=0.5,
                disable=quiet,
            ) as bar,
        ):
            seen = total - left

            def advance(count: int) -> None:
                nonlocal told, seen
                seen += count
                bar.update(count)
                if self.manner.report is not None and time.monotonic() - told > _REPORTED_S:
                    told = time.monotonic()
                    self.manner.report(f"{title}: {min(1.0, seen / total):.0%}")

            for number, answer in workers.run(jobs, advance):
                if not sized:
                    advance(1)
                yield number, answer

    def _journal(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        line = json.dumps(seal(entry, self.folder.name))
        with storing(self.folder), open_to_append(self._journal(name)) as stream:
            stream.write(f"\n{line}".encode())  # the newline first: behind what a kill left of the last entry

    def _noted(self, name: str) -> list[dict[str, Any]]:
        """Return a journal's entries; a line that a kill cut short, or that is not as it was written, is left out."""
        entries = []
        with contextlib.suppress(OSError):
            for line in read_bytes(self._journal(name), JOURNAL_BYTES).splitlines():
                with contextlib.suppress(ValueError, RecursionError):
                    entries.append(unseal(json.loads(line), self.folder.name))
        return entries


@contextlib.contextmanager
def resumable(folder: Path, corpora: Sequence[Corpus], manner: Manner) -> Iterator[LargeText]:
    """Give a large text to prepare in `folder`, which an earlier process may have begun.

    On success the caller has moved the folder away; after a failure that will come again, it is removed; when called
    off or killed, it is kept for next time. The caller holds the folder's lock.
    """
    try:
        with storing(folder):
            folder.mkdir(exist_ok=True)
            if folder.is_symlink():
                raise NotAPlainFileError(folder, "link")
        yield LargeText(corpora, folder, manner)
    except TricksterError as error:
        if error.code.startswith(("corpus-", "vocabulary-", "unknown-", "disk-", "tokenizer-")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _sum_of_tokenizer(folder: Path) -> str:
    return hashlib.sha256(read_bytes(folder / TOKENIZER_FILE)).hexdigest()


def _plain(shard: Shard) -> list[list[Any]]:
    return [span.as_json() for span in shard]


def _file_name(job: dict[str, Any]) -> str:
    return f"{job['part']}-{job['number']:05d}.bin"
