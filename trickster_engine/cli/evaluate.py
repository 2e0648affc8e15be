"""`evaluate`: a run's loss in every unit, and measures of what it writes; and `corpus`: texts to try them on."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickster_engine.cli.arguments import RUN_HELP, Subcommands, add_json, print_json, run_path
from trickster_engine.errors import TricksterError
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.files import in_command
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.printable import printable
from trickster_engine.system.units import bits_per_byte

if TYPE_CHECKING:
    from trickster_engine.evaluation.item_measures import Measured

ITEMS = 1000
_CORPORA = ("molecules", "chess", "tunes")


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    evaluating = commands.add_parser("evaluate", help="measure a run: loss, strided loss, and what it writes")
    evaluating.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    add_measures(evaluating)
    evaluating.add_argument("--items", type=int, default=ITEMS, metavar="N", help=f"things to write (default: {ITEMS})")
    evaluating.add_argument("-t", "--temperature", type=float, default=1.0, metavar="T", help="default: 1")
    evaluating.add_argument("--seed", type=int, help="default: the config's")
    evaluating.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    add_json(evaluating)
    evaluating.set_defaults(run=_evaluate)

    making = commands.add_parser("corpus", help="make a corpus whose text can be checked: molecules, chess or tunes")
    making.add_argument("name", choices=_CORPORA, help="what it is of")
    making.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a folder that does not exist yet")
    making.add_argument("--source", type=Path, metavar="FILE", help="molecules: a downloaded wheel of molsets")
    making.add_argument("--games", type=int, default=10_000, metavar="N", help="chess: how many (default: 10,000)")
    making.add_argument("--seed", type=int, default=1337, help="chess: which games (default: 1337)")
    making.set_defaults(run=_corpus)


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Add `--measure`."""
    parser.add_argument(
        "--measure",
        dest="measures",
        action="append",
        default=[],
        metavar="NAME",
        help="molecules, chess, tunes, one of an installed package, or your own: FILE.py:FUNCTION (may be repeated)",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.compare import held_out_loss, strided_losses
    from trickster_engine.evaluation.item_measures import find_measure, measure_items, own_probabilities
    from trickster_engine.inference.load import load_model
    from trickster_engine.inference.settings import sampling_settings
    from trickster_engine.runs import RunDirectory
    from trickster_engine.runs.trained_text import trained_text

    def say(words: str) -> None:
        print(f"{words} ...", file=sys.stderr, flush=True)

    if options.items < 1:
        raise TricksterError("bad-override", f"--items {options.items} is no number of items.", "Use 1 or more.", 2)
    measures = {name: find_measure(name) for name in options.measures}  # now rather than after minutes
    sampling = sampling_settings(options.path, {"temperature": options.temperature, "seed": options.seed})
    run = RunDirectory(options.path)
    plan, identity = run.begun()
    model, _, folder = load_model(options.path, options.checkpoint)
    dataset = trained_text(run, plan, identity)
    say("Measuring the validation loss")
    losses = {
        "this model": held_out_loss(model, dataset.measured_val),
        "this model, strided": float(strided_losses(model, dataset.measured_val).mean()),
    }
    rows = [
        {"name": name, "nats": nats, "bits_per_byte": bits_per_byte(nats, dataset.bytes_per_token)}
        for name, nats in losses.items()
    ]
    measured = None
    if measures:
        chosen = replace(own_probabilities(sampling, model), temperature=sampling.temperature)
        measured = measure_items(measures, model, dataset, chosen, options.items, say)
    if options.json:
        print_json({"checkpoint": str(folder), "rows": rows, "measured": measured and asdict(measured)})
        return 0
    _print_losses(rows)
    if measured is not None:
        _print_measured(measured)
    return 0


def _print_losses(rows: list[dict[str, Any]]) -> None:
    print(f"{'Validation loss':<28}{'nats/token':>14}{'bits/byte':>20}")
    for row in rows:
        print(f"  {title(row['name']):<26}{row['nats']:>14.4f}{row['bits_per_byte']:>20.4f}")
    print("Strided windows overlap by half, so that each token has at least half a window of context.")


def _print_measured(measured: Measured) -> None:
    print(f"\n{measured.items:,} from each writer; the model at temperature {measured.temperature:g}")
    for name, writers in measured.figures.items():
        numbers = list(next(iter(writers.values())))
        print(f"{name:<28}" + "".join(f"{number:>14}" for number in numbers))
        for writer, figures in writers.items():
            print(f"  {title(writer):<26}" + "".join(f"{figures[number]:>14.4f}" for number in numbers))
    for writer, items in measured.first.items():
        print(f"The first by the {title(writer)}: {printable(items[0]) if items else 'none'}")


def _corpus(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.domains import chess_games, molecules, tunes

    folder: Path = options.to
    makers: dict[str, Callable[[], dict[str, int]]] = {
        "molecules": lambda: molecules.make(folder, options.source),
        "chess": lambda: chess_games.make(folder, options.games, options.seed),
        "tunes": lambda: tunes.make(folder),
    }
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(error, folder, "name a folder to create", "output-not-writable") from error
    try:
        counts = makers[options.name]()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # made above, and in the way of another try
        raise
    config = folder / f"{options.name}.yaml"
    shutil.copyfile(Path(molecules.__file__).with_name(config.name), config)
    told = " and ".join(f"{folder / name} ({count:,} lines)" for name, count in counts.items())
    print(f"Wrote {told}. Next:\n  trickster train {in_command(config)}")
    print(f"  trickster evaluate RUN --measure {options.name}")
    return 0
