"""Clients that no test can steer, or have: a client of ours declares just what each declares, and does what people do.

Kate itself is started, with the page's config: what it declares is taken from that, and so are its diagnostics and its
end. coc.nvim comes from no registry; what it declares stands in `declared/coc.json`, from its public sources
(src/language-client of coc.nvim 0.0.82).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.editors.conftest import FEATURES, HERE, Workspace, editor_config, program, wait_for
from tests.editors.table import check_recorded
from tests.editors.test_clients import version_of
from tests.editors.test_helix import event_seen
from tests.server.conftest import applied
from tests.server.raw_client import RawClient

pytest.importorskip("torch")

PRESSED = ("hover", "completion", "fix", "train", "stop")
BOTH = {"other-name", "prompt-not-in-text"}


def do_everything(workspace: Workspace, capabilities: dict[str, Any], options: dict[str, Any]) -> dict[str, bool]:
    """What a person does, by a client that declares this."""
    uri, path = workspace.config.as_uri(), workspace.config
    where = {"textDocument": {"uri": uri}}
    text = path.read_text(encoding="utf-8")
    results: dict[str, bool] = {}

    def position(word: str) -> dict[str, int]:
        before, _, _ = text.partition(word)
        return {"line": before.count("\n"), "character": len(before.rpartition("\n")[2]) + len(word)}

    def actions(word: str) -> list[dict[str, Any]]:
        at = position(word)
        asked = {**where, "range": {"start": at, "end": at}, "context": {"diagnostics": []}}
        found: list[dict[str, Any]] = client.request("textDocument/codeAction", asked)
        return found

    def execute(title: str) -> None:
        action = next(one for one in actions("keep_best_n") if title in one["title"])
        client.request("workspace/executeCommand", {**action["command"]}, 120)

    with RawClient([str(workspace.server)], env=workspace.environment(), capabilities=capabilities) as client:
        client.initialize(workspace.folder, {"notifications": False, **options})
        client.open(uri, text)
        codes: set[str] = set()
        while not codes >= BOTH:
            if "diagnostic" in capabilities["textDocument"]:
                codes = {one["code"] for one in client.request("textDocument/diagnostic", where)["items"]}
            else:
                published = client.notification("textDocument/publishDiagnostics")
                codes = {one["code"] for one in published["diagnostics"]}
        results["diagnostics"] = True
        hover = client.request("textDocument/hover", {**where, "position": position("num_heads")})
        results["hover"] = "Each head attends" in hover["contents"]["value"]
        items = client.request("textDocument/completion", {**where, "position": position("device_type: ")})["items"]
        results["completion"] = "cuda" in {one["label"] for one in items}
        fix = next(one for one in actions("checkpoint_frequency") if one["title"] == "Rename to save_interval")
        assert ("documentChanges" in fix["edit"]) == ("workspaceEdit" in capabilities.get("workspace", {}))
        text = edited(text, fix["edit"])
        results["fix"] = "save_interval" in text and "checkpoint_frequency" not in text
        client.change(uri, 2, [{"text": text}])
        path.write_text(text, encoding="utf-8")
        client.notify("textDocument/didSave", where)
        execute("Train")
        results["train"] = wait_for(lambda: event_seen(workspace, '"kind": ?"step"'))
        assert wait_for(lambda: any("Stop" in one["title"] for one in actions("keep_best_n")), 20)
        execute("Stop")
        results["stop"] = wait_for(lambda: event_seen(workspace, '"status": ?"stopped"'))
        results["exit"] = client.shutdown() == 0
        assert client.errors() == []
    return results


def edited(text: str, edit: dict[str, Any]) -> str:
    """A text after an edit, in either form that edits have."""
    from lsprotocol import converters, types

    return applied(text, converters.get_converter().structure(edit, types.WorkspaceEdit))


def test_coc(workspace: Workspace) -> None:
    capabilities = json.loads((HERE / "declared" / "coc.json").read_text(encoding="utf-8"))
    settings = json.loads(editor_config("coc", workspace.server))["languageserver"]["trickster"]
    assert settings["command"] == str(workspace.server) and settings["filetypes"] == ["yaml"]
    results = do_everything(workspace, capabilities, settings["initializationOptions"])
    works = [feature for feature in FEATURES if results[feature]]
    check_recorded("Vim, coc.nvim", "0.0.82", works, works)


def test_kate(workspace: Workspace) -> None:
    if sys.platform == "win32":
        pytest.skip("process groups of POSIX")
    kate = program("kate")
    bus = program("dbus-run-session")
    settings = workspace.home / ".config"
    (settings / "kate" / "lspclient").mkdir(parents=True)
    (settings / "kate" / "lspclient" / "settings.json").write_text(editor_config("kate", workspace.server), "utf-8")
    # Which servers a person has allowed is asked once and kept here.
    allowed = f"[Kate Plugins]\nlspclientplugin=true\n\n[lspclient]\nAllowedServerCommandLines={workspace.server}\n"
    (settings / "katerc").write_text(allowed, encoding="utf-8")
    process = subprocess.Popen(
        [bus, kate, "--block", str(workspace.config)],
        cwd=workspace.folder,
        env=workspace.environment(QT_QPA_PLATFORM="offscreen", XDG_RUNTIME_DIR=str(workspace.home)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def published() -> set[str]:
        said = workspace.said("server", "textDocument/publishDiagnostics")
        return {one["code"] for one in said[-1]["params"]["diagnostics"]} if said else set()

    try:
        real = {"diagnostics": wait_for(lambda: published() >= BOTH, 60)}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
    real["exit"] = workspace.ended_cleanly()
    (hello,) = workspace.said("client", "initialize")
    assert hello["params"]["rootUri"] == workspace.folder.as_uri()  # as the config's rootIndicationFileNames say
    workspace.log.unlink()
    results = do_everything(workspace, hello["params"]["capabilities"], hello["params"]["initializationOptions"])
    works = [feature for feature in FEATURES if real.get(feature, results[feature])]
    check_recorded("Kate", version_of([kate, "--version"]), works, [one for one in PRESSED if one in works])


def test_the_page_shows_what_is_recorded_and_nothing_is_broken() -> None:
    from tests.editors.table import PAGE, recorded_clients, shown_in

    page, clients = PAGE.read_text(encoding="utf-8"), recorded_clients()
    assert shown_in(page, clients) == page
    configs = re.findall(r"<!-- config: ([\w-]+) -->", page)
    # Neovim's second config is for one feature, and `test_clients.py` has a test of its own for it.
    assert len(clients) == len(set(configs) - {"neovim-completion"}) == len(configs) - 1 == 8
    for name, client in clients.items():
        assert client["works"] == list(FEATURES), name


def test_every_config_of_the_page_is_run_by_a_test() -> None:
    page = (Path(__file__).parents[2] / "docs" / "editors.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    for name in re.findall(r"<!-- config: ([\w-]+) -->", page):
        assert f'"{name}"' in tests
