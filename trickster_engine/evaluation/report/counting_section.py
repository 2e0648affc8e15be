"""The report's section on where the model beats counting, and where it does not."""

from __future__ import annotations

import math
from collections.abc import Iterable

from trickster_engine.evaluation.report.beyond_counting import BeyondCounting, Familiarity, Place
from trickster_engine.evaluation.report.html_page import safe
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.printable import printable_text


def counting_section(found: BeyondCounting) -> str:
    """The section as HTML."""
    name = safe(title(found.ngram))
    margin = found.ngram_mean - found.model_mean
    where = "below" if margin > 0 else "above"
    return (
        "<h2>Where it beats counting, and where it does not</h2>"
        f"<p>On the first {found.tokens:,} tokens of validation text the model, measured strided (a sliding window: "
        f"each token has at least half a context), has {found.model_mean:.3f} nats/token and the {name}, the best "
        f"n-gram, {found.ngram_mean:.3f}: the model is {abs(margin):.3f} {where}. It gives the higher probability to "
        f"{found.ahead:.1%} of the tokens.</p>"
        "<h3>By how much of the context occurs in the training text</h3>"
        "<p>Counting needs a context that it has seen. Where only a short one occurs in the training text, it falls "
        "back to that; a model can use what the longer one has in common with others.</p>"
        + _familiarity(found.by_familiarity, name)
        + "<h3>Tokens where the model is furthest ahead</h3>"
        + _places(found.wins, name)
        + "<h3>Tokens where counting is furthest ahead</h3>"
        + "<p>Often a phrase of the training text, which counts have word for word and the model only roughly.</p>"
        + _places(found.losses, name)
    )


def _familiarity(rows: Iterable[Familiarity], name: str) -> str:
    body = "".join(
        f'<tr><td class="n">{row.seen}</td><td class="n">{row.share:.1%}</td><td class="n">{row.ngram:.3f}</td>'
        f'<td class="n">{row.model:.3f}</td><td class="n">{row.model - row.ngram:+.3f}</td></tr>'
        for row in rows
    )
    return (
        '<div class="wide"><table><thead><tr><th class="n">tokens of context that occur</th><th class="n">share of '
        f'tokens</th><th class="n">{name}</th><th class="n">trained model</th><th class="n">difference</th></tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _places(places: Iterable[Place], name: str) -> str:
    body = "".join(
        f"<tr><td><code>{safe(_shown(place.before))}<b>{safe(_shown(place.token))}</b></code></td>"
        f'<td class="n">{place.seen}</td><td class="n">{_loss(place.ngram)}</td><td class="n">{_loss(place.model)}</td>'
        "</tr>"
        for place in places
    )
    return (
        '<div class="wide"><table><thead><tr><th>context, and the token in bold</th><th class="n">tokens known</th>'
        f'<th class="n">{name}</th><th class="n">trained model</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _loss(nats: float) -> str:
    """A loss and the probability that it stands for."""
    return f"{nats:.2f} <small>{math.exp(-nats):.2%}</small>"


def _shown(text: str) -> str:
    return printable_text(text).replace("\n", "\N{RETURN SYMBOL}")
