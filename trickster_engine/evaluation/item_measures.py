"""Measures of items: whether a molecule is valid, whether a move is legal; built in, installed, or the user's own.

A measure is a function of the items that somebody wrote and of the training text's items, and returns numbers by name:

    def measure(items: Sequence[str], training: Collection[str]) -> Mapping[str, float]

No measure is loaded unless a person names it on the command line: code of a workspace never runs by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from numbers import Real
from pathlib import Path
from typing import Any

from trickster_engine.config.plan import SamplingConfig
from trickster_engine.data.dataset import Dataset
from trickster_engine.errors import TricksterError
from trickster_engine.evaluation.items import LONGEST_TOKENS, items_by_model, items_by_ngram, items_of, real_items
from trickster_engine.evaluation.report.names import title
from trickster_engine.inference.sampling import SamplingOptions
from trickster_engine.model.llama import Llama

ItemMeasure = Callable[[Sequence[str], Collection[str]], Mapping[str, float]]

#: Where packages offer measures of their own.
ENTRY_POINTS = "trickster.measures"
_DOMAINS = "trickster_engine.evaluation.domains"
BUILT_IN = {
    "molecules": f"{_DOMAINS}.molecules:measure",
    "chess": f"{_DOMAINS}.chess_games:measure",
    "tunes": f"{_DOMAINS}.tunes:measure",
}
ITEMS = 1000


@dataclass(frozen=True)
class Measured:
    """What measures make of the items of each writer: `figures[measure][writer][number]`."""

    items: dict[str, int]  # how many of each writer: a short validation text has fewer than were asked for
    temperature: float
    figures: dict[str, dict[str, dict[str, float]]]
    first: dict[str, list[str]]  # the first items of each writer, to look at


def find_measure(name: str) -> ItemMeasure:
    """The measure of this name: built in, of an installed package, `module:function`, or `file.py:function`.

    Raises TricksterError `measure-unknown`, and `measure-needs-package` where a built-in one lacks its package.
    """
    installed = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in BUILT_IN:
        return _function(BUILT_IN[name])
    if name in installed:
        return _function(installed[name].value)
    if ":" in name:
        return _function(name)
    known = ", ".join(sorted({*BUILT_IN, *installed}))
    raise TricksterError(
        "measure-unknown",
        f"There is no measure {name}.",
        f"Name one of these: {known}; or a function of your own: mymeasure.py:measure, or module:measure.",
        2,
    )


def _function(name: str) -> ItemMeasure:
    place, _, function = name.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        return _checked(name, getattr(module, function))
    except (ImportError, AttributeError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise TricksterError(
            "measure-unknown",
            f"The measure {name} cannot be loaded: {type(error).__name__}: {error}.",
            "Write FILE.py:FUNCTION, or MODULE:FUNCTION of a module that this Python can import.",
            2,
        ) from error


def _module_of_file(path: Path) -> Any:
    name = f"trickster_measure_{path.stem}"  # never that of a module which somebody imports
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _checked(name: str, found: Any) -> ItemMeasure:
    if not callable(found):
        raise TricksterError("measure-unknown", f"The measure {name} is no function.", "Name a function.", 2)

    def measure(items: Sequence[str], training: Collection[str]) -> Mapping[str, float]:
        numbers = found(items, training)
        if not isinstance(numbers, Mapping) or not all(
            isinstance(key, str) and isinstance(value, Real) and math.isfinite(value) for key, value in numbers.items()
        ):
            raise TricksterError(
                "measure-wrong-answer",
                f"The measure {name} returned {numbers!r}.",
                "A measure returns a dictionary of names and finite numbers.",
            )
        return {key: float(value) for key, value in numbers.items()}

    return measure


def package_missing(package: str, extra: str) -> TricksterError:
    """The error for an optional package that a built-in measure or corpus needs."""
    return TricksterError(
        "measure-needs-package",
        f"The package {package} is not installed.",
        f"Install it into the environment that runs trickster: pip install {package}. (It is in the extra `{extra}`.)",
    )


def own_probabilities(sampling: SamplingConfig) -> SamplingOptions:
    """The options to write an item with: at temperature 1, with nothing cut off."""
    return SamplingOptions(max_new_tokens=LONGEST_TOKENS, temperature=1.0, seed=sampling.seed)


def measure_items(
    measures: Mapping[str, ItemMeasure],
    model: Llama,
    dataset: Dataset,
    options: SamplingOptions,
    items: int = ITEMS,
    say: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Take measures of what a model writes, of what the best n-gram writes, and of validation text."""
    say(f"Generating {items:,} items with the trained model")
    writers = {"this model": items_by_model(model, dataset, items, options)}
    say(f"Generating {items:,} items with an n-gram model")
    name, counted = items_by_ngram(dataset, items, options.seed)
    writers |= {name: counted, "held-out text": real_items(dataset, items)}
    writers = {writer: texts for writer, texts in writers.items() if texts}
    training = frozenset(items_of(dataset, dataset.train))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for called, measure in measures.items():
        say(f"Measuring {called}")
        figures[called] = {writer: dict(measure(texts, training)) for writer, texts in writers.items()}
    counts = {writer: len(texts) for writer, texts in writers.items()}
    return Measured(counts, options.temperature, figures, {writer: texts[:3] for writer, texts in writers.items()})


def numbers_of(writers: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The names of all numbers of a measure; not every writer has each."""
    return list(dict.fromkeys(number for figures in writers.values() for number in figures))


def amounts_text(items: Mapping[str, int]) -> str:
    """How many items there are of each writer: `1,000 items each`, or `1,000 items each, 414 of validation text`."""
    most = max(items.values())
    fewer = [f"{count:,} of {title(writer)}" for writer, count in items.items() if count < most]
    return ", ".join([f"{most:,} items each", *fewer])
