"""`launch`."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands, add_config, add_json, load_config
from trickster_engine.cli.console import ConsoleWatcher, JsonWatcher
from trickster_engine.cli.training import closing
from trickster_engine.errors import EXIT_STOPPED, TricksterError
from trickster_engine.runs import RunDirectory

DESCRIPTION = """\
Train on several machines: run this on each of them, with the same config and the same run directory, on a file system
that they share. It is torchrun, given what it needs; the options without an explanation here are torchrun's own. Where
the run directory holds a run already, training goes on from its newest checkpoint: after a lost machine, launch again.

The network between the machines must be trusted. What they say to each other is neither encrypted nor signed, and
torch's meeting points unpickle what they are sent: whoever can reach their ports can run code as you on these machines.
With --local-addr they listen on that address and its network alone; without it, on every network of the machine.
"""


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    launch = commands.add_parser("launch", help="train on several machines", description=DESCRIPTION)
    add_config(launch)
    add_json(launch)
    launch.add_argument(
        "--run-dir", type=Path, required=True, help="the run directory, on a file system that all machines share"
    )
    launch.add_argument("--nnodes", required=True, metavar="N|MIN:MAX", help="number of machines")
    launch.add_argument(
        "--rdzv-endpoint", required=True, metavar="HOST:PORT", help="the machine where all of them meet"
    )
    launch.add_argument("--rdzv-id", default="trickster", metavar="ID", help="the same for all machines of one job")
    launch.add_argument(
        "--nproc-per-node", type=int, metavar="N", help="default: mesh_shape's devices divided by the machines"
    )
    launch.add_argument(
        "--max-restarts", type=int, default=0, metavar="N", help="restart at most this often; default 0"
    )
    launch.add_argument(
        "--local-addr", metavar="ADDRESS", help="this machine's address for the others; it listens only there"
    )
    launch.add_argument("--rdzv-conf", metavar="KEY=VALUE,…", help="for instance join_timeout=600")
    launch.add_argument(
        "--patience",
        type=int,
        metavar="SECONDS",
        help="seconds to wait for a machine that does not respond; default 1800",
    )
    launch.set_defaults(run=_launch)


def _launch(options: argparse.Namespace) -> int:
    from trickster_engine.backends.torch.process_group import PATIENCE_VARIABLE
    from trickster_engine.training.context import TrainingContext
    from trickster_engine.training.torchrun import train_with_other_machines

    loaded = load_config(options)
    rows, columns = loaded.plan.device.mesh_shape
    processes = options.nproc_per_node or max(1, rows * columns // _fewest(options.nnodes))
    torchrun = ["--rdzv-conf", options.rdzv_conf or ""]
    for name in ("nnodes", "rdzv_endpoint", "rdzv_id", "max_restarts"):
        torchrun += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.patience is not None:
        os.environ[PATIENCE_VARIABLE] = str(options.patience)
    run = RunDirectory(options.run_dir.resolve())
    with closing(JsonWatcher() if options.json else ConsoleWatcher()) as watcher:
        context = TrainingContext(run, loaded.plan, loaded.path.resolve(), [watcher], show_progress=not options.json)
        outcome = train_with_other_machines(context, loaded.text, torchrun, processes, options.local_addr)
    if not options.json:
        with contextlib.suppress(OSError):
            print(f"\n{outcome.capitalize()}: {run.path}", flush=True)
    return EXIT_STOPPED if outcome == "stopped" else 0


def _fewest(nnodes: str) -> int:
    """The least number of machines in `2` or `2:4`. Raises TricksterError."""
    numbers = nnodes.split(":")
    if len(numbers) > 2 or not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise TricksterError("bad-nnodes", f"--nnodes {nnodes} is not a number of machines.", "Write 2, or 2:4.", 2)
    return int(numbers[0])
