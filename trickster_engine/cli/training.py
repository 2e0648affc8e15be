"""`train`, `resume`, `stop` and `quickstart`."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trickster_engine.cli.arguments import (
    RUN_HELP,
    Subcommands,
    add_config,
    add_json,
    add_overrides,
    load_config,
    read_overrides,
    run_path,
    with_overrides,
)
from trickster_engine.cli.console import ConsoleWatcher, JsonWatcher
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.errors import EXIT_STOPPED, EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.evaluation.report.names import beside
from trickster_engine.runs import CONFIG_FILE, RunDirectory, is_run_directory, owner_of
from trickster_engine.system.files import in_command
from trickster_engine.system.printable import printable

if TYPE_CHECKING:
    from trickster_engine.training.recorder import Watcher

W = TypeVar("W", ConsoleWatcher, JsonWatcher, ConsoleWatcher | JsonWatcher)

#: A step of a large model on a slow machine can take minutes; the trainer saves after it.
_STOP_PATIENCE_S = 600.0


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    train = commands.add_parser("train", help="train a config from random weights")
    add_config(train)
    add_json(train)
    train.add_argument("--run-dir", type=Path, help="write to this folder instead of <output_dir>/<name>-<NNN>")
    train.add_argument(
        "--origin", default="", metavar="NAME", help="the agent that asks for this run, for its events; none for you"
    )
    train.add_argument("--agreed", metavar="SHA256", help=argparse.SUPPRESS)
    _add_on_alert(train)
    train.set_defaults(run=_train)

    resume = commands.add_parser("resume", help="resume a run from its newest complete checkpoint")
    resume.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    add_overrides(resume)
    resume.add_argument(
        "--learning-rate",
        choices=("curve", "floor", "rewarm"),
        help="with more steps: recompute the schedule over all of them (default), stay at min_learning_rate, or warm "
        "up again",
    )
    _add_on_alert(resume)
    add_json(resume)
    resume.set_defaults(run=_resume)

    stop = commands.add_parser("stop", help="stop a run: save, then end")
    stop.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    stop.add_argument("--no-wait", action="store_true", help="do not wait until it has stopped")
    stop.set_defaults(run=_stop)

    quickstart = commands.add_parser(
        "quickstart", help="train the pico preset on Shakespeare and show proof that it learned"
    )
    add_overrides(quickstart)
    quickstart.set_defaults(run=_quickstart)


def _add_on_alert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-alert",
        metavar="COMMAND",
        help="run this program at each alert of alerts_config, without a shell; it gets the alert as JSON on its input",
    )


@contextlib.contextmanager
def _watchers(options: argparse.Namespace) -> Iterator[list[Watcher]]:
    """Who follows a run from the command line: the terminal, and the command that alerts are handed to."""
    from trickster_engine.training.alert_messages import command_sender

    sender = command_sender(options.on_alert) if options.on_alert is not None else None
    with closing(JsonWatcher() if options.json else ConsoleWatcher()) as watcher:
        try:
            yield [watcher, *([sender] if sender is not None else [])]
        finally:
            if sender is not None:
                sender.close()


def _train(options: argparse.Namespace) -> int:
    from trickster_engine.training.start import start

    loaded = load_config(options)
    if options.agreed not in (None, hashlib.sha256(loaded.text.encode("utf-8")).hexdigest()):
        raise TricksterError(
            "config-changed", f"{loaded.path} has changed since its training was agreed to.", "Ask for it again."
        )
    with _watchers(options) as watchers:
        run, outcome = start(
            loaded.path,
            loaded.text,
            loaded.plan,
            watchers,
            run_path=options.run_dir,
            show_progress=not options.json,
            origin=printable(options.origin),
        )
    if not options.json:
        _say_goodbye(run, outcome)
    return EXIT_STOPPED if outcome == "stopped" else 0


def _resume(options: argparse.Namespace) -> int:
    from trickster_engine.training.start import resume

    run = _run_at(options.path)
    with _watchers(options) as watchers:
        outcome = resume(
            run,
            read_overrides(options),
            watchers,
            learning_rate=options.learning_rate,
            show_progress=not options.json,
        )
    if not options.json and outcome != "nothing to do":
        _say_goodbye(run, outcome)
    return EXIT_STOPPED if outcome == "stopped" else 0


@contextlib.contextmanager
def closing(watcher: W) -> Iterator[W]:
    """A watcher for as long as a run goes on. A terminal that is gone by the end changes nothing about how it ended."""
    try:
        yield watcher
    finally:
        with contextlib.suppress(OSError):
            watcher.close()


def _say_goodbye(run: RunDirectory, outcome: str) -> None:
    summary = run.summary()
    best = ""
    if summary.best_val_loss is not None:
        ahead = beside(summary.best_val_loss, summary.baselines)
        best = f"; best validation loss {summary.best_val_loss:.4f}" + (f", {ahead}" if ahead else "")
    lines = [f"\n{outcome.capitalize()} at step {summary.step:,}{best}.", f"Run:      {run.path}"]
    if outcome == "stopped":
        lines.append(f"Resume:   trickster resume {in_command(run.path)}")
    lines += [
        f"Sample:   trickster sample {in_command(run.path)}",
        f"Compare:  trickster compare {in_command(run.path)}",
    ]
    with contextlib.suppress(OSError):  # whoever read this has gone, and the run has ended as it has
        print("\n".join(lines), flush=True)


def _stop(options: argparse.Namespace) -> int:
    run = _run_at(options.path)
    state = run.liveness()
    if state == "unknown":
        raise TricksterError(
            "cannot-tell",
            f"Cannot tell whether {run.path} is being trained: its lock belongs to {owner_of(run.path)} and is not "
            "readable.",
            f"Ask {owner_of(run.path)} to stop it, or to let you read its files.",
        )
    if state == "idle":
        raise TricksterError("not-running", f"{run.path} is not being trained.", "List runs with: trickster runs")
    run.request_stop()
    if options.no_wait:
        return 0
    deadline = time.monotonic() + _STOP_PATIENCE_S
    while run.is_live():
        if time.monotonic() > deadline:
            raise TricksterError(
                "stop-not-honoured",
                f"{run.path} has not stopped within {_STOP_PATIENCE_S / 60:.0f} minutes.",
                "Its log.txt may say why.",
            )
        time.sleep(0.1)
    summary = run.summary()
    if summary.status == "finished":
        print(f"It finished by itself, at step {summary.step:,}.")
    elif summary.status == "stopped":
        print(f"Stopped at step {summary.step:,}. Resume it with: trickster resume {in_command(run.path)}")
    else:
        raise TricksterError(
            "stopped-badly",
            f"{run.path} ended at step {summary.step:,} with the status {summary.status}.",
            f"Its log.txt says why. Resume from the last checkpoint with: trickster resume {in_command(run.path)}",
            EXIT_TRAINING_FAILED,
        )
    return 0


def _quickstart(options: argparse.Namespace) -> int:
    from trickster_engine.cli.models import print_comparison
    from trickster_engine.data.download import require_shakespeare
    from trickster_engine.training.start import start

    text = preset_text("pico")
    try:
        require_shakespeare()
    except TricksterError as error:
        if error.code != "corpus-unavailable":
            raise
        print(
            "No network and no copy of Tiny Shakespeare: training on the Python standard library's own source instead.",
            file=sys.stderr,
        )
        # Ten times the text: a hundredth of it is as much to measure on as a tenth of Shakespeare.
        changes = {"corpus": "python", "val_fraction": "0.01"}
        text = set_values(text, {f"data_config.{key}": value for key, value in changes.items()})
        text = set_values(text, {"sampling_config.prompt": '"def "'})
    text = with_overrides(text, read_overrides(options))
    plan = check(text, Path.cwd()).plan
    if plan is None:
        raise TricksterError("config-invalid", "The changed preset has errors.", "Validate it with: trickster check")
    with closing(ConsoleWatcher()) as watcher:
        run, outcome = start(Path("pico.yaml"), text, plan, [watcher])
    if outcome == "finished":
        print_comparison(run.path, [plan.sampling.prompt])
    _say_goodbye(run, outcome)
    return EXIT_STOPPED if outcome == "stopped" else 0


def _run_at(path: Path) -> RunDirectory:
    if not is_run_directory(path):
        if path.is_dir() and os.path.lexists(path / CONFIG_FILE):
            RunDirectory(path).refuse_links()
        raise TricksterError("not-a-run", f"{path} is not a run directory.", "List your runs with: trickster runs")
    return RunDirectory(path.resolve())
