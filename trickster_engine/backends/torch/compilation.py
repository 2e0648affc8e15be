"""Having torch compile a model's blocks, or all of it, into fewer and larger kernels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch

from trickster_engine.data.cache import cache_directory


def compile_with(put: Callable[[bool], None], try_out: Callable[[], None], device: torch.device) -> str | None:
    """Train with what `put(True)` puts in place, compiled; `put(False)` takes it back.

    `try_out` does a forward and a backward pass in the shapes of training, so that compiling is over when training
    begins. Returns None, or why it does not work here; then everything is as before.
    """
    # torch's own choices are a folder in /tmp that all users share, and a pool of processes that outlives its use. Here
    # what was compiled stays in the cache for the next run, and only kernels for GPUs, which take longer, get the pool.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory() / "compiled"))
    if device.type != "cuda":
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    put(True)
    try:
        with silent_loggers(("torch._dynamo", "torch._inductor")):
            try_out()
            if device.type == "cuda":
                _end_compiling_processes()
    except Exception as error:
        # Whatever is missing (a C++ compiler, its headers, room for the cache), the plain way remains.
        put(False)
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def _end_compiling_processes() -> None:
    from torch._inductor.async_compile import shutdown_compile_workers

    shutdown_compile_workers()


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
