"""Everything that a run, a cache and a copied model folder hold, to be damaged, and what a person does with it.

<folder>/work/runs/tiny-001    finished at step 10, gone on with, killed after its save at step 12; with a report
<folder>/work/cache            tokens, tokenizer, baselines, index
<folder>/work/model            a checkpoint as a person copies it: without trainer/
<folder>/work/final-copy       final/, copied out of the run
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.abuse.faults import Answer, Fault, Host
from tests.abuse.place import events_of, story_of, write_config

#: Where training is killed, and where it ends when it goes on.
KILLED_AFTER, LAST_STEP = 12, 14


@dataclass(frozen=True)
class Outcome:
    """What a command came to: what it says to programs, without what differs each time, and whether it said a word."""

    command: str
    answer: Answer
    result: Any

    @property
    def words(self) -> set[str]:
        """Errors and warnings."""
        lines = {line.strip() for line in self.answer.err.splitlines() if line.strip()}
        events = self.answer.events if self.command == "resume" else []
        # An old warning that is told again is none about now; `events` are those of this command alone.
        return lines | {f"{e['code']}: {e['message']}" for e in events if e.get("kind") in ("warning", "error")}


class Belongings:
    """A pristine copy of it all, and a copy to do harm to."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.host, self.folder = host, folder
        self.work, self._pristine = folder / "work", folder / "pristine"
        self.runs, self.cache = self.work / "runs", self.work / "cache"
        self.run = self.runs / "tiny-001"
        self.models = (self.work / "model", self.work / "final-copy")
        self._make()
        first, second = self._all_outcomes(), self._all_outcomes()
        self._unsteady = {name: _different_keys(first[name].result, second[name].result) for name in first}
        self.reference = {name: self._steady(outcome) for name, outcome in first.items()}
        self.renew()

    def _trickster(self, *arguments: str | Path, fault: Fault | None = None, timeout: float = 60.0) -> Answer:
        return self.host.run(
            *arguments, fault=fault, timeout=timeout, cwd=self.folder, TRICKSTER_CACHE_DIR=str(self.cache)
        )

    def _make(self) -> None:
        self.config = write_config(
            self.folder, output_config={"output_dir": str(self.runs)}, sampling_config={"max_new_tokens": 12}
        )
        self.work.mkdir()
        made = [self._trickster(command, self.config, "--json") for command in ("prepare", "train")]
        for answer in (*made, self._trickster("report", self.run)):
            assert answer.code == 0, answer.err
        # Killed at the event after its save: the run has a newer checkpoint than its report and its final weights.
        more: list[str | Path] = ["resume", self.run, "--json", "--set", f"training_config.max_steps={LAST_STEP}"]
        counted = self.folder / "trace"
        copy = self.folder / "copy"
        shutil.copytree(self.run, copy)
        before = len(events_of(self.run))
        answer = self._trickster(*more, fault=Fault([self.run / "events.jsonl"], ["write"], trace=counted))
        assert answer.code == 0, answer.err
        new = events_of(self.run)[before:]
        saved = next(i for i, e in enumerate(new) if e["kind"] == "checkpoint" and e["step"] == KILLED_AFTER)
        shutil.rmtree(self.run)
        copy.rename(self.run)
        at = saved + 2
        answer = self._trickster(*more, fault=Fault([self.run / "events.jsonl"], ["write"], at=at, mode="kill-after"))
        assert answer.killed, answer
        kept = self.run / f"checkpoints/step-0000{KILLED_AFTER}"
        assert kept.is_dir()
        shutil.copytree(kept, self.models[0], ignore=shutil.ignore_patterns("trainer"))
        shutil.copytree(self.run / "final", self.models[1])
        shutil.copytree(self.work, self._pristine, symlinks=True)

    def renew(self) -> None:
        """Everything as it was."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self._pristine, self.work, symlinks=True)

    def files(self) -> list[Path]:
        """Every file, relative to the work folder."""
        return sorted(path.relative_to(self._pristine) for path in self._pristine.rglob("*") if path.is_file())

    def commands(self, file: Path) -> list[str]:
        """What a person may do that meets this file. Nobody trains the run, so there is nothing to stop here."""
        top = file.parts[0]
        if top in ("model", "final-copy"):
            return [f"sample {top}"]
        if top == "cache":
            return ["prepare", "compare", "report", "resume"]
        return ["runs", "sample best", "sample latest", "sample final", "compare", "report", "resume"]

    def outcome(self, command: str, timeout: float = 60.0, fault: Fault | None = None) -> Outcome:
        """Do one thing."""
        words = command.split()
        arguments: list[str | Path]
        if command == "runs":
            arguments = ["runs", self.runs, "--json"]
        elif words[0] == "sample" and words[1] in [folder.name for folder in self.models]:
            arguments = ["sample", self.work / words[1], "--json"]
        elif words[0] == "sample":
            arguments = ["sample", self.run, "--checkpoint", words[1], "--json"]
        elif command == "prepare":
            arguments = ["prepare", self.config, "--json"]
        elif command == "stop":
            arguments = ["stop", self.run]
        else:
            arguments = [command, self.run, "--json"]
        answer = self._trickster(*arguments, timeout=timeout, fault=fault)
        return Outcome(command, answer, self._result(command, answer))

    def _result(self, command: str, answer: Answer) -> Any:
        if command == "resume":
            story = vars(story_of(self.run))
            # What it has written itself: the events of before are shown by `runs` and `report`.
            later = {k: v for k, v in story["events"].items() if k == "status" or _step(k) > KILLED_AFTER}
            return [answer.code, {**story, "events": later}]
        try:
            return [answer.code, json.loads(answer.out)]
        except ValueError:
            return [answer.code, answer.out]

    def _all_outcomes(self) -> dict[str, Outcome]:
        outcomes = {}
        for command in sorted({c for file in self.files() for c in self.commands(file)}, key=lambda c: c == "resume"):
            self.renew()
            outcomes[command] = self.outcome(command)
            assert outcomes[command].answer.code == 0, outcomes[command].answer.err
        return outcomes

    def _steady(self, outcome: Outcome) -> Outcome:
        result = _without(outcome.result, self._unsteady.get(outcome.command, set()))
        return Outcome(outcome.command, outcome.answer, result)

    def same(self, outcome: Outcome) -> bool:
        """Whether a result is that of the undamaged files."""
        result, reference = self._steady(outcome).result, self.reference[outcome.command].result
        if outcome.command == "resume":
            # An old checkpoint that does not say whose it is stays where a whole one is dropped.
            for part in ("sums", "states"):
                for name in result[1][part].keys() - reference[1][part].keys():
                    del result[1][part][name]
        return bool(result == reference)


def _step(name: str) -> int:
    step = name.rsplit(maxsplit=1)[-1]
    return int(step) if step.isdecimal() else 0


def _different_keys(first: Any, second: Any, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {*first, *second}
        return {k for key in keys for k in _different_keys(first.get(key), second.get(key), (*at, str(key)))}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return {key for i, (a, b) in pairs for key in _different_keys(a, b, (*at, str(i)))}
    return set() if first == second else {at}


def _without(value: Any, keys: set[tuple[str, ...]], at: Sequence[str] = ()) -> Any:
    if tuple(at) in keys:
        return None
    if isinstance(value, dict):
        return {key: _without(item, keys, (*at, str(key))) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, keys, (*at, str(i))) for i, item in enumerate(value)]
    return value
