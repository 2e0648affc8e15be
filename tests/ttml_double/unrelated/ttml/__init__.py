"""Stands for the package of the same name on PyPI, which is about tensor trains."""


class TensorTrain:
    """Something else entirely."""
