"""What works in which client: written by the tests' run, shown in docs/editors.md.

`TRICKSTER_RECORD_CLIENTS=1` writes what a run has found into `docs/editors/clients.json` and the page. Without it a run
checks that what is recorded is still true.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "editors.md"
FILE = HERE.parents[1] / "docs" / "editors" / "clients.json"
RECORDING = "TRICKSTER_RECORD_CLIENTS"
FEATURES = {
    "diagnostics": "diagnostics on opening",
    "hover": "hover",
    "completion": "completion",
    "fix": "fix",
    "train": "train",
    "stop": "stop",
    "exit": "exits cleanly",
}
_ORDER = ("Neovim", "Helix", "Emacs, eglot", "Emacs, lsp-mode", "Vim, ALE", "Vim, vim-lsp", "Vim, coc.nvim", "Kate")


def recorded_clients() -> dict[str, Any]:
    """By name: versions, and what works."""
    if not FILE.exists():
        return {}
    clients: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return clients


def check_recorded(name: str, version: str, works: list[str], declared_only: list[str] | None = None) -> None:
    """Compare what a client has done with what is recorded of it, or record it.

    `declared_only` are features that were asked for by a client of ours which declares what the real one declares.
    """
    clients = recorded_clients()
    found = {"works": works, "declared_only": declared_only or []}
    if os.environ.get(RECORDING):
        versions = [*clients.get(name, {}).get("versions", []), version]
        clients[name] = {"versions": sorted(set(versions)), **found}
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(clients, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        PAGE.write_text(shown_in(PAGE.read_text(encoding="utf-8"), clients), encoding="utf-8")
        return
    known = clients.get(name)
    assert known is not None, f"{name} is not recorded"
    assert {"works": known["works"], "declared_only": known["declared_only"]} == found


def table(clients: dict[str, Any]) -> str:
    """The table of the page."""
    lines = ["| client | " + " | ".join(FEATURES.values()) + " |", "|:--|" + ":-:|" * len(FEATURES)]
    notes = False
    for name in sorted(clients, key=_ORDER.index):
        client = clients[name]
        marks = [
            "yes¹" if feature in client["declared_only"] else "yes" if feature in client["works"] else "no"
            for feature in FEATURES
        ]
        lines.append(f"| {name} {', '.join(client['versions'])} | " + " | ".join(marks) + " |")
        notes = notes or bool(client["declared_only"])
    if notes:
        lines += [
            "",
            "¹ Not run in the editor itself, but by a test client that declares the same capabilities. Kate was "
            "started with the config below, so its diagnostics and its exit are its own; the capabilities of coc.nvim "
            "are from its public sources.",
        ]
    return "\n".join(lines)


def shown_in(page: str, clients: dict[str, Any]) -> str:
    """The page with this table in it."""
    return re.sub(
        r"(<!-- clients -->\n).*?(<!-- /clients -->)",
        lambda found: f"{found[1]}{table(clients)}\n{found[2]}",
        page,
        flags=re.DOTALL,
    )
