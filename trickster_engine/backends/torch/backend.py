"""Training with torch on a CPU, a CUDA GPU or Apple's GPU: `TorchBackend.step` is one update."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trickster_engine.backends.base import Arrays, Batch, NonFiniteError, SavedArrays, StepResult
from trickster_engine.backends.process_group import SINGLE_PROCESS, ProcessGroup
from trickster_engine.backends.torch.bf16 import bf16_slowdown, cpu_emulates_bf16
from trickster_engine.backends.torch.compilation import compile_with
from trickster_engine.backends.torch.cuda import cuda_options, read_later, to_device, use_repeatable_kernels
from trickster_engine.backends.torch.evaluation_batches import merged, rows_at_once
from trickster_engine.backends.torch.freed_memory import keep_freed_memory
from trickster_engine.backends.torch.fused_block import FusedBlock
from trickster_engine.backends.torch.fused_head import FusedHead
from trickster_engine.backends.torch.kernels.library import Kernels, NoKernelsError, load_kernels
from trickster_engine.backends.torch.kernels_check import require_agreement
from trickster_engine.backends.torch.layer_watch import TorchLayerWatch
from trickster_engine.backends.torch.losses import summed_cross_entropy, training_loss, twice_read_loss
from trickster_engine.backends.torch.optimizers import Optimizers
from trickster_engine.backends.torch.recorded_pass import RecordedPass
from trickster_engine.config.plan import Plan
from trickster_engine.estimates.compute import worth_compiling, worth_compiling_blocks
from trickster_engine.model.llama import Llama, run_block


class TorchBackend:
    """The model, its optimizer and one torch device.

    In a group of processes each trains on its rows of every batch (`ddp.py`, `fsdp.py`), and draws its dropout from a
    generator of its own. A checkpoint holds them all; with another number of processes each takes the one of its rank,
    and those beyond begin with a fresh one.
    """

    name = "torch"

    def __init__(
        self,
        plan: Plan,
        device: str,
        precision: str | None = None,
        compiled: bool | None = None,
        report: Callable[[str], None] = lambda _: None,
        group: ProcessGroup = SINGLE_PROCESS,
        teachers: Sequence[Llama] = (),
    ) -> None:
        """Put a freshly initialised model on `device`, beside those that teach it, if any.

        `precision` and `compiled` are what an earlier part of the same run settled on; None decides from the plan.
        `report` is told what takes long.
        """
        self._plan = plan
        self._group = group
        self._notices: list[tuple[str, str, str]] = []
        self._options = cuda_options()
        self._device = torch.device(f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device)
        on_gpu = self._device.type == "cuda"
        self._take_back = use_repeatable_kernels() if on_gpu and self._options.repeatable else lambda: None
        if self._device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(plan.training.seed)
        self.model = self._placed(Llama(plan.model).initialize(plan.training.seed))
        self.model.model.recompute_blocks = plan.training.activation_checkpointing
        self._teachers = [teacher.to(self._device).eval() for teacher in teachers]
        #: What training's forward pass goes through, and what keeps gradients from being averaged over the processes.
        self._network: nn.Module = self.model
        self._no_sync: Callable[[], AbstractContextManager[None]] = nullcontext
        self._forward = self._forward_pass
        self._head: FusedHead | None = None
        self._recorded: RecordedPass | None = None
        plain = plan.data.mask_documents  # neither our kernels nor what is compiled or recorded masks
        if plain:
            if plan.training.compile == "always":
                why = "with mask_documents, blocks run as they are."
                self._notices.append(_not_compiled(why, "Remove mask_documents, or set training_config.compile: auto."))
            compiled = False
        if compiled is None:
            wanted = plan.training.compile
            compiled = wanted == "always" or (wanted == "auto" and worth_compiling(plan, self._device.type))
        self.precision = precision or plan.training.precision
        kernels = self._fuse_blocks(report) if compiled and self._device.type == "cpu" else None
        if self.precision == "auto":
            self.precision = "fp32" if self._emulates_bf16() else group.broadcast(self._faster_precision(compiled))
        elif self.precision == "bf16" and self._emulates_bf16():
            self._notices.append(_slow_bf16())
        muon_dtype = torch.float32 if self._device.type == "cpu" and self.precision == "fp32" else torch.bfloat16
        self._optimizers = Optimizers(self.model, plan.training, muon_dtype, kernels)
        self._updates_early = on_gpu and self._options.early_update and self._optimizers.can_decide_on_the_device
        self.compiled = kernels is not None or (compiled and self._compile(report))
        recording = on_gpu and self._options.graphs and not plain
        if recording and group.size == 1 and not plan.training.activation_checkpointing:
            self._record()
        if group.size > 1:
            torch.manual_seed(plan.training.seed + group.rank)
        #: Measures layers, in one process of all.
        self.layer_watch = self._make_layer_watch() if group.is_main else None

    @property
    def device(self) -> str:
        """The device in words, and how many of them."""
        words = {"cpu": "cpu", "mps": "Apple GPU (mps)"}.get(self._device.type)
        return (words or torch.cuda.get_device_name(self._device)) + (
            f", {self._group.size} processes" if self._group.size > 1 else ""
        )

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
        losses: list[Tensor] = []
        for number, batch in enumerate(micro_batches, start=1):
            inputs, targets = self._own_rows(batch)
            last = number == len(micro_batches)
            if self._recorded is not None:
                losses.append(self._recorded(inputs, targets))
                continue
            with nullcontext() if last else self._no_sync():  # processes average their gradients once an update
                micro_loss = self._loss(inputs, targets) / len(micro_batches)
                torch.autograd.backward(micro_loss)  # adds to the gradients that are there
            losses.append(micro_loss.detach())
        if self.layer_watch is not None:
            self.layer_watch.before_update()
        norm = self._optimizers.clip_gradients(self._plan.training.grad_clip)
        # A GPU computes behind the caller's back, and whoever reads a number waits for it: they are read once an
        # update, and where that can be, while the weights are already updated.
        numbers = torch.stack([*losses, norm])
        read = read_later(numbers)
        if self._updates_early:
            self._optimizers.step_if(numbers.isfinite().all(), factor)
        loss = 0.0
        *parts, norm_before = read()
        for part in parts:
            loss += part
        loss = self._group.sum([loss])[0] / self._group.size
        result = StepResult(loss, norm_before)
        finite = math.isfinite(loss) and math.isfinite(norm_before)
        if finite and not self._updates_early:
            self._optimizers.step(factor)
        if self.layer_watch is not None:
            self.layer_watch.after_update()
        self._optimizers.zero_grad(keep=self._recorded is not None)
        if not finite:
            raise NonFiniteError(result)
        return result

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The forward pass: mean training loss of inputs and targets [B, T]."""
        return self._forward(inputs, targets)

    def _forward_pass(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            taught = self._taught(inputs, targets)
            logits = self._network(torch.cat((inputs, inputs)) if self._plan.reads_twice else inputs)
        if self._plan.reads_twice:
            return twice_read_loss(logits, targets, self._plan.training, taught)
        if self._head is not None and taught is None and self._plan.training.loss == "cross_entropy":
            return self._head.cross_entropy(logits, targets)
        return training_loss(logits, targets, self._plan.training, taught)

    @torch.no_grad()
    def _taught(self, inputs: Tensor, targets: Tensor) -> Tensor | None:
        """The mean of the teachers' probabilities [B, T, V]; None without a teacher.

        They read the text as it is, also where the model reads other tokens (`replace_inputs`): the targets say it.
        """
        text = torch.cat((inputs[:, :1], targets[:, :-1]), dim=1)
        mean: Tensor | None = None
        for teacher in self._teachers:  # one after the other, so that no more than two are held
            probabilities: Tensor = teacher(text).float().softmax(-1)
            mean = probabilities if mean is None else mean.add_(probabilities)
        return mean if mean is None else mean.div_(len(self._teachers))

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Batch]) -> float:
        """Mean cross-entropy in nats. Always in full precision, so that any machine finds the same figure."""
        sums, count = [], 0
        with self._in_evaluation():
            for batch in self._in_large_pieces(batches):
                inputs, targets = self._own_rows(batch)
                if len(inputs) == 0:  # fewer rows than processes; the others may need this one's share of the weights
                    self.model(inputs.new_zeros(1, inputs.shape[1]))
                    continue
                sums.append(summed_cross_entropy(self.model(inputs), targets))
                count += targets.numel()
        total = 0.0
        for part in torch.stack(sums).tolist() if sums else []:  # read once, when all is under way
            total += part
        total, all_targets = self._group.sum([total, count])
        return total / all_targets

    def sampling_model(self) -> Llama:
        """The model that is being trained."""
        return self.model

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """All weights under their canonical names."""
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in self.model.state_dict().items()}

    def optimizer_state(self) -> Mapping[str, NDArray[np.generic]]:
        """The optimizer's memory."""
        return {name: tensor.cpu().numpy() for name, tensor in self._optimizers.state().items()}

    def random_state(self) -> Arrays:
        """The generators that dropout draws from: of several processes, those of others than the first as
        `<kind>/<rank>`.
        """
        return {
            kind if rank == 0 else f"{kind}/{rank}": state
            for rank, own in enumerate(self._group.gather(self._own_random_state()))
            for kind, state in own.items()
        }

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint, written by any number of processes."""
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self._optimizers.load_state(optimizer_state)
        self._load_random_state(random_state)

    def close(self) -> None:
        """Give cached device memory back, and torch's settings."""
        self._take_back()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    # -----------------------------------------------------------------------------------------------------------------

    def _placed(self, model: Llama) -> Llama:
        """The model on its device, or this process's share of it (`fsdp.py`)."""
        return model.to(self._device)

    def _make_layer_watch(self) -> TorchLayerWatch | None:
        """What looks into the model; None where this process has only a share of its weights."""
        return TorchLayerWatch(self.model)

    def _own_rows(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Inputs and targets of this process, on its device. In the order of ranks, they are the batch."""
        rows = (np.array_split(part, self._group.size)[self._group.rank] for part in batch)
        inputs, targets = (to_device(part, self._device) for part in rows)
        return inputs, targets

    def _in_large_pieces(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """On a GPU, as many rows at once as keep it busy; elsewhere larger batches are no faster."""
        if self._device.type != "cuda":
            return batches
        return merged(batches, rows_at_once(self._plan.model))

    @contextmanager
    def _in_evaluation(self) -> Iterator[None]:
        """Without dropout, and on our kernels where training is: they are as exact as torch's, and quicker.

        Only meanwhile, because whoever looks into the model wants its modules called.
        """
        self.model.eval()
        if self._head is not None:
            self.model.model.run_block_in_evaluation = self.model.model.run_block
        try:
            yield
        finally:
            self.model.model.run_block_in_evaluation = run_block

    def _own_random_state(self) -> Arrays:
        state: Arrays = {"cpu": torch.get_rng_state().numpy()}
        if (kind := self._device.type) != "cpu":
            state[kind] = getattr(torch, kind).get_rng_state().numpy()
        return state

    def _load_random_state(self, every: SavedArrays) -> None:
        """Take this process's part of what `random_state` returned."""
        mine = f"/{self._group.rank}" if self._group.rank else ""
        self._set_random_state({kind: every[kind + mine] for kind in ("cpu", "cuda", "mps") if kind + mine in every})

    def _set_random_state(self, state: SavedArrays) -> None:
        for kind, array in state.items():
            generator_state = torch.from_numpy(array.copy())
            if kind == "cpu":
                torch.set_rng_state(generator_state)
            elif kind == self._device.type:
                getattr(torch, kind).set_rng_state(generator_state)

    def _fuse_blocks(self, report: Callable[[str], None]) -> Kernels | None:
        """Have the blocks run on our own kernels in training, where they can be had, and return these."""
        try:
            kernels = load_kernels(report)
            models = [self.model, *self._teachers]
            # Each process asks for itself: one that has no kernels does not come here, and nobody may wait for it.
            bf16 = self.precision == "bf16" or (self.precision == "auto" and not cpu_emulates_bf16())
            formats = [torch.float32, torch.bfloat16] if bf16 else [torch.float32]
            for model in models:
                require_agreement(kernels, model, formats)
        except NoKernelsError:
            return None
        self._head = FusedHead(kernels)
        for model in models:
            model.model.run_block, model.model.run_norm = FusedBlock(kernels), self._head.norm
        for teacher in self._teachers:  # they have no dropout, so training's way through them is the same, and faster
            teacher.train()
        return kernels

    def _compile(self, report: Callable[[str], None]) -> bool:
        if self._plan.training.compile == "auto" and not worth_compiling_blocks(self._plan, self._device.type):
            return False
        report("compiling the model for this device (up to a minute the first time)")

        def whole(compiled: bool) -> None:
            self._forward = torch.compile(self._forward_pass, dynamic=False) if compiled else self._forward_pass

        def blocks(compiled: bool) -> None:
            self.model.model.run_block = torch.compile(run_block, dynamic=False) if compiled else run_block

        problem = compile_with(
            whole if self._options.whole_model else blocks,
            lambda: self._trial_pass(self._plan.training.batch_size),
            self._device,
        )
        if problem is not None and self._plan.training.compile == "always":
            self._notices.append(_not_compiled(problem))
        return problem is None

    def _record(self) -> None:
        """Record training's forward and backward pass, and leave no other trace."""
        training, shares = self._plan.training, self._plan.training.gradient_accumulation_steps
        random_state = self._own_random_state()
        self.model.train()
        self._recorded = RecordedPass(
            lambda inputs, targets: self._loss(inputs, targets) / shares,
            self.model,
            (training.batch_size, self._plan.model.max_seq_len),
            self._device,
        )
        self._set_random_state(random_state)

    def _trial_pass(self, sequences: int, length: int | None = None) -> None:
        """One forward and backward pass, in the shapes of training, that leaves no trace."""
        tokens = torch.zeros((sequences, length or self._plan.model.max_seq_len), dtype=torch.long, device=self._device)
        random_state = self._own_random_state()
        self.model.train()
        loss = self._loss(tokens, tokens)
        torch.autograd.backward(loss)
        loss.item()  # waits for the device
        self.model.zero_grad()
        self._set_random_state(random_state)

    def _faster_precision(self, compiled: bool) -> str:
        """Time forward and backward passes in either precision on this very model, and take the quicker.

        Whether a model is large enough to gain from bf16 is best asked by trying; where a processor only emulates it,
        trying would take minutes. Before compiling, a GPU would time how fast its kernels are started, not how fast
        they are.
        """
        on_gpu = self._device.type == "cuda"
        if on_gpu and (compiled or self._options.graphs) and torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16"
        sequences = self._plan.training.batch_size
        if not on_gpu:
            sequences = min(sequences, max(1, 2048 // self._plan.model.max_seq_len))
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
        """Agreed upon among processes, because what follows from it they have to do together."""
        return self._group.broadcast(self._device.type == "cpu" and cpu_emulates_bf16())


_GET_A_COMPILER = "Compilation needs a C++ compiler. To train without it, set training_config.compile: never."


def _not_compiled(why: str, advice: str = _GET_A_COMPILER) -> tuple[str, str, str]:
    return (
        "not-compiled",
        f"The model could not be compiled, so it trains without compilation, more slowly: {why}",
        advice,
    )


def _slow_bf16() -> tuple[str, str, str]:
    return (
        "bf16-emulated",
        f"This CPU has no bf16 instructions: its matrix products take {bf16_slowdown():.0f} times as long as in fp32.",
        "Set training_config.precision: auto, which uses the faster one.",
    )
