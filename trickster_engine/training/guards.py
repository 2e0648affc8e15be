"""When training goes wrong: notice it, and say what to change."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from trickster_engine.backends.base import StepResult
from trickster_engine.config.plan import Plan
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.model.checksums import FileSum, read_manifest
from trickster_engine.runs import IDENTITY_FILE, RunDirectory, link_in_run
from trickster_engine.system.files import NotAPlainFileError, in_command
from trickster_engine.system.os_errors import is_disk_full, reason, remedy


def not_finite(step: int, result: StepResult, plan: Plan) -> TricksterError:
    """The error for a loss or gradient that is NaN or infinite."""
    training = plan.training
    what = "loss" if not math.isfinite(result.loss) else "gradient"
    value = result.loss if what == "loss" else result.grad_norm
    advice = [f"Lower training_config.learning_rate from {training.learning_rate:g} to {training.learning_rate / 3:g}"]
    if training.grad_clip == 0:
        advice.append("enable gradient clipping with grad_clip: 1.0")
    if training.warmup_steps < training.max_steps // 20:
        advice.append(f"use a longer warm-up (warmup_steps: {max(1, training.max_steps // 10)})")
    if training.precision != "fp32":
        advice.append("or train with precision: fp32")
    return TricksterError(
        "loss-not-finite",
        f"The {what} became {value} in step {step + 1}. Training stopped before that update, so the weights are good.",
        ", ".join(advice) + ".",
        EXIT_TRAINING_FAILED,
    )


def not_finite_evaluation(step: int, val_loss: float) -> TricksterError:
    """The error for a model whose predictions are no longer numbers."""
    return TricksterError(
        "loss-not-finite",
        f"The validation loss at step {step} is {val_loss}: the weights overflowed: training diverged.",
        "Lower training_config.learning_rate threefold and start again; the last checkpoint is from before.",
        EXIT_TRAINING_FAILED,
    )


#: A rate and a gradient that leave a mark. An update moves a weight by about the rate, and the weights of any model
#: that are nearest to zero show that: below 1e-4 in bfloat16, below 3e-3 in float32. Smaller rates, as at the end of a
#: cosine that falls to zero, may be rounded away and are judged by nothing.
_TELLING_RATE = {"tt": 1e-6}
_TELLING_RATE_ELSEWHERE = 1e-10
_TELLING_GRADIENT = 1e-6


class StillWeights:
    """Notices a checkpoint with the weights of the one before, although training has moved them in between.

    A device can hand out an old copy: the loss falls, and what is saved has learned nothing. Both checkpoints are
    compared by the sums of their files.
    """

    def __init__(self, plan: Plan, device: str, before: Mapping[str, FileSum], step: int) -> None:
        """`before` are the sums of the checkpoint of `step`, which training goes on from; empty: there is none."""
        self._plan = plan
        self._device = device
        self._before, self._step = before, step
        self._telling = 0

    def update(self, factor: float, result: StepResult) -> None:
        """Note one update that was made."""
        rate = factor * self._plan.training.learning_rate
        telling = rate >= _TELLING_RATE.get(self._device, _TELLING_RATE_ELSEWHERE)
        self._telling += telling and result.grad_norm >= _TELLING_GRADIENT

    def refuse(self, step: int, folder: Path) -> None:
        """Raise TricksterError where the checkpoint in `folder` has the weights of the one before."""
        if self._telling and self._before and weight_sums(folder) == self._before:
            raise _unmoved(self._step, step, self._telling, self._device)

    def saved(self, step: int, folder: Path) -> None:
        """Go on from a checkpoint that was written, or none where this process does not write them."""
        self._before, self._step, self._telling = weight_sums(folder), step, 0


def weight_sums(folder: Path) -> dict[str, FileSum]:
    """The sums of the files that hold a checkpoint's weights; empty where it has none that can be read."""
    try:
        files = read_manifest(folder).files
    except TricksterError:
        return {}
    return {name: file for name, file in files.items() if name.endswith(".safetensors") and "/" not in name}


def _unmoved(before: int, step: int, updates: int, device: str) -> TricksterError:
    if device == "tt":
        advice = (
            "Some builds of ttml return an old copy of the weights: run `trickster doctor --self-test`, attach its "
            "report to an issue, and train with another build of tt-metal or on another device."
        )
    else:
        advice = (
            "This is a bug in Trickster, or in torch on this device: report it with log.txt, or train on another "
            "device."
        )
    return TricksterError(
        "weights-not-moving",
        f"The weights read at step {step} are, bit for bit, those of the checkpoint at step {before}, although "
        f"{updates} update{'s' if updates > 1 else ''} with a learning rate above zero were made in between. The "
        f"weights read are not the trained ones, so step {step} is not saved.",
        advice,
        EXIT_TRAINING_FAILED,
    )


def stuck_at_start(step: int, val_loss: float, plan: Plan) -> tuple[str, str] | None:
    """A message and advice where the loss has not left ln V long after it should have, else None."""
    start = math.log(plan.model.vocab_size)
    long_enough = max(200, 2 * plan.training.warmup_steps)
    if step < long_enough or val_loss < 0.95 * start:
        return None
    rate = plan.training.learning_rate
    return (
        f"After {step} steps the validation loss is {val_loss:.2f}, about the uniform-prediction loss (ln "
        f"{plan.model.vocab_size} = {start:.2f}): the model is not learning.",
        f"Raise training_config.learning_rate (now {rate:g}) threefold, and check that the corpus is the right text "
        "(trickster prepare) and that hidden_dim and num_layers are not tiny.",
    )


def explain(error: BaseException, plan: Plan, run: RunDirectory | None = None) -> TricksterError | None:
    """Turn a failure of the machine into words, or None where it is a defect of ours.

    `run` is named where there is something to go on with: one that has not begun is begun again.
    """
    if isinstance(error, TricksterError):
        return error
    if is_out_of_memory(error):
        training, model = plan.training, plan.model
        half = max(1, training.batch_size // 2)
        return TricksterError(
            "out-of-memory",
            "The device ran out of memory.",
            f"Lower training_config.batch_size from {training.batch_size} to {half} and raise "
            f"gradient_accumulation_steps from {training.gradient_accumulation_steps} to "
            f"{training.gradient_accumulation_steps * training.batch_size // half} (the same update with half the "
            f"activations), or lower model_config.max_seq_len from {model.max_seq_len} to "
            f"{max(1, model.max_seq_len // 2)}.",
            EXIT_TRAINING_FAILED,
        )
    if isinstance(error, NotAPlainFileError):
        refused = link_in_run(Path(error.filename), error)  # put there since training began
        return TricksterError(refused.code, refused.message, refused.advice, EXIT_TRAINING_FAILED)
    if isinstance(error, OSError):
        return _cannot_go_on(error, run)
    return None


def _cannot_go_on(error: OSError, run: RunDirectory | None) -> TricksterError:
    begun = run is not None and os.path.lexists(run.path / IDENTITY_FILE)
    go_on = f"resume with: trickster resume {in_command(run.path)}" if run and begun else "start again"
    if is_disk_full(error):
        kept = "the last checkpoint is complete" if begun else "nothing was trained yet"
        return TricksterError(
            "disk-full",
            f"The disk is full. Training stopped; {kept}.",
            f"Free some space, then {go_on}",
            EXIT_TRAINING_FAILED,
        )
    return TricksterError(
        "cannot-write",
        f"Cannot write {error.filename or 'the run directory'}: {reason(error)}.",
        f"{remedy(error, 'choose another folder in output_config')}; then {go_on}",
        EXIT_TRAINING_FAILED,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on the device or on the host."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in ("OutOfMemoryError", "_ArrayMemoryError")
        or "can't allocate memory" in text
        or "out of memory" in text.lower()
    )
