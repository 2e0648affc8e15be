"""An open line of Tenstorrent chips: opened, seeded and closed, and the graph that a forward pass leaves on it.

This file, `tensors.py`, `model.py` and `optimizers.py` are all that touches ttml and ttnn. What they touch, and on what
evidence, is listed in `tools/ttml_names.py`. Everything is decided by looking at what is there, never by a version
number: names and signatures differ between builds that carry the same version.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from trickster_engine.backends.ttml.package import missing, version_of
from trickster_engine.backends.ttml.tensors import TtmlTensors
from trickster_engine.errors import TricksterError
from trickster_engine.system.substitutes import substitute


class TtmlDevice:
    """An open Tenstorrent device. Closed exactly once, by `close`, which never raises."""

    def __init__(self, ttml: ModuleType, ttnn: ModuleType, chips: int, seed: int) -> None:
        """Open a line of `chips` chips. Raises TricksterError, with the device closed again, where that fails."""
        self.ttml: Any = ttml
        self.ttnn: Any = ttnn
        self.chips = chips
        self.context: Any = ttml.autograd.AutoContext.get_instance()
        self.tensors = TtmlTensors(ttml, ttnn, chips)
        self._mesh_opened = False
        try:
            self._open()
            self.reseed(seed)
        except BaseException as error:
            self.close()
            if isinstance(error, TricksterError) or not isinstance(error, Exception):
                raise
            raise _cannot_open(error) from error

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the two libraries."""
        return {"ttml": version_of(self.ttml, "ttml"), "ttnn": version_of(self.ttnn, "ttnn")}

    def describe(self) -> str:
        """The device in words."""
        try:
            name = str(self.ttnn.get_arch_name())
        except Exception:
            name = "board"
        stands_in = substitute()
        chips = f" ({self.chips} chips)" if self.chips > 1 else ""
        return f"Tenstorrent {name}{chips}" + (f", {stands_in.how}" if stands_in else "")

    def reseed(self, seed: int) -> None:
        """Start the generator of dropout and stochastic rounding anew."""
        self.context.set_seed(seed % 2**32)

    def close(self) -> None:
        """Give the device back. Whatever lives on it must have been dropped."""
        gc.collect()  # tensors that are freed after their device abort the process
        with contextlib.suppress(Exception):
            self.context.reset_graph()
        try:
            if self._mesh_opened and hasattr(self.ttml, "close_device_mesh"):
                self.ttml.close_device_mesh()
            else:
                self.context.close_device()
        except Exception:
            with contextlib.suppress(Exception):
                self.context.close_device()

    @contextlib.contextmanager
    def gradients_off(self) -> Iterator[None]:
        """Record nothing for a backward pass meanwhile."""
        modes = self.ttml.autograd.GradMode
        self.context.set_gradient_mode(modes.DISABLED)
        try:
            yield
        finally:
            self.context.set_gradient_mode(modes.ENABLED)

    def forget_graph(self) -> None:
        """Free what a forward pass kept."""
        self.context.reset_graph()

    def loss(self, logits: Any, targets: Any) -> Any:
        """Mean cross-entropy over all targets. Its value is a bfloat16: two to three digits."""
        ops = self.ttml.ops
        return ops.loss.cross_entropy_loss(logits, targets, reduce=ops.ReduceType.MEAN)

    def backward(self, loss: Any, weight: float) -> None:
        """Add `weight` times the gradient of `loss` to what the parameters already hold."""
        scaled = loss if weight == 1.0 else self.ttml.ops.binary.mul(loss, weight)
        scaled.backward(False)  # the binding has no default for retain_graph

    def _open(self) -> None:
        if hasattr(self.ttml, "open_device_mesh"):
            shape: Any = (1, self.chips)
            if self.chips > 1 and hasattr(self.ttml, "Mesh"):
                shape = self.ttml.Mesh((1, self.chips), ("line", "dp"))
            self._mesh_opened = True
            self.ttml.open_device_mesh(shape)
        else:
            if self.chips > 1:
                self.ttml.core.distributed.enable_fabric(self.chips)
            self.context.open_device([1, self.chips])
        if self.chips > 1:
            self._initialize_parallelism()

    def _initialize_parallelism(self) -> None:
        """Without this context ttml's gradient averaging returns at once and in silence, and the copies drift apart."""
        context = self.context
        if not hasattr(context, "initialize_parallelism_context"):
            raise missing("data-parallel training (no initialize_parallelism_context)")
        if not context.is_parallelism_context_initialized():
            config = self.ttml.autograd.DistributedConfig(enable_ddp=True, enable_tp=False)
            context.initialize_parallelism_context(config)
        parallel = context.get_parallelism_context()
        if not parallel.is_ddp_enabled() or parallel.get_ddp_size() != self.chips:
            raise TricksterError(
                "ddp-not-active",
                f"ttml opened a data-parallel line of {parallel.get_ddp_size()} chips instead of {self.chips}: the "
                "copies of the model would diverge unnoticed.",
                "Check which chips are visible (TT_VISIBLE_DEVICES, tt-smi), or train with mesh_shape: [1, 1].",
            )


def _cannot_open(error: Exception) -> TricksterError:
    advice = (
        "Run `trickster doctor`: it shows which process uses the device, and the driver and firmware. To reset a "
        "board that a killed process left open: tt-smi -r"
    )
    if substitute():
        advice = "Run `trickster doctor`: it lists what a simulated chip needs and what is missing."
    return TricksterError(
        "device-not-opened",
        f"The Tenstorrent device cannot be opened: {type(error).__name__}: {error}.",
        advice,
    )
