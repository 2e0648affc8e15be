"""What the events of a run say is wrong with its training: findings with their evidence, each named once.

Only what the run itself has measured is used: the losses, and what the layers did at each evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from trickster_engine.config.plan import Plan
from trickster_engine.runs.event_types import EvalEvent, Event, LayersEvent


class Finding(NamedTuple):
    """Something that is wrong, as a warning event says it."""

    code: str
    message: str
    advice: str


#: Faults that a run of the lesson can have on purpose, and the code of the finding that names each.
FAULTS: Final[Mapping[str, str]] = {
    "wrong-targets": "wrong-targets",
    "no-causal-mask": "sees-the-future",
    "rate-too-high": "rate-too-high",
    "shuffled-validation": "validation-shuffled",
    "frozen-layer": "layer-frozen",
}
#: The kinds of events that tell something.
DIAGNOSED: Final = frozenset({"step", "eval", "layers"})
#: A share of changed predictions that no rounding explains.
_FUTURE: Final = 0.05
#: The order of a text matters to a model from so many nats/token on, and does not below this share of it.
_ORDER_COUNTS, _ORDER_LOST = 0.3, 0.1
#: What is minimised cannot lie this far below the loss on the same text, in nats/token, twice running.
_TOO_GOOD: Final = 0.5
#: An update that moves the weights by more than this share of them is too large where the loss rises too, or a layer
#: leaves its range.
_LARGE_UPDATE: Final = 0.01
_WORSE: Final = 0.1
#: So many updates at the full rate are given to a model before its loss is held against them.
_LET_LEARN: Final = 20
#: Where the others move by less than this share, as at the end of a schedule that falls to 0, a norm's weights of 1
#: stay where they are because fp32 cannot hold the difference.
_MOVES: Final = 1e-5


@dataclass(frozen=True)
class _Range:
    """Where a figure of a layer usually lies, in models of any size that learn."""

    name: str
    usual: Callable[[float], bool]
    words: str
    advice: str


_RANGES: Final[Mapping[str, _Range]] = {
    "dead_neurons": _Range(
        "dead neurons",
        lambda share: share < 0.5,
        "{0:.0%} of its neurons stay near 0 on the whole sample, and compute nothing",
        "Lower training_config.learning_rate and keep grad_clip at 1.0 so that no update throws neurons off, or lower "
        "model_config.mlp_dim.",
    ),
    "attention_entropy": _Range(
        "attention entropy",
        lambda share: share > 0.02,
        "its attention has {0:.1%} of the possible entropy: each token looks at a single one",
        "Lower training_config.learning_rate or lengthen warmup_steps: attention that is this sharp has hardly any "
        "gradient left.",
    ),
    "effective_rank": _Range(
        "effective rank",
        lambda rank: rank > 1.5,
        "the effective rank of its output is {0:.1f}: it says nearly the same at every position",
        "Lower training_config.learning_rate or lengthen warmup_steps, and check that the corpus is not one line "
        "repeated (trickster prepare).",
    ),
    "activation_rms": _Range(
        "activation RMS",
        lambda rms: rms < 1000,
        "the root mean square of its output is {0:.0f}, which bf16 rounds to whole numbers",
        "Raise training_config.weight_decay, lower learning_rate, or train with precision: fp32.",
    ),
}


class Diagnosis:
    """Events go in, in the order of the run; what is wrong comes out as soon as it shows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._named: set[str] = set()
        self._losses: list[float] = []  # of the step events since the last evaluation
        self._too_good = 0  # evaluations in a row
        self._evaluated: EvalEvent | None = None
        self._lowest = math.inf  # training loss at evaluations

    def feed(self, event: Event) -> list[Finding]:
        """Take in one event; what it shows, unless that was said before."""
        if event["kind"] == "step":
            self._losses.append(event["loss"])
        elif event["kind"] == "eval":
            self._evaluated = event
        elif event["kind"] == "layers" and self._evaluated is not None:
            found = next(self._found(event, self._evaluated), None)
            self._lowest = min(self._lowest, self._evaluated["train_loss"])
            self._losses = []
            if found is not None and found.code not in self._named:
                self._named.add(found.code)
                return [found]
        return []

    @property
    def named(self) -> frozenset[str]:
        """The codes of all findings so far."""
        return frozenset(self._named)

    def _found(self, layers: LayersEvent, evaluated: EvalEvent) -> Iterator[Finding]:
        """What is wrong, the surest first: what follows from a fault is no second one."""
        yield from self._sees_future(layers)
        yield from self._wrong_targets(evaluated)
        yield from self._frozen(layers)
        yield from self._shuffled(layers, evaluated)
        yield from self._rate(layers, evaluated)
        if not self._named:  # a fault that was named takes layers out of their range for the rest of the run
            yield from self._out_of_range(layers)

    def _sees_future(self, layers: LayersEvent) -> Iterator[Finding]:
        share = layers["changed_by_future"]
        if share > _FUTURE:
            yield Finding(
                "sees-the-future",
                f"At step {layers['step']}, {share:.0%} of the predictions change when only tokens after them are "
                "changed: the model reads what it is to predict, so its losses mean nothing.",
                "Attention needs its causal mask: a position may look at itself and at earlier ones only.",
            )

    def _wrong_targets(self, evaluated: EvalEvent) -> Iterator[Finding]:
        training = self._plan.training
        if training.loss != "cross_entropy" or training.distill_from is not None or not self._losses:
            return
        minimised, measured = max(self._losses), evaluated["train_loss"]
        self._too_good = self._too_good + 1 if minimised + _TOO_GOOD < measured else 0
        if self._too_good >= 2:
            yield Finding(
                "wrong-targets",
                f"The loss that training minimises has fallen to {minimised:.2f}, but predicting the next token of the "
                f"training text costs {measured:.2f} nats/token at step {evaluated['step']}: it learns to predict "
                "something else.",
                "The targets must be the inputs one token later: compare the first rows of a batch, x[1:] with y[:-1].",
            )

    def _frozen(self, layers: LayersEvent) -> Iterator[Finding]:
        moved = layers["update_ratio"]
        still = [layer for layer, ratio in moved.items() if ratio == 0] if moved else []
        if moved and still and median(moved.values()) > _MOVES:
            which = ", ".join(map(layer_name, still))
            yield Finding(
                "layer-frozen",
                f"The update of step {layers['step']} has not changed a single weight of {which}, while the other "
                "layers moved.",
                "Its weights are missing from the optimizer, or have requires_grad = False: it stays at its random "
                "weights.",
            )

    def _shuffled(self, layers: LayersEvent, evaluated: EvalEvent) -> Iterator[Finding]:
        training, validation = layers["order"].get("training", 0.0), layers["order"].get("validation", 0.0)
        if training > _ORDER_COUNTS and validation < _ORDER_LOST * training:
            yield Finding(
                "validation-shuffled",
                f"At step {layers['step']}, shuffling the tokens of the training text raises the loss by "
                f"{training:.2f} nats/token, and that of the validation text by {max(0.0, validation):.2f}: the "
                "validation text has no order to lose, and its loss "
                f"({evaluated['val_loss']:.2f}, training {evaluated['train_loss']:.2f}) measures nothing.",
                "Split the text first and shuffle windows of it later, never its tokens; `trickster prepare` shows how "
                "both parts begin.",
            )

    def _rate(self, layers: LayersEvent, evaluated: EvalEvent) -> Iterator[Finding]:
        moved, training = layers["update_ratio"], self._plan.training
        if not moved or evaluated["step"] <= training.warmup_steps + _LET_LEARN:
            return
        ratio, loss = median(moved.values()), evaluated["train_loss"]
        if ratio <= _LARGE_UPDATE:
            return
        if loss > 0.95 * math.log(self._plan.model.vocab_size):
            why = f"the training loss, {loss:.2f}, is that of a uniform prediction"
        elif loss > self._lowest + _WORSE:
            why = f"the training loss has risen from {self._lowest:.2f} to {loss:.2f}"
        elif outside := next(_outside(layers), None):
            why = outside.message
        else:
            return
        yield Finding(
            "rate-too-high",
            f"The update of step {layers['step']} moves the weights of a layer by {ratio:.1%} of their length, and "
            f"{why}.",
            f"Divide training_config.learning_rate by three or ten (now {training.learning_rate:g}): once training is "
            "under way, an update of about 0.1% is usual.",
        )

    def _out_of_range(self, layers: LayersEvent) -> Iterator[Finding]:
        for found in _outside(layers):
            yield Finding("layer-out-of-range", f"At step {layers['step']}, {found.message}.", found.advice)


def _outside(layers: LayersEvent) -> Iterator[Finding]:
    """The figures of layers that lie outside their usual range."""
    for field, usual in _RANGES.items():
        figures: Mapping[str, float] = layers[field]  # type: ignore[literal-required]
        for layer, figure in figures.items():
            if not usual.usual(figure):
                words = usual.words.format(figure)
                yield Finding(
                    field, f"{layer_name(layer)} leaves the usual range of {usual.name}: {words}", usual.advice
                )


def layer_name(layer: str) -> str:
    """What a layer of a LayersEvent is called: `the embedding`, `layer 3`, `the output`."""
    return f"layer {layer}" if layer.isdigit() else f"the {layer}"


def diagnose(plan: Plan, events: Iterable[Event]) -> list[Finding]:
    """Everything that a run's events show to be wrong."""
    diagnosis = Diagnosis(plan)
    return [finding for event in events for finding in diagnosis.feed(event)]
