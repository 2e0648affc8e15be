"""Training, whole, on one page: batches, updates, evaluations, samples, checkpoints, stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trickster_engine.backends.base import Backend, Batch, NonFiniteError
from trickster_engine.config.plan import Plan
from trickster_engine.data.background_counting import Counting
from trickster_engine.data.batches import evenly_spaced_windows, training_batches, validation_windows
from trickster_engine.data.dataset import Dataset
from trickster_engine.estimates.learning_rate import learning_rate_factor
from trickster_engine.inference.sampling import SamplingOptions, sample
from trickster_engine.runs.checkpoint_files import Continuation, TrainerState, checkpoint_name
from trickster_engine.runs.diagnosis import Diagnosis
from trickster_engine.runs.event_types import Event
from trickster_engine.training import guards
from trickster_engine.training.alerts import Alerts, free_bytes
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.meter import Meter
from trickster_engine.training.recorder import Recorder
from trickster_engine.training.rescue import RunTakenAwayError, RunWatch

#: Tokens of training text evaluated in the same way as the validation text, so that overfitting shows.
TRAIN_PROBE_TOKENS = 16384
#: Nothing is kept for a backward pass, so small batches may be larger here.
EVALUATED_TOKENS_AT_ONCE = 2048
#: Windows of each text that layers are measured on, and the most tokens of each: next to what an evaluation reads, that
#: is little, and more windows say the same.
LAYER_WINDOWS, LAYER_TOKENS = 4, 256


def is_evaluated(step: int, plan: Plan) -> bool:
    """Whether the model is measured after so many updates."""
    return step % plan.training.eval_interval == 0 or step == plan.training.max_steps


class _StopRequested(Exception):
    """Somebody asked for a stop."""


@dataclass
class Trainer:
    """One run in progress. `state` says where it is; everything else stays the same from step to step."""

    plan: Plan
    dataset: Dataset
    backend: Backend
    checkpoints: CheckpointStore
    recorder: Recorder
    stop_requested: Callable[[], bool]
    state: TrainerState
    watch: RunWatch
    saved_step: int = 0
    #: The checkpoint that training goes on from, if any.
    resumed_from: Path | None = None
    #: Whoever counts the baselines beside training, where they are not known.
    counting: Counting | None = None
    #: Whether what the run's figures show to be wrong is told; a run that is broken on purpose keeps it to itself.
    tell_findings: bool = True

    def __post_init__(self) -> None:
        before = guards.weight_sums(self.resumed_from) if self.resumed_from else {}
        self._alerts = Alerts(self.plan.alerts, lambda: free_bytes(self.checkpoints.folder))
        self._still = guards.StillWeights(self.plan, self.state.device, before, self.state.step)
        self._layers = self.backend.layer_watch if self.plan.training.layer_statistics else None
        self._diagnosis = Diagnosis(self.plan)

    def train(self) -> Literal["finished", "stopped"]:
        """Go on from `state.step` to the plan's last step, an early stop, or a request to stop; saves at the end.

        Raises TricksterError where the loss is no longer finite, RunTakenAwayError where the run is gone, OSError
        where nothing can be written.
        """
        training = self.plan.training
        tokenizer = self.dataset.tokenizer
        batches = training_batches(self.plan, self.dataset.train, tokenizer.vocab_size, tokenizer.end_id)
        accumulation = training.gradient_accumulation_steps
        outcome: Literal["finished", "stopped"] = "finished"
        try:
            if self.state.last_eval_step != self.state.step:  # random weights, or stopped in mid-evaluation
                self._evaluate_if_due()
            self.recorder.status("training", self.state.step)
            meter = Meter(self.plan)
            while self.state.step < training.max_steps and not self._out_of_patience():
                step = self.state.step
                factor = learning_rate_factor(step, training)
                micro_batches = [batches.batch(step, index, accumulation) for index in range(accumulation)]
                if self._layers is not None and is_evaluated(step + 1, self.plan):
                    self._layers.watch_next_update()
                try:
                    result = self.backend.step(micro_batches, factor)
                except NonFiniteError as error:
                    raise guards.not_finite(step, error.result, self.plan) from error
                self.dataset.verification.require()
                self.state = replace(self.state, step=step + 1)
                self._still.update(factor, result)
                for notice in self.backend.notices():
                    self.recorder.warning(*notice)
                self._note_baselines()

                meter.add(result.loss, result.grad_norm)
                if meter.due(step + 1):
                    event = self.recorder.step(meter.lap(step + 1, factor * training.learning_rate))
                    self._note(event)
                    for alert in self._alerts.step(event):
                        self.recorder.warning(*alert)
                with meter.paused():
                    self._evaluate_if_due()
                    if (step + 1) % training.save_interval == 0:
                        self._save()
                if self.stop_requested():
                    raise _StopRequested
        except _StopRequested:
            self.recorder.stopping(self.state.step)
            outcome = "stopped"
        self.watch.require()
        self._save()
        self._note_baselines(wait=outcome == "finished")
        return outcome

    def _note_baselines(self, *, wait: bool = False) -> None:
        if self.counting is not None and (nats := self.counting.take(wait=wait)):
            self.recorder.baselines(self.state.step, nats)

    def _evaluate_if_due(self) -> None:
        """Measure both losses, write a sample, and save if this is one of the best."""
        plan, state, length = self.plan, self.state, self.plan.model.max_seq_len
        if not is_evaluated(state.step, plan):
            return
        self.recorder.status("evaluating", state.step)
        rows = max(plan.training.batch_size, EVALUATED_TOKENS_AT_ONCE // length)
        x, y = evenly_spaced_windows(self.dataset.train, length, max(1, TRAIN_PROBE_TOKENS // length))
        probe = ((x[first : first + rows], y[first : first + rows]) for first in range(0, len(x), rows))
        val_loss = self.backend.evaluate(
            self._until_stopped(validation_windows(self.dataset.measured_val, length, rows))
        )
        train_loss = self.backend.evaluate(self._until_stopped(probe))
        if not math.isfinite(val_loss):
            raise guards.not_finite_evaluation(state.step, val_loss)
        self._note(self.recorder.evaluation(state.step, train_loss, val_loss))
        for alert in self._alerts.evaluation(train_loss, val_loss):
            self.recorder.warning(*alert)
        text = sample(
            self.backend.sampling_model(),
            self.dataset.tokenizer,
            plan.sampling.prompt,
            SamplingOptions.from_config(plan.sampling),
            should_stop=self.stop_requested,
        )
        self.recorder.sample(state.step, plan.sampling.prompt, text)
        if self._layers is not None:
            self._note(self.recorder.layers(state.step, self._layers.measure(*self._layer_samples())))
        if not self._diagnosis.named and (warning := guards.stuck_at_start(state.step, val_loss, plan)):
            self.recorder.warning("loss-not-falling", *warning)

        best_so_far = min(state.best_val_losses.values(), default=math.inf)
        improved = val_loss < best_so_far - plan.training.early_stopping_min_delta
        ranked = sorted({**state.best_val_losses, checkpoint_name(state.step): val_loss}.items(), key=lambda x: x[1])
        best = dict(ranked[: plan.training.keep_best_n])
        self.state = replace(
            state,
            last_eval_step=state.step,
            train_loss=train_loss,
            val_loss=val_loss,
            # Random weights are worth a sample, not a place on the disk.
            best_val_losses=best if state.step > 0 else {},
            evaluations_without_improvement=0 if improved else state.evaluations_without_improvement + 1,
        )
        if checkpoint_name(state.step) in self.state.best_val_losses:
            self.saved_step = -1  # a checkpoint of this step that is there already knows nothing of this evaluation
            self._save()
        self.recorder.status("training", state.step)

    def _layer_samples(self) -> tuple[Batch, Batch]:
        """A little of the training and of the validation text."""
        training, validation = self.dataset.train, self.dataset.measured_val
        length = min(self.plan.model.max_seq_len, LAYER_TOKENS, len(training) - 1, len(validation) - 1)
        return (
            evenly_spaced_windows(training, length, LAYER_WINDOWS),
            evenly_spaced_windows(validation, length, LAYER_WINDOWS),
        )

    def _note(self, event: Event) -> None:
        """Tell what an event shows to be wrong."""
        for finding in self._diagnosis.feed(event):
            if self.tell_findings:
                self.recorder.warning(*finding)

    def _until_stopped(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            if self.stop_requested():
                raise _StopRequested
            yield batch

    def _save(self) -> None:
        """Write a checkpoint of this step, unless there is one."""
        state = self.state
        if self.saved_step == state.step:
            return
        self.dataset.verification.require(wait=True)  # nothing is kept of what damaged text has taught
        self.watch.require()
        try:
            path = self.save_into(self.checkpoints, lambda folder: self._still.refuse(state.step, folder))
        except OSError as error:
            if self.watch.explains(error):
                raise RunTakenAwayError from error
            raise
        self.saved_step = state.step
        self._still.saved(state.step, path)
        self.recorder.checkpoint(state.step, path, state.current_val_loss, path.name == state.best_checkpoint)

    def save_into(self, checkpoints: CheckpointStore, refuse: Callable[[Path], None] = lambda _: None) -> Path:
        """Write a checkpoint of this step into a store, unless `refuse` raises at what was written."""
        backend = self.backend
        return checkpoints.save(
            self.plan,
            backend.weights(),
            self.dataset.tokenizer,
            Continuation(self.state, backend.optimizer_state(), backend.random_state()),
            refuse,
        )

    def _out_of_patience(self) -> bool:
        patience = self.plan.training.early_stopping_patience
        if patience == 0 or self.state.evaluations_without_improvement < patience:
            return False
        self.recorder.warning(
            "early-stop",
            f"The validation loss has not improved in {patience} evaluations: training ends at step {self.state.step}.",
            "The best checkpoint is kept. Set early_stopping_patience: 0 to train to the last step.",
        )
        return True
