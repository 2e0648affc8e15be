"""What the tests of the data room share: a private cache, small texts, and plans."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from trickster_engine.config.plan import DataConfig, ModelConfig, Plan

# A busy machine is slow now and then; that is no finding.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, so that nothing depends on the user's, and nothing is left in it."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def prose() -> str:
    """About 60,000 characters of made-up lines, some of them beyond ASCII; the same every time."""
    chance = random.Random(5)
    common = "the of and a thou kind wind river stone sweet don't O'er queen's 42"
    words = f"{common} café naïve über 東京 — “so” 🙂".split()
    lines: list[str] = []
    while sum(len(line) for line in lines) < 60_000:
        line = " ".join(chance.choice(words) for _ in range(chance.randint(1, 12)))
        lines.append(
            line.capitalize() + chance.choice([".", "!", ";", ",", ""]) + chance.choice(["\n", "\n\n", "\r\n"])
        )
    return "".join(lines)


@pytest.fixture
def shakespeare() -> str:
    """Tiny Shakespeare itself; the test is skipped where it is not on the machine."""
    folder = os.environ.get("TRICKSTER_CORPUS_DIR")
    if not folder or not (Path(folder) / "tinyshakespeare.txt").is_file():
        pytest.skip("TRICKSTER_CORPUS_DIR has no tinyshakespeare.txt")
    return (Path(folder) / "tinyshakespeare.txt").read_bytes().decode()


@pytest.fixture
def plan_for() -> Callable[..., Plan]:
    """Make a plan from what a test cares about."""

    def make(
        corpus: str | Path = "corpus.txt",
        tokenizer: str = "byte",
        vocab_size: int = 256,
        max_seq_len: int = 16,
        **data: object,
    ) -> Plan:
        config = replace(DataConfig(corpus=str(corpus), tokenizer=tokenizer), **data)  # type: ignore[arg-type]
        return Plan(model=ModelConfig(vocab_size=vocab_size, max_seq_len=max_seq_len), data=config)

    return make
