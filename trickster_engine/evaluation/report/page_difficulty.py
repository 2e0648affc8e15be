"""The report's section on what the model finds hard."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trickster_engine.evaluation.report import charts
from trickster_engine.evaluation.report.charts import Series
from trickster_engine.evaluation.report.difficulty import Hardness
from trickster_engine.evaluation.report.html_page import safe, table
from trickster_engine.evaluation.report.study import Study
from trickster_engine.system.printable import printable_text


def difficulty_section(study: Study) -> str:
    """Where the loss of the trained model is highest."""
    found = study.difficulty
    series = [
        Series("trained model", "blue", [(float(index), loss) for index, (_, loss) in enumerate(found.positions)])
    ]
    chart = charts.lines(
        series,
        x_name="tokens of context",
        y_name="nats/token",
        title="Loss by length of context",
        names={float(index): str(place) for index, (place, _) in enumerate(found.positions)},
    )
    scale = max((row.nats for row in found.characters), default=0.0)
    most = max((loss for _, loss in found.excerpt), default=1.0) or 1.0
    excerpt = "".join(
        f'<span style="background:rgba(var(--heat),{min(1.0, loss / most) * 0.85:.2f})" title="{loss:.2f} nats, '
        f'probability {math.exp(-loss):.1%}">{safe(printable_text(piece))}</span>'
        for piece, loss in found.excerpt
    )
    return (
        f"<h2>What it finds hard</h2><p>{_looked_at(study)}</p><h3>By position</h3>"
        + _hardness(found.places)
        + "<h3>Loss of each token</h3><p>Validation text; the stronger the colour, the higher the loss. Hover for "
        "the figure. The first letter of a word is usually the hardest.</p>"
        + f'<div class="text">{excerpt}</div>'
        + "<h3>By character</h3><p>The hardest, then the easiest, on one scale.</p>"
        + _hardness(found.characters[:8], scale)
        + _hardness(found.easiest[:5], scale)
        + "<h3>By the two tokens before</h3><p>The contexts with the largest share of the total loss.</p>"
        + _hardness(found.contexts[:8])
        + "<h3>By length of context</h3><p>Where the curve is flat, more context does not help.</p>"
        + chart
    )


def _looked_at(study: Study) -> str:
    """Which tokens the model is looked at on, and why their mean is not the loss over the run."""
    found = study.difficulty
    if found.tokens >= found.of:
        return f"Measured on all {found.tokens:,} tokens of validation text: {found.mean:.3f} nats/token."
    whole = "all of them" if study.held_out >= found.of else f"{study.held_out:,} tokens spread evenly over them"
    return (
        f"Measured on the first {found.tokens:,} of the {found.of:,} tokens of validation text: {found.mean:.3f} "
        f"nats/token. The validation loss of the run is measured on {whole}, so it differs."
    )


def _hardness(rows: Sequence[Hardness], scale: float | None = None) -> str:
    """A table with bars; `scale` is the loss, in nats, of a full bar where it is not the greatest of these rows."""
    most = scale or max((row.nats for row in rows), default=1.0) or 1.0
    body = (
        f'<tr><td><code>{safe(row.what)}</code></td><td class="bar" style="width:40%">'
        f'<i style="width:{100 * row.nats / most:.0f}%"></i></td><td class="n">{row.nats:.2f}</td>'
        f'<td class="n">{row.count:,}</td><td class="n">{row.share:.1%}</td></tr>'
        for row in rows
    )
    return table(("", "", "#nats", "#count", "#share of the loss"), body)
