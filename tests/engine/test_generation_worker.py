"""The process that keeps models for the playground, as the server talks to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.server.run_files import status, write_run
from trickster_engine.config import preset_text, set_values
from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import Llama

# More rows than the tokenizer has ids, as a board wants its tables.
PADDED = ModelConfig(
    vocab_size=320, hidden_dim=32, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=32, dropout=0.0
)

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask() -> Iterator[Ask]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "trickster_engine.inference.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert worker.stdin and worker.stdout

    def answer(method: str, **request: Any) -> dict[str, Any]:
        assert worker.stdin and worker.stdout
        worker.stdin.write(json.dumps({"id": 1, "method": method, **request}) + "\n")
        worker.stdin.flush()
        for line in worker.stdout:
            message: dict[str, Any] = json.loads(line)
            if "part" not in message:
                return message
        raise AssertionError("the worker has ended")

    yield answer
    worker.stdin.close()
    worker.wait(60)
    worker.stdout.close()


def _checkpoint(folder: Path, change: Callable[[dict[str, np.ndarray[Any, Any]]], None]) -> str:
    weights = {name: tensor.numpy().copy() for name, tensor in Llama(PADDED).initialize(1).state_dict().items()}
    change(weights)
    folder.mkdir()
    write_model(folder, PADDED, weights)
    byte_tokenizer().save(folder)
    return str(folder)


def test_rows_beyond_the_tokenizer_are_never_drawn(ask: Ask, tmp_path: Path) -> None:
    def prefer_the_padding(weights: dict[str, np.ndarray[Any, Any]]) -> None:
        # Half of them fit whatever the model says far better than any other row.
        weights["model.embed_tokens.weight"][256:] *= 100

    path = _checkpoint(tmp_path / "padded", prefer_the_padding)
    written = ask("generate", path=path, prompt="A", options={"max_new_tokens": 40}, probabilities=3)
    assert written["result"]["tokens"] == 40
    likeliest = ask("next_tokens", path=path, text="A", count=320)["result"]["tokens"]
    assert {token["id"] for token in likeliest} == set(range(256))


def test_the_likeliest_tokens_are_the_models_own(ask: Ask, tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "plain", lambda weights: None)
    tokens = ask("next_tokens", path=path, text="ROMEO", count=256)["result"]["tokens"]
    probabilities = [token["probability"] for token in tokens]
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert probabilities == sorted(probabilities, reverse=True)
    greedy = ask("generate", path=path, prompt="ROMEO", options={"max_new_tokens": 1, "temperature": 0})["result"]
    assert greedy["text"] == tokens[0]["text"]


@pytest.mark.parametrize("request_", [{"method": "generate", "prompt": "A"}, {"method": "next_tokens", "text": "A"}])
def test_a_model_that_has_diverged_is_explained(ask: Ask, tmp_path: Path, request_: dict[str, Any]) -> None:
    def diverge(weights: dict[str, np.ndarray[Any, Any]]) -> None:
        weights["model.norm.weight"][:] = np.nan

    path = _checkpoint(tmp_path / "diverged", diverge)
    error = ask(**request_, path=path, count=5)["error"]
    assert error["code"] == "loss-not-finite"
    assert "earlier checkpoint" in error["advice"]


def test_a_run_whose_checkpoints_lie_elsewhere_is_sampled_as_its_own_config_says(ask: Ask, tmp_path: Path) -> None:
    places = {"output_config.checkpoint_dir": "elsewhere", "sampling_config.prompt": '"QUEEN:"'}
    text = set_values(preset_text("pico"), places)
    run = write_run(tmp_path / "runs" / "a-001", status(0), status(3), config_path=tmp_path / "a.yaml", text=text)
    folder = tmp_path / "elsewhere" / "a-001" / "step-000003"
    folder.parent.mkdir(parents=True)
    _checkpoint(folder, lambda weights: None)
    written = ask("generate", path=str(run.path), options={"max_new_tokens": 4})["result"]
    assert (written["prompt"], written["checkpoint"], written["tokens"]) == ("QUEEN:", str(folder), 4)
