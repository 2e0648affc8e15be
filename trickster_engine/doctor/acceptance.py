"""What a device must do before it is trusted with a run, one check a claim. torch on the CPU says what is right.

Every read of the weights is asked for, not believed: builds of ttml exist that hand out an old copy. A device that
passes has computed, updated, handed out and taken back what torch would have, to the precision of bfloat16.
"""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.base import Batch, StepResult
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.backends.ttml.weights import round_to_bf16
from trickster_engine.config.plan import DeviceConfig, ModelConfig, Plan, TrainingConfig
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits
from trickster_engine.errors import TricksterError
from trickster_engine.model.llama import Llama

Weights = dict[str, NDArray[np.float32]]
Outcome = tuple[bool, str, dict[str, Any]]

#: A board: 20 updates of two layers.
BOARD_PLAN = Plan(
    model=ModelConfig(
        vocab_size=256, hidden_dim=128, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=256, max_seq_len=64,
        dropout=0.0,
    ),
    training=TrainingConfig(
        batch_size=4, gradient_accumulation_steps=1, max_steps=20, warmup_steps=0, learning_rate=3e-3,
    ),
    device=DeviceConfig("tt"),
)  # fmt: skip

#: A simulated chip, where a step of even this may take minutes: 4 updates of one layer. The preset `sim` in small.
SIMULATED_PLAN = dataclasses.replace(
    BOARD_PLAN,
    model=dataclasses.replace(
        BOARD_PLAN.model, vocab_size=64, num_layers=1, mlp_dim=96, max_seq_len=32,
    ),
    training=dataclasses.replace(BOARD_PLAN.training, batch_size=2, max_steps=4),
)  # fmt: skip

#: How far a loss in bfloat16 may be from torch's, as a share: half a step of bfloat16, and what the logits may differ.
LOSS_TOLERANCE = 0.03
NORM_TOLERANCE = 0.1
#: The cosine between the device's first update and torch's. Signs of gradients near zero come out either way.
LEAST_AGREEMENT = 0.6
#: How far a training curve may be from torch's, in nats, on average and after a resume.
CURVE_TOLERANCE = 0.1
#: How far weights may end from those of the first time, as a share of the way they went. They are rounded at random.
RESUME_TOLERANCE = 0.3


@dataclass
class Check:
    """One thing that was tried. `figures` are what was measured."""

    name: str
    passed: bool
    message: str
    seconds: float
    figures: dict[str, Any] = field(default_factory=dict)


class Acceptance:
    """The checks, in the order in which one builds on another. `backend` is closed by `close`."""

    def __init__(
        self, plan: Plan, say: Callable[[str], None], progress: Callable[[list[Check]], None] = lambda _: None
    ) -> None:
        """`progress` is given all checks so far after each: a device that hangs leaves what came before."""
        self.plan = plan
        self.checks: list[Check] = []
        self.versions: dict[str, str] = {}
        self._say, self._progress = say, progress
        self._backend: TtmlBackend | None = None
        self._torch = TorchBackend(plan, "cpu", "fp32", False)
        self._kept: tuple[Weights, Any, Any] | None = None
        self._after_kept: list[float] = []
        self._last: Weights | None = None

    def run(self) -> list[Check]:
        """Try everything. Whatever fails, the rest is tried as well, if the device opens at all."""
        if self._attempt("open", self._open):
            for name, action in self._actions():
                self._attempt(name, action)
        return self.checks

    def close(self) -> None:
        """Give the device back."""
        if self._backend is not None:
            self._backend.close()
        self._torch.close()

    def _actions(self) -> Iterator[tuple[str, Callable[[], Outcome]]]:
        yield "weights", self._weights
        yield "logits", self._logits
        yield "loss", self._loss
        yield "gradient", self._gradient
        yield "rate", self._rate
        yield "fresh reads", self._fresh_reads
        yield "update", self._update
        yield "trained weights", self._trained_weights
        yield "training", self._training
        yield "checkpoint", self._checkpoint
        yield "resume", self._resume

    def _attempt(self, name: str, action: Callable[[], Outcome]) -> bool:
        self._say(f"{name} …")
        began = time.perf_counter()
        try:
            passed, message, figures = action()
        except TricksterError as error:
            passed, message, figures = False, str(error), {"code": error.code}
        except Exception as error:
            passed, message, figures = False, f"{type(error).__name__}: {error}", {"trace": traceback.format_exc()}
        self.checks.append(Check(name, bool(passed), message, round(time.perf_counter() - began, 2), figures))
        self._progress(self.checks)
        return passed

    # --- what is computed --------------------------------------------------------------------------------------------

    def _open(self) -> Outcome:
        self._backend = TtmlBackend(self.plan, report=self._say)
        self.versions = dict(self._backend.versions)
        notices = [{"code": code, "message": message} for code, message, _ in self._backend.notices()]
        return True, f"{self._backend.device} is open and has compiled its kernels", {"notices": notices}

    def _weights(self) -> Outcome:
        sent = telling_weights(self.plan.model)
        self._load(sent)
        found = self._device.weights()
        wrong = [name for name in sent if not np.array_equal(found[name], round_to_bf16(sent[name]))]
        message = f"{len(sent) - len(wrong)} of {len(sent)} come back unchanged, rounded to bfloat16"
        return not wrong, message, {"wrong": wrong[:8]}

    def _logits(self) -> Outcome:
        weights = telling_weights(self.plan.model)
        self._load(weights)
        error = self._logit_error(weights)
        allowed = f"(bfloat16 allows {TOLERANCE:.0%}, a layout mistake gives over 40 %)"
        return error <= TOLERANCE, f"they differ from torch's by {error:.2%} {allowed}", {"relative_error": error}

    def _loss(self) -> Outcome:
        device, torch = self._both_step(self._load_both(self._start()), 0)
        error = abs(device.loss - torch.loss) / torch.loss
        message = f"{device.loss:.4f} nats on the device, {torch.loss:.4f} in torch"
        return error <= LOSS_TOLERANCE, message, {"device": device.loss, "torch": torch.loss}

    def _gradient(self) -> Outcome:
        self._load_both(self._start())
        found = [self._both_step(None, 0) for _ in range(2)]
        errors = [abs(device.grad_norm - torch.grad_norm) / torch.grad_norm for device, torch in found]
        norms = ", then ".join(f"{device.grad_norm:.4f}" for device, _ in found)
        message = f"its norm is {norms} on the device, and {found[0][1].grad_norm:.4f} in torch both times"
        return max(errors) <= NORM_TOLERANCE, message, {"relative_errors": errors}

    # --- what is updated ---------------------------------------------------------------------------------------------

    def _rate(self) -> Outcome:
        before = self._load(self._start())
        self._device.step([self._lesson(0)], 0.0)
        moved = _moved(before, self._device.weights())
        return (
            not moved,
            (f"an update with a learning rate of zero changes {len(moved)} of {len(before)} tensors"),
            {"moved": moved},
        )

    def _fresh_reads(self) -> Outcome:
        before = self._load(self._start())
        self._device.weights()  # a second read may not fix what the next one sees
        self._device.step([self._lesson(0)], 1.0)
        moved = [name for name in _moved(before, self._device.weights()) if "norm" not in name]
        matrices = [name for name in before if "norm" not in name]
        message = f"after one update {len(moved)} of {len(matrices)} matrices have changed when read back"
        return len(moved) == len(matrices), message, {"moved": moved}

    def _update(self) -> Outcome:
        before = self._load_both(self._start())
        self._both_step(None, 0, factor=1.0)
        device = _concatenated(_difference(self._device.weights(), before))
        torch = _concatenated(_difference(dict(self._torch.weights()), before))
        size = float(np.linalg.norm(device) * np.linalg.norm(torch))
        agreement = float(device @ torch) / size if size else 0.0
        ratio = float(np.linalg.norm(device) / np.linalg.norm(torch))
        message = (
            f"the first one has the direction of torch's (cosine {agreement:.3f}) and is {ratio:.2f} times as long"
        )
        passed = agreement >= LEAST_AGREEMENT and 0.7 <= ratio <= 1.4
        return passed, message, {"cosine": agreement, "ratio": ratio}

    def _trained_weights(self) -> Outcome:
        self._load(self._start())
        untrained = self._device.logits(self._tokens())
        for step in range(max(2, self.plan.training.max_steps // 2)):
            self._device.step([self._lesson(step)], 1.0)
        weights = self._device.weights()
        error = self._logit_error(weights)
        changed = relative_error(untrained, self._device.logits(self._tokens()))
        x, y = self._lesson(1000)
        device = _cross_entropy(self._device.logits(x), y)
        torch = _cross_entropy(torch_logits(self.plan.model, weights, x), y)
        passed = error <= TOLERANCE < changed and abs(device - torch) <= LOSS_TOLERANCE * torch
        message = (
            f"torch on the weights that were read differs from the device by {error:.2%} in its logits and has a loss "
            f"of {torch:.4f}, the device {device:.4f}; training has changed the logits by {changed:.0%}"
        )
        return passed, message, {"relative_error": error, "device": device, "torch": torch, "changed": changed}

    def _training(self) -> Outcome:
        self._load_both(self._start())
        steps = self.plan.training.max_steps
        losses, reference, seconds = [], [], []
        for step in range(steps):
            if step == steps // 2:
                self._kept = self._saved()
            began = time.perf_counter()
            losses.append(self._device.step([self._lesson(step)], 1.0).loss)
            seconds.append(time.perf_counter() - began)
            reference.append(self._torch.step([self._lesson(step)], 1.0).loss)
        self._after_kept = losses[steps // 2 :]
        self._last = self._device.weights()
        guess = math.log(self.plan.model.vocab_size)
        apart = float(np.mean(np.abs(np.array(losses) - reference)))
        passed = losses[-1] < losses[0] and abs(losses[0] - guess) < 1.0 and apart <= CURVE_TOLERANCE
        message = (
            f"the loss went from {losses[0]:.3f} (uniform prediction: {guess:.2f}) to {losses[-1]:.3f} in {steps} "
            f"steps, {apart:.3f} nats from torch's curve"
        )
        figures = {"losses": losses, "torch": reference, "seconds_a_step": float(np.median(seconds))}
        return passed, message, figures

    # --- what is kept ------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> Outcome:
        if self._kept is None:
            return False, "training did not get far enough to save a checkpoint", {}
        earlier, later = self._kept, self._saved()
        moved = [name for name in _moved(earlier[0], later[0]) if "norm" not in name]
        back = []
        for weights, state, random in (earlier, later):
            self._device.load(weights, state, random)
            self._device.notices()
            kept = self._device.optimizer_state()
            same = not _moved(weights, self._device.weights())
            state_same = set(kept) == set(state) and all(np.array_equal(kept[key], state[key]) for key in state)
            back.append(same and state_same)
        held = "with" if earlier[1] else "without"
        message = (
            f"two of one run differ in {len(moved)} matrices; {sum(back)} of 2 come back bit for bit, {held} the "
            "optimizer state"
        )
        return bool(moved) and all(back), message, {"moved": moved, "optimizer_arrays": len(earlier[1])}

    def _resume(self) -> Outcome:
        if self._kept is None or self._last is None:
            return False, "training did not get far enough to resume", {}
        steps = self.plan.training.max_steps
        self._device.load(*self._kept)
        lost = [code for code, _, _ in self._device.notices() if code == "optimizer-state-lost"]
        again = [self._device.step([self._lesson(step)], 1.0).loss for step in range(steps // 2, steps)]
        apart = float(np.max(np.abs(np.array(again) - self._after_kept)))
        way = _concatenated(_difference(self._last, self._kept[0]))
        off = _concatenated(_difference(self._device.weights(), self._last))
        astray = float(np.linalg.norm(off) / max(float(np.linalg.norm(way)), 1e-12))
        message = (
            f"after resuming in the middle, the losses are within {apart:.3f} nats of uninterrupted training's, and "
            f"the weights at the end differ by {astray:.0%} of the way they moved"
        )
        passed = apart <= CURVE_TOLERANCE and astray <= RESUME_TOLERANCE and not lost
        figures = {"losses": again, "astray": astray}
        return passed, message + (", but the optimizer state is lost" if lost else ""), figures

    # --- shared ------------------------------------------------------------------------------------------------------

    @property
    def _device(self) -> TtmlBackend:
        if self._backend is None:
            raise RuntimeError("the device is not open")
        return self._backend

    def _start(self) -> Weights:
        """What a run starts from: random weights, here already in the precision that the device keeps them in."""
        model = Llama(self.plan.model).initialize(self.plan.training.seed)
        return {name: round_to_bf16(tensor.numpy()) for name, tensor in model.state_dict().items()}

    def _load(self, weights: Weights) -> Weights:
        """Put weights on the device, with an empty memory, and read them."""
        self._device.load(weights, {}, {})
        self._device.notices()
        return self._device.weights()

    def _load_both(self, weights: Weights) -> Weights:
        self._torch = TorchBackend(self.plan, "cpu", "fp32", False)
        self._torch.load(weights, {}, {})
        return self._load(weights)

    def _both_step(self, _: Weights | None, step: int, factor: float = 0.0) -> tuple[StepResult, StepResult]:
        return (
            self._device.step([self._lesson(step)], factor),
            self._torch.step([self._lesson(step)], factor),
        )

    def _saved(self) -> tuple[Weights, Any, Any]:
        state = {name: np.array(array) for name, array in self._device.optimizer_state().items()}
        return self._device.weights(), state, self._device.random_state()

    def _tokens(self) -> NDArray[np.int64]:
        return some_tokens(self.plan.model, self.plan.training.batch_size)

    def _logit_error(self, weights: Weights) -> float:
        tokens = self._tokens()
        return relative_error(self._device.logits(tokens), torch_logits(self.plan.model, weights, tokens))

    def _lesson(self, step: int) -> Batch:
        """Sequences that count upwards from somewhere: easily learned, and never the same."""
        rows, length = self.plan.training.batch_size, self.plan.model.max_seq_len
        starts = np.random.default_rng(step).integers(0, 32, (rows, 1))
        tokens = (starts + np.arange(length + 1)) % 32
        return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)


def _moved(before: Weights, after: Weights) -> list[str]:
    return [name for name in before if not np.array_equal(before[name], after[name])]


def _difference(after: Weights, before: Weights) -> Weights:
    return {name: after[name] - before[name] for name in before}


def _concatenated(arrays: Weights) -> NDArray[np.float64]:
    return np.concatenate([array.reshape(-1).astype(np.float64) for array in arrays.values()])


def _cross_entropy(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    import torch

    flat = torch.from_numpy(logits).flatten(0, -2)
    return torch.nn.functional.cross_entropy(flat, torch.from_numpy(targets).flatten()).item()
