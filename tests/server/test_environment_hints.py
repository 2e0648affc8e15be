"""What the machine says about a config: hints that come by themselves, and go when they are no longer true."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from lsprotocol import types
from trickster_server.documents import Document
from trickster_server.features import hover_figures
from trickster_server.features.inlay_hints import hints
from trickster_server.hints.corpus import Corpus
from trickster_server.hints.devices import memory_advice
from trickster_server.hints.environment import _look

from tests.server.raw_client import RawClient
from trickster_engine.config import check, preset_plan, preset_text, set_values
from trickster_engine.config.corpus_files import SHAKESPEARE_BYTES
from trickster_engine.config.keys import KEYS
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.corpus import SHAKESPEARE_FILE
from trickster_engine.estimates.fitting import fit
from trickster_engine.estimates.machines import Machine
from trickster_engine.estimates.memory import training_memory


def codes(client: RawClient, uri: str, wanted: str, present: bool = True) -> list[dict[str, Any]]:
    """The diagnostics of a text once a code is among them (or no longer is)."""
    while True:
        published = client.notification("textDocument/publishDiagnostics", 20)
        if published["uri"] == uri and (wanted in [one["code"] for one in published["diagnostics"]]) == present:
            found: list[dict[str, Any]] = published["diagnostics"]
            return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("to be or not to be " * 200, encoding="utf-8")
    return tmp_path


def start(folder: Path, **environment: str) -> RawClient:
    client = RawClient(env={"TRICKSTER_CACHE_DIR": str(folder / "cache"), "TRICKSTER_CORPUS_DIR": "", **environment})
    client.initialize(folder, {"debounceMs": 0})
    return client


def config(folder: Path, **changes: str) -> tuple[str, str]:
    text = set_values(preset_text("pico"), {"data_config.corpus": "corpus.txt", **changes})
    path = folder / "x.trickster.yaml"
    path.write_text(text, encoding="utf-8")
    return path.as_uri(), text


def test_a_text_that_is_not_there_yet_is_told_apart_from_one_that_is(folder: Path) -> None:
    uri, text = config(folder, **{"data_config.corpus": "shakespeare"})
    with start(folder) as client:
        client.open(uri, text)
        (hint,) = [one for one in codes(client, uri, "corpus-not-fetched") if one["code"] == "corpus-not-fetched"]
        assert hint["severity"] == 4
        line = text.split("\n")[hint["range"]["start"]["line"]]
        assert line[hint["range"]["start"]["character"] : hint["range"]["end"]["character"]] == "shakespeare"
    corpora = folder / "corpora"
    corpora.mkdir()
    (corpora / SHAKESPEARE_FILE).write_bytes(b"x" * SHAKESPEARE_BYTES)
    with start(folder, TRICKSTER_CORPUS_DIR=str(corpora)) as client:
        client.open(uri, text)
        described = client.request("trickster/describeConfig", {"configUri": uri})
        assert described["corpusPresent"] is True
        assert described["trainTokens"] + described["valTokens"] == SHAKESPEARE_BYTES


def test_a_missing_file_is_noticed_and_so_is_its_coming(folder: Path) -> None:
    uri, text = config(folder, **{"data_config.corpus": "not-here.txt"})
    with start(folder) as client:
        client.open(uri, text)
        codes(client, uri, "corpus-not-found")
        shutil.copy(folder / "corpus.txt", folder / "not-here.txt")
        client.change(uri, 2, [{"text": text + "# saved\n"}])
        codes(client, uri, "corpus-not-found", present=False)
        assert client.errors() == []


def test_a_prompt_that_the_text_does_not_have(folder: Path) -> None:
    """It is said at the prompt, and the fix takes the text's own beginning."""
    uri, text = config(folder)
    with start(folder) as client:
        client.open(uri, text)
        found = codes(client, uri, "prompt-not-in-text")
        hint = next(one for one in found if one["code"] == "prompt-not-in-text")
        assert hint["severity"] == 4
        assert "ROMEO: does not occur in corpus.txt" in hint["message"]
        line = text.split("\n")[hint["range"]["start"]["line"]]
        assert line[hint["range"]["start"]["character"] : hint["range"]["end"]["character"]] == '"ROMEO:"'
        asked = {"textDocument": {"uri": uri}, "range": hint["range"], "context": {"diagnostics": [hint]}}
        (fix,) = [
            action
            for action in client.request("textDocument/codeAction", asked)
            if "prompt" in action["title"].lower() and "how the text begins" in action["title"]
        ]
        assert "to be or not to be to be" in fix["title"]
        client.change(uri, 2, [{"text": set_values(text, {"sampling_config.prompt": "to be or not to be to be"})}])
        codes(client, uri, "prompt-not-in-text", present=False)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [("ROMEO:", True), ("Shall I compare thee to be", False), ("not to\n", False), (" ", False), ("TO", True)],
)
def test_only_the_end_of_a_prompt_has_to_be_in_the_text(folder: Path, prompt: str, said: bool) -> None:
    """A sentence of one's own is a good prompt: what counts is whether the model has seen what it goes on from."""
    document = document_of(folder, **{"sampling_config.prompt": json.dumps(prompt)})
    found = [problem.code for problem in _look(document, may_run=False).problems]
    assert ("prompt-not-in-text" in found) == said


def test_a_text_that_changes_is_read_again(folder: Path) -> None:
    document = document_of(folder)
    assert "prompt-not-in-text" in [problem.code for problem in _look(document, may_run=False).problems]
    (folder / "corpus.txt").write_text("ROMEO:\nto be\n" * 500, encoding="utf-8")
    assert "prompt-not-in-text" not in [problem.code for problem in _look(document, may_run=False).problems]


def test_a_folder_of_texts_is_looked_through(folder: Path) -> None:
    (folder / "letters").mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / f"letters/{name}").write_text(f"Dear {name},\n" * 500, encoding="utf-8")
    document = document_of(folder, **{"data_config.corpus": "letters", "sampling_config.prompt": '"b.txt"'})
    assert "prompt-not-in-text" not in [problem.code for problem in _look(document, may_run=False).problems]


def test_what_was_read_is_shown_without_reading_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a text was prepared, what a quick look tells; afterwards the kept facts, and what they mean."""
    from trickster_engine.data import index
    from trickster_engine.data.prepare import prepare
    from trickster_engine.data.survey import text_facts

    monkeypatch.setattr(index, "_SETTLED_NS", -1)
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(folder / "cache"))
    (folder / "books").mkdir()
    (folder / "books/a.txt").write_bytes(b"to be or not to be\r\n" * 1_000)
    (folder / "books/cover.png").write_bytes(b"\x89PNG")
    (folder / "books/[x](y).log").touch()
    document = document_of(folder, **{"data_config.corpus": "books", "sampling_config.prompt": '"to be"'})
    plan = document.checked.plan
    assert plan is not None and document.path is not None

    def seen() -> tuple[str, set[tuple[str, str]]]:
        known = _look(document, may_run=False)
        context = hover_figures.Context(plan, known.corpus, None, images=False)  # type: ignore[arg-type]
        hover = hover_figures.for_key(KEYS["data_config.corpus"], context)
        return hover, {(problem.code, problem.severity) for problem in known.problems}

    hover, found = seen()
    assert (
        "| Skipped | binary: cover.png; no text file extension: \\[x\\](y).log |" in hover
        and "| Line ends | 1,000 CRLF (Windows) |" in hover
    )
    assert "Overlap" not in hover and "Prepare Dataset" in hover
    assert ("line-ends", "warning") in found
    text_facts(plan, prepare(plan, folder, config=document.path, progress=False))
    hover, found = seen()
    assert "| Overlap | 100.0% of the validation text is also in the training text |" in hover
    assert "| Characters | 18,000 training, 2,000 validation |" in hover and "Prepare Dataset" not in hover
    assert {("line-ends", "warning"), ("validation-in-training", "error")} <= found
    (fix,) = [fix for problem in _look(document, False).problems for fix in problem.fixes if "line_ends" in fix.title]
    assert fix.title == "Set line_ends to lf"


def test_how_often_the_text_is_read_is_said_in_words(folder: Path) -> None:
    document = document_of(folder, **{"data_config.corpus": "shakespeare"})
    found = {key: (label, tooltip) for key, label, tooltip in hints(document, Corpus(True, SHAKESPEARE_BYTES, None))}
    label, tooltip = found["training_config.max_steps"]
    assert label == "3.1 epochs"
    assert "3.1 epochs" in tooltip


def document_of(folder: Path, **changes: str) -> Document:
    uri, text = config(folder, **changes)
    return Document(uri, text, 1, "trickster", types.PositionEncodingKind.Utf16)


@pytest.mark.skipif(os.path.exists("/dev/tenstorrent"), reason="a board is here")  # noqa: PTH110
def test_a_device_that_is_not_here(folder: Path) -> None:
    changes = {"device_config.device_type": "tt", "model_config.vocab_size": "256", "model_config.hidden_dim": "256"}
    uri, text = config(folder, **changes)
    with start(folder) as client:
        client.open(uri, text)
        codes(client, uri, "device-not-here")
        span = {"start": {"line": 0, "character": 0}, "end": {"line": 500, "character": 0}}
        asked = {"textDocument": {"uri": uri}, "range": span, "context": {"diagnostics": []}}
        titles = [action["title"] for action in client.request("textDocument/codeAction", asked)]
        assert any("device_type to auto" in title for title in titles)


@pytest.mark.skipif(sys.platform == "darwin", reason="an Apple GPU is likely here")
def test_no_apple_gpu(folder: Path) -> None:
    uri, text = config(folder, **{"device_config.device_type": "mps"})
    with start(folder) as client:
        client.open(uri, text)
        assert "Apple GPU" in next(
            one["message"] for one in codes(client, uri, "device-not-here") if one["code"] == "device-not-here"
        )


def test_a_model_that_does_not_fit(folder: Path) -> None:
    uri, _ = config(folder)
    text = set_values(preset_text("mega"), {"data_config.corpus": "corpus.txt", "training_config.batch_size": "100000"})
    text = set_values(text, {"device_config.device_type": "cpu"})
    with start(folder) as client:
        client.open(uri, text)
        found = codes(client, uri, "memory-too-small")
        message = next(one["message"] for one in found if one["code"] == "memory-too-small")
        assert "Training needs about" in message and "TB" in message
        assert "Halve" not in message
        client.change(uri, 2, [{"text": set_values(preset_text("pico"), {"data_config.corpus": "corpus.txt"})}])
        codes(client, uri, "memory-too-small", present=False)


def needed(plan: Plan, on_gpu: bool) -> float:
    """Bytes, as the engine reckons them for one such device."""
    kind: Literal["cuda", "cpu"] = "cuda" if on_gpu else "cpu"
    return fit(plan, Machine("x", kind, 1, None, None, "")).needed


def followed(text: str, message: str) -> Plan:
    """The plan of a config in which what a message advises was done."""
    changes: dict[str, str] = {}
    for name, value in re.findall(r"(\w+): (\w+)", message.partition("It fits with ")[2]):
        section = "model_config" if name == "max_seq_len" else "training_config"
        changes[f"{section}.{name}"] = value
    assert changes
    changed = check(set_values(text, changes)).plan
    assert changed is not None
    return changed


@pytest.mark.parametrize("on_gpu", [True, False])
@pytest.mark.parametrize("batch_size", [1, 2, 48, 1000])
def test_the_advice_about_memory_makes_it_fit(on_gpu: bool, batch_size: int) -> None:
    """Followed to the letter, at whatever size of memory; where nothing would do, it says so."""
    text = set_values(preset_text("mini"), {"training_config.batch_size": str(batch_size)})
    plan = check(text).plan
    assert plan is not None
    least, most = 16 * count_parameters(plan.model).total, needed(plan, on_gpu)
    assert memory_advice(plan, most, "the GPU", on_gpu) is None
    said = [memory_advice(plan, least + (most - least) * share, "the GPU", on_gpu) for share in (0.01, 0.3, 0.6, 0.99)]
    fitting = [one for one in said if one is not None and "It fits with" in one]
    for share, message in zip((0.01, 0.3, 0.6, 0.99), said, strict=True):
        available = least + (most - least) * share
        assert message is not None and "Halve" not in message
        if message in fitting:
            changed = followed(text, message)
            assert needed(changed, on_gpu) <= available
            tokens = [tokens_per_step(one) for one in (plan, changed)]
            assert (tokens[0] == tokens[1]) == ("same number of tokens" in message)
        else:
            assert "It does not fit with any batch size: use" in message and message.endswith("a smaller model.")
    assert fitting
    assert "smaller model" in (memory_advice(plan, least / 10, "the GPU", on_gpu) or "")


def test_the_advice_for_a_model_that_devices_share() -> None:
    plan = preset_plan("mini")
    device = replace(plan.device, device_type="cuda", mesh_shape=(1, 2), enable_ddp=True, sharding="full")
    shared = replace(plan, device=device)
    assert "smaller batch_size" in (memory_advice(shared, 1e6, "the GPU", True) or "")
    few = replace(shared, training=replace(plan.training, batch_size=2))
    assert "batch" not in (memory_advice(few, 1e6, "the GPU", True) or "batch")
    assert memory_advice(shared, 1e13, "the GPU", True) is None


def test_processes_of_one_machine_share_its_memory() -> None:
    plan = preset_plan("nano")
    one = replace(plan, device=replace(plan.device, device_type="cpu"))
    for sharding in ("none", "full"):
        several = replace(one.device, mesh_shape=(1, 4), enable_ddp=True, sharding=sharding)
        four = replace(one, device=several)
        in_all = 4 * training_memory(four).total
        assert memory_advice(four, in_all, "this machine", False) is None
        assert "for its 4 processes" in (memory_advice(four, in_all - 1, "this machine", False) or "")


def test_hints_stay_at_their_keys_while_lines_are_added_above(folder: Path) -> None:
    uri, text = config(folder, **{"data_config.corpus": "shakespeare"})
    with start(folder) as client:
        client.open(uri, text)
        before = next(one for one in codes(client, uri, "corpus-not-fetched") if one["code"] == "corpus-not-fetched")
        start_of_file = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}
        client.change(uri, 2, [{"range": start_of_file, "text": "# one\n# two\n"}])
        after = next(one for one in codes(client, uri, "corpus-not-fetched") if one["code"] == "corpus-not-fetched")
        assert after["range"]["start"]["line"] == before["range"]["start"]["line"] + 2
