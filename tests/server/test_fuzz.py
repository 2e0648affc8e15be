"""Random texts and random sessions: nothing fails, nothing hangs, nothing is left behind.

TRICKSTER_FUZZ=full looks at 20,000 texts and 2,000 sessions; otherwise a few hundred of each, which CI can afford.
What once failed stays in `fuzz_findings/`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trickster_server.documents import Document
from trickster_server.features.diagnostics import to_diagnostic
from trickster_server.lsp.client import Client
from trickster_server.lsp.dispatch import make_converter

from tests.server.fuzzing import SNIPPETS, ask_everything, documents, findings, mutate, read_finding
from tests.server.raw_client import RawClient
from tests.server.test_hostile_clients import ask_everything as ask_server
from tests.server.test_hostile_clients import resident
from trickster_engine.config import preset_names, preset_text

FULL = os.environ.get("TRICKSTER_FUZZ") == "full"
TEXTS, SESSIONS = (20_000, 2_000) if FULL else (300, 40)
PATIENT = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    print_blob=True,
)


@pytest.mark.parametrize("path", findings(), ids=lambda path: path.stem)
def test_what_once_failed(path: Path) -> None:
    text = read_finding(path)
    for seed in range(20):
        ask_everything(text, random.Random(seed))


@pytest.mark.timeout(0 if FULL else 600)
@settings(PATIENT, max_examples=TEXTS)
@given(text=documents, seed=st.integers(0, 2**32), encoding=st.sampled_from(["utf-16", "utf-16", "utf-32"]))
@example(text="", seed=0, encoding="utf-16")
def test_any_text_can_be_asked_about(text: str, seed: int, encoding: str) -> None:
    ask_everything(text, random.Random(seed), encoding)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with RawClient(env={"TRICKSTER_CACHE_DIR": str(tmp_path_factory.mktemp("cache"))}) as client:
        client.capabilities = {"textDocument": {"documentSymbol": {"hierarchicalDocumentSymbolSupport": True}}}
        client.initialize(options={"debounceMs": 0})
        yield client
        assert client.shutdown() == 0
        assert client.errors() == []
    if len(_memory) >= 20:  # flat over the later nine tenths of all sessions
        tenth = len(_memory) // 10
        early, late = max(_memory[tenth : 3 * tenth]), max(_memory[-2 * tenth :])
        assert late - early < 8_000_000, (early, late)


_converter = make_converter()
_count = 0
_memory: list[int] = []


@pytest.mark.timeout(0 if FULL else 600)
@settings(PATIENT, max_examples=SESSIONS)
@given(seed=st.integers(0, 2**64))
@example(seed=8159)  # two halves of a surrogate pair, inserted one after the other
def test_any_session_keeps_editor_and_server_of_one_mind(server: RawClient, seed: int) -> None:
    """Open, edit at random, ask in between, cancel some of it; in the end both sides have the same text."""
    global _count  # noqa: PLW0603 - one server sees every session
    _count += 1
    rng = random.Random(seed)
    uri = f"file:///fuzz/{_count}.trickster.yaml"
    text = mutate(preset_text(rng.choice(preset_names())), rng, rng.randrange(4))
    server.open(uri, text)
    mirror = Document(uri, text, 1, "yaml", "utf-16")
    pending: list[int] = []
    for version in range(2, 2 + rng.randrange(1, 25)):
        changes = [_random_change(mirror, rng) for _ in range(rng.choice((1, 1, 1, 3)))]
        params = _converter.structure(
            {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}, _change_type()
        )
        mirror = mirror.changed(list(params.content_changes), version)
        server.change(uri, version, changes)
        for _ in range(rng.choice((0, 0, 1, 3))):
            pending.append(_random_request(server, uri, mirror, rng))
            if rng.random() < 0.3:
                server.notify("$/cancelRequest", {"id": pending[-1]})
    for request in pending:
        answer = server.wait(request)
        assert "error" not in answer or answer["error"]["code"] == -32800, answer
    if rng.random() < 0.2:
        ask_server(server, uri, [(0, 0)])
    symbols = server.request("textDocument/documentSymbol", {"textDocument": {"uri": uri}})
    pulled = server.request("textDocument/diagnostic", {"textDocument": {"uri": uri}})["items"]
    expected = [_converter.unstructure(to_diagnostic(one, mirror, Client())) for one in mirror.checked.problems]
    shown = [one for one in pulled if one["code"] in {two["code"] for two in expected}]
    assert shown[: len(expected)] == expected
    assert [one["name"] for one in symbols] == [
        entry.key.text.strip() or "(no name)" for entry in getattr(mirror.parsed.root, "entries", [])
    ]
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    while not server.notifications.empty():
        server.notifications.get()
    _memory.append(resident(server.process.pid))


def _change_type() -> Any:
    from lsprotocol import types

    return types.DidChangeTextDocumentParams


def _random_place(document: Document, rng: random.Random) -> dict[str, int]:
    line = rng.randrange(len(document.lines) + 1)
    length = len(document.lines.line(line).encode("utf-16-le", "surrogatepass")) // 2
    return {"line": line, "character": rng.randrange(length + 3)}


def _random_change(document: Document, rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.08:
        return {"text": mutate(document.text, rng, 2)}
    start, end = _random_place(document, rng), _random_place(document, rng)
    if rng.random() < 0.7:
        end = {**start, "character": start["character"] + rng.randrange(4)}
    text = rng.choice((*SNIPPETS, "hidden_dim", "\n  ", "x", "12", ""))
    return {"range": {"start": start, "end": end}, "text": text}


def _random_request(server: RawClient, uri: str, document: Document, rng: random.Random) -> int:
    place = {"textDocument": {"uri": uri}, "position": _random_place(document, rng)}
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 10**5, "character": 0}}
    method, params = rng.choice(
        (
            ("textDocument/hover", place),
            ("textDocument/completion", place),
            ("textDocument/documentSymbol", {"textDocument": {"uri": uri}}),
            ("textDocument/codeLens", {"textDocument": {"uri": uri}}),
            ("textDocument/inlayHint", {"textDocument": {"uri": uri}, "range": whole}),
            (
                "textDocument/codeAction",
                {"textDocument": {"uri": uri}, "range": whole, "context": {"diagnostics": []}},
            ),
            ("trickster/describeConfig", {"configUri": uri}),
        )
    )
    return server.begin(method, params)
