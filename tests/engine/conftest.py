"""What the engine's tests share: a small corpus of real structure, and configs that train in a second."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

WORDS = "the king shall speak no more of love and war , thou art my lord ; what say you to this night ?".split()  # noqa: SIM905
NAMES = ("ROMEO", "JULIET", "KING", "GHOST")


def dialogue(characters: int, seed: int = 7) -> str:
    """Text with names, lines and words to learn, the same for the same seed."""
    chooser = random.Random(seed)
    parts: list[str] = []
    length = 0
    while length < characters:
        lines = [" ".join(chooser.choices(WORDS, k=chooser.randint(3, 9))) for _ in range(chooser.randint(1, 4))]
        part = f"{chooser.choice(NAMES)}:\n" + "\n".join(line.capitalize() for line in lines) + "\n\n"
        parts.append(part)
        length += len(part)
    return "".join(parts)[:characters]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared tokens of a test do not land in the user's cache."""
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "play.txt"
    path.write_text(dialogue(30_000), encoding="utf-8")
    return path


TINY: dict[str, dict[str, Any]] = {
    "model_config": {
        "vocab_size": 256,
        "hidden_dim": 32,
        "num_layers": 2,
        "num_heads": 2,
        "mlp_dim": 64,
        "max_seq_len": 32,
        "dropout": 0.1,
    },
    "training_config": {
        "batch_size": 4,
        "gradient_accumulation_steps": 1,
        "max_steps": 12,
        "warmup_steps": 2,
        "learning_rate": 0.003,
        "optimizer": "muon",
        "precision": "fp32",
        "log_interval": 2,
        "eval_interval": 4,
        "save_interval": 3,
        "keep_best_n": 2,
    },
    "device_config": {"device_type": "cpu"},
    "data_config": {"corpus": "play.txt"},
    "output_config": {"output_dir": "runs"},
    "sampling_config": {"prompt": "ROMEO:", "max_new_tokens": 12},
}


@pytest.fixture
def tiny_config(tmp_path: Path, corpus: Path) -> Callable[..., Path]:
    """Write a config beside the corpus: `tiny_config(training_config={"max_steps": 3})`."""

    def write(name: str = "tiny", **changes: Mapping[str, Any]) -> Path:
        names = {**TINY, **changes}
        sections = {name: {**TINY.get(name, {}), **changes.get(name, {})} for name in names}
        path = tmp_path / f"{name}.yaml"
        # JSON is YAML, and needs no second library to write.
        lines = [f"{section}:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in values.items())
                 for section, values in sections.items()]  # fmt: skip
        path.write_text("".join(lines), encoding="utf-8")
        return path

    return write


def trickster(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "trickster_engine", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each subcommand, by its name."""
    from trickster_engine import cli

    made: list[argparse.ArgumentParser] = []

    class Stop(Exception):
        pass

    def stop(self: argparse.ArgumentParser, *_: object) -> None:
        made.append(self)
        raise Stop

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(Stop):
            cli.main([])
    (action,) = (one for one in made[0]._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)
