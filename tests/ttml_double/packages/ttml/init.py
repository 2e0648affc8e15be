"""Initialisers of the double: factories that are called with a shape, as `ttml.init` has them."""

from __future__ import annotations

import numpy as np
import ttnn

from ._runtime import Tensor, context


def _factory(values):
    def make(shape, **_):
        array = np.ascontiguousarray(values(tuple(shape)), dtype=np.float32)
        return Tensor.from_numpy(array, ttnn._Layout.TILE, ttnn._DataType.BFLOAT16)

    return make


def _random():
    return np.random.default_rng(context().get_seed())


def constant(value):
    return _factory(lambda shape: np.full(shape, value))


def zeros():
    return constant(0.0)


def ones():
    return constant(1.0)


def normal(mean=0.0, std=1.0):
    return _factory(lambda shape: _random().normal(mean, std, shape))


def uniform(low=0.0, high=1.0):
    return _factory(lambda shape: _random().uniform(low, high, shape))
