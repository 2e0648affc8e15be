"""tt-train's configs, converted with every key accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.refusals import refused
from trickster_engine.config.check import check
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.errors import TricksterError
from trickster_engine.interop.tt_train_config import convert, is_tt_train, quick_fix
from trickster_engine.interop.tt_train_sections import default_intermediate_dim

TRAINING = """
training_config:
  project_name: "tt_train_nano_llama"
  seed: 5489
  model_save_interval: 500
  batch_size: 64
  max_steps: 5000
  use_clip_grad_norm: false
  clip_grad_norm_max_norm: 1.0
  data_path: "data/shakespeare.txt"
  model_config: "${TT_METAL_RUNTIME_ROOT}/tt-train/configs/model_configs/nanollama3_char.yaml"
  optimizer: {type: AdamW, lr: 0.0003, beta1: 0.9, beta2: 0.999, epsilon: 1.0e-8, weight_decay: 0.01,
              amsgrad: false, stochastic_rounding: false}
eval_config: {repetition_penalty: 1.0, temperature: 0.7, top_k: 50, top_p: 1.0}
"""
CHARACTERS = """
transformer_config:
  model_type: "llama"
  num_heads: 6
  num_groups: 3
  embedding_dim: 384
  dropout_prob: 0.0
  num_blocks: 6
  max_sequence_length: 256
  runner_type: default
  theta: 500000.0
"""
WORDS = CHARACTERS.replace('  model_type: "llama"\n', "").replace("num_blocks: 6", "num_blocks: 6\n  vocab_size: 32000")


def planned(text: str, model: str | None = None) -> Plan:
    result = convert(text, model)
    plan = check(result.text).plan
    assert plan is not None, result.problems
    return plan


def test_the_golden_counts() -> None:
    """Both were printed by real boards, for the models of these two files."""
    characters = planned(TRAINING, CHARACTERS)
    assert characters.model.vocab_size == 96
    assert not characters.model.tie_embeddings
    assert count_parameters(characters.model).total == 9_810_816
    words = planned(TRAINING.replace("seed: 5489", "seed: 5489\n  tokenizer_type: bpe"), WORDS)
    assert words.model.tie_embeddings
    assert count_parameters(words.model).total == 22_025_088
    explicit = planned(TRAINING, CHARACTERS + "  vocab_size: 32000\n  weight_tying: enabled\n")
    assert count_parameters(explicit.model).total == 22_025_088


def test_values_arrive() -> None:
    plan = planned(TRAINING, CHARACTERS)
    assert (plan.model.num_kv_heads, plan.model.mlp_dim, plan.model.rope_theta) == (3, 1024, 500000.0)
    assert (plan.training.beta2, plan.training.weight_decay, plan.training.grad_clip) == (0.999, 0.01, 0.0)
    assert (plan.training.learning_rate, plan.training.min_learning_rate, plan.training.warmup_steps) == (3e-4, 3e-4, 0)
    assert (plan.sampling.temperature, plan.sampling.top_k) == (0.7, 50)
    assert (plan.data.corpus, plan.data.tokenizer) == ("shakespeare", "char")


def keys(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict) or not value:
        return {prefix}
    return {found for key, inner in value.items() for found in keys(inner, f"{prefix}.{key}" if prefix else key)}


EVERYTHING = """
training_config:
  model_type: llama
  num_epochs: 1
  gradient_accumulation_steps: 8
  scheduler_type: warmup_linear
  tokenizer_type: bpe
  tokenizer_path: data/tokenizer.json
  eval_every: 100
  validation_batch_size: 16
  checkpoint_dir: out
  batch_size: 8
  max_steps: 1000
  model_save_interval: 0
  use_clip_grad_norm: true
  clip_grad_norm_max_norm: 0.5
  learning_rate: 3e-4
  weight_decay: 1e-2
  beta1: 0.9
  beta2: 0.95
  eps: 1e-8
  use_moreh_adamw: true
  use_kahan_summation: false
  use_no_op: false
  something_new: 3
device_config: {enable_ddp: true, enable_tp: false, enable_fsdp: false, mesh_shape: [1, 4], device_ids: [0, 1, 2, 3]}
multihost_config: {enabled: false, num_workers: 0, socket_type: mpi}
transformer_config:
  num_heads: 6
  num_groups: 3
  embedding_dim: 384
  num_blocks: 6
  vocab_size: 32001
  max_sequence_length: 256
  intermediate_dim: null
  weight_tying: disabled
  model_path: ""
  bias: true
  positional_embedding_type: trainable
  embedding_placement: replicated
  experimental: {use_composite_layernorm: false}
  rope_scaling: {scaling_factor: 0.0, high_freq_factor: 4.0, low_freq_factor: 1.0, original_context_length: 0}
"""


def test_every_key_is_accounted_for() -> None:
    for text, model in ((TRAINING, CHARACTERS), (EVERYTHING, None)):
        result = convert(text, model)
        source = keys(yaml.safe_load(text)) | (keys(yaml.safe_load(model)) if model else set())
        accounted = {account.key for account in result.accounts}
        for key in source:
            # a nested setting may be accounted for as a whole
            assert any(key == name or key.startswith(f"{name}.") for name in accounted), key
        for account in result.accounts:
            assert (account.target is None) == (account.fate == "left out"), account
            assert account.target or account.note, account


def test_the_older_style_and_the_schedule() -> None:
    plan = planned(EVERYTHING)
    assert plan.training.learning_rate == 3e-4
    assert plan.training.min_learning_rate == pytest.approx(3e-6)
    assert (plan.training.lr_schedule, plan.training.warmup_steps) == ("linear", 100)
    assert (plan.training.grad_clip, plan.training.save_interval, plan.training.eval_interval) == (0.5, 1000, 100)
    assert (plan.device.mesh_shape, plan.device.enable_ddp) == ((1, 4), True)
    assert plan.model.vocab_size == 32032
    assert plan.model.dropout == 0.2


def test_muon() -> None:
    text = TRAINING.replace(
        "optimizer: {type: AdamW, lr: 0.0003, beta1: 0.9, beta2: 0.999, epsilon: 1.0e-8, weight_decay: 0.01,\n"
        "              amsgrad: false, stochastic_rounding: false}",
        "optimizer: {type: MuonWithAdamW, muon: {lr: 0.01, momentum: 0.9, ns_steps: 5}, "
        "adamw: {lr: 0.001, weight_decay: 0.1}}",
    )
    plan = planned(text, CHARACTERS)
    assert plan.training.optimizer == "muon"
    assert (plan.training.muon_learning_rate, plan.training.muon_momentum) == (0.01, 0.9)
    assert (plan.training.learning_rate, plan.training.weight_decay) == (0.001, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("type: AdamW", "type: SGD", "cannot-convert"),
        ("amsgrad: false", "amsgrad: true", "cannot-convert"),
        ("seed: 5489", "seed: five", "tt-train-value"),
        ("seed: 5489", "scheduler_type: mystery", "cannot-convert"),
        ("seed: 5489", "use_no_op: true", "cannot-convert"),
        ('data_path: "data/shakespeare.txt"', "data_path: tokens.yaml", "cannot-convert"),
        ("eval_config:", "device_config: {enable_tp: true}\neval_config:", "cannot-convert"),
        ("eval_config:", "multihost_config: {enabled: true}\neval_config:", "cannot-convert"),
        ("training_config:", "training_config: [", "yaml-unreadable"),
    ],
)
def test_what_would_train_otherwise_is_refused(old: str, new: str, code: str) -> None:
    assert old in TRAINING
    with pytest.raises(TricksterError) as refused:
        convert(TRAINING.replace(old, new), CHARACTERS)
    assert refused.value.code == code
    assert refused.value.advice


def test_models_that_are_no_llamas_are_refused() -> None:
    with refused("not-a-llama", "gpt2"):
        convert(TRAINING, CHARACTERS.replace("llama", "gpt2"))
    scaled = CHARACTERS + "  rope_scaling: {scaling_factor: 8.0, original_context_length: 8192}\n"
    with refused("cannot-convert", "rope_scaling"):
        convert(TRAINING, scaled)


def test_the_models_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_METAL_RUNTIME_ROOT", raising=False)
    configs = tmp_path / "tt-train/configs"
    (configs / "training_configs").mkdir(parents=True)
    (configs / "model_configs").mkdir()
    path = configs / "training_configs/nano.yaml"
    path.write_text(TRAINING)
    with pytest.raises(TricksterError) as refused:
        convert(TRAINING, path=path)
    assert refused.value.code == "model-config-missing"
    (configs / "model_configs/nanollama3_char.yaml").write_text(CHARACTERS)
    assert convert(TRAINING, path=path).text == convert(TRAINING, CHARACTERS, path=path).text


def test_the_editors_fix() -> None:
    whole = TRAINING + CHARACTERS
    assert is_tt_train(TRAINING)
    assert is_tt_train(CHARACTERS)
    fix = quick_fix(whole)
    assert fix is not None
    (edit,) = fix.edits
    assert (edit.range.start, edit.range.end.line) == ((0, 0), whole.count("\n"))
    assert check(edit.new_text).plan is not None
    for ours in ("model_config:\n  hidden_dim: 256\n", "training_config:\n  optimizer: muon\n", "[", ""):
        assert not is_tt_train(ours)
        assert quick_fix(ours) is None


def test_ttmls_own_width() -> None:
    assert [default_intermediate_dim(width) for width in (384, 256, 512, 2048)] == [1024, 768, 1536, 5632]
