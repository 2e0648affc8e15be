"""What each layer of a torch model does while it is trained. It only reads: no weight or random state changes.

Letters in the comments on shapes: B sequences, T tokens each, D hidden_dim, H heads, C head_dim, F mlp_dim.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trickster_engine.backends.base import Batch, ByLayer, LayerStatistics
from trickster_engine.backends.torch.losses import summed_cross_entropy
from trickster_engine.model.attention import attention_scores
from trickster_engine.model.llama import Attention, Block, Llama, RotaryEmbedding

#: A neuron counts as dead where its activation never leaves this share of the layer's root mean square.
NEAR_ZERO = 0.01
#: A prediction counts as changed from this share of the largest logit on; fp32 strays by a millionth.
_ROUNDING = 1e-5
#: Positions whose singular values are taken: more cost time and say the same.
_RANKED = 256


class TorchLayerWatch:
    """Measures a model that this process holds whole. `backends.base.LayerWatch` says what is asked of it."""

    def __init__(self, model: Llama) -> None:
        self._model = model
        self._watching = False
        self._before: dict[str, Tensor] = {}
        self._grad_norm: ByLayer | None = None
        self._update_ratio: ByLayer | None = None

    def watch_next_update(self) -> None:
        """Have the next update measured."""
        self._watching = True

    @torch.no_grad()
    def before_update(self) -> None:
        """Take in the gradients, which are whole and not clipped yet, and remember the weights."""
        if not self._watching:
            return
        gradients = {
            name: torch.zeros(()) if weight.grad is None else weight.grad for name, weight in self._weights().items()
        }
        self._grad_norm = _norms(gradients)
        self._before = {name: weight.clone() for name, weight in self._weights().items()}

    @torch.no_grad()
    def after_update(self) -> None:
        """Compare the weights with those before the update."""
        if not self._watching:
            return
        self._watching = False
        before, self._before = self._before, {}
        whole = _norms(before)
        moved = _norms({name: before[name].sub_(weight) for name, weight in self._weights().items()})  # in its place
        self._update_ratio = {layer: norm / whole[layer] if whole[layer] else 0.0 for layer, norm in moved.items()}

    @torch.no_grad()
    def measure(self, training: Batch, validation: Batch) -> LayerStatistics:
        """Measure the model as it is. Each batch: inputs and targets [B, T]."""
        self._model.eval()
        inputs, targets = self._placed(training)
        with self._hooked() as found:
            logits = self._model(inputs)
        loss = summed_cross_entropy(logits, targets).item() / targets.numel()
        return LayerStatistics(
            grad_norm=self._grad_norm,
            update_ratio=self._update_ratio,
            weight_norm=_norms(self._weights()),
            activation_rms=found["activation_rms"],
            attention_entropy=found["attention_entropy"],
            dead_neurons=found["dead_neurons"],
            effective_rank=found["effective_rank"],
            changed_by_future=self._changed_by_future(inputs[:1]),
            order={
                "training": self._loss(_shuffled(training)) - loss,
                "validation": self._loss(_shuffled(validation)) - self._loss(validation),
            },
        )

    def _weights(self) -> dict[str, Tensor]:
        return dict(self._model.named_parameters())

    def _placed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = (torch.from_numpy(np.ascontiguousarray(part)).to(self._model.device) for part in batch)
        return inputs, targets

    def _loss(self, batch: Batch) -> float:
        inputs, targets = self._placed(batch)
        return summed_cross_entropy(self._model(inputs), targets).item() / targets.numel()

    def _changed_by_future(self, inputs: Tensor) -> float:
        """The share of predictions in the first half of inputs [1, T] that other tokens in the second half change."""
        half = inputs.shape[1] // 2
        if half == 0:
            return 0.0
        others = inputs.clone()
        others[:, half:] = (others[:, half:] + 1) % self._model.config.vocab_size
        logits, changed = (self._model(tokens)[:, :half] for tokens in (inputs, others))
        strayed = (logits - changed).abs().amax(-1) > _ROUNDING * logits.abs().amax().clamp_min(1e-30)
        return float(strayed.float().mean())

    @contextmanager
    def _hooked(self) -> Iterator[dict[str, ByLayer]]:
        """Have one forward pass measured, on its way through the modules."""
        found: dict[str, ByLayer] = defaultdict(dict)
        decoder = self._model.model

        def output(layer: str, ranked: bool) -> Callable[..., None]:
            def hook(_module: object, _inputs: object, x: Tensor) -> None:
                found["activation_rms"][layer] = x.square().mean().sqrt().item()
                if ranked:
                    found["effective_rank"][layer] = effective_rank(x.flatten(0, -2))

            return hook

        def attention(layer: str) -> Callable[..., None]:
            def hook(module: Attention, inputs: tuple[Any, ...]) -> None:
                found["attention_entropy"][layer] = _attention_entropy(module, *inputs)

            return hook

        def neurons(layer: str) -> Callable[..., None]:
            def hook(_module: object, inputs: tuple[Tensor, ...]) -> None:
                activations = inputs[0].flatten(0, -2)  # [B T, F]
                dead = activations.abs().amax(0) < NEAR_ZERO * activations.square().mean().sqrt()
                found["dead_neurons"][layer] = dead.float().mean().item()

            return hook

        with ExitStack() as hooks:
            handles = [
                decoder.embed_tokens.register_forward_hook(output("embedding", ranked=False)),
                decoder.norm.register_forward_hook(output("output", ranked=False)),
            ]
            for number, block in enumerate(decoder.layers):
                layer = str(number)
                assert isinstance(block, Block)
                handles += [
                    block.register_forward_hook(output(layer, ranked=True)),
                    block.self_attn.register_forward_pre_hook(attention(layer)),
                    block.mlp.down_proj.register_forward_pre_hook(neurons(layer)),
                ]
            for handle in handles:
                hooks.callback(handle.remove)
            yield found


def layer_of(name: str) -> str:
    """The layer that a weight belongs to: `embedding`, the number of its block, or `output`."""
    parts = name.split(".")
    if "layers" in parts:
        return parts[parts.index("layers") + 1]
    return "embedding" if "embed_tokens" in parts else "output"


def effective_rank(x: Tensor) -> float:
    """The exponential of the entropy of the singular values of x [N, D] less its mean (Roy & Vetterli 2007, EUSIPCO).

    1 where all rows lie on one line, D where they fill the space evenly. Of some of the rows, evenly spread.
    """
    rows = x[:: max(1, len(x) // _RANKED)][:_RANKED].cpu().double()  # Apple's GPUs have no doubles
    centred = rows - rows.mean(0)
    # The squares of the singular values are the eigenvalues of the smaller product: a fifth of the time at D = 1024.
    square = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = torch.linalg.eigvalsh(square).clamp_min(0).sqrt()
    shares = singular / singular.sum().clamp_min(1e-300)
    return math.exp(float(torch.special.entr(shares).sum()))


def _attention_entropy(
    module: Attention, x: Tensor, rotary: RotaryEmbedding, _cache: None, _layer: int, mask: Tensor | None = None
) -> float:
    """The mean entropy of a layer's attention over x [B, T, D], as a share of the greatest; given what it is given."""
    q, k = (
        rotary(projection(x).view(*x.shape[:2], -1, module.head_dim), 0).transpose(1, 2)
        for projection in (module.q_proj, module.k_proj)
    )
    scores = attention_scores(q, k, mask)
    entropy = torch.special.entr(scores.softmax(-1)).sum(-1)  # [B, H, T]
    greatest = (scores != -torch.inf).sum(-1).float().log()
    chooses = greatest > 0
    return float((entropy[chooses] / greatest[chooses]).mean()) if bool(chooses.any()) else 1.0


def _norms(tensors: dict[str, Tensor]) -> ByLayer:
    """The Euclidean norm of all that belongs to a layer, by layer."""
    squares: dict[str, list[Tensor]] = defaultdict(list)
    for name, tensor in tensors.items():
        squares[layer_of(name)].append(torch.linalg.vector_norm(tensor.float()).square().cpu())
    return {layer: math.sqrt(float(torch.stack(parts).sum())) for layer, parts in squares.items()}


def _shuffled(batch: Batch) -> Batch:
    """The same windows with their tokens in another order, always the same one; targets follow inputs as before."""
    inputs, targets = batch
    whole = np.concatenate((inputs, targets[:, -1:]), axis=1)
    order = np.argsort(np.random.PCG64(0).random_raw(whole.shape[1]), kind="stable")
    shuffled = whole[:, order]
    return shuffled[:, :-1], shuffled[:, 1:]
