"""`trickster export`: what is written is opened by the programs that it is for, and writes the same text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests.engine.conftest import dialogue, trickster
from tests.engine.model.test_serving import finished_run
from tests.engine.training.test_starting_weights import SHAPES, byte_bpe, save_llama
from tests.refusals import refused
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import load_model
from trickster_engine.inference.sampling import SamplingOptions, generate
from trickster_engine.interop import export as export_module
from trickster_engine.interop import export_source
from trickster_engine.interop.export import export
from trickster_engine.model.huggingface import read_model
from trickster_engine.runs import RunDirectory

PROMPT = "AN"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    os.environ["TRICKSTER_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    return {kind: finished_run(tmp_path_factory.mktemp(kind), kind) for kind in ("byte", "bpe", "char")}


def ours(folder: Path, count: int, dtype: torch.dtype = torch.float32) -> list[int]:
    """What the model writes with its weights rounded, always the likeliest token."""
    model, tokenizer, _ = load_model(folder)
    model.load_state_dict({name: tensor.to(dtype).float() for name, tensor in model.state_dict().items()})
    steps = generate(model, [tokenizer.encode(PROMPT).tolist()], SamplingOptions(count, temperature=0.0))
    return [int(step[0]) for step in steps]


def theirs(model: torch.nn.Module, ids: list[int], count: int) -> list[int]:
    answer = model.generate(  # type: ignore[operator]
        torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    return list(answer[0, len(ids) :].tolist())


def test_a_final_model_has_a_card_that_the_hub_reads(finished: dict[str, Path]) -> None:
    final = finished["bpe"]
    card = ModelCard.load(final / "README.md")
    assert (card.data.license, card.data.pipeline_tag, card.data.library_name) == (
        "unknown",
        "text-generation",
        "transformers",
    )
    run = RunDirectory(final.parent)
    identity = run.identity()
    assert identity is not None
    events = [json.loads(line) for line in run.events_path.read_text().splitlines()]
    loss = [event["val_loss"] for event in events if event["kind"] == "eval"][-1]
    assert f"**{loss:.4f}**" in card.text
    assert f"{identity.parameters:,} parameters" in card.text
    assert all(f"{nats:.4f}" in card.text for nats in identity.baselines.values())
    assert identity.data["fingerprint"] in card.text
    # The lines for use are Python, and do what they say.
    code = card.text.partition("```python\n")[2].partition("```")[0].replace("THIS FOLDER", str(final))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("AN")


def test_generation_is_set_as_the_run_s_config_says(finished: dict[str, Path]) -> None:
    config = GenerationConfig.from_pretrained(finished["byte"])
    assert (config.do_sample, config.temperature, config.top_k, config.top_p) == (True, 0.8, 0, 1.0)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("kind", ["byte", "char"])
def test_a_folder_in_another_precision(finished: dict[str, Path], tmp_path: Path, kind: str, precision: str) -> None:
    out, dtype = tmp_path / "out", export_source.DTYPES[precision]
    command = ["export", str(finished[kind].parent), "--to", "folder", "--dtype", precision, "-o", str(out)]
    done = trickster(*command, "--checkpoint", "final", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["compared"] > 50
    assert AutoModelForCausalLM.from_pretrained(out).dtype == dtype
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(out)(PROMPT, add_special_tokens=False)["input_ids"]
    assert theirs(model, ids, 40) == ours(finished[kind], 40, dtype)
    assert (out / "README.md").is_file()
    again = trickster(*command)
    assert again.returncode == 1
    assert "already" in again.stderr


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_a_gguf_file_is_the_model_to_transformers(
    finished: dict[str, Path], tmp_path: Path, kind: str, precision: str
) -> None:
    """transformers has a reader of its own: it moves the rows back and rounds nothing."""
    gguf = pytest.importorskip("gguf")
    out = tmp_path / "model.gguf"
    exported = export(finished[kind], "gguf", out, precision, PROMPT)  # type: ignore[arg-type]
    assert exported.compared > 50
    model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    _, weights = read_model(finished[kind])
    read = model.state_dict()
    for name, array in weights.items():
        wanted = array if array.ndim < 2 else export_source.rounded(array, precision)
        assert np.array_equal(read[name].numpy(), wanted), name
    tokenizer = load_tokenizer(finished[kind])
    ids = tokenizer.encode(PROMPT).tolist()
    assert theirs(model, ids, 40) == ours(finished[kind], 40, export_source.DTYPES[precision])
    fields = gguf.GGUFReader(out).fields
    assert fields["llama.rope.freq_base"].contents() == 10000.0
    assert fields["tokenizer.ggml.tokens"].contents()[fields["tokenizer.ggml.eos_token_id"].contents()] == "\u00ff"
    if kind == "bpe":
        text = dialogue(2_000, seed=5)
        words = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
        assert words(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("shape", ["grouped queries", "an odd vocabulary, one head", "tied fp32"])
def test_onnxruntime_writes_the_same(tmp_path: Path, shape: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    save_llama(tmp_path / "model", {**SHAPES[shape][0], "vocab_size": 331}, torch.float32)
    byte_bpe(tmp_path / "model")
    exported = export(tmp_path / "model", "onnx", tmp_path / "out", "fp32", "the king")
    assert exported.compared == exported.as_before > 50
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    tokens = torch.randint(0, 331, (3, 64), generator=torch.Generator().manual_seed(2))
    judge = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    with torch.no_grad():
        wanted = judge(tokens).logits.numpy()
    (found,) = session.run(["logits"], {"input_ids": tokens.numpy()})
    assert np.abs(found - wanted).max() < 1e-4


def test_what_cannot_be_exported_is_said_and_leaves_nothing(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(TricksterError, match="gguf") as caught:
        export(finished["byte"], "gguf", tmp_path / "a.gguf", "fp32", PROMPT)
    assert "-m pip install" in caught.value.advice
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TricksterError, match="onnx"):
        export(finished["byte"], "onnx", tmp_path / "a", "fp32", PROMPT)
    if "gguf" in sys.modules and sys.modules["gguf"] is not None:
        with pytest.raises(TricksterError, match="char"):
            export(finished["char"], "gguf", tmp_path / "b.gguf", "fp32", PROMPT)
    assert not list(tmp_path.iterdir())


def test_weights_that_overflow_in_a_precision_are_not_exported_in_it(tmp_path: Path) -> None:
    save_llama(tmp_path / "model", {**SHAPES["grouped queries"][0], "vocab_size": 331}, torch.float32)
    byte_bpe(tmp_path / "model")
    weights = load_file(tmp_path / "model/model.safetensors")
    save_file(
        {**weights, "model.norm.weight": weights["model.norm.weight"] * 1e5}, tmp_path / "model/model.safetensors"
    )
    with refused("export-not-possible", "too large"):
        export(tmp_path / "model", "folder", tmp_path / "out", "fp16", PROMPT)
    assert not (tmp_path / "out").exists()
    assert export(tmp_path / "model", "folder", tmp_path / "out", "bf16", PROMPT).compared > 0


def test_a_place_below_a_file_is_refused_and_the_file_stays(finished: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    with pytest.raises(TricksterError) as caught:
        export(finished["byte"], "folder", tmp_path / "notes" / "out", "fp32", PROMPT)
    assert "notes" in caught.value.message
    assert (tmp_path / "notes").read_text(encoding="utf-8") == "mine"


def test_an_export_that_writes_another_text_is_refused(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that loses something on the way, here a sign."""

    def losing(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file({**tensors, "model.norm.weight": -tensors["model.norm.weight"]}, path, metadata)

    monkeypatch.setattr(export_module, "save_file", losing)
    with pytest.raises(TricksterError, match="another text") as caught:
        export(finished["byte"], "folder", tmp_path / "out", "bf16", PROMPT)
    assert caught.value.code == "export-differs"
    assert not list(tmp_path.iterdir())
