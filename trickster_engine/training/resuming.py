"""Going on with a run: what its config becomes, what is refused and why, and what the person is told.

Nothing is written here. Whatever is accepted is done from the next update on; `config/plan_values.py` says what may
change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trickster_engine.backends.base import Backend
from trickster_engine.config import check, set_values
from trickster_engine.config.overrides import find_key, with_fitting_warmup
from trickster_engine.config.plan import Plan
from trickster_engine.config.plan_values import (
    FIXED,
    PLACES,
    Change,
    Values,
    changes,
    fixed_changes,
    plan_from,
    values_of,
)
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.learning_rate import learning_rate_factor
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.checkpoint_files import (
    TrainerState,
    checkpoint_folders,
    read_state,
    step_of,
    trained_values,
)
from trickster_engine.runs.planned import CONFIG_LIMIT
from trickster_engine.runs.state import state_at
from trickster_engine.system.files import in_command, read_text
from trickster_engine.training.context import Note

#: How the learning rate continues: a schedule over all steps, down to its minimum and no further, or a new warm-up.
LearningRate = Literal["curve", "floor", "rewarm"]
_PRECISION, _COMPILE = "training_config.precision", "training_config.compile"
_MAX_STEPS, _PATIENCE = "training_config.max_steps", "training_config.early_stopping_patience"
_DECAY, _RESTART = "training_config.lr_decay_steps", "training_config.lr_restart_step"
#: What may be said of a run that has made all its steps: where its things lie.
_WHERE = (*PLACES, "data_config.tokenizer", "output_config.checkpoint_dir", "output_config.log_dir")
#: A learning rate that differs by less from what was planned is no jump.
_JUMP = 1.25


@dataclass(frozen=True)
class Progress:
    """What the newest whole checkpoint says of the run so far."""

    path: Path
    state: TrainerState
    plan: Plan | None  # None where a checkpoint of before does not say

    @property
    def step(self) -> int:
        """How many updates were made."""
        return self.state.step


@dataclass(frozen=True)
class ResumedConfig:
    """The config from now on, and what there is to say."""

    text: str
    plan: Plan
    notes: tuple[Note, ...] = ()


def progress_of(checkpoint: Path, config: Plan | None) -> Progress:
    """What a checkpoint says, filled up from the run's config where it is of before. Raises TricksterError."""
    values = trained_values(checkpoint)
    return Progress(checkpoint, read_state(checkpoint), plan_from({**(values_of(config) if config else {}), **values}))


def changed_config(
    run: RunDirectory,
    text: str,
    overrides: Mapping[str, str],
    progress: Progress | None,
    learning_rate: LearningRate | None,
) -> ResumedConfig:
    """A run's config with `overrides`, which are dotted or bare names and values as `--set` takes them.

    Raises TricksterError: fixed-for-the-run, steps-already-made, no-effect, and what is wrong with a value.
    """
    given = {find_key(name).path: value for name, value in overrides.items()}
    notes = []
    changed = set_values(text, overrides)
    changed, shortened = with_fitting_warmup(changed, overrides)
    if shortened:
        notes.append(Note("warmup-shortened", shortened[0].upper() + shortened[1:], ""))
    _refuse_invalid(run, changed, given)
    if learning_rate is not None:
        changed = _with_learning_rate(run, changed, progress, learning_rate)
    plan = run.plan_in(changed)
    _refuse_fixed(run, text, plan, given)
    for problem in check(changed).problems:
        if problem.code == "unused-key" and problem.key in given:
            raise TricksterError("no-effect", f"--set {problem.key}: {problem.message}", "Omit it.")
    if progress is not None:
        if progress.plan is not None:
            require_unchanged(values_of(progress.plan), plan, run.config_path)
        if plan.training.max_steps < progress.step:
            raise _fewer_steps(run, plan, progress)
        jump = _jump(run, plan, progress, overrides) if learning_rate is None else None
        notes += [jump] if jump else []
    return ResumedConfig(changed, plan, tuple(notes))


def nothing_left(run: RunDirectory, text: str, resumed: ResumedConfig, progress: Progress) -> Note | None:
    """What to say of a run that has ended and has nothing to go on with; None where there is something to do.

    Raises TricksterError `already-finished` where something is to change that would count for nothing.
    """
    training, state = resumed.plan.training, progress.state
    name, resume = run.id, f"trickster resume {in_command(run.path)}"
    if training.max_steps <= state.step:
        all_made = f"{name} has done all of its {state.step:,} steps"
        advice = f"To train for longer: {resume} --set {_MAX_STEPS}={state.step * 2}"
    elif 0 < training.early_stopping_patience <= state.evaluations_without_improvement:
        all_made = (
            f"{name} ended early, at step {state.step:,}: {state.evaluations_without_improvement} evaluations in a "
            "row did not improve the validation loss"
        )
        advice = f"To continue anyway: {resume} --set {_PATIENCE}=0"
    else:
        return None
    if not _has_finished(run) or not (run.path / "final").is_dir():
        return None  # the last save, evaluation or copy may be missing
    before = check(text).plan
    wanted = changes(values_of(before), values_of(resumed.plan)) if before else []
    idle = [change.key for change in wanted if change.key not in _WHERE]
    if idle:
        raise TricksterError("already-finished", f"{all_made}, so {', '.join(idle)} would change nothing.", advice)
    return None if wanted else Note("already-finished", f"{all_made}, so there is nothing to resume.", advice)


def edited_beside(run: RunDirectory, config: Path, begun: float, plan: Plan) -> Note | None:
    """What to say where the person's own config, at `config`, was given values that the run does not go on with.

    `begun` is when the run was made (unix s); a file that is older has not changed since.
    """
    try:
        if config.stat().st_mtime <= begun:
            return None
        now = check(read_text(config, CONFIG_LIMIT, follow_links=True), config.parent).plan
        first = check(read_text(_first_config(run), CONFIG_LIMIT)).plan
    except (OSError, UnicodeDecodeError):
        return None
    if now is None or first is None:
        return None
    edited = {change.key for change in changes(values_of(first), values_of(now))}
    wanted = [change for change in changes(values_of(plan), values_of(now)) if change.key in edited]
    if not wanted:
        return None
    listed = "; ".join(f"{change.key} {_shown(change.now)} ({_shown(change.before)} in the run)" for change in wanted)
    can = [change for change in wanted if not change.why_not]
    ways = []
    if can:
        sets = " ".join(f"--set {change.key}={_on_command_line(change)}" for change in can)
        ways.append(f"To resume with that: trickster resume {in_command(run.path)} {sets}")
    if len(can) < len(wanted):
        fixed = ", ".join(change.key for change in wanted if change.why_not)
        ways.append(f"{fixed} cannot change in a run; for a new one: trickster train {in_command(config)}")
    return Note(
        "config-edited",
        f"{config} now differs from this run: {listed}. A run resumes with its own copy, {run.config_path}.",
        "\n".join(ways),
    )


def require_unchanged(before: Values, plan: Plan, config_path: Path) -> None:
    """Raise TricksterError `fixed-for-the-run` where a run would go on as another one."""
    changes = fixed_changes(before, values_of(plan))
    if changes:
        old_values = ", ".join(f"{change.key}: {_shown(change.before)}" for change in changes)
        why = " ".join(dict.fromkeys(change.why_not for change in changes))
        raise TricksterError(
            "fixed-for-the-run",
            f"In {config_path} {'; '.join(map(str, changes))}. That cannot change during a run. {why}",
            f"Resume with the old value ({old_values}), or start a new run for another model, text or training method.",
        )


def settled_before(
    plan: Plan, before: Values, state: TrainerState | None, device: str
) -> tuple[str | None, bool | None]:
    """The precision, and whether it compiles, that a run keeps to; None for what its config decides from here on.

    What `auto` has found once on a kind of device stays. `before` are the values that the checkpoint was trained by.
    """
    if state is None or state.device != device:
        return None, None
    stays = [
        getattr(plan.training, key.partition(".")[2]) == "auto" == before.get(key, "auto")
        for key in (_PRECISION, _COMPILE)
    ]
    return state.precision if stays[0] else None, state.compiled if stays[1] else None


def require_done(plan: Plan, before: Values, backend: Backend) -> None:
    """Raise TricksterError `change-not-done` where a run is to compute in another way and cannot here."""
    training = plan.training
    if training.precision not in ("auto", before.get(_PRECISION, training.precision), backend.precision):
        raise _not_done(_PRECISION, training.precision, backend, f"computes in {backend.precision}")
    if training.compile == "always" != before.get(_COMPILE, "always") and not backend.compiled:
        why = "; ".join(message for _, message, _ in backend.notices()) or "does not compile the model with torch"
        raise _not_done(_COMPILE, training.compile, backend, why)


# ---------------------------------------------------------------------------------------------------------------------


def _first_config(run: RunDirectory) -> Path:
    """The text that the run began with: what resuming has changed since is kept beside it."""
    kept = {int(path.stem.rpartition("-")[2]): path for path in run.path.glob("config-until-step-*.yaml")
            if path.stem.rpartition("-")[2].isdecimal()}  # fmt: skip
    return kept[min(kept)] if kept else run.config_path


def _has_finished(run: RunDirectory) -> bool:
    """Whether the last that its trainer said is that it has come to the end. The run may be held by this process."""
    return state_at(run.events_path).status == "finished"


def _refuse_invalid(run: RunDirectory, changed: str, given: Mapping[str, str]) -> None:
    result = check(changed)
    if result.plan is not None or not given:
        return
    for key in given:
        if why := FIXED.get(key) or FIXED.get(key.partition(".")[0]):
            raise _fixed(key, why)
    first = next(problem for problem in result.problems if problem.severity == "error")
    sets = ", ".join(f"{key}={value}" for key, value in given.items())
    raise TricksterError(first.code, f"With {sets}: {first.message}", f"Nothing was changed in {run.config_path}.")


def _refuse_fixed(run: RunDirectory, text: str, plan: Plan, given: Mapping[str, str]) -> None:
    before = check(text).plan
    if before is None:
        return
    for change in changes(values_of(before), values_of(plan)):
        if change.why_not and change.key in given:
            raise _fixed(change.key, change.why_not)
    require_unchanged(values_of(before), plan, run.config_path)


def _fixed(key: str, why: str) -> TricksterError:
    return TricksterError(
        "fixed-for-the-run",
        f"{key} cannot change during a run. {why}",
        f"Resume without it, or start a new run: trickster train CONFIG --set {key}=VALUE",
    )


def _fewer_steps(run: RunDirectory, plan: Plan, progress: Progress) -> TricksterError:
    steps, path = plan.training.max_steps, in_command(run.path)
    kept = [folder.name for folder in checkpoint_folders(progress.path.parent) if step_of(folder.name) <= steps]
    saved = f"\nTo use the nearest checkpoint: trickster sample {path} --checkpoint {kept[-1]}" if kept else ""
    return TricksterError(
        "steps-already-made",
        f"{run.id} has done {progress.step:,} steps. max_steps {steps:,} asks for fewer, and training cannot be "
        "undone.",
        f"To train for longer: trickster resume {path} --set {_MAX_STEPS}={progress.step * 2}{saved}\n"
        f"For a run of {steps:,} steps: trickster train CONFIG --set {_MAX_STEPS}={steps}",
    )


def _with_learning_rate(run: RunDirectory, text: str, progress: Progress | None, how: LearningRate) -> str:
    """The text with the keys that say how the learning rate goes on."""
    plan = run.plan_in(text)
    before = progress.plan.training if progress and progress.plan else plan.training
    step = progress.step if progress else 0
    # More steps: what was planned is done first. Otherwise it changes here.
    end = max(step, before.lr_decay_steps or before.max_steps) if plan.training.max_steps > before.max_steps else step
    wanted = {
        "curve": {_DECAY: 0},
        "floor": {_DECAY: end},
        "rewarm": {_DECAY: 0, _RESTART: end},
    }[how]
    values = values_of(plan)
    changed = set_values(text, {key: str(value) for key, value in wanted.items() if values[key] != value})
    _refuse_invalid(run, changed, {key: str(value) for key, value in wanted.items() if value})
    return changed


def _jump(run: RunDirectory, plan: Plan, progress: Progress, overrides: Mapping[str, str]) -> Note | None:
    """What to say where the next update uses quite another learning rate than was planned."""
    if progress.plan is None or progress.step == 0 or progress.step >= plan.training.max_steps:
        return None
    before, now = progress.plan.training, plan.training
    last = before.learning_rate * learning_rate_factor(progress.step - 1, before)
    planned = before.learning_rate * learning_rate_factor(progress.step, before)
    rate = now.learning_rate * learning_rate_factor(progress.step, now)
    if planned / _JUMP <= rate <= planned * _JUMP:
        return None
    why = f"with max_steps {now.max_steps:,} the schedule is recomputed over the whole run"
    if now.max_steps == before.max_steps:
        why = "the config asks for another schedule"
    sets = "".join(f" --set {in_command(f'{name}={value}')}" for name, value in overrides.items())
    command = f"trickster resume {in_command(run.path)}{sets} --learning-rate"
    return Note(
        "learning-rate-jumps",
        f"The learning rate changes from {last:.3g} at step {progress.step:,} to {rate:.3g} at step "
        f"{progress.step + 1:,}: {why}.",
        f"It can stay at {now.min_learning_rate:g} instead: stop this, and {command} floor\n"
        f"Or warm up again: {command} rewarm",
    )


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _on_command_line(change: Change) -> str:
    """A value as `--set` takes it in a shell."""
    words = change.now if isinstance(change.now, str) else _shown(change.now).replace(" ", "")
    return in_command(words)


def _not_done(key: str, value: str, backend: Backend, why: str) -> TricksterError:
    return TricksterError(
        "change-not-done",
        f"{key} cannot become {value}: {backend.device} {why}.",
        "Resume without it; the run is unchanged.",
    )
