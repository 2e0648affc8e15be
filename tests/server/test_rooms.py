"""Rooms of the server point down only, and none knows the whole server."""

from __future__ import annotations

import ast
from pathlib import Path

import trickster_server

ROOT = Path(trickster_server.__file__).parent
#: From the lowest up; a room may use those before it. `hints` and `timing` do not use each other.
ORDER = (
    *("paths", "private_folder", "lsp", "documents", "runs", "hints", "timing", "services"),
    *("features", "handlers", "warm_up", "server", "__main__"),
)


def _imports(path: Path) -> list[tuple[str, ...]]:
    """What a file imports of the server, as the parts of names below `trickster_server`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        found += [tuple(name.split("."))[1:] for name in names if name.split(".")[0] == "trickster_server"]
    return found


def test_every_room_uses_only_those_below_it() -> None:
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue
        for used in _imports(path):
            if used[0] != parts[0]:
                assert ORDER.index(used[0]) < ORDER.index(parts[0]), f"{'.'.join(parts)} imports {'.'.join(used)}"


def test_nothing_is_imported_for_types_only_or_for_the_whole_server() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "TYPE_CHECKING" not in text, path
        assert "TricksterServer" not in text or path.name == "server.py", path


def test_the_server_needs_nothing_that_is_not_shipped() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in ("tools", "tests", "torch"), path
