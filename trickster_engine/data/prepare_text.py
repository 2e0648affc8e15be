"""Text to tokens: read once to know it, and once to encode it; a large one by several processes."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES, LeftOut
from trickster_engine.config.plan import Plan
from trickster_engine.config.settings import STREAM
from trickster_engine.config.split import validation_size
from trickster_engine.config.starting_weights import says_tokenizer_file, tokenizer_file
from trickster_engine.data import lesson_token_files
from trickster_engine.data.cache import discard
from trickster_engine.data.composition import compose
from trickster_engine.data.corpus import Corpus, file_sha256
from trickster_engine.data.dataset import Dataset, Labels, open_dataset, write_dataset
from trickster_engine.data.document_choice import (
    TRAINING,
    VALIDATION,
    Choice,
    Documents,
    choose_all,
    chosen,
)
from trickster_engine.data.documents import without_marks
from trickster_engine.data.extraction import extract, kept_for_next_time
from trickster_engine.data.facts import source_of
from trickster_engine.data.find_or_build import find_or_build, open_known, read_back
from trickster_engine.data.index import (
    Index,
    Recipe,
    are_sources,
    files_of,
    identity,
    index_of,
    plain_tokenizer,
    text_recipe,
)
from trickster_engine.data.make_tokenizer import (
    byte_tokenizer,
    char_tokenizer,
    load_tokenizer,
    require_vocabulary,
    train_bpe,
    with_end,
)
from trickster_engine.data.near_duplicates import grouped
from trickster_engine.data.scan import Scan, corpus_changed, hashed, scan
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.sharded.prepare_shards import Manner
from trickster_engine.data.sharded.work_folder import move_into_place, work_folder
from trickster_engine.data.tokenizer import TOKENIZER_CONFIG_FILE, Tokenizer, cut_safely
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant
from trickster_engine.system.progress_bar import tqdm

# BPE learns its merges from at most this much training text, taken in even portions from all of it: its table of
# words has to fit into memory, and merges hardly change beyond.
BPE_TRAINING_CHARACTERS = 100_000_000
_SHOWN_FROM = 2_000_000  # characters, a few seconds of learning
_BPE_PIECE = 1 << 16  # characters; the library buffers 256 pieces


@dataclass(frozen=True)
class TextToPrepare:
    """Text to prepare: one corpus that is split, or several with weights, or one for training and one held out."""

    plan: Plan
    folder: Path
    corpora: tuple[Corpus, ...]
    manner: Manner

    def dataset(self, cache: Path) -> Dataset:
        """Find the prepared text, or prepare it."""
        recipe = text_recipe(self.plan, _tokenizer_recipe(self.plan, self.folder))
        index = index_of(cache, self.corpora, recipe)
        source = source_of(self.corpora, index.left_out())
        labels = Labels(source.name, source.title, source)
        if (dataset := open_known(index, labels)) is not None:
            return dataset
        composed = are_sources(self.corpora, recipe)
        if not composed and not any(corpus.is_packed for corpus in self.corpora):
            return self._prepared(index, labels)
        with work_folder(cache / "datasets", recipe.key(["extracted", index.key]), self.manner.interrupt) as folder:
            if (dataset := open_known(index, labels)) is not None:  # made by whoever was at work until now
                return dataset
            with kept_for_next_time(folder):
                texts, left_out = self._extracted(folder, composed)
                labels = replace(labels, source=source_of(self.corpora, left_out))
                dataset = texts._prepared(index, labels, left_out)
            discard(folder)
        return dataset

    def _extracted(self, folder: Path, composed: bool) -> tuple[TextToPrepare, LeftOut]:
        """The same text as plain files, one corpus that is split or one for each part, and what was left out of it."""
        data = self.plan.data
        found = [
            extract(corpus, folder, f"text-{number}", self.manner) if corpus.is_packed else (corpus, LeftOut())
            for number, corpus in enumerate(self.corpora)
        ]
        corpora = tuple(corpus for corpus, _ in found)
        left_out = LeftOut().joined(left for _, left in found)
        if not composed:
            return replace(self, corpora=corpora), left_out
        corpora = compose(corpora, folder, data, self.manner.interrupt)
        # Copies are left out already, and what is left is repeated on purpose.
        plan = replace(self.plan, data=replace(data, drop_duplicates=False, drop_near_duplicates=False))
        return replace(self, corpora=corpora, plan=plan), left_out

    def _prepared(self, index: Index, labels: Labels, left_out: LeftOut | None = None) -> Dataset:
        # The library's source is small, and not all of it is read: which files are is seen only while reading.
        if (
            all(corpus.kind != "python" for corpus in self.corpora)
            and sum(corpus.size for corpus in self.corpora) > prepare_shards.LARGE_BYTES
        ):
            return self._large(index, labels, left_out)
        return find_or_build(index, labels, lambda: self._content(index.recipe), left_out)

    def _large(self, index: Index, labels: Labels, left_out: LeftOut | None) -> Dataset:
        """Do the same for a text that several processes share, in a folder that survives them."""
        cache, recipe, files = index.cache, index.recipe, files_of(self.corpora)
        manner = self.manner
        key = recipe.key([prepare_shards.SHARD_BYTES, prepare_shards.MOST_SHARDS, identity(files)])
        with work_folder(cache / "datasets", key, manner.interrupt) as folder:
            if (dataset := open_known(index, labels)) is not None:  # made by whoever was at work until now
                return dataset
            with prepare_shards.resumable(folder, self.corpora, manner) as text:
                sums = text.scan(recipe.tokenizer["kind"] == "char")
                characters = [text.characters(number) for number in range(len(self.corpora))]
                self._require_text(characters)
                text.choose_documents(self.plan.data)
                target = cache / "datasets" / recipe.key([prepare_shards.SHARD_BYTES, prepare_shards.MOST_SHARDS, sums])
                dataset = open_dataset(target, labels)
                if dataset is None:
                    if os.path.lexists(target):
                        discard(target)
                    train = self._train_characters(characters[0])
                    text.encode(lambda: self._large_tokenizer(text, recipe, train), train, self.plan.model.vocab_size)
                    move_into_place(folder, target)
                    dataset = read_back(target, labels)
                else:
                    discard(folder)
        index.note(target, left_out)
        return dataset

    def _large_tokenizer(self, text: prepare_shards.LargeText, recipe: Recipe, train_characters: int) -> Tokenizer:
        if recipe.tokenizer["kind"] == "bpe":
            if text.choice is not None:
                train_characters = sum(train for train, _ in text.choice.characters)
                return self._subwords(recipe, text.training_documents(), train_characters)
            sample = text.training_sample(train_characters, BPE_TRAINING_CHARACTERS, _BPE_PIECE)
            shown = self._shows_merges(train_characters)
            return train_bpe(cut_safely(sample, _BPE_PIECE), recipe.tokenizer["vocab_size"], progress=shown)
        return self._tokenizer(recipe, (one.alphabet for one in text.scans), iter(()), train_characters)

    def _require_text(self, characters: Iterable[int]) -> None:
        for corpus, count in zip(self.corpora, characters, strict=True):
            if not count:
                raise TricksterError("corpus-empty", f"The corpus {corpus.path} contains no text.", "Add text to it.")

    def _train_characters(self, characters: int) -> int:
        """Return how many of the first corpus' characters are trained on."""
        held = validation_size(characters, self.plan.data.val_fraction) if len(self.corpora) == 1 else 0
        return characters - held

    @property
    def _is_stream(self) -> bool:
        return self.corpora[0].reading.is_stream

    def _content(self, recipe: Recipe) -> tuple[object, Callable[[Path], None]]:
        scans = [
            scan(self._read(corpus, "Reading"), recipe.tokenizer["kind"] == "char", not self._is_stream)
            for corpus in self.corpora
        ]
        self._require_text(one.characters for one in scans)
        return [one.sha256 for one in scans], lambda directory: self._build(directory, scans, recipe)

    def _build(self, directory: Path, scans: list[Scan], recipe: Recipe) -> None:
        choice = None if self._is_stream else self._choice(scans, directory)
        if choice is None:
            train_characters = self._train_characters(scans[0].characters)
        else:
            train_characters = sum(train for train, _ in choice.characters)
        text, _ = self._parts("Learning tokens from", [None] * len(scans), train_characters, choice)
        tokenizer = self._tokenizer(recipe, [one.alphabet for one in scans], text, train_characters)
        require_vocabulary(tokenizer, self.plan.model.vocab_size)
        digests = [hashlib.sha256() for _ in self.corpora]
        parts = self._parts("Encoding", digests, train_characters, choice)
        train, val = (tokenizer.encode_stream(part, documents=choice is not None) for part in parts)
        write_dataset(directory, tokenizer, train, val, choice.counts if choice is not None else None)
        if [digest.hexdigest() for digest in digests] != [one.sha256 for one in scans]:
            raise corpus_changed(self.corpora[0].path)

    def _choice(self, scans: Iterable[Scan], directory: Path) -> Choice:
        data = self.plan.data
        documents = [[Documents.from_text(one.documents)] for one in scans]

        def grouping(listed: Sequence[Documents]) -> Sequence[Documents]:
            streams = (self._read(corpus, "Comparing documents of") for corpus in self.corpora)
            return grouped(listed, streams, directory, self.manner.interrupt)

        near = grouping if data.drop_near_duplicates else None
        return choose_all(documents, data.val_fraction, self.corpora[0].name, drop=data.drops, grouping=near)

    def _parts(
        self, doing: str, digests: Sequence[Any], train_characters: int, choice: Choice | None
    ) -> tuple[Iterator[str], Iterator[str]]:
        """The text to train on and the validation text; the first has to be consumed before the second.

        Digests are updated with each corpus as it is read the first time, where there are any.
        """
        first, last = self.corpora[0], self.corpora[-1]
        streams = [
            hashed(self._read(corpus, doing), digest) if digest is not None else self._read(corpus, doing)
            for corpus, digest in zip(self.corpora, digests, strict=True)
        ]
        if choice is not None:
            val = streams[1] if first is not last else self._read(last, doing)
            return chosen(streams[0], choice.parts[0], TRAINING), chosen(val, choice.parts[-1], VALIDATION)
        return (streams[0], streams[1]) if len(streams) == 2 else _split(streams[0], train_characters)

    def _tokenizer(
        self, recipe: Recipe, alphabets: Iterable[Iterable[str]], train_text: Iterator[str], train_characters: int
    ) -> Tokenizer:
        kind = recipe.tokenizer["kind"]
        if kind == "bpe":
            return self._subwords(recipe, train_text, train_characters)
        if kind in ("byte", "char"):
            characters = (character for alphabet in alphabets for character in alphabet)
            plain = byte_tokenizer() if kind == "byte" else char_tokenizer(characters)
            return plain if self._is_stream else with_end(plain)
        path = path_meant(self.folder, self.plan.data.tokenizer)
        if kind == "json":
            return load_tokenizer(tokenizer_file(path).parent)
        return lesson_token_files.read_tokenizer(path)

    def _subwords(self, recipe: Recipe, train_text: Iterator[str], train_characters: int) -> Tokenizer:
        """Learn them from an even selection of the training text, or all of a short one."""
        size = recipe.tokenizer["vocab_size"]
        share = BPE_TRAINING_CHARACTERS / max(1, train_characters)
        pieces = _portion(cut_safely(train_text, _BPE_PIECE), share)
        shown = self._shows_merges(train_characters)
        if self._is_stream:
            return train_bpe(pieces, size, progress=shown)
        return with_end(train_bpe(without_marks(pieces), size - 1, progress=shown))

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


def _tokenizer_recipe(plan: Plan, folder: Path) -> dict[str, Any]:
    name = plan.data.tokenizer
    if (plain := plain_tokenizer(plan)) is not None:
        return plain
    path = path_meant(folder, name)
    if says_tokenizer_file(name) or name == plan.model.init_from:
        path = tokenizer_file(path)
        if not path.is_file():
            raise TricksterError(
                "tokenizer-missing",
                f"There is no file {path}.",
                "data_config.tokenizer is the folder of a tokenizer.json, relative to the config's folder.",
            )
        names_end = path.with_name(TOKENIZER_CONFIG_FILE)  # which token ends a document
        described = plan.data.documents != STREAM and names_end.is_file()
        config = {"config": file_sha256(names_end)} if described else {}
        return {"kind": "json", "sha256": file_sha256(path), **config}
    if path.suffix.lower() not in TENSOR_SUFFIXES:
        raise TricksterError(
            "tokenizer-unknown",
            f"data_config.tokenizer is {name!r}.",
            "Use byte, char, bpe, or the path of a tokenizer.pt or of the folder of a tokenizer.json.",
        )
    lesson_token_files.require_file(path)
    return {"kind": "file", "sha256": file_sha256(path)}
