"""Training in several processes on this machine, which from outside are one: this one.

This one holds the run, prepares the text, starts torchrun's agent in itself, and says what happens. The processes that
the agent starts (`rank.py`) train; the first of them writes the run directory, and its events are passed on to whoever
watches here. A signal becomes a request to stop, which the processes agree on between two steps. When one of them is
lost, the agent ends the others, and why is written down here.

With other machines there is an agent on each of them, and the first of all processes holds the run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trickster_engine.backends.select import check_torch_device, chosen_device
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory, RunHold, pieces
from trickster_engine.runs.state import RunState
from trickster_engine.system.files import open_to_append
from trickster_engine.system.processes import this_process
from trickster_engine.system.programs import LAUNCHER, safe_environment
from trickster_engine.training import guards
from trickster_engine.training.outputs import open_recorder, require_outputs
from trickster_engine.training.rank import ERROR_KEY
from trickster_engine.training.recorder import Watcher
from trickster_engine.training.stopping import give_back, take_over

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    from trickster_engine.training.session import Outcome, Session

#: How long the other processes may take to end when one is lost. One that is writing a checkpoint may finish it.
_SHUTDOWN_S = 15
#: How often the run's events are passed on.
_FOLLOW_S = 0.1
#: Windows has neither of these signals.
_AT_ONCE: signal.Signals = getattr(signal, "SIGKILL", signal.SIGTERM)
_ALSO_TAKEN = [number for name in ("SIGQUIT",) if (number := getattr(signal, name, None)) is not None]


def train_in_processes(session: Session, processes: int) -> Outcome:
    """Train a run that this process holds in `processes` others, to its end. Raises TricksterError."""
    from trickster_engine.training.one_process import prepare_data, record_failure
    from trickster_engine.training.rendezvous import ONE_MACHINE

    run, plan = session.run, session.plan
    step = run.summary().step
    require_outputs(session)
    recorder = open_recorder(session, session.watchers)
    hold = RunHold(run.path)
    try:
        recorder.status("starting", step, f"process {this_process().pid}, with {processes} training processes")
        for note in session.notes:
            recorder.warning(*note)
        _refuse_here()
        check_torch_device(chosen_device(plan), processes)
        recorder.status("preparing", step)
        prepare_data(session, lambda message: recorder.status("preparing", step, message), begins=step == 0)
        with tempfile.TemporaryDirectory(prefix="trickster-meeting-") as private:
            run_torchrun(
                ["--rdzv-backend", ONE_MACHINE, "--rdzv-endpoint", "nowhere", "--nproc-per-node", str(processes)],
                session,
                process_environment(processes, plan.device.sharding),
                required=_one_machine(Path(private)),
            )
    except KeyboardInterrupt:
        recorder.status("stopped", run.summary().step, "interrupted a second time: stopped without saving")
        raise
    except Exception as error:
        explained = guards.explain(error, plan, run)
        record_failure(recorder, error, explained, run.summary().step)
        raise (explained or error) from error
    finally:
        recorder.close()
        if hold.loss() is None:
            run.forget_stop_request()
        hold.close()
    return _outcome(run)


def train_with_other_machines(
    session: Session, text: str, options: Sequence[str], processes: int, local_address: str | None = None
) -> Outcome:
    """Be this machine's part of a run that several train: torchrun with these options. Raises TricksterError.

    Every machine calls this with the same config and the same run directory, which they share; where the run has begun
    already, they go on with it. `text` is the config's; `processes` are started here. With a `local_address` nothing
    here listens elsewhere.
    """
    from trickster_engine.training.one_process import prepare_data
    from trickster_engine.training.rendezvous import SEVERAL_MACHINES

    _refuse_here()
    plan = session.plan
    check_torch_device(chosen_device(plan), processes)
    prepare_data(session)
    with tempfile.TemporaryDirectory(prefix="trickster-") as folder:
        config = Path(folder, "config.yaml")
        config.write_text(text, encoding="utf-8")
        meeting = ["c10d"] if local_address is None else [SEVERAL_MACHINES, "--local-addr", local_address]
        options = ["--rdzv-backend", *meeting, *options, "--nproc-per-node", str(processes)]
        environment = {**process_environment(processes, plan.device.sharding), **_network(local_address)}
        with _ending_when_cut_off():
            run_torchrun(options, session, environment, [str(config)])
    return _outcome(session.run)


def _outcome(run: RunDirectory) -> Outcome:
    """The last word of the processes that have trained. The run may still be held, by this process or by another."""
    state = RunState()
    for piece in pieces(run.events_path):
        state.feed_all(piece.events)
    return "stopped" if state.status == "stopped" else "finished"


def run_torchrun(
    options: Sequence[str],
    session: Session,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    required: Mapping[str, str] | None = None,
) -> None:
    """Be torchrun for a run until its processes have ended. Raises TricksterError for what made one of them fail.

    They are given the variables of `environment` where the user has not set them, and those `required` in any case.
    """
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as torchrun

    from trickster_engine.training.rendezvous import register

    register()
    run = session.run
    with ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="trickster-torchrun-"))
        stack.enter_context(_environment(environment, required or {}))
        stack.enter_context(_ending_with_this_process())
        stack.enter_context(_passing_on(run, session.watchers))
        stack.enter_context(_signals_ask_to_stop(run))
        # Signals are ours; torchrun only has to have one to listen to.
        options = [*options, "--signals-to-handle", "SIGQUIT", "--shutdown-timeout", str(_SHUTDOWN_S)]
        command = [str(LAUNCHER), "trickster_engine.training.rank", str(run.path), str(session.config_path), *arguments]
        try:
            torchrun(parse_args([*options, "--log-dir", logs, *command]))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            raise _cause(error.failures, session.log_path) from None
        except (RendezvousError, DistError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise TricksterError(
                "machines-not-together",
                f"The machines of this run did not connect, or lost their connection: {reason}",
                "Check that each can reach the address and port of --rdzv-endpoint, and that all of them are started. "
                "Launch again with the same command: the run resumes from its last checkpoint.",
                EXIT_TRAINING_FAILED,
            ) from None
        except SignalException:
            raise KeyboardInterrupt from None


def _refuse_here() -> None:
    from trickster_engine.backends.torch.process_group import started_by_torchrun

    if sys.platform == "win32":
        raise TricksterError(
            "several-processes-unavailable",
            "Training in several processes needs Linux or macOS.",
            "Set device_config.enable_ddp: false and mesh_shape: [1, 1], or train in WSL.",
        )
    if started_by_torchrun():
        raise TricksterError(
            "started-by-torchrun",
            "torchrun started this process, and the config asks for several: each process would start as many again.",
            "Start it as: trickster train CONFIG. It runs torchrun itself. For several machines: trickster launch.",
        )


def _one_machine(private: Path) -> dict[str, str]:
    """Where the processes of one machine meet, and that they talk over loopback: nothing of it is heard outside."""
    from trickster_engine.backends.torch.process_group import MEETING_FILE_VARIABLE

    loopback = "lo0" if sys.platform == "darwin" else "lo"
    return {
        MEETING_FILE_VARIABLE: str(private / "store"),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": f"={loopback}",  # exactly this one
    }


def _network(local_address: str | None) -> dict[str, str]:
    """What has gloo and NCCL keep to the network with this machine's address, where that is known."""
    from trickster_engine.training.rendezvous import interface_of

    name = interface_of(local_address) if local_address is not None else None
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"} if name else {}


def process_environment(processes: int, sharding: str) -> dict[str, str]:
    """What each of several processes on one machine needs to know before it starts."""
    import torch

    values = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes))}
    if sharding == "full":
        # glibc learns from the first large piece that is freed to keep such pieces, in case they are asked for again.
        # Weights that come and go between activations then leave holes that are worth all that sharding saves. A fixed
        # threshold (what it begins with) has it give them back.
        values["MALLOC_MMAP_THRESHOLD_"] = "131072"
    return values


@contextmanager
def _environment(values: Mapping[str, str], required: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes to come. What the user has set is kept, but for what is `required`."""
    before = dict(os.environ)
    os.environ.update({**safe_environment({**values, **os.environ}), **required})
    loggers = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:  # what torchrun tells of a lost process is told in words below
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _ending_with_this_process() -> Iterator[None]:
    """Make standard input a pipe that only this process could write to: those that inherit it end when it does."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    os.close(reading)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(writing)


def _ended_child() -> object:
    """A process of this one's that has ended and waits to be seen; None where none has. Raises ChildProcessError."""
    if sys.platform != "linux":  # macOS has no waitid, Windows no children
        return None
    return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


@contextmanager
def _ending_when_cut_off() -> Iterator[None]:
    """End this process when torchrun's agent does not come round to see that a process of its own has ended.

    It asks the meeting point ten times a second how many machines wait. Cut off from it, it waits for the answer as
    long as TCP does, which is a quarter of an hour.
    """
    from trickster_engine.backends.torch.process_group import patience_s

    limit = max(_SHUTDOWN_S + 15, min(300, patience_s()))
    over = threading.Event()

    def watch() -> None:
        seen = None
        while not over.wait(1.0):
            try:
                ended = _ended_child()
            except ChildProcessError:  # there are none now
                ended = None
            if ended is None:
                seen = None
                continue
            seen = seen or time.monotonic()
            if time.monotonic() - seen > limit:
                print(
                    "error: This machine is cut off from the others of the run, so training ends here.", file=sys.stderr
                )
                print("       Launch it again when they can be reached: the run resumes.", file=sys.stderr, flush=True)
                os._exit(EXIT_TRAINING_FAILED)

    if sys.platform == "linux":
        threading.Thread(target=watch, name="watch-agent", daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def _passing_on(run: RunDirectory, watchers: Sequence[Watcher]) -> Iterator[None]:
    """Tell the watchers what the training processes write down."""
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(run, watchers, over), name="follow-run", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _follow(run: RunDirectory, watchers: Sequence[Watcher], over: threading.Event) -> None:
    offset = run.events_path.stat().st_size if run.events_path.exists() else 0
    ready = False
    last_round = False
    while not last_round:
        last_round = over.wait(_FOLLOW_S)  # once more after the end, for what was written last
        identity, plan = (run.identity_if_readable(), run.plan()) if not ready else (None, None)
        if identity and plan:
            ready = True
            for watcher in watchers:
                watcher.ready(run, plan, identity)
        for piece in pieces(run.events_path, offset):
            offset = piece.after
            for event in piece.events:
                for watcher in watchers:
                    watcher.event(event)


@contextmanager
def _signals_ask_to_stop(run: RunDirectory) -> Iterator[None]:
    """The first signal asks the run to stop, which saves; a second Ctrl-C ends the processes at once."""
    from torch.distributed.elastic.multiprocessing import SignalException

    asked = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise SignalException("interrupted twice", _AT_ONCE)
        asked.set()
        if not run.path.is_dir():  # nothing has begun: nothing to save
            raise SignalException("stopped before the run started", signal.SIGTERM)
        with contextlib.suppress(TricksterError):  # the processes look after the run, and what became of it
            run.request_stop()

    previous = take_over(("SIGINT", "SIGTERM", "SIGHUP"), on_signal)
    # torchrun takes SIGQUIT too, where there is one.
    others = {number: signal.getsignal(number) for number in _ALSO_TAKEN}
    try:
        yield
    finally:
        give_back({**previous, **others})


def _cause(failures: Mapping[int, ProcessFailure], log_path: Path) -> TricksterError:
    """Of everything that failed, what came first: the others only lost touch with it."""
    from trickster_engine.backends.torch.process_group import PROCESS_LOST

    def order(item: tuple[int, ProcessFailure]) -> tuple[int, int]:
        rank, failure = item
        told = _told(failure)
        if told is not None:
            return (2 if told.code == PROCESS_LOST else 0, rank)
        # torchrun ends those that are left with SIGTERM, and with SIGKILL only those that do not heed it.
        return (3 if failure.exitcode == -signal.SIGTERM else 1, rank)

    rank, failure = min(failures.items(), key=order)
    told = _told(failure)
    if told is not None:
        return told
    data = failure.error_file_data.get("message")
    if isinstance(data, dict):  # a defect of ours: keep its traceback
        with contextlib.suppress(OSError), open_to_append(log_path) as log:
            log.write(f"process {rank}:\n{data['extraInfo']['py_callstack']}\n".encode("utf-8", "replace"))
        return TricksterError(
            "unexpected",
            f"Process {rank} failed: {data['message']}",
            "log.txt in the run directory has the details.",
            EXIT_TRAINING_FAILED,
        )
    how = (
        f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with exit code {failure.exitcode}"
    )
    memory = " The system also sends SIGKILL when memory runs out." if failure.exitcode == -9 else ""
    return TricksterError(
        PROCESS_LOST,
        f"Process {rank} of the run (pid {failure.pid}) {how}, so the others were ended as well.{memory}",
        "The last checkpoint is whole. Resume with: trickster resume <run>",
        EXIT_TRAINING_FAILED,
    )


def _told(failure: ProcessFailure) -> TricksterError | None:
    values = failure.error_file_data.get(ERROR_KEY)
    return TricksterError(*values) if values else None
