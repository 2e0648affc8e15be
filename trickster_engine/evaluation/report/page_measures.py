"""The report's section on the measures of text."""

from __future__ import annotations

from collections.abc import Iterable

from trickster_engine.evaluation.report import charts
from trickster_engine.evaluation.report.html_page import code, safe, table
from trickster_engine.evaluation.report.measures import LEVELS, LONG
from trickster_engine.evaluation.report.study import Course, Study

_LEVEL_WORDS = {
    "character": "which letters there are, and which follow which",
    "word": "spelling, and the words that are used",
    "sentence": "lines, capitals, quotes and brackets",
    "discourse": "who speaks, and who answers",
}
_COLUMNS = ("measure", "#untrained", "during the run", "#trained", "#real text", "progress")


def measures_section(study: Study) -> str:
    """Every measure, level by level: untrained, along the run, trained, and real text."""
    parts = [
        "<h2>Level by level</h2>",
        f"<p>Each measure is taken of {LONG:,} characters from the untrained model, of {LONG:,} from the trained "
        f"model (both at temperature 1, in texts that begin with <code>{code(study.long_prompt)}</code>), and of "
        "pieces of validation text of the same length. <em>Progress</em> is how far the model has come from untrained "
        "to real text. The small curve follows the samples of the run, which are short and therefore noisy; its "
        "dashed line is validation text in pieces of their length.</p>",
        _other_prompt(study),
    ]
    for level in LEVELS:
        courses = [course for course in study.courses if course.level == level]
        if courses:
            parts.append(f"<h3>{level.capitalize()} <small>{_LEVEL_WORDS[level]}</small></h3>")
            parts.append(table(_COLUMNS, map(_course, courses), "asked"))
    parts.append(_past(study))
    parts.append(_way_there(study))
    return "".join(parts)


def _other_prompt(study: Study) -> str:
    """Why the long texts begin with something else than the config's prompt; nothing where they do not."""
    if study.long_prompt == study.prompt:
        return ""
    return (
        f"<p><code>{code(study.prompt)}</code>, the config's prompt, never occurs in {safe(study.corpus)}, and a "
        "model writes noise after words that it has never seen. So these texts begin with the first words of a line "
        "of validation text. For better samples during the run, change <code>sampling_config.prompt</code>.</p>"
    )


def _past(study: Study) -> str:
    """The measures on which the model lies beyond real text."""
    past = [course for course in study.courses if course.past]
    if not past:
        return ""
    return (
        "<p>On these measures the model overshoots real text, by more than two pieces of validation text of the same "
        "length usually differ:</p>"
    ) + _list(f"{safe(c.title)}: {shown(c, c.long_model)}; validation text has {shown(c, c.long_real)}" for c in past)


def _way_there(study: Study) -> str:
    """Where the measures stepped back from one sample along the run to the next, folded away."""
    if len([sample for sample in study.samples if sample.step > 0]) < 2:
        return ""
    back = [course for course in study.courses if course.backs]
    words = (
        "No measure fell back from one sample to the next."
        if not back
        else "These measures moved away from real text from one sample to the next. Samples of about "
        f"{study.sample_length:,} characters are short, so that may be chance; less likely so at the steps in "
        "bold, where the change is larger than two pieces of validation text of that length usually differ."
    )
    steps = _list(f"{safe(course.title)}: {_backs(course)}" for course in back)
    return f"<details><summary>Sample by sample</summary><p>{words}</p>{steps}</details>"


def _backs(course: Course) -> str:
    """The steps back of a measure as HTML, in bold those that are more than luck."""
    steps = [f"{back.step:,}" if back.luck else f"<b>{back.step:,}</b>" for back in course.backs]
    return f"{'step' if len(steps) == 1 else 'steps'} {', '.join(steps)}"


def _list(items: Iterable[str]) -> str:
    """A list of HTML; nothing where it is empty."""
    shown = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{shown}</ul>" if shown else ""


def _course(course: Course) -> str:
    spark = charts.spark(course.steps, course.random or 0.0, course.real, f"{course.title} during the run")
    if course.near is None:
        way = "<small>unknown</small>"
    else:
        percent = round(100 * course.near)
        way = f'<span class="way" title="{percent} %"><i style="width:{min(100, percent)}%"></i></span> {percent} %'
    return (
        f"<tr><td>{safe(course.title)}<small>{safe(course.about)}</small></td>"
        f'<td class="n">{shown(course, course.long_random)}</td><td>{spark}</td>'
        f'<td class="n"><strong>{shown(course, course.long_model)}</strong></td>'
        f'<td class="n">{shown(course, course.long_real)}</td><td class="n">{way}</td></tr>'
    )


def shown(course: Course, value: float | None) -> str:
    """A value of a measure, in its unit."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1%}" if course.unit == "share" else f"{value:.1f}"
