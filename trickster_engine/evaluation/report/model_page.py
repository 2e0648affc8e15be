"""A model before training as a page: its picture, where its parameters sit, its first loss, its noise, its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trickster_engine.config.plan import ModelConfig
from trickster_engine.evaluation.report.architecture import architecture_picture
from trickster_engine.evaluation.report.html_page import document, safe, table
from trickster_engine.system.printable import printable_text

#: The parts of the parameters, and what each is for.
_PARTS = {
    "embedding": ("Embedding", "one vector for each token"),
    "attention": ("Attention", "each position fetches what it needs from earlier ones"),
    "mlp": ("Feed-forward", "works on each position alone"),
    "norms": ("Norms", "keep the vectors at a stable scale"),
    "output": ("Output", "predicts a probability for each token"),
}


def model_page(name: str, model: ModelConfig, inspection: Mapping[str, Any]) -> str:
    """The page for a config's model. `inspection` is what `trickster inspect --json` prints. No torch here."""
    counts = inspection["parameters"]
    loss, guessing = inspection["random_loss"], inspection["uniform_loss"]
    facts = [
        (f"{counts['total']:,}", "parameters, all of them random before training"),
        (
            f"{counts['per_block']:,}",
            f"in each of {model.num_layers} blocks" if model.num_layers > 1 else "in its block",
        ),
        (
            f"{loss:.3f}",
            f"nats/token, its validation loss before training; a uniform prediction has ln {model.vocab_size:,} = "
            f"{guessing:.3f}",
        ),
        (f"{model.max_seq_len:,}", "tokens of context"),
    ]
    cards = "".join(f"<div><b>{safe(value)}</b><small>{safe(about)}</small></div>" for value, about in facts)
    return document(
        f"{name} before training",
        [
            f"<h1>The model of {safe(name)}, before training</h1>",
            f'<div class="facts">{cards}</div>',
            f'<div class="drawn">{architecture_picture(model)}</div>',
            "<h2>Where the parameters are</h2>",
            _parameters(counts, model.tie_embeddings),
            "<h2>A sample of the untrained model</h2>",
            "<p>All tokens are about equally likely, so this is noise. A dot stands for a character that cannot be "
            "shown.</p>",
            f"<pre>{safe(printable_text(inspection['prompt'] + inspection['noise']))}</pre>",
            "<h2>The shapes of a forward pass</h2>",
            "<p>One sequence: [sequences, positions, numbers per position]. Only the first block is listed; the "
            "others have the same shapes.</p>",
            _shapes(inspection["shapes"]),
        ],
    )


def _parameters(counts: Mapping[str, int], tied: bool) -> str:
    rows = []
    for key, (title, words) in _PARTS.items():
        size = counts[key]
        about = "shares the embedding's weights, so it adds none" if key == "output" and tied else words
        share = size / counts["total"]
        rows.append(
            f"<tr><td>{title}<small>{about}</small></td>"
            f'<td class="bar blue" style="width:30%"><i style="width:{100 * share:.1f}%"></i></td>'
            f'<td class="n">{size:,}</td><td class="n">{share:.1%}</td></tr>'
        )
    return table(("part", "", "#parameters", "#share"), rows)


def _shapes(shapes: Any) -> str:
    rows = (
        f"<tr><td><code>{safe(shape['name'])}</code></td><td>{safe(shape['kind'])}</td>"
        f'<td class="n">{safe(str(list(shape["output"])))}</td></tr>'
        for shape in shapes
    )
    return table(("part", "kind", "#output"), rows)
