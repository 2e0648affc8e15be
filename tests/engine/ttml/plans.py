"""Small plans for the double."""

from __future__ import annotations

import dataclasses
from typing import Any

from trickster_engine.config.plan import DeviceConfig, ModelConfig, Plan, TrainingConfig

MODEL = ModelConfig(
    vocab_size=64,
    hidden_dim=128,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    mlp_dim=96,
    max_seq_len=32,
    dropout=0.0,
    rope_theta=500.0,
)
TRAINING = TrainingConfig(
    batch_size=4,
    gradient_accumulation_steps=1,
    max_steps=200,
    warmup_steps=10,
    learning_rate=2e-3,
    min_learning_rate=2e-4,
)


def plan(model: dict[str, Any] | None = None, chips: int = 1, **training: Any) -> Plan:
    return Plan(
        model=dataclasses.replace(MODEL, **(model or {})),
        training=dataclasses.replace(TRAINING, **training),
        device=DeviceConfig("tt", (1, chips), chips > 1),
    )
