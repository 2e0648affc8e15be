"""The report's section on copies from the training text."""

from __future__ import annotations

from collections.abc import Sequence

from trickster_engine.evaluation.report import charts
from trickster_engine.evaluation.report.charts import Series
from trickster_engine.evaluation.report.curve import LARGE_GAP, Overfitting
from trickster_engine.evaluation.report.html_page import safe, table
from trickster_engine.evaluation.report.measures import LONG
from trickster_engine.evaluation.report.names import title
from trickster_engine.evaluation.report.study import Copying, Study
from trickster_engine.system.printable import printable_text


def copies_section(study: Study) -> str:
    """How much of each text stands in the training text."""
    hues = {"random": "orange", "model": "blue", "real": "green"}
    lengths = sorted({length for one in study.copying for length in one.shares})
    places = {length: float(index) for index, length in enumerate(lengths)}
    series = [
        Series(title(one.name), hues[one.name], [(places[length], 100 * share) for length, share in one.shares.items()])
        for one in study.copying
    ]
    chart = charts.lines(
        series,
        x_name="characters in a row",
        y_name="found, %",
        title="Share of character runs that occur in the training text",
        names={place: str(length) for length, place in places.items()},
    )
    rows = (
        f'<tr><td>{title(one.name)}</td><td class="n">{one.longest}</td>'
        f"<td><code>{safe(printable_text(one.longest_text).strip())}</code></td></tr>"
        for one in study.copying
    )
    return (
        "<h2>Generalisation or memorisation?</h2><p>How many runs of characters of each text occur word for word in "
        "the training text. Short runs always do: they are words. A model that recites is clearly above validation "
        f"text at the longer runs. These are the same texts of {LONG:,} characters as above, without their prompts. "
        "Longer texts have longer copies, so the figures differ from those of the proof of learning, which measures "
        "fewer characters at the config's temperature.</p>"
        + charts.legend(series)
        + chart
        + f"<p><strong>{safe(reciting(study.copying, study.overfitting))}</strong></p>"
        + table(("longest copy in", "#characters", "text"), rows)
    )


def reciting(copying: Sequence[Copying], overfitting: Overfitting | None) -> str:
    """Whether the model recites its training text, in words."""
    by_name = {one.name: one for one in copying}
    model, real = by_name["model"].shares, by_name["real"].shares
    above = [length for length in model if length >= 15 and model[length] > real.get(length, 0.0) + 0.05]
    if above:
        at = min(above)
        return (
            f"The model recites: {model[at]:.1%} of its runs of {at} characters occur in the training text, against "
            f"{real.get(at, 0.0):.1%} of those of validation text."
        )
    honest = "its longer runs occur in the training text no more often than those of validation text."
    if overfitting is not None and overfitting.gap_share is not None and overfitting.gap_share > LARGE_GAP:
        return (
            f"The model does not recite here: {honest} But the generalisation gap, {overfitting.gap_at_end:.3f} nats "
            "at the end of the run, shows that it knows the training text much better than other text: prompted with a "
            "piece of it, it may recite the rest."
        )
    return f"The model does not recite: {honest}"
