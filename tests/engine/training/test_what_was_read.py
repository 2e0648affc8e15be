"""What a run says of its text, and that nothing Trickster has written becomes part of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.conftest import dialogue
from trickster_engine.cli import main
from trickster_engine.cli.console import banner
from trickster_engine.config import check, own_output
from trickster_engine.runs import CONFIG_FILE, EVENTS_FILE, RunDirectory

Config = Callable[..., Path]


def _identity(folder: Path, name: str = "tiny-001") -> dict[str, object]:
    data: dict[str, object] = json.loads((folder / "runs" / name / "run.json").read_text())["data"]
    return data


def test_a_folder_of_everything_is_the_same_text_after_every_run(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`corpus: .` once read the logs of its own runs, and no run of it could be resumed."""
    elsewhere = {"output_dir": "runs", "checkpoint_dir": "kept", "log_dir": "logs"}
    path = tiny_config(data_config={"corpus": "."}, output_config=elsewhere, training_config={"max_steps": 3})
    assert main(["train", str(path)]) == 0
    assert main(["train", str(path)]) == 0
    first, second = _identity(tmp_path), _identity(tmp_path, "tiny-002")
    assert first["fingerprint"] == second["fingerprint"]
    assert first["train_tokens"] == 27_000
    capsys.readouterr()
    steps = ["--set", "training_config.max_steps=6"]
    assert main(["resume", str(tmp_path / "runs/tiny-001"), *steps]) == 0
    assert "Finished at step 6" in capsys.readouterr().out
    text = second["text"]
    assert isinstance(text, dict)
    assert text["source"]["left_out"] == {"config of Trickster": 1, "folder of runs": 3}


def test_runs_beside_the_text_are_told_by_what_they_hold(tiny_config: Config, tmp_path: Path) -> None:
    """Where runs are written into the folder of the text itself, they are known by their files."""
    path = tiny_config(data_config={"corpus": "."}, output_config={"output_dir": "."}, training_config={"max_steps": 3})
    assert main(["train", str(path)]) == 0
    assert main(["train", str(path)]) == 0
    data = [json.loads((tmp_path / name / "run.json").read_text())["data"] for name in ("tiny-001", "tiny-002")]
    assert data[0]["fingerprint"] == data[1]["fingerprint"]
    assert data[1]["text"]["source"]["left_out"]["a run of Trickster"] >= 1
    assert own_output._RUN_FILES == (EVENTS_FILE, CONFIG_FILE)


def test_the_start_says_what_was_read(
    tiny_config: Config, tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus.write_bytes(dialogue(30_000).replace("\n", "\r\n").encode())
    path = tiny_config(
        model_config={"vocab_size": 4_096}, data_config={"tokenizer": "bpe"}, training_config={"max_steps": 3}
    )
    assert main(["train", str(path)]) == 0
    said = capsys.readouterr().out
    assert "CRLF (Windows)" in said and "of the validation text is also in the training text" in said
    facts = _identity(tmp_path)["text"]
    assert isinstance(facts, dict)
    filled, occurring = facts["vocabulary_filled"], facts["content"]["occurring"]
    assert f"{filled:,} of 4,096 rows used" in said
    assert f"warning: bpe finds only {filled:,} tokens in this text, and vocab_size is 4,096" in said
    assert f"over the {occurring:,} tokens that occur)" in said
    events = [json.loads(line) for line in (tmp_path / "runs/tiny-001/events.jsonl").read_text().splitlines()]
    assert {event["code"] for event in events if event["kind"] == "warning"} == {"line-ends", "vocabulary-not-filled"}


def test_a_run_of_before_has_a_banner_too(tiny_config: Config, tmp_path: Path) -> None:
    path = tiny_config(training_config={"max_steps": 3})
    assert main(["train", str(path)]) == 0
    run = RunDirectory(tmp_path / "runs/tiny-001")
    identity, plan = run.identity(), check(path.read_text()).plan
    assert identity is not None and plan is not None
    assert "Line ends:" in banner(run, plan, identity)
    old = replace(identity, data={name: value for name, value in identity.data.items() if name != "text"})
    assert "Line ends:" not in banner(run, plan, old) and "27,000 training tokens" in banner(run, plan, old)


def test_a_run_that_measures_on_its_training_text_never_begins_and_an_old_one_goes_on(
    tiny_config: Config,
    tmp_path: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus.write_text(dialogue(3_000) * 10, encoding="utf-8")
    path = tiny_config(training_config={"max_steps": 3})
    assert main(["train", str(path)]) == 1
    assert "100.0% of the validation text is also in the training text" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*"))
    with monkeypatch.context() as before:
        before.setattr("trickster_engine.data.findings.OVERLAP_REFUSED", 2.0)
        assert main(["train", str(path)]) == 0
    run = str(tmp_path / "runs/tiny-001")
    assert main(["resume", run, "--set", "training_config.max_steps=6"]) == 0
    assert main(["compare", run, "--json"]) == 0
