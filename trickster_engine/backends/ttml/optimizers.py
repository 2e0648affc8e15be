"""ttml's optimizers: which of them trains which weight, clipping, and their memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from trickster_engine.backends.ttml.device import TtmlDevice
from trickster_engine.backends.ttml.model import TtmlModel
from trickster_engine.backends.ttml.package import UPDATE_ADVICE, missing
from trickster_engine.backends.ttml.tensors import Floats, tensor_of
from trickster_engine.config.plan import TrainingConfig

#: Tells the person something: a code, what is so, what to do about it.
Notify = Callable[[str, str, str], None]

ADAM_EPSILON = 1e-8
NEWTON_SCHULZ_STEPS = 5
#: A norm that no gradient reaches: clipping to it changes nothing and still returns the norm.
NO_CLIPPING = 1e9


class TtmlOptimizer:
    """One or two of ttml's optimizers, each with its full learning rate."""

    def __init__(self, device: TtmlDevice, parts: list[tuple[Any, float]]) -> None:
        self._device = device
        self._parts = parts

    @property
    def names(self) -> str:
        """What ttml calls them."""
        return " + ".join(type(part).__name__ for part, _ in self._parts)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part, _ in self._parts:
            part.zero_grad()

    def step(self, factor: float) -> None:
        """Update the weights with every learning rate multiplied by `factor`, which is set before the step."""
        for part, full_rate in self._parts:
            part.set_lr(full_rate * factor)
            part.step()

    def state(self) -> list[dict[str, Any]]:
        """Each optimizer's memory: numbers, and arrays by ttml's names below their kind. Empty if ttml gives none."""
        states = []
        for part, _ in self._parts:
            try:
                native = part.get_state_dict()
                states.append({kind: self._to_host(part, value) for kind, value in native.items()})
            except Exception:
                return []
        return states

    def master_weights(self) -> dict[str, Floats]:
        """The weights in full precision, where the optimizer keeps them so, by ttml's names."""
        for part, _ in self._parts:
            if _keeps_full_precision(part):
                with contextlib.suppress(Exception):
                    masters: dict[str, Floats] = self._to_host(part, part.get_state_dict()["master_weights"])
                    return masters
        return {}

    def load_state(self, states: list[dict[str, Any]]) -> bool:
        """Take back what `state` returned, in as many dicts as there are optimizers. False if ttml does not take it."""
        try:
            for (part, _), state in zip(self._parts, states, strict=True):
                live = part.get_state_dict()
                part.set_state_dict({kind: self._to_device(part, state.get(kind), live[kind]) for kind in live})
        except Exception:
            return False
        return True

    def _to_host(self, part: Any, value: Any) -> Any:
        if not hasattr(value, "items"):
            return value
        full = _keeps_full_precision(part)
        return {
            name: self._device.tensors.download_copy(tensor_of(tensor), full_precision=full)
            for name, tensor in value.items()
        }

    def _to_device(self, part: Any, value: Any, live: Any) -> Any:
        if value is None:
            return live
        if not hasattr(live, "items"):
            return type(live)(value)
        named = self._device.ttml.NamedParameters()  # ttml's own kind of mapping
        for name, tensor in live.items():  # newer kernels insist on the type that they made themselves
            full = self._device.tensors.stored_in_full(tensor_of(tensor), full_precision=_keeps_full_precision(part))
            named[name] = self._device.tensors.upload_weights(value[name], full_precision=full)
        return named


def _keeps_full_precision(optimizer: Any) -> bool:
    return type(optimizer).__name__ == "AdamWFullPrecision"


def create_optimizer(device: TtmlDevice, model: TtmlModel, training: TrainingConfig, notify: Notify) -> TtmlOptimizer:
    """The optimizer of a plan. It must be created after the weights are in place: AdamW in full precision copies
    them at that moment.
    """
    if training.optimizer == "muon":
        return _create_muon(device, model, training, notify)
    return TtmlOptimizer(
        device, [(_create_adamw(device, model.native_parameters(), training, notify), training.learning_rate)]
    )


def _create_adamw(device: TtmlDevice, parameters: Any, training: TrainingConfig, notify: Notify) -> Any:
    optimizers = device.ttml.optimizers
    values = (training.learning_rate, training.beta1, training.beta2, ADAM_EPSILON, training.weight_decay)
    has_full_precision = hasattr(optimizers, "AdamWFullPrecision")
    # Each chip would round its own copy its own way: the copies of a data-parallel run must stay equal.
    if device.chips == 1 or not has_full_precision:
        for options in (
            {"stochastic_rounding": True, "weight_decay_skip_1d": True},
            {"stochastic_rounding": True},
        ):
            try:
                config = optimizers.AdamWConfig.make(*values, **options)
            except TypeError:
                continue
            if "weight_decay_skip_1d" not in options:
                _notify_decay(training, notify)
            if device.chips > 1:
                notify(
                    "ttml-copies-drift",
                    "This ttml rounds each chip's weights stochastically on its own: the copies of the model diverge "
                    "slightly, and the first chip's copy is saved.",
                    "Update tt-metal for AdamW in full precision, or train on one chip.",
                )
            return optimizers.AdamW(parameters, config)
    _notify_decay(training, notify)
    if has_full_precision:
        return optimizers.AdamWFullPrecision(parameters, optimizers.AdamWFullPrecisionConfig.make(*values))
    notify(
        "ttml-norms-frozen",
        "This ttml has neither stochastic rounding nor AdamW in full precision: small updates to bfloat16 weights are "
        "rounded away, and the norms stay at exactly 1.",
        UPDATE_ADVICE,
    )
    return optimizers.AdamW(parameters, optimizers.AdamWConfig.make(*values))


def _create_muon(device: TtmlDevice, model: TtmlModel, training: TrainingConfig, notify: Notify) -> TtmlOptimizer:
    optimizers = device.ttml.optimizers
    muon = getattr(optimizers, "Muon", None) or getattr(optimizers, "MuonComposite", None)
    if muon is None or not hasattr(optimizers, "MuonConfig"):
        raise missing("the Muon optimizer", "Set training_config.optimizer: adamw, or update tt-metal.")
    by_muon, by_adamw = device.ttml.NamedParameters(), device.ttml.NamedParameters()
    fused = set()
    for name, tensor in model.native_parameters().items():
        tail = name.split("/")[-2]
        if tail in ("q_linear", "out_linear", "w1", "w2", "w3"):
            by_muon[name] = tensor_of(tensor)
        else:
            by_adamw[name] = tensor_of(tensor)
            if tail in ("kv_linear", "qkv_linear", "w_gate_up"):
                fused.add(tail)
    if fused:
        notify(
            "ttml-muon-partly",
            f"ttml fuses several matrices ({', '.join(sorted(fused))}). Muon would mix them, so AdamW trains them; on "
            "other devices Muon trains them too. ttml's Muon has no weight decay.",
            "No action is needed. Expect slightly different losses than with Muon on a CPU or GPU.",
        )
    config = optimizers.MuonConfig.make(training.muon_learning_rate, training.muon_momentum, NEWTON_SCHULZ_STEPS)
    adamw = _create_adamw(device, by_adamw, training, notify)
    return TtmlOptimizer(
        device, [(adamw, training.learning_rate), (muon(by_muon, config), training.muon_learning_rate)]
    )


def can_clip(device: TtmlDevice) -> bool:
    """Whether this build can clip the gradient's norm."""
    return hasattr(device.ttml.core, "clip_grad_norm")


def clip_gradients(device: TtmlDevice, model: TtmlModel, limit: float) -> float:
    """Clip the gradients to a norm of `limit` (0: do not) and return their norm before that.

    Gradients of a data-parallel run are averaged first, so that every chip clips by the same norm.
    """
    parameters = model.native_parameters()
    if device.chips > 1:
        device.ttml.core.distributed.synchronize_gradients(parameters)
    if can_clip(device):
        norm = device.ttml.core.clip_grad_norm(parameters, limit if limit > 0 else NO_CLIPPING, 2.0, False)
        return float(device.tensors.download_copy(norm).reshape(-1)[0])
    squares = 0.0
    for _, parameter in parameters.items():
        gradient = tensor_of(parameter).get_grad_tensor()
        if gradient is not None:
            squares += float(np.square(device.tensors.download_copy(gradient), dtype=np.float64).sum())
    return float(np.sqrt(squares))


def _notify_decay(training: TrainingConfig, notify: Notify) -> None:
    if training.weight_decay > 0:
        notify(
            "ttml-norms-decay",
            "This ttml cannot exclude the norms from weight decay: it pulls their scales slightly towards 0.",
            "Set training_config.weight_decay: 0.01 or lower, or update tt-metal.",
        )
