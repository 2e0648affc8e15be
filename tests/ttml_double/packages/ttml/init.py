"""Initialisers of the double: factories that are called with a shape, as `ttml.init` has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import ttnn

from ._runtime import Tensor, context

Factory = Callable[..., Tensor]
Shape = tuple[int, ...]


def _factory(values: Callable[[Shape], np.ndarray]) -> Factory:
    def make(shape: Sequence[int], **_: object) -> Tensor:
        array = np.ascontiguousarray(values(tuple(shape)), dtype=np.float32)
        return Tensor.from_numpy(array, ttnn._Layout.TILE, ttnn._DataType.BFLOAT16)

    return make


def _random() -> np.random.Generator:
    return np.random.default_rng(context().get_seed())


def constant(value: float) -> Factory:
    return _factory(lambda shape: np.full(shape, value))


def zeros() -> Factory:
    return constant(0.0)


def ones() -> Factory:
    return constant(1.0)


def normal(mean: float = 0.0, std: float = 1.0) -> Factory:
    return _factory(lambda shape: _random().normal(mean, std, shape))


def uniform(low: float = 0.0, high: float = 1.0) -> Factory:
    return _factory(lambda shape: _random().uniform(low, high, shape))
