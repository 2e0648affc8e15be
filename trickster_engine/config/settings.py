"""The keys of one file with their values, and the rules about values that are good alone and do not go together.

A rule is a generator of problems. It is only asked when every key that it names has a value that can be relied on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from trickster_engine.config.keys import KEYS
from trickster_engine.config.list_values import items_by_path
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range, Related, Severity
from trickster_engine.config.starting_weights import INIT, SHAPE, StartingWeights, find_starting_weights
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.editing import (
    may_be_misspelt,
    remove_entry,
    replace_value,
    stands_elsewhere,
    write_value,
)
from trickster_engine.config.yaml.nodes import Entry, Scalar
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant
from trickster_engine.system.printable import printable

_TOKENIZER = "data_config.tokenizer"
_DOCUMENTS = "data_config.documents"
_VOCABULARY = "model_config.vocab_size"
#: The text is no documents.
STREAM = "stream"
#: Tokens of the tokenizer byte with the one that ends a document.
BYTES_AND_END = 257


@dataclass(frozen=True)
class Given:
    """A key that the file gives a value."""

    entry: Entry
    where: Range  # where problems with the value are shown
    value: object
    valid: bool


def tenth(value: float) -> float:
    """Return a tenth without the last digits that binary division would leave: 3e-05, not 2.9999999999999997e-05."""
    return float(f"{value / 10:.12g}")


def leads_away(folder: Path, written: str) -> bool:
    """Whether a path is on another machine of a Windows network: asking there would tell it who asks."""
    path = path_meant(folder, written)
    return os.name == "nt" and path.drive.startswith("\\\\") and path.drive != folder.drive


class Settings:
    """All keys with a value that is known: written in the file, or a default that nothing unreadable may change."""

    def __init__(
        self,
        document: Document,
        given: Mapping[str, Given],
        folder: Path | None,
        start: StartingWeights | None = None,
    ):
        """`start` is what `init_from` was found to name, for whoever does not want the file system looked at."""
        self.document = document
        self.given = given
        self.folder = folder
        self.start_error: TricksterError | None = None
        self.start = self._starting_weights(start)
        self._values = self._known_values()
        self._items: dict[str, dict[str, Scalar]] = {}

    def _starting_weights(self, known: StartingWeights | None) -> StartingWeights | None:
        """What `init_from` names; None where it names nothing, or nothing that is known."""
        init = self.given.get(INIT)
        if init is None or not init.valid or not isinstance(init.value, str):
            return None
        if known is not None and known.written == init.value:
            return known
        if self.folder is None or leads_away(self.folder, init.value):
            return None
        try:
            return find_starting_weights(init.value, self.folder)
        except TricksterError as error:
            self.start_error = error
        except ValueError:  # a zero character in the name
            self.start_error = TricksterError("init-from-missing", f"{init.value!r} is no path.", "Name a folder.")
        return None

    def _known_values(self) -> dict[str, object]:
        values: dict[str, object] = {}
        for path, key in KEYS.items():
            if path in self.given:
                if self.given[path].valid:
                    values[path] = self.given[path].value
            elif key.section not in self.document.damaged:
                values[path] = key.default
        for path, source in (
            ("model_config.num_kv_heads", "model_config.num_heads"),
            ("training_config.min_learning_rate", "training_config.learning_rate"),
        ):
            if path not in self.given and path in values:
                if source in values:
                    value = values[source]
                    values[path] = tenth(cast(float, value)) if path.endswith("learning_rate") else value
                else:
                    del values[path]
        byte_documents = values.get(_TOKENIZER) == "byte" and values.get(_DOCUMENTS, STREAM) != STREAM
        if byte_documents and _VOCABULARY not in self.given and _VOCABULARY in values:
            values[_VOCABULARY] = BYTES_AND_END
        if values.get(INIT) is not None:
            self._follow_start(values)
        return values

    def _follow_start(self, values: dict[str, object]) -> None:
        """Have what is left out be as in the weights' folder: unknown where nobody has looked into it."""
        for name in SHAPE:
            path = f"model_config.{name}"
            if path in self.given:
                continue
            values.pop(path, None)
            if self.start is not None:
                values[path] = getattr(self.start.model, name)
        if _TOKENIZER not in self.given:
            values.pop(_TOKENIZER, None)
            if self.start is not None:  # that of bytes is the same wherever it lies
                own = self.start.has_tokenizer and not self.start.is_byte
                values[_TOKENIZER] = self.start.written if own else "byte"

    def knows(self, *paths: str) -> bool:
        """Return whether all these keys have a value that can be relied on."""
        return all(path in self._values for path in paths)

    def value(self, path: str) -> object:
        """Return the value of a known key."""
        return self._values[path]

    def integer(self, path: str) -> int:
        """Return the value of a known key that counts something."""
        return cast(int, self._values[path])

    def number(self, path: str) -> float:
        """Return the value of a known key that measures something."""
        return cast(float, self._values[path])

    def text(self, path: str) -> str:
        """Return the value of a known key that is a text; empty for null."""
        return cast("str | None", self._values[path]) or ""

    def truth(self, path: str) -> bool:
        """Return the value of a known key that is true or false."""
        return cast(bool, self._values[path])

    def is_given(self, path: str) -> bool:
        """Return whether the file itself gives this key a value."""
        return path in self.given

    def problem(
        self,
        code: str,
        severity: Severity,
        message: str,
        *paths: str,
        fixes: tuple[Fix | None, ...] = (),
        item: str = "",
    ) -> Problem:
        """Return a problem about `paths`, shown at the first of them that the file gives, related to the others.

        Where a list is among them and the problem is about one `item` of it, it is shown there.
        """
        places = [path for path in paths if path in self.given]
        if places:
            where = self._where(places[0], item)
        else:
            first = self.document.lines.line(0)
            where = Range(Position(0, 0), Position(0, len(first)))
        related = tuple(
            Related(self._where(path, item), f"{path.split('.')[1]} is {as_yaml(self._values.get(path))}")
            for path in places[1:]
        )
        key = places[0] if places else paths[0] if paths else None
        # A name in it, of a file for instance, may hold anything.
        return Problem(code, severity, printable(message), where, tuple(fix for fix in fixes if fix), related, key)

    def write(self, path: str, value: object, *, preferred: bool = False, why: str = "") -> Fix | None:
        """Return the fix that gives a key a value, adding the key where it is missing."""
        key = KEYS[path]
        text = as_yaml(value)
        entry = self.given[path].entry if path in self.given else None
        if entry is not None and stands_elsewhere(self.document, key, entry):
            # Its name or place is a problem of its own. A value that `&` names is not torn away from its aliases.
            named = "&" in self.document.lines.slice(entry.value.range)
            edits: tuple[Edit, ...] = () if named else (replace_value(entry, text),)
        else:
            edits = write_value(self.document, key, text)
            preferred = preferred and not may_be_misspelt(self.document, key.section)
        if not edits:
            return None
        reason = f" ({why})" if why else ""
        return Fix(f"Set {key.name} to {text}{reason}", edits, preferred)

    def write_item(self, path: str, item: str, value: str, *, preferred: bool = False) -> Fix | None:
        """Return the fix that puts a path in the place of an item of a list, or of the one value that is there."""
        written = self._item(path, item)
        if written is None:
            return None if isinstance(self.value(path), tuple) else self.write(path, value, preferred=preferred)
        text = as_yaml(value)
        named = written.anchor is not None  # it is not torn away from its aliases
        return None if named else Fix(f"Write {text}", (Edit(written.range, text),), preferred)

    def _where(self, path: str, item: str) -> Range:
        """Where problems with an item of a given key's list are shown, or with its value."""
        written = self._item(path, item)
        return self.given[path].where if written is None else written.range

    def _item(self, path: str, item: str) -> Scalar | None:
        """Where the list that a given key holds names a path; None where it holds none, or does not name it."""
        if path not in self._items:
            self._items[path] = items_by_path(self.given[path].entry.value) if path in self.given else {}
        return self._items[path].get(item)

    def remove(self, path: str, *, preferred: bool = False) -> Fix | None:
        """Return the fix that removes a key."""
        edit = remove_entry(self.document, self.given[path].entry) if path in self.given else None
        return Fix(f"Remove {path.split('.')[1]}", (edit,), preferred) if edit else None


Rule = Callable[[Settings], Iterator[Problem]]

RULES: Final[list[tuple[tuple[str, ...], Rule]]] = []


def rule(*paths: str) -> Callable[[Rule], Rule]:
    """Register a rule that looks at these keys."""

    def register(function: Rule) -> Rule:
        RULES.append((paths, function))
        return function

    return register


def problems_of(settings: Settings) -> Iterator[Problem]:
    """Yield what all rules have to say."""
    for paths, function in RULES:
        if settings.knows(*paths):
            yield from function(settings)
