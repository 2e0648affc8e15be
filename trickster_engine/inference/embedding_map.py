"""The embeddings of a vocabulary as a map of two dimensions."""

from __future__ import annotations

import importlib.util
import unicodedata
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trickster_engine.errors import TricksterError

Projection = Literal["pca", "umap"]
Kind = Literal["capital", "lower case", "digit", "space", "punctuation", "other"]
#: Tokens on a map; of a larger vocabulary those with the lowest ids, which a BPE tokenizer found most often.
MOST_TOKENS = 2000
_NEIGHBOURS = 15


def umap_installed() -> bool:
    """Whether the package umap-learn is there."""
    return importlib.util.find_spec("umap") is not None


def kind_of(text: str) -> Kind:
    """What a token's text is, by its first character that is no space."""
    if not text or "\ufffd" in text:
        return "other"
    if text.isspace():
        return "space"
    first = text.strip()[0]
    category = unicodedata.category(first)
    if category in ("Lu", "Lt"):
        return "capital"
    if category[0] == "L":
        return "lower case" if category == "Ll" else "other"
    if category[0] == "N":
        return "digit"
    return "punctuation" if category[0] in "PS" else "other"


def embedding_map(weights: NDArray[Any], projection: Projection) -> tuple[NDArray[np.float64], list[float] | None]:
    """Places [n, 2] of embeddings [n, D], and of PCA the share of the variance along each axis.

    Raises TricksterError where UMAP is asked for and is not there.
    """
    if projection == "pca":
        return _principal_components(weights)
    if not umap_installed():
        raise TricksterError(
            "umap-missing",
            "The package umap-learn, which draws this map, is not installed where the model runs.",
            "Install it there (`pip install umap-learn`), or choose PCA.",
        )
    if len(weights) <= _NEIGHBOURS:
        raise TricksterError(
            "umap-too-small", f"UMAP needs more than {_NEIGHBOURS} tokens; these are {len(weights)}.", "Choose PCA."
        )
    import umap

    reducer = umap.UMAP(n_neighbors=_NEIGHBOURS, random_state=0, n_jobs=1)
    return np.asarray(reducer.fit_transform(weights), np.float64), None


def _principal_components(weights: NDArray[Any]) -> tuple[NDArray[np.float64], list[float]]:
    """The two directions of largest variance; of each the sign that makes its largest entry positive."""
    centred = np.asarray(weights, np.float64) - np.mean(weights, axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)  # smallest first
    axes = directions[:, : -min(2, len(variances)) - 1 : -1].T
    axes = axes * np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) < 0, -1, 1)
    places = np.zeros((len(weights), 2))
    places[:, : len(axes)] = centred @ axes.T
    total = float(variances.sum())
    shares = [float(part) / total if total > 0 else 0.0 for part in variances[: -len(axes) - 1 : -1]]
    return places, [*shares, 0.0][:2]
