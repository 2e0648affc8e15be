"""Replaces every file of a run, a cache and a model folder by what is no file of ours, and does what a person does.

    python -m tests.abuse.replaced [--json FILE] [--seed 1] [--count N]

The others are a link to a file outside, a link to a file that is not there, a FIFO, a device, a link to an endless
device, and a folder. None may be followed, none may hold a command up by more than two seconds, and nothing may end in
a traceback or in another result without a word.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import stat
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.belongings import Belongings
from tests.abuse.command import options_of, run_as_command
from tests.abuse.faults import CHANGES, Fault, Host, read_trace

#: Seconds that a command may take beyond what it takes with whole files.
PATIENCE = 2.0
HUNG = 20.0
#: Names that a run may write and that are not there when it is killed, or that were once written under.
WRITTEN = (
    "stop", ".latest.json.tmp", ".best.json.tmp", ".config.yaml.tmp", ".run.json.tmp", ".report.html.tmp", ".final.tmp",
)  # fmt: skip


@dataclass
class Replacement:
    """One file replaced, one command, and what came of it."""

    file: Path
    kind: str
    command: str
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    beyond: float = 0.0
    outcome: str = ""

    def __str__(self) -> str:
        return f"{self.file} as {self.kind}, {self.command}: {'; '.join(self.faults)[:1200]}"


class Replacer:
    """Puts things in the place of files, and sees whether anybody touches what they lead to."""

    def __init__(self, belongings: Belongings) -> None:
        self.belongings = belongings
        self.outside = belongings.folder / "outside"
        self.victim = self.outside / "victim"
        self.absent = self.outside / "not-there"
        self.trace = belongings.folder / "touched"

    @property
    def kinds(self) -> dict[str, Callable[[Path], None]]:
        """What is put in a file's place."""
        if sys.platform == "win32":
            raise NotImplementedError("FIFOs and devices of POSIX")
        kinds: dict[str, Callable[[Path], None]] = {
            "link": lambda path: path.symlink_to(self.victim),
            "dangling link": lambda path: path.symlink_to(self.absent),
            "endless link": lambda path: path.symlink_to("/dev/zero"),
            "FIFO": os.mkfifo,
            "folder": Path.mkdir,
        }
        if os.geteuid() == 0:
            kinds["device"] = lambda path: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        return kinds

    def cases(self) -> list[Replacement]:
        """Every file, everything in its place, every command that meets it."""
        run = self.belongings.run.relative_to(self.belongings.work)
        files = [*self.belongings.files(), *(run / name for name in WRITTEN)]
        return [
            Replacement(file, kind, command)
            for file in files
            for kind in self.kinds
            for command in [*self.belongings.commands(file), *(["stop"] if file.parts[0] == "runs" else [])]
        ]

    def put(self, path: Path, kind: str) -> None:
        """Put something else in a file's place; a link leads to its content, lying outside."""
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir()
        if path.exists():
            path.rename(self.victim)
        else:
            self.victim.write_text("what nobody but its owner reads or writes\n", encoding="utf-8")
        self.kinds[kind](path)

    def watch(self) -> Fault:
        """Writes down whatever is opened or changed outside."""
        self.trace.unlink(missing_ok=True)
        return Fault([self.outside, Path("/dev/zero")], ("opened", *CHANGES), trace=self.trace)

    def touched(self, content: bytes) -> list[str]:
        """What was done to the victim."""
        found = [f"{call.op} {call.path}" for call in read_trace(self.trace)]
        if not self.victim.exists() or self.victim.read_bytes() != content:
            found.append("the victim was changed")
        if os.path.lexists(self.absent):
            found.append("a file was made through a link")
        return found

    def replace(self, case: Replacement) -> None:
        """Put it there, do one thing, look."""
        self.belongings.renew()
        self.put(self.belongings.work / case.file, case.kind)
        content = self.victim.read_bytes()
        outcome = self.belongings.outcome(case.command, timeout=HUNG, fault=self.watch())
        answer, reference = outcome.answer, self.belongings.reference.get(case.command)
        case.seconds = answer.seconds
        case.beyond = answer.seconds - (reference.answer.seconds if reference else 0.0)
        if touched := self.touched(content):
            case.faults.append(f"followed: {', '.join(sorted(set(touched)))}")
        if answer.code is None:
            case.faults.append(f"hung for {HUNG} s")
        elif answer.traceback or "[unexpected]" in answer.err:
            case.faults.append(f"traceback: {answer.err[-700:]}")
        words = outcome.words - (reference.words if reference else set())
        case.outcome = "told" if words else "same"
        if reference and not words and not self.belongings.same(outcome):
            case.outcome = "silent"
            case.faults.append("another result and no word")


def run(replacer: Replacer, cases: list[Replacement], say: bool = False) -> list[Replacement]:
    """Every case, each on whole files."""
    for number, case in enumerate(cases, start=1):
        replacer.replace(case)
        if say and case.faults:
            print(f"{number}: {case}", flush=True)
        elif say and number % 100 == 0:
            print(f"{number} of {len(cases)}", flush=True)
    return cases


def summary(cases: list[Replacement]) -> dict[str, Any]:
    """The figures."""
    slowest = max(cases, key=lambda case: case.beyond)
    return {
        "cases": len(cases),
        "files": len({case.file for case in cases}),
        "in their place": dict(Counter(case.kind for case in cases)),
        "commands": dict(Counter(case.command for case in cases)),
        "followed": sum(any(fault.startswith("followed") for fault in case.faults) for case in cases),
        f"held up by more than {PATIENCE:g} s": sum(case.beyond > PATIENCE for case in cases),
        "tracebacks": sum(any(fault.startswith("traceback") for fault in case.faults) for case in cases),
        "another result without a word": sum(case.outcome == "silent" for case in cases),
        "slowest beyond its usual time": f"{slowest.beyond:.2f} s: {slowest.file} as {slowest.kind}, {slowest.command}",
        "faults": [str(case) for case in cases if case.faults],
    }


def _work(options: argparse.Namespace, folder: Path, host: Host) -> dict[str, Any]:
    replacer = Replacer(Belongings(folder / "place", host))
    cases = [case for case in replacer.cases() if options.only in str(case)]
    if options.count is not None:
        cases = random.Random(options.seed).sample(cases, min(options.count, len(cases)))
    return summary(run(replacer, cases, say=True))


def main() -> int:
    parser = options_of(__doc__)
    parser.add_argument("--count", type=int, help="this many cases by chance instead of all")
    parser.add_argument("--only", metavar="TEXT", default="", help="only cases in whose words this is")
    return run_as_command(parser, _work)


if __name__ == "__main__":
    sys.exit(main())
