"""Whether a device computes the same model as torch, with weights that make every layout mistake show.

Freshly initialised weights would not do: their attention looks at everything alike, so that rotating the wrong rows
changes next to nothing. These are larger, and attention is sharp.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.model.llama import Llama

Floats = NDArray[np.float32]

#: Share of the logits' size by which bfloat16 may differ from float32. Layout mistakes differ by a multiple of this.
TOLERANCE = 0.08


def telling_weights(config: ModelConfig, seed: int = 1) -> dict[str, Floats]:
    """Weights of a size that trained ones have, with queries and keys large enough for sharp attention."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        if len(shape) == 1:
            values = generator.uniform(0.5, 1.5, shape)
        else:
            gain = 2.0 if name.endswith(("q_proj.weight", "k_proj.weight")) else 1.0
            values = generator.normal(0.0, gain / np.sqrt(shape[1]), shape)
        weights[name] = values.astype(np.float32)
    return weights


def some_tokens(config: ModelConfig, rows: int, seed: int = 2) -> NDArray[np.int64]:
    """Random tokens [rows, T]."""
    return np.random.default_rng(seed).integers(0, config.vocab_size, (rows, config.max_seq_len))


@torch.no_grad()
def torch_logits(config: ModelConfig, weights: dict[str, Floats], tokens: NDArray[np.int64]) -> Floats:
    """The logits [B, T, V] that torch computes in float32."""
    model = Llama(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    model.eval()
    logits: Floats = model(torch.from_numpy(tokens)).numpy()
    return logits


def relative_error(logits: Floats, reference: Floats) -> float:
    """Root mean square difference, as a share of the reference's root mean square."""
    difference = np.sqrt(np.mean(np.square(logits - reference, dtype=np.float64)))
    return float(difference / np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
