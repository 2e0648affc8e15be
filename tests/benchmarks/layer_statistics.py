"""What measuring the layers costs: plain updates, watched updates and measurements by turns, in one process.

`python -m tests.benchmarks.layer_statistics pico` prints the medians and the share of a run's time that they come to at
the preset's `eval_interval`. On a loaded machine the share is still right: all three are slowed alike.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config import preset_names, preset_plan
from trickster_engine.training.loop import LAYER_TOKENS, LAYER_WINDOWS


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=preset_names())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    plan = preset_plan(options.preset)
    training, model = plan.training, plan.model
    backend = TorchBackend(plan, options.device)
    watch = backend.layer_watch
    assert watch is not None
    generator = np.random.default_rng(0)

    def batch(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = generator.integers(0, model.vocab_size, (rows, length + 1))
        return tokens[:, :-1], tokens[:, 1:]

    micro = [batch(training.batch_size, model.max_seq_len) for _ in range(training.gradient_accumulation_steps)]
    sample = batch(LAYER_WINDOWS, min(LAYER_TOKENS, model.max_seq_len))
    times: dict[str, list[float]] = {"update": [], "watched": [], "measured": []}
    for _ in range(options.rounds + 1):
        for name, taken in times.items():
            began = time.perf_counter()
            if name == "measured":
                watch.measure(sample, sample)
            else:
                if name == "watched":
                    watch.watch_next_update()
                backend.step(micro, 0.0)
            taken.append(time.perf_counter() - began)
    update, watched, measured = (statistics.median(taken[1:]) for taken in times.values())  # the first one warms up
    share = (watched - update + measured) / (training.eval_interval * update)
    shown = {"update": update, "watched update": watched, "measurement": measured}
    print(f"{options.preset}: " + ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in shown.items()))
    print(f"{share:.3%} of the time of the {training.eval_interval} updates between two evaluations")
    backend.close()


if __name__ == "__main__":
    main()
