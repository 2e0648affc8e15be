"""What one checkpoint holds: written, read, and compared with what the run's config.yaml says by now."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.plan_values import Values, canonical, fixed_changes, parse_values, plan_from, values_of
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.model.checksums import TRAINER_FOLDER, damaged, no_checkpoint, seal
from trickster_engine.model.huggingface import open_model, read_model_config, write_model
from trickster_engine.model.stored_arrays import UNREADABLE, Array, StoredArrays, save_arrays
from trickster_engine.system.files import read_json, read_text

STATE_FILE = "state.json"
#: The plan that the checkpoint was trained by. Of one that has none, `config.json` tells the shape of the model.
PLAN_FILE = "plan.json"
CARD_FILE = "README.md"
OPTIMIZER_STEM = "optimizer"
RANDOM_STEM = "random"
NAME = re.compile(r"step-[0-9]{6,18}")


@dataclass(frozen=True)
class TrainerState:
    """What the loop needs to go on as if it had never stopped. Losses in nats."""

    step: int
    data_fingerprint: str
    device: str  # tt, cuda, mps or cpu
    precision: str
    compiled: bool = False
    last_eval_step: int = -1
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_losses: dict[str, float] = field(default_factory=dict)  # checkpoint folder name -> val_loss
    evaluations_without_improvement: int = 0

    @property
    def best_checkpoint(self) -> str | None:
        """The name of the checkpoint with the lowest validation loss."""
        return min(self.best_val_losses, key=lambda name: self.best_val_losses[name], default=None)

    @property
    def current_val_loss(self) -> float | None:
        """The validation loss of this very step, if it was measured."""
        return self.val_loss if self.last_eval_step == self.step else None


class Continuation(NamedTuple):
    """What a trainer goes on with, beside the weights and the text."""

    state: TrainerState
    optimizer_state: Mapping[str, Array]
    random_state: Mapping[str, Array]


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read and verified."""

    path: Path
    config: ModelConfig
    weights: Mapping[str, Array]
    optimizer_state: Mapping[str, Array]
    random_state: Mapping[str, Array]
    state: TrainerState


def checkpoint_name(step: int) -> str:
    """`step-001000`: padded, so that names sort as numbers do."""
    return f"step-{step:06d}"


def step_of(name: str) -> int:
    """The step in a checkpoint's name."""
    return int(name.removeprefix("step-"))


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first, whole or not. A copy that somebody made under another name is none."""
    found = (path for path in folder.glob("step-*") if NAME.fullmatch(path.name) and not path.is_symlink())
    return sorted(found, key=lambda path: step_of(path.name))


def write_checkpoint(
    folder: Path,
    run_uid: str,
    step: int,
    plan: Plan,
    weights: Mapping[str, Array],
    tokenizer: Tokenizer,
    continuation: Continuation | None,
    card: str = "",
) -> None:
    """Write a checkpoint into an empty folder and seal it; without a continuation, a model that is done learning.

    `card` is what its README.md says, for people and for model hubs.

    Raises OSError.
    """
    trainer = folder / TRAINER_FOLDER
    trainer.mkdir()
    write_model(folder, plan.model, weights, plan.sampling, tokenizer.special_ids)
    tokenizer.save(folder)
    if continuation is not None:
        save_arrays(trainer, OPTIMIZER_STEM, continuation.optimizer_state)
        save_arrays(trainer, RANDOM_STEM, continuation.random_state)
        state = json.dumps(asdict(continuation.state), indent=2) + "\n"
        (trainer / STATE_FILE).write_text(state, encoding="utf-8")
    if card:
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
    (trainer / PLAN_FILE).write_text(canonical(plan), encoding="utf-8")
    seal(folder, run_uid, step)


def read_verified(path: Path) -> Checkpoint:
    """Read a checkpoint whose sums have just been found right. Raises TricksterError."""
    trainer = path / TRAINER_FOLDER
    config, weights = open_model(path)
    try:
        return Checkpoint(
            path=path,
            config=config,
            weights=weights,
            optimizer_state=StoredArrays(trainer, OPTIMIZER_STEM),
            random_state=dict(StoredArrays(trainer, RANDOM_STEM)),
            state=read_state(path),
        )
    except OSError as error:
        raise no_checkpoint(path, error) from error
    except UNREADABLE as error:
        raise damaged(path, str(error)) from error


def read_state(path: Path) -> TrainerState:
    """What a checkpoint's trainer knew. Raises TricksterError."""
    try:
        return _as_state(read_json(path / TRAINER_FOLDER / STATE_FILE))
    except OSError as error:
        raise no_checkpoint(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"{STATE_FILE}: {error}") from error


def trained_values(folder: Path) -> Values:
    """What is known of the plan that a checkpoint was trained by. Raises TricksterError."""
    try:
        return parse_values(read_text(folder / TRAINER_FOLDER / PLAN_FILE))
    except FileNotFoundError:
        shape = asdict(read_model_config(folder))
        del shape["dropout"]  # no part of a model that is done learning
        return {f"model_config.{name}": value for name, value in shape.items()}
    except OSError as error:
        raise no_checkpoint(folder, error) from error
    except (ValueError, RecursionError) as error:
        raise damaged(folder, f"{PLAN_FILE}: {error}") from error


def plan_as_trained(folder: Path, plan: Plan) -> tuple[Plan, str | None]:
    """A run's plan with what its checkpoint knows better, and a note where config.yaml says otherwise by now.

    Raises TricksterError.
    """
    before = trained_values(folder)
    changes = fixed_changes(before, values_of(plan))
    if not changes:
        return plan, None
    changed = plan_from({**values_of(plan), **{change.key: change.before for change in changes}})
    differing = "; ".join(map(str, changes))
    note = f"In config.yaml {differing} when {folder.name} was trained. The checkpoint's values are used."
    return changed or plan, note


def _as_state(values: Mapping[str, Any]) -> TrainerState:
    """Keys of newer versions are passed over. Raises ValueError, TypeError or AttributeError."""
    known = {name.name for name in fields(TrainerState)}
    state = TrainerState(**{name: value for name, value in values.items() if name in known})
    counts = (state.step, state.last_eval_step + 1, state.evaluations_without_improvement)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("a count is not an integer")
    texts = (state.data_fingerprint, state.device, state.precision)
    if not all(isinstance(text, str) for text in texts) or not isinstance(state.compiled, bool):
        raise ValueError("a value has the wrong type")
    losses = (state.train_loss, state.val_loss, *state.best_val_losses.values())
    if not all(loss is None or (isinstance(loss, (int, float)) and math.isfinite(loss)) for loss in losses):
        raise ValueError("a loss is not a number")
    if not all(NAME.fullmatch(name) for name in state.best_val_losses) or None in state.best_val_losses.values():
        raise ValueError("best_val_losses lists something that is not a checkpoint")
    return state
