"""What the training loop asks of the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trickster_engine.model.llama import Llama

#: Token ids and the ids that follow them, both [B, T].
Batch = tuple[NDArray[np.int64], NDArray[np.int64]]
Arrays = dict[str, NDArray[np.generic]]
#: What a checkpoint holds; each array may only be read when it is asked for.
SavedArrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class StepResult:
    """One update: the mean training loss over its sequences (nats) and the gradient's norm before clipping."""

    loss: float
    grad_norm: float


#: A figure of each part of a model that has it: `embedding`, the blocks by number from 0, `output`.
ByLayer = dict[str, float]


@dataclass(frozen=True)
class LayerStatistics:
    """What each layer does, measured on a sample of the text. `runs.event_types.LayersEvent` explains the fields."""

    grad_norm: ByLayer | None
    update_ratio: ByLayer | None
    weight_norm: ByLayer
    activation_rms: ByLayer
    attention_entropy: ByLayer
    dead_neurons: ByLayer
    effective_rank: ByLayer
    changed_by_future: float
    order: dict[str, float]


class LayerWatch(Protocol):
    """Looks into the model while it is trained, and changes nothing about it: no weight, no random number."""

    def watch_next_update(self) -> None:
        """Have the next update measured: its gradients, and how far it moves the weights."""

    def measure(self, training: Batch, validation: Batch) -> LayerStatistics:
        """Measure the model as it is on samples of both texts, and tell of the update that was watched last."""


class NonFiniteError(Exception):
    """The loss or the gradient of a step is NaN or infinite. The weights have not been touched."""

    def __init__(self, result: StepResult) -> None:
        super().__init__(f"loss {result.loss}, gradient norm {result.grad_norm}")
        self.result = result


class Backend(Protocol):
    """A device with a model on it. Opened by `open_backend`; `close` is called in a `finally`, once."""

    @property
    def name(self) -> str:
        """`torch` or `ttml`."""

    @property
    def device(self) -> str:
        """The device in words a person knows, for instance `cpu` or `NVIDIA H200`."""

    @property
    def precision(self) -> str:
        """`fp32` or `bf16`: what the matrix products of training use."""

    @property
    def compiled(self) -> bool:
        """Whether the model was compiled into fewer kernels. Another rounding follows, so a run keeps to one way."""

    @property
    def versions(self) -> dict[str, str]:
        """The libraries a result depends on."""

    @property
    def layer_watch(self) -> LayerWatch | None:
        """What measures layers, in the process that writes events; None where this device cannot."""

    def notices(self) -> list[tuple[str, str, str]]:
        """What has come up since the last call that a person should know: code, message, advice. The run goes on."""

    def step(self, micro_batches: Sequence[Batch], factor: float) -> StepResult:
        """Do one update over equally large micro-batches, with every learning rate multiplied by `factor`.

        Raises NonFiniteError before the update where the loss or the gradient is not finite.
        """

    def evaluate(self, batches: Iterable[Batch]) -> float:
        """Mean cross-entropy over all targets, in nats, without dropout."""

    def sampling_model(self) -> Llama:
        """A torch model with the present weights, to generate text with. It is read, never changed."""

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """All weights under their canonical names and shapes (`config.shapes.weight_shapes`)."""

    def optimizer_state(self) -> Mapping[str, NDArray[np.generic]]:
        """The optimizer's memory; empty where the backend cannot give it."""

    def random_state(self) -> Arrays:
        """The state of every random generator that training draws from."""

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint. Random state is restored last."""

    def close(self) -> None:
        """Give the device back. Must not raise."""
