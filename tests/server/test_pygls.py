"""What is used of pygls is public: a version within the range of pyproject.toml may change all the rest."""

from __future__ import annotations

import ast
from pathlib import Path

import pygls.lsp.server
import pytest
from lsprotocol import types
from trickster_server import server as server_module
from trickster_server.lsp import dispatch
from trickster_server.server import TricksterServer

SOURCES = sorted(Path(server_module.__file__).parent.rglob("*.py"))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _private_names() -> set[str]:
    """What pygls' own server and its parts keep to themselves."""
    server = pygls.lsp.server.LanguageServer("x", "1")
    parts = (server, server.protocol, server.protocol.fm)
    return {name for part in parts for name in (*dir(type(part)), *vars(part)) if _is_private(name)}


def test_nothing_private_is_overridden_or_used() -> None:
    private = _private_names()
    assert {"_shutdown", "_request_futures", "_handle_request", "_server"} <= private
    for made in (TricksterServer(), TricksterServer().protocol):
        ours = {name for kind in type(made).__mro__ if kind.__module__.startswith("trickster") for name in vars(kind)}
        assert not ours & private
    for module in (dispatch, server_module):  # where a class of pygls is extended
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not named & private


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_imported_from_a_private_module(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("pygls", "lsprotocol"):
            assert not any(map(_is_private, [*(node.module or "").split("."), *(one.name for one in node.names)]))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            # `server`, `protocol` and `fm` are pygls' wherever they are reached through something else.
            reached = node.value.attr if isinstance(node.value, ast.Attribute) else ""
            assert not (reached in ("server", "protocol", "fm") and _is_private(node.attr)), ast.unparse(node)


def test_pygls_makes_the_capabilities_and_calls_our_handler_on_the_way() -> None:
    """The one generator of pygls that is driven here: it names the handlers to call and returns the answer."""
    server = TricksterServer()
    params = types.InitializeParams(capabilities=types.ClientCapabilities(), process_id=7, root_uri="file:///w")
    steps = server.protocol.fm.builtin_features[types.INITIALIZE](params)
    handler, arguments, _ = next(steps)
    assert (handler, arguments) == (server.protocol.fm.features[types.INITIALIZE], (params,))
    with pytest.raises(StopIteration) as answer:
        next(steps)
    capabilities = answer.value.value.capabilities
    assert capabilities.hover_provider and capabilities.text_document_sync.open_close
    assert "trickster.server.train" in capabilities.execute_command_provider.commands
    assert server.process_id == 7 and server.workspace.root_uri == "file:///w"
