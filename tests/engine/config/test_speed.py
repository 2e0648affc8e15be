"""Checking keeps up with typing. The bounds are many times what a quiet machine needs; the figures are printed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.engine.config.support import LESSON
from trickster_engine.config import check


def _commented() -> str:
    """The lesson's file with enough comments for 2,000 lines."""
    lines = LESSON.splitlines()
    remark = "# what this setting does, said at some length so that it fills a line\n"
    return "".join(remark * 45 + line + "\n" for line in lines)


def _crowded() -> str:
    """2,000 lines of which each is a key, most of them wrong."""
    rows = [f"  hidden_dim_{number}: {number}" for number in range(400)]
    sections = ["model_config", "training_config", "device_config", "data_config", "output_config"]
    return "\n".join("\n".join([f"{section}:", *rows[:399]]) for section in sections) + "\n"


def _broken() -> str:
    """2,000 lines with an error at the end, so that all is read again in pieces."""
    return _commented() + "  broken [\n"


@pytest.mark.parametrize("make", [_commented, _crowded, _broken])
def test_two_thousand_lines(make: Callable[[], str], capsys: pytest.CaptureFixture[str]) -> None:
    text = make()
    assert 1900 < text.count("\n") < 2100
    check(text)
    times = []
    for _ in range(5):
        started = time.process_time()
        check(text)
        times.append(time.process_time() - started)
    with capsys.disabled():
        print(f" [{make.__name__[1:]}: {1000 * min(times):.1f} ms of CPU]", end="")
    assert min(times) < 1.0
