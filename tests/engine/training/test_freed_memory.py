"""Training holds on to the memory that its steps need."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from textwrap import dedent

import pytest

STEPS = dedent(
    """
    import resource
    from trickster_engine.bench.updates import Updates
    from trickster_engine.config import check, preset_text, set_values

    changes = {"training_config.batch_size": "8", "training_config.compile": "never"}
    updates = Updates(check(set_values(preset_text("pico"), changes)).plan, "cpu")
    updates.lap(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    updates.lap(2)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 2)
    """
)


def page_faults_a_step(environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEPS], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")
def test_a_step_asks_the_system_for_no_memory_that_it_had_before() -> None:
    kept = page_faults_a_step({})
    # What the user says to malloc counts: here, to give everything back at once.
    given_back = page_faults_a_step({"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "131072"})
    assert given_back > 1_000
    assert kept < given_back / 20
