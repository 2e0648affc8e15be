"""`model_config.init_from`: fine-tuning Llamas that transformers made, and runs. Transformers is the judge."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import transformers
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.engine.conftest import TINY, dialogue, trickster
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_processes import same_curve, several
from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.config.starting_weights import find_starting_weights
from trickster_engine.errors import TricksterError
from trickster_engine.model.huggingface import read_model
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.initial import initial_weights
from trickster_engine.training.start import resume, start

Config = Callable[..., Path]

BASE: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
}
#: What transformers' LlamaConfig can say and we can too, each stored in another way.
SHAPES: dict[str, tuple[dict[str, Any], torch.dtype, str]] = {
    "tied fp32": ({"tie_word_embeddings": True}, torch.float32, "1GB"),
    "untied fp32": ({}, torch.float32, "1GB"),
    "untied bf16": ({}, torch.bfloat16, "1GB"),
    "tied bf16 in many files": ({"tie_word_embeddings": True}, torch.bfloat16, "30KB"),
    "fp16": ({"num_key_value_heads": 2}, torch.float16, "1GB"),
    "untied fp16 in many files": ({}, torch.float16, "20KB"),
    "grouped queries": ({"num_key_value_heads": 2}, torch.float32, "1GB"),
    "one key-value head": ({"num_key_value_heads": 1, "tie_word_embeddings": True}, torch.bfloat16, "1GB"),
    "rope_theta 500000": ({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, torch.bfloat16, "1GB"),
    "rope_theta 100": ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e2}}, torch.float32, "1GB"),
    "rms_norm_eps 1e-3": ({"rms_norm_eps": 1e-3}, torch.float32, "1GB"),
    "an odd vocabulary, one head": ({"vocab_size": 331, "num_attention_heads": 1}, torch.float32, "1GB"),
    "deep and narrow": (
        {"num_hidden_layers": 7, "hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 50},
        torch.float16,
        "1GB",
    ),
    "said again: head_dim, dropout, pretraining_tp": (
        {"head_dim": 16, "attention_dropout": 0.1, "pretraining_tp": 2},
        torch.float32,
        "1GB",
    ),
}
#: What it can say and we cannot, and the field that the refusal names.
REFUSED: dict[str, dict[str, Any]] = {
    "attention_bias": {"attention_bias": True},
    "mlp_bias": {"mlp_bias": True},
    "head_dim": {"head_dim": 32},
    "hidden_act": {"hidden_act": "gelu"},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "factor": 8.0,
            "rope_theta": 1e4,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
    "yarn": {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}},
}
FAMILIES = ("Mistral", "Qwen2", "Qwen3", "Gemma", "Olmo2", "GPTNeoX")


def save_llama(folder: Path, shape: dict[str, Any], dtype: torch.dtype, most: str = "1GB", seed: int = 0) -> None:
    """A random Llama as transformers makes it, its norms random too: as it makes them, all of them are 1."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**BASE, **shape}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.mul_(1 + 0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(3)
    model.to(dtype).save_pretrained(folder, max_shard_size=most)


def plan_for(folder: Path, text: str = "model_config:\n  init_from: model\n  dropout: 0\n") -> Plan:
    result = check(text, folder)
    assert result.plan is not None, result.problems
    return result.plan


@pytest.mark.parametrize("name", SHAPES)
def test_a_llama_of_transformers_has_the_same_logits_and_learns(tmp_path: Path, name: str) -> None:
    shape, dtype, most = SHAPES[name]
    save_llama(tmp_path / "model", shape, dtype, most)
    assert most == "1GB" or len(list((tmp_path / "model").glob("*.safetensors"))) > 2
    text = "model_config:\n  init_from: model\n  dropout: 0\ndata_config:\n  tokenizer: byte\n"
    text += "training_config:\n  warmup_steps: 0\n  learning_rate: 0.0001\n  precision: fp32\n  compile: never\n"
    plan = plan_for(tmp_path, text)
    config, weights = read_model(tmp_path / "model")
    ours = Llama(config)
    ours.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()})
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    tokens = torch.randint(0, config.vocab_size, (2, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = theirs(tokens).logits
        assert (ours.eval()(tokens) - wanted).abs().max() < 1e-4
    assert wanted.std() > 0.1  # logits that say something

    backend = TorchBackend(plan, "cpu")
    backend.load(weights, backend.optimizer_state(), backend.random_state())
    batch = (tokens[:, :-1].numpy(), tokens[:, 1:].numpy())
    before = backend.evaluate([batch])
    assert before == pytest.approx(theirs(tokens[:, :-1], labels=None).logits.flatten(0, 1).log_softmax(-1)
                                   .gather(1, tokens[:, 1:].reshape(-1, 1)).mean().neg().item(), abs=1e-4)  # fmt: skip
    assert backend.step([batch], 1.0).loss == pytest.approx(before, abs=1e-4)
    assert backend.evaluate([batch]) < before


@pytest.mark.parametrize("field", REFUSED)
def test_what_a_plain_llama_cannot_say_is_refused_by_the_field(tmp_path: Path, field: str) -> None:
    save_llama(tmp_path / "model", REFUSED[field], torch.float32)
    refused_by(tmp_path, field)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_are_refused(tmp_path: Path, family: str) -> None:
    config = getattr(transformers, f"{family}Config")(**{**BASE, "num_key_value_heads": 4, "head_dim": 16})
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(tmp_path / "model")
    refused_by(tmp_path, "model_type")
    path = tmp_path / "model" / "config.json"
    values = json.loads(path.read_text())
    del values["model_type"]
    path.write_text(json.dumps(values))
    with pytest.raises(TricksterError):
        read_model(tmp_path / "model")


def refused_by(folder: Path, field: str) -> None:
    with pytest.raises(TricksterError, match=field):
        read_model(folder / "model")
    problems = check("model_config:\n  init_from: model\n", folder).problems
    assert [problem.code for problem in problems] == ["init-from-unusable"]
    assert field in problems[0].message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rope_theta": 5e5}, "rope_theta"),  # one version of transformers reads this, the other rope_parameters
        ({"rope_parameters": {"full_attention": {"rope_theta": 5e5}}}, "full_attention"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"sliding_window": 32}, "sliding_window"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_config_that_says_another_model_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    save_llama(tmp_path / "model", {}, torch.float32)
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(TricksterError, match=named):
        read_model(tmp_path / "model")


def test_what_transformers_passes_over_is_passed_over(tmp_path: Path) -> None:
    """Files of older versions hold the table of frequencies, and a tied output layer beside the embedding."""
    from safetensors.torch import load_file, save_file

    save_llama(tmp_path / "model", {"tie_word_embeddings": True}, torch.bfloat16)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(weights, file, {"format": "pt"})
    config, read = read_model(tmp_path / "model")
    assert len(read) == len(weights) - 2
    assert plan_for(tmp_path, "model_config:\n  init_from: model\ndata_config:\n  tokenizer: byte\n").model == (
        Plan().model.__class__(**{**vars(config), "dropout": 0.1, "init_from": "model"})
    )


def test_a_folder_and_its_config_are_told_apart(tmp_path: Path) -> None:
    save_llama(tmp_path / "model", {"num_key_value_heads": 2}, torch.bfloat16)
    found = find_starting_weights("model", tmp_path)
    assert (found.precision, found.has_tokenizer, found.model.num_kv_heads) == ("BF16", False, 2)

    def codes(text: str) -> list[str]:
        return [problem.code for problem in check(text, tmp_path).problems]

    text = "model_config:\n  init_from: model\n  hidden_dim: 128\n  max_seq_len: 100\ndata_config:\n  tokenizer: byte\n"
    problems = check(text, tmp_path).problems
    assert [problem.code for problem in problems] == ["shape-of-weights", "longer-than-weights"]
    fixed = [problem.fixes[0] for problem in problems]
    assert [fix.title for fix in fixed] == ["Remove hidden_dim", "Set max_seq_len to 64"]
    assert all(fix.preferred for fix in fixed)
    assert codes("model_config:\n  init_from: model\n  max_seq_len: 32\ndata_config:\n  tokenizer: byte\n") == []
    assert codes("model_config:\n  init_from: model\n") == ["tokenizer-of-weights"]
    assert codes("model_config:\n  init_from: gone\n") == ["init-from-missing"]
    # Without a look at the folder nothing is said of keys that follow it, and there is no plan to rely on.
    assert check("model_config:\n  init_from: model\n  num_heads: 3\n") == (None, [])
    byte_bpe(tmp_path / "model")
    assert codes("model_config:\n  init_from: model\n") == []
    assert codes("model_config:\n  init_from: model\ndata_config:\n  tokenizer: byte\n") == ["tokenizer-of-weights"]


@pytest.mark.parametrize("name", ["ckpt.pt", "pytorch_model.bin", "folder"])
def test_pickles_are_never_opened_and_how_to_convert_them_is_said(tmp_path: Path, name: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
        (tmp_path / name / "pytorch_model.bin").write_bytes(b"\x80\x02c")
        (tmp_path / name / "config.json").write_text("{}")
    else:
        (tmp_path / name).write_bytes(b"\x80\x02c")
    problem = check(f"model_config:\n  init_from: {name}\n", tmp_path).problems[0]
    assert problem.code == "init-from-pickle"
    assert "save_pretrained" in problem.message
    assert "GPT-2" in problem.message


def byte_bpe(folder: Path) -> None:
    """A tokenizer as many Llamas have it: byte-level BPE with special tokens, saved by transformers."""
    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator([dialogue(8_000)], trainer)
    PreTrainedTokenizerFast(tokenizer_object=library, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def fail(*_: object) -> None:
    raise RuntimeError("a failure of this machine")


def fine_tuning(write: Config, init: str, **changes: dict[str, Any]) -> Path:
    path = write(**changes)
    rest = path.read_text().partition("training_config:")
    path.write_text(f"model_config:\n  init_from: {init}\n  max_seq_len: 32\n{rest[1]}{rest[2]}")
    return path


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_fine_tuning_goes_on_bit_for_bit_when_the_folder_has_gone(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """In bf16, in several files of odd names that are links as in the hub's cache, with a tokenizer of its own."""
    stored, model = tmp_path / "stored", tmp_path / "model"
    save_llama(stored, {"vocab_size": 320, "num_key_value_heads": 2}, torch.bfloat16, "40KB")
    byte_bpe(stored)
    index = stored / "model.safetensors.index.json"
    index.write_text(index.read_text(encoding="utf-8").replace("model-0", "part-0"), encoding="utf-8")
    parts = {file.rename(stored / file.name.replace("model-0", "part-0")).name for file in stored.glob("model-0*")}
    (stored / "model.fp16.safetensors").write_bytes(b"a variant that the index does not name")
    model.mkdir()
    for file in stored.iterdir():
        (model / file.name).symlink_to(file)
    path = fine_tuning(tiny_config, "model", training_config={"optimizer": optimizer, "learning_rate": 0.001})
    straight, outcome = begin(path)
    assert outcome == "finished"
    assert {file.name for file in (straight.path / "initial").glob("*.safetensors")} == parts
    with stopped_after(4):
        stopped, outcome = begin(path)
    assert outcome == "stopped"
    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(TorchBackend, "step", fail)
        begin(path)
    broken = RunDirectory(tmp_path / "runs" / "tiny-003")  # it ended before it had saved anything
    shutil.rmtree(stored)
    shutil.rmtree(model)
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path / "another-cache"))  # the text is encoded again
    assert resume(stopped, show_progress=False) == "finished"
    assert resume(broken, show_progress=False) == "finished"
    for run in (stopped, broken):
        same_checkpoint(straight.path / "checkpoints" / "step-000012", run.path / "checkpoints" / "step-000012")

    identity = stopped.identity()
    assert identity is not None
    assert identity.initial["written"] == "model"
    assert "tokenizer.json" in identity.initial["files"]
    losses = {e["step"]: e["val_loss"] for e in events_of(stopped) if e["kind"] == "eval"}
    assert losses[12] < losses[0]
    # What it began with is what `compare` and the report compare with; and the run says which text it trains.
    answer = json.loads(trickster("compare", str(stopped.path), "--json").stdout)
    rows = {row["name"]: row["nats"] for row in answer["rows"]}
    assert rows["starting weights"] == pytest.approx(losses[0], abs=1e-5)
    assert "STARTING WEIGHTS" in trickster("compare", str(stopped.path)).stdout
    report = tmp_path / "report.html"
    assert trickster("report", str(stopped.path), "--output", str(report)).returncode == 0
    assert "fine-tunes the weights in model" in report.read_text()
    theirs = AutoTokenizer.from_pretrained(stopped.path / "final")
    text = dialogue(3_000, seed=3)
    assert theirs.eos_token == "</s>"
    assert theirs.decode(theirs(text, add_special_tokens=False)["input_ids"]) == text


def events_of(run: RunDirectory) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.events_path.read_text().splitlines()]


def test_a_run_is_fine_tuned_from_its_best_checkpoint(tiny_config: Config, tmp_path: Path) -> None:
    first, _ = begin(tiny_config())
    (tmp_path / "other.txt").write_text(dialogue(30_000, seed=11).upper())
    path = fine_tuning(tiny_config, "runs/tiny-001", data_config={"corpus": "other.txt", "tokenizer": "byte"})
    second, outcome = begin(path)
    assert outcome == "finished"
    best = json.loads((first.path / "best.json").read_text())["path"]
    plan = second.plan()
    assert plan is not None
    assert plan.model.hidden_dim == TINY["model_config"]["hidden_dim"]
    begun = initial_weights(second, plan)
    for name, array in read_model(first.path / best)[1].items():
        assert np.array_equal(begun[name], array)
    # A copy that has changed is noticed, as any other part of a run.
    file = second.path / "initial" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(TricksterError, match="damaged"):
        initial_weights(second, plan)


def test_a_fine_tuning_that_cannot_begin_leaves_nothing(tiny_config: Config, tmp_path: Path) -> None:
    save_llama(tmp_path / "model", {}, torch.float32)
    path = fine_tuning(tiny_config, "model", data_config={"tokenizer": "byte"})
    plan = plan_for(path.parent, path.read_text())
    (tmp_path / "play.txt").write_text("too short")
    with pytest.raises(TricksterError, match=r"play\.txt|tokens"):
        start(path, path.read_text(), plan, show_progress=False)
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found through /proc")
def test_processes_start_from_the_same_weights(tiny_config: Config, tmp_path: Path) -> None:
    save_llama(tmp_path / "model", {"num_key_value_heads": 2}, torch.float16)
    changes: dict[str, Any] = {
        "data_config": {"tokenizer": "byte"},
        "training_config": {"optimizer": "adamw", "max_steps": 8},
    }
    runs = []
    for name, count, sharding in (("one", 1, "none"), ("two", 2, "none"), ("shared", 2, "full")):
        settings = several(count, **changes)
        settings["device_config"] = {**settings["device_config"], "sharding": sharding}
        path = tiny_config(name, **settings)
        rest = path.read_text().partition("training_config:")
        path.write_text(f"model_config:\n  init_from: model\n  dropout: 0\n  max_seq_len: 32\n{rest[1]}{rest[2]}")
        run, outcome = begin(path)
        assert outcome == "finished"
        runs.append(run)
    same_curve(runs[0], runs[1], 1e-4)
    same_curve(runs[0], runs[2], 1e-4)
