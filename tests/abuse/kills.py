"""Kills a training with SIGKILL, at every step of its saves and at random moments, and resumes it to its end.

    python -m tests.abuse.kills 200 [--seed 1] [--json FILE]

Two thirds of the kills come at random moments. The others are aimed: just before each rename, unlink, mkdir, truncate
and fsync of a save, and in the middle of a write. Nothing that was saved may be lost, and the end must be the same to
the bit as that of a run that nothing has disturbed.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.command import options_of, run_as_command
from tests.abuse.faults import CHANGES, STEPS, Answer, Fault, read_trace
from tests.abuse.place import Place, events_of, saved_steps, story_of

#: Other calls of a save at which nothing is renamed, but something may be half done.
HALVES = ("write", "open")
OPS = (*CHANGES, "fsync")


@dataclass(frozen=True)
class Kill:
    """Where one kill comes. `begin`: from the beginning, or from a run that was stopped in mid-evaluation."""

    begin: str  # fresh | stopped
    mode: str  # kill-before | torn | random
    at: int = 0
    what: str = ""
    after_s: float = 0.0
    again_after_s: float | None = None  # killed once more while it resumes

    def __str__(self) -> str:
        where = f"{self.mode} call {self.at} ({self.what})" if self.at else f"after {self.after_s:.3f} s"
        return f"{self.begin}: {where}" + (f", again after {self.again_after_s:.3f} s" if self.again_after_s else "")


@dataclass
class Result:
    """What became of one kill."""

    kill: Kill
    killed: bool = False
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    resumed_from: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.different or self.unexpected)


class Killer:
    """Kills the trainings of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        place.stop_in_evaluation()
        self._stopped = place.folder / "stopped-run"
        shutil.rmtree(self._stopped, ignore_errors=True)
        shutil.copytree(place.run, self._stopped)
        self._wholes = {name: self._undisturbed(name) for name in ("fresh", "stopped")}

    def _undisturbed(self, begin: str) -> float:
        answer = self._begin(begin, None)
        assert answer.code == 0, answer.err
        assert not self.place.reference.differences(story_of(self.place.run)), "stopping alone makes another run of it"
        return answer.seconds

    def _begin(self, begin: str, fault: Fault | None, **options: Any) -> Answer:
        self.place.clear()
        if begin == "fresh":
            return self.place.train(fault, **options)
        shutil.copytree(self._stopped, self.place.run)
        return self.place.resume(fault, **options)

    def _fault(self, at: int, mode: str, trace: Path | None = None) -> Fault:
        return Fault([self.place.runs], OPS, at=at, mode=mode, trace=trace)

    def points(self, begin: str) -> list[Kill]:
        """Every step of every save of a run, and the writes and opens between."""
        trace = self.place.folder / "trace"
        trace.unlink(missing_ok=True)
        answer = self._begin(begin, self._fault(0, "off", trace))
        assert answer.code == 0, answer.err
        calls = read_trace(trace)
        kills = []
        for call in calls:
            name = str(Path(call.path).relative_to(self.place.runs)) if call.path != str(self.place.runs) else "."
            what = f"{call.op} {name}"
            if call.op in STEPS:
                kills.append(Kill(begin, "kill-before", call.number, what))
            elif call.op in HALVES:
                kills.append(Kill(begin, "torn" if call.op == "write" else "kill-before", call.number, what))
        return kills

    def aimed(self, count: int, chooser: random.Random) -> list[Kill]:
        """`count` aimed kills: first the steps of the saves that replace and drop others, then of all, then writes."""
        points = {begin: self.points(begin) for begin in ("stopped", "fresh")}
        steps = [kill for begin in points for kill in points[begin] if kill.what.split()[0] in STEPS]
        halves = [kill for begin in points for kill in points[begin] if kill.what.split()[0] not in STEPS]
        first = [kill for kill in steps if kill.begin == "stopped"]
        others = [kill for kill in steps if kill.begin == "fresh"]
        chooser.shuffle(others)
        chooser.shuffle(halves)
        if count < len(first):
            first = sorted(chooser.sample(first, count), key=lambda kill: kill.at)
        mixed = [kill for pair in zip(others, halves, strict=False) for kill in pair]
        return [*first, *mixed, *others[len(halves) :]][:count]

    def random(self, count: int, chooser: random.Random) -> list[Kill]:
        """`count` kills at random moments; every fifth run is killed once more while it resumes."""
        kills = []
        for number in range(count):
            begin = "stopped" if number % 3 == 2 else "fresh"
            again = chooser.uniform(0.02, self._wholes["stopped"]) if number % 5 == 4 else None
            after = chooser.uniform(0.02, self._wholes[begin])
            kills.append(Kill(begin, "random", after_s=after, again_after_s=again))
        return kills

    def kill(self, kill: Kill) -> Result:
        """Kill, resume to the end, and look."""
        result = Result(kill)
        if kill.at:
            answer = self._begin(kill.begin, self._fault(kill.at, kill.mode))
        else:
            answer = self._begin(kill.begin, None, kill_after=kill.after_s)
        result.killed = answer.killed
        if not answer.killed and (answer.code != 0 or kill.at):
            result.unexpected.append(f"not killed: code {answer.code}: {answer.err[-500:]}")
        self._resume_to_the_end(kill, result)
        if not result.unexpected:
            result.different = self.place.reference.differences(story_of(self.place.run))
            left = [path.name for path in self.place.run.rglob("*") if path.name.endswith(".tmp")]
            if left:
                result.unexpected.append(f"left behind: {left}")
        return result

    def _resume_to_the_end(self, kill: Kill, result: Result) -> None:
        place = self.place
        listing = place.host.run("runs", place.runs)
        if listing.code != 0:
            result.unexpected.append(f"runs: code {listing.code}: {listing.err[-500:]}")
        saved = max(saved_steps(events_of(place.run)), default=0)
        lines = len(events_of(place.run))
        if kill.again_after_s is not None:
            place.resume(kill_after=kill.again_after_s)
            later = events_of(place.run)
            self._look_where_it_began(later[lines:], saved, result)
            saved, lines = max(saved_steps(later), default=0), len(later)
        answer = place.resume()
        if answer.code == 1 and not saved:  # nothing had been saved: the advice is to start again
            if answer.traceback:
                result.unexpected.append(answer.err[-500:])
            place.clear()
            answer = place.train()
            lines = 0
        if answer.code != 0:
            kind = result.lost if saved else result.unexpected
            kind.append(f"resume: code {answer.code}: {answer.err[-800:]}")
            return
        self._look_where_it_began(events_of(place.run)[lines:], saved, result)

    @staticmethod
    def _look_where_it_began(events: list[dict[str, Any]], saved: int, result: Result) -> None:
        begun = next((event["step"] for event in events if event["kind"] == "status"), None)
        if begun is None:
            return
        result.resumed_from = begun
        if begun < saved:
            result.lost.append(f"saved up to step {saved}, went on from step {begun}")


def run(place: Place, count: int, seed: int, aimed_share: float = 1 / 3, say: bool = False) -> list[Result]:
    """`count` kills, at least `aimed_share` of them aimed."""
    killer, chooser = Killer(place), random.Random(seed)
    aimed = killer.aimed(-int(-count * aimed_share // 1), chooser)
    kills = [*aimed, *killer.random(count - len(aimed), chooser)]
    results = []
    for number, kill in enumerate(kills, start=1):
        result = killer.kill(kill)
        results.append(result)
        if say and not result.good:
            print(f"{number}: {kill}\n    " + "\n    ".join(result.lost + result.unexpected + result.different))
        elif say and number % 50 == 0:
            print(f"{number} kills", flush=True)
    return results


def summary(results: list[Result]) -> dict[str, Any]:
    """The figures."""
    aimed = [result for result in results if result.kill.at]
    return {
        "kills": sum(result.killed for result in results),
        "cases": len(results),
        "aimed": len(aimed),
        "aimed at": dict(Counter(result.kill.what.split()[0] for result in aimed)),
        "killed once more while resuming": sum(result.kill.again_after_s is not None for result in results),
        "lost": sum(bool(result.lost) for result in results),
        "different": sum(bool(result.different) for result in results),
        "unexpected": sum(bool(result.unexpected) for result in results),
        "faults": [{**asdict(result), "kill": str(result.kill)} for result in results if not result.good],
    }


def main() -> int:
    parser = options_of(__doc__, 200)
    parser.add_argument("--aimed", type=float, default=1 / 3, metavar="SHARE", help="share of aimed kills, 0 to 1")
    return run_as_command(
        parser,
        lambda options, folder, host: summary(
            run(Place(folder / "place", host), options.count, options.seed, options.aimed, say=True)
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
