"""The registry of runs on real directories: one bad run stops no other, and a name used again is another run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import pytest
from lsprotocol import types
from trickster_server import documents
from trickster_server.lsp.messages.notifications import EventParams, RunsChangedParams
from trickster_server.lsp.messages.runs import RunInfo
from trickster_server.runs.followed import FollowedRun
from trickster_server.runs.registry import RunRegistry
from trickster_server.server import TricksterServer

from tests.benchmarks.many_events import write_events, write_runs
from tests.server.run_files import checkpoint, lines, status, write_run
from trickster_engine.config import preset_text
from trickster_engine.config.check import CheckResult, check_document
from trickster_engine.config.starting_weights import StartingWeights
from trickster_engine.config.yaml.document import Document
from trickster_engine.runs import RunDirectory, RunLock


class Watched:
    """A registry, and what it has told its client."""

    def __init__(self, outputs: Iterable[Path] = ()) -> None:
        self.events: list[EventParams] = []
        self.lists: list[list[RunInfo]] = []
        self.registry = RunRegistry(self.events.append, self._take, lambda: outputs)

    def _take(self, params: RunsChangedParams) -> None:
        self.lists.append(params.runs)

    def names(self) -> list[str]:
        return sorted(run.name for run in self.registry.infos())

    def steps(self) -> dict[str, int]:
        return {run.name: run.step for run in self.registry.infos()}

    async def until(self, condition: Callable[[], bool]) -> None:
        assert await self.registry.wait_for(condition, 20), "it has not come true in time"


def follow(folder: Path, story: Callable[[Watched], Awaitable[None]], outputs: Iterable[Path] = ()) -> None:
    """Follow the runs below a folder for as long as the story goes on."""

    async def play() -> None:
        watched = Watched(outputs)
        watched.registry.start([folder], {})
        try:
            await watched.registry.ready()
            await story(watched)
        finally:
            await watched.registry.close()

    asyncio.run(play())


# ---- one bad run, and the others -------------------------------------------------------------------------------------

AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from trickster_engine.config import check
from trickster_server.runs.registry import RunRegistry

async def main():
    registry = RunRegistry(lambda _: None, lambda _: None, lambda: [])
    registry.start([Path(sys.argv[1])], {})
    await registry.ready()
    print(sorted((run.name, run.step) for run in registry.infos()))
    await registry.close()

check("")
if os.geteuid() == 0:  # root may enter any folder: look as nobody
    os.setuid(65534)
asyncio.run(main())
"""


def test_a_folder_that_cannot_be_entered_hides_no_run(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("POSIX permissions")
    for name in ("a-001", "locked-001", "unreadable-001", "z-001"):
        write_run(tmp_path / "runs" / name, status(3))
    write_run(tmp_path / "locked" / "b-001", status(3))
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == Path("/tmp"):
            break
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    locked = [tmp_path / "runs" / "locked-001", tmp_path / "locked"]
    (tmp_path / "runs" / "unreadable-001" / "events.jsonl").chmod(0)
    for folder in locked:
        folder.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(tmp_path)], capture_output=True, text=True, check=True
        )
    finally:
        for folder in locked:
            folder.chmod(0o755)
    assert done.stdout.strip() == "[('a-001', 3), ('unreadable-001', 0), ('z-001', 3)]", done.stderr
    assert done.stderr == ""


def test_what_stands_in_one_run_never_stops_the_others(tmp_path: Path) -> None:
    good = write_run(tmp_path / "runs" / "good-001", status(1))
    write_run(tmp_path / "runs" / "list-001", status(1, ["training"]))
    deep = write_run(tmp_path / "runs" / "deep-001", status(1))
    deep.events_path.write_text("[" * 100_000 + "\n" + lines(status(2)), encoding="utf-8")
    when = write_run(tmp_path / "runs" / "when-001", config_path=tmp_path / "x.yaml")
    identity = json.loads((when.path / "run.json").read_text(encoding="utf-8"))
    (when.path / "run.json").write_text(json.dumps({**identity, "created": "today", "config_path": 7}))
    nested = write_run(tmp_path / "runs" / "nested-001", status(1))
    (nested.path / "run.json").write_text("[" * 100_000, encoding="utf-8")

    async def story(watched: Watched) -> None:
        assert watched.names() == ["deep-001", "good-001", "list-001", "nested-001", "when-001"]
        assert watched.steps()["deep-001"] == 2
        with good.events_path.open("a", encoding="utf-8") as file:
            file.write(lines(status(9)))
        await watched.until(lambda: watched.steps()["good-001"] == 9 and bool(watched.lists))
        assert len(watched.lists[-1]) == 5

    follow(tmp_path, story)


def test_a_folder_that_no_system_has_stops_nothing(tmp_path: Path) -> None:
    project = tmp_path / "project"  # beside it lies nothing of other tests
    write_run(project / "runs" / "a-001", status(1))

    async def story(watched: Watched) -> None:
        assert watched.names() == ["a-001"]
        write_run(project / "runs" / "b-001", status(1))
        await watched.until(lambda: watched.names() == ["a-001", "b-001"])

    follow(project, story, [project / "ru\0ns", project / ".." / "x\0" / ".."])


def test_a_text_whose_check_fails_hides_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = check_document

    def check(parsed: Document, folder: Path | None, start: StartingWeights | None) -> CheckResult:
        if "# cannot be checked" in parsed.text:
            raise RecursionError
        return really(parsed, folder, start)

    monkeypatch.setattr(documents, "check_document", check)
    services = TricksterServer().services
    for name, text in (("a", "# cannot be checked\n"), ("b", "")):
        uri = (tmp_path / f"{name}.trickster.yaml").as_uri()
        item = types.TextDocumentItem(uri, types.LanguageKind.Yaml, 1, text + preset_text("pico"))
        services.documents.opened(item)
    assert services._output_folders() == {tmp_path / "runs"}


def test_a_folder_is_one_folder_however_a_config_names_it(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "configs").mkdir(parents=True)
    write_run(workspace / "runs" / "a-001", status(1))
    outside = write_run(tmp_path / "outside" / "b-001", status(1))

    async def story(watched: Watched) -> None:
        assert watched.names() == ["a-001", "b-001"]
        added = await watched.registry.add(workspace / "configs" / ".." / "runs" / "a-001")
        assert added.run_id == str(workspace / "runs" / "a-001")
        watched.registry.set_workspace([workspace])
        assert watched.names() == ["a-001", "b-001"]
        with outside.events_path.open("a", encoding="utf-8") as file:
            file.write(lines(status(4)))
        await watched.until(lambda: watched.steps() == {"a-001": 1, "b-001": 4})

    follow(workspace, story, [workspace / "configs" / ".." / "runs", workspace / ".." / "outside"])


def test_runs_are_looked_for_in_the_persons_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    services = TricksterServer().services
    for name, folder in (("a", "~/runs"), ("b", '"~\\0/runs"'), ("c", "runs")):
        text = preset_text("pico").replace("output_dir: runs", f"output_dir: {folder}")
        if "output_dir" not in text:
            text += f"\noutput_config:\n  output_dir: {folder}\n"
        uri = (tmp_path / f"{name}.trickster.yaml").as_uri()
        services.documents.opened(types.TextDocumentItem(uri, types.LanguageKind.Yaml, 1, text))
    assert services._output_folders() >= {tmp_path / "home" / "runs", tmp_path / "runs"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_dots_behind_a_link_lead_to_where_the_trainer_writes(tmp_path: Path) -> None:
    (tmp_path / "real" / "configs").mkdir(parents=True)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "configs").symlink_to(tmp_path / "real" / "configs", target_is_directory=True)
    write_run(tmp_path / "real" / "runs" / "a-001", status(1))

    async def story(watched: Watched) -> None:
        assert [run.run_id for run in watched.registry.infos()] == [str(tmp_path / "real" / "runs" / "a-001")]

    follow(workspace, story, [workspace / "configs" / ".." / "runs"])


# ---- a name that is used again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("longer", [False, True], ids=["a shorter run", "a longer run"])
def test_a_run_made_again_under_its_name_is_another_run(tmp_path: Path, longer: bool) -> None:
    path = tmp_path / "workspace" / "runs" / "a-001"
    config = tmp_path / "a.yaml"
    write_run(path, *[status(step) for step in range(1, 9)], config_path=config, created=5.0)
    other = tmp_path / "other"
    again = [status(step, t=7.0) for step in range(101, 141 if longer else 103)]
    write_run(other, *again, config_path=config if longer else None, created=7.0)

    async def story(watched: Watched) -> None:
        assert watched.steps() == {"a-001": 8}
        path.rename(tmp_path / "before")
        other.rename(path)
        await watched.until(
            lambda: bool(watched.events) and watched.events[-1].next == watched.registry.infos()[0].next
        )
        await watched.until(lambda: bool(watched.lists) and watched.lists[-1][0].created == 7.0)
        (run,) = watched.lists[-1]
        assert (run.run_id, run.step) == (str(path), again[-1]["step"])
        assert watched.events[0].after == 0
        assert [event for sent in watched.events for event in sent.events] == again
        assert watched.events[-1].next == (path / "events.jsonl").stat().st_size

    follow(tmp_path / "workspace", story)


def test_who_waits_for_the_end_of_a_run_hears_that_it_was_deleted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a-001", status(1))

    async def story(watched: Watched) -> None:
        (followed,) = watched.registry.runs()
        with RunLock(run.path):
            await watched.until(lambda: followed.live)
            if sys.platform == "win32":
                pytest.skip("what is open cannot be deleted there")
            shutil.rmtree(run.path)
            await watched.until(lambda: not followed.live)
        assert watched.names() == []

    follow(tmp_path, story)


def test_a_run_whose_files_went_is_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "a-001", status(1))

    async def story(watched: Watched) -> None:
        run.events_path.unlink()  # as of a deletion that could not remove everything
        await watched.until(lambda: watched.names() == [])

    follow(tmp_path, story)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def look(followed: FollowedRun, probe: bool = True) -> bool:
    """Look at a run; whether a list would show something else now."""
    reading = followed.look(probe)
    assert reading is not None, "it is there"
    return followed.apply(reading)


def test_checkpoints_are_looked_for_with_the_rest_and_forgotten_when_pruned(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a-001", *[checkpoint(step, best=step == 2) for step in range(1, 5)])
    shutil.rmtree(run.path / "checkpoints" / "step-000001")
    followed = FollowedRun(RunDirectory(run.path))
    assert look(followed)
    assert [one.step for one in followed.info().checkpoints] == [2, 3, 4]
    shutil.rmtree(run.path / "checkpoints" / "step-000003")
    assert [one.step for one in followed.info().checkpoints] == [2, 3, 4], "a list may not wait for a disk"
    assert look(followed), "the list shows something else now"
    assert [(one.step, one.best) for one in followed.info().checkpoints] == [(2, True), (4, False)]
    assert not look(followed)
    # As many as before, but others: one more is saved and an old one dropped between two looks.
    (run.path / "checkpoints" / "step-000005").mkdir()
    shutil.rmtree(run.path / "checkpoints" / "step-000002")
    with run.events_path.open("a", encoding="utf-8") as file:
        file.write(lines(checkpoint(5)))
    assert look(followed, probe=False)
    assert [one.step for one in followed.info().checkpoints] == [4, 5]


def test_a_held_out_loss_comes_with_the_step_it_was_measured_at(tmp_path: Path) -> None:
    """At step 0 nothing has been learned: who shows the loss needs to know."""

    def evaluation(step: int, loss: float) -> dict[str, object]:
        return {"t": 1.0, "kind": "eval", "step": step, "train_loss": loss, "val_loss": loss, "perplexity": 2.0}

    def measured(name: str, *events: dict[str, object]) -> tuple[float | None, int | None, int | None]:
        followed = FollowedRun(write_run(tmp_path / name, status(0), *events))
        look(followed)
        info = followed.info()
        return info.val_loss, info.val_step, info.evaluations

    assert measured("unmeasured") == (None, None, 0)
    assert measured("begun", evaluation(0, 5.5)) == (5.5, 0, 1)
    assert measured("learned", evaluation(0, 5.5), evaluation(250, 1.9)) == (1.9, 250, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_steps: 10000", [("Warm-up", 0, 1000), ("Main", 1000, 5000), ("Refinement", 5000, 10_000)]),
        ("max_steps: 10\n  warmup_steps: 0\n", [("Main", 0, 5), ("Refinement", 5, 10)]),
    ],
)
def test_the_phases_of_a_run_are_those_of_its_plan(
    tmp_path: Path, text: str, expected: list[tuple[str, int, int]]
) -> None:
    run = write_run(tmp_path / "a-001", status(0))
    run.config_path.write_text(f"training_config:\n  {text}\n", encoding="utf-8")
    followed = FollowedRun(run)
    look(followed)
    assert followed.info().phases == [], "until there was time to look"
    followed.take_plan(followed.check_plan())
    assert [(phase.name, phase.begin, phase.end) for phase in followed.info().phases] == expected


def test_what_a_run_has_come_to_is_sent_with_its_events(tmp_path: Path) -> None:
    async def story(watched: Watched) -> None:
        run = write_run(tmp_path / "runs" / "a-001", status(0), status(7, "stopped"))
        await watched.until(lambda: bool(watched.events))
        (sent,) = watched.events
        assert (sent.run.next, sent.run.state, sent.run.step) == (run.events_path.stat().st_size, "stopped", 7)
        (listed,) = watched.registry.infos()
        assert vars(sent.run).items() <= vars(listed).items()

    follow(tmp_path, story)


DATA = [
    ({}, None, False),
    ({"name": "shakespeare", "val_characters": 250, "val_tokens": 100}, 2.5, False),  # ASCII, from before bytes counted
    ({"name": "diary.txt", "val_characters": 250, "val_tokens": 100}, None, True),
    ({"name": "diary.txt", "bytes_per_token": 2.75}, 2.75, True),
    ({"name": ["x"], "bytes_per_token": 1e300, "val_characters": 10**400, "val_tokens": 1}, None, False),
    ({"name": "shakespeare", "bytes_per_token": -1.0, "val_characters": 10**400, "val_tokens": 1}, None, False),
    ({"name": None, "bytes_per_token": "2", "val_characters": "250", "val_tokens": 0}, None, False),
]


@pytest.mark.parametrize(("data", "per_token", "own"), DATA)
def test_what_a_runs_text_means_for_its_losses_is_said_by_the_server(
    tmp_path: Path, data: dict[str, object], per_token: float | None, own: bool
) -> None:
    """Whatever `run.json` says, which anybody may have written."""
    run = write_run(tmp_path / "a-001", status(3), config_path=tmp_path / "a.yaml")
    stored = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    (run.path / "run.json").write_text(json.dumps({**stored, "data": data}), encoding="utf-8")
    followed = FollowedRun(RunDirectory(run.path))
    look(followed)
    info = followed.info()
    assert (info.bytes_per_token, info.own_text) == (per_token, own)


def test_a_run_begins_until_its_first_step_and_again_when_it_is_resumed(tmp_path: Path) -> None:
    """Until then somebody waits for it, and it is looked at as often as one that has news."""
    run = write_run(tmp_path / "a-001", status(0, "starting"), status(0, "evaluating"))
    followed = FollowedRun(RunDirectory(run.path))

    def begins(*events: Mapping[str, object]) -> bool:
        with run.events_path.open("a", encoding="utf-8") as file:
            file.write(lines(*events))
        look(followed)
        return followed.beginning

    assert not begins(), "nobody trains it"
    figures = {"loss": 5.0, "lr": 1e-3, "grad_norm": 1.0, "tokens_per_s": 10.0, "eta_s": None, "mfu": None}
    step = {"t": 1.0, "kind": "step", "step": 1, **figures}
    with RunLock(run.path):
        assert begins()
        assert begins(status(0, "training"))
        assert not begins(step)
        assert not begins(status(1, "evaluating"))
    with RunLock(run.path):
        assert begins(status(1, "stopped"), status(1, "starting"))
        assert not begins(status(1, "failed"))


# ---- many, and long --------------------------------------------------------------------------------------------------


def test_of_many_runs_the_newest_are_listed_whole_at_once_and_the_others_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trickster_server.runs.reading.FIRST_SCREEN", 5)
    write_runs(tmp_path / "runs", 40, 400)

    async def story(watched: Watched) -> None:
        first = watched.registry.infos()
        assert [run.name for run in first] == [f"nano-{number:04d}" for number in reversed(range(40))]
        assert {(run.step, run.state) for run in first} == {(400, "finished")}
        known = [(run.best_val_loss is not None, run.config_path is not None, run.max_steps) for run in first]
        assert known == [(True, True, 10_000)] * 5 + [(False, False, None)] * 35
        await watched.until(lambda: all(run.planned for run in watched.registry.runs()))
        await watched.until(lambda: watched.lists[-1] == watched.registry.infos())
        told = {(run.best_val_loss, run.config_path, run.max_steps) for run in watched.lists[-1]}
        assert told == {(first[0].best_val_loss, first[0].config_path, 10_000)}
        assert {run.next for run in watched.lists[-1]} == {first[0].next}
        assert watched.events == [], "the client has been told of all that was there"
        # Any of them may be gone on with.
        oldest = watched.registry.infos()[-1]
        with (Path(oldest.run_directory) / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(lines(status(401, "starting", t=1e9 + 100)))
        await watched.until(lambda: watched.steps()["nano-0000"] == 401)
        assert [sent.after for sent in watched.events] == [oldest.next]

    follow(tmp_path, story)


def test_a_long_run_is_listed_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trickster_server.runs.reading.FIRST_LOOK", 0.0)
    monkeypatch.setattr("trickster_server.runs.registry.QUIET_SLICE", 0.0)
    run = write_run(tmp_path / "runs" / "a-001", config_path=tmp_path / "a.yaml")
    write_events(run.events_path, 30_000)

    async def story(watched: Watched) -> None:
        (followed,) = watched.registry.runs()
        (first,) = watched.registry.infos()
        assert (first.step, first.state, first.best_val_loss) == (30_000, "finished", None)
        assert not followed.caught_up
        with run.events_path.open("a", encoding="utf-8") as file:  # while it is still read
            file.write(lines(status(30_001, "starting", t=2e9)))
        await watched.until(lambda: followed.caught_up and followed.info().step == 30_001)
        await watched.until(lambda: bool(watched.events))
        assert [event["step"] for sent in watched.events for event in sent.events] == [30_001]
        assert watched.events[0].after == first.next
        assert followed.info().best_val_loss == run.summary().best_val_loss

    follow(tmp_path, story)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_what_is_not_understood_is_left_out_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    no_number = {"t": 1.0, "kind": "status", "status": "training", "step": None, "message": None}
    run = write_run(tmp_path / "runs" / "bad-001", status(1), no_number, {"kind": "status"}, status(2))
    endless = write_run(tmp_path / "runs" / "endless-001", status(1))
    endless.events_path.unlink()
    endless.events_path.symlink_to("/dev/zero")

    async def story(watched: Watched) -> None:
        assert watched.steps() == {"bad-001": 2, "endless-001": 0}
        with run.events_path.open("a", encoding="utf-8") as file:
            file.write("what?\n" + lines(status(3)))
        await watched.until(lambda: watched.steps()["bad-001"] == 3)
        left_out = {followed.directory.id: followed.left_out for followed in watched.registry.runs()}
        assert left_out == {"bad-001": 3, "endless-001": 0}
        assert [event["step"] for sent in watched.events for event in sent.events] == [3]

    follow(tmp_path, story)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"{run.path}: in events.jsonl, 2 lines were not understood and are skipped"]
