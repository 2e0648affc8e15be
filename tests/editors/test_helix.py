"""What a person does in Helix, key by key, read from the terminal that it draws in."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.editors.conftest import CACHE, Terminal, Workspace, editor_config, program, wait_for
from tests.editors.test_clients import recorded, version_of
from trickster_engine.runs import RunDirectory

pytest.importorskip("torch")

_PAUSE = 0.4
"""Seconds between keys of a person; Helix drops none, and shows a menu only when it is asked in time."""


def event_seen(workspace: Workspace, pattern: str) -> bool:
    run: RunDirectory | None = workspace.run()
    if run is None:
        return False
    path: Path = run.events_path
    return path.exists() and re.search(pattern, path.read_text(encoding="utf-8")) is not None


def test_helix(workspace: Workspace) -> None:
    hx = program("hx", CACHE / "bin" / "hx")
    config = workspace.home / ".config" / "helix"
    config.mkdir(parents=True)
    (config / "languages.toml").write_text(editor_config("helix", workspace.server), encoding="utf-8")
    terminal = Terminal([hx, str(workspace.config)], workspace.folder, workspace.environment())
    results: dict[str, object] = {}

    def press(*keys: str) -> int:
        before = len(terminal.output)
        for key in keys:
            terminal.press(key)
            time.sleep(_PAUSE)
        return before

    def shown(words: str, since: int, seconds: float = 20) -> bool:
        """Whether words were drawn; what stands there already is not drawn again, so each word counts for itself."""
        return wait_for(lambda: all(word in terminal.text(since) for word in words.split()), seconds)

    def go_to(word: str) -> None:
        press("\x1b", f"/{word}\r")

    try:
        assert wait_for(lambda: workspace.said("server"), 30), terminal.text()[-2000:]
        # The picker of diagnostics lists what Helix knows.
        time.sleep(3)
        began = press(" d")
        results["diagnostics"] = shown("other-name prompt-not-in-text", began)
        press("\x1b")

        go_to("num_heads")
        results["hover"] = shown("Each head attends", press(" k"))
        press("\x1b")

        go_to("device_type: ")
        began = press("a", "\x18")  # behind the selection, and Ctrl-x completes
        results["completion"] = shown("cuda", began)
        press("\x1b", "\x1b", "u")

        go_to("checkpoint_frequency")
        if shown("Rename save_interval", press(" a")):
            press("\r")
        press("\x1b", ":w\r")
        results["fix"] = wait_for(lambda: "save_interval" in workspace.config.read_text(encoding="utf-8"), 10)

        press(":lsp-workspace-command trickster.server.train\r")
        results["train"] = wait_for(lambda: event_seen(workspace, '"kind": ?"step"'), 60)

        go_to("keep_best_n")
        if shown("Stop", press(" a")):
            press("\x1b[B", "\r")  # Train stands first, Stop below it
        results["stop"] = wait_for(lambda: event_seen(workspace, '"status": ?"stopped"'), 30)
        press("\x1b", ":q!\r")
    finally:
        terminal.end(15)
    results["exit"] = workspace.ended_cleanly()
    (workspace.home / "screen.txt").write_text(terminal.text(), encoding="utf-8")
    recorded("Helix", version_of([hx, "--version"]), results)
