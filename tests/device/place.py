"""Where this folder's code runs, and the plans it trains there."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch

from trickster_engine.config import preset_plan
from trickster_engine.config.plan import Plan

DEVICE = os.environ.get("TRICKSTER_DEVICE", "cuda")
ON_GPU = DEVICE == "cuda"
MISSING = ON_GPU and not torch.cuda.is_available()


def plan_of(preset: str, model: dict[str, Any] | None = None, **training: Any) -> Plan:
    """A preset for this device, changed; without a GPU narrowed so far that it takes no time."""
    base = preset_plan(preset)
    shape, settings = dict(model or {}), dict(training)
    if not ON_GPU:
        shape |= {
            "hidden_dim": 32,
            "mlp_dim": 64,
            "num_layers": 2,
            "num_heads": 2,
            "num_kv_heads": 2,
            "max_seq_len": 32,
        }
        settings |= {"batch_size": 2, "gradient_accumulation_steps": min(2, base.training.gradient_accumulation_steps)}
        settings = {"compile": "never", **settings}
    return replace(
        base,
        model=replace(base.model, **shape),
        training=replace(base.training, **settings),
        device=replace(base.device, device_type=DEVICE),
    )
