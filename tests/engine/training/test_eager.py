"""Our optimizers are torch's, to the bit, and do without its compiler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from trickster_engine.backends.torch.eager import EagerAdamW


def trained(make: Callable[..., torch.optim.Optimizer], fused: bool) -> list[torch.Tensor]:
    """Two weights, one of them without decay, after some updates, and what the optimizer remembers of them."""
    torch.manual_seed(1)
    weights = [nn.Parameter(torch.randn(64, 48)), nn.Parameter(torch.randn(48))]
    groups = [{"params": weights[:1], "weight_decay": 0.1}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = make(groups, lr=1e-2, betas=(0.9, 0.95), fused=fused)
    for step in range(5):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (step + 1)
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        torch.autograd.backward(sum((weight.square().sum() for weight in weights), torch.zeros(())))
        optimizer.step()
    assert all(weight.grad is not None and weight.grad_fn is None for weight in weights)
    memory = [optimizer.state[weight][kind] for weight in weights for kind in ("step", "exp_avg", "exp_avg_sq")]
    return [*(weight.detach() for weight in weights), *memory]


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_is_torch_s_to_the_bit(fused: bool) -> None:
    for ours, theirs in zip(trained(EagerAdamW, fused), trained(torch.optim.AdamW, fused), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_that_compiles_nothing_does_not_load_torch_s_compiler(
    tiny_config: Callable[..., Path], optimizer: str
) -> None:
    path = tiny_config(training_config={"max_steps": 4, "save_interval": 2, "optimizer": optimizer, "compile": "never"})
    script = (
        "import sys; from trickster_engine.cli import main; code = main(['train', sys.argv[1]]);"
        "sys.exit(code or ('torch._dynamo' in sys.modules and 'the compiler is loaded'))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
