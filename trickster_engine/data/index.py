"""Which prepared dataset belongs to some files under a config: found again without reading the files.

Standard library only, so that a language server can look up what is known of a text that it does not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES, CorpusFile, LeftOut
from trickster_engine.config.own_output import OwnOutput
from trickster_engine.config.plan import DataConfig, Plan
from trickster_engine.config.settings import STREAM
from trickster_engine.data.cache import make_folder
from trickster_engine.data.corpus import Corpus, Reading, resolve_corpus, text_files
from trickster_engine.data.description import FORMAT
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_json, write_json_atomically
from trickster_engine.system.json_checksum import seal, unseal

#: Of `Recipe.split`: training and validation text are files of their own.
SPLIT_ALREADY = "files"
#: Part of a dataset's key where near duplicates are left out: changes with what `near_duplicates.py` takes for one.
NEAR = "near-1"
_KEY = re.compile(r"[0-9a-f]{32}")
_INDEX_BYTES = 1 << 12
_SETTLED_NS = 2_000_000_000  # a file changed more recently than this may change again without its time changing


def _now_ns() -> int:
    return time.time_ns()


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the tokens, except the files' content."""

    tokenizer: dict[str, Any]  # {"kind": …} and what that kind needs
    split: str  # a fraction, or "files" when training and validation text are files of their own
    line_ends: str = "keep"
    documents: tuple[object, ...] = ()  # what they are, and which are left out; nothing for a stream

    def key(self, content: object) -> str:
        """Return the name for this recipe applied to some content."""
        # Keys of before there was a choice of line ends, or there were documents, stay what they were.
        ends = {"line_ends": self.line_ends} if self.line_ends != "keep" else {}
        documents = {"documents": self.documents} if self.documents else {}
        recipe = {"tokenizer": self.tokenizer, "split": self.split, **ends, **documents}
        document = json.dumps([FORMAT, recipe, content], sort_keys=True)
        return hashlib.sha256(document.encode()).hexdigest()[:32]


def text_recipe(plan: Plan, tokenizer: dict[str, Any]) -> Recipe:
    """The recipe for text under a plan."""
    split = SPLIT_ALREADY if plan.data.train_data is not None else str(plan.data.val_fraction)
    return Recipe(tokenizer, split, plan.data.line_ends, _documents(plan.data))


def _documents(data: DataConfig) -> tuple[object, ...]:
    if data.documents == STREAM:
        return ()
    separator = data.document_separator if data.documents == "separated" else ""
    near = (NEAR,) if data.drop_near_duplicates else ()
    return data.documents, separator, data.text_field, data.drop_duplicates, *near


def plain_tokenizer(plan: Plan) -> dict[str, Any] | None:
    """The tokenizer of a plan as part of a recipe; None where it is not one of the three that are made from text."""
    name = plan.data.tokenizer
    if name in ("byte", "char"):
        return {"kind": name}
    return {"kind": name, "vocab_size": plan.model.vocab_size} if name == "bpe" else None


def are_tensors(data: DataConfig) -> bool:
    """Whether the training text is given as tokens that torch saved."""
    return data.train_data is not None and Path(data.train_data).suffix.lower() in TENSOR_SUFFIXES


def corpora_of(plan: Plan, folder: Path, own: OwnOutput, most: int | None = None) -> tuple[Corpus, ...]:
    """Find a plan's text: one corpus that is split, or several, or one to train on and one held out.

    Raises TricksterError.

    `most`: how many files of a folder are looked at, see `text_files`.
    """
    data, corpora = plan.data, []
    if data.train_data is None or data.val_data is None:
        for source in data.sources:
            corpus = resolve_corpus(source.path, folder, own=own, most=most, selection=data.selection)
            corpora.append(replace(corpus, weight=source.weight))
    else:
        names = (data.train_data, data.val_data)
        corpora += [text_files(name, folder, most, own=own, selection=data.selection) for name in names]
    reading = Reading(data.line_ends == "lf", data.documents, data.document_separator, data.text_field)
    return tuple(replace(corpus, reading=reading) for corpus in corpora)


def files_of(corpora: Iterable[Corpus]) -> tuple[CorpusFile, ...]:
    """All files of some corpora, in order."""
    return tuple(file for corpus in corpora for file in corpus.files)


def known_dataset(cache: Path, plan: Plan, corpora: tuple[Corpus, ...]) -> Path | None:
    """Where the dataset of a plan's text lies, from the files' sizes and times alone; None where it is not known."""
    tokenizer = plain_tokenizer(plan)
    if tokenizer is None or are_tensors(plan.data):
        return None
    return index_of(cache, corpora, text_recipe(plan, tokenizer)).find()


def index_of(cache: Path, corpora: Sequence[Corpus], recipe: Recipe) -> Index:
    """The index of some text: one corpus that is split or several that each are, or one for each part."""
    files = files_of(corpora)
    how: dict[str, object] = {}
    if any(file.format.records for file in files):
        how["text_field"] = corpora[0].reading.text_field
    if are_sources(corpora, recipe):
        how["sources"] = [[len(corpus.files), corpus.weight] for corpus in corpora]
    return Index(cache, files, recipe, how)


def are_sources(corpora: Sequence[Corpus], recipe: Recipe) -> bool:
    """Whether there are several sources, or one that counts more than once: more than a corpus that is split."""
    return recipe.split != SPLIT_ALREADY and (len(corpora) > 1 or corpora[0].weight > 1)


@dataclass(frozen=True)
class Index:
    """Leads from files as they are now to the dataset that was made of them."""

    cache: Path
    files: tuple[CorpusFile, ...]
    recipe: Recipe
    how: dict[str, object] = field(default_factory=dict)  # the files are read, where that is not simply as text
    started_ns: int = field(default_factory=_now_ns)

    @property
    def key(self) -> str:
        """A name for the files as they are and what is made of them."""
        return self.recipe.key([identity(self.files), self.how] if self.how else identity(self.files))

    @property
    def _path(self) -> Path:
        return self.cache / "index" / f"{self.key}.json"

    def left_out(self) -> LeftOut:
        """What was left out of the files' content when it was read."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            value = unseal(read_json(self._path, _INDEX_BYTES), self._path.name)["left_out"]
            return LeftOut(dict(value["counts"]), {reason: list(names) for reason, names in value["names"].items()})
        return LeftOut()

    def find(self) -> Path | None:
        """Return the dataset's folder, without reading the files; None where they are not known."""
        try:
            known = unseal(read_json(self._path, _INDEX_BYTES), self._path.name)["dataset"]
        except (OSError, ValueError, KeyError):
            return None
        if not isinstance(known, str) or not _KEY.fullmatch(known):
            return None
        return self.cache / "datasets" / known

    def note(self, dataset: Path, left_out: LeftOut | None = None) -> None:
        """Remember the dataset, unless the files may have changed while they were read."""
        files, path = self.files, self._path
        settled = all(max(file.modified_ns, file.changed_ns) < self.started_ns - _SETTLED_NS for file in files)
        with contextlib.suppress(OSError):  # only speed is lost without it; the cache may be shared and read-only
            if settled and all(file.is_as_it_was() for file in files):
                make_folder(path.parent)
                entry: dict[str, object] = {"dataset": dataset.name}
                if left_out is not None and left_out.total:
                    entry["left_out"] = {"counts": left_out.counts, "names": left_out.examples()}
                write_json_atomically(path, seal(entry, path.name))


def identity(files: Iterable[CorpusFile]) -> list[list[object]]:
    """What tells files as they are now from others, without reading them."""
    return [
        [
            str(file.path.absolute()),
            file.size,
            file.modified_ns,
            file.changed_ns,
            *([file.member] if file.member else ()),
        ]
        for file in files
    ]


def resolved_text(plan: Plan, folder: Path, own: OwnOutput, most: int | None = None) -> tuple[Corpus, ...]:
    """A plan's text where it is on this machine, without fetching any; empty where it is not, or is tokens."""
    if are_tensors(plan.data) or (plan.data.train_data is None) != (plan.data.val_data is None):
        return ()
    try:
        return corpora_of(plan, folder, own, most)
    except (TricksterError, OSError):
        return ()
