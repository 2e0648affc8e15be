"""How a resumed run computes: as before, or as its config has asked since, and never otherwise than that says."""

from __future__ import annotations

from trickster_engine.backends.base import Backend
from trickster_engine.config.canonical import Values
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.training.checkpoint_files import TrainerState

_PRECISION, _COMPILE = "training_config.precision", "training_config.compile"


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


def _not_done(key: str, value: str, backend: Backend, why: str) -> TricksterError:
    return TricksterError(
        "change-not-done",
        f"{key} cannot become {value}: {backend.device} {why}.",
        "Resume without it; the run is unchanged.",
    )
