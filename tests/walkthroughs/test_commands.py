"""Every command on a page is one that exists, and does what the page says."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.engine.conftest import TINY, dialogue, trickster
from tests.walkthroughs.pages import PAGES, page, shell_commands
from trickster_engine import cli
from trickster_engine.config import preset_text, set_values

COMMANDS = sorted({command for name in PAGES for command in shell_commands(page(name))})
#: What makes the lesson's run small enough to be done in a test.
SMALL = {
    f"{section}.{key}": str(value).lower() if isinstance(value, bool) else str(value)
    for section, values in TINY.items()
    for key, value in values.items()
    if section in ("model_config", "training_config", "device_config")
} | {"data_config.corpus": "play.txt", "sampling_config.max_new_tokens": "40", "training_config.log_interval": "1"}


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


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it after the step "train", with a small model and a play of our own."""
    folder = tmp_path_factory.mktemp("evening")
    (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
    (folder / "letters.txt").write_text(dialogue(20_000, seed=3), encoding="utf-8")
    (folder / "pico.yaml").write_text(set_values(preset_text("pico"), SMALL), encoding="utf-8")
    (folder / "mini.yaml").write_text(preset_text("mini"), encoding="utf-8")
    environment = {"TRICKSTER_CACHE_DIR": str(folder / "cache")}
    done = trickster("train", "pico.yaml", cwd=folder, **environment)
    assert done.returncode == 0, done.stderr
    return folder


#: In the reader's order. `trickster stop` needs a run that is going on, `doctor --self-test` a board.
DONE = [c for c in COMMANDS if not c.startswith(("trickster stop", "trickster doctor --self-test", "trickster resume"))]


@pytest.mark.parametrize("command", DONE)
def test_a_command_does_its_work(command: str, evening: Path) -> None:
    words = shlex.split(command.partition(" > ")[0])[1:]
    if words[0] == "train" and "training_config.max_steps=200" in words:
        words += ["--set", "training_config.max_steps=4"]
    done = trickster(*words, cwd=evening, TRICKSTER_CACHE_DIR=str(evening / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if words[0] == "report":
        assert (evening / "runs/pico-001/report.html").is_file()


def test_stopping_and_resuming_as_the_page_says(evening: Path) -> None:
    finished = trickster("resume", "runs/pico-001", cwd=evening, TRICKSTER_CACHE_DIR=str(evening / "cache"))
    assert "finished" in (finished.stdout + finished.stderr).lower()
    not_running = trickster("stop", "runs/pico-001", cwd=evening)
    assert not_running.returncode == 1
    assert "Traceback" not in not_running.stderr
