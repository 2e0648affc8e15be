"""Moves, renames, replaces and deletes what a trainer writes into, while it trains.

    python -m tests.abuse.moved [--json FILE]

The trainer is stopped by a signal just before it writes a given event, the folder is changed, and the trainer goes on:
no waiting, no chance. It must end with an exit code and words that say what happened; every step that was saved, and
the step that was in memory, can be gone on from, wherever it lies now, to the same end.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.command import options_of, run_as_command
from tests.abuse.faults import Answer, Fault, read_trace
from tests.abuse.place import Place, events_of, saved_steps, story_of

#: Events of the undisturbed run, as (kind or status, step), before which the mishap comes.
MOMENTS = (("training", 0), ("step", 3), ("evaluating", 4), ("checkpoint", 6), ("step", 9))
#: The only things in which a run that goes on somewhere else may differ from the undisturbed one.
ELSEWHERE = ("events: ", "states: best.json", "states: latest.json")


@dataclass
class Move:
    """One change at one moment, and what came of it."""

    name: str
    moment: tuple[str, int]
    code: int | None = None
    said: str = ""
    saved: int = 0
    went_on_from: int | None = None
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name} before {self.moment}: code {self.code}, {self.said}: {'; '.join(self.faults)[:1500]}"


def _moved(place: Place) -> None:
    (place.folder / "elsewhere").mkdir()
    place.run.rename(place.folder / "elsewhere/tiny-001")


def _renamed(place: Place) -> None:
    place.run.rename(place.runs / "renamed")


def _output_renamed(place: Place) -> None:
    place.runs.rename(place.folder / "elsewhere")


def _deleted(place: Place) -> None:
    shutil.rmtree(place.run)


def _replaced_by_copy(place: Place) -> None:
    place.run.rename(place.runs / "original")
    shutil.copytree(place.runs / "original", place.run)


def _replaced_by_empty(place: Place) -> None:
    place.run.rename(place.runs / "original")
    place.run.mkdir()


def _lock_deleted(place: Place) -> None:
    (place.run / "lock").unlink()


def _lock_replaced(place: Place) -> None:
    text = (place.run / "lock").read_text(encoding="utf-8")
    (place.run / "lock").unlink()
    (place.run / "lock").write_text(text, encoding="utf-8")


def _checkpoints_moved(place: Place) -> None:
    if (place.run / "checkpoints").exists():
        (place.run / "checkpoints").rename(place.folder / "kept")


def _events_deleted(place: Place) -> None:
    (place.run / "events.jsonl").unlink()


def _checkpoints_linked(place: Place) -> None:
    folder = place.folder / "stranger"
    folder.mkdir()
    if (place.run / "checkpoints").exists():
        (place.run / "checkpoints").rename(place.folder / "kept")
    (place.run / "checkpoints").symlink_to(folder)


#: What is done, and whether the trainer may go on to its end all the same.
MOVES: dict[str, tuple[Callable[[Place], None], bool]] = {
    "run moved": (_moved, False),
    "run renamed": (_renamed, False),
    "output folder renamed": (_output_renamed, False),
    "run deleted": (_deleted, False),
    "run replaced by a copy": (_replaced_by_copy, False),
    "run replaced by an empty folder": (_replaced_by_empty, False),
    "lock deleted": (_lock_deleted, False),
    "lock replaced": (_lock_replaced, False),
    "checkpoints moved away": (_checkpoints_moved, True),
    "checkpoints replaced by a link": (_checkpoints_linked, True),
    "events deleted": (_events_deleted, False),
}


class Mover:
    """Runs a place's training up to a moment, and changes its folders there."""

    def __init__(self, place: Place) -> None:
        self.place = place
        trace = place.folder / "trace"
        place.clear()
        assert place.train(Fault([place.run / "events.jsonl"], ["write"], trace=trace)).code == 0
        self._events = events_of(place.run)
        assert len(read_trace(trace)) == len(self._events)

    def at(self, moment: tuple[str, int]) -> int:
        """The number of the write that comes at a moment."""
        kind, step = moment
        return 1 + next(
            number
            for number, event in enumerate(self._events)
            if event.get("step") == step and kind in (event["kind"], event.get("status"))
        )

    def move(self, move: Move) -> None:
        """Train, stop, change, go on, look, and go on to the end from what is left."""
        place = self.place
        place.clear()
        for name in ("elsewhere", "kept", "stranger"):
            shutil.rmtree(place.folder / name, ignore_errors=True)
        fault = Fault([place.run / "events.jsonl"], ["write"], at=self.at(move.moment), mode="stop")
        answer = place.train(fault)
        assert answer.stopped, answer.err
        move.saved = max(saved_steps(events_of(place.run)), default=0)
        change, may_end = MOVES[move.name]
        change(place)
        answer = place.host.go_on(timeout=60)
        move.code, move.said = answer.code, answer.error_code
        self._look(move, answer, may_end)
        listing = place.host.run("runs", place.runs)
        if listing.traceback or listing.code != 0:
            move.faults.append(f"runs: {listing.err[-500:]}")
        self._go_on(move)

    def _look(self, move: Move, answer: Answer, may_end: bool) -> None:
        if answer.code is None:
            move.faults.append("it hung")
        elif answer.traceback:
            move.faults.append(f"traceback: {answer.err[-900:]}")
        elif answer.code == 0 and not may_end:
            move.faults.append("it says that it has finished")
        elif answer.code not in (0, 4) or (answer.code and move.said in ("nothing", "unexpected", "system-refused")):
            move.faults.append(f"no right word: code {answer.code}: {answer.err[-500:]}")
        stranger = self.place.folder / "stranger"
        if stranger.exists() and any(stranger.iterdir()):
            move.faults.append(f"written through a link: {[path.name for path in stranger.iterdir()]}")

    def _go_on(self, move: Move) -> None:
        """From whichever run or checkpoint lies furthest on: nothing saved is gone, and the end is the same."""
        place = self.place
        deleted = move.name == "run deleted"
        runs = [path.parent for path in place.folder.rglob("events.jsonl") if path.parent.parent != place.folder]
        reached: dict[Path, int] = {}
        for run in runs:
            steps = [int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")]
            reached[run] = max(steps, default=0)
        here = place.run / "checkpoints"
        if here.is_symlink():  # the person takes the link away and puts them back
            here.unlink()
            reached[place.run] = 0
        if (place.folder / "kept").exists():
            for path in (place.folder / "kept").glob("step-*"):
                if not (here / path.name).exists():
                    here.mkdir(exist_ok=True)
                    path.rename(here / path.name)
            reached[place.run] = max((int(path.name[5:]) for path in here.glob("step-*")), default=0)
        wanted = 0 if deleted and move.moment == ("training", 0) else move.saved
        best = max(reached, key=lambda run: reached[run], default=None)
        if best is None or reached[best] < wanted:
            move.faults.append(f"lost: step {wanted} was saved, and step {best and reached[best]} is what is left")
            return
        if not reached[best]:
            return
        move.went_on_from = reached[best]
        answer = place.resume(run=best)
        if answer.code != 0:
            move.faults.append(f"lost: {best.name} cannot be gone on with: {answer.code}: {answer.err[-700:]}")
            return
        theirs, ours = story_of(best), place.reference
        for name, found in theirs.sums.items():
            if name in ours.sums and ours.sums[name] != found:
                move.faults.append(f"different: {name}")


def all_moves() -> list[Move]:
    """Every change at every moment."""
    return [Move(name, moment) for name in MOVES for moment in MOMENTS]


def run(place: Place, moves: list[Move], say: bool = False) -> list[Move]:
    """Every move, each in a run of its own."""
    mover = Mover(place)
    for move in moves:
        mover.move(move)
        if say and move.faults:
            print(move, flush=True)
    return moves


def summary(moves: list[Move]) -> dict[str, Any]:
    """The figures."""
    return {
        "moves": len(moves),
        "lost": sum(any(fault.startswith("lost") for fault in move.faults) for move in moves),
        "different": sum(any(fault.startswith("different") for fault in move.faults) for move in moves),
        "tracebacks": sum(any("traceback" in fault for fault in move.faults) for move in moves),
        "wrong": sum(bool(move.faults) for move in moves),
        "by move": {
            f"{move.name}, before {' '.join(map(str, move.moment))}": [
                f"code {move.code}", move.said, f"saved {move.saved}", f"goes on from {move.went_on_from}",
            ]
            for move in moves
        },
        "faults": [str(move) for move in moves if move.faults],
    }  # fmt: skip


def main() -> int:
    return run_as_command(
        options_of(__doc__, seed=False),
        lambda _options, folder, host: summary(run(Place(folder / "place", host), all_moves(), say=True)),
    )


if __name__ == "__main__":
    sys.exit(main())
