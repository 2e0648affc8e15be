"""Turn what `data_config` names into a Dataset: once, whole, and found again at once the next time.

The cache has two parts. `datasets/<key>/` holds prepared tokens; the key is made of the content's SHA-256 sum, the
tokenizer's recipe and the split, so that equal content is prepared once wherever it lies. `index/<key>.json` leads
from the files' sizes and times to that folder, so that a corpus of many gigabytes is not read again at every start.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES, CorpusFile, file_now
from trickster_engine.config.own_output import own_output
from trickster_engine.config.plan import Plan
from trickster_engine.config.split import validation_size
from trickster_engine.data import lesson_token_files
from trickster_engine.data.batches import too_short
from trickster_engine.data.cache import building, cache_directory, discard
from trickster_engine.data.corpus import Corpus, file_sha256
from trickster_engine.data.dataset import Dataset, Labels, open_dataset, write_dataset
from trickster_engine.data.download import require_shakespeare
from trickster_engine.data.facts import Source, source_of
from trickster_engine.data.index import Index, Recipe, corpora_of, files_of, identity, plain_tokenizer, text_recipe
from trickster_engine.data.make_tokenizer import byte_tokenizer, char_tokenizer, require_vocabulary, train_bpe
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.sharded.prepare_shards import Manner
from trickster_engine.data.tokenizer import Tokenizer, cut_safely
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant
from trickster_engine.system.progress_bar import tqdm

__all__ = ["Dataset", "prepare"]

# BPE learns its merges from at most this much training text, taken in even portions from all of it: its table of
# words has to fit into memory, and merges hardly change beyond.
BPE_TRAINING_CHARACTERS = 100_000_000
_SHOWN_FROM = 2_000_000  # characters, a few seconds of learning
_BPE_PIECE = 1 << 16  # characters; the library buffers 256 pieces


def prepare(
    plan: Plan,
    folder: Path,
    *,
    config: Path | None = None,
    cache_dir: Path | None = None,
    progress: bool = True,
    allow_download: bool = True,
    interrupt: Callable[[], None] | None = None,
    report: Callable[[str], None] | None = None,
    processes: int | None = None,
    verify: bool = True,
) -> Dataset:
    """Return the tokens that a plan trains on; paths in it are relative to `folder`.

    `config` is the plan's own file, which is never part of a text.

    The first call encodes and stores them, later ones find them. Safe to call from several processes at once, and to
    kill at any moment; `interrupt` is called every megabyte or so and may raise to end it early. A large text is
    prepared by `processes` processes, by default one a core; `report` is told every few seconds how far it is, and the
    next call goes on where one was killed.

    What was prepared earlier is read again in full to see that it is still what was written, and prepared anew where it
    is not. `verify=False` leaves that to the caller, for data that is larger than is read in an instant: see
    `Dataset.verification`.
    Raises TricksterError: whatever `resolve_corpus` and the tokenizers raise, corpus-too-short, corpus-changed,
    data-files-incomplete, data-files-mixed, vocabulary-too-small, disk-full, cache-unwritable, preparing-failed.
    """
    manner = Manner(progress, interrupt, report, processes)
    cache = cache_dir if cache_dir is not None else cache_directory()

    own = own_output(plan.output, folder, config)

    def found_or_built() -> Dataset:
        if _are_tensors(plan):
            return _prepare_tensors(plan, folder, cache)
        if allow_download and plan.data.train_data is None and plan.data.corpus == "shakespeare":
            require_shakespeare(progress=progress)
        corpora = corpora_of(plan, folder, own)
        return _Text(plan, folder, corpora, manner).dataset(cache)

    dataset = found_or_built()
    if verify:
        try:
            _verify(dataset, manner)
        except TricksterError as error:
            if error.code != "cache-damaged":
                raise
            dataset = found_or_built()
            _verify(dataset, manner)
    require_vocabulary(dataset.tokenizer, plan.model.vocab_size)
    if len(dataset.train) < plan.model.max_seq_len + 1:
        raise too_short(len(dataset.train), plan.model.max_seq_len)
    return dataset


def _verify(dataset: Dataset, manner: Manner) -> None:
    """Read all of it again, under a progress bar that shows itself only when that takes a while."""
    verification = dataset.verification
    with tqdm(
        total=verification.size, desc="Verifying", unit="B", unit_scale=True, delay=0.5, disable=not manner.progress
    ) as bar:

        def tick(count: int) -> None:
            if manner.interrupt is not None:
                manner.interrupt()
            bar.update(count)

        verification.run(tick)


def _are_tensors(plan: Plan) -> bool:
    """Whether the data are the lesson's tensors, and not text. Raises TricksterError where they are neither."""
    data = plan.data
    if data.train_data is None and data.val_data is None:
        return False
    if data.train_data is None or data.val_data is None:
        given, missing = ("val_data", "train_data") if data.train_data is None else ("train_data", "val_data")
        raise TricksterError(
            "data-files-incomplete",
            f"data_config has {given} but not {missing}.",
            f"Add data_config.{missing}, or remove {given} and set corpus, which is split automatically.",
        )
    tensors = [Path(name).suffix.lower() in TENSOR_SUFFIXES for name in (data.train_data, data.val_data)]
    if all(tensors):
        return True
    if any(tensors):
        raise TricksterError(
            "data-files-mixed",
            f"data_config.train_data is {data.train_data}, but val_data is {data.val_data}: one contains tokens, the "
            "other text.",
            "Give two tensor files (.pt), or two text files.",
        )
    return False


# ---------------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class _Text:
    """Text to prepare: one corpus that is split, or one for training and one held out."""

    plan: Plan
    folder: Path
    corpora: tuple[Corpus, ...]
    manner: Manner

    def dataset(self, cache: Path) -> Dataset:
        recipe = text_recipe(self.plan, _tokenizer_recipe(self.plan, self.folder))
        files = files_of(self.corpora)
        labels = Labels(self.corpora[0].name, self.corpora[0].title, source_of(self.corpora))
        # The library's source is small, and not all of it is read: which files are is seen only while reading.
        if (
            all(corpus.kind != "python" for corpus in self.corpora)
            and sum(map(_size, files)) > prepare_shards.LARGE_BYTES
        ):
            return self._large(cache, files, recipe, labels)
        return _find_or_build(cache, files, recipe, labels, lambda: self._content(recipe))

    def _large(self, cache: Path, files: tuple[CorpusFile, ...], recipe: Recipe, labels: Labels) -> Dataset:
        """Do the same for a text that several processes share, in a folder that survives them."""
        index = Index(cache, files, recipe)
        if (dataset := _open_known(index, labels)) is not None:
            return dataset
        manner = self.manner
        key = recipe.key([prepare_shards.SHARD_BYTES, prepare_shards.MOST_SHARDS, identity(files)])
        with prepare_shards.work_folder(cache / "datasets", key, manner.interrupt) as folder:
            if (dataset := _open_known(index, labels)) is not None:  # made by whoever was at work until now
                return dataset
            with prepare_shards.resumable(folder, self.corpora, manner) as text:
                sums = text.scan(recipe.tokenizer["kind"] == "char")
                characters = [text.characters(number) for number in range(len(self.corpora))]
                self._require_text(characters)
                target = cache / "datasets" / recipe.key([prepare_shards.SHARD_BYTES, prepare_shards.MOST_SHARDS, sums])
                dataset = open_dataset(target, labels)
                if dataset is None:
                    if os.path.lexists(target):
                        discard(target)
                    train = self._train_characters(characters[0])
                    text.encode(lambda: self._large_tokenizer(text, recipe, train), train, self.plan.model.vocab_size)
                    prepare_shards.move_into_place(folder, target)
                    dataset = _read_back(target, labels)
                else:
                    discard(folder)
        index.note(target)
        return dataset

    def _large_tokenizer(self, text: prepare_shards.LargeText, recipe: Recipe, train_characters: int) -> Tokenizer:
        if recipe.tokenizer["kind"] == "bpe":
            sample = text.training_sample(train_characters, BPE_TRAINING_CHARACTERS, _BPE_PIECE)
            shown = self._shows_merges(train_characters)
            return train_bpe(cut_safely(sample, _BPE_PIECE), recipe.tokenizer["vocab_size"], progress=shown)
        return self._tokenizer(recipe, train_characters, (scan.alphabet for scan in text.scans))

    def _require_text(self, characters: Iterable[int]) -> None:
        for corpus, count in zip(self.corpora, characters, strict=True):
            if not count:
                raise TricksterError("corpus-empty", f"The corpus {corpus.path} contains no text.", "Add text to it.")

    def _train_characters(self, characters: int) -> int:
        """Return how many of the first corpus' characters are trained on."""
        held = validation_size(characters, self.plan.data.val_fraction) if len(self.corpora) == 1 else 0
        return characters - held

    def _content(self, recipe: Recipe) -> tuple[object, Callable[[Path], None]]:
        scans = [self._scan(corpus, recipe.tokenizer["kind"] == "char") for corpus in self.corpora]
        self._require_text(scan.characters for scan in scans)
        return [scan.sha256 for scan in scans], lambda directory: self._build(directory, scans, recipe)

    def _scan(self, corpus: Corpus, want_alphabet: bool) -> _Scan:
        digest, characters = hashlib.sha256(), 0
        alphabet: set[str] = set()
        for chunk in self._read(corpus, "Reading"):
            digest.update(chunk.encode("utf-8"))
            characters += len(chunk)
            if want_alphabet:
                alphabet.update(chunk)
        return _Scan(digest.hexdigest(), characters, frozenset(alphabet))

    def _build(self, directory: Path, scans: list[_Scan], recipe: Recipe) -> None:
        train_characters = self._train_characters(scans[0].characters)
        tokenizer = self._tokenizer(recipe, train_characters, [scan.alphabet for scan in scans])
        require_vocabulary(tokenizer, self.plan.model.vocab_size)
        digests = [hashlib.sha256() for _ in self.corpora]
        streams = [
            _hashed(self._read(corpus, "Encoding"), digest)
            for corpus, digest in zip(self.corpora, digests, strict=True)
        ]
        train, val = streams if len(streams) == 2 else _split(streams[0], train_characters)
        write_dataset(directory, tokenizer, tokenizer.encode_stream(train), tokenizer.encode_stream(val))
        if [digest.hexdigest() for digest in digests] != [scan.sha256 for scan in scans]:
            raise TricksterError(
                "corpus-changed",
                f"The corpus {self.corpora[0].path} changed while it was being read.",
                "Try again when nothing writes to it.",
            )

    def _tokenizer(self, recipe: Recipe, train_characters: int, alphabets: Iterable[Iterable[str]]) -> Tokenizer:
        kind = recipe.tokenizer["kind"]
        if kind == "byte":
            return byte_tokenizer()
        if kind == "char":
            return char_tokenizer(character for alphabet in alphabets for character in alphabet)
        if kind == "bpe":
            train_text, _ = _split(self._read(self.corpora[0], "Learning tokens from"), train_characters)
            share = BPE_TRAINING_CHARACTERS / max(1, train_characters)
            pieces = _portion(cut_safely(train_text, _BPE_PIECE), share)
            return train_bpe(pieces, recipe.tokenizer["vocab_size"], progress=self._shows_merges(train_characters))
        return lesson_token_files.read_tokenizer(path_meant(self.folder, self.plan.data.tokenizer))

    def _shows_merges(self, characters: int) -> bool:
        """Whether learning takes so long that the library shows how far it is: its bars do not wait, as ours do."""
        return self.manner.progress and characters > _SHOWN_FROM and sys.stderr.isatty()

    def _read(self, corpus: Corpus, doing: str) -> Iterator[str]:
        """Yield a corpus' text under a progress bar that shows itself only when the work takes a while."""
        title = f"{doing} {corpus.title}"
        quiet = not self.manner.progress
        with tqdm(total=corpus.size, desc=title, unit="B", unit_scale=True, delay=0.5, disable=quiet) as bar:
            for chunk in corpus.text_chunks():
                if self.manner.interrupt is not None:
                    self.manner.interrupt()
                yield chunk
                bar.update(len(chunk))


@dataclass(frozen=True)
class _Scan:
    """What one pass over a corpus tells."""

    sha256: str  # of the text as UTF-8
    characters: int
    alphabet: frozenset[str]  # empty unless asked for


def _split(chunks: Iterable[str], boundary: int) -> tuple[Iterator[str], Iterator[str]]:
    """Split a stream of text after `boundary` characters; the first part has to be consumed before the second."""
    source = iter(chunks)
    rest: list[str] = []

    def first() -> Iterator[str]:
        left = boundary
        while left > 0 and (chunk := next(source, None)) is not None:
            yield chunk[:left]
            if len(chunk) > left:
                rest.append(chunk[left:])
            left -= len(chunk)

    def second() -> Iterator[str]:
        yield from rest
        yield from source

    return first(), second()


def _portion(pieces: Iterable[str], share: float) -> Iterator[str]:
    """Yield an even selection of pieces that makes up `share` of them; all of them for 1 and above."""
    for index, piece in enumerate(pieces):
        if share >= 1 or int((index + 1) * share) > int(index * share):
            yield piece


def _hashed(chunks: Iterable[str], digest: Any) -> Iterator[str]:
    for chunk in chunks:
        digest.update(chunk.encode("utf-8"))
        yield chunk


def _tokenizer_recipe(plan: Plan, folder: Path) -> dict[str, Any]:
    name = plan.data.tokenizer
    if (plain := plain_tokenizer(plan)) is not None:
        return plain
    path = path_meant(folder, name)
    if path.suffix.lower() not in TENSOR_SUFFIXES:
        raise TricksterError(
            "tokenizer-unknown",
            f"data_config.tokenizer is {name!r}.",
            "Use byte, char, bpe, or the path of a tokenizer.pt.",
        )
    lesson_token_files.require_file(path)
    return {"kind": "file", "sha256": file_sha256(path)}


# ------------------------------------------------------------------------------------------------------------- tensors


def _prepare_tensors(plan: Plan, folder: Path, cache: Path) -> Dataset:
    assert plan.data.train_data is not None and plan.data.val_data is not None
    train, val = (path_meant(folder, name) for name in (plan.data.train_data, plan.data.val_data))
    for path in (train, val):
        lesson_token_files.require_file(path)
    tokenizer_path = lesson_token_files.find_tokenizer(plan.data.tokenizer, folder, train)
    recipe = Recipe({"kind": "file"} if tokenizer_path else {"kind": "byte"}, "files")
    paths = (train, val, *((tokenizer_path,) if tokenizer_path else ()))

    def content() -> tuple[object, Callable[[Path], None]]:
        def build(directory: Path) -> None:
            tokenizer = lesson_token_files.read_tokenizer(tokenizer_path) if tokenizer_path else byte_tokenizer()
            parts = [lesson_token_files.read_tokens(path, tokenizer.vocab_size) for path in (train, val)]
            write_dataset(
                directory, tokenizer, lesson_token_files.blocks(parts[0]), lesson_token_files.blocks(parts[1])
            )

        return [file_sha256(path) for path in paths], build

    files = tuple(file_now(path) for path in paths)
    source = Source(plan.data.train_data, train.name, files=2, bytes=files[0].size + files[1].size)
    return _find_or_build(cache, files, recipe, Labels(plan.data.train_data, train.name, source), content)


# --------------------------------------------------------------------------------------------------------------- cache


def _open_known(index: Index, labels: Labels) -> Dataset | None:
    known = index.find()
    return open_dataset(known, labels) if known is not None else None


def _find_or_build(
    cache: Path,
    files: tuple[CorpusFile, ...],
    recipe: Recipe,
    labels: Labels,
    content: Callable[[], tuple[object, Callable[[Path], None]]],
) -> Dataset:
    """Return the dataset of these files under this recipe, reading them only when the index does not know them.

    `content` reads the files once; it returns what identifies their content and a function that builds the dataset.
    """
    index = Index(cache, files, recipe)
    if (dataset := _open_known(index, labels)) is not None:
        return dataset
    content_identity, build = content()
    target = cache / "datasets" / recipe.key(content_identity)
    dataset = open_dataset(target, labels)
    if dataset is None:
        if os.path.lexists(target):
            discard(target)
        with building(target) as scratch:
            build(scratch)
        dataset = _read_back(target, labels)
    index.note(target)
    return dataset


def _read_back(target: Path, labels: Labels) -> Dataset:
    dataset = open_dataset(target, labels)
    if dataset is None:
        raise TricksterError(
            "cache-damaged",
            f"The data just written to {target} does not read back correctly.",
            "Check the disk, or set TRICKSTER_CACHE_DIR to a folder on another one.",
        )
    return dataset


def _size(file: CorpusFile) -> int:
    return file.size
