"""Answers about the inside of a model, as plain values: what `trickster inside` prints and what the server sends.

Each takes a request's fields, by the names of `lsp/messages/inside.py`, with `path`: a run, or a checkpoint's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from trickster_engine.errors import TricksterError
from trickster_engine.inference.ablation import Component, Patch, changed, continued, require_index
from trickster_engine.inference.activations import Activations, capture
from trickster_engine.inference.heads import HeadScores, Probe, head_scores, probe, targets
from trickster_engine.inference.inside_text import ReadText, read_text, text_of
from trickster_engine.inference.logit_lens import logit_lens, next_token
from trickster_engine.inference.packing import packed
from trickster_engine.inference.resident import Loaded, loaded, loaded_before_training, step_of
from trickster_engine.inference.sampling import SamplingOptions
from trickster_engine.model.llama import Llama

Request = Mapping[str, Any]
Stopped = Callable[[], bool]

PICTURES = frozenset({"attention", "heads", "lens", "stream", "neurons"})
_NEXT = 50
_MOST_TOP = 20
#: Bytes of attention in one answer. Of a larger model some layers are sent, and others when they are asked for.
_ATTENTION_BYTES = 9 << 20
_MOST_NEW_TOKENS = 200

_probes: WeakKeyDictionary[Llama, Probe | None] = WeakKeyDictionary()


class Opened(NamedTuple):
    """A model that a request asks about."""

    held: Loaded
    checkpoint: str | None  # None before training
    step: int | None

    @property
    def model(self) -> Llama:
        """Its weights."""
        return self.held.model

    @property
    def vocab_size(self) -> int:
        """Tokens of the tokenizer; rows of the model beyond it stand for nothing."""
        return self.held.tokenizer.vocab_size


def opened(request: Request) -> Opened:
    """The model of a request. Raises TricksterError."""
    path = Path(request["path"])
    if request.get("before_training"):
        return Opened(loaded_before_training(path), None, 0)
    held = loaded(path)
    return Opened(held, str(held.folder), step_of(held.folder))


def inside(request: Request, stopped: Stopped) -> dict[str, Any]:
    """What a model computes for a text. Raises TricksterError."""
    at = opened(request)
    began = time.monotonic()
    read = text_of(Path(request["path"]), at.held, request.get("text"))
    want = PICTURES if request.get("want") is None else frozenset(request["want"])
    off, patches = _changes(request, at.held)
    with changed(at.model, off, patches):
        found = capture(at.model, read.ids)
    top = max(1, min(int(request.get("top") or 5), _MOST_TOP))
    layers, attention = _attention(found, request.get("layers")) if "attention" in want else ([], None)
    logits = found.logits[-1, : at.vocab_size]
    return {
        "checkpoint": at.checkpoint,
        "step": at.step,
        "model": _model(at),
        "text": read.text,
        "left_out": read.left_out,
        **_judged(at, read, found),
        "logits": packed(logits, "float32"),
        "attention_layers": layers,
        "attention": attention,
        "heads": [asdict(one) for one in scores(at, read, found, off)] if "heads" in want else None,
        "lens": _lens(at, found, top) if "lens" in want else None,
        "stream": _stream(found) if "stream" in want else None,
        "neurons": _neurons(found, top) if "neurons" in want else None,
        "seconds": time.monotonic() - began,
    }


def what_if(request: Request, stopped: Stopped) -> dict[str, Any]:
    """A text before and after parts of the model are switched off or patched. Raises TricksterError."""
    at = opened(request)
    began = time.monotonic()
    read = text_of(Path(request["path"]), at.held, request["text"])
    options = SamplingOptions(
        max_new_tokens=max(0, min(int(request.get("max_new_tokens", 0)), _MOST_NEW_TOKENS)),
        temperature=max(0.0, float(request.get("temperature", 0.0))),
        seed=int(request.get("seed", SamplingOptions.seed)),
    )
    off, patches = _changes(request, at.held)

    def outcome(off: Sequence[Component], patches: Sequence[Patch]) -> dict[str, Any]:
        with changed(at.model, off, patches):
            found = capture(at.model, read.ids)
        text = continued(at.model, at.held.tokenizer, read.ids, options, off, patches, stopped)
        return {**_judged(at, read, found), "continuation": text}

    return {
        "checkpoint": at.checkpoint,
        "step": at.step,
        "left_out": read.left_out,
        "before": outcome((), ()),
        "after": outcome(off, patches),
        "seconds": time.monotonic() - began,
    }


def losses(at: Opened, found: Activations) -> Tensor:
    """Each token's loss after the first, [T - 1], in nats: over the tokenizer's tokens."""
    return torch.nn.functional.cross_entropy(found.logits[:-1, : at.vocab_size], found.tokens[1:], reduction="none")


def mean_loss(values: Tensor) -> float | None:
    """Of losses [T - 1]; None where there are none."""
    return float(values.mean()) if len(values) else None


def scores(at: Opened, read: ReadText, found: Activations, off: Sequence[Component] = ()) -> list[HeadScores]:
    """What each head does on a text, and on a repeated random string."""
    return head_scores(found.attention, targets(read.ids, read.breaks), probed(at, off))


def probed(at: Opened, off: Sequence[Component] = ()) -> Probe | None:
    """How the model reads a repeated random string; of the unchanged model it is remembered."""
    if off:
        with changed(at.model, off):
            return probe(at.model, at.held.tokenizer)
    if at.model not in _probes:
        _probes[at.model] = probe(at.model, at.held.tokenizer)
    return _probes[at.model]


def likely(at: Opened, values: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    """Tokens with their logits, as they are sent."""
    return [{"id": index, "text": at.held.tokenizer.piece(index), "logit": value} for index, value in values]


def _changes(request: Request, held: Loaded) -> tuple[list[Component], list[Patch]]:
    off = [Component(**one) for one in request.get("switched_off") or ()]
    patches = []
    for one in request.get("patches") or ():
        position = int(one["position"])
        source = one.get("from_position")
        ids = read_text(held, one["from_text"]).ids
        patches.append(Patch(Component(**one["component"]), ids, position, position if source is None else int(source)))
    return off, patches


def _judged(at: Opened, read: ReadText, found: Activations) -> dict[str, Any]:
    """The tokens with their losses, and what may follow."""
    values = losses(at, found)
    ranks = next_token(found.logits[:, : at.vocab_size], found.tokens)[1].tolist()
    judged = zip(read.ids, read.pieces, [None, *values.tolist()], [None, *ranks], strict=True)
    top = found.logits[-1, : at.vocab_size].topk(min(_NEXT, at.vocab_size))
    return {
        "tokens": [{"id": id, "text": text, "loss": loss, "rank": rank} for id, text, loss, rank in judged],
        "loss": mean_loss(values),
        "next": likely(at, list(zip(top.indices.tolist(), top.values.tolist(), strict=True))),
    }


def _attention(found: Activations, layers: Sequence[int] | None) -> tuple[list[int], dict[str, Any]]:
    count, heads, length, _ = found.attention.shape
    most = max(1, _ATTENTION_BYTES // (heads * length * length))
    chosen = list(range(min(count, most))) if layers is None else list(layers)
    for layer in chosen:
        require_index("layer", layer, count)
    if not 0 < len(chosen) <= most:
        raise TricksterError(
            "attention-too-large",
            f"The attention of {len(chosen)} layers is asked for; of this model and text, 1 to {most} fit an answer.",
            "Ask for fewer layers, or for a shorter text.",
            2,
        )
    return chosen, packed((found.attention[chosen] * 255).round(), "uint8")


def _model(at: Opened) -> dict[str, Any]:
    config = at.model.config
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    return {
        "layers": config.num_layers,
        "heads": config.num_heads,
        "kv_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_dim": config.hidden_dim,
        "mlp_dim": config.mlp_dim,
        "vocab_size": at.vocab_size,
        "max_seq_len": config.max_seq_len,
        "tie_embeddings": config.tie_embeddings,
        "rope_theta": config.rope_theta,
        "rope_frequencies": (config.rope_theta**-half).tolist(),
    }


def _lens(at: Opened, found: Activations, top: int) -> dict[str, Any]:
    lens = logit_lens(at.model, found, top, at.vocab_size)
    shown = set(lens.ids.flatten().tolist())
    return {
        "ids": packed(lens.ids, "int32"),
        "probabilities": packed(lens.probabilities, "float32"),
        "next_probability": packed(lens.next_probability, "float32"),
        "next_rank": packed(lens.next_rank, "int32"),
        "texts": {str(index): at.held.tokenizer.piece(index) for index in sorted(shown)},
    }


def _stream(found: Activations) -> dict[str, Any]:
    parts = {"residual": found.residual, "attention": found.attention_added, "mlp": found.mlp_added}
    return {name: packed(part.norm(dim=-1), "float32") for name, part in parts.items()}


def _neurons(found: Activations, top: int) -> dict[str, Any]:
    ids = found.neurons.abs().topk(min(top, found.neurons.shape[-1])).indices
    return {"ids": packed(ids, "int32"), "activations": packed(found.neurons.gather(-1, ids), "float32")}
