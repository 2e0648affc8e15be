"""Training on Tenstorrent boards through ttml.

This has been exercised on a double of ttml only, which proves the logic of this adapter and not that it runs on a
board: `ttml_package.SILICON` says so wherever a person could think otherwise.
"""

from __future__ import annotations

import logging
import math
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from trickster_engine.backends.base import Arrays, Batch, NonFiniteError, SavedArrays, StepResult
from trickster_engine.backends.torch.losses import summed_cross_entropy
from trickster_engine.backends.ttml.device import TtmlDevice
from trickster_engine.backends.ttml.ending import EndingGuard
from trickster_engine.backends.ttml.mesh import check_mesh
from trickster_engine.backends.ttml.model import TtmlModel, create_model
from trickster_engine.backends.ttml.optimizers import TtmlOptimizer, can_clip, clip_gradients, create_optimizer
from trickster_engine.backends.ttml.package import import_ttml, prepare_environment
from trickster_engine.backends.ttml.rules import check_rules
from trickster_engine.backends.ttml.state import from_canonical, steps_of, to_canonical
from trickster_engine.backends.ttml.watchdog import Watchdog
from trickster_engine.backends.ttml.weights import TtmlLayout
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.model.llama import Llama
from trickster_engine.system.substitutes import lacking, substitute

log = logging.getLogger(__name__)

#: Logits that are brought to the host at once in an evaluation, in numbers (128 MiB).
LOGITS_AT_ONCE = 2**25

T = TypeVar("T")
#: code, message, advice
Notice = tuple[str, str, str]


class TtmlBackend:
    """The model, its optimizer and one line of Tenstorrent chips."""

    name = "ttml"
    precision = "bf16"
    compiled = False  # tt-metal compiles kernels of its own, whatever is asked
    layer_watch = None  # ttml gives no gradients by name, and what passes between its layers stays on the board

    def __init__(self, plan: Plan, report: Callable[[str], None] = log.info, stall_events: Path | None = None) -> None:
        """Open the device, put a freshly initialised model on it and compile its kernels with a step that is undone.

        `report` is told what takes long. `stall_events` receives a warning event when the device stops answering.
        Raises TricksterError; the device is closed then.
        """
        check_rules(plan)
        stands_in = substitute()
        for lack in lacking(stands_in) if stands_in else ():
            if lack.needed:  # ttnn would fail, and not say why
                raise TricksterError(lack.code, lack.message, lack.advice)
        prepare_environment()
        chips = check_mesh(plan)
        self._plan = plan
        self._notices: list[Notice] = []
        self._notified: set[str] = set()
        self._watchdog = Watchdog(stall_events)
        self._host_model: Llama | None = None
        self._model: TtmlModel | None = None
        self._optimizer: TtmlOptimizer | None = None
        self._updates = 0
        self._seed = plan.training.seed
        self._simulated = stands_in is not None and stands_in.simulates
        self._device: TtmlDevice | None = None
        self._ending = EndingGuard()
        try:
            report("Opening the Tenstorrent device.")
            ttml, ttnn = import_ttml()
            if stands_in:
                self._notify(
                    "not-a-board",
                    f"{stands_in.variable} is set: this run uses a simulator, not a board. Its speed says nothing "
                    "about a board.",
                    f"Unset {stands_in.variable} to train on the board.",
                )
            with self._watchdog.watching(first=True):
                self._device = TtmlDevice(ttml, ttnn, chips, self._seed)
            self.device = self._device.describe()
            self.versions = {
                "python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__,
                **self._device.versions,
            }  # fmt: skip
            if plan.training.grad_clip > 0 and not can_clip(self._device):
                raise TricksterError(
                    "ttml-cannot-clip",
                    f"grad_clip is {plan.training.grad_clip:g}, and this ttml has no gradient clipping.",
                    "Set training_config.grad_clip: 0, or update tt-metal.",
                )
            self._notify(
                "ttml-loss-rounded",
                "ttml returns the training loss in bfloat16: in steps of 1/64 between 2 and 4, of 1/128 between 1 and "
                "2. The displayed loss is the mean over the steps in between; evaluations are not rounded.",
                "No action is needed. Judge by the validation loss, or by a smoothed curve.",
            )
            self._model = create_model(self._device, plan.model)
            self._layout = TtmlLayout(plan.model, self._model.shapes())
            self._start_weights()
            self._compile(report)
            self._start_weights()
        except BaseException:
            self.close()
            raise

    # --- the contract ------------------------------------------------------------------------------------------------

    def step(self, micro_batches: Sequence[Batch], factor: float) -> StepResult:
        """Do one update. See `Backend.step`. Each micro-batch's loss comes back in bfloat16: to two or three digits."""
        with self._watchdog.watching():
            return self._step(micro_batches, factor)

    def evaluate(self, batches: Iterable[Batch]) -> float:
        """Mean cross-entropy in nats, from logits brought to the host, so that it is as exact as they are.

        A simulated chip would take days over it: there torch computes it with the weights that were read.
        """
        if self._simulated:
            return self._evaluate_on_host(batches)
        total, count = 0.0, 0
        for inputs, targets in batches:
            for logits, wanted in self._logits(inputs, targets):
                total += summed_cross_entropy(torch.from_numpy(logits)[None], torch.from_numpy(wanted)).item()
                count += wanted.size
        return total / count

    @torch.no_grad()
    def _evaluate_on_host(self, batches: Iterable[Batch]) -> float:
        self._notify(
            "evaluated-on-the-host",
            "A simulated chip is slow, so torch computes the evaluation losses on this computer, from the chip's "
            "weights. The training loss is the chip's own.",
            "No action is needed.",
        )
        model, total, count = self.sampling_model(), 0.0, 0
        for inputs, targets in batches:
            logits = model(torch.from_numpy(inputs))
            total += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1).float(), torch.from_numpy(targets).flatten(), reduction="sum"
            ).item()
            count += targets.size
        return total / count

    def logits(self, inputs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [B, T, V] of tokens [B, T], without dropout."""
        rows = [logits for logits, _ in self._logits(inputs, inputs)]
        return np.concatenate(rows).reshape(*inputs.shape, -1)

    def sampling_model(self) -> Llama:
        """A copy of the model on the host, with the present weights."""
        if self._host_model is None:
            self._host_model = Llama(self._plan.model)
            self._host_model.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights().items()})
            self._host_model.eval()
        return self._host_model

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All weights under their canonical names: in full where the optimizer keeps them so, else as bfloat16."""
        return self._layout.from_ttml({**self._live_model.arrays(), **self._live_optimizer.master_weights()})

    def optimizer_state(self) -> Arrays:
        """The optimizer's memory under canonical names, as torch keeps it; empty where ttml does not give it."""
        states = self._live_optimizer.state()
        if not states and self._updates:
            self._notify(
                "optimizer-state-not-saved",
                "This ttml does not expose its optimizer state: checkpoints contain only the weights, and the loss "
                "jumps for a while after resuming from one.",
                "Update tt-metal, and let runs finish if you can.",
            )
        return to_canonical(states, self._layout)

    def random_state(self) -> Arrays:
        """Where the generator on the device was started, and how many updates ago."""
        return {"ttml": np.array([self._seed, self._updates], dtype=np.int64)}

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint, of this or of any other backend."""
        weights, optimizer_state = dict(weights), dict(optimizer_state)
        self._put(weights)
        states = from_canonical(optimizer_state, self._layout, self._live_optimizer.state(), weights)
        begins = "ttml" in random_state and not random_state["ttml"][1]  # from weights, and no update is done
        if not begins and (not states or not self._live_optimizer.load_state(states)):
            self._notify(
                "optimizer-state-lost",
                "The optimizer starts with an empty state: "
                + ("the checkpoint has no matching state." if not states else "this ttml cannot load it."),
                "Expect the loss to jump and to recover within a few hundred steps.",
            )
        self._updates = steps_of(optimizer_state)
        if "ttml" in random_state:
            self._seed, self._updates = (int(value) for value in random_state["ttml"])
        self._continue_random()

    def notices(self) -> list[Notice]:
        """What the person should know about this device: code, message and advice, each given once."""
        notices, self._notices = self._notices, []
        return notices

    def close(self) -> None:
        """Give the device back. Safe to call at any time and more than once."""
        device, self._device = self._device, None
        # Tensors must be freed before their device: ours, and those that the frames of a failed step still hold.
        self._model = self._optimizer = None
        error = sys.exc_info()[1]
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__
        if device is not None:
            device.close()
        self._watchdog.close()
        self._ending.release()

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step(self, micro_batches: Sequence[Batch], factor: float) -> StepResult:
        self._ending.check()
        model, optimizer, device = self._live_model, self._live_optimizer, self._live_device
        self._host_model = None
        optimizer.zero_grad()
        losses = []
        for inputs, targets in micro_batches:
            self._check_tokens(inputs, targets)
            logits = model.forward(inputs, training=True)
            loss = device.loss(logits, device.tensors.upload_tokens(targets, targets.shape))
            device.backward(loss, 1.0 / len(micro_batches))
            losses.append(float(device.tensors.download(loss).mean()))
            del logits, loss
            device.forget_graph()
        norm = clip_gradients(device, model, self._plan.training.grad_clip)
        result = StepResult(math.fsum(losses) / len(losses), norm)
        if not (math.isfinite(result.loss) and math.isfinite(result.grad_norm)):
            optimizer.zero_grad()
            raise NonFiniteError(result)
        optimizer.step(factor)
        self._updates += 1
        return result

    def _logits(
        self, inputs: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Logits [tokens, V] and targets [tokens], some rows at a time.

        The device always sees the same shape, because every new one compiles kernels: short rows and short batches are
        filled up with zeros. A causal model does not look ahead, so what is real comes out as it would alone.
        """
        self._ending.check()
        model, device, config = self._live_model, self._live_device, self._plan.model
        self._check_tokens(inputs, targets)
        length = config.max_seq_len
        at_once = max(1, LOGITS_AT_ONCE // (length * config.vocab_size))
        rows = max(device.chips, min(at_once, self._plan.training.batch_size) // device.chips * device.chips)
        for first in range(0, len(inputs), rows):
            real = inputs[first : first + rows]
            filled = np.zeros((rows, length), dtype=np.int64)
            filled[: len(real), : real.shape[1]] = real
            with self._watchdog.watching(), device.gradients_off():
                logits = device.tensors.download(model.forward(filled, training=False))
                device.forget_graph()
            kept = logits.reshape(rows, length, config.vocab_size)[: len(real), : real.shape[1]]
            yield (
                np.ascontiguousarray(kept).reshape(-1, config.vocab_size),
                np.ascontiguousarray(targets[first : first + rows]).reshape(-1),
            )

    def _check_tokens(self, inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
        """A token beyond the vocabulary is silent garbage on the device, or a fault."""
        largest = max(int(inputs.max()), int(targets.max()))
        if largest >= self._plan.model.vocab_size or min(int(inputs.min()), int(targets.min())) < 0:
            raise TricksterError(
                "token-out-of-range",
                f"The data contains token {largest}, and model_config.vocab_size is {self._plan.model.vocab_size}.",
                f"Set vocab_size to at least {largest + 1}, or prepare the data with this config's tokenizer.",
            )

    # --- beginning ---------------------------------------------------------------------------------------------------

    def _start_weights(self) -> None:
        """Random weights, the same as every other backend starts from, and an optimizer that knows nothing yet."""
        host = Llama(self._plan.model).initialize(self._plan.training.seed)
        self._put({name: tensor.numpy() for name, tensor in host.state_dict().items()})
        self._updates = 0
        self._live_device.reseed(self._seed)

    def _put(self, weights: dict[str, NDArray[np.float32]]) -> None:
        """Weights first, then a new optimizer: AdamW in full precision copies the weights when it is made."""
        self._optimizer = None
        self._host_model = None
        self._live_model.assign(self._layout.to_ttml(weights))
        self._optimizer = create_optimizer(self._live_device, self._live_model, self._plan.training, self._notify)

    def _compile(self, report: Callable[[str], None]) -> None:
        """Do one step on zeros, so that compiling kernels counts in no speed and its failure comes before training."""
        report("Compiling kernels for this model: up to a minute the first time, later a few seconds.")
        began = time.perf_counter()
        config, training = self._plan.model, self._plan.training
        zeros = np.zeros((training.batch_size, config.max_seq_len), dtype=np.int64)
        micro_batches = [(zeros, zeros)] * min(2, training.gradient_accumulation_steps)
        with self._watchdog.watching(first=True):
            try:
                self._step(micro_batches, 1.0)
            except NonFiniteError as error:
                raise TricksterError(
                    "first-step-not-finite",
                    f"The first step on the device gives {error}: it does not compute what Trickster expects.",
                    "Run `trickster doctor --self-test` and attach its report to an issue.",
                ) from error
        report(f"Kernels are ready after {time.perf_counter() - began:.1f} s ({self._live_model.implementation} Llama, "
               f"{self._live_optimizer.names}).")  # fmt: skip

    def _continue_random(self) -> None:
        """ttml does not give its generator's state: go on from a seed that is a function of where the run is."""
        self._live_device.reseed(int(np.random.SeedSequence([self._seed, self._updates]).generate_state(1)[0]))
        if self._updates:
            self._notify(
                "resume-not-bit-for-bit",
                "ttml does not expose the state of its random generator: the resumed run is valid, but not bit for "
                "bit the same as without the stop.",
                "No action is needed.",
            )

    def _notify(self, code: str, message: str, advice: str) -> None:
        if code not in self._notified:
            self._notified.add(code)
            self._notices.append((code, message, advice))

    @property
    def _live_device(self) -> TtmlDevice:
        return _live(self._device)

    @property
    def _live_model(self) -> TtmlModel:
        return _live(self._model)

    @property
    def _live_optimizer(self) -> TtmlOptimizer:
        return _live(self._optimizer)


def _live(part: T | None) -> T:
    if part is None:
        raise RuntimeError("the backend is closed")
    return part
