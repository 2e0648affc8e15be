"""A run's config is read in one place: whoever asks is told the same of one that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.run_files import status, write_run
from trickster_engine.cli.models import print_comparison
from trickster_engine.config import preset_text
from trickster_engine.errors import TricksterError
from trickster_engine.evaluation.report.study import study
from trickster_engine.inference.settings import sampling_settings
from trickster_engine.runs import RunDirectory
from trickster_engine.training.context import context_of
from trickster_engine.training.start import resume

READERS: dict[str, Callable[[RunDirectory], object]] = {
    "resume": resume,
    "report": lambda run: study(run.path),
    "compare": lambda run: print_comparison(run.path, ["a"]),
    "sample": lambda run: sampling_settings(run.path / "checkpoints" / "step-000003", {}),
    "a training process": lambda run: context_of(run, run.config_path, overseen=True),
}


def break_rule(path: Path) -> None:
    path.write_text(preset_text("pico").replace("num_heads: 4", "num_heads: 5"), encoding="utf-8")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "not text": (lambda path: path.write_bytes(b"\xff\xfe"), "config-unreadable"),
    "endless": (lambda path: os.truncate(path, 1 << 40), "config-unreadable"),
    "a rule broken": (break_rule, "heads-divide-dim"),
    "a folder": (replace_by_folder, "link-in-run"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_everyone_says_the_same_of_a_damaged_config(tmp_path: Path, damage: str) -> None:
    run = write_run(tmp_path / "a-001", status(0), status(3, "stopped"), config_path=tmp_path / "a.yaml")
    do, code = DAMAGE[damage]
    do(run.config_path)
    said = {}
    for name, read in READERS.items():
        with pytest.raises(TricksterError) as raised:
            read(run)
        said[name] = (raised.value.code, raised.value.message, raised.value.advice)
    assert len(set(said.values())) == 1, said
    assert said["resume"][0] == code and str(run.config_path) in said["resume"][1]
    assert run.plan_if_readable() is None
    # A list reads no more of a config than its number of steps, where it can be read.
    assert run.summary().troubles == (() if damage == "a rule broken" else (said["resume"][1],))


def test_a_model_is_sampled_as_its_run_says_and_by_defaults_where_nothing_says_so(tmp_path: Path) -> None:
    text = preset_text("pico").replace("temperature: 0.8", "temperature: 0.3")
    run = write_run(tmp_path / "a-001", status(0), config_path=tmp_path / "a.yaml", text=text)
    inside = run.path / "checkpoints" / "step-000003"
    assert [sampling_settings(path, {}).temperature for path in (run.path, inside, tmp_path)] == [0.3, 0.3, 0.8]
    changed = sampling_settings(inside, {"top_k": 5, "seed": None, "prompt": "B", "other": 1})
    assert (changed.temperature, changed.top_k, changed.prompt) == (0.3, 5, sampling_settings(run.path, {}).prompt)
    with pytest.raises(TricksterError, match="temperature"):
        sampling_settings(run.path, {"temperature": -1.0})
    run.config_path.unlink()
    assert sampling_settings(inside, {}).temperature == 0.8
