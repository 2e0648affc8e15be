"""`textDocument/inlineCompletion`: a model that was trained here goes on with what is typed, in any editor.

Nothing is offered before a model has been chosen, without trust, or in files that were not named. VS Code is not told
of this: our extension asks `trickster/complete` and shows which model answers.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from trickster_server.documents import Document
from trickster_server.handlers.models import Models
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages import completing as messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.lsp.messages.models import CompleteParams
from trickster_server.paths import path_of
from trickster_server.services import Services

logger = logging.getLogger(__name__)

#: Characters before the cursor that a model is sent at least, at most twice as many: more than any model here reads.
#: Where they begin moves in steps of this length, so that what was read for one key serves the next.
_CHARACTERS_SENT = 16_000
#: After a failure nothing is asked for so long: a process would be started for each key.
_PAUSE_SECONDS = 10.0
_GONE = frozenset({int(ErrorCode.UNKNOWN_RUN), int(ErrorCode.NO_CHECKPOINT)})
_FILES = ["plaintext", "text", "markdown"]
_LANGUAGE = re.compile(r"[\w+-]+")


@dataclass(frozen=True)
class _Chosen:
    """The model that completes, and where."""

    name: str
    run_id: str | None
    checkpoint: str | None
    files: tuple[str, ...]


class InlineCompletion:
    """Completes for one client, with at most one model."""

    def __init__(self, services: Services, models: Models) -> None:
        self._services = services
        self._models = models
        self._chosen: _Chosen | None = None
        self._turns = 0  # a choice that is still being loaded gives way to a later one
        self._paused_until = 0.0

    # ---- which model ------------------------------------------------------------------------------------------------

    async def use(self, params: messages.CompleteWithParams) -> messages.CompleteWithResult:
        """Complete with a model from now on. Raises RequestError where it cannot be used."""
        named = params.checkpoint or params.run_id
        if named is None:
            raise RequestError(ErrorCode.NO_CHECKPOINT, "Name a run or a checkpoint.")
        given = (params.files, self._services.options.completion_files, _FILES)
        files = next(one for one in given if one is not None)
        chosen = _Chosen(_name(named), params.run_id, params.checkpoint, tuple(files))
        self._turns += 1
        turn = self._turns
        loaded = await self._models.complete(CompleteParams("", chosen.run_id, chosen.checkpoint))
        if turn == self._turns:
            self._chosen, self._paused_until = chosen, 0.0
        return messages.CompleteWithResult(chosen.name, files, loaded.checkpoint, loaded.step)

    async def stop(self, _: messages.StopCompletingParams) -> messages.StopCompletingResult:
        """Complete no more."""
        self._turns += 1
        stopped, self._chosen = self._chosen, None
        return messages.StopCompletingResult(stopped.name if stopped is not None else None)

    def begin(self) -> None:
        """Take the model that the initialization options name, once the folder is trusted."""
        named = self._services.options.completion_model
        if named is not None and self._services.trusted and self._chosen is None:
            self._services.spawn(self._use_named(named), "load the model that completes")

    async def _use_named(self, named: str) -> None:
        await self._services.registry.ready()
        params = messages.CompleteWithParams(run_id=named)
        if not self._services.registry.named(named) and (folder := await asyncio.to_thread(self._folder, named)):
            params = messages.CompleteWithParams(checkpoint=str(folder))
        try:
            await self.use(params)
        except RequestError as error:
            words = f"{_name(named)} does not complete what you type: {error.message}"
            self._services.show_message(types.MessageType.Warning, words)

    def _folder(self, named: str) -> Path | None:
        """A folder that is named by its address or path, absolute or below a folder of the workspace."""
        written = path_of(named) or Path(named)
        places = [written] if written.is_absolute() else [folder / written for folder in self._services.folders()]
        return next((place for place in places if place.is_dir()), None)

    # ---- at each key ------------------------------------------------------------------------------------------------

    async def offer(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        """What the model would go on with at the cursor; on request over several lines."""
        chosen, document = self._chosen, self._services.documents.get(params.text_document.uri)
        if chosen is None or document is None or not self._services.trusted or not _is_named(document, chosen.files):
            return None
        if params.context.selected_completion_info is not None:
            return None  # the list of completions has the word
        if asyncio.get_running_loop().time() < self._paused_until:
            return None
        at = document.columns.from_client(params.position)
        # Within a line the text behind the cursor would have to fit, and the model does not see it.
        if re.search(r"\w", document.lines.line(at.line)[at.character :]):
            return None
        automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
        before, whole = _text_before(document, document.lines.offset(at))
        asked = CompleteParams(before, chosen.run_id, chosen.checkpoint, one_line=automatic, from_beginning=whole)
        try:
            found = await self._models.complete(asked)
        except RequestError as error:
            self._failed(chosen, error)
            return None
        if not found.text or self._chosen is not chosen:
            return None
        if self._services.documents.get(params.text_document.uri) is not document:
            return None  # it was written for a text that has changed since
        here = document.columns.to_client(at)
        return types.InlineCompletionList([types.InlineCompletionItem(found.text, range=types.Range(here, here))])

    def _failed(self, chosen: _Chosen, error: RequestError) -> None:
        """A model that is gone is forgotten and that is said; anything else waits, and stands in the log."""
        if self._chosen is not chosen:
            return
        self._paused_until = asyncio.get_running_loop().time() + _PAUSE_SECONDS
        logger.warning("%s did not complete: %s", chosen.name, error.message)
        if error.code in _GONE:
            self._chosen = None
            words = f"{chosen.name} no longer completes what you type: {error.message}"
            self._services.show_message(types.MessageType.Warning, words)


def _name(named: str) -> str:
    return (path_of(named) or Path(named)).name or named


def _text_before(document: Document, offset: int) -> tuple[str, bool]:
    """What stands before an offset, as much as any model reads, and whether that is all."""
    begin = max(0, offset // _CHARACTERS_SENT - 1) * _CHARACTERS_SENT
    return re.sub("\r\n?", "\n", document.text[begin:offset]), begin == 0


def _is_named(document: Document, files: tuple[str, ...]) -> bool:
    """Whether a language, or a glob of the file's name or of its whole path, is that of a text."""
    path = PurePosixPath(document.path.as_posix() if document.path else unquote(urlsplit(document.uri).path))

    def names(one: str) -> bool:
        if _LANGUAGE.fullmatch(one):
            return document.language == one
        return fnmatchcase(str(path) if "/" in one else path.name, one)

    return any(map(names, files))
