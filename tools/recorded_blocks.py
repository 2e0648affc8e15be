"""The figures of the lesson's pages: what a block `<!-- kept: NAME KIND -->` is filled with, from a recorded run."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.recorded_picture import by_character, curve_picture, tokens_per_character
from trickster_engine.config import check
from trickster_engine.evaluation.report.measures import LONG, MEASURES
from trickster_engine.evaluation.report.names import title
from trickster_engine.evaluation.report.nearness import nearness
from trickster_engine.evaluation.report.verdict import judge
from trickster_engine.system.printable import printable_text

Kept = Mapping[str, Any]

#: Measures that a page has room for: two of each level.
_TOLD = frozenset(
    ["letters", "spaced-marks", "real-words", "old-words", "capital-lines", "line-length", "speeches", "known-speakers"]
)

#: The validation loss in nats/token that an older lesson promises for the shape and the settings of nano.
OLDER_CLAIM = 0.93

#: Characters in a line of a page.
LINE = 120

#: Characters of verbatim text that VS Code shows in a line of the lesson; it does not wrap them, it cuts them off.
VERBATIM_LINE = 48
#: Begins a line that is ours and not the model's.
GOES_ON = "\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS}"


def time_taken(kept: Kept) -> str:
    """How long the run took, where, and how long all of it would take where it was stopped before its end."""
    speeds = sorted(step["tokens_per_s"] for step in kept["steps"])
    typical = f", at {speeds[len(speeds) // 2]:,} tokens/s" if speeds else ""
    done, planned = kept["curve"][-1]["step"], _planned_steps(kept)
    resumed = kept.get("sittings", 1) - 1
    times = "" if not resumed else f" of training (resumed {'once' if resumed == 1 else f'{resumed} times'})"
    text = (
        f"Measured on {kept['machine']}: {_of(done, planned)} steps of {kept['name']}, a model with "
        f"{kept['parameters']:,} parameters, took {duration(kept['seconds'])}{times}{typical}."
    )
    if done < planned:
        text += f" At that pace all {planned:,} would take {duration(kept['seconds'] * planned / done)}."
    return _wrapped(text)


def curve(kept: Kept) -> str:
    """What the curve shows, in words; the picture lies beside the page."""
    points = by_character(kept)
    first, last = points[0], points[-1]
    best = min(points, key=lambda point: point["val_loss"])
    done, planned = last["step"], _planned_steps(kept)
    subwords = tokens_per_character(kept, "val") != 1
    picture = f"![Training and validation loss of the recorded run of {kept['name']} over {done:,} steps]"
    text = (
        f"The recorded run of {kept['name']}, on {kept['machine']}: the validation loss fell from "
        f"{first['val_loss']:.3f} to {best['val_loss']:.3f}{' nats/character' if subwords else ''} at step "
        f"{best['step']:,} (perplexity{' per character' if subwords else ''} "
        f"{math.exp(first['val_loss']):.0f} to {math.exp(best['val_loss']):.1f})."
    )
    if best is last:
        text += f" The training loss was then {last['train_loss']:.3f}."
    else:
        text += f" At step {done:,} it was {last['val_loss']:.3f}, and the training loss {last['train_loss']:.3f}."
    if done < planned:
        text += f" We stopped it there, before its {planned:,} steps were done."
    return f"{picture}(pictures/{picture_name(kept)})\n\n" + _wrapped(text)


def claim(kept: Kept) -> str:
    """What an older lesson says of this model's validation loss, beside what the run reached."""
    points = kept["curve"]
    last = points[-1]
    best = min(points, key=lambda point: point["val_loss"])
    done, planned = last["step"], _planned_steps(kept)
    text = f"An older lesson promises {kept['name']} a validation loss of {OLDER_CLAIM}. "
    reached = [point for point in points if point["val_loss"] <= OLDER_CLAIM]
    memorised = [point for point in points if point["train_loss"] <= OLDER_CLAIM]
    if reached:
        text += f"Our run reached it at step {reached[0]['step']:,}."
    elif done < planned:
        text += (
            f"Our run, with the same shape and settings, was at {last['val_loss']:.3f} after {_of(done, planned)} "
            "steps; the remaining steps were not measured."
        )
    elif memorised:
        text += (
            f"Our run, with the same shape and settings, never went below {best['val_loss']:.3f}. Only its *training* "
            f"loss went below {OLDER_CLAIM}, by step {memorised[0]['step']:,}: the model memorised the text."
        )
    else:
        text += (
            f"Our run, with the same shape and settings, never went below {best['val_loss']:.3f} in all {planned:,} "
            f"steps; its lowest training loss was {min(point['train_loss'] for point in points):.3f}."
        )
    return _wrapped(text)


def samples(kept: Kept) -> str:
    """What the run generated at its beginning, early, and at its end."""
    losses = {point["step"]: point["val_loss"] for point in kept["curve"]}
    every = kept["samples"]
    chosen = [every[index] for index in sorted({0, min(1, len(every) - 1), len(every) - 1})]
    parts = []
    for sample in chosen:
        loss = losses.get(sample["step"])
        text = (sample["prompt"] + sample["text"])[:160]
        shown = _broken(printable_text(text).rstrip())
        parts.append(
            f"Step {sample['step']:,}{'' if loss is None else f', validation loss {loss:.3f}'}:\n\n"
            f"```text\n{shown}\n```\n"
        )
    if any(GOES_ON in part for part in parts):
        parts.append(f"{GOES_ON} marks a line that continues the one above, which is too long for this page.\n")
    return "\n".join(parts)


def proof(kept: Kept) -> str:
    """The proof of learning as tables: losses, and what a thousand characters hold."""
    lines = ["| predictor | validation loss, nats/token | bits/byte |", "|---|---:|---:|"]
    for row in kept["proof"]["rows"]:
        lines.append(f"| {_name(row['name'])} | {row['nats']:.3f} | {row['bits_per_byte']:.3f} |")
    lines += ["", f"| 1,000 characters, {_temperature(kept)} | real words | longest copy |", "|---|---:|---:|"]
    for name, text in kept["proof"]["texts"].items():
        lines.append(f"| {_name(name)} | {text['real_word_share']:.1%} | {text['longest_copied_run']} |")
    return "\n".join(lines) + "\n"


def _name(name: str) -> str:
    return f"**{title(name)}**" if name == "this model" else title(name)


def learned(kept: Kept) -> str:
    """The report's measures in one table; nothing where the run was recorded without them."""
    if not kept.get("learned"):
        return ""
    by_key = {measure.key: measure for measure in MEASURES}
    lines = ["| level | measure | untrained | trained | real text |", "|---|---|---:|---:|---:|"]
    for course in kept["learned"]:
        if course["key"] not in _TOLD:
            continue
        values = (_shown(course["unit"], course[name]) for name in ("random", "model", "real"))
        lines.append(f"| {course['level']} | {by_key[course['key']].title} | {' | '.join(values)} |")
    near = [
        nearness(by_key[course["key"]], course["model"], course["random"], course["real"])
        for course in kept["learned"]
        if course["real"] is not None
    ]
    words = (
        f"{judge(near).words} Both models generated {LONG:,} characters at temperature 1; *real text* is validation "
        "text."
    )
    past = [_uncapitalised(by_key[course["key"]].title) for course in kept["learned"] if course.get("past")]
    if past:
        words += f" Some overshot real text: {'; '.join(past)}."
    return "\n".join(lines) + "\n\n" + _wrapped(words)


def random_start(kept: Kept) -> str:
    """Untrained models beside a uniform prediction."""
    lines = [
        "| untrained model | parameters | validation loss, nats/token | letter frequencies | letter pair frequencies |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, model in kept["models"].items():
        losses = sorted(row["nats"] for row in model["losses"])
        spread = f"{losses[0]:.3f} to {losses[-1]:.3f}"
        shares = " | ".join(_shown("share", model["measures"][key]) for key in ("letters", "pairs"))
        lines.append(f"| {name} | {model['parameters']:,} | {spread} | {shares} |")
    uniform = next(row["nats"] for row in kept["counting"] if row["name"] == "uniform")
    lines.append(f"| {title('uniform')} | 0 | {uniform:.3f} | \N{EN DASH} | \N{EN DASH} |")
    measured = kept["data"]["held_out_tokens"]
    seeds = {len(model["losses"]) for model in kept["models"].values()}
    about = (
        f"Measured on all {measured:,} validation tokens, with {max(seeds)} random seeds for each shape. The last two "
        "columns are the overlap with real text."
    )
    return "\n".join(lines) + "\n\n" + _wrapped(about)


def counting(kept: Kept) -> str:
    """The baselines on the validation text."""
    known = {
        "uniform": "nothing: every byte is equally likely",
        "unigram": "how common each byte is",
        "bigram": "the byte before",
        "trigram": "the two bytes before",
    }
    lines = ["| baseline | what it knows | validation loss, nats/token | bits/byte |", "|---|---|---:|---:|"]
    for row in kept["counting"]:
        if row["name"].endswith("dynamic"):
            what = "the same, counting the validation text too as it is read"
        else:
            what = known.get(row["name"]) or f"the {int(row['name'].split('-')[0]) - 1} bytes before, the best number"
        lines.append(f"| {title(row['name'])} | {what} | {row['nats']:.3f} | {row['bits_per_byte']:.3f} |")
    return "\n".join(lines) + "\n"


_PLACES_SHOWN = 4


def beyond(kept: Kept) -> str:
    """Where a recorded run beats the best n-gram, and where it does not; nothing where it was recorded without that."""
    if not kept.get("counting"):
        return ""
    found = kept["counting"]
    name, margin = found["ngram"], found["ngram_mean"] - found["model_mean"]
    about = (
        f"The recorded run of {kept['name']}, measured on the first {found['tokens']:,} bytes of validation text: the "
        f"{name} has {found['ngram_mean']:.3f} nats/byte and the model {found['model_mean']:.3f}, {abs(margin):.3f} "
        f"{'below' if margin > 0 else 'above'}. The model gives the higher probability to {found['ahead']:.1%} of the "
        "bytes. By how many bytes of the context before them occur in the training text:"
    )
    lines = [
        _wrapped(about),
        f"| bytes known | share of bytes | {name} | model | difference |",
        "|--:|--:|--:|--:|--:|",
    ]
    for row in found["by_familiarity"]:
        lines.append(
            f"| {row['seen']} | {row['share']:.1%} | {row['ngram']:.3f} | {row['model']:.3f} "
            f"| {row['model'] - row['ngram']:+.3f} |"
        )
    for places, words in (("wins", "The model is furthest ahead"), ("losses", "Counting is furthest ahead")):
        lines += ["", f"{words} here; the byte is after the bar, both probabilities beside it:", ""]
        lines += ["| context and byte | " + f"{name} | model |", "|:--|--:|--:|"]
        for place in found[places][:_PLACES_SHOWN]:
            before, token = (_one_line(place[part]) for part in ("before", "token"))
            chances = " | ".join(f"{math.exp(-place[loss]):.2%}" for loss in ("ngram", "model"))
            lines.append(f"| `{before}` ▏`{token}` | {chances} |")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """Text in one cell of a table, with marks for what has no look there."""
    shown = printable_text(text).replace("\n", "\N{RETURN SYMBOL}").replace(" ", "\N{OPEN BOX}")
    return shown.replace("|", "\N{BROKEN BAR}").replace("`", "'")


def picture_name(kept: Kept) -> str:
    """The file beside a page that holds a recorded run's curve."""
    return f"kept-{kept['name']}-curve.svg"


def beginnings(kept: Kept) -> str:
    """The validation losses of two runs that differ in where they begin; `recorded_start.py` keeps them."""
    base, scratch, tuned = kept["base"], kept["scratch"]["curve"], kept["tuned"]["curve"]
    points = {point["step"]: point["val_loss"] for point in tuned}
    steps = [point["step"] for point in scratch]
    shown = sorted({*steps[:: max(1, (len(steps) - 1) // 4)], steps[-1]})
    lines = ["| steps | from scratch | fine-tuned |", "|---:|---:|---:|"]
    losses = {point["step"]: point["val_loss"] for point in scratch}
    lines += [f"| {step:,} | {losses[step]:.3f} | {points[step]:.3f} |" for step in shown]
    text = (
        f"Validation loss on Shakespeare, in nats/token. The fine-tuned model had first trained for {base['steps']:,} "
        f"steps on Python code. Both have {kept['parameters']:,} parameters."
    )
    return "\n".join(lines) + "\n\n" + _wrapped(text)


#: Blocks of a page by the second word of their comment. Those with a picture need it written beside the page.
BLOCKS: Mapping[str, Callable[[Kept], str]] = {
    "time": time_taken,
    "curve": curve,
    "samples": samples,
    "proof": proof,
    "learned": learned,
    "claim": claim,
    "start": random_start,
    "counting": counting,
    "beginnings": beginnings,
    "beyond": beyond,
}
PICTURES: Mapping[str, Callable[[Kept], str]] = {"curve": curve_picture}


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _temperature(kept: Kept) -> str:
    """The temperature of the run's config, in words."""
    plan = check(kept["config"]).plan
    return "" if plan is None else f"at temperature {plan.sampling.temperature:g}"


def _planned_steps(kept: Kept) -> int:
    """The steps that the run's config asks for."""
    plan = check(kept["config"]).plan
    return kept["curve"][-1]["step"] if plan is None else plan.training.max_steps


def _of(done: int, planned: int) -> str:
    return f"{done:,}" if done == planned else f"{done:,} of the {planned:,}"


def _wrapped(prose: str) -> str:
    """A paragraph in lines no longer than a page's others."""
    return textwrap.fill(prose, LINE, break_on_hyphens=False) + "\n"


def _broken(text: str) -> str:
    """Verbatim text with its overlong lines broken where it can be seen that they are: noise has no line breaks."""
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line))


def _pieces(line: str) -> Iterator[str]:
    mark = ""
    while len(mark + line) > VERBATIM_LINE:
        room = VERBATIM_LINE - len(mark)
        space = line.rfind(" ", room // 2, room + 1)
        end = space if space > 0 else room
        yield mark + line[:end]
        line, mark = line[end:], GOES_ON
    yield mark + line


def _uncapitalised(title: str) -> str:
    return title[:1].lower() + title[1:]


def _shown(unit: str, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0%}" if unit == "share" else f"{value:.1f}"
