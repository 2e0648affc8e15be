"""What features and handlers are given beside a document."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pygls.lsp.server import LanguageServer

from trickster_engine.system.files import path_meant
from trickster_server.documents import Documents
from trickster_server.hints.environment import Environment
from trickster_server.lsp.messages.notifications import RunsChangedParams
from trickster_server.lsp.progress import ProgressTokens
from trickster_server.lsp.session import Session
from trickster_server.private_folder import PrivateFolder
from trickster_server.runs.interpreter import Interpreters
from trickster_server.runs.registry import RunRegistry
from trickster_server.timing.calibration import Calibrating
from trickster_server.timing.speeds import Timing


class Services(Session):
    """The client, its documents, the runs of its workspace, and what this machine says of both."""

    def __init__(self, server: LanguageServer) -> None:
        super().__init__(server)
        self.documents = Documents()
        self.progress_bars = ProgressTokens(self)
        self.interpreters = Interpreters(self.folders)
        self.registry = RunRegistry(partial(self.notify, "trickster/event"), self._send_runs, self._output_folders)
        self.timing = Timing(self, self.registry)
        self.calibrating = Calibrating(self, self.documents, self.registry, self.interpreters, self.timing)
        self.environment = Environment(self, self.documents, self.registry)
        self.private = PrivateFolder()

    def _send_runs(self, params: RunsChangedParams) -> None:
        self.notify("trickster/runsChanged", params)
        self.timing.runs_changed()
        self.refresh_figures()

    def _output_folders(self) -> set[Path]:
        """Folders that the open configs write their runs into, as they name them."""
        folders = set()
        for document in self.documents.configs():
            try:
                if document.path is not None:  # what is wrong elsewhere in a text says nothing of its runs
                    written = document.nearest_plan.output.output_dir
                    folders.add(path_meant(document.path.parent, written).absolute())
            except Exception:  # said where the text is checked for its problems; no run is lost over it
                continue
        return folders
