"""Lets the disk fail while a run is trained: no room, no inodes, and errors at any single call.

    python -m tests.abuse.disk 200 [--seed 1] [--json FILE]

Whatever the disk does, the run ends with an exit code and words that say what happened, or goes on to its end; and once
the disk is well again, nothing that was saved is lost and the end is the same to the bit.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.command import options_of, run_as_command
from tests.abuse.faults import CHANGES, Answer, Call, Fault, Host, build, read_trace
from tests.abuse.place import Place, events_of, saved_steps, story_of
from trickster_engine.model.checksums import verify

OPS = (*CHANGES, "fsync", "close")
#: What each call may answer. `close` reports what a network file system could not write.
ERRORS = {
    "open": ("ENOSPC", "EIO", "EROFS", "ESTALE", "EDQUOT", "EMFILE"),
    "write": ("ENOSPC", "EIO", "EROFS", "ESTALE", "EDQUOT"),
    "rename": ("ENOSPC", "EIO", "EROFS", "ESTALE"),
    "unlink": ("EIO", "EROFS", "ESTALE"),
    "rmdir": ("EIO", "EROFS", "ESTALE"),
    "mkdir": ("ENOSPC", "EIO", "EROFS", "ESTALE", "EDQUOT"),
    "truncate": ("ENOSPC", "EIO", "EROFS"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "ESTALE"),
    "close": ("EIO", "ENOSPC", "EDQUOT"),
}
MODES = ("fail", "fail-once", "short")
#: What a command says of such a disk, in the code in brackets.
FULL = ("ENOSPC", "EDQUOT")


@dataclass
class Mishap:
    """One call that fails, and what came of it."""

    call: Call
    error: str
    mode: str
    code: int | None = None
    said: str = ""
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        where = Path(self.call.path).name
        head = f"{self.error} at call {self.call.number} ({self.call.op} {where}), {self.mode}"
        return f"{head}: code {self.code}, {self.said}: {'; '.join(self.faults)[:1500]}"


def calls_of_a_run(place: Place) -> list[Call]:
    """Everything that a run does to its disk."""
    trace = place.folder / "trace"
    trace.unlink(missing_ok=True)
    place.clear()
    answer = place.train(Fault([place.runs], OPS, trace=trace))
    assert answer.code == 0, answer.err
    return read_trace(trace)


def chosen(calls: list[Call], count: int, chooser: random.Random) -> list[Mishap]:
    """`count` mishaps, each kind of call as often as the others."""
    by_op: dict[str, list[Call]] = {}
    for call in calls:
        by_op.setdefault(call.op, []).append(call)
    mishaps = []
    for number in range(count):
        op = sorted(by_op)[number % len(by_op)]
        call = chooser.choice(by_op[op])
        modes = MODES if op == "write" else MODES[:2]
        mishaps.append(Mishap(call, chooser.choice(ERRORS[op]), chooser.choice(modes)))
    return mishaps


def strike(place: Place, mishap: Mishap) -> None:
    """Let it happen, then mend the disk and go on."""
    place.clear()
    error = getattr(errno, mishap.error)
    answer = place.train(Fault([place.runs], OPS, at=mishap.call.number, mode=mishap.mode, errno=error))
    mishap.code, mishap.said = answer.code, answer.error_code
    mishap.faults += wrong_words(answer, mishap.error)
    mishap.faults += go_on(place, answer)


def wrong_words(answer: Answer, error: str) -> list[str]:
    """What is wrong with how a command ended."""
    found = []
    if answer.traceback:
        return [f"traceback: {answer.err[-900:]}"]
    if answer.code is None:
        return ["it hung"]
    said = answer.error_code
    if answer.code == 0:
        return []
    if answer.code not in (1, 4):
        found.append(f"code {answer.code}: {answer.err[-300:]}")
    if said in ("nothing", "unexpected", "system-refused"):
        found.append(f"no right word: {answer.err[-500:]}")
    if error in FULL and "full" not in said and "room" not in answer.err:
        found.append(f"a full disk was called {said}: {answer.err[-400:]}")
    return found


def go_on(place: Place, answer: Answer) -> list[str]:
    """The disk is well again: go on to the end, and see that nothing is missing."""
    events = events_of(place.run)
    saved, lines = max(saved_steps(events), default=0), len(events)
    listing = place.host.run("runs", place.runs)
    if listing.code != 0 or listing.traceback:
        return [f"runs: {listing.err[-500:]}"]
    begun = None
    if answer.code != 0:
        again = place.resume() if place.run.exists() else None
        if again is None or (again.code == 1 and not saved and not again.traceback):
            place.clear()
            again, lines = place.train(), 0
        if again.code != 0:
            return [f"lost: after step {saved} was saved, resume ends with {again.code}: {again.err[-900:]}"]
        begun = next((e["step"] for e in events_of(place.run)[lines:] if e["kind"] == "status"), None)
    found = []
    if begun is not None and begun < saved:
        found.append(f"lost: saved up to step {saved}, went on from step {begun}")
    story = story_of(place.run)
    # An old checkpoint that the disk did not let go of stays, until the next save tries again. It has to be whole.
    for name in story.states.keys() - place.reference.states.keys():
        verify(place.run / "checkpoints" / name)
        del story.states[name]
        story.sums = {file: value for file, value in story.sums.items() if not file.startswith(f"{name}/")}
    found += [f"different: {text}" for text in place.reference.differences(story)]
    return found


def run(place: Place, mishaps: list[Mishap], say: bool = False) -> list[Mishap]:
    """Every mishap, each in a run of its own."""
    for number, mishap in enumerate(mishaps, start=1):
        strike(place, mishap)
        if say and mishap.faults:
            print(f"{number}: {mishap}", flush=True)
        elif say and number % 50 == 0:
            print(f"{number} mishaps", flush=True)
    return mishaps


def mountable() -> str | None:
    """Why no small file system can be mounted here, or None."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("unshare") is None:
        return "a small file system is mounted in a namespace of its own, by root on Linux"
    return None


@dataclass(frozen=True)
class SmallDisk:
    """A real file system too small for a run, and what it was enlarged to afterwards."""

    name: str
    small: str
    large: str


# A run of this size needs about 240 kB and 70 inodes at once.
SMALL_DISKS = (
    *(SmallDisk(f"{size} kB", f"size={size}k", "size=64m") for size in (0, 4, 40, 80, 120, 160, 200)),
    *(SmallDisk(f"{number} inodes", f"nr_inodes={number},size=64m", "nr_inodes=10000,size=64m")
      for number in (3, 8, 14, 20, 28, 36)),
)  # fmt: skip


def fill(host: Host, folder: Path, disk: SmallDisk) -> dict[str, Any]:
    """Train on a small disk until it is full, enlarge it, go on. What came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = folder / "runs"
    mount.mkdir(exist_ok=True)
    place = MountedPlace(folder, host)
    size = disk.small.replace("size=0k", "size=4k")
    host.mount(mount, size)
    answer = place.train()
    faults = wrong_words(answer, "ENOSPC")
    saved = saved_steps(events_of(place.run))
    host.mount(mount, disk.large)
    if answer.code == 0:
        faults.append("the disk was not small enough")
    faults += go_on(place, answer)
    return {"disk": disk.name, "code": answer.code, "said": answer.error_code, "saved": saved, "faults": faults}


class MountedPlace(Place):
    """A place whose runs lie on a disk that only the host sees."""

    def __init__(self, folder: Path, host: Host) -> None:
        super().__init__(folder, host)
        self.run = host.inside(self.run)

    def resume(self, fault: Fault | None = None, run: Path | None = None, **options: Any) -> Answer:
        return super().resume(fault, run or self.runs / "tiny-001", **options)

    def clear(self) -> None:
        for path in self.host.inside(self.runs).glob("*"):
            shutil.rmtree(path)


def small_disks(folder: Path, library: Path, disks: tuple[SmallDisk, ...] = SMALL_DISKS) -> list[dict[str, Any]]:
    """Each small disk in a namespace of its own."""
    results = []
    for number, disk in enumerate(disks):
        with Host(folder / f"host-{number}", library, namespace=True) as host:
            results.append(fill(host, folder / f"place-{number}", disk))
    return results


def summary(mishaps: list[Mishap], disks: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures."""
    return {
        "mishaps": len(mishaps),
        "errors": dict(Counter(mishap.error for mishap in mishaps)),
        "calls": dict(Counter(mishap.call.op for mishap in mishaps)),
        "went on to the end": sum(mishap.code == 0 for mishap in mishaps),
        "said": dict(Counter(mishap.said for mishap in mishaps if mishap.code != 0)),
        "lost": sum(any(fault.startswith("lost") for fault in mishap.faults) for mishap in mishaps),
        "different": sum(any(fault.startswith("different") for fault in mishap.faults) for mishap in mishaps),
        "tracebacks": sum(any("traceback" in fault for fault in mishap.faults) for mishap in mishaps),
        "other faults": sum(bool(mishap.faults) for mishap in mishaps),
        "small disks": disks,
        "faults": [str(m) for m in mishaps if m.faults] + [d for d in disks if d["faults"]],
    }


def _work(options: argparse.Namespace, folder: Path, host: Host) -> dict[str, Any]:
    disks = small_disks(folder, build(folder)) if mountable() is None else []
    for disk in disks:
        print(disk, flush=True)
    place = Place(folder / "place", host)
    mishaps = chosen(calls_of_a_run(place), options.count, random.Random(options.seed))
    return summary(run(place, mishaps, say=True), disks)


def main() -> int:
    return run_as_command(options_of(__doc__, 200), _work)


if __name__ == "__main__":
    sys.exit(main())
