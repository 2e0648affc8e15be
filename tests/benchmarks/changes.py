"""`python -m tests.benchmarks.changes OUT.json`: what each of the things that make training fast gives on this machine.

Each is taken away alone, and laps with and without it take turns. Ratios are seconds without over seconds with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trickster_engine.backends.torch import optimizers
from trickster_engine.bench.measure import Spread
from trickster_engine.bench.updates import Updates
from trickster_engine.config import preset_plan
from trickster_engine.config.plan import Plan
from trickster_engine.model import attention, llama


@dataclass(frozen=True)
class Change:
    """One thing that makes training faster: how to plan with it and without it, and what stands in its place."""

    name: str
    with_it: dict[str, Any]
    without_it: dict[str, Any]
    replaced: tuple[tuple[Any, str, Any], ...] = ()
    without_environment: tuple[tuple[str, str], ...] = ()
    """Of a change that a process makes once for all: what another process has in its environment to do without it."""


def fused_kernel(q: Tensor, k: Tensor, v: Tensor, _: torch.dtype) -> Tensor:
    """Attention by torch's fused kernel, in fp32, which on a CPU is its faster one."""
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(
            q.float(), k.float(), v.float(), is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
        )


PLAIN = {"precision": "bf16", "compile": "never"}
CHANGES = (
    Change("bf16 in the matrix products", PLAIN, {"precision": "fp32", "compile": "never"}),
    Change("attention as bf16 products", PLAIN, PLAIN, ((attention, "_as_products", fused_kernel),)),
    Change("dropout from 16-bit draws", PLAIN, PLAIN, ((llama, "dropout", F.dropout),)),
    Change("Muon in batches", PLAIN, PLAIN, ((optimizers, "BatchedMuon", torch.optim.Muon),)),
    # The default of that variable; that it is set at all keeps ours from being set.
    Change("freed memory kept", PLAIN, PLAIN, without_environment=(("MALLOC_ARENA_TEST", "8"),)),
    Change("kernels of our own", {"precision": "bf16", "compile": "always"}, PLAIN),
    Change(
        "kernels of our own in fp32",
        {"precision": "fp32", "compile": "always"},
        {"precision": "fp32", "compile": "never"},
    ),
)


@contextmanager
def _replaced(replacements: tuple[tuple[Any, str, Any], ...]) -> Iterator[None]:
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, value in replacements:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def _lap_when_asked(connection: Connection, plan: Plan, environment: tuple[tuple[str, str], ...]) -> None:
    os.environ.update(environment)
    laps = Updates(plan, "cpu")
    while updates := connection.recv():
        connection.send(laps.lap(updates).seconds)


@contextmanager
def _lapping(plan: Plan, environment: tuple[tuple[str, str], ...] = ()) -> Iterator[Callable[[int], float]]:
    """A process that trains a plan when it is asked to, and says how many seconds the updates took."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_lap_when_asked, args=(there, plan, environment))
    process.start()

    def lap(updates: int) -> float:
        here.send(updates)
        seconds: float = here.recv()
        return seconds

    try:
        yield lap
    finally:
        here.send(0)
        process.join()


def gain(plan: Plan, change: Change, updates: int, pairs: int) -> Spread:
    """How many times as fast training is with a change as without it."""

    def planned(training: dict[str, Any]) -> Plan:
        return replace(plan, training=replace(plan.training, **training))

    if change.without_environment:
        with (
            _lapping(planned(change.with_it)) as fast_lap,
            _lapping(planned(change.without_it), change.without_environment) as slow_lap,
        ):
            for warm in (fast_lap, slow_lap):
                warm(updates)
            return Spread.of([slow_lap(updates) / fast_lap(updates) for _ in range(pairs)])

    fast = Updates(planned(change.with_it), "cpu")
    with _replaced(change.replaced):
        slow = Updates(planned(change.without_it), "cpu")
    ratios = []
    for _ in range(pairs):
        with _replaced(change.replaced):
            without = _seconds(slow, updates)
        ratios.append(without / _seconds(fast, updates))
    return Spread.of(ratios)


def _seconds(laps: Updates, updates: int) -> float:
    """Of processor time on one core, which other programs hardly disturb; else by the clock."""
    busy = time.process_time()
    seconds = laps.lap(updates).seconds
    return time.process_time() - busy if torch.get_num_threads() == 1 else seconds


def applies(change: Change, plan: Plan) -> bool:
    """Whether a plan has what a change speeds up."""
    wanted: dict[str, Callable[[], bool]] = {
        "dropout from 16-bit draws": lambda: plan.model.dropout > 0,
        "Muon in batches": lambda: plan.training.optimizer == "muon",
    }
    return wanted.get(change.name, lambda: True)()


def main() -> None:
    """Measure pico and nano, and write the table's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", help="only these changes; OUT keeps the others")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--one-core", action="store_true", help="processor time of one thread, on a machine that is shared"
    )
    options = parser.parse_args()
    if options.one_core:
        torch.set_num_threads(1)
    out: Path = options.out
    table: dict[str, dict[str, dict[str, float]]] = (
        json.loads(out.read_text(encoding="utf-8")) if options.names and out.exists() else {}
    )
    for name, updates in (("pico", 10), ("nano", 1)):
        plan = preset_plan(name)
        for change in CHANGES:
            if applies(change, plan) and change.name in (options.names or [change.name]):
                spread = gain(plan, change, updates, options.pairs)
                print(f"{name}: {change.name}: {spread.median:.2f} ({spread.lowest:.2f} to {spread.highest:.2f})")
                row = f"{change.name}, on one core" if options.one_core else change.name
                table.setdefault(row, {})[name] = spread.as_json()
    out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
