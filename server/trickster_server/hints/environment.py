"""What this machine says about a config: is the text here, does the device exist, does the model fit, is a run waiting.

Looked up in threads and kept, so that no keystroke waits for a disk. Every finding is about a key; it is shown where
that key stands in the text as it is now.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, replace

from trickster_engine.config.check import check_document
from trickster_engine.config.problems import Problem
from trickster_engine.config.starting_weights import INIT, TEACHER, StartingWeights, models_near
from trickster_server.documents import Document, Documents
from trickster_server.hints.corpus import Corpus, corpus_problems, look_at_corpus
from trickster_server.hints.devices import device_problems
from trickster_server.lsp.session import Session
from trickster_server.runs.registry import RunRegistry

_AFTER_TYPING = 0.3
_FRESH_SECONDS = 15.0
_NAME_MODELS = (INIT.partition(".")[2], TEACHER.partition(".")[2])


@dataclass
class _Known:
    """What has been found out about one document."""

    text: str
    when: float
    problems: list[Problem]
    corpus: Corpus | None
    start: StartingWeights | None = None
    models: tuple[str, ...] = ()


class Environment:
    """Findings about the open configs."""

    def __init__(self, session: Session, documents: Documents, registry: RunRegistry) -> None:
        self._session = session
        self._documents = documents
        self._registry = registry
        self._known: dict[str, _Known] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    def problems(self, document: Document) -> list[Problem]:
        """What is known now. Looks again, beside the loop, where that is old or about another text."""
        known = self._known.get(document.uri)
        if not self._is_current(document):
            self._look_soon(document.uri)
        found = _placed(known, document) if known is not None else []
        return found + self._waiting_run(document)

    def corpus(self, document: Document) -> Corpus | None:
        """What is known of the config's text; None until it has been looked at."""
        known = self._known.get(document.uri)
        if known is None:
            self._look_soon(document.uri)
            return None
        return known.corpus

    def models(self, document: Document) -> tuple[str, ...]:
        """The folders beside a config that it could start from, as far as they are known."""
        known = self._known.get(document.uri)
        return known.models if known is not None else ()

    async def looked(self, document: Document, seconds: float) -> None:
        """Wait until it is known what the machine says of this text, at most so long, or until it has changed."""
        until = time.monotonic() + seconds
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._registry.ready(), seconds)
        while self._documents.config(document.uri) is document and not self._is_current(document):
            look = self._look_soon(document.uri, 0.0)
            await asyncio.wait({look}, timeout=max(0.0, until - time.monotonic()))
            if time.monotonic() >= until or (look.done() and not look.cancelled() and look.exception() is not None):
                return

    def _is_current(self, document: Document) -> bool:
        known = self._known.get(document.uri)
        return known is not None and known.text == document.text and time.monotonic() - known.when <= _FRESH_SECONDS

    async def corpus_now(self, document: Document) -> Corpus | None:
        """What is known of the config's text, after looking."""
        known = await asyncio.to_thread(_look, document, self._session.trusted)
        return known.corpus

    def forget(self) -> None:
        """Something has changed that no file shows."""
        self._known.clear()

    def look_again(self, uri: str) -> None:
        """A text was saved, or files that it may name have come or gone."""
        known = self._known.get(uri)
        if known is not None:
            known.when = -math.inf
            self._look_soon(uri)

    def _look_soon(self, uri: str, delay: float = _AFTER_TYPING) -> asyncio.Task[None]:
        look = self._looking.get(uri)
        if look is None:
            look = self._looking[uri] = self._session.spawn(self._look(uri, delay), "look at the machine")
        return look

    async def _look(self, uri: str, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            document = self._documents.config(uri)
            if document is None:
                self._known.pop(uri, None)
                return
            before = self._known.get(uri)
            now = await asyncio.to_thread(_look, document, self._session.trusted)
            self._known[uri] = now
            if (current := self._documents.config(uri)) is not None:
                current.starts_from(now.start)
        finally:
            self._looking.pop(uri, None)
        if before is None or _shown(before) != _shown(now):
            self._session.refresh_figures()

    def _waiting_run(self, document: Document) -> list[Problem]:
        """A run of this very file that was interrupted and could go on."""
        key = document.file_key
        if key is None:
            return []
        for run in self._registry.runs():
            if run.state == "interrupted" and run.resumable and run.config_file == key:
                checkpoints = run.checkpoints()
                if not checkpoints:
                    continue
                message = (
                    f"The run {run.directory.path.name} was interrupted; its last checkpoint is step "
                    f"{checkpoints[-1].step:,}. Resume continues from there."
                )
                where = document.place_of("training_config.max_steps")
                return [Problem("run-interrupted", "hint", message, where, key="training_config.max_steps")]
        return []


def _shown(known: _Known) -> object:
    return [(problem.code, problem.message) for problem in known.problems], known.corpus, known.start


def _placed(known: _Known, document: Document) -> list[Problem]:
    """Findings at the places that their keys have now."""
    if known.text == document.text:
        return known.problems
    return [
        replace(problem, range=document.place_of(problem.key), fixes=(), related=())
        for problem in known.problems
        if problem.key
    ]


# ---- in a thread ----------------------------------------------------------------------------------------------------


def _look(document: Document, may_run: bool) -> _Known:
    """Look at everything outside the text."""
    problems: list[Problem] = []
    corpus = None
    start = document.weights_now()
    checked = check_document(document.parsed, None, start)
    plan = checked.plan
    by_text = {(problem.code, problem.key) for problem in checked.problems}
    if document.folder is not None:
        found = check_document(document.parsed, document.folder, start).problems
        problems += [problem for problem in found if (problem.code, problem.key) not in by_text]
    else:
        for path, code in ((INIT, "init-from-missing"), (TEACHER, "teacher-unusable")):
            if document.settings.knows(path) and document.settings.value(path) is not None:
                message = f"Save this config first: {path.partition('.')[2]} is relative to its folder."
                problems.append(document.settings.problem(code, "error", message, path))
    if plan is not None:
        corpus = look_at_corpus(plan, document)
        problems += corpus_problems(plan, corpus, document, {problem.code for problem in problems})
        problems += device_problems(plan, document, may_run)
    asked_for = any(name in document.text for name in _NAME_MODELS)
    models = models_near(document.folder) if document.folder is not None and asked_for else ()
    return _Known(document.text, time.monotonic(), problems, corpus, start, models)
