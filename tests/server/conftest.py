"""Clients of the language server, as VS Code and Neovim describe themselves."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.protocol import default_converter
from pytest_lsp import LanguageClient, client_capabilities
from pytest_lsp.client import register_lsp_features

from tests.server.raw_client import RawClient

EDITORS = ("visual_studio_code", "neovim@v0.11")
PRESETS = Path(__file__).parents[2] / "trickster_engine" / "config" / "presets"


@pytest.fixture(scope="session")
def nano() -> str:
    return (PRESETS / "nano.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a server that trains: a cache of its own, and one thread, because tests run beside each other."""
    return {"TRICKSTER_CACHE_DIR": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[RawClient]:
    """A server with a client of bare bytes, nothing said yet."""
    with RawClient(env={"TRICKSTER_CACHE_DIR": str(tmp_path / "cache")}) as client:
        yield client


@pytest.fixture
def initialized(raw: RawClient) -> RawClient:
    """A server that knows its client."""
    raw.initialize()
    return raw


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    """One server for tests that leave it as it was, with a word about errors at the end."""
    with RawClient(env={"TRICKSTER_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}) as client:
        client.initialize()
        yield client
        assert client.shutdown() == 0
        assert client.errors() == []


_NUMBERS = itertools.count(1)


class EditorClient(LanguageClient):
    """A client that introduces itself as an editor; it keeps what was pushed with the version that it is about."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(converter_factory=default_converter)
        register_lsp_features(self)
        self.editor_name, self.folder = name, folder
        self.pushed: dict[tuple[str, int | None], list[types.Diagnostic]] = {}
        # The library's own handler keeps no versions, and it answers none of the refreshes that these editors announce.
        self.protocol.fm.features[types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS] = self._keep
        for method in (
            types.WORKSPACE_CODE_LENS_REFRESH,
            types.WORKSPACE_INLAY_HINT_REFRESH,
            types.CLIENT_REGISTER_CAPABILITY,
        ):
            self.protocol.fm.features[method] = lambda params: None

    def _keep(self, params: types.PublishDiagnosticsParams) -> None:
        self.pushed[(params.uri, params.version)] = list(params.diagnostics)

    async def introduce(self) -> None:
        capabilities = client_capabilities(self.editor_name)
        assert capabilities.text_document is not None and capabilities.text_document.publish_diagnostics is not None
        # So that a test knows which text is meant.
        capabilities.text_document.publish_diagnostics.version_support = True
        self.initialized_with = await self.initialize_session(
            types.InitializeParams(
                capabilities=capabilities,
                workspace_folders=[types.WorkspaceFolder(uri=self.folder.as_uri(), name="w")],
                initialization_options={
                    "trusted": True,
                    "debounceMs": 20,
                    "images": self.editor_name.startswith("visual"),
                },
            )
        )

    @property
    def commands(self) -> Sequence[str]:
        """What the server says it can execute."""
        provider = self.initialized_with.capabilities.execute_command_provider
        assert provider is not None
        return provider.commands


class Editor:
    """One text open in an editor, and questions about it."""

    def __init__(self, client: EditorClient) -> None:
        self.client = client
        self.folder = client.folder
        self._versions: dict[str, int] = {}

    def open(self, text: str, name: str | None = None) -> str:
        uri = (self.folder / (name or f"{next(_NUMBERS)}.trickster.yaml")).as_uri()
        self._versions[uri] = 1
        item = types.TextDocumentItem(uri=uri, language_id="yaml", version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def replace(self, uri: str, text: str) -> None:
        self._versions[uri] += 1
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(uri=uri, version=self._versions[uri]),
                [types.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    def edit(self, uri: str, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        self._versions[uri] += 1
        span = types.Range(types.Position(*start), types.Position(*end))
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(uri=uri, version=self._versions[uri]),
                [types.TextDocumentContentChangePartial(range=span, text=text)],
            )
        )

    @property
    def pulls(self) -> bool:
        capabilities = self.client.capabilities
        assert capabilities is not None and capabilities.text_document is not None
        return capabilities.text_document.diagnostic is not None

    async def problems(self, uri: str) -> list[types.Diagnostic]:
        """The diagnostics of the current version, pulled or pushed as the editor does it."""
        if self.pulls:
            answer = await self.client.text_document_diagnostic_async(
                types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri))
            )
            assert isinstance(answer, types.RelatedFullDocumentDiagnosticReport)
            return list(answer.items)
        pushed = self.client.pushed
        while (uri, self._versions[uri]) not in pushed:
            await asyncio.wait_for(self.client.wait_for_notification("textDocument/publishDiagnostics"), 10)
        return pushed[(uri, self._versions[uri])]

    async def hover(self, uri: str, line: int, character: int) -> types.Hover | None:
        return await self.client.text_document_hover_async(
            types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        )

    async def hover_text(self, uri: str, line: int, character: int) -> str:
        hover = await self.hover(uri, line, character)
        assert hover is not None and isinstance(hover.contents, types.MarkupContent)
        return hover.contents.value

    async def completions(self, uri: str, line: int, character: int) -> dict[str, types.CompletionItem]:
        answer = await self.client.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        )
        assert isinstance(answer, types.CompletionList)
        return {item.label: item for item in answer.items}

    async def actions(self, uri: str, span: types.Range, only: list[str] | None = None) -> list[types.CodeAction]:
        # Nothing is sent back: an editor may forget the diagnostics it was given.
        answer = await self.client.text_document_code_action_async(
            types.CodeActionParams(
                types.TextDocumentIdentifier(uri), span, types.CodeActionContext(diagnostics=[], only=only)
            )
        )
        return [action for action in answer or [] if isinstance(action, types.CodeAction)]


def applied(text: str, edit: types.WorkspaceEdit) -> str:
    """A text after an edit, as an editor that counts in UTF-16 makes it."""
    edits: list[types.TextEdit] = []
    for change in edit.document_changes or []:
        assert isinstance(change, types.TextDocumentEdit)
        edits += [one for one in change.edits if isinstance(one, types.TextEdit)]
    for plain in (edit.changes or {}).values():
        edits += plain
    data = text.encode("utf-16-le")
    starts = [0]
    for index in range(0, len(data), 2):
        if data[index : index + 2] == b"\n\0":
            starts.append(index + 2)
    for one in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start, end = (
            min(starts[place.line] + 2 * place.character if place.line < len(starts) else len(data), len(data))
            for place in (one.range.start, one.range.end)
        )
        data = data[:start] + one.new_text.encode("utf-16-le") + data[end:]
    return data.decode("utf-16-le")


@pytest_asyncio.fixture(params=EDITORS, scope="module", loop_scope="module")
async def language_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EditorClient]:
    client = EditorClient(request.param, tmp_path_factory.mktemp("workspace"))
    environment = {**os.environ, "TRICKSTER_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}
    await client.start_io(sys.executable, "-m", "trickster_server", env=environment)
    await client.introduce()
    yield client
    errors = [entry.message for entry in client.log_messages if entry.type == types.MessageType.Error]
    await client.shutdown_session()
    await client.stop()
    assert errors == []


@pytest.fixture
def editor(language_client: EditorClient) -> Editor:
    return Editor(language_client)
