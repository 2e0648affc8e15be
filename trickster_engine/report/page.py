"""The report as one HTML page: no network, no script, colours for light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from trickster_engine.printable import printable
from trickster_engine.report import charts
from trickster_engine.report.charts import Series
from trickster_engine.report.difficulty import Hardness
from trickster_engine.report.html_page import document, safe
from trickster_engine.report.measures import LEVELS
from trickster_engine.report.names import PREDICTORS
from trickster_engine.report.study import LONG, Copying, Course, Sample, Study

_LEVEL_WORDS = {
    "character": "which letters there are, and which follow which",
    "word": "spelling, and the words that are used",
    "sentence": "lines, capitals, and what has to be closed again",
    "discourse": "who speaks, and who answers",
}
_NAMES = {"random": "random weights", "model": "the model", "real": "held-out text"}


def render(study: Study) -> str:
    """The whole page."""
    parts = [
        _head(study),
        _losses(study),
        _samples(study),
        _measures(study),
        _copies(study),
        _difficulty(study),
        _limits(study),
    ]
    return document(f"What {study.run} learned", parts, study.events_read)


def _head(study: Study) -> str:
    best = min(study.points, key=lambda point: point.val_loss) if study.points else None
    facts = []
    if best is not None:
        facts.append((f"{best.val_loss:.3f}", f"nats a token on held-out text, at step {best.step:,}"))
        facts.append((f"{math.exp(best.val_loss):.1f}", "perplexity: as unsure as among so many equally likely tokens"))
        beaten = [name for name, nats in study.baselines.items() if best.val_loss < nats]
        if study.baselines:
            facts.append((f"{len(beaten)} of {len(study.baselines)}", "baselines beaten that only count letters"))
    words = next((course for course in study.courses if course.key == "real-words"), None)
    if words is not None:
        facts.append(
            (_value(words, words.long_model), f"real words; held-out text has {_value(words, words.long_real)}")
        )
    cards = "".join(f"<div><b>{safe(value)}</b><small>{safe(about)}</small></div>" for value, about in facts)
    return (
        f"<h1>What {safe(study.run)} learned, and what it did not</h1>"
        f'<p class="soft">{study.parameters:,} parameters, {study.steps_done:,} steps on {safe(study.device)}, '
        f"{study.times_over_text:.1f} times over the text of {safe(study.corpus)} ({safe(study.tokenizer)} tokens). "
        f"Judged here: checkpoint {safe(study.checkpoint)}.</p>"
        f'<div class="facts">{cards}</div>'
    )


def _losses(study: Study) -> str:
    if not study.points:
        return "<h2>The loss</h2><p>This run was never evaluated.</p>"
    series = [
        Series("held-out text", "orange", [(point.step, point.val_loss) for point in study.points]),
        Series("training text", "blue", [(point.step, point.train_loss) for point in study.points]),
    ]
    marks = {"they part": float(study.parting.step)} if study.parting and study.parting.step is not None else {}
    chart = charts.lines(
        series,
        x_name="steps",
        y_name="nats a token",
        title="Training and held-out loss over the run",
        levels={PREDICTORS.get(name, name): nats for name, nats in study.baselines.items()},
        marks=marks,
    )
    rows = "".join(
        f'<tr><td class="n">{point.step:,}</td><td class="n">{point.train_loss:.3f}</td>'
        f'<td class="n">{point.val_loss:.3f}</td><td class="n">{math.exp(point.val_loss):.2f}</td></tr>'
        for point in study.points
    )
    return (
        "<h2>The loss, and whether the two part</h2>"
        "<p>How surprised the model is by the next token, on average. The dashed lines are what guessing, and counting "
        "single letters, pairs and triples, achieve on the same held-out text.</p>"
        + charts.legend(series)
        + chart
        + (f"<p><strong>{safe(study.parting.words)}</strong></p>" if study.parting else "")
        + "<details><summary>The figures</summary><table><thead><tr>"
        '<th class="n">step</th><th class="n">training text</th><th class="n">held-out text</th>'
        f'<th class="n">perplexity</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )


def _samples(study: Study) -> str:
    if not study.samples:
        return ""
    chosen = _spread(study.samples, 5)
    shown = "".join(_sample(sample) for sample in chosen)
    others = [sample for sample in study.samples if sample not in chosen]
    rest = f"<details><summary>{len(others)} more</summary>{''.join(map(_sample, others))}</details>" if others else ""
    return (
        "<h2>From noise to text</h2>"
        f"<p>What it wrote after <code>{safe(study.prompt)}</code> as it learned, at temperature "
        f"{study.temperature:g}.</p>{shown}{rest}"
    )


def _sample(sample: Sample) -> str:
    loss = "" if sample.val_loss is None else f" · held-out loss {sample.val_loss:.3f}"
    return (
        f"<h3>Step {sample.step:,}<small>{loss}</small></h3><pre>{safe(printable(sample.prompt + sample.text))}</pre>"
    )


def _measures(study: Study) -> str:
    parts = [
        "<h2>Level by level</h2>",
        f"<p>Each question is asked of {LONG:,} characters by random weights, by the model (at temperature 1, its own "
        "probabilities), and of held-out text. The small curve follows the samples along the run, which are about "
        f"{study.sample_length:,} characters long and therefore jump about; the dashed level is real text of that "
        "length. <em>Way</em> is how far the model has come from random to real.</p>",
    ]
    for level in LEVELS:
        courses = [course for course in study.courses if course.level == level]
        if courses:
            parts.append(
                f"<h3>{level.capitalize()} <small>{_LEVEL_WORDS[level]}</small></h3>"
                '<div class="wide"><table class="asked">'
            )
            parts.append(
                '<thead><tr><th>question</th><th class="n">random</th><th>along the run</th><th class="n">model</th>'
                '<th class="n">real</th><th>way</th></tr></thead><tbody>'
            )
            parts += [_course(course) for course in courses]
            parts.append("</tbody></table></div>")
    parts.append(_order(study))
    return "".join(parts)


def _order(study: Study) -> str:
    """Whether the measures rise from random to real: as a whole, sample by sample, and no further than real text."""
    able = [course for course in study.courses if course.ordered is not None]
    if not able:
        return ""
    astray = [course for course in able if not course.ordered]
    back = [course for course in able if course.backs]
    past = [course for course in able if course.past]
    whole = f"<p>As a whole, from the first samples to the last, {len(able) - len(astray)} of {len(able)} measures "
    parts = [whole + "come nearer to real text, or stay as near." + (" Not so:</p>" if astray else "</p>")]
    parts.append(_list(f"{course.title}: {course.words}" for course in astray))
    steps = f"<p>Step by step, from random weights through every sample, {len(able) - len(back)} of {len(able)} do. "
    if back:
        steps += (
            "<strong>These measures do not rise step by step.</strong> A step back may be luck where two pieces of "
            f"held-out text of {study.sample_length:,} characters differ as much:</p>"
        )
    parts.append(steps if back else steps + "</p>")
    parts.append(_list(f"{course.title}: {_backs(course)}" for course in back))
    if past:
        parts.append("<p>The model did not stop at real text but went past it, further than luck would carry it:</p>")
    parts.append(
        _list(f"{c.title}: {_value(c, c.long_model)}; held-out text has {_value(c, c.long_real)}" for c in past)
    )
    return "".join(parts)


def _backs(course: Course) -> str:
    """The steps back of a measure in words, those that are more than luck by themselves."""
    lucky = [f"{back.step:,}" for back in course.backs if back.luck]
    clear = [f"{back.step:,}" for back in course.backs if not back.luck]
    said = []
    if clear:
        said.append(f"back at step {', '.join(clear)}, which is more than luck")
    if lucky:
        said.append(f"back at step {', '.join(lucky)}, which may be luck")
    return "; ".join(said)


def _list(items: Iterable[str]) -> str:
    shown = "".join(f"<li>{safe(item)}</li>" for item in items)
    return f"<ul>{shown}</ul>" if shown else ""


def _course(course: Course) -> str:
    spark = charts.spark(course.steps, course.random or 0.0, course.real, f"{course.title} along the run")
    if course.near is None:
        way = "<small>cannot tell</small>"
    else:
        percent = round(100 * course.near)
        way = f'<span class="way" title="{percent} %"><i style="width:{min(100, percent)}%"></i></span> {percent} %'
    return (
        f"<tr><td>{safe(course.title)}<small>{safe(course.about)}</small></td>"
        f'<td class="n">{_value(course, course.long_random)}</td><td>{spark}</td>'
        f'<td class="n"><strong>{_value(course, course.long_model)}</strong></td>'
        f'<td class="n">{_value(course, course.long_real)}</td><td class="n">{way}</td></tr>'
    )


def _copies(study: Study) -> str:
    hues = {"random": "orange", "model": "blue", "real": "green"}
    lengths = sorted({length for one in study.copying for length in one.shares})
    places = {length: float(index) for index, length in enumerate(lengths)}
    series = [
        Series(
            _NAMES[one.name], hues[one.name], [(places[length], 100 * share) for length, share in one.shares.items()]
        )
        for one in study.copying
    ]
    chart = charts.lines(
        series,
        x_name="characters in a row",
        y_name="found, %",
        title="Share of runs of characters that stand in the training text",
        names={place: str(length) for length, place in places.items()},
    )
    rows = "".join(
        f'<tr><td>{_NAMES[one.name]}</td><td class="n">{one.longest}</td>'
        f"<td><code>{safe(printable(one.longest_text).strip())}</code></td></tr>"
        for one in study.copying
    )
    return (
        "<h2>Understood, or remembered?</h2>"
        "<p>How many runs of characters of each text stand word for word in the training text. Short ones must: they "
        "are words. A model that recites lies clearly above held-out text at the longer ones.</p>"
        + charts.legend(series)
        + chart
        + f"<p><strong>{safe(_reciting(study.copying))}</strong></p>"
        + '<div class="wide"><table><thead><tr><th>the longest copy in</th><th class="n">characters</th>'
        f"<th>it reads</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _reciting(copying: Sequence[Copying]) -> str:
    by_name = {one.name: one for one in copying}
    model, real = by_name["model"].shares, by_name["real"].shares
    above = [length for length in model if length >= 15 and model[length] > real.get(length, 0.0) + 0.05]
    if above:
        at = min(above)
        return (
            f"It recites: of its runs of {at} characters {model[at]:.1%} stand in the training text, of held-out "
            f"text's {real.get(at, 0.0):.1%}."
        )
    return "It does not recite: its longer runs are found in the training text no more than those of held-out text."


def _difficulty(study: Study) -> str:
    found = study.difficulty
    series = [Series("the model", "blue", [(float(index), loss) for index, (_, loss) in enumerate(found.positions)])]
    chart = charts.lines(
        series,
        x_name="tokens of context before",
        y_name="nats a token",
        title="Loss by how much context came before",
        names={float(index): str(place) for index, (place, _) in enumerate(found.positions)},
    )
    most = max((loss for _, loss in found.excerpt), default=1.0) or 1.0
    excerpt = "".join(
        f'<span style="background:rgba(var(--heat),{min(1.0, loss / most) * 0.85:.2f})" title="{loss:.2f} nats, '
        f'probability {math.exp(-loss):.1%}">{safe(printable(piece))}</span>'
        for piece, loss in found.excerpt
    )
    return (
        "<h2>What it finds hard</h2>"
        f"<p>Token by token on {found.tokens:,} tokens of held-out text; {found.mean:.3f} nats on average.</p>"
        "<h3>Where in the text</h3>"
        + _hardness(found.places)
        + "<h3>Surprise, seen</h3><p>Held-out text; the stronger the colour, the more surprised. Hover for the "
        f'figure. The first letter of a word is where the choices are.</p><div class="text">{excerpt}</div>'
        "<h3>Which characters</h3><p>The hardest, and the easiest.</p>"
        + _hardness(found.characters[:8])
        + _hardness(found.easiest[:5])
        + "<h3>After which two</h3><p>The contexts that make up the greatest part of the whole loss.</p>"
        + _hardness(found.contexts[:8])
        + "<h3>Does looking further back help?</h3><p>Where the curve goes flat, more context brings nothing.</p>"
        + chart
    )


def _hardness(rows: Sequence[Hardness]) -> str:
    most = max((row.nats for row in rows), default=1.0) or 1.0
    body = "".join(
        f'<tr><td><code>{safe(row.what)}</code></td><td class="bar" style="width:40%">'
        f'<i style="width:{100 * row.nats / most:.0f}%"></i></td><td class="n">{row.nats:.2f}</td>'
        f'<td class="n">{row.count:,}</td><td class="n">{row.share:.1%}</td></tr>'
        for row in rows
    )
    return (
        '<div class="wide"><table><thead><tr><th></th><th></th><th class="n">nats</th><th class="n">times</th>'
        f'<th class="n">of the loss</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _limits(study: Study) -> str:
    weak = sorted(
        (course for course in study.courses if course.near is not None), key=lambda course: course.near or 0.0
    )
    far = [course for course in weak if (course.near or 0.0) < 0.8][:4]
    least = (
        "<p>Furthest from real text: "
        + "; ".join(
            f"{safe(course.title[:1].lower() + course.title[1:])} ({round(100 * (course.near or 0.0))} % of the way)"
            for course in far
        )
        + ".</p>"
        if far
        else "<p>On every measure here the model has come most of the way from random to real.</p>"
    )
    return (
        "<h2>What was not learned</h2>"
        + least
        + "<p>And what no measure here can show, because it is not there: meaning. The model has no knowledge of the "
        f"world, no plan, and no memory beyond its context. It has learned how the text of {safe(study.corpus)} "
        "looks. A text can be like the real one on every line of this report and still say nothing.</p>"
    )


# ---------------------------------------------------------------------------------------------------------------------


def _value(course: Course, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1%}" if course.unit == "share" else f"{value:.1f}"


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Some samples, closer together at the beginning, where most happens."""
    last = len(samples) - 1
    chosen = {round(last * (index / (count - 1)) ** 2) for index in range(count)} if last else {0}
    return [samples[index] for index in sorted(chosen)]
