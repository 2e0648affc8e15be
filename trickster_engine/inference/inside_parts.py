"""Answers about one part of a model over many texts, or over many checkpoints: embeddings, neurons, heads in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trickster_engine.errors import TricksterError
from trickster_engine.inference.ablation import Component, require_component
from trickster_engine.inference.activations import capture
from trickster_engine.inference.embedding_map import MOST_TOKENS, Projection, embedding_map, kind_of, umap_installed
from trickster_engine.inference.heads import printable
from trickster_engine.inference.inside import (
    Opened,
    Request,
    Stopped,
    likely,
    losses,
    mean_loss,
    opened,
    probed,
    scores,
)
from trickster_engine.inference.inside_text import small_validation_text, text_of, validation_tokens
from trickster_engine.inference.neurons import Excitement, direct_effect, strongest
from trickster_engine.inference.packing import packed
from trickster_engine.inference.resident import loaded, loaded_before_training, newest, step_of
from trickster_engine.inference.sampling import encode_prompt
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.checkpoint_files import checkpoint_folders

_MOST_CONTEXTS = 50
_PROMOTED = 10
_MOST_MOMENTS = 64


def embedding(request: Request, stopped: Stopped) -> dict[str, Any]:
    """The embeddings as a map. Raises TricksterError."""
    at = opened(request)
    projection: Projection = request.get("projection") or "pca"
    ids = _mapped(Path(request["path"]), at)
    weights = at.model.model.embed_tokens.weight[ids].detach().cpu().numpy()
    places, explained = embedding_map(weights, projection)
    texts = [at.held.tokenizer.piece(index) for index in ids]
    points = [
        {"id": index, "text": text, "kind": kind_of(text), "x": float(x), "y": float(y)}
        for index, text, (x, y) in zip(ids, texts, places, strict=True)
    ]
    return {
        "checkpoint": at.checkpoint,
        "step": at.step,
        "projection": projection,
        "points": points,
        "left_out": at.vocab_size - len(ids),
        "explained": explained,
        "umap_installed": umap_installed(),
    }


def _mapped(path: Path, at: Opened) -> list[int]:
    """The tokens of a map: those that occur in the validation text, because the others were hardly ever trained.

    Where that text is not at hand: all that are printable, or white space.
    """
    tokens = small_validation_text(path)
    if tokens is not None:
        found = [int(index) for index in np.unique(tokens)]
    else:
        found = printable(at.held.tokenizer, "\n\t\r")
    return found[:MOST_TOKENS]


def neuron(request: Request, stopped: Stopped) -> dict[str, Any]:
    """What excites a neuron, and what it says. Raises TricksterError."""
    at = opened(request)
    layer, index = int(request["layer"]), int(request["neuron"])
    require_component(at.model, Component("neuron", layer, index))
    path = Path(request["path"])
    excitement = _excitement(path, *newest(path), layer, request.get("text"))
    count = max(1, min(int(request.get("count") or 10), _MOST_CONTEXTS))
    mean, deviation = excitement.figures(index)
    effect = direct_effect(at.model, layer, index, at.vocab_size)
    return {
        "checkpoint": at.checkpoint,
        "step": at.step,
        "highest": [asdict(one) for one in excitement.contexts(index, count, highest=True)],
        "lowest": [asdict(one) for one in excitement.contexts(index, count, highest=False)],
        "tokens": excitement.tokens,
        "mean": mean,
        "deviation": deviation,
        "promotes": likely(at, strongest(effect, _PROMOTED, highest=True)),
        "suppresses": likely(at, strongest(effect, _PROMOTED, highest=False)),
    }


@lru_cache(maxsize=4)
def _excitement(path: Path, folder: Path, modified_ns: int, layer: int, text: str | None) -> Excitement:
    """What a layer's neurons do over a text, kept for the next neuron of the same layer."""
    held = loaded(folder)
    try:
        tokens = validation_tokens(path) if text is None else np.array(encode_prompt(held.tokenizer, text))
    except TricksterError as error:
        if text is not None:
            raise
        advice = f"{error.advice} Or give a text to search."
        raise TricksterError(error.code, error.message, advice, error.exit_code) from error
    return Excitement(held.model, held.tokenizer, layer, tokens)


def history(request: Request, stopped: Stopped) -> dict[str, Any]:
    """What the heads did at each checkpoint of a run that is kept. Raises TricksterError."""
    path = Path(request["path"])
    layer, head = request.get("layer"), request.get("head")
    held = loaded(path)
    if (layer is None) != (head is None):
        raise TricksterError("part-unknown", "A head is named by its layer and its number.", "Give both.", 2)
    if layer is not None:
        require_component(held.model, Component("head", layer, head))
    read = text_of(path, held, request.get("text"))
    moments: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for at in _moments(path, unreadable):
        if stopped():
            break
        found = capture(at.model, read.ids)
        repeated = probed(at)
        moments.append(
            {
                "step": at.step,
                "checkpoint": at.checkpoint,
                "loss": mean_loss(losses(at, found)),
                "repeat_first": repeated.first if repeated else None,
                "repeat_second": repeated.second if repeated else None,
                "heads": [asdict(one) for one in scores(at, read, found)],
                "attention": None if layer is None else packed((found.attention[layer, head] * 255).round(), "uint8"),
            }
        )
    return {
        "text": read.text,
        "left_out": read.left_out,
        "tokens": read.pieces,
        "moments": moments,
        "unreadable": unreadable,
    }


def _moments(path: Path, unreadable: list[str]) -> Iterator[Opened]:
    """The model before training and at each checkpoint, evenly chosen; of those that cannot be read, the names."""
    try:
        yield Opened(loaded_before_training(path), None, 0)
    except TricksterError:  # a model that came here without its run
        unreadable.append("before training")
    folders = checkpoint_folders(RunDirectory(path).checkpoints_folder())
    if len(folders) > _MOST_MOMENTS - 1:
        folders = [folders[int(at)] for at in np.linspace(0, len(folders) - 1, _MOST_MOMENTS - 1)]
    for folder in folders:
        try:
            held = loaded(folder)
        except TricksterError:  # damaged, or removed by a trainer in favour of a better one
            unreadable.append(folder.name)
            continue
        yield Opened(held, str(folder), step_of(folder))
