"""The device, the graph and the tensors of the double."""

from __future__ import annotations

import atexit
import enum
import os
import pathlib
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
import torch
import ttnn
from ttnn._variant import VARIANT

_counts: dict[str, int] = {}
_ALIVE: weakref.WeakSet[Tensor] = weakref.WeakSet()


def passing(place: str) -> None:
    """Something happens: fail or hang here where the variant says so."""
    _counts[place] = _counts.get(place, 0) + 1
    here = f"{place}:{_counts[place]}"
    if here == VARIANT.hang_at:
        threading.Event().wait(VARIANT.hang_seconds)
    if here == VARIANT.fail_at:
        raise RuntimeError(f"TT_FATAL: the double fails at {here}")


class MeshDevice:
    def __init__(self, shape: tuple[int, int]) -> None:
        self.mesh_shape = shape
        self.chips = shape[0] * shape[1]
        self.compiled: set[object] = set()


class _Board:
    """A folder that plays the board, so that other processes can see whether it was given back."""

    def __init__(self) -> None:
        folder = os.environ.get("TTML_DOUBLE_BOARD")
        self._folder = pathlib.Path(folder) if folder else None
        self._lock: TextIO | None = None

    def take(self) -> None:
        if self._folder is None:
            return
        if sys.platform == "win32":
            raise NotImplementedError("the double: a board that is shared takes locks of POSIX")
        import fcntl

        self._folder.mkdir(parents=True, exist_ok=True)
        lock = (self._folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RuntimeError("TT_FATAL: another process holds the device (the real call would hang)") from None
        self._lock = lock
        (self._folder / "state").write_text("open")

    def give_back(self) -> None:
        if self._lock is not None and self._folder is not None:
            (self._folder / "state").write_text("closed")
            self._lock.close()
            self._lock = None


BOARD = _Board()


class DistributedConfig:
    def __init__(self, enable_ddp: bool = False, enable_tp: bool = False) -> None:
        self.enable_ddp = enable_ddp
        self.enable_tp = enable_tp


class ParallelismContext:
    def __init__(self, device: MeshDevice, config: DistributedConfig) -> None:
        if device.chips == 1:
            raise RuntimeError("TT_FATAL: no axis to parallelise over")
        if 1 in device.mesh_shape and config.enable_ddp == config.enable_tp:
            raise RuntimeError("TT_FATAL: For line mesh topology, exactly one parallelism type must be enabled")
        if 1 not in device.mesh_shape and not (config.enable_ddp and config.enable_tp):
            raise RuntimeError("TT_FATAL: number of enabled parallelization axes must equal mesh dimensions")
        self._size = device.chips if config.enable_ddp else 1
        self._ddp = config.enable_ddp

    def is_ddp_enabled(self) -> bool:
        return self._ddp

    def get_ddp_size(self) -> int:
        return self._size

    def get_ddp_axis(self) -> int | None:
        return 1 if self._ddp else None


class GradMode:
    ENABLED = "GradMode.ENABLED"
    DISABLED = "GradMode.DISABLED"


class PreferredPrecision(enum.Enum):
    HALF = 0
    FULL = 1
    if VARIANT.native_precision:
        NATIVE = 2


#: Whether a build keeps two views of a tensor, of which the FULL one is float32 whatever is stored.
TWO_VIEWS = VARIANT.stale_full_view or VARIANT.native_precision


class AutoContext:
    _instance: AutoContext | None = None

    def __init__(self) -> None:
        self._device: MeshDevice | None = None
        self._parallel: ParallelismContext | None = None
        self._seed = 5489
        self._generator = torch.Generator()
        self._mode = GradMode.ENABLED
        self.nodes = 0  # since the last reset_graph
        self.most_nodes = 0
        self.epoch = 0  # how often the graph was reset
        self.fabric = 0
        self.opened = self.closed = self.alive_at_close = 0

    @staticmethod
    def get_instance() -> AutoContext:
        if AutoContext._instance is None:
            AutoContext._instance = AutoContext()
        return AutoContext._instance

    def open_device(self, mesh_shape: Sequence[int] | None = None, device_ids: object = None) -> None:
        if self._device is not None:
            raise RuntimeError("open_device was called after the device was created.")
        shape = (1, 1) if mesh_shape is None else tuple(mesh_shape)
        if len(shape) != 2:
            raise RuntimeError("mesh_shape must be a list/tuple of 2 integers: [rows, cols]")
        chips = shape[0] * shape[1]
        if chips > VARIANT.chips:
            raise RuntimeError(f"TT_FATAL: {chips} devices asked for, {VARIANT.chips} are there")
        if chips > 1 and self.fabric != chips:
            raise RuntimeError("TT_FATAL: fabric is not enabled (the real call would hang)")
        BOARD.take()
        self._device = MeshDevice((shape[0], shape[1]))
        self.opened += 1
        passing("open")

    def close_device(self) -> None:
        passing("close")
        if self._device is not None:
            self.closed += 1
            self.alive_at_close = len(_ALIVE)  # the real process aborts when they are freed later
        self._device = None
        self.fabric = 0
        BOARD.give_back()

    def get_device(self) -> MeshDevice:
        if self._device is None:
            # The real one opens a 1x1 device here, silently; a test wants to know.
            raise RuntimeError("the double: no device is open")
        return self._device

    def set_seed(self, seed: int) -> None:
        if not 0 <= seed < 2**32:
            raise TypeError("set_seed(): incompatible function arguments (uint32)")
        self._seed = seed
        self._generator.manual_seed(seed)

    def get_seed(self) -> int:
        return self._seed

    def reset_graph(self) -> None:
        self.nodes = 0
        self.epoch += 1

    def set_gradient_mode(self, mode: str) -> None:
        if mode not in (GradMode.ENABLED, GradMode.DISABLED):
            raise TypeError("set_gradient_mode(): incompatible function arguments")
        self._mode = mode

    def add_node(self) -> None:
        self.nodes += 1
        self.most_nodes = max(self.most_nodes, self.nodes)
        if self.nodes > VARIANT.graph_limit:
            raise RuntimeError("TT_FATAL: Out of Memory: the graph was never reset")

    if VARIANT.parallelism_context:

        def initialize_parallelism_context(self, config: DistributedConfig) -> None:
            if self._parallel is not None:
                raise RuntimeError("ParallelismContext is already initialized.")
            self._parallel = ParallelismContext(self.get_device(), config)

        def is_parallelism_context_initialized(self) -> bool:
            return self._parallel is not None

        def get_parallelism_context(self) -> ParallelismContext:
            if self._parallel is None:
                raise RuntimeError("ParallelismContext is not initialized.")
            return self._parallel


def context() -> AutoContext:
    return AutoContext.get_instance()


@atexit.register
def _left_open() -> None:
    if context()._device is not None:
        print("the double: the device was left open (the real process would abort here)", flush=True)


class ShardMapper:
    def __init__(self, device: MeshDevice, dim: int, cluster_axis: int | None = None) -> None:
        self.device, self.dim = device, dim


class ConcatComposer:
    def __init__(self, mesh_device: MeshDevice, dim: int) -> None:
        self.device, self.dim = mesh_device, dim


class _Round(torch.autograd.Function):
    """What a kernel writes is bfloat16, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return ttnn.bf16(value)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return ttnn.bf16(gradient)


def rounded(value: torch.Tensor) -> torch.Tensor:
    written: torch.Tensor = _Round.apply(value)
    return written


class Tensor:
    """`ttml.autograd.Tensor`: a value, perhaps a gradient, perhaps a place in the graph."""

    def __init__(self, value: ttnn.Tensor, requires_grad: bool) -> None:
        context().get_device()
        _ALIVE.add(self)
        self._value = value
        self._views: dict[PreferredPrecision | str, ttnn.Tensor] = {}  # made when they are first asked for
        self._requires_grad = requires_grad
        self._epoch: int | None = None  # the graph that this is a node of
        self._spent = False

    # --- creation and reading

    @staticmethod
    def from_numpy(
        numpy_tensor: np.ndarray,
        layout: ttnn._Layout | None = None,
        new_type: ttnn._DataType | None = None,
        mapper: ShardMapper | None = None,
    ) -> Tensor:
        layout = ttnn._Layout.TILE if layout is None else layout
        device = context().get_device()
        array = numpy_tensor
        if not isinstance(array, np.ndarray):
            raise TypeError("from_numpy(): incompatible function arguments")
        kinds = {
            "float32": ttnn._DataType.FLOAT32, "uint32": ttnn._DataType.UINT32, "int32": ttnn._DataType.INT32,
            "bfloat16": ttnn._DataType.BFLOAT16,
        }  # fmt: skip
        if array.dtype.name in ("float64", "int64", "uint64"):
            raise RuntimeError("TT_FATAL: Unsupported precision: expected 32 bits, got 64 bits")
        if array.dtype.name not in kinds:
            raise TypeError(f"Unsupported type: {array.dtype}")
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise RuntimeError("the double: the real binding would read this array's memory in the wrong order")
        if 0 in array.shape or array.ndim == 0:
            raise RuntimeError("TT_FATAL: Invalid shape parameter: too small")
        dtype = kinds[array.dtype.name] if new_type is None else new_type
        if dtype is ttnn._DataType.BFLOAT8_B:
            raise TypeError("Unsupported type: BFLOAT8_B")
        if array.dtype.name == "uint32" and layout is ttnn._Layout.TILE:
            raise RuntimeError("the double: uint32 data is row-major everywhere in tt-train")
        value = torch.from_numpy(array.astype(np.float32 if array.dtype.name == "bfloat16" else array.dtype))
        value = value.to(torch.int64) if array.dtype.name in ("uint32", "int32") else value.clone()
        if dtype is ttnn._DataType.BFLOAT16:
            value = ttnn.bf16(value.float())
        if mapper is not None:
            if value.shape[mapper.dim] % device.chips:
                raise RuntimeError("TT_FATAL: tensor cannot be sharded evenly")
            parts, sharded = list(value.chunk(device.chips, mapper.dim)), True
        else:
            parts, sharded = [value.clone() for _ in range(device.chips)], False
        return Tensor(ttnn.Tensor(parts, dtype, layout, sharded), False)

    def to_numpy(
        self, new_type: ttnn._DataType | None = None, composer: ConcatComposer | None = None, **more: Any
    ) -> np.ndarray:
        passing("to_numpy")
        context().get_device()
        if set(more) - ({"precision"} if VARIANT.native_precision else set()):
            raise TypeError("to_numpy(): incompatible function arguments")
        shown = self.get_value(more.get("precision", PreferredPrecision.FULL))
        parts = [part.detach() for part in shown.parts]
        if composer is None:
            if len(parts) > 1:
                raise RuntimeError(
                    "TT_FATAL: Can't get a single buffer from host storage distributed over mesh shape MeshShape"
                )
            value = parts[0]
        elif VARIANT.replicated_once and not shown.sharded:
            value = parts[0]
        else:
            value = torch.cat(parts, composer.dim)
        wanted = shown.dtype if new_type is None else new_type
        if wanted is ttnn._DataType.FLOAT32:
            return np.array(value.float().numpy())
        if wanted is ttnn._DataType.UINT32:
            return np.array(value.numpy(), dtype=np.uint32)
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise TypeError("ml_dtypes package required for bfloat16 NumPy arrays") from None
        return np.array(value.float().numpy(), dtype=ml_dtypes.bfloat16)

    def get_value(self, precision: PreferredPrecision = PreferredPrecision.HALF) -> ttnn.Tensor:
        if not isinstance(precision, PreferredPrecision):
            raise TypeError("get_value(): incompatible function arguments")
        types = ttnn._DataType
        wanted = {"HALF": types.BFLOAT16, "FULL": types.FLOAT32}.get(precision.name)
        if VARIANT.mistake == "stale_reads" and self._requires_grad:  # whatever is asked for
            return self._view("first", self._value.dtype)
        if not TWO_VIEWS or wanted is None or self._value.dtype not in (types.BFLOAT16, types.FLOAT32):
            return self._value
        return self._value if self._value.dtype is wanted else self._view(precision, wanted)

    def _view(self, key: PreferredPrecision | str, dtype: ttnn._DataType) -> ttnn.Tensor:
        if key not in self._views:
            view = ttnn.clone(self._value)
            if dtype is ttnn._DataType.BFLOAT16:
                view.parts = [ttnn.bf16(part) for part in view.parts]
            view._dtype = dtype
            self._views[key] = view
        return self._views[key]

    def _written(self, *, by_fused_kernel: bool = False) -> None:
        """What is stored has changed in place: views of it are made anew, unless nobody thought of them."""
        if not (by_fused_kernel and VARIANT.stale_full_view) and VARIANT.mistake != "stale_reads":
            self._views = {}

    def set_value(self, value: ttnn.Tensor) -> None:
        self._value = value
        self._views = {}
        if self._requires_grad:
            self._make_leaf()

    def assign(self, other: Tensor) -> None:
        if not isinstance(other, Tensor):
            raise TypeError("assign(): incompatible function arguments")
        if tuple(other.shape()) != tuple(self.shape()):
            raise RuntimeError(
                f"the double: assign of shape {other.shape()} to {self.shape()}; the real one lets it pass"
            )
        if VARIANT.mistake != "assign_lost":
            self.set_value(ttnn.clone(other._value))

    def _make_leaf(self) -> None:
        self._value.parts = [part.detach().clone().requires_grad_() for part in self._value.parts]

    # --- shape

    def shape(self) -> list[int]:
        return list(self._value.shape)

    def get_rank(self) -> int:
        return len(self._value.shape)

    def dtype(self) -> ttnn._DataType:
        return self.get_value(PreferredPrecision.FULL).dtype

    # --- gradients

    def set_requires_grad(self, requires_grad: bool) -> None:
        self._requires_grad = requires_grad

    def get_requires_grad(self) -> bool:
        return self._requires_grad

    def is_grad_initialized(self) -> bool:
        return self._value.parts[0].is_leaf and self._value.parts[0].grad is not None

    def gradients(self) -> list[torch.Tensor]:
        """Of each chip; none before a backward pass."""
        return [part.grad for part in self._value.parts if part.grad is not None]

    def get_grad(self) -> ttnn.Tensor:
        return ttnn.Tensor(self.gradients(), ttnn._DataType.BFLOAT16, ttnn._Layout.TILE)

    def set_grad(self, value: ttnn.Tensor) -> None:
        for part, gradient in zip(self._value.parts, value.parts, strict=True):
            part.grad = ttnn.bf16(gradient.detach().clone())

    def get_grad_tensor(self) -> Tensor | None:
        return Tensor(self.get_grad(), False) if self.is_grad_initialized() else None

    def backward(self, *retain_graph: bool) -> None:
        if len(retain_graph) != 1 or not isinstance(retain_graph[0], bool):
            raise TypeError("backward(): incompatible function arguments. Expected: retain_graph: bool")
        passing("backward")
        if self._epoch is None or self._epoch != context().epoch:
            raise RuntimeError("[Tensor::backward] This tensor has no associated gradient function.")
        if self._spent:
            raise RuntimeError("[Tensor::backward] Memory from the node is released!")
        self._spent = not retain_graph[0]
        share = 0.5 if VARIANT.mistake == "gradients_halved" else 1.0
        for part in self._value.parts:
            torch.autograd.backward(part, share * torch.ones_like(part), retain_graph=retain_graph[0])

    def __truediv__(self, other: object) -> Tensor:
        raise TypeError("unsupported operand type(s) for /: the binding defines __div__ only")

    def __mul__(self, other: Tensor | float) -> Tensor:
        from . import ops

        product: Tensor = ops.binary.mul(self, other)
        return product

    def __add__(self, other: Tensor) -> Tensor:
        from . import ops

        total: Tensor = ops.binary.add(self, other)
        return total


def result(parts: Iterable[torch.Tensor], *sources: Tensor, sharded: bool = False) -> Tensor:
    """What an op returns: rounded to bfloat16 and, where gradients are on, one more node of the graph."""
    recording = context()._mode == GradMode.ENABLED
    parts = [rounded(part) if recording else ttnn.bf16(part.detach()) for part in parts]
    sharded = sharded or any(source._value.sharded for source in sources)
    tensor = Tensor(ttnn.Tensor(parts, ttnn._DataType.BFLOAT16, ttnn._Layout.TILE, sharded), False)
    if recording and any(part.requires_grad for part in parts):
        context().add_node()
        tensor._epoch = context().epoch
    return tensor


def each(function: Callable[..., torch.Tensor], *tensors: Tensor) -> list[torch.Tensor]:
    """Apply a function chip by chip."""
    for tensor in tensors:
        if tensor._epoch is not None and tensor._epoch != context().epoch:
            raise RuntimeError("the double: a tensor of a graph that was reset is used again")
    with torch.set_grad_enabled(context()._mode == GradMode.ENABLED):
        return [function(*parts) for parts in zip(*(tensor._value.parts for tensor in tensors), strict=True)]


def compile_once(key: object) -> None:
    """The first time that a shape is seen takes long."""
    compiled = context().get_device().compiled
    if key not in compiled:
        compiled.add(key)
        time.sleep(VARIANT.first_step_seconds)


class Wrapped:
    """In some builds a model maps names to objects with a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class NamedParameters:
    """The opaque mapping that the binding makes of a C++ map: not a dict, and in no particular order."""

    def __init__(self, values: Mapping[str, Tensor] | None = None) -> None:
        self._values: dict[str, Tensor] = {}
        self.wrapped = False
        for name, tensor in dict(values or {}).items():
            self[name] = tensor

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError("__setitem__(): incompatible function arguments")
        self._values[name] = tensor

    def __getitem__(self, name: str) -> Any:  # a Tensor, or in some builds Wrapped
        return Wrapped(self._values[name]) if self.wrapped else self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        return sorted(self._values, key=lambda name: name[::-1])

    def items(self) -> list[tuple[str, Any]]:
        return [(name, self[name]) for name in self.keys()]

    def values(self) -> list[Any]:
        return [tensor for _, tensor in self.items()]

    def pairs(self) -> list[tuple[str, Tensor]]:
        """Names and tensors, for the double itself."""
        return [(name, self._values[name]) for name in self.keys()]


def submodule(name: str, **members: object) -> types.SimpleNamespace:
    return types.SimpleNamespace(__name__=name, **members)
