"""The module layer of the double: what tt-metal's own Python models are written on."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import init, ops
from ._runtime import NamedParameters, Tensor


class RunMode(enum.Enum):
    TRAIN = 0
    EVAL = 1


class Parameter:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        tensor.set_requires_grad(True)
        tensor._make_leaf()


class Buffer:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class ModuleBase:
    """Children and tensors by name: a sorted map each, which is walked in breadth."""

    _children: dict[str, ModuleBase]
    _tensors: dict[str, Tensor]
    _mode: RunMode
    _name: str

    def __init__(self) -> None:
        object.__setattr__(self, "_children", {})
        object.__setattr__(self, "_tensors", {})
        object.__setattr__(self, "_mode", RunMode.TRAIN)
        object.__setattr__(self, "_name", type(self).__name__)

    def create_name(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def get_name(self) -> str:
        return self._name

    def register_module(self, module: ModuleBase, name: str) -> None:
        if name in self._children:
            raise RuntimeError(f"Name {name} of module is already registered")
        self._children[name] = module

    def override_module(self, module: ModuleBase, name: str) -> None:
        if name not in self._children:
            raise RuntimeError(f"No module {name} is registered")
        self._children[name] = module

    def register_tensor(self, tensor: Tensor, name: str) -> None:
        if name in self._tensors:
            raise RuntimeError(f"Name {name} of tensor is already registered")
        self._tensors[name] = tensor

    def override_tensor(self, tensor: Tensor, name: str) -> None:
        if name not in self._tensors:
            raise RuntimeError(f"No tensor {name} is registered")
        self._tensors[name] = tensor

    def parameters(self) -> NamedParameters:
        named, seen = NamedParameters(), set[int]()
        waiting: list[tuple[ModuleBase, str]] = [(self, self._name)]
        for module, path in waiting:
            for name, tensor in sorted(module._tensors.items()):
                if id(tensor) not in seen:  # tied weights have one name: the first
                    seen.add(id(tensor))
                    named[f"{path}/{name}"] = tensor
            waiting += [(child, f"{path}/{name}") for name, child in sorted(module._children.items())]
        return named

    def train(self) -> None:
        self._set_mode(RunMode.TRAIN)

    def eval(self) -> None:
        self._set_mode(RunMode.EVAL)

    def _set_mode(self, mode: RunMode) -> None:
        object.__setattr__(self, "_mode", mode)
        for child in self._children.values():
            child._set_mode(mode)

    def get_run_mode(self) -> RunMode:
        return self._mode


class AbstractModuleBase(ModuleBase):
    def __init__(self) -> None:
        super().__init__()
        self.create_name(type(self).__name__)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if isinstance(value, ModuleBase):
            self._put(value, name, self.register_module, self.override_module)
        elif isinstance(value, (Parameter, Tensor)):  # a tied weight is a bare tensor in builds up to mid-2026
            self._put(getattr(value, "tensor", value), name, self.register_tensor, self.override_tensor)

    def _put(
        self, value: Any, name: str, register: Callable[[Any, str], None], override: Callable[[Any, str], None]
    ) -> None:
        try:
            register(value, name)
        except RuntimeError:
            override(value, name)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(f"{self._name}.forward")

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.forward(*arguments, **keywords)


class ModuleList(AbstractModuleBase):
    _items: list[ModuleBase]

    def __init__(self, modules: Iterable[ModuleBase] = ()) -> None:
        super().__init__()
        object.__setattr__(self, "_items", list(modules))
        for index, module in enumerate(self._items):
            self.register_module(module, str(index))

    def __iter__(self) -> Iterator[ModuleBase]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> ModuleBase:
        return self._items[index]


class LinearLayer(AbstractModuleBase):
    def __init__(
        self,
        in_features: int,
        out_features: int,
        has_bias: bool = True,
        weight_init: init.Factory | None = None,
        bias_init: init.Factory | None = None,
    ) -> None:
        super().__init__()
        bound = math.sqrt(1 / in_features)
        self.weight = Parameter((weight_init or init.uniform(-bound, bound))((1, 1, out_features, in_features)))
        self.bias = Parameter((bias_init or init.zeros())((1, 1, 1, out_features))) if has_bias else None

    def forward(self, x: Tensor) -> Any:
        return ops.linear.linear(x, self.weight.tensor, None if self.bias is None else self.bias.tensor)


class Embedding(AbstractModuleBase):
    def __init__(self, num_embeddings: int, embedding_dim: int, weight_init: init.Factory | None = None) -> None:
        super().__init__()
        self.weight = Parameter((weight_init or init.normal(0.0, 0.02))((1, 1, num_embeddings, embedding_dim)))

    def forward(self, x: Tensor) -> Any:
        return ops.embedding.embedding(x, getattr(self.weight, "tensor", self.weight))


def __getattr__(name: str) -> type:
    """Layers of tensor-parallel models: they may be imported, and are not made."""
    if name.startswith("__"):
        raise AttributeError(name)

    class Absent:
        def __init__(self, *_: object, **__: object) -> None:
            raise NotImplementedError(f"the double has no {name}")

    return Absent
