"""One run, read from its directory and kept up to date by reading only what is new."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

from trickster_engine.config.check import check
from trickster_engine.config.plan import Plan
from trickster_engine.events import FINAL_STATUSES, Event, Status
from trickster_engine.processes import is_running
from trickster_engine.runs import IDENTITY_FILE, RunDirectory, RunIdentity, read_events
from trickster_server.paths import file_key
from trickster_server.protocol import CheckpointInfo, RunInfo, RunState

logger = logging.getLogger(__name__)

READ_AT_ONCE = 256 * 1024
"""Bytes of events read in one go, so that no single message is huge and no single read is long."""


SPEEDS_KEPT = 200
PAGE = 5_000
"""Events in one answer: few enough that putting them into JSON holds nobody up."""


class Identified(NamedTuple):
    """What `run.json` says, and by what it is known that it says it still."""

    stamp: tuple[int, ...] | None = None
    identity: RunIdentity | None = None
    config_file: str | None = None


class Reading(NamedTuple):
    """What one look at a run's directory has found. Made in a thread, applied on the loop."""

    events: list[Event]
    after: int
    next: int
    live: bool
    identified: Identified
    pid: int | None
    plan: Plan | None
    pruned: frozenset[str]
    """Checkpoints that are no longer there."""
    gone: bool
    """The run is not there any more, or it is another one that has its name now."""


def is_live(directory: RunDirectory) -> bool:
    """Whether a trainer holds the run: its lock is taken, and on this machine its process is there."""
    if not directory.is_live():
        return False
    holder = directory.trainer()
    return holder is None or holder.host != platform.node() or is_running(holder)


def read_page(path: Path, after: int, limit: int) -> tuple[list[dict[str, Any]], int, bool]:
    """At most `limit` events from byte `after` on, the offset after them, and whether there are more.

    A line that is not an event is passed over, one that is still being written is left for the next time.
    """
    events: list[dict[str, Any]] = []
    try:
        with path.open("rb") as file:
            file.seek(after)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if len(events) >= limit:
                    return events, after, True
                after += len(line)
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and "kind" in event:
                    events.append(event)
    except OSError:
        pass
    return events, after, False


def plan_of(directory: RunDirectory) -> Plan | None:
    """What the run trains, from the text in its directory."""
    try:
        text = directory.config_path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    try:
        return check(text, None).plan
    except Exception:
        # The text was trained, so it is good; whatever is wrong with the look at it, the run goes on being followed.
        logger.debug("The config of %s cannot be checked", directory.path, exc_info=True)
        return None


def _is_missing(path: str | Path) -> bool:
    """Whether nothing is there. A place that may not be looked into, or that does not answer, is not missing."""
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


_STATUSES = frozenset(get_args(Status))


def _whole(value: object, otherwise: int) -> int:
    """A whole number from a file that anyone may have written."""
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _number(value: object) -> float | None:
    """A number from a file that anyone may have written."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


class FollowedRun:
    """The state of one run, folded from its events."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.next = 0
        """Offset up to which the events have been folded."""
        self.sent: int | None = None
        """Offset up to which the client has been told; None: nothing has been sent and nothing is to be."""
        self.live = False
        self.live_seen = False
        self.stop_asked = False
        """Somebody has asked the trainer to stop; it says so itself after the step that it is in."""
        self.gone = False
        self.troubled = False
        """Following it has failed, which is logged once."""
        self._pid: int | None = None
        self._identified = Identified()
        self.plan: Plan | None = None
        self.speeds: deque[float] = deque(maxlen=SPEEDS_KEPT)
        """Tokens a second, as the trainer has measured them lately."""
        self._status = "starting"
        self._created = 0.0
        self._step = 0
        self._stepped = False
        """Whether it has taken a step since it was last started."""
        self._last_step: dict[str, Any] = {}
        self._last_eval: dict[str, Any] = {}
        self._best_val_loss: float | None = None
        self._error: dict[str, Any] = {}
        self._checkpoints: dict[str, CheckpointInfo] = {}

    @property
    def run_id(self) -> str:
        """The run's name in all messages: the address of its directory."""
        return str(self.directory.path)

    @property
    def created(self) -> float:
        """When the run began, in seconds since 1970; 0 where nothing is known yet."""
        return self._created

    @property
    def identity(self) -> RunIdentity | None:
        """`run.json`."""
        return self._identified.identity

    @property
    def config_file(self) -> str | None:
        """The config it was started from, to be compared with `file_key` of another path."""
        return self._identified.config_file

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        if not self.live and self._status not in FINAL_STATUSES:
            return "interrupted"
        if self.live and (self.stop_asked or self._status in FINAL_STATUSES):
            return "stopping"  # or the last word is written, and the process is about to end
        return cast(RunState, self._status)

    @property
    def beginning(self) -> bool:
        """Whether somebody waits for its first step."""
        return self.live and not self._stepped and self._status not in FINAL_STATUSES

    @property
    def settled(self) -> bool:
        """Whether nothing is going on here: looked at seldom."""
        return not self.live

    def look(self, probe: bool) -> Reading:
        """Read what is new. Touches files only; may run in any thread. `probe` also asks whether a trainer is alive."""
        identified = self._identify()
        if self._is_gone(identified.identity):
            return Reading([], self.next, self.next, False, self._identified, None, self.plan, frozenset(), True)
        live = is_live(self.directory) if probe else self.live
        # Asked before reading: what a trainer wrote before it ended is then read in the same look.
        events, after = read_events(self.directory.events_path, self.next, READ_AT_ONCE)
        holder = self.directory.trainer() if live and self._pid is None else None
        plan = self.plan or plan_of(self.directory)
        pid = holder.pid if holder else None
        pruned = self._pruned(events, probe)
        return Reading(events, self.next, after, live, identified, pid, plan, pruned, False)

    def _identify(self) -> Identified:
        """`run.json`, read again only where it is another file than the one that was read."""
        try:
            found = os.stat(self.directory.path / IDENTITY_FILE)  # noqa: PTH116
        except OSError:
            return self._identified
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp == self._identified.stamp:
            return self._identified
        identity = self.directory.identity_if_readable()
        if identity is None:
            return self._identified
        given = identity.config_path
        return Identified(stamp, identity, file_key(given) if isinstance(given, str) else None)

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
        saved = [self._checkpoint_path(cast("dict[str, Any]", one)) for one in events if one["kind"] == "checkpoint"]
        if not (probe or saved):
            return frozenset()
        return frozenset(path for path in [*self._checkpoints, *map(str, saved)] if _is_missing(path))

    def apply(self, reading: Reading) -> bool:
        """Take over what a look has found. Returns whether a list of runs would show something else now."""
        before = self._shown()
        for event in reading.events:
            self._fold(cast("dict[str, Any]", event))
        for path in reading.pruned:
            self._checkpoints.pop(path, None)
        self.next = reading.next
        self.live = reading.live
        self.gone = reading.gone
        self._identified = reading.identified
        self.plan = reading.plan
        if reading.live:
            self.live_seen = True
            self._pid = reading.pid or self._pid
        else:
            self._pid = None
            self.stop_asked = False
        if self.identity is not None and not self._created:
            self._created = _number(self.identity.created) or 0.0
        return before != self._shown()

    def _shown(self) -> tuple[object, ...]:
        """What a list of runs is sent again for."""
        checkpoints = list(self._checkpoints.values())
        return self.state, self.live, self.identity is None, checkpoints, self._last_eval.get("step")

    def _fold(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if not self._created and isinstance(event.get("t"), (int, float)):
            self._created = float(event["t"])
        if kind == "status":
            status = event.get("status")
            if isinstance(status, str) and status in _STATUSES:
                self._status = status
            if self._status == "starting":
                self._stepped = False
            self._step = _whole(event.get("step"), self._step)
            if self._status not in FINAL_STATUSES:
                self._error = {}
        elif kind == "step":
            self._step = _whole(event.get("step"), self._step)
            self._last_step = event
            self._stepped = True
            speed = _number(event.get("tokens_per_s"))
            if speed is not None and speed > 0:
                self.speeds.append(speed)
        elif kind == "eval":
            self._last_eval = event
            loss = _number(event.get("val_loss"))
            if loss is not None:
                self._best_val_loss = loss if self._best_val_loss is None else min(self._best_val_loss, loss)
        elif kind == "checkpoint":
            self._fold_checkpoint(event)
        elif kind == "error":
            self._error = event

    def _checkpoint_path(self, event: dict[str, Any]) -> Path:
        return self.directory.path / str(event.get("path"))

    def _fold_checkpoint(self, event: dict[str, Any]) -> None:
        path = self._checkpoint_path(event)
        best = bool(event.get("best"))
        if best:
            self._checkpoints = {
                name: CheckpointInfo(one.name, one.path, one.step, one.val_loss, False)
                for name, one in self._checkpoints.items()
            }
        self._checkpoints[str(path)] = CheckpointInfo(
            path.name, str(path), _whole(event.get("step"), 0), _number(event.get("val_loss")), best
        )

    def checkpoints(self) -> list[CheckpointInfo]:
        """Complete checkpoints that were still on disk at the last look, oldest first."""
        return list(self._checkpoints.values())

    def info(self) -> RunInfo:
        """The run as a list shows it."""
        identity = self.identity
        return RunInfo(
            run_id=self.run_id,
            name=self.directory.path.name,
            run_directory=str(self.directory.path),
            config_path=identity.config_path if identity else None,
            state=self.state,
            live=self.live,
            created=self._created,
            next=self.next,
            step=self._step,
            max_steps=self.plan.training.max_steps if self.plan else None,
            train_loss=_number(self._last_step.get("loss")),
            val_loss=_number(self._last_eval.get("val_loss")),
            val_step=_whole(self._last_eval.get("step"), 0) if self._last_eval else None,
            best_val_loss=self._best_val_loss,
            tokens_per_second=_number(self._last_step.get("tokens_per_s")),
            eta_seconds=_number(self._last_step.get("eta_s")) if self.live else None,
            parameters=identity.parameters if identity else None,
            backend=identity.backend if identity else None,
            device=identity.device if identity else None,
            precision=identity.precision if identity else None,
            baselines=identity.baselines if identity else {},
            data=identity.data if identity else {},
            pid=self._pid,
            error=self._error.get("message"),
            advice=self._error.get("advice"),
            error_code=self._error.get("code"),
            checkpoints=self.checkpoints(),
        )
