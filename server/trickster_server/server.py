"""The language server: what handles each message, how it starts and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from trickster_engine import __version__
from trickster_engine.config.file_formats import ARCHIVE, RECORDS, TEXT_SUFFIXES
from trickster_engine.system.unpacking import COMPRESSIONS
from trickster_server.documents import Document
from trickster_server.features.code_actions import FIX_ALL, RUN, code_actions
from trickster_server.features.code_lenses import code_lenses
from trickster_server.features.completion import completion
from trickster_server.features.diagnostics import SOURCE, Diagnostics
from trickster_server.features.hover import hover
from trickster_server.features.inlay_hints import inlay_hints
from trickster_server.features.symbols import document_symbols
from trickster_server.handlers.commands import command
from trickster_server.handlers.inline_completion import InlineCompletion
from trickster_server.handlers.models import Models
from trickster_server.handlers.requests import answers
from trickster_server.lsp.dispatch import Dispatcher, make_converter
from trickster_server.lsp.log import ClientLog
from trickster_server.lsp.messages.notifications import InterpreterChangedParams, TrustGrantedParams
from trickster_server.lsp.parent import watch_parent
from trickster_server.lsp.stdio import Frame, FrameReader, FrameWriter, take_over_standard_streams
from trickster_server.paths import path_of
from trickster_server.services import Services
from trickster_server.warm_up import warm_up

_REGISTERING_SECONDS = 10.0

Feature = Callable[[Document, Services, Any], Any]


class TricksterServer(LanguageServer):
    """One server for one client."""

    protocol: Dispatcher

    def __init__(self) -> None:
        super().__init__(
            "trickster",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Dispatcher,
            converter_factory=make_converter,
        )
        self.services = Services(self)
        self._models = Models(self.services)
        self._inline_completion = InlineCompletion(self.services, self._models)
        self._diagnostics = Diagnostics(self.services)
        self._wrong_options: list[str] = []
        self._ended: asyncio.Future[int] | None = None
        self._log = ClientLog(self)
        self._register()

    # ---- what handles each message ----------------------------------------------------------------------------------

    def _register(self) -> None:
        features: tuple[tuple[str, Feature, Any], ...] = (
            (types.TEXT_DOCUMENT_HOVER, hover, None),
            (types.TEXT_DOCUMENT_COMPLETION, completion, types.CompletionOptions(trigger_characters=[":", " "])),
            (
                types.TEXT_DOCUMENT_CODE_ACTION,
                code_actions,
                types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix, FIX_ALL, RUN]),
            ),
            (types.TEXT_DOCUMENT_CODE_LENS, code_lenses, types.CodeLensOptions(resolve_provider=False)),
            (types.TEXT_DOCUMENT_INLAY_HINT, inlay_hints, None),
            (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, document_symbols, None),
        )
        for method, feature, options in features:
            self.feature(method, options)(partial(self._of_config, feature))
        pulling = types.DiagnosticOptions(identifier=SOURCE, inter_file_dependencies=False, workspace_diagnostics=False)
        # pygls marks what it registers, which a bound method does not allow: so each is wrapped.
        self.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, pulling)(partial(self._diagnostics.pull))
        for method, handler in (
            (types.INITIALIZE, self._initialize),
            (types.INITIALIZED, self._initialized),
            (types.EXIT, self._exit),
            (types.TEXT_DOCUMENT_DID_OPEN, self._opened),
            (types.TEXT_DOCUMENT_DID_CHANGE, self._changed),
            (types.TEXT_DOCUMENT_DID_SAVE, self._saved),
            (types.TEXT_DOCUMENT_DID_CLOSE, self._closed),
            (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, self._folders_changed),
            (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self._files_changed),
            (types.WINDOW_WORK_DONE_PROGRESS_CANCEL, self._progress_cancelled),
            ("trickster/trustGranted", self._trust_granted),
            ("trickster/interpreterChanged", self._interpreter_changed),
        ):
            self.feature(method)(partial(handler))
        for request, answer in answers(self.services, self._models, self._inline_completion):
            self.feature(request.method)(partial(answer))
            if request.command is not None:
                self.command(request.command)(command(self.services, request, answer))

    def _of_config(self, feature: Feature, params: Any) -> Any:
        document = self.services.documents.config(params.text_document.uri)
        return feature(document, self.services, params) if document is not None else None

    # ---- life -------------------------------------------------------------------------------------------------------

    def serve(self, incoming: BinaryIO, outgoing: BinaryIO) -> int:
        """Serve one client until it leaves. Returns the exit code."""
        return asyncio.run(self._serve(incoming, outgoing))

    async def _serve(self, incoming: BinaryIO, outgoing: BinaryIO) -> int:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()

        def from_thread(work: Callable[[Frame | None], None], frame: Frame | None = None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody is left to answer
                loop.call_soon_threadsafe(work, frame)

        writer = FrameWriter(outgoing, failed=partial(from_thread, self.protocol.receive))
        self.protocol.set_writer(writer)
        reader = FrameReader(incoming, partial(from_thread, self.protocol.receive))
        self.protocol.frame_handled = reader.done_with_one
        self.protocol.client_gone = partial(self._exit, None)
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            with contextlib.suppress(NotImplementedError, RuntimeError, AttributeError, ValueError):
                number = getattr(signal, name)
                if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # as whoever started it with nohup has it
                loop.add_signal_handler(number, self._end, 0)
        reader.start()
        code = await self._ended
        await self.services.end()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._models.close(), 3.0)
        await self.services.registry.close()
        self._log.remove()
        self.services.private.remove()
        writer.close()
        return code

    def _exit(self, _: Any) -> None:
        """The client says so, or has closed its end, as some do right after shutdown."""
        self._end(0 if self.protocol.shut_down else 1)

    def _end(self, code: int) -> None:
        """End the server; whatever it has started, except training, ends with it."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    # ---- the client says hello --------------------------------------------------------------------------------------

    def _initialize(self, params: types.InitializeParams) -> None:
        self._log.install(asyncio.get_running_loop())
        services = self.services
        self._wrong_options = services.begin(params)
        services.interpreters.chosen = services.options.python
        if services.client.inline_completions:
            self.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(
                partial(self._inline_completion.offer)
            )
        services.documents.encoding = self.workspace.position_encoding or types.PositionEncodingKind.Utf16

    def _initialized(self, _: types.InitializedParams) -> None:
        # From here on only what requests leave behind is looked through, which takes no time worth noticing.
        gc.freeze()
        gc.enable()
        services = self.services
        if self._wrong_options:
            words = f"Trickster does not understand these initialization options: {'; '.join(self._wrong_options)}."
            services.show_message(types.MessageType.Warning, words)
        if self.process_id is not None:
            services.spawn(watch_parent(self.process_id, partial(self._end, 1)), "watch the client")
        if services.client.registers_watched_files:
            services.spawn(self._watch_files(), "have files watched")
        services.registry.start(services.folders(), services.options.following)
        self._inline_completion.begin()
        services.spawn(services.timing.keep_current(), "learn speeds")
        if services.options.calibrate:
            services.spawn(self.services.calibrating.run_once(), "calibrate")
        services.spawn(warm_up(services, self.protocol), "warm up")

    def _folders_changed(self, _: types.DidChangeWorkspaceFoldersParams) -> None:
        self.services.registry.set_workspace(self.services.folders())

    def _trust_granted(self, _: TrustGrantedParams) -> None:
        self.services.trusted = True
        self._inline_completion.begin()
        self._look_again()

    def _interpreter_changed(self, params: InterpreterChangedParams) -> None:
        self.services.interpreters.chosen = params.python
        self._models.interpreter_changed()
        self._look_again()

    def _look_again(self) -> None:
        self.services.environment.forget()
        self.services.calibrating.look_again()
        self.services.refresh_figures()

    def _progress_cancelled(self, params: types.WorkDoneProgressCancelParams) -> None:
        self.services.progress_bars.cancel(params.token)

    # ---- documents --------------------------------------------------------------------------------------------------

    def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        document = self.services.documents.opened(params.text_document)
        self._diagnostics.document_changed(document, at_once=True)
        if document.path is not None:
            self.services.spawn(self._locate(document), "look where a file is")
        self.services.calibrating.look_again()

    async def _locate(self, document: Document) -> None:
        """Find out which file a text is behind all links, by which its runs are found. Asked once, in a thread."""
        assumed = document.file_key
        await asyncio.to_thread(document.locate)
        if document.file_key != assumed:
            self.services.documents.located(document)
            self.services.refresh_figures()

    def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        document = self.services.documents.changed(params)
        if document is not None:
            self._diagnostics.document_changed(document, at_once=False)

    def _saved(self, params: types.DidSaveTextDocumentParams) -> None:
        """A good moment to look at the machine again."""
        if self.services.documents.config(params.text_document.uri) is not None:
            self.services.environment.look_again(params.text_document.uri)

    def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self.services.documents.closed(params.text_document.uri)
        self._diagnostics.document_closed(params.text_document.uri)

    def _files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        """Texts have come or gone, which a config may name. What a run writes is none."""
        changed = (path_of(change.uri) for change in params.changes)
        if all(path is not None and self.services.registry.holds(path) for path in changed):
            return
        for document in self.services.documents.configs():
            self.services.environment.look_again(document.uri)

    async def _watch_files(self) -> None:
        """Have the client say when a file comes or goes that may be somebody's text."""
        suffixes = {*TEXT_SUFFIXES, *RECORDS, *COMPRESSIONS, ARCHIVE}
        endings = ",".join(sorted(suffix.removeprefix(".") for suffix in suffixes))
        kind = types.WatchKind.Create | types.WatchKind.Delete
        watcher = types.FileSystemWatcher(glob_pattern=f"**/*.{{{endings}}}", kind=kind)
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers=[watcher])
        method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
        registration = types.Registration(id="trickster-files", method=method, register_options=options)
        with contextlib.suppress(JsonRpcException, asyncio.TimeoutError):  # a client that changes its mind
            asked = self.client_register_capability_async(types.RegistrationParams([registration]))
            await asyncio.wait_for(asked, _REGISTERING_SECONDS)


def main() -> int:
    """Serve over standard input and output."""
    incoming, outgoing = take_over_standard_streams()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pygls").setLevel(logging.WARNING)
    code = TricksterServer().serve(incoming, outgoing)
    sys.stderr.flush()
    # The reading thread sits in a read that nothing can interrupt; leaving the ordinary way would wait for its lock.
    os._exit(code)
