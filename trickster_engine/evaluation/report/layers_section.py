"""The report's section on what each layer did, where the run has measured it."""

from __future__ import annotations

from collections.abc import Sequence

from trickster_engine.evaluation.report.html_page import safe, table
from trickster_engine.runs.diagnosis import Finding, layer_name
from trickster_engine.runs.event_types import LayersEvent

#: Fields of the event, what their columns are called, and how figures are written.
_COLUMNS = (
    ("grad_norm", "gradient norm", ".3g"),
    ("weight_norm", "weight norm", ".3g"),
    ("update_ratio", "update / weight", ".2%"),
    ("activation_rms", "activation RMS", ".3g"),
    ("attention_entropy", "attention entropy", ".0%"),
    ("dead_neurons", "dead neurons", ".0%"),
    ("effective_rank", "effective rank", ".1f"),
)


def layers_section(layers: LayersEvent, findings: Sequence[Finding]) -> str:
    """A row for each layer at one evaluation, and what is wrong with the run, if anything."""
    found = [(dict(layers[field] or {}), form) for field, _, form in _COLUMNS]  # type: ignore[literal-required]
    rows = (
        f"<tr><td>{safe(layer_name(layer))}</td>"
        + "".join(
            f'<td class="n">{format(figures[layer], form) if layer in figures else ""}</td>' for figures, form in found
        )
        + "</tr>"
        for layer in layers["activation_rms"]
    )
    wrong = "".join(f"<p><strong>{safe(finding.message)}</strong> {safe(finding.advice)}</p>" for finding in findings)
    return (
        f"<h2>Layer by layer</h2><p>At step {layers['step']:,}. The gradient and the update are those of the step "
        "before; the rest is measured on a few windows of training text. Attention entropy is the share of the "
        "greatest possible: 0% looks at one token, 100% at all alike. Effective rank is the number of directions that "
        "a layer's output uses.</p>"
        + (wrong or "<p>No layer left its usual range.</p>")
        + table(("layer", *(f"#{name}" for _, name, _ in _COLUMNS)), rows)
    )
