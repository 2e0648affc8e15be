"""Every line for the terminal is done as it stands on the page, in the reader's order, in one folder."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.walkthroughs.pages import PAGES, page, shell_commands
from tests.walkthroughs.reader import Done, Reader
from trickster_engine import cli
from trickster_engine.config import check, set_values
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import EXIT_STOPPED
from trickster_engine.runs import read_events

#: In the reader's order; what stands on two pages is done where it stands first.
COMMANDS = list(dict.fromkeys(command for name in PAGES for command in shell_commands(page(name))))
#: All that look at the evening run in one process, so that it is lived through once.
in_one_evening = pytest.mark.xdist_group("evening")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command.partition(" > ")[0])
    assert words[0] == "trickster"
    seen = []

    class Parsed(Exception):
        pass

    def stop(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
        seen.append(real(parser, arguments))
        raise Parsed

    real = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Parsed):
        cli.main(words[1:])
    assert isinstance(seen[0], argparse.Namespace)


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Done]]]:
    """What came of every line. The folder is as the reader has it at the end of the lesson."""
    reader = Reader(tmp_path_factory.mktemp("evening"), "pico", "pico.trickster.yaml")
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
    assert len(prepare(plan, folder, progress=False).train) > 0


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
