"""Windows' way through our code, as far as another system can go it: locks under an emulation, paths under ntpath."""

from __future__ import annotations

import fcntl
import ntpath
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

import pytest
from trickster_server import paths

from trickster_engine.runs import origin
from trickster_engine.system import files

AS_WINDOWS = Path(__file__).with_name("as_windows.py")

Ask = Callable[[str], str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], Ask]]]:
    """Starts a process that works as on Windows."""
    started: list[subprocess.Popen[str]] = []

    def one() -> tuple[subprocess.Popen[str], Ask]:
        process = subprocess.Popen(
            [sys.executable, AS_WINDOWS, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdin and process.stdout
        to, answers = process.stdin, process.stdout

        def ask(what: str) -> str:
            print(what, file=to, flush=True)
            return answers.readline().strip()

        return process, ask

    yield one
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not hasattr(fcntl, "F_OFD_SETLK"), reason="this system has no locks that belong to open files")
def test_two_trainers_and_one_that_looks(start: Callable[[], tuple[subprocess.Popen[str], Ask]]) -> None:
    (first, ask_first), (_, ask_second) = start(), start()
    assert ask_second("look") == "idle"
    assert ask_first("hold") == "held"
    assert ask_second("look") == "live"
    assert ask_second("hold") == "run-locked"
    # Who trains can be read while the lock is held: the byte that is locked lies behind the text.
    assert ask_second("read") == f"{first.pid} abcd"
    assert ask_first("let go") == "free"
    assert ask_second("look") == "idle"
    assert ask_second("hold") == "held"
    assert ask_first("look") == "live"


@pytest.mark.skipif(not hasattr(fcntl, "F_OFD_SETLK"), reason="this system has no locks that belong to open files")
def test_the_lock_ends_with_its_process(start: Callable[[], tuple[subprocess.Popen[str], Ask]]) -> None:
    (first, ask_first), (_, ask_second) = start(), start()
    assert ask_first("hold") == "held"
    first.kill()
    first.wait()
    assert ask_second("look") == "idle"
    assert ask_second("hold") == "held"


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that work with names of paths alone see Windows' rules."""
    system = types.SimpleNamespace(path=ntpath, name="nt")
    for module in (origin, files, paths):
        monkeypatch.setattr(module, "os", system)
        monkeypatch.setattr(module, "Path", PureWindowsPath)


@pytest.mark.usefixtures("windows")
def test_one_file_has_one_key_however_it_is_written() -> None:
    written = (r"C:\Users\Ada\Nano.yaml", "c:/users/ada/nano.yaml", r"C:\Users\Ada\runs\..\nano.YAML")
    assert {paths.unresolved_key(path) for path in written} == {r"c:\users\ada\nano.yaml"}
    assert paths.unresolved_key(r"D:\Users\Ada\Nano.yaml") != paths.unresolved_key(written[0])
    assert paths.unresolved_key(r"\\server\share\a.yaml") == r"\\server\share\a.yaml"


@pytest.mark.usefixtures("windows")
def test_the_way_from_a_run_to_its_config() -> None:
    run = PureWindowsPath(r"C:\work\runs\nano-001")
    assert origin.from_run(run, PureWindowsPath(r"C:\work\nano.yaml")) == "../../nano.yaml"  # type: ignore[arg-type]
    assert origin.from_run(run, PureWindowsPath(r"D:\nano.yaml")) == ""  # type: ignore[arg-type]
    assert str(origin._at(run, "../../nano.yaml")) == r"C:\work\nano.yaml"  # type: ignore[arg-type]


@pytest.mark.usefixtures("windows")
def test_commands_to_copy_on_windows() -> None:
    assert files.in_command(r"C:\work\runs\nano-001") == r"C:\work\runs\nano-001"
    assert files.in_command(r"C:\My Texts\nano.yaml") == r'"C:\My Texts\nano.yaml"'
    # PowerShell acts on `$(…)` within double quotes, and on nothing within single ones.
    assert files.in_command(r"C:\a $(calc)\it's.yaml") == r"'C:\a $(calc)\it''s.yaml'"
    assert files.in_command("C:\\a `b\\c.yaml") == "'C:\\a `b\\c.yaml'"


@pytest.mark.usefixtures("windows")
def test_paths_in_a_config_on_windows() -> None:
    folder = PureWindowsPath(r"C:\work")
    for written, meant in {
        r"D:\texts": r"D:\texts", "texts/a.txt": r"C:\work\texts\a.txt", r"\texts": r"C:\texts",
        r"\\server\share\a.txt": r"\\server\share\a.txt",
    }.items():  # fmt: skip
        assert str(files.path_meant(folder, written)) == meant  # type: ignore[arg-type]
