"""Having torch compile the blocks of a model into fewer and larger kernels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch

from trickster_engine.data.cache import cache_directory
from trickster_engine.model.llama import Llama, run_block


def compile_blocks(model: Llama, try_out: Callable[[], None]) -> str | None:
    """Run the model's blocks compiled from now on, while training.

    `try_out` does a forward and a backward pass in the shapes of training, so that compiling is over when training
    begins. Returns None, or why it does not work here; then everything is as before.
    """
    # torch's own choices are a folder in /tmp that all users share, and a pool of processes that outlives its use.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory() / "compiled"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    model.model.run_block = torch.compile(run_block, dynamic=False)
    try:
        with silent_loggers(("torch._dynamo", "torch._inductor")):
            try_out()
    except Exception as error:
        # Whatever is missing (a C++ compiler, its headers, room for the cache), the plain way remains.
        model.model.run_block = run_block
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


@contextmanager
def silent_loggers(names: Iterable[str]) -> Iterator[None]:
    """Have these loggers say nothing meanwhile."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
