"""Memory: what autograd keeps, counted; and the peak of real runs, measured."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from tests.engine.conftest import dialogue
from trickster_engine.backends.torch.losses import training_loss
from trickster_engine.backends.torch.optimizers import Optimizers
from trickster_engine.config import DataConfig, DeviceConfig, ModelConfig, Plan, TrainingConfig, preset_plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.estimates.memory import block_activations, output_activations, sampling_memory, training_memory
from trickster_engine.model.attention import _as_products
from trickster_engine.model.llama import KeyValueCache, Llama

BASE = ModelConfig(hidden_dim=64, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=96, max_seq_len=32, dropout=0.0)
SHAPES = [
    BASE,
    replace(BASE, dropout=0.1),
    replace(BASE, num_kv_heads=2),
    replace(BASE, num_kv_heads=1, dropout=0.2, mlp_dim=200, vocab_size=300),
    replace(BASE, num_layers=3, hidden_dim=96, num_heads=3, num_kv_heads=3, max_seq_len=64),
]


def _kept_for_backward(model: ModelConfig, batch: int, precision: str, document_end: int | None = None) -> int:
    """Bytes of all tensors that a forward pass saves, weights and tables left out, each storage counted once."""
    network = Llama(model).initialize(1).train()
    network.model.document_end = document_end
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    saved: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.randint(0, model.vocab_size, (batch, model.max_seq_len))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = network(tokens)
        training_loss(logits, tokens, TrainingConfig())
    return sum(saved.values())


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", SHAPES)
def test_activations_are_what_autograd_keeps(
    model: ModelConfig, precision: Literal["fp32", "bf16"], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device == "mps":  # what is computed there, computed here
        monkeypatch.setattr(
            "trickster_engine.model.llama.causal_attention", lambda q, k, v, _: _as_products(q, k, v, v.dtype)
        )
    tokens = 2 * model.max_seq_len
    estimated = model.num_layers * block_activations(model, tokens, precision, device)
    estimated += output_activations(model, tokens, precision)
    if precision == "bf16":
        parts = count_parameters(model)
        estimated += 2 * (parts.matrices + model.vocab_size * model.hidden_dim)
    assert _kept_for_backward(model, 2, precision) == pytest.approx(estimated, abs=64)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", SHAPES[2:])
def test_a_mask_of_documents_is_kept_once_for_all_blocks(
    model: ModelConfig, precision: Literal["fp32", "bf16"]
) -> None:
    estimated = {}
    for masked in (False, True):
        plan = Plan(model=model, training=TrainingConfig(batch_size=2), data=DataConfig(mask_documents=masked))
        estimated[masked] = training_memory(plan, precision).activations
        assert estimated[masked] + output_activations(model, 2 * model.max_seq_len, precision) == pytest.approx(
            _kept_for_backward(model, 2, precision, 5 if masked else None), abs=64
        )
    if precision == "fp32":
        assert estimated[True] - estimated[False] == torch.empty(2, model.max_seq_len, model.max_seq_len).nbytes


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_optimizer_state_is_what_the_optimizers_hold(optimizer: str) -> None:
    training = TrainingConfig(optimizer=optimizer)
    network = Llama(BASE).initialize(1)
    optimizers = Optimizers(network, training)
    tokens = torch.zeros((1, 8), dtype=torch.long)
    torch.autograd.backward(training_loss(network(tokens), tokens, training))
    gradients = sum(p.grad.nbytes for p in network.parameters() if p.grad is not None)
    optimizers.step(1.0)
    held = sum(array.nbytes for name, array in optimizers.state().items() if not name.startswith("step/"))
    memory = training_memory(Plan(model=BASE, training=training))
    assert memory.optimizer == held
    assert memory.gradients == gradients
    assert memory.weights == sum(p.nbytes for p in network.parameters())


def test_the_cache_is_what_sampling_allocates() -> None:
    model = SHAPES[3]
    cache = KeyValueCache(model, 3, torch.device("cpu"), torch.float32)
    assert sampling_memory(model, 3).cache == cache.store.nbytes


def test_parts_add_up() -> None:
    for name in ("pico", "nano", "mega"):
        memory = training_memory(preset_plan(name))
        parts = memory.as_json()
        total, device = parts.pop("total"), parts.pop("device")
        assert sum(parts.values()) == total
        assert device == total - memory.interpreter - memory.allocator
        sampling = asdict(sampling_memory(preset_plan(name).model))
        total = sampling.pop("total")
        assert sum(sampling.values()) == total


def test_the_advice_against_running_out_of_memory_holds() -> None:
    """What the product tells people to lower does lower the estimate."""
    plan = preset_plan("nano")
    before = training_memory(plan).total
    for training in ({"batch_size": 8}, {"gradient_accumulation_steps": 1}):
        assert training_memory(replace(plan, training=replace(plan.training, **training))).total < before  # type: ignore[arg-type]
    for model in ({"max_seq_len": 256}, {"num_layers": 4}, {"hidden_dim": 128}, {"mlp_dim": 512}, {"dropout": 0.0}):
        assert training_memory(replace(plan, model=replace(plan.model, **model))).total < before
    shared = replace(plan, device=DeviceConfig("cuda", (1, 2), True))
    alone = replace(plan, device=DeviceConfig("cuda"))
    assert training_memory(shared).device < training_memory(alone).device


RUN = """
import sys
from pathlib import Path
from trickster_engine.config import check
from trickster_engine.system.processes import peak_memory
from trickster_engine.training.start import start
path = Path(sys.argv[1])
text = path.read_text()
start(path, text, check(text).plan, show_progress=False)
print(peak_memory())
"""


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    (folder / "text.txt").write_text(dialogue(17_000))
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="the fixed parts were measured on Linux")
@pytest.mark.parametrize(("batch", "accumulation"), [(16, 1), (48, 2)])
def test_the_estimate_is_near_the_measured_peak(text_file: Path, batch: int, accumulation: int) -> None:
    from trickster_engine.config import preset_text, set_values

    text = set_values(
        preset_text("pico"),
        {
            "batch_size": str(batch),
            "gradient_accumulation_steps": str(accumulation),
            "max_steps": "6",
            "warmup_steps": "1",
            "eval_interval": "3",
            "save_interval": "6",
            "max_new_tokens": "10",
            "precision": "fp32",
            "corpus": "text.txt",
            "prompt": "the",
            "device_type": "cpu",
        },
    )
    config = text_file / f"pico-{batch}.yaml"
    config.write_text(text)
    environment = {**os.environ, "TRICKSTER_CACHE_DIR": str(text_file / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(config)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1])
    from trickster_engine.config import check

    plan = check(text).plan
    assert plan is not None
    assert training_memory(plan).total == pytest.approx(peak, rel=0.15)
