"""tt-metal's own Llama over the double, where somebody has a checkout; and a small model written on the same layers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import DOUBLE
from tests.ttml_double import upstream
from trickster_engine.doctor.parity import TOLERANCE

CHECKOUT = os.environ.get(upstream.VARIABLE, "")

#: A Llama of our own on ttml's layers: enough to see that the script sees what it is there to see.
OURS = """
from dataclasses import dataclass

import ttml
from ttml.modules import AbstractModuleBase, ColumnParallelLinear, Embedding, LinearLayer, ModuleList, Parameter
from .. import EmbeddingPlacement, RunnerType, WeightTyingType, memory_efficient_runner
from ttml.parallel import TPStrategy
from _ttml.models.llama import CppLlama, CppLlamaConfig, create_cpp_llama_model
from .safetensors_loader import load_from_safetensors


@dataclass(frozen=True)
class LlamaConfig:
    hidden_size: int = 384
    intermediate_size: int = None
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    vocab_size: int = 256
    max_position_embeddings: int = 256
    rope_theta: float = 10000.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    weight_tying: object = WeightTyingType.Disabled
    tp_strategy: TPStrategy = TPStrategy.NONE
    embedding_placement: EmbeddingPlacement = EmbeddingPlacement.Replicated


class Norm(AbstractModuleBase):
    def __init__(self, size):
        super().__init__()
        self.gamma = Parameter(ttml.init.ones()((1, 1, 1, size)))

    def forward(self, x):
        return ttml.ops.rmsnorm.rmsnorm(x, self.gamma.tensor, 1e-5)


class Attention(AbstractModuleBase):
    def __init__(self, config, rope):
        super().__init__()
        self.config, self.rope = config, rope
        head = config.hidden_size // config.num_attention_heads
        rows = (config.num_attention_heads + 2 * config.num_key_value_heads) * head
        self.qkv_linear = LinearLayer(config.hidden_size, rows, False)
        self.out_linear = LinearLayer(config.hidden_size, config.hidden_size, False)

    def forward(self, x, mask):
        heads = ttml.ops.multi_head_utils
        q, k, v = heads.heads_creation(
            self.qkv_linear(x), self.config.num_attention_heads, self.config.num_key_value_heads
        )
        q, k = ttml.ops.rope.rope(q, self.rope), ttml.ops.rope.rope(k, self.rope)
        y = ttml.ops.attention.scaled_dot_product_attention(q, k, v, mask)
        return self.out_linear(heads.heads_fusion(y))


class Mlp(AbstractModuleBase):
    def __init__(self, config):
        super().__init__()
        self.w_gate_up = LinearLayer(config.hidden_size, 2 * config.intermediate_size, False)
        self.w2 = LinearLayer(config.intermediate_size, config.hidden_size, False)

    def forward(self, x):
        return self.w2(ttml.ops.swiglu_packed.swiglu_packed(self.w_gate_up(x)))


class Block(AbstractModuleBase):
    def __init__(self, config, rope):
        super().__init__()
        self.mlp, self.attention = Mlp(config), Attention(config, rope)
        self.attention_norm, self.mlp_norm = Norm(config.hidden_size), Norm(config.hidden_size)

    def forward(self, x, mask):
        x = ttml.ops.binary.add(self.attention(self.attention_norm(x), mask), x)
        return ttml.ops.binary.add(self.mlp(self.mlp_norm(x)), x)


class Llama(AbstractModuleBase):
    def __init__(self, config):
        super().__init__()
        if config.tp_strategy.tensor_parallel:
            raise ValueError
        self.fc = LinearLayer(config.hidden_size, config.vocab_size, False)
        self.tok_emb = Embedding(config.vocab_size, config.hidden_size, weight_init=ttml.init.normal(0.0, 0.02))
        if config.weight_tying == ttml.models.WeightTyingType.Enabled:
            self.tok_emb.weight = self.fc.weight
        head = config.hidden_size // config.num_attention_heads
        rope = ttml.ops.rope.build_rope_params(
            config.max_position_embeddings, head, config.rope_theta, ttml.ops.rope.RopeScalingParams()
        )
        self.blocks = ModuleList([Block(config, rope) for _ in range(config.num_hidden_layers)])
        self.ln_fc = Norm(config.hidden_size)

    def forward(self, input, mask):
        x = self.tok_emb(input)
        for block in self.blocks:
            x = block(x, mask)
        return self.fc(self.ln_fc(x))
"""

OUR_STRATEGY = """
import enum


class TPStrategy(enum.Enum):
    NONE = 0
    TENSOR = 1

    @property
    def tensor_parallel(self):
        return self is not TPStrategy.NONE
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "tt-metal" / upstream.MODEL_FOLDER
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(OURS)
    (folder / "safetensors_loader.py").write_text("import nothing_that_is_here\n")
    (folder.parents[1] / "parallel.py").write_text(OUR_STRATEGY)
    return tmp_path / "tt-metal"


def rewrite(checkout: Path, this: str, that: str) -> None:
    model = checkout / upstream.MODEL_FOLDER / "__init__.py"
    assert this in model.read_text()
    model.write_text(model.read_text().replace(this, that))


@pytest.mark.parametrize("name", ["tied", "untied"])
def test_a_llama_on_ttmls_layers_is_understood(double: Callable[..., Any], checkout: Path, name: str) -> None:
    double()
    upstream.install(checkout)
    found = upstream.compared(upstream.CONFIGS[name])
    assert max(found.logits, found.gradient) <= TOLERANCE
    assert found.loss < 0.1


def test_a_checkout_of_before_mid_2026_is_understood(double: Callable[..., Any], checkout: Path) -> None:
    """It has no parallel.py, and ties a bare tensor."""
    double()
    (checkout / upstream.PACKAGE_FOLDER / "parallel.py").unlink()
    rewrite(checkout, "self.tok_emb.weight = self.fc.weight", "self.tok_emb.weight = self.fc.weight.tensor")
    upstream.install(checkout)
    found = upstream.compared({})
    assert max(found.logits, found.gradient) <= TOLERANCE


def test_a_llama_that_keeps_its_rows_otherwise_is_not(double: Callable[..., Any], checkout: Path) -> None:
    double()
    rewrite(checkout, "q, k, v = heads", "q, v, k = heads")
    upstream.install(checkout)
    assert upstream.compared({}).logits > 4 * TOLERANCE


def test_a_gradient_that_does_not_reach_a_weight_is_seen(double: Callable[..., Any], checkout: Path) -> None:
    double()
    rewrite(checkout, "import ttml\n", "import ttml\nimport ttnn\n")
    cut = "x = ttml.autograd.Tensor(ttnn.clone(self.tok_emb(input).get_value()), False)"
    rewrite(checkout, "x = self.tok_emb(input)", cut)
    upstream.install(checkout)
    found = upstream.compared({})
    assert found.logits <= TOLERANCE
    assert found.gradient > 2 * TOLERANCE


def test_what_is_no_checkout_is_told(double: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no tt-metal tree"):
        upstream.install(tmp_path)


@pytest.mark.skipif(not CHECKOUT, reason=f"{upstream.VARIABLE} names no checkout of tt-metal")
def test_the_checkouts_llama_is_understood() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.ttml_double.upstream"],
        check=False, capture_output=True, text=True, cwd=DOUBLE.parents[1],
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
