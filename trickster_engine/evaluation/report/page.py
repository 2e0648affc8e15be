"""The report as one HTML page: no network, no script, colours for light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from trickster_engine.evaluation.report import charts
from trickster_engine.evaluation.report.charts import Series
from trickster_engine.evaluation.report.counting_section import counting_section
from trickster_engine.evaluation.report.curve import perplexity
from trickster_engine.evaluation.report.html_page import code, document, safe, table
from trickster_engine.evaluation.report.layers_section import layers_section
from trickster_engine.evaluation.report.measures import LONG
from trickster_engine.evaluation.report.names import best_ngram, title
from trickster_engine.evaluation.report.page_copies import copies_section
from trickster_engine.evaluation.report.page_difficulty import difficulty_section
from trickster_engine.evaluation.report.page_items import items_section
from trickster_engine.evaluation.report.page_measures import measures_section, shown
from trickster_engine.evaluation.report.study import Sample, Study
from trickster_engine.evaluation.report.verdict import NEAR
from trickster_engine.runs.events import left_out_words
from trickster_engine.system.printable import printable_text
from trickster_engine.system.units import bits_per_byte


def render(study: Study) -> str:
    """The whole page."""
    parts = [
        _head(study),
        _losses(study),
        _samples(study),
        measures_section(study),
        items_section(study.measured) if study.measured else "",
        copies_section(study),
        difficulty_section(study),
        counting_section(study.counting),
        layers_section(study.layers, study.findings) if study.layers else "",
        _limits(study),
    ]
    return document(f"What {study.run} learned", parts, study.events_read)


def _beyond_counting(best: tuple[str, float], val_loss: float) -> tuple[str, str]:
    """How far the model is from the best n-gram, as a figure and what it is."""
    name, nats = best
    margin = nats - val_loss
    where = "below" if margin > 0 else "above"
    return (
        f"{abs(margin):.3f}",
        f"nats/token {where} the best n-gram, {title(name)} ({abs(margin) / nats:.1%})",
    )


def _bits(study: Study, nats: float) -> float:
    return bits_per_byte(nats, study.bytes_per_token)


def _head(study: Study) -> str:
    best = min(study.points, key=lambda point: point.val_loss) if study.points else None
    facts = []
    if best is not None:
        facts.append((f"{best.val_loss:.3f}", f"validation loss in nats/token, at step {best.step:,}"))
        facts.append((f"{_bits(study, best.val_loss):.3f}", "the same in bits/byte, to compare between tokenizers"))
        facts.append((f"{perplexity(best.val_loss):.1f}", "perplexity: effective choices per token"))
        if bar := best_ngram(study.baselines):
            beaten = [name for name, nats in study.baselines.items() if best.val_loss < nats]
            facts.append((f"{len(beaten)} of {len(study.baselines)}", "baselines beaten"))
            facts.append(_beyond_counting(bar, best.val_loss))
        facts.append(
            (
                f"{study.strided_loss:.3f}",
                f"strided, of this checkpoint: at least half a context for each token; "
                f"{_bits(study, study.strided_loss):.3f} bits/byte",
            )
        )
    words = next((course for course in study.courses if course.key == "real-words"), None)
    if words is not None:
        facts.append(
            (
                shown(words, words.long_model),
                f"real words in {LONG:,} characters at temperature 1; validation text has "
                f"{shown(words, words.long_real)}",
            )
        )
    cards = "".join(f"<div><b>{safe(value)}</b><small>{safe(about)}</small></div>" for value, about in facts)
    return (
        f'<h1>What {safe(study.run)} learned, and what it did not</h1><p class="soft">{study.parameters:,} '
        f"parameters, {study.steps_done:,} steps on {safe(study.device)}, {study.times_over_text:.1f} epochs of "
        f"{safe(study.corpus)} ({safe(study.tokenizer)} tokens). This report measures the checkpoint "
        f"{safe(study.checkpoint)}.</p>"
        + (f'<p class="soft">This run was {safe(", ".join(study.actions))}.</p>' if study.actions else "")
        + (f'<p class="soft">Of this run\'s events, {left_out_words(study.left_out)}.</p>' if study.left_out else "")
        + (
            f"<p>This run fine-tunes the weights in {safe(study.init_from)}: <em>untrained</em> below means these "
            "starting weights, before any step.</p>"
            if study.init_from
            else ""
        )
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
    since = study.overfitting.step if study.overfitting else None
    marks = {} if since is None else {"overfits": float(since)}
    chart = charts.lines(
        series,
        x_name="steps",
        y_name="nats/token",
        title="Training and validation loss",
        levels={title(name): nats for name, nats in study.baselines.items()},
        marks=marks,
    )
    rows = (
        f'<tr><td class="n">{point.step:,}</td><td class="n">{point.train_loss:.3f}</td>'
        f'<td class="n">{point.val_loss:.3f}</td><td class="n">{_bits(study, point.val_loss):.3f}</td>'
        f'<td class="n">{perplexity(point.val_loss):.2f}</td></tr>'
        for point in study.points
    )
    figures = table(("#step", "#training loss", "#validation loss", "#bits/byte", "#perplexity"), rows)
    return (
        "<h2>Loss and generalisation gap</h2>"
        f"<p>The validation loss is measured over {study.held_out:,} tokens of validation text, the training loss over "
        f"{study.trained_on:,} tokens spread evenly over the training text. (During training the dashboard shows the "
        "loss on training batches, which differs a little.) The dashed lines are the validation losses of a uniform "
        "prediction and of n-grams, which predict a token from the tokens just before it; a dynamic one goes on "
        "counting while it reads the validation text, which the model does not. The model reads windows that do not "
        "overlap, the fast way; strided is the slow one, with half a window of context or more. Bits/byte is the "
        "validation loss in a unit that does not depend on the tokens.</p>"
        + charts.legend(series)
        + chart
        + (f"<p><strong>{safe(study.overfitting.words)}</strong></p>" if study.overfitting else "")
        + f"<details><summary>The figures</summary>{figures}</details>"
    )


def _samples(study: Study) -> str:
    if not study.samples:
        return ""
    chosen = _spread(study.samples, 5)
    shown = "".join(_sample(sample) for sample in chosen)
    others = [sample for sample in study.samples if sample not in chosen]
    rest = f"<details><summary>{len(others)} more</summary>{''.join(map(_sample, others))}</details>" if others else ""
    return (
        f"<h2>From noise to text</h2><p>Samples after <code>{code(study.prompt)}</code> during training, about "
        f"{study.sample_length:,} characters each, at temperature {study.temperature:g}.</p>{shown}{rest}"
    )


def _sample(sample: Sample) -> str:
    loss = "" if sample.val_loss is None else f" · validation loss {sample.val_loss:.3f}"
    text = safe(printable_text(sample.prompt + sample.text))
    return f"<h3>Step {sample.step:,}<small>{loss}</small></h3><pre>{text}</pre>"


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


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Some samples, closer together at the beginning, where most happens."""
    last = len(samples) - 1
    chosen = {round(last * (index / (count - 1)) ** 2) for index in range(count)} if last else {0}
    return [samples[index] for index in sorted(chosen)]
