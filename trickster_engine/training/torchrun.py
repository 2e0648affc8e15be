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

import torch
from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.run import parse_args
from torch.distributed.run import run as torchrun

from trickster_engine.backends.select import check_torch_device, chosen_device
from trickster_engine.backends.torch.compilation import silent_loggers
from trickster_engine.backends.torch.process_group import MEETING_FILE_VARIABLE, patience_s, started_by_torchrun
from trickster_engine.data.findings import require_trainable
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory, RunHold, pieces
from trickster_engine.runs.state import state_at
from trickster_engine.system.processes import this_process
from trickster_engine.system.programs import LAUNCHER, safe_environment
from trickster_engine.training import guards
from trickster_engine.training.context import Outcome, TrainingContext
from trickster_engine.training.failures import cause_of
from trickster_engine.training.outputs import open_recorder, require_outputs
from trickster_engine.training.process import prepare_data, record_failure
from trickster_engine.training.recorder import Watcher
from trickster_engine.training.rendezvous import ONE_MACHINE, SEVERAL_MACHINES, interface_of, register
from trickster_engine.training.stopping import give_back, take_over

#: How long the other processes may take to end when one is lost. One that is writing a checkpoint may finish it.
_SHUTDOWN_S = 15
#: How often the run's events are passed on.
_FOLLOW_S = 0.1
#: Windows has neither of these signals.
_AT_ONCE: signal.Signals = getattr(signal, "SIGKILL", signal.SIGTERM)
_ALSO_TAKEN = [number for name in ("SIGQUIT",) if (number := getattr(signal, name, None)) is not None]


def train_in_processes(context: TrainingContext, processes: int) -> Outcome:
    """Train a run that this process holds in `processes` others, to its end. Raises TricksterError."""
    run, plan = context.run, context.plan
    step = run.summary().step
    require_outputs(context)
    recorder = open_recorder(context, context.watchers)
    hold = RunHold(run.path)
    try:
        recorder.status("starting", step, f"process {this_process().pid}, with {processes} training processes")
        recorder.action("start", step, context.origin)
        for note in context.notes:
            recorder.warning(*note)
        _refuse_here()
        check_torch_device(chosen_device(plan), processes)
        recorder.status("preparing", step)
        _, facts = prepare_data(context, lambda message: recorder.status("preparing", step, message))
        if step == 0:
            require_trainable(plan, facts)
        with tempfile.TemporaryDirectory(prefix="trickster-meeting-") as private:
            run_torchrun(
                ["--rdzv-backend", ONE_MACHINE, "--rdzv-endpoint", "nowhere", "--nproc-per-node", str(processes)],
                context,
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
    context: TrainingContext, text: str, options: Sequence[str], processes: int, local_address: str | None = None
) -> Outcome:
    """Be this machine's part of a run that several train: torchrun with these options. Raises TricksterError.

    Every machine calls this with the same config and the same run directory, which they share; where the run has begun
    already, they go on with it. `text` is the config's; `processes` are started here. With a `local_address` nothing
    here listens elsewhere.
    """
    _refuse_here()
    plan = context.plan
    check_torch_device(chosen_device(plan), processes)
    prepare_data(context)
    with tempfile.TemporaryDirectory(prefix="trickster-") as folder:
        config = Path(folder, "config.yaml")
        config.write_text(text, encoding="utf-8")
        meeting = ["c10d"] if local_address is None else [SEVERAL_MACHINES, "--local-addr", local_address]
        options = ["--rdzv-backend", *meeting, *options, "--nproc-per-node", str(processes)]
        environment = {**process_environment(processes, plan.device.sharding), **_network(local_address)}
        with _ending_when_cut_off():
            run_torchrun(options, context, environment, [str(config)])
    return _outcome(context.run)


def _outcome(run: RunDirectory) -> Outcome:
    """The last word of the processes that have trained. The run may still be held, by this process or by another."""
    return "stopped" if state_at(run.events_path).status == "stopped" else "finished"


def run_torchrun(
    options: Sequence[str],
    context: TrainingContext,
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    required: Mapping[str, str] | None = None,
) -> None:
    """Be torchrun for a run until its processes have ended. Raises TricksterError for what made one of them fail.

    They are given the variables of `environment` where the user has not set them, and those `required` in any case.
    """
    register()
    run = context.run
    with ExitStack() as stack:
        logs = stack.enter_context(tempfile.TemporaryDirectory(prefix="trickster-torchrun-"))
        stack.enter_context(_environment(environment, required or {}))
        # What torchrun logs of a lost process is said in `failures.py`.
        elastic = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
        stack.enter_context(silent_loggers(elastic))
        stack.enter_context(_ending_with_this_process())
        stack.enter_context(_passing_on(run, context.watchers))
        stack.enter_context(_signals_ask_to_stop(run))
        # Signals are ours; torchrun only has to have one to listen to.
        options = [*options, "--signals-to-handle", "SIGQUIT", "--shutdown-timeout", str(_SHUTDOWN_S)]
        command = [str(LAUNCHER), "trickster_engine.training.rank", str(run.path), str(context.config_path), *arguments]
        try:
            torchrun(parse_args([*options, "--log-dir", logs, *command]))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            raise cause_of(error.failures, context.log_path) from None
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
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    return {
        MEETING_FILE_VARIABLE: str(private / "store"),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": f"={loopback}",  # exactly this one
    }


def _network(local_address: str | None) -> dict[str, str]:
    """What has gloo and NCCL keep to the network with this machine's address, where that is known."""
    name = interface_of(local_address) if local_address is not None else None
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"} if name else {}


def process_environment(processes: int, sharding: str) -> dict[str, str]:
    """What each of several processes on one machine needs to know before it starts."""
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
    try:
        yield
    finally:
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
        identity, plan = (run.identity_if_readable(), run.plan_if_readable()) if not ready else (None, None)
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
