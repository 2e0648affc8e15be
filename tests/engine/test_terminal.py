"""What the command line shows: no control character reaches a terminal, whoever wrote it, and JSON stays exact."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.many_events import TRICKSTER
from tests.engine.conftest import subcommands
from tests.server.run_files import lines, status, write_run
from tests.terminals import on_terminal
from trickster_engine.cli import main, terminal
from trickster_engine.system.printable import escaped_json, printable, printable_text

EVIL = "\x1b[31mred\x1b[0m\x07\x1b]0;title\x07\x9b2J\x7f\u202egnp\u2066\x00"
#: What a terminal acts on: all controls but line ends and tabs, and what turns the direction of writing.
ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def test_a_character_is_shown_or_is_a_dot() -> None:
    assert ACTS.search(EVIL) and not ACTS.search(printable(EVIL))
    kept = "Zoë, naïve\u00a0café 日本\u3000語 👩\u200d🚀 क्\u200cष\n\tend"
    assert printable(kept) == kept
    assert printable("\ud800\ufffd\ufdd0\ue000") == "····"


def test_json_is_of_the_same_value_and_holds_nothing_a_terminal_acts_on() -> None:
    value = {EVIL: [EVIL, "ünïcode 🙂 \ufffd \U000e0041 \ud800"]}
    document = terminal.json_text(value, indent=2)
    assert json.loads(document) == value
    assert not ACTS.search(document) and "ünïcode 🙂" in document
    assert escaped_json(document) == document


def test_progress_may_return_to_the_line_start_and_nothing_else_may() -> None:
    stream = io.StringIO()
    shown: Any = terminal._Shown(stream)
    shown.write("\r 10%|#")
    shown.write("\r" + " " * 3 + "\r")
    shown.write("a line\r\n")
    shown.writelines(["runs/a\rerror: all gone\n"])
    assert stream.getvalue() == "\r 10%|#\r   \ra line\nruns/a·error: all gone\n"


@pytest.mark.parametrize("text", ["a\rb\r\rc", "a\r\nb\r\n\r\nc", "a\nb\r\nc\r"])
def test_every_line_end_of_a_text_is_one_even_in_pieces(text: str) -> None:
    """A model of a text with CR writes them; they are neither dots nor a way back to the beginning of the line."""
    whole = "\n".join(text.replace("\r\n", "\n").split("\r"))
    assert printable_text(text) == whole
    stream = io.StringIO()
    shown: Any = terminal._Shown(stream)
    for piece in text:
        shown.write_sample(piece)
    assert stream.getvalue() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="names of POSIX")
def test_names_and_files_of_runs_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    name = EVIL.replace("\0", "")
    run = write_run(tmp_path / "runs" / f"{name}-001", config_path=tmp_path / f"{name}.yaml")
    run.events_path.write_text(lines(status(3), {**status(4, "failed"), "message": EVIL}) + "?\n", encoding="utf-8")
    (tmp_path / f"{name}.yaml").write_text(f"model_config: {{layers: 3}} # {name}\n{name}: 1\n", encoding="utf-8")
    for arguments in (
        ["runs", tmp_path / "runs"],
        ["runs", tmp_path / "runs", "--json"],
        ["runs", tmp_path / name],
        ["check", tmp_path / f"{name}.yaml"],
        ["check", tmp_path / f"{name}.yml"],
        ["stop", run.path],
        ["sample", run.path, "-p", EVIL.replace("\0", "")],
        ["train", "--preset", name],
        [name],
    ):
        _, shown = on_terminal(*arguments)
        assert not ACTS.search(shown), arguments
        assert "red" in shown
        piped = subprocess.run([*TRICKSTER, *map(str, arguments)], capture_output=True, check=False)
        assert not ACTS.search((piped.stdout + piped.stderr).decode("utf-8")), arguments


def test_a_corpus_of_escapes_can_be_trained_on_and_looked_at(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    lines = (f"\x1b[31mred\x1b[0m\x07 plain {number * 7919}\n\x1b]0;title {number}\x07\n" for number in range(400))
    (tmp_path / "ansi.txt").write_text("".join(lines), encoding="utf-8")
    config = tiny_config(
        data_config={"corpus": "ansi.txt", "tokenizer": "char"},
        sampling_config={"prompt": "red", "max_new_tokens": 60},
    )
    code, shown = on_terminal("train", config, "--run-dir", tmp_path / "run")
    assert code == 0 and "Training" in shown, shown
    assert not ACTS.search(shown.replace("\r", "")), "a progress bar returns to the beginning of its line"
    for arguments in (
        ["prepare", config],
        ["sample", tmp_path / "run"],
        ["compare", tmp_path / "run"],
        ["inspect", config],
    ):
        code, shown = on_terminal(*arguments)
        assert code == 0 and not ACTS.search(shown), (arguments, shown)
        assert "·" in shown
    raw = subprocess.run([*TRICKSTER, "sample", str(tmp_path / "run")], capture_output=True, check=True).stdout
    answer = subprocess.run([*TRICKSTER, "sample", str(tmp_path / "run"), "--json"], capture_output=True, check=True)
    (sample,) = json.loads(answer.stdout)["samples"]
    assert not ACTS.search(answer.stdout.decode("utf-8"))
    assert raw.decode("utf-8") == sample["prompt"] + sample["text"] + os.linesep, "a file gets what was written"
    assert "\x1b" in sample["text"] or "\x07" in sample["text"]


def in_code_page(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> tuple[int, bytes]:
    """What a command writes where standard output and error have an old code page."""
    written = io.BytesIO()
    with monkeypatch.context() as patched:
        stream = io.TextIOWrapper(written, encoding=encoding, errors="strict", write_through=True)
        patched.setattr(sys, "stdout", stream)
        patched.setattr(sys, "stderr", stream)
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = int(end.code or 0)
        stream.flush()
        return code, written.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "cp1252", "cp437"])
def test_help_of_every_command_can_be_read_in_an_old_code_page(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = in_code_page(monkeypatch, encoding, "--help")
    assert code == 0
    separator = "·" if encoding in ("cp1252", "cp437") else "."
    assert f"exit codes: 0 success {separator} 1 " in text.decode(encoding)
    for name in subcommands():
        code, text = in_code_page(monkeypatch, encoding, name, "--help")
        assert code == 0 and f"usage: trickster {name}" in text.decode(encoding)
    code, text = in_code_page(monkeypatch, encoding, "trian")
    assert code == 2 and "invalid choice" in text.decode(encoding)


def test_ordinary_output_survives_a_terminal_of_ascii(tiny_config: Callable[..., Path]) -> None:
    """A text and a prompt of which the terminal has no sign for half; as files and JSON they stay what they are."""
    prompt = "тот ≥ → …"
    config = tiny_config(
        training_config={"max_steps": 2, "warmup_steps": 1, "eval_interval": 2}, sampling_config={"prompt": prompt}
    )
    corpus = config.parent / "play.txt"
    corpus.write_text(corpus.read_text(encoding="utf-8").replace("king", "король ≥"), encoding="utf-8")
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    environment["PYTHONIOENCODING"] = "ascii"
    run = str(config.parent / "runs/tiny-001")
    for arguments in (
        ["check", str(config)],
        ["train", str(config)],
        ["resume", run, "--set", "max_steps=3"],
        ["compare", run],
        ["sample", run, "--json"],
    ):
        done = subprocess.run([*TRICKSTER, *arguments], capture_output=True, check=False, env=environment)
        assert done.returncode == 0 and b"Traceback" not in done.stderr, (arguments, done.stderr)
        shown = done.stdout.decode("ascii") + done.stderr.decode("ascii")
        assert shown.strip()
        if arguments[0] == "train":
            assert "??? >= -> ..." in shown
    assert json.loads(done.stdout)["samples"][0]["prompt"] == prompt


def test_a_config_goes_into_a_file_as_utf_8_whatever_the_code_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    monkeypatch.setattr("trickster_engine.cli.arguments.preset_text", lambda name: "# 5 ≥ 3 → тот\n")
    assert in_code_page(monkeypatch, "cp1252", "presets", "nano")[1].decode("utf-8") == "# 5 ≥ 3 → тот\n"
