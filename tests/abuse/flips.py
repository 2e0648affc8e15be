"""Flips single bits in every file of a run, a cache and a copied model folder, and does what a person does with them.

    python -m tests.abuse.flips 300 [--seed 1] [--json FILE]

Each flip must be detected (an error or a warning says so), repaired (the file holds again what it should), or harmless
(every result is the same). A different result without a word is wrong, and so is a traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.belongings import Belongings, Outcome
from tests.abuse.command import options_of, run_as_command
from tests.abuse.faults import Host

GOOD = ("detected", "rebuilt", "harmless")


@dataclass
class Flip:
    """One bit of one file, and what became of it."""

    file: Path
    byte: int
    bit: int
    kind: str = ""
    told: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.file} byte {self.byte} bit {self.bit}: {self.kind}: {'; '.join(self.told)[:1000]}"


def chosen(belongings: Belongings, count: int, chooser: random.Random, only: str = "") -> list[Flip]:
    """`count` flips: every file gets as many as the others, and the rest go to files by chance."""
    files = [f for f in belongings.files() if only in str(f) and (belongings.work / f).stat().st_size]
    each, rest = divmod(count, len(files))
    targets = [*(files * each), *chooser.sample(files, rest)]
    flips = []
    for file in targets:
        size = (belongings.work / file).stat().st_size
        flips.append(Flip(file, chooser.randrange(size), chooser.randrange(8)))
    return flips


def flip(belongings: Belongings, one: Flip) -> None:
    """Flip the bit, do what a person does, and say what became of it."""
    belongings.renew()
    path = belongings.work / one.file
    content = bytearray(path.read_bytes())
    before = bytes(content)
    content[one.byte] ^= 1 << one.bit
    path.write_bytes(content)
    kinds = set()
    for command in belongings.commands(one.file):
        outcome = belongings.outcome(command)
        kinds.add(_judge(belongings, outcome, one))
    if kinds == {"harmless"} and path.exists() and path.read_bytes() == before:
        kinds = {"rebuilt"}
    one.kind = next(kind for kind in ("traceback", "hang", "silently wrong", "detected", *GOOD) if kind in kinds)


def _judge(belongings: Belongings, outcome: Outcome, one: Flip) -> str:
    answer, reference = outcome.answer, belongings.reference[outcome.command]
    if answer.code is None:
        one.told.append(f"{outcome.command}: no end")
        return "hang"
    if answer.traceback or "[unexpected]" in answer.err:
        one.told.append(f"{outcome.command}: {answer.err[-600:]}")
        return "traceback"
    words = outcome.words - reference.words
    if belongings.same(outcome):
        if words:
            one.told.append(f"{outcome.command}: {min(words)}")
        return "detected" if words else "harmless"
    if words:
        one.told.append(f"{outcome.command}: {min(words)}")
        return "detected"
    one.told.append(f"{outcome.command}: another result and no word: {_difference(outcome, reference)}")
    return "silently wrong"


def _difference(outcome: Outcome, reference: Outcome) -> str:
    ours, theirs = (json.dumps(o.result, sort_keys=True, default=str) for o in (reference, outcome))
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return f"…{ours[max(0, at - 60) : at + 60]}… became …{theirs[max(0, at - 60) : at + 60]}…"


def run(belongings: Belongings, flips: list[Flip], say: bool = False) -> list[Flip]:
    """Every flip, one after the other, each on whole files."""
    for number, one in enumerate(flips, start=1):
        flip(belongings, one)
        if say and one.kind not in GOOD:
            print(f"{number}: {one}", flush=True)
        elif say and number % 50 == 0:
            print(f"{number} flips", flush=True)
    return flips


def summary(flips: list[Flip]) -> dict[str, Any]:
    """The figures."""
    files: dict[str, Counter[str]] = defaultdict(Counter)
    for one in flips:
        files[_plain(one.file)][one.kind] += 1
    return {
        "flips": len(flips),
        "files": len({one.file for one in flips}),
        **{kind: sum(one.kind == kind for one in flips) for kind in (*GOOD, "silently wrong", "traceback", "hang")},
        "by file": {name: dict(kinds) for name, kinds in sorted(files.items())},
        "faults": [str(one) for one in flips if one.kind not in GOOD],
    }


def _plain(file: Path) -> str:
    """A file's place without the sums and steps in it."""
    parts = ["*" if len(part) > 40 else part for part in file.parts]
    parts = ["step-*" if part.startswith("step-") else part for part in parts]
    return "/".join([*parts[:-1], "*.json" if len(file.name) > 40 and file.suffix == ".json" else parts[-1]])


def _work(options: argparse.Namespace, folder: Path, host: Host) -> dict[str, Any]:
    belongings = Belongings(folder / "place", host)
    flips = chosen(belongings, options.count, random.Random(options.seed), options.only)
    return summary(run(belongings, flips, say=True))


def main() -> int:
    parser = options_of(__doc__, 300)
    parser.add_argument("--only", metavar="TEXT", default="", help="only files whose path has this in it")
    return run_as_command(parser, _work)


if __name__ == "__main__":
    sys.exit(main())
