"""The open files, as the client has them, and what the engine makes of each.

A text is looked at once per version, however many features ask; the result is kept until the next keystroke.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from trickster_engine.config.check import CheckResult, check_document
from trickster_engine.config.keys import SECTIONS
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Position, Range
from trickster_engine.config.settings import Settings
from trickster_engine.config.starting_weights import StartingWeights
from trickster_engine.config.walk import Walk
from trickster_engine.config.yaml import document
from trickster_engine.config.yaml.parser import parse
from trickster_engine.config.yaml.text import Lines
from trickster_engine.system.files import read_bytes
from trickster_server.lsp.positions import Columns, Encoding, changed
from trickster_server.paths import file_key, path_of, unresolved_key

_TOP_KEY = re.compile(r"^(?:model_config|training_config)[ \t]*:", re.MULTILINE)
_CONFIG_BYTES = 4 << 20
_YAML_NAMES = (".yaml", ".yml")
_OWN_NAMES = (".trickster.yaml", ".trickster.yml")


def read_config(path: Path) -> bytes:
    """A file that the client names. Raises OSError, also for what is no plain file or larger than any config."""
    return read_bytes(path, _CONFIG_BYTES, follow_links=True)


def is_config(uri: str, language: str | None, text: str) -> bool:
    """Whether a file is ours: named `*.trickster.yaml`, or YAML with `model_config` or `training_config` at the top."""
    try:
        name = unquote(urlsplit(uri).path).lower()
    except ValueError:
        name = uri.lower()
    if name.endswith(_OWN_NAMES):
        return True
    if not (name.endswith(_YAML_NAMES) or language in ("yaml", "trickster")):
        return False
    return _TOP_KEY.search(text) is not None


class Document:
    """One version of one open text."""

    def __init__(self, uri: str, text: str, version: int | None, language: str | None, encoding: Encoding) -> None:
        self._file_key: str | None = None
        self.uri = uri
        self.text = text
        self.version = version
        self.language = language
        self.encoding = encoding
        #: What `init_from` was last found to name; the file system is looked at elsewhere.
        self.start: StartingWeights | None = None

    @cached_property
    def lines(self) -> Lines:
        """The text by lines."""
        return Lines(self.text)

    @cached_property
    def columns(self) -> Columns:
        """Translates positions to and from the client's."""
        return Columns(self.lines, self.encoding)

    @cached_property
    def path(self) -> Path | None:
        """The file, where there is one."""
        return path_of(self.uri)

    @property
    def folder(self) -> Path | None:
        """The file's folder, from which the paths in it start."""
        return self.path.parent if self.path is not None else None

    @property
    def file_key(self) -> str | None:
        """The file, to be compared with that of a run; until `locate` has looked, as the client names it."""
        if self._file_key is None and self.path is not None:
            return unresolved_key(self.path)
        return self._file_key

    def locate(self) -> None:
        """Find the file behind all links. Asks the disk: not for the loop."""
        if self._file_key is None and self.path is not None:
            self._file_key = file_key(self.path)

    def located_as(self, other: Document) -> None:
        """Take over where another version of this text was found, and what its weights are."""
        self._file_key = other._file_key
        self.start = other.start

    def weights_now(self) -> StartingWeights | None:
        """What `init_from` names. Asks the disk: not for the loop."""
        return Settings(self.parsed, self.settings.given, self.folder).start if self.folder is not None else None

    def starts_from(self, start: StartingWeights | None) -> None:
        """Take in what `init_from` names: the keys that follow it have other values from now on."""
        if start != self.start:
            self.start = start
            for derived in ("checked", "settings", "nearest_plan"):
                self.__dict__.pop(derived, None)

    @cached_property
    def is_config(self) -> bool:
        """Whether this is a file of ours."""
        return is_config(self.uri, self.language, self.text)

    @cached_property
    def parsed(self) -> document.Document:
        """The tree of the text, however broken it is."""
        return parse(self.text)

    @cached_property
    def checked(self) -> CheckResult:
        """What the engine says about the text alone; the file system is looked at elsewhere, off the loop."""
        return check_document(self.parsed, None, self.start)

    @cached_property
    def settings(self) -> Settings:
        """Every key whose value is known, also while other parts of the file are wrong."""
        walk = Walk(self.parsed)
        walk.run()
        return Settings(self.parsed, walk.given, None, self.start)

    @cached_property
    def nearest_plan(self) -> Plan:
        """The plan; where errors leave none, one made of the values that are good and the defaults of the others."""
        if self.checked.plan is not None:
            return self.checked.plan
        sections: dict[str, Any] = {}
        for section in SECTIONS.values():
            values = {
                name: self.settings.value(key.path) if self.settings.knows(key.path) else key.default
                for name, key in section.keys.items()
            }
            sections[section.attribute] = section.plan_type(**values)
        return Plan(**sections)

    def place_of(self, key: str) -> Range:
        """Where a key's value stands; its section's name, or the first line, where the file does not give it."""
        given = self.settings.given.get(key)
        if given is not None:
            return given.where
        section = key.split(".", maxsplit=1)[0]
        for entry in self.parsed.sections():
            if entry.key.text == section:
                return entry.key.range
        return Range(Position(0, 0), Position(0, len(self.lines.line(0))))

    def changed(self, changes: list[types.TextDocumentContentChangeEvent], version: int | None) -> Document:
        """The next version."""
        document = self
        for change in changes or [types.TextDocumentContentChangeWholeDocument(self.text)]:
            text = change.text
            if isinstance(change, types.TextDocumentContentChangePartial):
                text = changed(document.text, document.lines, change.range, text, self.encoding)
            document = Document(self.uri, text, version, self.language, self.encoding)
        document.located_as(self)
        return document


class Documents:
    """The open texts by address."""

    def __init__(self) -> None:
        self.encoding: Encoding = types.PositionEncodingKind.Utf16
        self._open: dict[str, Document] = {}

    def opened(self, item: types.TextDocumentItem) -> Document:
        """Keep a text."""
        document = Document(item.uri, item.text, item.version, str(item.language_id), self.encoding)
        self._open[item.uri] = document
        return document

    def changed(self, params: types.DidChangeTextDocumentParams) -> Document | None:
        """Keep the next version; None where the text was never opened."""
        before = self._open.get(params.text_document.uri)
        if before is None:
            return None
        after = before.changed(list(params.content_changes), params.text_document.version)
        self._open[before.uri] = after
        return after

    def located(self, document: Document) -> None:
        """A text's file has been found, while the client may have gone on writing."""
        current = self._open.get(document.uri)
        if current is not None:
            current.located_as(document)

    def closed(self, uri: str) -> None:
        """Forget a text."""
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """The text as the client has it; None where it is not open."""
        return self._open.get(uri)

    def config(self, uri: str) -> Document | None:
        """The text if it is open and a config."""
        document = self._open.get(uri)
        return document if document is not None and document.is_config else None

    def read(self, uri: str) -> Document | None:
        """The text as the client has it, or as it is on disk. Reads a file: not for the loop's hot paths."""
        document = self._open.get(uri)
        if document is not None:
            return document
        path = path_of(uri)
        if path is None:
            return None
        try:
            text = read_config(path).decode("utf-8", "replace")
        except OSError:
            return None
        return Document(uri, text, None, "yaml", self.encoding)

    def configs(self) -> list[Document]:
        """Every open config."""
        return [document for document in self._open.values() if document.is_config]
