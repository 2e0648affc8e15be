"""Nothing of a run is removed or written through that is not this trainer's own, and what cannot be done is said."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import trickster
from trickster_engine.backends.base import NonFiniteError, StepResult
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.errors import EXIT_STOPPED, EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory, RunHold
from trickster_engine.training import guards
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.recorder import Recorder
from trickster_engine.training.start import resume, start

Config = Callable[..., Path]
TRAIN = [sys.executable, "-m", "trickster_engine", "train"]


def begin(path: Path) -> RunDirectory:
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    return start(path, path.read_text(), plan, show_progress=False)[0]


def failing_after(monkeypatch: pytest.MonkeyPatch, damage: Callable[[RunDirectory], None]) -> None:
    """Damage the run when it comes to write its last weights, where every write fails from then on."""

    def full(store: CheckpointStore, *_: object) -> None:
        damage(RunDirectory(store._run_path))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CheckpointStore, "write_final", full)


def add_a_key(run: RunDirectory) -> None:
    path = run.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "of_a_newer_version": [1]}))


def flip_the_first_byte(run: RunDirectory) -> None:
    path = run.path / "run.json"
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def take_the_right_to_read(run: RunDirectory) -> None:
    (run.path / "run.json").unlink()
    (run.path / "run.json").mkdir()  # as root, who may read everything, sees something that cannot be read


@pytest.mark.parametrize("damage", [add_a_key, flip_the_first_byte, take_the_right_to_read])
def test_a_run_whose_identity_cannot_be_read_is_never_removed(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, damage: Callable[[RunDirectory], None]
) -> None:
    failing_after(monkeypatch, damage)
    path = tiny_config()
    with pytest.raises(TricksterError) as caught:
        begin(path)
    run = path.parent / "runs/tiny-001"
    assert (caught.value.code, caught.value.exit_code) == ("disk-full", EXIT_TRAINING_FAILED)
    assert (run / "checkpoints/step-000012").is_dir()


def test_absent_unreadable_and_not_ours_are_three_answers(tiny_config: Config) -> None:
    run = begin(tiny_config())
    identity = run.identity()
    assert identity is not None
    add_a_key(run)
    assert run.identity() == identity
    path = run.path / "run.json"
    whole = path.read_text()
    codes = {}
    for name, text in {
        "cut": whole[:40],
        "list": "[]",
        "poor": "{}",
        "typed": json.dumps({**json.loads(whole), "pid": "1"}),
    }.items():
        path.write_text(text)
        with pytest.raises(TricksterError) as caught:
            resume(run, show_progress=False)
        codes[name] = caught.value.code
        assert run.identity_if_readable() is None and run.summary().step == 12
    assert set(codes.values()) == {"run-not-ours"}
    path.unlink()
    assert run.identity() is None
    with pytest.raises(TricksterError) as caught:
        resume(run, show_progress=False)
    assert caught.value.code == "nothing-to-resume"


AS_NOBODY = """
import os, sys
import trickster_engine.inference.load, trickster_engine.training.start  # before there is no right to read them
from trickster_engine.cli import main
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.environ["HOME"] = "/nonexistent"
sys.exit(main(sys.argv[1:]))
"""


def as_nobody(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that others may look into; those of pytest are closed by each of its sessions."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
def test_another_user_s_live_run_is_neither_interrupted_nor_nobody_s(tiny_config: Config, public: Path) -> None:
    path = tiny_config(training_config={"max_steps": 100_000, "eval_interval": 100_000, "save_interval": 100_000})
    run = RunDirectory(public / "runs/tiny-001")
    training = subprocess.Popen(
        [*TRAIN, str(path), "--json", "--run-dir", run.path],
        stdout=subprocess.PIPE, text=True, umask=0o022, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert training.stdout is not None
        while json.loads(training.stdout.readline())["kind"] != "step":
            pass
        (listed,) = json.loads(as_nobody("runs", run.path.parent, "--json").stdout)["runs"]
        assert listed["live"] and listed["status"] == "training"
        stopped = as_nobody("stop", run.path)
        assert stopped.returncode == 1 and "run-of-another-user" in stopped.stderr and "root" in stopped.stderr
        resumed = as_nobody("resume", run.path)
        assert resumed.returncode == 1 and "run-locked" in resumed.stderr

        (run.path / "lock").chmod(0o600)
        run.path.chmod(0o711)  # neither the lock nor the folder tells anything
        stopped = as_nobody("stop", run.path)
        assert stopped.returncode == 1 and "cannot-tell" in stopped.stderr and "root" in stopped.stderr
        (run.path / "config.yaml").chmod(0o600)
        sampled = as_nobody("sample", run.path)
        assert sampled.returncode == 1 and "config-unreadable" in sampled.stderr
    finally:
        training.terminate()
        training.communicate(timeout=60)


LINKS = ("lock", "events.jsonl", "samples.md", "log.txt", "stop", "best.json", "latest.json", "config.yaml", "run.json",
         "report.html")  # fmt: skip


def test_a_link_in_a_run_is_refused_by_name(tiny_config: Config, tmp_path: Path) -> None:
    run = begin(tiny_config())
    victim = tmp_path / "victim"
    for name in (*LINKS, "checkpoints", "final"):
        path, kept = run.path / name, tmp_path / "kept"
        there = os.path.lexists(path)
        if there:
            path.rename(kept)
            target = kept  # what it should be, at another place
        else:
            victim.write_text("untouched")
            target = victim
        before = target.read_bytes() if target.is_file() else b""
        path.symlink_to(target)
        others = {one: one.stat().st_mtime_ns for one in run.path.iterdir() if one != path}
        for command in ("resume", "report"):
            with pytest.raises(TricksterError) as caught:
                if command == "resume":
                    resume(run, {"max_steps": "16"}, show_progress=False)
                else:
                    run.refuse_links()
            assert caught.value.code == "link-in-run" and str(path) in caught.value.message, name
        assert path.is_symlink() and (not target.is_file() or target.read_bytes() == before), name
        assert {one: one.stat().st_mtime_ns for one in run.path.iterdir() if one != path} == others, name
        path.unlink()
        if there:
            kept.rename(path)
    assert main(["resume", str(run.path), "--set", "max_steps=16"]) == 0


@pytest.mark.parametrize("name", ["lock", "events.jsonl", "stop"])
def test_a_fifo_or_a_dangling_link_in_a_run_is_refused_and_hangs_nothing(tiny_config: Config, name: str) -> None:
    if sys.platform == "win32":
        pytest.skip("needs FIFOs")
    run = begin(tiny_config())
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    for command in ("resume", "report"):
        assert main([command, str(run.path)]) == 1
    assert stat.S_ISFIFO((run.path / name).lstat().st_mode)
    (run.path / name).unlink()
    (run.path / name).symlink_to("/nonexistent/startup")
    assert main(["resume", str(run.path)]) == 1
    assert (run.path / name).is_symlink()


def test_what_killed_writers_left_is_swept(tiny_config: Config) -> None:
    run = begin(tiny_config())
    leftover = run.path / f".latest.json.{'0' * 16}.tmp"
    leftover.write_text("half")
    (run.path / ".mine.tmp").write_text("a person's")
    resume(run, show_progress=False)
    assert not leftover.exists() and (run.path / ".mine.tmp").exists()


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ({"checkpoint_dir": "/proc/ck"}, "output_config.checkpoint_dir"),
        ({"checkpoint_dir": "kept"}, "output_config.checkpoint_dir"),
        ({"log_dir": "play.txt/logs"}, "output_config.log_dir"),
    ],
)
def test_an_output_that_cannot_be_made_is_said_before_any_step(
    tiny_config: Config, output: dict[str, str], key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config(output_config=output)
    if output.get("checkpoint_dir") == "kept":
        (path.parent / "kept").mkdir()
        (path.parent / "kept/tiny-001").write_text("a file in its place")
    assert main(["train", str(path)]) == 1
    shown = capsys.readouterr()
    assert key in shown.err and "output-not-writable" in shown.err and "step 2" not in shown.err + shown.out
    assert not (path.parent / "runs/tiny-001").exists()


def test_a_probe_leaves_nothing_behind(tiny_config: Config) -> None:
    path = tiny_config(output_config={"checkpoint_dir": "deep/kept", "log_dir": "logs"}, data_config={"corpus": "none"})
    assert main(["train", str(path)]) == 1
    assert not (path.parent / "deep").exists() and not (path.parent / "runs/tiny-001").exists()


@pytest.mark.parametrize(
    ("number", "words", "not_words"),
    [
        (errno.EMFILE, "ulimit -n", "permissions"),
        (errno.EACCES, "permissions", "ulimit"),
        (errno.EROFS, "read-only", "permissions"),
        (errno.EIO, "disk is failing", "permissions"),
        (errno.ESTALE, "network share", "permissions"),
        (errno.ENOSPC, "Free some space", "permissions"),
    ],
)
def test_the_advice_fits_what_was_refused(tiny_config: Config, number: int, words: str, not_words: str) -> None:
    run = begin(tiny_config())
    plan = run.plan()
    assert plan is not None
    error = guards.explain(OSError(number, os.strerror(number), "somewhere"), plan, run)
    assert error is not None and error.exit_code == EXIT_TRAINING_FAILED
    assert words in error.advice and not_words not in error.advice and "resume" in error.advice


def test_a_log_that_cannot_be_written_hides_no_cause(tiny_config: Config) -> None:
    """A full disk at every line of log.txt, also at those that say how the run ends."""
    path = tiny_config()
    write = os.write

    def diverge(*_: object) -> None:
        raise NonFiniteError(StepResult(float("nan"), 1.0))

    def full(descriptor: int, data: bytes) -> int:
        if b" ERROR " in bytes(data) or b" INFO " in bytes(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", full)
        patched.setattr(TorchBackend, "step", diverge)
        with pytest.raises(TricksterError) as caught:
            begin(path)
    assert (caught.value.code, caught.value.exit_code) == ("loss-not-finite", EXIT_TRAINING_FAILED)


def test_no_file_stays_open_where_the_last_cannot_be_opened(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "samples.md").mkdir()
    for _ in range(3):
        with pytest.raises(OSError, match="folder"):
            Recorder(run, tmp_path / "log.txt")
    if Path("/proc/self/fd").is_dir():
        leads = [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]
        assert not [path for path in leads if path.startswith(str(tmp_path))]


def test_a_hold_notices_nothing_where_nothing_happens(tmp_path: Path) -> None:
    hold = RunHold(tmp_path)
    (tmp_path / "lock").touch()
    hold.watch_lock()
    assert hold.loss() is None and (os.name == "nt" or hold.now() == tmp_path)
    hold.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_hang_up_that_is_ignored_stays_ignored(tiny_config: Config, processes: int) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX signals")
    device = {"device_type": "cpu", "enable_ddp": processes > 1, "mesh_shape": [1, processes]}
    training = {"max_steps": 100_000, "eval_interval": 100_000, "save_interval": 100_000}
    path = tiny_config(training_config=training, device_config=device)
    process = subprocess.Popen(
        ["nohup", *TRAIN, str(path), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None

    def next_step() -> int:
        assert process.stdout is not None
        while (event := json.loads(process.stdout.readline()))["kind"] != "step":
            pass
        return int(event["step"])

    step = next_step()
    process.send_signal(signal.SIGHUP)
    while next_step() < step + 20:
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == EXIT_STOPPED


def test_a_closed_terminal_ends_with_a_save_and_exit_3(tiny_config: Config) -> None:
    """A real terminal, which is closed: a hang-up comes, and every write to it fails."""
    if sys.platform == "win32":
        pytest.skip("needs terminals of POSIX")
    import fcntl
    import termios

    def own_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests themselves run under nohup
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    path = tiny_config(training_config={"max_steps": 100_000, "eval_interval": 100_000, "save_interval": 100_000})
    master, slave = os.openpty()
    process = subprocess.Popen(
        [*TRAIN, str(path)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=own_terminal,  # noqa: PLW1509 - there is one thread here
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    os.close(slave)
    run = RunDirectory(path.parent / "runs/tiny-001")
    try:
        while run.summary().train_loss is None:
            if select.select([master], [], [], 0.1)[0]:
                os.read(master, 65536)
            assert process.poll() is None
        os.close(master)
        assert process.wait(timeout=120) == EXIT_STOPPED
    finally:
        process.kill()
    assert run.summary().status == "stopped" and list((run.path / "checkpoints").iterdir())


def test_unwritable_report_and_everyday_commands_still_work(tiny_config: Config) -> None:
    run = begin(tiny_config())
    assert trickster("report", run.path).returncode == 0
    assert (run.path / "report.html").is_file()
