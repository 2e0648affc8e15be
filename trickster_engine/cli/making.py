"""`corpus`: texts that a program can check: molecules, chess games, tunes."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands
from trickster_engine.system.files import in_command
from trickster_engine.system.os_errors import cannot_write

_CORPORA = ("molecules", "chess", "tunes")


def add_commands(commands: Subcommands) -> None:
    """Register the command."""
    making = commands.add_parser("corpus", help="make a corpus whose text can be checked: molecules, chess or tunes")
    making.add_argument("name", choices=_CORPORA, help="what it is of")
    making.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="a folder that does not exist yet")
    making.add_argument("--source", type=Path, metavar="FILE", help="molecules: a downloaded wheel of molsets")
    making.add_argument("--games", type=_games, default=10_000, metavar="N", help="chess: how many (default: 10,000)")
    making.add_argument("--seed", type=int, default=1337, help="chess: which games (default: 1337)")
    making.set_defaults(run=_corpus)


def _games(words: str) -> int:
    if (games := int(words)) < 2:
        raise argparse.ArgumentTypeError(f"{words} is not at least 2: one to train on, one for validation")
    return games


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
