"""Training with torch on a CPU, a CUDA GPU or Apple's GPU."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trickster_engine.backends.base import Arrays, Batch, NonFiniteError, SavedArrays, StepResult
from trickster_engine.backends.torch.bf16 import bf16_slowdown, cpu_emulates_bf16
from trickster_engine.backends.torch.compilation import compile_blocks
from trickster_engine.backends.torch.freed_memory import keep_freed_memory
from trickster_engine.backends.torch.losses import summed_cross_entropy, training_loss
from trickster_engine.backends.torch.optimizers import Optimizers
from trickster_engine.config.plan import Plan
from trickster_engine.estimates.compute import worth_compiling
from trickster_engine.model.llama import Llama


class TorchBackend:
    """The model, its optimizer and one torch device."""

    name = "torch"

    def __init__(
        self,
        plan: Plan,
        device: str,
        precision: str | None = None,
        compiled: bool | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Put a freshly initialised model on `device`.

        `precision` and `compiled` are what an earlier part of the same run settled on; None decides from the plan.
        `report` is told what takes long.
        """
        self._plan = plan
        self._notices: list[tuple[str, str, str]] = []
        self._device = torch.device(device)
        if self._device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(plan.training.seed)
        self.model = self._placed(Llama(plan.model).initialize(plan.training.seed))
        self.model.model.recompute_blocks = plan.training.activation_checkpointing
        self._network: nn.Module = self.model  # what training's forward pass goes through
        self.precision = precision or plan.training.precision
        if self.precision == "auto":
            self.precision = self._faster_precision()
        elif self.precision == "bf16" and self._emulates_bf16():
            self._notices.append(_slow_bf16())
        muon_dtype = torch.float32 if self._device.type == "cpu" and self.precision == "fp32" else torch.bfloat16
        self._optimizers = Optimizers(self.model, plan.training, muon_dtype)
        if compiled is None:
            wanted = plan.training.compile
            compiled = wanted == "always" or (wanted == "auto" and worth_compiling(plan, self._device.type))
        self.compiled = compiled and self._compile(report)

    @property
    def device(self) -> str:
        """The device in words."""
        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return "Apple GPU (mps)" if self._device.type == "mps" else "cpu"

    @property
    def versions(self) -> dict[str, str]:
        """The libraries a result depends on."""
        return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}

    def notices(self) -> list[tuple[str, str, str]]:
        """What has come up since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def step(self, micro_batches: Sequence[Batch], factor: float) -> StepResult:
        """Do one update. See `Backend.step`."""
        self.model.train()
        loss = 0.0
        for number, batch in enumerate(micro_batches, start=1):
            inputs, targets = self._share(batch)
            with self._gradients_shared(last=number == len(micro_batches)):
                micro_loss = self._loss(self._tensor(inputs), self._tensor(targets)) / len(micro_batches)
                torch.autograd.backward(micro_loss)
            loss += micro_loss.item()
        loss = self._mean_loss(loss)
        norm = self._clipped_norm()
        result = StepResult(loss, norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._optimizers.zero_grad()
            raise NonFiniteError(result)
        self._update(factor)
        return result

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> float:
        """Mean cross-entropy in nats. Always in full precision, so that any machine finds the same figure."""
        self.model.eval()
        total, count = 0.0, 0
        for batch in batches:
            inputs, targets = self._share(batch)
            total += self._summed_loss(inputs, targets)
            count += targets.size
        total, count = self._whole_sum(total, count)
        return total / count

    def sampling_model(self) -> Llama:
        """The model that is being trained."""
        return self.model

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """All weights under their canonical names."""
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in self.model.state_dict().items()}

    def optimizer_state(self) -> Mapping[str, NDArray[np.generic]]:
        """The optimizer's memory."""
        return self._optimizers.state()

    def random_state(self) -> Arrays:
        """The generators that dropout draws from."""
        state: Arrays = {"cpu": torch.get_rng_state().numpy()}
        if self._device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self._device).numpy()
        elif self._device.type == "mps":
            state["mps"] = torch.mps.get_rng_state().numpy()
        return state

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint."""
        self._load_weights(weights)
        self._optimizers.load_state(optimizer_state)
        self._set_random_state(random_state)

    def close(self) -> None:
        """Give cached device memory back."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self._network(inputs)
        return training_loss(logits, targets, self._plan.training)

    def _clip(self) -> Tensor:
        """Clip the gradients and return their norm before."""
        limit = self._plan.training.grad_clip
        return torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit if limit > 0 else math.inf)

    def _update(self, factor: float) -> None:
        self._optimizers.step(factor)
        self._optimizers.zero_grad()

    # What a backend that shares the work among processes does otherwise (`ddp.py`, `fsdp.py`).

    def _placed(self, model: Llama) -> Llama:
        return model.to(self._device)

    def _load_weights(self, weights: SavedArrays) -> None:
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def _share(self, batch: Batch) -> Batch:
        return batch

    def _gradients_shared(self, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def _clipped_norm(self) -> float:
        return self._clip().item()

    def _mean_loss(self, loss: float) -> float:
        return loss

    def _whole_sum(self, total: float, count: int) -> tuple[float, int]:
        return total, count

    def _summed_loss(self, inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> float:
        if targets.size == 0:  # fewer rows than processes
            return 0.0
        return summed_cross_entropy(self.model(self._tensor(inputs)), self._tensor(targets))

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)

    def _set_random_state(self, random_state: SavedArrays) -> None:
        for kind, state in random_state.items():
            generator_state = torch.from_numpy(state.copy())
            if kind == "cpu":
                torch.set_rng_state(generator_state)
            elif kind == "cuda" and self._device.type == "cuda":
                torch.cuda.set_rng_state(generator_state, self._device)
            elif kind == "mps" and self._device.type == "mps":
                torch.mps.set_rng_state(generator_state)

    def _compile(self, report: Callable[[str], None]) -> bool:
        report("compiling the model for this device (up to a minute the first time)")
        problem = compile_blocks(self.model, lambda: self._trial_pass(self._plan.training.batch_size))
        if problem is not None and self._plan.training.compile == "always":
            self._notices.append(
                (
                    "not-compiled",
                    f"The model could not be compiled, so it trains without compilation, more slowly: {problem}",
                    "Compilation needs a C++ compiler. To train without it, set training_config.compile: never.",
                )
            )
        return problem is None

    def _trial_pass(self, sequences: int) -> None:
        """One forward and backward pass in the shapes of training that leaves no trace."""
        tokens = torch.zeros((sequences, self._plan.model.max_seq_len), dtype=torch.long, device=self._device)
        random_state = self.random_state()
        self.model.train()
        loss = self._loss(tokens, tokens)
        torch.autograd.backward(loss)
        loss.item()  # waits for the device
        self.model.zero_grad()
        self._set_random_state(random_state)

    def _faster_precision(self) -> str:
        """Time forward and backward passes in either precision on this very model, and take the quicker.

        Whether a model is large enough to gain from bf16 is best asked by trying; where a processor only emulates it,
        trying would take minutes.
        """
        if self._emulates_bf16():
            return "fp32"
        sequences = min(self._plan.training.batch_size, max(1, 2048 // self._plan.model.max_seq_len))
        seconds: dict[str, float] = {}
        for self.precision in ("fp32", "bf16"):
            laps = []
            for _ in range(3):
                start = time.perf_counter()
                self._trial_pass(sequences)
                laps.append(time.perf_counter() - start)
            seconds[self.precision] = min(laps)
        return min(seconds, key=lambda precision: seconds[precision])

    def _emulates_bf16(self) -> bool:
        return self._device.type == "cpu" and cpu_emulates_bf16()


def _slow_bf16() -> tuple[str, str, str]:
    return (
        "bf16-emulated",
        f"This CPU has no bf16 instructions: its matrix products take {bf16_slowdown():.0f} times as long as in fp32.",
        "Set training_config.precision: auto, which uses the faster one.",
    )
