"""llama.cpp's own server opens what `trickster export --to gguf` writes: the same text, the same end, the same loss."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.engine.conftest import trickster
from tests.engine.model.test_serving import finished_run
from tests.engine.training.test_resume import begin
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, sample

pytest.importorskip("xllamacpp", reason="there are no wheels of it for this machine")
pytestmark = pytest.mark.xdist_group("llama.cpp")
ROOT = Path(__file__).parents[3]
LINES = ("the king shall speak", "a dog ran home", "who goes there now", "no more of love")


@contextmanager
def serving(run: Path, folder: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """llama.cpp with a run's model: a function that asks it for a completion."""
    model = folder / "model.gguf"
    done = trickster("export", run, "--to", "gguf", "--output", model)
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.llama_server", "-m", str(model), "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert server.stdout is not None and server.stdin is not None

    def complete(**asked: object) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            choice: dict[str, Any] = json.load(answer)["choices"][0]
            return choice

    try:
        assert any("server is listening" in line for line in server.stdout), "it did not start"
        yield complete
    finally:
        server.stdin.close()
        server.wait(60)


def bits_per_byte(complete: Callable[..., dict[str, Any]], ids: list[int]) -> float:
    """Of tokens, a byte each, after the first: asked for one at a time, with what llama.cpp gives every token."""
    nats = 0.0
    for place in range(1, len(ids)):
        answer = complete(prompt=ids[:place], max_tokens=1, temperature=0, n_probs=300)
        believed = {one["id"]: one["logprob"] for one in answer["logprobs"]["content"][0]["top_logprobs"]}
        nats -= believed[ids[place]]
    return float(nats / (len(ids) - 1) / np.log(2))


def test_a_run_on_documents_begins_and_ends_by_itself(tmp_path: Path, tiny_config: Callable[..., Path]) -> None:
    chooser = random.Random(1)
    lines = [f"{chooser.choice(LINES)} {number % 10}" for number in range(1_500)]
    (tmp_path / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    config = tiny_config(
        model_config={"vocab_size": 257, "max_seq_len": 48, "dropout": 0.0},
        data_config={"corpus": "lines.txt", "documents": "lines"},
        training_config={"max_steps": 150, "batch_size": 8, "learning_rate": 0.01, "eval_interval": 150,
                         "save_interval": 150},
    )  # fmt: skip
    run, outcome = begin(config)
    assert outcome == "finished"
    model, tokenizer, _ = load_model(run.path)
    text = sample(model, tokenizer, "a dog", SamplingOptions(max_new_tokens=40, temperature=0.0))
    assert len(text) < 40, "it ends by itself"
    end = tokenizer.end_id
    assert end is not None
    ids = [end, *lines[7].encode()]
    with torch.no_grad():
        loss = F.cross_entropy(model(torch.tensor([ids[:-1]]))[0], torch.tensor(ids[1:]))
    with serving(run.path, tmp_path) as complete:
        answer = complete(prompt="a dog", max_tokens=40, temperature=0)
        assert (answer["text"], answer["finish_reason"]) == (text, "stop")
        assert bits_per_byte(complete, ids) == pytest.approx(float(loss) / np.log(2), abs=1e-3)


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_the_same_greedy_text(tmp_path: Path, kind: str) -> None:
    final = finished_run(tmp_path, kind)
    model, tokenizer, _ = load_model(final)
    text = sample(model, tokenizer, "ANNA: ", SamplingOptions(max_new_tokens=40, temperature=0.0))
    with serving(final.parent, tmp_path) as complete:
        assert complete(prompt="ANNA: ", max_tokens=40, temperature=0)["text"] == text
