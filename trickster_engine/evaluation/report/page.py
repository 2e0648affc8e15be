"""The report as one HTML page: no network, no script, colours for light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from trickster_engine.evaluation.report import charts
from trickster_engine.evaluation.report.charts import Series
from trickster_engine.evaluation.report.curve import APART, Parting, perplexity
from trickster_engine.evaluation.report.difficulty import Hardness
from trickster_engine.evaluation.report.html_page import document, safe
from trickster_engine.evaluation.report.measures import LEVELS, LONG
from trickster_engine.evaluation.report.names import NAMES
from trickster_engine.evaluation.report.study import Copying, Course, Sample, Study
from trickster_engine.evaluation.report.verdict import NEAR
from trickster_engine.runs.events import left_out_words
from trickster_engine.system.printable import printable_text

_LEVEL_WORDS = {
    "character": "which letters there are, and which follow which",
    "word": "spelling, and the words that are used",
    "sentence": "lines, capitals, quotes and brackets",
    "discourse": "who speaks, and who answers",
}
_NAMES = {"random": "untrained model", "model": "trained model", "real": "validation text"}


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


def _beyond_counting(baselines: Mapping[str, float], val_loss: float) -> tuple[str, str]:
    """How far the model is from the best of the baselines, which only count, as a figure and what it is."""
    name, nats = min(baselines.items(), key=lambda item: item[1])
    margin = nats - val_loss
    where = "below" if margin > 0 else "above"
    return (
        f"{abs(margin):.3f}",
        f"nats/token {where} the best baseline, {NAMES.get(name, name)} ({abs(margin) / nats:.1%})",
    )


def _head(study: Study) -> str:
    best = min(study.points, key=lambda point: point.val_loss) if study.points else None
    facts = []
    if best is not None:
        facts.append((f"{best.val_loss:.3f}", f"validation loss in nats/token, at step {best.step:,}"))
        facts.append((f"{perplexity(best.val_loss):.1f}", "perplexity: effective choices per token"))
        beaten = [name for name, nats in study.baselines.items() if best.val_loss < nats]
        if study.baselines:
            facts.append((f"{len(beaten)} of {len(study.baselines)}", "baselines beaten"))
            facts.append(_beyond_counting(study.baselines, best.val_loss))
    words = next((course for course in study.courses if course.key == "real-words"), None)
    if words is not None:
        facts.append(
            (
                _value(words, words.long_model),
                f"real words in {LONG:,} characters at temperature 1; validation text has "
                f"{_value(words, words.long_real)}",
            )
        )
    cards = "".join(f"<div><b>{safe(value)}</b><small>{safe(about)}</small></div>" for value, about in facts)
    return (
        f'<h1>What {safe(study.run)} learned, and what it did not</h1><p class="soft">{study.parameters:,} '
        f"parameters, {study.steps_done:,} steps on {safe(study.device)}, {study.times_over_text:.1f} epochs of "
        f"{safe(study.corpus)} ({safe(study.tokenizer)} tokens). This report measures the checkpoint "
        f"{safe(study.checkpoint)}.</p>"
        + (f'<p class="soft">Of this run\'s events, {left_out_words(study.left_out)}.</p>' if study.left_out else "")
        + f"<p><strong>{safe(study.verdict.words)}</strong></p>"
        f'<div class="facts">{cards}</div>'
    )


def _losses(study: Study) -> str:
    if not study.points:
        return "<h2>Loss</h2><p>This run was never evaluated.</p>"
    series = [
        Series("validation", "orange", [(point.step, point.val_loss) for point in study.points]),
        Series("training", "blue", [(point.step, point.train_loss) for point in study.points]),
    ]
    marks = {"overfits": float(study.parting.step)} if study.parting and study.parting.step is not None else {}
    chart = charts.lines(
        series,
        x_name="steps",
        y_name="nats/token",
        title="Training and validation loss",
        levels={NAMES.get(name, name): nats for name, nats in study.baselines.items()},
        marks=marks,
    )
    rows = "".join(
        f'<tr><td class="n">{point.step:,}</td><td class="n">{point.train_loss:.3f}</td>'
        f'<td class="n">{point.val_loss:.3f}</td><td class="n">{perplexity(point.val_loss):.2f}</td></tr>'
        for point in study.points
    )
    return (
        "<h2>Loss and generalisation gap</h2>"
        f"<p>The validation loss is measured over {study.held_out:,} tokens of validation text, the training loss over "
        f"{study.trained_on:,} tokens spread evenly over the training text. (During training the dashboard shows the "
        "loss on training batches, which differs a little.) The dashed lines are the validation losses of a uniform "
        "prediction and of n-grams, which predict a token from the tokens just before it.</p>"
        + charts.legend(series)
        + chart
        + (f"<p><strong>{safe(study.parting.words)}</strong></p>" if study.parting else "")
        + '<details><summary>The figures</summary><table><thead><tr><th class="n">step</th><th class="n">training '
        'loss</th><th class="n">validation loss</th><th '
        f'class="n">perplexity</th></tr></thead><tbody>{rows}</tbody></table></details>'
    )


def _samples(study: Study) -> str:
    if not study.samples:
        return ""
    chosen = _spread(study.samples, 5)
    shown = "".join(_sample(sample) for sample in chosen)
    others = [sample for sample in study.samples if sample not in chosen]
    rest = f"<details><summary>{len(others)} more</summary>{''.join(map(_sample, others))}</details>" if others else ""
    return (
        f"<h2>From noise to text</h2><p>Samples after <code>{_code(study.prompt)}</code> during training, about "
        f"{study.sample_length:,} characters each, at temperature {study.temperature:g}.</p>{shown}{rest}"
    )


def _sample(sample: Sample) -> str:
    loss = "" if sample.val_loss is None else f" · validation loss {sample.val_loss:.3f}"
    text = safe(printable_text(sample.prompt + sample.text))
    return f"<h3>Step {sample.step:,}<small>{loss}</small></h3><pre>{text}</pre>"


def _measures(study: Study) -> str:
    parts = [
        "<h2>Level by level</h2>",
        f"<p>Each measure is taken of {LONG:,} characters from the untrained model, of {LONG:,} from the trained "
        f"model (both at temperature 1, in texts that begin with <code>{_code(study.long_prompt)}</code>), and of "
        "pieces of validation text of the same length. <em>Progress</em> is how far the model has come from untrained "
        "to real text. The small curve follows the samples of the run, which are short and therefore noisy; its "
        "dashed line is validation text in pieces of their length.</p>",
        _other_prompt(study),
    ]
    for level in LEVELS:
        courses = [course for course in study.courses if course.level == level]
        if courses:
            parts.append(
                f"<h3>{level.capitalize()} <small>{_LEVEL_WORDS[level]}</small></h3>"
                '<div class="wide"><table class="asked">'
            )
            parts.append(
                '<thead><tr><th>measure</th><th class="n">untrained</th><th>during the run</th><th '
                'class="n">trained</th><th class="n">real text</th><th>progress</th></tr></thead><tbody>'
            )
            parts += [_course(course) for course in courses]
            parts.append("</tbody></table></div>")
    parts.append(_past(study))
    parts.append(_way_there(study))
    return "".join(parts)


def _other_prompt(study: Study) -> str:
    """Why the long texts begin with something else than the config's prompt; nothing where they do not."""
    if study.long_prompt == study.prompt:
        return ""
    return (
        f"<p><code>{_code(study.prompt)}</code>, the config's prompt, never occurs in {safe(study.corpus)}, and a "
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
    ) + _list(f"{safe(c.title)}: {_value(c, c.long_model)}; validation text has {_value(c, c.long_real)}" for c in past)


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
    return (
        "<details><summary>Sample by "
        f"sample</summary><p>{words}</p>{_list(f'{safe(course.title)}: {_backs(course)}' for course in back)}</details>"
    )


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
        title="Share of character runs that occur in the training text",
        names={place: str(length) for length, place in places.items()},
    )
    rows = "".join(
        f'<tr><td>{_NAMES[one.name]}</td><td class="n">{one.longest}</td>'
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
        + f"<p><strong>{safe(_reciting(study.copying, study.parting))}</strong></p>"
        + '<div class="wide"><table><thead><tr><th>longest copy in</th><th '
        f'class="n">characters</th><th>text</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _reciting(copying: Sequence[Copying], parting: Parting | None) -> str:
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
    if parting is not None and parting.unshared is not None and parting.unshared > APART:
        return (
            f"The model does not recite here: {honest} But the generalisation gap, {parting.gap_at_end:.3f} nats at "
            "the end of the run, shows that it knows the training text much better than other text: prompted with a "
            "piece of it, it may recite the rest."
        )
    return f"The model does not recite: {honest}"


def _difficulty(study: Study) -> str:
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
        "the figure. The first letter of a word is usually the hardest.</p><div "
        f'class="text">{excerpt}</div><h3>By character</h3><p>The hardest, then the easiest, on one scale.</p>'
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
    body = "".join(
        f'<tr><td><code>{safe(row.what)}</code></td><td class="bar" style="width:40%">'
        f'<i style="width:{100 * row.nats / most:.0f}%"></i></td><td class="n">{row.nats:.2f}</td>'
        f'<td class="n">{row.count:,}</td><td class="n">{row.share:.1%}</td></tr>'
        for row in rows
    )
    return (
        '<div class="wide"><table><thead><tr><th></th><th></th><th class="n">nats</th><th class="n">count</th><th '
        f'class="n">share of the loss</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _limits(study: Study) -> str:
    weak = sorted(
        (course for course in study.courses if course.near is not None), key=lambda course: course.near or 0.0
    )
    far = [course for course in weak if (course.near or 0.0) < NEAR]
    told = "; ".join(
        f"{safe(course.title[:1].lower() + course.title[1:])} ({round(100 * (course.near or 0.0))} % of the way)"
        for course in far[:4]
    )
    least = f"<p>{safe(study.verdict.words)}{f' Furthest from real text: {told}.' if far else ''}</p>"
    return (
        "<h2>What was not learned</h2>"
        + least
        + "<p>No measure here is about meaning, because there is none to find. The model has no knowledge of the "
        f"world, no plan, and no memory beyond its context. It has learned how {safe(study.corpus)} looks. A text "
        "can match real text on every measure of this report and still mean nothing.</p>"
    )


# ---------------------------------------------------------------------------------------------------------------------


def _value(course: Course, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1%}" if course.unit == "share" else f"{value:.1f}"


def _code(text: str) -> str:
    """A prompt as HTML that shows what has no look."""
    return safe(printable_text(text).strip())


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Some samples, closer together at the beginning, where most happens."""
    last = len(samples) - 1
    chosen = {round(last * (index / (count - 1)) ** 2) for index in range(count)} if last else {0}
    return [samples[index] for index in sorted(chosen)]
