"""What was read: the facts of a text in one value, and the one small table that shows them everywhere.

Standard library only. What only reading tells is None until the text has been read; `survey.py` measures it.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import BUILT_IN_CORPORA, LeftOut, left_out_text
from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import epochs
from trickster_engine.data.corpus import Corpus
from trickster_engine.data.description import Description, DocumentCounts, read_description
from trickster_engine.system.files import read_json
from trickster_engine.system.json_checksum import unseal
from trickster_engine.system.printable import printable
from trickster_engine.system.units import size_text, times_text

#: Of the JSON: raised when a field changes its meaning.
VERSION = 1
#: Beside a dataset; the number changes with the meaning, so that an older one is measured again.
CONTENT_FILE = "text-facts-1.json"
_CONTENT_BYTES = 1 << 16
_MARKS = re.compile(r"[\\`*_\[\]<>|~!]")
_NAMES_OF_ENDS = {"lf": "LF", "crlf": "CRLF (Windows)", "cr": "CR (old Mac)"}


@dataclass(frozen=True)
class Source:
    """Which files a text is made of, and what lay beside them."""

    name: str = ""  # as the config names it
    title: str = ""
    built_in: bool = False
    files: int = 0
    bytes: int = 0
    left_out: Mapping[str, int] | None = None  # reason -> how many
    left_out_names: Mapping[str, Sequence[str]] | None = None  # reason -> the first of them


@dataclass
class LineEnds:
    """Counts the line ends of a text that comes in pieces."""

    lf: int = 0
    crlf: int = 0
    cr: int = 0
    after_return: bool = False

    def add(self, piece: bytes) -> None:
        """Count those of a piece; a CR at its end waits for what follows."""
        if not piece:
            return
        if self.after_return:
            piece = b"\r" + piece
        self.after_return = piece.endswith(b"\r")
        if self.after_return:
            piece = piece[:-1]
        pairs = piece.count(b"\r\n")
        self.crlf += pairs
        self.lf += piece.count(b"\n") - pairs
        self.cr += piece.count(b"\r") - pairs

    def finish(self) -> None:
        """The text is over."""
        self.cr += self.after_return
        self.after_return = False


@dataclass(frozen=True)
class Content:
    """What reading a text told. Shares are between 0 and 1; see `survey.py` for what they count."""

    lf: int
    crlf: int
    cr: int
    occurring: int  # different tokens in what was read of the training text
    duplicated: float
    overlap: float
    measured: float  # the share of the training text that this was measured on

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Content:
        """Read what was kept. Raises ValueError, KeyError, TypeError."""
        counts = {name: value[name] for name in ("lf", "crlf", "cr", "occurring")}
        shares = {name: value[name] for name in ("duplicated", "overlap", "measured")}
        if not all(type(count) is int and count >= 0 for count in counts.values()):
            raise ValueError("a count is not a number")
        if not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares.values()):
            raise ValueError("a share is not between 0 and 1")
        return cls(**counts, **shares)


@dataclass(frozen=True)
class TextFacts:
    """Everything that is known about a plan's text."""

    source: Source
    tokenizer: str
    window: int  # max_seq_len
    steps: int
    vocabulary_asked: int
    train_characters: int | None = None
    val_characters: int | None = None
    train_tokens: int | None = None
    val_tokens: int | None = None
    vocabulary_filled: int | None = None  # ids that the tokenizer has
    epochs: float | None = None
    content: Content | None = None
    documents: DocumentCounts | None = None
    read_ends: LineEnds | None = None  # of a text that was looked at and not prepared

    @property
    def ends(self) -> Content | LineEnds | None:
        """The line ends, where they are known."""
        return self.content or self.read_ends

    def as_json(self) -> dict[str, Any]:
        """Return the facts as plain JSON, with the table as it is shown."""
        facts = {name: value for name, value in asdict(self).items() if name != "read_ends"}
        return {"version": VERSION, **facts, "table": [list(row) for row in self.rows()]}

    def rows(self) -> list[tuple[str, str]]:
        """The table: what is known, one fact a row."""
        rows = [("Text", self._text())]
        if self.source.left_out:
            rows.append(("Skipped", left_out_text(self.source.left_out, self.source.left_out_names or {})))
        if self.train_characters is not None and self.val_characters is not None:
            rows.append(("Characters", f"{self.train_characters:,} training, {self.val_characters:,} validation"))
        if self.documents is not None:
            rows.append(("Documents", documents_text(self.documents)))
        if self.train_tokens is not None and self.val_tokens is not None:
            rows.append(("Tokens", f"{self.train_tokens:,} training, {self.val_tokens:,} validation"))
        if self.ends is not None:
            rows.append(("Line ends", line_ends_text(self.ends)))
        if self.vocabulary_filled is not None:
            rows.append(("Vocabulary", self._vocabulary()))
        if self.content is not None:
            sampled = self.content.measured < 1
            part = f" (measured on {self.content.measured:.1%} of it)" if sampled else ""
            repeated = f"{share_text(self.content.duplicated)} of the training text repeats earlier text{part}"
            shared = f"{share_text(self.content.overlap)} of the validation text is also in the training text"
            rows += [("Duplicated", repeated), ("Overlap", f"at least {shared}" if sampled else shared)]
        if self.epochs is not None:
            rows.append(("Epochs", f"{times_text(self.epochs)} in {self.steps:,} steps"))
        return rows

    def as_markdown(self) -> str:
        """The table for a hover."""
        return markdown_table(self.rows())

    def _text(self) -> str:
        source = self.source
        name = f"{source.title} (built in)" if source.built_in else source.title
        left_out = sum((source.left_out or {}).values())
        files = f"{source.files:,} file{'' if source.files == 1 else 's'}"
        taken = f"{files} used, {left_out:,} skipped" if left_out else files
        return f"{name}: {taken}, {size_text(source.bytes)}" if source.files else name

    def _vocabulary(self) -> str:
        said = f"{self.vocabulary_filled:,} of {self.vocabulary_asked:,} rows used"
        return f"{said}, {self.content.occurring:,} occur in the training text" if self.content is not None else said


def source_of(corpora: Sequence[Corpus], left_out: LeftOut | None = None) -> Source:
    """Which files some corpora are made of: one that is split, several, or one to train on and one for validation.

    `left_out` is what was left out of the files' content.
    """
    left_out = (left_out or LeftOut()).joined(corpus.left_out for corpus in corpora)
    files = [file for corpus in corpora for file in corpus.files if file.size]
    built_in = all(corpus.kind in BUILT_IN_CORPORA for corpus in corpora)
    return Source(
        name=" and ".join(dict.fromkeys(corpus.name + _weight(corpus) for corpus in corpora)),
        title=" and ".join(dict.fromkeys(_title(corpus) + _weight(corpus) for corpus in corpora)),
        built_in=built_in,
        files=len(files),
        bytes=sum(file.size for file in files),
        left_out=left_out.counts or None,
        left_out_names=left_out.examples() or None,
    )


def _title(corpus: Corpus) -> str:
    """A name for people; that of the folder itself where the config names it by a dot."""
    return corpus.title if corpus.title.strip("./\\") else f"{corpus.path.resolve().name}/"


def _weight(corpus: Corpus) -> str:
    return f" x {corpus.weight}" if corpus.weight > 1 else ""


def unread_facts(plan: Plan, source: Source) -> TextFacts:
    """The facts of a plan's text before it is read."""
    model, steps = plan.model, plan.training.max_steps
    return TextFacts(source, plan.data.tokenizer, model.max_seq_len, steps, model.vocab_size)


def read_facts(plan: Plan, source: Source, description: Description, filled: int, content: Content) -> TextFacts:
    """The facts of a plan's text that was prepared, with a tokenizer of `filled` ids, and surveyed."""
    train, val, documents = description.train, description.val, description.documents
    if documents is not None and any(one.weight > 1 for one in plan.data.sources):
        documents = replace(documents, duplicates=0)  # most of them are there on purpose, and the others not told apart
    return replace(
        unread_facts(plan, source),
        train_characters=train.characters,
        val_characters=val.characters,
        train_tokens=train.tokens,
        val_tokens=val.tokens,
        vocabulary_filled=filled,
        epochs=epochs(plan, train.tokens),
        content=content,
        documents=documents,
    )


def kept_facts(plan: Plan, source: Source, directory: Path) -> TextFacts | None:
    """The facts of a text that was prepared and surveyed before, from small files alone; None where it was not."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        description = read_description(directory)
        value = unseal(read_json(directory / CONTENT_FILE, _CONTENT_BYTES), description.fingerprint)
        filled = value["filled"]
        if type(filled) is int:
            content = Content.from_json(value)
            return read_facts(plan, source, description, filled, content)
    return None


def uniform_text(facts: TextFacts) -> str:
    """What the uniform baseline is over the tokens that occur, where the model has more rows; else empty."""
    occurring = facts.content.occurring if facts.content is not None else 0
    if not 0 < occurring < facts.vocabulary_asked:
        return ""
    rows = f"ln {facts.vocabulary_asked:,}, every row of the vocabulary"
    return f"({rows}; {math.log(occurring):.4f} over the {occurring:,} tokens that occur)"


def documents_text(documents: DocumentCounts) -> str:
    """Say how many documents a text has, and how many of them say what an earlier one says."""
    said = f"{documents.train:,} training, {documents.val:,} validation"
    if documents.dropped:
        near = f", {documents.near:,} of them near duplicates" if documents.near else ""
        return f"{said}; {documents.dropped:,} duplicates left out{near}"
    return f"{said}; {documents.duplicates:,} are duplicates" if documents.duplicates else said


def line_ends_text(content: Content | LineEnds) -> str:
    """Say which line ends a text has, the commonest first."""
    counts = {name: getattr(content, name) for name in _NAMES_OF_ENDS}
    found = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    return ", ".join(f"{counts[name]:,} {_NAMES_OF_ENDS[name]}" for name in found) or "none"


def share_text(share: float) -> str:
    """A share with one decimal place, never rounded to nothing or to all."""
    if 0 < share < 0.0005:
        return "less than 0.1%"
    if 0.9995 <= share < 1:
        return "more than 99.9%"
    return f"{share:.1%}"


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Facts as a table of Markdown."""
    return "\n".join(["| | |", "|:--|:--|", *(f"| {name} | {_in_cell(value)} |" for name, value in rows)])


def _in_cell(text: str) -> str:
    """A value as text: names of files are nobody's Markdown."""
    return _MARKS.sub(r"\\\g<0>", printable(" ".join(text.split())))
