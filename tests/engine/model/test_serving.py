"""Out into the world: what docs/serving.md promises of a finished run, as far as it runs here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from tests.engine.conftest import dialogue
from trickster_engine.cli import main
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, generate
from trickster_engine.model.huggingface import read_model

PAGE = Path(__file__).parents[3] / "docs/serving.md"
LLAMA_CPP = os.environ.get("TRICKSTER_LLAMA_CPP", "")
CONFIG = """
model_config: {{vocab_size: 300, hidden_dim: 64, num_layers: 2, num_heads: 2, mlp_dim: 96, max_seq_len: 64}}
training_config: {{batch_size: 8, gradient_accumulation_steps: 1, max_steps: 8, warmup_steps: 2, learning_rate: 3e-3,
  eval_interval: 8}}
device_config: {{device_type: cpu}}
data_config: {{corpus: corpus.txt, tokenizer: {tokenizer}}}
sampling_config: {{prompt: "AN", max_new_tokens: 8}}
"""


def finished_run(folder: Path, tokenizer: str) -> Path:
    """The last weights of a short run, as the command line leaves them."""
    (folder / "corpus.txt").write_text(dialogue(20_000), encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG.format(tokenizer=tokenizer))
    assert main(["train", str(folder / "config.yaml"), "--run-dir", str(folder / "run")]) == 0
    return folder / "run/final"


@pytest.fixture(scope="module", params=["byte", "bpe", "char"])
def final(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp(request.param), request.param)


def greedy(final: Path, prompt: str, count: int) -> str:
    """What Trickster itself writes, always taking the likeliest token."""
    model, tokenizer, _ = load_model(final)
    ids = tokenizer.encode(prompt).tolist()
    written = generate(model.eval(), [ids], SamplingOptions(max_new_tokens=count, temperature=0.0))
    return tokenizer.decode(np.array([*ids, *(int(step[0]) for step in written)]))


def test_transformers_writes_the_same(final: Path) -> None:
    """The page's lines: a pipeline, and generate."""
    prompt = dialogue(200)[:6]
    wanted = greedy(final, prompt, 30)
    writer = pipeline("text-generation", model=str(final), device="cpu")
    (answer,) = writer(prompt, max_new_tokens=30, do_sample=False)
    assert answer["generated_text"] == wanted
    tokenizer = AutoTokenizer.from_pretrained(final)
    model = AutoModelForCausalLM.from_pretrained(final)
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    tokens = model.generate(**inputs, max_new_tokens=30, do_sample=False)
    assert tokenizer.decode(tokens[0]) == wanted


def test_the_page_says_what_was_tried() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "python -m trickster_engine.interop.gguf" in text
    assert re.search(r"[Nn]ot tried", text)
    for name in ("transformers", "vLLM", "llama.cpp"):
        assert name in text


def test_conversion_refuses_what_it_cannot_do(final: Path, tmp_path: Path) -> None:
    def run(llama_cpp: Path) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "trickster_engine.interop.gguf",
            str(llama_cpp),
            str(final),
            "--outfile",
            "x.gguf",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert "convert_hf_to_gguf.py" in run(tmp_path).stderr
    if load_tokenizer(final).kind == "char":
        (tmp_path / "convert_hf_to_gguf.py").touch()
        refused = run(tmp_path)
        assert refused.returncode == 1 and "char tokenizer" in refused.stderr


@pytest.mark.skipif(not LLAMA_CPP, reason="TRICKSTER_LLAMA_CPP names no copy of llama.cpp's sources")
def test_llama_cpp_converts_it(final: Path, tmp_path: Path) -> None:
    if load_tokenizer(final).kind == "char":
        pytest.skip("no such tokenizer in llama.cpp")
    out = tmp_path / "model.gguf"
    command = [sys.executable, "-m", "trickster_engine.interop.gguf", LLAMA_CPP, str(final), "--outfile", str(out)]
    done = subprocess.run([*command, "--outtype", "f32"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, f"{LLAMA_CPP}/gguf-py")
    try:
        from gguf import GGUFReader
    finally:
        sys.path.pop(0)
    reader = GGUFReader(out)
    config, weights = read_model(final)
    names = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(names) == config.vocab_size
    embedding = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    assert np.array_equal(
        embedding.data.reshape(config.vocab_size, config.hidden_dim), weights["model.embed_tokens.weight"]
    )
    ends = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    assert names[ends] == "\u00ff"
