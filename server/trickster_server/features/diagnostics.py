"""Problems of a config, pushed to the client or pulled by it.

What the text alone says is known at once. What the machine says (is the corpus here, does the model fit) is looked up
beside the loop and shown when it is there, as hints.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from lsprotocol import types

from trickster_engine.config.problems import Problem, Severity
from trickster_server.documents import Document
from trickster_server.machine_docs import MACHINE_DOCS
from trickster_server.runs.interpreter import ENGINE_FOLDER

if TYPE_CHECKING:
    from trickster_server.app import TricksterServer

SOURCE = "trickster"
_DOCS = ENGINE_FOLDER / "docs"
_PAGES = {name: (_DOCS / name).as_uri() for name in ("problems.md", "machine.md") if (_DOCS / name).is_file()}
"""The pages that explain the codes, where they have come along."""

_SEVERITIES: dict[Severity, types.DiagnosticSeverity] = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}


def to_diagnostic(problem: Problem, document: Document) -> types.Diagnostic:
    """A problem in the protocol's form."""
    columns = document.columns
    related = [
        types.DiagnosticRelatedInformation(
            location=types.Location(uri=document.uri, range=columns.range_to_client(place.range)), message=place.message
        )
        for place in problem.related
    ]
    return types.Diagnostic(
        range=columns.range_to_client(problem.range),
        message=problem.message,
        severity=_SEVERITIES[problem.severity],
        code=problem.code,
        code_description=_explanation(problem.code),
        source=SOURCE,
        related_information=related or None,
    )


def _explanation(code: str) -> types.CodeDescription | None:
    page = _PAGES.get("machine.md" if code in MACHINE_DOCS else "problems.md")
    return types.CodeDescription(href=f"{page}#{code}") if page is not None else None


class Diagnostics:
    """Keeps the client's list of problems true."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._published: set[str] = set()

    # ---- what happens -----------------------------------------------------------------------------------------------

    def document_changed(self, document: Document, at_once: bool) -> None:
        """A text was opened or changed."""
        waiting = self._waiting.pop(document.uri, None)
        if waiting is not None:
            waiting.cancel()
        if self._client_pulls():
            return
        if at_once:
            self._publish_current(document.uri)
            return
        delay = max(0, self._server.options.debounce_ms) / 1000
        self._waiting[document.uri] = asyncio.get_running_loop().call_later(delay, self._publish_current, document.uri)

    def document_closed(self, uri: str) -> None:
        """A text is no longer shown, so neither are its problems."""
        waiting = self._waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        if uri in self._published:
            self._published.discard(uri)
            self._server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=[]))

    def environment_changed(self) -> None:
        """The machine may say something else now."""
        if self._client_pulls():
            workspace = self._server.client_capabilities.workspace
            if workspace and workspace.diagnostics and workspace.diagnostics.refresh_support:
                self._server.workspace_diagnostic_refresh(None)
            return
        for document in self._server.documents.configs():
            if document.uri not in self._waiting:
                self._publish_current(document.uri)

    # ---- what is answered -------------------------------------------------------------------------------------------

    def problems(self, document: Document) -> list[types.Diagnostic]:
        """Everything that can be said now; asks for what is not known yet, and says so when it comes."""
        if not document.is_config:
            return []
        found = [*document.checked.problems, *self._server.environment.problems(document)]
        return [to_diagnostic(problem, document) for problem in found]

    def pull(self, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        """Answer a client that asks by itself."""
        document = self._server.documents.get(params.text_document.uri)
        found = self.problems(document) if document is not None else []
        result_id = hashlib.sha256(self._server.protocol.to_json(found).encode("ascii")).hexdigest()[:16]
        if params.previous_result_id == result_id:
            return types.RelatedUnchangedDocumentDiagnosticReport(result_id=result_id)
        return types.RelatedFullDocumentDiagnosticReport(items=found, result_id=result_id)

    def _client_pulls(self) -> bool:
        text_document = self._server.client_capabilities.text_document
        return text_document is not None and text_document.diagnostic is not None

    def _publish_current(self, uri: str) -> None:
        self._waiting.pop(uri, None)
        document = self._server.documents.get(uri)
        if document is None:
            return
        found = self.problems(document)
        if not found and uri not in self._published and not document.is_config:
            return  # not ours, and never was
        if document.is_config:
            self._published.add(uri)
        else:
            self._published.discard(uri)
        self._server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=document.version)
        )


def register(server: TricksterServer) -> None:
    """Offer diagnostics to clients that ask for them; to the others they are sent."""
    options = types.DiagnosticOptions(identifier=SOURCE, inter_file_dependencies=False, workspace_diagnostics=False)

    def pull(params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        return server.diagnostics.pull(params)

    server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, options)(pull)
