"""One run, read from its directory and kept up to date by reading only what is new."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trickster_engine.config.plan import Plan
from trickster_engine.runs import Piece, RunDirectory, RunIdentity, RunState, read_ends, read_piece
from trickster_engine.runs.event_types import Event
from trickster_engine.runs.skim import skim
from trickster_engine.runs.state import RESUMABLE, Standing
from trickster_engine.system.processes import is_running
from trickster_server.lsp.messages.notifications import EventParams
from trickster_server.lsp.messages.runs import AgentAction, CheckpointInfo, Notice, RunInfo, RunProgress
from trickster_server.runs.metadata import Identified, Planned, identify, look_at_plan, phases_of

READ_AT_ONCE = 256 * 1024
"""Bytes of events read in one go, so that no single message is huge and no single read is long."""
GLANCE = 1_024
"""Bytes at the end of a run's events that say where it stands, until there is time to read them all."""


class Reading(NamedTuple):
    """What one look at a run's directory has found. Made in a thread, applied on the loop."""

    piece: Piece
    """New events for the state."""
    unsent: Piece
    """New events for the client; the same, unless it lags behind."""
    live: bool
    identified: Identified
    planned: Planned
    pid: int | None
    pruned: frozenset[str]
    """Checkpoints that are no longer there."""


def is_live(directory: RunDirectory) -> bool:
    """Whether a trainer holds the run: its lock is taken, and on this machine its process is there."""
    if not directory.is_live():
        return False
    holder = directory.trainer()
    return holder is None or holder.host != platform.node() or is_running(holder)


def _is_missing(path: str | Path) -> bool:
    """Whether nothing is there. A place that may not be looked into, or that does not answer, is not missing."""
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


class FollowedRun:
    """One run: its state, kept up to date, and how far the client has heard of it.

    All that reads files may run in a thread; what is read is applied on the loop.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.sent: int | None = None
        """Offset up to which the client has been told; None: nothing has been sent and nothing is to be."""
        self.caught_up = True
        """Whether the state is that of all events, and not only of the first and the last of them."""
        self.live = False
        self.stop_asked = False
        """Somebody has asked the trainer to stop; it says so itself after the step that it is in."""
        self.troubled = False
        """Following it has failed, which is logged once."""
        self.said_left_out = False
        self._pid: int | None = None
        self._identified = Identified()
        self._planned = Planned()
        self._state = RunState()
        self._catching_up: Iterator[Piece] | None = None
        self._caught = RunState()

    @property
    def run_id(self) -> str:
        """The run's name in all messages: the address of its directory."""
        return str(self.directory.path)

    @property
    def next(self) -> int:
        """Offset up to which the events have been folded."""
        return self._state.read

    @property
    def left_out(self) -> int:
        """Lines of its events that were not understood."""
        return self._state.left_out

    @property
    def created(self) -> float:
        """When the run began, in seconds since 1970; 0 where nothing is known yet."""
        return self._state.created or (self.identity.created if self.identity is not None else 0.0)

    @property
    def identity(self) -> RunIdentity | None:
        """`run.json`."""
        return self._identified.identity

    @property
    def config_file(self) -> str | None:
        """The config it was started from, to be compared with `file_key` of another path."""
        return self._identified.config_file

    @property
    def plan(self) -> Plan | None:
        """What it trains; None also until there was time to look."""
        return self._planned.plan

    @property
    def planned(self) -> bool:
        """Whether there was time to look at what it trains."""
        return self._planned.checked

    @property
    def speeds(self) -> Sequence[float]:
        """Tokens a second, as the trainer has measured them lately."""
        return self._state.speeds

    @property
    def state(self) -> Standing:
        """Where the run stands."""
        return "stopping" if self.live and self.stop_asked else self._state.standing(live=self.live)

    @property
    def resumable(self) -> bool:
        """Whether it can go on: from its newest checkpoint, or from the start where it has none yet."""
        return self.state in RESUMABLE and self.identity is not None

    @property
    def beginning(self) -> bool:
        """Whether somebody waits for its first step."""
        return self.live and not self._state.stepped and not self._state.ended

    # ---- in a thread -------------------------------------------------------------------------------------------------

    def glance(self) -> None:
        """Take from a run's first and last events what a list shows. Only for a run that nobody else holds yet."""
        self._find_trainer(is_live(self.directory))
        self._state.take(read_ends(self.directory.events_path, GLANCE)._replace(left_out=0))
        self.caught_up = False
        for pruned in self._pruned((), probe=True):
            del self._state.checkpoints[pruned]

    def catch_up(self, until: float, tail: int = 0) -> bool:
        """Read a run from its beginning to its end, at most until that moment; called again, go on from there.

        Of the last `tail` bytes every event counts, for `speeds`; of older ones some do.
        Returns whether the end was reached: what was found can be taken over then.
        """
        if self._catching_up is None:
            self._identified = identify(self.directory, self._identified)
            self._planned = look_at_plan(self.directory, self._planned, check=False)
            self._catching_up, self._caught = skim(self.directory.events_path, tail), RunState()
        for piece in self._catching_up:
            self._caught.take(piece)
            if time.monotonic() > until:
                return False
        self._catching_up = None
        for path in [path for path in self._caught.checkpoints if _is_missing(self.directory.path / path)]:
            del self._caught.checkpoints[path]
        return True

    def take_over(self) -> None:
        """Make what `catch_up` has found the state of the run."""
        self._state, self._caught = self._caught, RunState()
        self.caught_up = True

    def look(self, probe: bool) -> Reading | None:
        """Read what is new; None where the run is gone. `probe` also asks whether a trainer is alive."""
        live = is_live(self.directory) if probe else self.live
        # Asked before reading: what a trainer wrote before it ended is then read in the same look.
        piece = read_piece(self.directory.events_path, self.next, READ_AT_ONCE)
        # And after it: whose events these are, should another run have taken the name meanwhile.
        identified = identify(self.directory, self._identified)
        if self._is_gone(identified.identity):
            return None
        lags = self.sent is not None and self.sent != self.next
        unsent = read_piece(self.directory.events_path, self.sent or 0, READ_AT_ONCE) if lags else piece
        holder = self.directory.trainer() if live and self._pid is None else None
        planned = look_at_plan(self.directory, self._planned, check=self._planned.checked)
        pruned = self._pruned(piece.events, probe)
        return Reading(piece, unsent, live, identified, planned, holder.pid if holder else None, pruned)

    def check_plan(self) -> Planned:
        """Look at what the run trains, which takes a moment."""
        return look_at_plan(self.directory, self._planned, check=True)

    def has_changed(self) -> bool:
        """Whether there may be something new of a run that nobody trained at the last look; costs next to nothing."""
        try:
            return os.stat(self.directory.events_path).st_size != self.next  # noqa: PTH116
        except OSError:
            return True

    def _is_gone(self, identity: RunIdentity | None) -> bool:
        known = self.identity
        if known is not None and identity is not None and identity is not known and identity.created != known.created:
            return True
        try:
            size = os.stat(self.directory.events_path).st_size  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return self.next > 0 or _is_missing(self.directory.path)
        except OSError:
            return False
        return size < self.next  # events are only ever added: these are another run's

    def _pruned(self, events: Sequence[Event], probe: bool) -> frozenset[str]:
        saved = [one["path"] for one in events if one["kind"] == "checkpoint"]
        if not (probe or saved):
            return frozenset()
        paths = [*self._state.checkpoints, *saved]
        return frozenset(path for path in paths if _is_missing(self.directory.path / path))

    # ---- on the loop -------------------------------------------------------------------------------------------------

    def apply(self, reading: Reading) -> bool:
        """Take over what a look has found. Returns whether a list of runs would show something else now."""
        before = self._shown()
        self._state.take(reading.piece)
        for path in reading.pruned:
            self._state.checkpoints.pop(path, None)
        self._identified = reading.identified
        self._planned = reading.planned
        self._find_trainer(reading.live, reading.pid)
        return before != self._shown()

    def lose(self) -> None:
        """The run is not there any more, or another one has its name now."""
        self._find_trainer(False)

    def take_plan(self, planned: Planned) -> None:
        """Take over what a look at the config has found."""
        self._planned = planned

    def message(self, reading: Reading) -> EventParams | None:
        """What the client is to hear of a look that was applied; None where there is nothing."""
        after, unsent = self.sent, reading.unsent
        if after is None or unsent.after <= after:
            return None
        self.sent = unsent.after
        return EventParams(self.run_id, after, unsent.after, list(map(dict, unsent.events)), self.progress())

    def _find_trainer(self, live: bool, pid: int | None = None) -> None:
        self.live = live
        if live:
            self._pid = pid or self._pid
        else:
            self._pid = None
            self.stop_asked = False

    def _shown(self) -> tuple[object, ...]:
        """What a list of runs is sent again for."""
        state = self._state
        evaluated = state.last_eval["step"] if state.last_eval else None
        checkpoints = list(state.checkpoints.values())
        return self.state, self.live, self.identity is None, checkpoints, evaluated, self._planned

    def checkpoints(self) -> list[CheckpointInfo]:
        """Complete checkpoints that were still on disk at the last look, oldest first."""
        return [
            CheckpointInfo(path.name, str(path), one["step"], one["val_loss"], one["best"])
            for one in self._state.checkpoints.values()
            for path in [self.directory.path / one["path"]]
        ]

    def progress(self) -> RunProgress:
        """What its events have come to."""
        state = self._state
        step, evaluation, error = state.last_step, state.last_eval, state.error
        return RunProgress(
            next=self.next,
            state=self.state,
            live=self.live,
            resumable=self.resumable,
            step=state.step,
            train_loss=step["loss"] if step else None,
            val_loss=evaluation["val_loss"] if evaluation else None,
            val_step=evaluation["step"] if evaluation else None,
            best_val_loss=state.best_val_loss if self.caught_up else None,
            evaluations=state.times_evaluated if self.caught_up else None,
            tokens_per_second=step["tokens_per_s"] if step else None,
            eta_seconds=step["eta_s"] if step and self.live else None,
            seconds=state.seconds if self.caught_up else None,
            error=error["message"] if error else None,
            advice=error["advice"] if error else None,
            error_code=error["code"] if error else None,
            notices=[Notice(one["kind"], one["code"], one["message"], one["advice"]) for one in state.notices],
            actions=[AgentAction(one["action"], one["origin"], one["step"]) for one in state.actions],
            baselines=state.baselines or (self.identity.baselines if self.identity else {}),
        )

    def info(self) -> RunInfo:
        """The run as a list shows it."""
        identity = self.identity
        return RunInfo(
            **vars(self.progress()),
            run_id=self.run_id,
            name=self.directory.id,
            run_directory=self.run_id,
            config_path=self._identified.config_path,
            created=self.created,
            max_steps=self._planned.steps,
            phases=phases_of(self.plan) if self.plan else [],
            parameters=identity.parameters if identity else None,
            backend=identity.backend if identity else None,
            device=identity.device if identity else None,
            precision=identity.precision if identity else None,
            bytes_per_token=identity.bytes_per_token if identity else None,
            own_text=identity is not None and identity.own_text,
            data=identity.data if identity else {},
            pid=self._pid,
            checkpoints=self.checkpoints(),
        )
