"""What the editor can ask: one module a feature, each registering itself on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer


def register_features(server: TricksterServer) -> None:
    """Register every feature."""
    from trickster_server.features import (
        code_actions,
        code_lenses,
        completion,
        diagnostics,
        hover,
        inlay_hints,
        symbols,
    )
    from trickster_server.handlers import requests

    modules = (diagnostics, hover, completion, code_actions, code_lenses, inlay_hints, symbols, requests)
    for module in modules:
        module.register(server)
