"""The language server: what it holds, how it starts and how it ends. The features register themselves."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from trickster_engine import __version__
from trickster_engine.system.files import path_meant
from trickster_server.documents import Document, Documents, path_of
from trickster_server.features import register_features
from trickster_server.features.diagnostics import Diagnostics
from trickster_server.hints.machine import Environment
from trickster_server.lsp import messages
from trickster_server.lsp.client import Client
from trickster_server.lsp.dispatch import TricksterProtocol, make_converter
from trickster_server.lsp.log import ClientLog
from trickster_server.lsp.parent import watch_parent
from trickster_server.lsp.progress import ProgressTokens
from trickster_server.lsp.stdio import FrameReader, FrameWriter
from trickster_server.lsp.wire import options_from_wire, to_wire
from trickster_server.private_folder import PrivateFolder
from trickster_server.runs.interpreter import Interpreters
from trickster_server.runs.registry import RunRegistry
from trickster_server.runs.service import RunService
from trickster_server.timing.calibration import Calibrating
from trickster_server.timing.speeds import Timing
from trickster_server.warm_up import warm_up

logger = logging.getLogger(__name__)

_REGISTERING_SECONDS = 10.0


class TricksterServer(LanguageServer):
    """Everything the features share."""

    protocol: TricksterProtocol

    def __init__(self) -> None:
        super().__init__(
            "trickster",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=TricksterProtocol,
            converter_factory=make_converter,
        )
        self.options = messages.InitializationOptions()
        self.client = Client()
        #: Nothing is started, written or removed before the client has said so.
        self.trusted = False
        self.documents = Documents()
        self.progress_bars = ProgressTokens(self)
        self.interpreters = Interpreters()
        self.registry = RunRegistry(self._send_events, self._send_runs, self._output_folders)
        self.timing = Timing(self)
        self.calibrating = Calibrating(self)
        self.environment = Environment(self)
        self.diagnostics = Diagnostics(self)
        self.runs = RunService(self)
        self.private = PrivateFolder()
        self._wrong_options: list[str] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended: asyncio.Future[int] | None = None
        self._log = ClientLog(self)
        register_features(self)
        for method, handler in (
            (types.INITIALIZE, self._initialize),
            (types.INITIALIZED, self._initialized),
            (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, self._folders_changed),
            (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, self._files_changed),
            (types.TEXT_DOCUMENT_DID_SAVE, self._saved),
            ("trickster/trustGranted", self._trust_granted),
            ("trickster/interpreterChanged", self._interpreter_changed),
        ):
            # pygls marks what it registers, which a bound method does not allow: so each is wrapped.
            self.feature(method)(partial(handler))

    # ---- life -------------------------------------------------------------------------------------------------------

    def serve(self, incoming: BinaryIO, outgoing: BinaryIO) -> int:
        """Serve one client until it leaves. Returns the exit code."""
        return asyncio.run(self._serve(incoming, outgoing))

    async def _serve(self, incoming: BinaryIO, outgoing: BinaryIO) -> int:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()

        def from_thread() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._client_gone)

        writer = FrameWriter(outgoing, failed=from_thread)
        self.protocol.set_writer(writer)
        reader = FrameReader(incoming, partial(self.protocol.deliver, loop=loop), ended=from_thread)
        self.protocol.frame_handled = reader.done_with_one
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            with contextlib.suppress(NotImplementedError, RuntimeError, AttributeError, ValueError):
                number = getattr(signal, name)
                if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # as whoever started it with nohup has it
                loop.add_signal_handler(number, self.exit_requested, 0)
        reader.start()
        code = await self._ended
        await self._close()
        writer.close()
        return code

    def _client_gone(self) -> None:
        """The client has closed its end: cleanly where it has said shutdown before, as some do when they are quit."""
        if self.protocol.has_more():  # it may have said so last
            asyncio.get_running_loop().call_soon(self._client_gone)
        else:
            self.exit_requested(0 if self.protocol.was_shut_down() else 1)

    def exit_requested(self, code: int) -> None:
        """End the server; whatever it has started, except training, ends with it."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.runs.close(), 3.0)
        await self.registry.close()
        self._log.remove()
        self.private.remove()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Do something beside the requests. An error ends in the log, not in silence."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The background task %s failed", task.get_name(), exc_info=error)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log it; nobody is helped by a pop-up."""
        logger.error("The server failed: %s", error)

    # ---- the client says hello --------------------------------------------------------------------------------------

    def _initialize(self, params: types.InitializeParams) -> None:
        self._log.install(asyncio.get_running_loop())
        self.options, self._wrong_options = options_from_wire(
            messages.InitializationOptions, params.initialization_options
        )
        self.client = Client.of(params.capabilities, self.options)
        self.trusted = self.options.trusted
        self.interpreters.chosen = self.options.python
        self.interpreters.folders = self.folders
        self.documents.encoding = self.workspace.position_encoding or types.PositionEncodingKind.Utf16

    def _initialized(self, _: types.InitializedParams) -> None:
        # From here on only what requests leave behind is looked through, which takes no time worth noticing.
        gc.freeze()
        gc.enable()
        if self._wrong_options:
            words = f"Trickster does not understand these initialization options: {'; '.join(self._wrong_options)}."
            self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, words))
        if self.process_id is not None:
            self.spawn(watch_parent(self.process_id, partial(self.exit_requested, 1)), "watch the client")
        if self.client.registers_watched_files:
            self.spawn(self._watch_files(), "have files watched")
        self.registry.start(self.folders(), self.options.following)
        self.spawn(self.timing.keep_current(), "learn speeds")
        if self.options.calibrate:
            self.spawn(self.calibrating.run_once(), "calibrate")
        self.spawn(warm_up(self), "warm up")

    def folders(self) -> list[Path]:
        """The folders of the workspace that are on this machine."""
        paths = [path_of(folder.uri) for folder in self.workspace.folders.values()]
        if not paths and self.workspace.root_uri:
            paths = [path_of(self.workspace.root_uri)]
        return [path for path in paths if path is not None]

    def _folders_changed(self, _: types.DidChangeWorkspaceFoldersParams) -> None:
        self.registry.set_workspace(self.folders())

    def _trust_granted(self, _: messages.TrustGrantedParams) -> None:
        self.trusted = True
        self.environment.forget()
        self.calibrating.look_again()
        self.refresh_figures()

    def _interpreter_changed(self, params: messages.InterpreterChangedParams) -> None:
        self.interpreters.chosen = params.python
        self.environment.forget()
        self.runs.interpreter_changed()
        self.calibrating.look_again()
        self.refresh_figures()

    # ---- documents --------------------------------------------------------------------------------------------------

    def document_opened(self, item: types.TextDocumentItem) -> None:
        """The client shows a text."""
        document = self.documents.opened(item)
        self.diagnostics.document_changed(document, at_once=True)
        if document.path is not None:
            self.spawn(self._locate(document), "look where a file is")
        self.calibrating.look_again()

    async def _locate(self, document: Document) -> None:
        """Find out which file a text is behind all links, by which its runs are found. Asked once, in a thread."""
        assumed = document.file_key
        await asyncio.get_running_loop().run_in_executor(None, document.locate)
        if document.file_key != assumed:
            self.documents.located(document)
            self.refresh_figures()

    def document_changed(self, params: types.DidChangeTextDocumentParams) -> None:
        """The client has changed a text."""
        document = self.documents.changed(params)
        if document is not None:
            self.diagnostics.document_changed(document, at_once=False)

    def _saved(self, params: types.DidSaveTextDocumentParams) -> None:
        """A text was saved: a good moment to look at the machine again."""
        if self.documents.config(params.text_document.uri) is not None:
            self.environment.look_again(params.text_document.uri)

    def _files_changed(self, params: types.DidChangeWatchedFilesParams) -> None:
        """Texts have come or gone, which a config may name. What a run writes is none."""
        changed = (path_of(change.uri) for change in params.changes)
        if all(path is not None and self.registry.holds(path) for path in changed):
            return
        for document in self.documents.configs():
            self.environment.look_again(document.uri)

    async def _watch_files(self) -> None:
        """Have the client say when a file comes or goes that may be somebody's text."""
        from trickster_engine.config.corpus_files import TEXT_SUFFIXES

        endings = ",".join(sorted(suffix.removeprefix(".") for suffix in TEXT_SUFFIXES))
        kind = types.WatchKind.Create | types.WatchKind.Delete
        watcher = types.FileSystemWatcher(glob_pattern=f"**/*.{{{endings}}}", kind=kind)
        options = types.DidChangeWatchedFilesRegistrationOptions(watchers=[watcher])
        method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
        with contextlib.suppress(JsonRpcException, asyncio.TimeoutError):  # a client that changes its mind
            registration = types.Registration(id="trickster-files", method=method, register_options=options)
            await asyncio.wait_for(
                self.client_register_capability_async(types.RegistrationParams([registration])), _REGISTERING_SECONDS
            )

    def document_closed(self, uri: str) -> None:
        """The client no longer shows a text."""
        self.documents.closed(uri)
        self.diagnostics.document_closed(uri)

    def send_partial(self, token: int | str, value: object) -> None:
        """Send a part of a result that the client has asked to be streamed."""
        self.protocol.notify(types.PROGRESS, types.ProgressParams(token=token, value=to_wire(value)))

    # ---- to the client ----------------------------------------------------------------------------------------------

    def _send_events(self, params: messages.EventParams) -> None:
        if self.client.notifications:
            self.protocol.notify("trickster/event", params)

    def _send_runs(self, params: messages.RunsChangedParams) -> None:
        if self.client.notifications:
            self.protocol.notify("trickster/runsChanged", params)
        self.timing.runs_changed()
        self.environment.runs_changed()
        self.refresh_figures()

    def refresh_figures(self) -> None:
        """Ask the client to ask again for what depends on more than the text: lenses, inlay hints, diagnostics."""
        if self.client.refreshes_lenses:
            self.workspace_code_lens_refresh(None)
        if self.client.refreshes_hints:
            self.workspace_inlay_hint_refresh(None)
        self.diagnostics.environment_changed()

    def _output_folders(self) -> set[Path]:
        """Folders that the open configs write their runs into, as they name them."""
        folders = set()
        for document in self.documents.configs():
            try:
                plan = document.checked.plan
                if plan is not None and document.path is not None:
                    folders.add(path_meant(document.path.parent, plan.output.output_dir).absolute())
            except Exception:  # said where the text is checked for its problems; no run is lost over it
                continue
        return folders


def main() -> int:
    """Serve over standard input and output."""
    from trickster_server.lsp.stdio import take_over_standard_streams

    incoming, outgoing = take_over_standard_streams()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # pygls logs every message it sends at INFO, whole.
    logging.getLogger("pygls").setLevel(logging.WARNING)
    code = TricksterServer().serve(incoming, outgoing)
    sys.stderr.flush()
    # The reading thread sits in a read that nothing can interrupt; leaving the ordinary way would wait for its lock.
    os._exit(code)
