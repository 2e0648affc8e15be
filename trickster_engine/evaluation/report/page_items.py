"""The report's section on measures of items, where some were asked for."""

from __future__ import annotations

from trickster_engine.evaluation.item_measures import Measured, amounts_text, numbers_of
from trickster_engine.evaluation.report.html_page import safe, table
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.printable import printable_text


def items_section(measured: Measured) -> str:
    """A table for each measure, and what each writer wrote first."""
    parts = [
        "<h2>What a program can check</h2>"
        f"<p>{safe(amounts_text(measured.items))}, from beginning to end: by the model at temperature "
        f"{measured.temperature:g}, by an n-gram model of the same text, and of the validation text.</p>"
    ]
    for name, writers in measured.figures.items():
        numbers = numbers_of(writers)
        rows = (
            f"<tr><td>{safe(title(writer))}</td>" + "".join(_cell(figures.get(number)) for number in numbers) + "</tr>"
            for writer, figures in writers.items()
        )
        parts.append(f"<h3>{safe(name)}</h3>" + table(("", *(f"#{safe(number)}" for number in numbers)), rows))
    for writer, items in measured.first.items():
        shown = safe(printable_text("\n".join(items)))
        parts.append(f"<details><summary>First items: {safe(title(writer))}</summary><pre>{shown}</pre></details>")
    return "".join(parts)


def _cell(value: float | None) -> str:
    return "<td>-</td>" if value is None else f'<td class="n">{value:.4f}</td>'
