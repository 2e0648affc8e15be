"""What the command line shows: no control character reaches a terminal, whoever wrote it, and JSON stays exact."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.many_events import TRICKSTER
from tests.server.run_files import lines, status, write_run
from trickster_engine.cli import terminal
from trickster_engine.printable import escaped_json, printable, printable_text

EVIL = "\x1b[31mred\x1b[0m\x07\x1b]0;title\x07\x9b2J\x7f\u202egnp\u2066\x00"
#: What a terminal acts on: all controls but line ends and tabs, and what turns the direction of writing.
ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def on_terminal(*arguments: object, cwd: Path | None = None) -> tuple[int, str]:
    """What a person sees of a command on a terminal of 100 columns, line ends as the program wrote them."""
    pty = pytest.importorskip("pty", reason="pseudoterminals of POSIX", exc_type=ImportError)
    import fcntl
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [*TRICKSTER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=cwd
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # Linux says the end of the other side so
            break
        if not data:
            break
        shown += data
    os.close(master)
    return process.wait(), shown.decode("utf-8").replace("\r\n", "\n")


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
