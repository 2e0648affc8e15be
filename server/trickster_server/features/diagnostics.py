"""Problems of a config, pushed to the client or pulled by it.

What the text alone says is known at once. What the machine says (is the corpus here, does the model fit) is looked up
beside the loop and shown when it is there, as hints. A client that pulls and cannot be asked to pull again is answered
when both are known; what the machine says later is pushed to it, until it pulls again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json

import attrs
from lsprotocol import types

from trickster_engine.config.problems import Problem, Severity
from trickster_engine.system.programs import ENGINE_FOLDER
from trickster_server.documents import Document
from trickster_server.hints import CODES
from trickster_server.lsp.client import Client
from trickster_server.services import Services

SOURCE = "trickster"
LONGEST_WAIT = 3.0
"""Seconds that such a client's pull waits for what the machine says, at most."""
_DOCS = ENGINE_FOLDER / "docs"
_PAGES = {name: (_DOCS / name).as_uri() for name in ("problems.md", "machine.md") if (_DOCS / name).is_file()}
"""The pages that explain the codes, where they have come along."""

_SEVERITIES: dict[Severity, types.DiagnosticSeverity] = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "information": types.DiagnosticSeverity.Information,
    "hint": types.DiagnosticSeverity.Hint,
}


def to_diagnostic(problem: Problem, document: Document, client: Client) -> types.Diagnostic:
    """A problem in the protocol's form, with the parts that the client understands."""
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
        code_description=_explanation(problem.code) if client.explained_codes else None,
        source=SOURCE,
        related_information=(related or None) if client.related_information else None,
    )


def _explanation(code: str) -> types.CodeDescription | None:
    page = _PAGES.get("machine.md" if code in CODES else "problems.md")
    return types.CodeDescription(href=f"{page}#{code}") if page is not None else None


def diagnostics(document: Document | None, services: Services) -> list[types.Diagnostic]:
    """Everything that can be said of a text now; what is not known yet is asked for, and shown when it comes."""
    if document is None or not document.is_config:
        return []
    found = [*document.checked.problems, *services.environment.problems(document)]
    return [to_diagnostic(problem, document, services.client) for problem in found]


class Diagnostics:
    """Keeps the client's list of problems true."""

    def __init__(self, services: Services) -> None:
        self._services = services
        services.when_figures_change.append(self._environment_changed)
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._published: set[str] = set()
        self._answered: dict[str, list[types.Diagnostic]] = {}
        """What clients that cannot be asked to pull again were last told of each text."""

    def document_changed(self, document: Document, at_once: bool) -> None:
        """A text was opened or changed."""
        self._stop_waiting(document.uri)
        if self._services.client.pulls:
            return
        if at_once:
            self._publish_current(document.uri)
            return
        delay = max(0, self._services.options.debounce_ms) / 1000
        self._waiting[document.uri] = asyncio.get_running_loop().call_later(delay, self._publish_current, document.uri)

    def document_closed(self, uri: str) -> None:
        """A text is no longer shown, so neither are its problems."""
        self._stop_waiting(uri)
        self._answered.pop(uri, None)
        self._withdraw(uri)

    async def pull(self, params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        """Answer a client that asks by itself."""
        uri, services = params.text_document.uri, self._services
        document = services.documents.get(uri)
        again = services.client.refreshes_diagnostics
        if document is not None and document.is_config and not again:
            await services.environment.looked(document, LONGEST_WAIT)
            document = services.documents.get(uri)
        found = diagnostics(document, services)
        if document is not None and not again:
            self._answered[uri] = found
            self._withdraw(uri)
        told = json.dumps([attrs.asdict(one) for one in found])
        result_id = hashlib.sha256(told.encode("ascii")).hexdigest()[:16]
        if params.previous_result_id == result_id:
            return types.RelatedUnchangedDocumentDiagnosticReport(result_id=result_id)
        return types.RelatedFullDocumentDiagnosticReport(items=found, result_id=result_id)

    def _stop_waiting(self, uri: str) -> None:
        if (waiting := self._waiting.pop(uri, None)) is not None:
            waiting.cancel()

    def _environment_changed(self) -> None:
        """The machine may say something else now."""
        if self._services.client.refreshes_diagnostics:
            self._services.server.workspace_diagnostic_refresh(None)
        elif self._services.client.pulls:
            for uri, told in self._answered.items():
                self._push_news(uri, told)
        else:
            for document in self._services.documents.configs():
                if document.uri not in self._waiting:
                    self._publish_current(document.uri)

    def _push_news(self, uri: str, told: list[types.Diagnostic]) -> None:
        """Push what has come since a text's last pull, and nothing that the client shows already."""
        document = self._services.documents.get(uri)
        known = {(one.code, one.message) for one in told}
        news = [one for one in diagnostics(document, self._services) if (one.code, one.message) not in known]
        if document is not None and news:
            self._send(uri, news, document.version)
        else:
            self._withdraw(uri)

    def _publish_current(self, uri: str) -> None:
        self._waiting.pop(uri, None)
        document = self._services.documents.get(uri)
        if document is not None and document.is_config:
            self._send(uri, diagnostics(document, self._services), document.version)
        elif document is not None:
            self._withdraw(uri, document.version)

    def _withdraw(self, uri: str, version: int | None = None) -> None:
        if uri in self._published:
            self._send(uri, [], version)
            self._published.discard(uri)

    def _send(self, uri: str, found: list[types.Diagnostic], version: int | None) -> None:
        self._published.add(uri)
        told = version if self._services.client.diagnostic_versions else None
        params = types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=told)
        self._services.server.text_document_publish_diagnostics(params)
