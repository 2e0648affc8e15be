"""`acceptance.sh` rehearsed on a CPU: every step writes its JSON, one that fails does not stop the next."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device import steps
from tests.device.summary import lines
from tests.engine.test_bench import BIGRAM_MODEL
from trickster_engine.config import check, preset_text, set_values

SCRIPT = Path(__file__).with_name("acceptance.sh")


def test_the_script_has_every_step_and_fits_into_ten_minutes() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert set(re.findall(r"tests\.device\.steps (\w+)", text)) == set(steps.STEPS)
    assert "ACCEPTANCE_SECONDS:-480" in text


def test_every_racer_is_a_sound_config() -> None:
    for preset, changes in (racer for racers in steps.RACERS.values() for racer in racers):
        checked = check(set_values(preset_text(preset), changes))
        assert checked.plan is not None, checked.problems


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_rehearsal_on_a_cpu_runs_each_step_and_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "nanogpt").mkdir()
    (tmp_path / "nanogpt/model.py").write_text(BIGRAM_MODEL, encoding="utf-8")
    # The suite runs beside this test, and need not run in it; the Trainer's comparison takes what `bench` installs.
    python = tmp_path / "python"
    real = f'exec "{sys.executable}" "$@"'
    python.write_text(f'#!/bin/sh\ncase "$2 $3" in pytest*|*" trainer") exit 9;; esac\n{real}\n', encoding="utf-8")
    python.chmod(0o755)
    done = subprocess.run(
        [str(SCRIPT), str(tmp_path / "out")],
        env={**os.environ, "TRICKSTER_DEVICE": "cpu", "PYTHON": str(python), "NANOGPT": str(tmp_path / "nanogpt"),
             "TRICKSTER_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "out/steps.jsonl").read_text().splitlines()]
    codes = {step["step"]: step["code"] for step in found}
    failed = {"suite", "trainer"}
    codes.pop("nsys", None)  # only where it is installed
    assert codes == {name: "9" if name in failed else "0" for name in {*steps.STEPS, "suite"}}, done.stdout
    for name in set(steps.STEPS) - failed:
        assert json.loads((tmp_path / f"out/{name}.json").read_text())
    assert "midi at 8 x 1024" in done.stdout and lines(tmp_path / "out")
    assert json.loads((tmp_path / "out/races.json").read_text())["nanogpt"]["readings"]
