"""A class's runs as one table: whatever students hand in of their runs, with a line for what cannot be read.

Read are run directories, at most a few folders deep, and a `run.json` alone, whose run has no loss then. No model is
loaded, and no link is followed.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from trickster_engine.errors import TricksterError
from trickster_engine.evaluation.report.html_page import document, safe, table
from trickster_engine.evaluation.report.names import best_ngram
from trickster_engine.runs import IDENTITY_FILE, RunDirectory, RunIdentity, is_run_directory
from trickster_engine.runs.state import state_at
from trickster_engine.system.files import read_json
from trickster_engine.system.json_checksum import require_fields_unchanged
from trickster_engine.system.json_dataclass import from_stored
from trickster_engine.system.os_errors import reason
from trickster_engine.system.printable import printable_text
from trickster_engine.system.units import bits_per_byte, duration_text

#: Folders below the one that is named: a student's, its `runs`, and the runs.
DEPTH: Final = 3
#: More would be no class.
MOST: Final = 2_000
_JSON_BYTES: Final = 8 << 20
#: No column is made wider for one run's sake.
_CONFIG_CHARACTERS, _MOST_PARAMETERS = 80, 10**15
#: A spreadsheet computes a cell that begins so.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One run. Losses are the lowest of the run; `beyond_counting` is how far that is below the best n-gram."""

    name: str
    config: str
    parameters: int | None = None
    steps: int | None = None
    nats_per_character: float | None = None
    bits_per_byte: float | None = None
    beyond_counting: float | None = None  # nats/token
    seconds: float | None = None
    note: str = ""


#: By what rows can be sorted.
ORDERS: Final = ("loss", "name", "parameters", "steps", "time")


def class_rows(folder: Path) -> list[Row]:
    """Everything in a folder that is a run or should be one, `MOST` at the most.

    Raises TricksterError where there is no such folder.
    """
    if not folder.is_dir():
        raise TricksterError("no-such-folder", f"{folder} is not a folder.", "Name the folder with the students' runs.")
    return [_row(path, folder) for path in islice(_found(folder, DEPTH), MOST)]


def in_order(rows: Sequence[Row], order: str) -> list[Row]:
    """Rows by one of `ORDERS`; those without the figure last."""

    def key(row: Row) -> tuple[bool, float, str]:
        figure = {
            "loss": row.bits_per_byte if row.bits_per_byte is not None else row.nats_per_character,
            "parameters": row.parameters,
            "steps": row.steps,
            "time": row.seconds,
        }.get(order, 0)
        return figure is None, figure or 0.0, row.name.casefold()

    return sorted(rows, key=key)


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    head = ("run", "config", "parameters", "steps", "nats/char", "bits/byte", "beyond counting", "time")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    for number, row in reversed(list(enumerate(rows, start=1))):
        if row.note:
            lines.insert(number + 1, f"    {row.note}")
    return "\n".join(lines)


def as_csv(rows: Sequence[Row]) -> str:
    """The table for a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = list(Row.__dataclass_fields__)
    writer.writerow(fields)
    for row in rows:
        values = [getattr(row, name) for name in fields]
        writer.writerow([f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one for one in values])
    return out.getvalue()


def as_html(rows: Sequence[Row], title: str) -> str:
    """The table as a page that needs nothing but itself."""
    columns = (
        "run", "config", "#parameters", "#steps", "#nats/character", "#bits/byte", "#below the best n-gram, nats/token",
        "#time",
    )  # fmt: skip
    body = []
    for row in rows:
        name, config, *figures = map(safe, _cells(row))
        note = f"<br><small>{safe(row.note)}</small>" if row.note else ""
        cells = "".join(f'<td class="n">{figure}</td>' for figure in figures)
        body.append(f"<tr><td>{name}{note}</td><td>{config}</td>{cells}</tr>")
    return document(
        title,
        [
            f"<h1>{safe(title)}</h1>",
            '<p class="soft">The lowest validation loss of each run. Bits/byte compare between tokenizers; losses on '
            "different texts do not compare.</p>",
            table(columns, body),
        ],
    )


def _found(folder: Path, depth: int) -> Iterator[Path]:
    """Run directories, and files that may tell of a run, in the order of their names."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if is_run_directory(path) or os.path.lexists(path / IDENTITY_FILE):
                yield path
            elif depth > 1:
                yield from _found(path, depth - 1)
        elif entry.name.endswith(".json"):
            yield path


def _row(path: Path, folder: Path) -> Row:
    name = printable_text(path.relative_to(folder).as_posix().removesuffix(".json"))
    try:
        if is_run_directory(path):
            return _of_run(name, RunDirectory(path))
        stored = read_json(path / IDENTITY_FILE if path.is_dir() else path, _JSON_BYTES)
        require_fields_unchanged(stored)
        identity = from_stored(RunIdentity, stored)
        note = "run.json alone has no loss: hand in events.jsonl beside it"
        return Row(name, _config(identity), identity.parameters, note=note)
    except TricksterError as error:
        return Row(name, "", note=f"cannot be read: {error.message}")
    except OSError as error:
        return Row(name, "", note=f"cannot be read: {reason(error)}")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        return Row(name, "", note=f"is no run: {printable_text(str(error))[:200]}")


def _of_run(name: str, run: RunDirectory) -> Row:
    identity = run.identity()
    state = state_at(run.events_path)
    if identity is None:
        return Row(name, "", steps=state.step, note="training never began")
    notes = []
    if identity.data.get("fault"):
        notes.append("broken on purpose, for the lesson")
    if state.left_out:
        notes.append(f"{state.left_out:,} lines of events.jsonl were not understood")
    if state.best_val_loss is None:
        notes.append("never evaluated")
    row = Row(name, _config(identity), identity.parameters, state.step, seconds=state.seconds)
    return _with_loss(row, state.best_val_loss, identity.data, state.baselines or identity.baselines, "; ".join(notes))


def _with_loss(row: Row, nats: float | None, data: dict[str, Any], baselines: dict[str, float], note: str) -> Row:
    tokens, characters, size = (data.get(key) for key in ("val_tokens", "val_characters", "bytes_per_token"))
    known = nats is not None and isinstance(tokens, int) and isinstance(characters, int) and characters > 0
    best = best_ngram(baselines)
    return replace(
        row,
        nats_per_character=_finite(nats * tokens / characters) if known and nats is not None and tokens else None,
        bits_per_byte=(
            _finite(bits_per_byte(nats, size)) if nats is not None and isinstance(size, float) and size > 0 else None
        ),
        beyond_counting=best[1] - nats if best and nats is not None else None,
        note=note,
    )


def _finite(figure: float) -> float | None:
    """A figure that what a student handed in comes to, if it is one."""
    return figure if math.isfinite(figure) else None


def _config(identity: RunIdentity) -> str:
    if not 0 <= identity.parameters <= _MOST_PARAMETERS:
        raise ValueError("its parameters are no count")
    return printable_text(identity.config_path.replace("\\", "/").rpartition("/")[2][:_CONFIG_CHARACTERS])


def _cells(row: Row) -> tuple[str, ...]:
    def shown(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return (
        row.name,
        row.config,
        shown(row.parameters, ","),
        shown(row.steps, ","),
        shown(row.nats_per_character, ".4f"),
        shown(row.bits_per_byte, ".4f"),
        shown(row.beyond_counting, "+.3f"),
        "-" if row.seconds is None else duration_text(row.seconds),
    )
