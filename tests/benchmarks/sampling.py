"""`python -m tests.benchmarks.sampling`: what the key/value cache gains, in pairs taken turn by turn.

Prints tokens/s with the cache and with the whole window read anew for each token, the ratio pair by pair, and whether
both gave the same text.
"""

from __future__ import annotations

import argparse
import statistics
import time

from trickster_engine.config import preset_plan
from trickster_engine.inference.sampling import SamplingOptions, generate
from trickster_engine.model.llama import Llama


def timed(model: Llama, options: SamplingOptions, use_cache: bool) -> tuple[float, list[int]]:
    """Seconds, and the tokens."""
    start = time.perf_counter()
    tokens = [int(ids[0]) for ids in generate(model, [list(b"ROMEO:")], options, use_cache=use_cache)]
    return time.perf_counter() - start, tokens


def main() -> None:
    """Measure the presets named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["pico", "nano"])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    for preset in options.presets:
        plan = preset_plan(preset)
        model = Llama(plan.model).initialize(plan.training.seed)
        sampling = SamplingOptions(max_new_tokens=options.tokens, temperature=0.8)
        timed(model, SamplingOptions(max_new_tokens=8), True)
        ratios, rates, same = [], [], True
        for _ in range(options.pairs):
            cached, tokens = timed(model, sampling, True)
            whole, again = timed(model, sampling, False)
            ratios.append(whole / cached)
            rates.append((options.tokens / cached, options.tokens / whole))
            same = same and tokens == again
        rate = [statistics.median(column) for column in zip(*rates, strict=True)]
        print(
            f"{preset}: {rate[0]:,.0f} tokens/s with the cache, {rate[1]:,.0f} without; "
            f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); same text: {same}"
        )


if __name__ == "__main__":
    main()
