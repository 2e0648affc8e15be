"""Every line for the terminal is done as it stands on the page, in the reader's order, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import yaml

from tests.engine.conftest import TINY, dialogue
from tests.walkthroughs.pages import PAGES, page, shell_commands
from trickster_engine import cli
from trickster_engine.config import check, set_values
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import EXIT_STOPPED
from trickster_engine.runs import RunDirectory, find_runs, read_events

#: In the reader's order; what stands on two pages is done where it stands first.
COMMANDS = list(dict.fromkeys(command for name in PAGES for command in shell_commands(page(name))))
#: What makes the lesson's run small enough to be done in a test. It goes on until it is stopped.
SMALL = {
    f"{section}.{key}": str(value).lower() if isinstance(value, bool) else str(value)
    for section, values in TINY.items()
    for key, value in values.items()
    if section in ("model_config", "training_config", "device_config")
} | {
    "data_config.corpus": "play.txt",
    "sampling_config.max_new_tokens": "40",
    "training_config.max_steps": "1000000",
    "training_config.eval_interval": "100",
    "training_config.save_interval": "100",
}
PATIENCE = 240.0
#: All that look at the evening run in one process, so that it is lived through once.
in_one_evening = pytest.mark.xdist_group("evening")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command.partition(" > ")[0])
    assert words[0] == "trickster"
    seen = []

    class Parsed(Exception):
        pass

    def stop(parser: object, arguments: object = None, namespace: object = None) -> object:
        seen.append(real(parser, arguments, namespace))
        raise Parsed

    real = cli.argparse.ArgumentParser.parse_args
    monkeypatch.setattr(cli.argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        cli.main(words[1:])
    assert isinstance(seen[0], SimpleNamespace | cli.argparse.Namespace)


class Done(NamedTuple):
    code: int
    output: str
    complaints: str


class Reader:
    """Someone with a folder and a terminal in it, who types what the pages say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.training: subprocess.Popen[str] | None = None
        (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
        (folder / "letters.txt").write_text(dialogue(20_000, seed=3), encoding="utf-8")
        tool = folder / "bin" / "trickster"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trickster_engine "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
            "TRICKSTER_CACHE_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def type(self, line: str) -> Done:
        """One line. What trains goes on in the background, as it would in a terminal of its own."""
        if line.startswith(("trickster train", "trickster resume")):
            return self._train(line)
        if line.startswith("trickster stop"):
            done = self._end(self._start(line))
            trained = self._end(self.training)
            assert trained.code == EXIT_STOPPED, trained.complaints
            self.training = None
            return done
        done = self._end(self._start(line))
        if line.startswith("trickster presets pico >"):
            config = self.folder / "pico.trickster.yaml"
            config.write_text(set_values(config.read_text(encoding="utf-8"), SMALL), encoding="utf-8")
        return done

    def press_control_c(self) -> Done:
        assert self.training is not None
        os.killpg(self.training.pid, signal.SIGINT)
        done, self.training = self._end(self.training), None
        return done

    def _train(self, line: str) -> Done:
        before = {run: self._steps(run) for run in self._runs()}
        self.training = training = self._start(line)
        self._until(lambda: any(self._steps(run) > before.get(run, 0) for run in self._runs()), training)
        if line == "trickster train pico.trickster.yaml":
            return Done(EXIT_STOPPED, "is stopped by the line after it", "")
        return self.press_control_c()

    def _start(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "-c", f"exec {line}"],  # so that a signal meets the command and not the shell
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def _end(self, process: subprocess.Popen[str] | None) -> Done:
        assert process is not None
        output, complaints = process.communicate(timeout=PATIENCE)
        return Done(process.returncode, output, complaints)

    def _runs(self) -> list[Path]:
        return [run.path for run in find_runs(self.folder / "runs")]

    def _steps(self, run: Path) -> int:
        events = read_events(RunDirectory(run).events_path)[0]
        return max((event["step"] for event in events if event["kind"] == "step"), default=0)

    def _until(self, holds: Callable[[], bool], training: subprocess.Popen[str]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert training.poll() is None, self._end(training)
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Done]]]:
    """What came of every line. The folder is as the reader has it at the end of the lesson."""
    reader = Reader(tmp_path_factory.mktemp("evening"))
    try:
        yield reader.folder, {line: reader.type(line) for line in COMMANDS}
    finally:
        if reader.training is not None:
            reader.press_control_c()


@in_one_evening
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_its_work(command: str, evening: tuple[Path, dict[str, Done]]) -> None:
    _, done = evening
    code, output, complaints = done[command]
    assert "Traceback" not in complaints
    words = command.split()[1:]
    if "--self-test" in words:
        assert code in (0, 1)  # 1 where no board is
    elif words[0] in ("train", "resume"):
        assert code == EXIT_STOPPED, complaints
    else:
        assert code == 0, complaints
    assert output.strip() or ">" in words


@in_one_evening
def test_a_text_of_one_s_own_is_trained_on_as_the_last_page_says(evening: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = evening
    (block,) = re.findall(r"```yaml\n(.*?)```", page("ownText"), flags=re.DOTALL)
    asked = {f"{part}.{key}": value for part, keys in yaml.safe_load(block).items() for key, value in keys.items()}
    text = set_values((folder / "pico.trickster.yaml").read_text(encoding="utf-8"), asked)
    plan = check(text, folder).plan
    assert plan is not None
    assert (plan.data.corpus, plan.sampling.prompt) == ("letters.txt", "Dear ")
    assert prepare(plan, folder, progress=False).train.size > 0


@in_one_evening
def test_the_folder_holds_what_the_pages_promise(evening: tuple[Path, dict[str, Done]]) -> None:
    folder, _ = evening
    assert (folder / "model.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (folder / "mini.trickster.yaml").read_text(encoding="utf-8").startswith("# mini")
    assert (folder / "runs/pico-001/report.html").is_file()
    # Stopped once, resumed, and stopped again with Ctrl-C.
    statuses = [
        event["status"]
        for event in read_events(folder / "runs/pico-001/events.jsonl")[0]
        if event["kind"] == "status" and event["status"] in ("stopped", "finished", "failed")
    ]
    assert statuses == ["stopped", "stopped"]
