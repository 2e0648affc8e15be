"""What measuring the layers costs: plain updates, watched updates and measurements by turns, in one process.

`python -m tests.benchmarks.layer_statistics pico best` prints the medians, in seconds, and the share of a run's time
that they come to at the preset's `eval_interval`. On a loaded machine the share is still right: all three are slowed
alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

from tests.benchmarks.machine import machine
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config import preset_names, preset_plan
from trickster_engine.training.loop import LAYER_TOKENS, LAYER_WINDOWS


def measure(preset: str, rounds: int, device: str) -> dict[str, float]:
    """Median seconds of an update, of a watched one and of a measurement; and the share of a run's time."""
    plan = preset_plan(preset)
    training, model = plan.training, plan.model
    backend = TorchBackend(plan, device)
    watch = backend.layer_watch
    assert watch is not None
    generator = np.random.default_rng(0)

    def batch(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = generator.integers(0, model.vocab_size, (rows, length + 1))
        return tokens[:, :-1], tokens[:, 1:]

    micro = [batch(training.batch_size, model.max_seq_len) for _ in range(training.gradient_accumulation_steps)]
    sample = batch(LAYER_WINDOWS, min(LAYER_TOKENS, model.max_seq_len))
    times: dict[str, list[float]] = {"update": [], "watched": [], "measured": []}
    for _ in range(rounds + 1):
        for name, taken in times.items():
            began = time.perf_counter()
            if name == "measured":
                watch.measure(sample, sample)
            else:
                if name == "watched":
                    watch.watch_next_update()
                backend.step(micro, 0.0)
            taken.append(time.perf_counter() - began)
    backend.close()
    found = {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first one warms up
    more = found["watched"] - found["update"] + found["measured"]
    return {**found, "share": more / (training.eval_interval * found["update"])}


def main() -> None:
    """Time, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", choices=preset_names(), nargs="+")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {preset: measure(preset, options.rounds, options.device) for preset in options.presets}
    print(json.dumps(found, indent=1))
    if options.out:
        kept = {"machine": machine(), "presets": found}
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
