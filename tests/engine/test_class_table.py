"""A class's runs as one table: the figures of each, and a line for whatever cannot be read."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.report.test_report import Wellformed
from tests.refusals import refused
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.evaluation.class_table import class_rows
from trickster_engine.runs import read_events
from trickster_engine.training.start import start

Config = Callable[..., Path]


def test_every_student_has_a_line(tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_config("<b>anna")
    plan = check(path.read_text(encoding="utf-8"), tmp_path).plan
    assert plan is not None
    run, _ = start(path, path.read_text(encoding="utf-8"), plan, show_progress=False)
    klass = tmp_path / "class"
    shutil.copytree(run.path, klass / "anna/runs/pico-001")
    shutil.copytree(run.path, klass / "=cmd()")
    klass.joinpath("ben").mkdir()
    shutil.copy(run.path / "run.json", klass / "ben")  # the identity alone
    shutil.copy(run.path / "run.json", klass / "cleo.json")
    (klass / "dora.json").write_text('{"id": 3', encoding="utf-8")
    (klass / "emil.json").write_text("[" * 100_000, encoding="utf-8")
    changed = json.loads((run.path / "run.json").read_text(encoding="utf-8")) | {"parameters": 1}
    (klass / "fred.json").write_text(json.dumps(changed), encoding="utf-8")
    changed = {name: value for name, value in changed.items() if name != "sum"} | {"parameters": 10**400}
    (klass / "jan.json").write_text(json.dumps(changed), encoding="utf-8")
    changed |= {"parameters": 7, "config_path": "k" * 100_000}
    (klass / "kim.json").write_text(json.dumps(changed), encoding="utf-8")
    if sys.platform != "win32":
        os.mkfifo(klass / "gina.json")
        (klass / "hugo").symlink_to(run.path)
    damaged = klass / "ida"
    shutil.copytree(run.path, damaged)
    with (damaged / "events.jsonl").open("a", encoding="utf-8") as events:
        events.write('{"kind":"eval","t":1,"step":99,"val_loss":"0.1"}\n')

    assert main(["class", str(klass), "--html", str(tmp_path / "c.html"), "--csv", str(tmp_path / "c.csv")]) == 0
    shown = capsys.readouterr().out
    rows = {row.name: row for row in class_rows(klass)}
    best = min(event["val_loss"] for event in read_events(run.events_path)[0] if event["kind"] == "eval")
    identity = run.identity()
    assert identity is not None
    for name in ("anna/runs/pico-001", "=cmd()", "ida"):
        row = rows[name]
        assert (row.config, row.parameters, row.steps) == ("<b>anna.yaml", identity.parameters, 12)
        # Bytes of an ASCII text are its characters, and a byte is a token here.
        assert row.nats_per_character == pytest.approx(best)
        assert row.bits_per_byte == pytest.approx(best / math.log(2))
        assert row.beyond_counting is not None and row.beyond_counting < 0  # twelve steps are no match for counting
    assert "1 line" in rows["ida"].note or "not understood" in rows["ida"].note
    for name in ("ben", "cleo"):
        assert rows[name].parameters == identity.parameters and "no loss" in rows[name].note
    for name in ("dora", "emil", "fred", "jan", *(("gina",) if sys.platform != "win32" else ())):
        assert rows[name].note and rows[name].parameters is None
    assert rows["kim"].config == "k" * 80  # one student widens no column for all
    assert "hugo" not in rows  # no link is followed
    assert all(row.note in shown and name in shown for name, row in rows.items())
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    reader = Wellformed()
    reader.feed(page)
    assert reader.loaded == [] and "<b>anna" in reader.text
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["name"] for row in table} == {name.replace("=cmd", "'=cmd") for name in rows}
    losses = [bool(row["bits_per_byte"]) for row in table]
    assert losses == sorted(losses, reverse=True)  # those without a loss come last
    with refused("no-such-folder"):
        class_rows(tmp_path / "nowhere")
