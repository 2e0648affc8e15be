"""`--measure`, which two commands share, and how its figures and losses are printed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from trickster_engine.evaluation.report.names import title
from trickster_engine.system.printable import printable

if TYPE_CHECKING:
    from trickster_engine.evaluation.item_measures import Measured


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


def print_losses(rows: list[dict[str, Any]]) -> None:
    """Print losses in both units."""
    print(f"{'Validation loss':<28}{'nats/token':>14}{'bits/byte':>20}")
    for row in rows:
        print(f"  {title(row['name']):<26}{row['nats']:>14.4f}{row['bits_per_byte']:>20.4f}")
    print("Strided windows overlap by half, so that nearly every token has at least half a window of context.")


def _cell(value: float | None) -> str:
    return f"{'-':>14}" if value is None else f"{value:>14.4f}"


def print_measured(measured: Measured) -> None:
    """Print a table for each measure, and the first item of each writer."""
    from trickster_engine.evaluation.item_measures import amounts_text, numbers_of

    print(f"\n{amounts_text(measured.items)}; the model's at temperature {measured.temperature:g}")
    for name, writers in measured.figures.items():
        numbers = numbers_of(writers)
        print(f"{name:<28}" + "".join(f"{number:>14}" for number in numbers))
        for writer, figures in writers.items():
            print(f"  {title(writer):<26}" + "".join(_cell(figures.get(number)) for number in numbers))
    for writer, items in measured.first.items():
        print(f"The first by the {title(writer)}: {printable(items[0]) if items else 'none'}")
