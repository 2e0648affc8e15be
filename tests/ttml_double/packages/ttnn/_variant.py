"""Which build of ttml is doubled, and what is to go wrong in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    # what the build has
    python_llama: bool = True
    cpp_old_names: bool = False
    fused_qkv: bool = False
    fused_gate_up: bool = False
    config_fields_missing: tuple[str, ...] = ()
    clip_grad_norm: bool = True
    stochastic_rounding: bool = True
    weight_decay_skip_1d: bool = True
    full_precision: bool = True
    muon: str = "Muon"  # "" for none
    open_device_mesh: bool = True
    close_device_mesh: bool = True
    parallelism_context: bool = True
    replicated_once: bool = False  # a composer brings a replicated tensor back once, not once a chip
    wrapped_parameters: bool = False
    state_dict: str = "full"  # full | read-only (restoring raises) | none (reading raises)
    enums_in_ttnn: bool = True
    auto_context: bool = True
    stale_full_view: bool = False  # the FULL view of a bfloat16 tensor is kept, and fused AdamW writes past it
    native_precision: bool = False  # PreferredPrecision.NATIVE; the FULL view is made anew after each write
    # the machine
    chips: int = 1
    # what goes wrong
    import_error: str = ""
    fail_at: str = ""  # "<place>:<nth call>", place one of open, model, forward, backward, step, to_numpy, close
    hang_at: str = ""  # the same; hangs instead of raising
    hang_seconds: float = 30.0
    nan_at_loss: int = 0
    first_step_seconds: float = 0.0
    #: split_half_rope | v_before_k | gate_up_swapped | tiled_gqa | stale_reads | assign_lost | loss_scaled |
    #: gradients_halved | gradients_kept | rate_ignored | step_lost | uphill | wrong_beta | state_lost | state_unused
    mistake: str = ""
    graph_limit: int = 3000  # nodes


def _read() -> Variant:
    values = json.loads(os.environ.get("TTML_DOUBLE", "{}"))
    if "config_fields_missing" in values:
        values["config_fields_missing"] = tuple(values["config_fields_missing"])
    return Variant(**values)


VARIANT = _read()
