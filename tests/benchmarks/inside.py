"""`python -m tests.benchmarks.inside RUN [RUN …] [--out OUT.json]`: from a click to the answer that is drawn.

For each run the language server is started and asked over stdio, as the dashboard asks it: what the model computes for
128 tokens, every picture of it, each time for another text, with the model in memory. The time ends where the answer
is decoded from JSON. Wants a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.machine import machine
from tests.server.raw_client import RawClient

TOKENS = 128


def measure(run: Path, times: int) -> dict[str, Any]:
    """Seconds of `trickster/inside` for a run, of which the text is made of bytes or characters."""
    with RawClient(env=dict(os.environ)) as client:
        client.initialize(run.parent.parent, {"trusted": True})
        first = time.perf_counter()
        found = client.request("trickster/inside", {"runId": str(run)}, 300)
        first = time.perf_counter() - first
        text = (found["text"] * TOKENS)[: 2 * TOKENS]
        seconds, worker = [], []
        for number in range(times):
            began = time.perf_counter()
            shown = text[number % TOKENS :][:TOKENS]
            answer = client.request("trickster/inside", {"runId": str(run), "text": shown}, 300)
            seconds.append(time.perf_counter() - began)
            worker.append(answer["seconds"])
        return {
            "run": run.name,
            "tokens": len(answer["tokens"]),
            "requests": times,
            "first_s": round(first, 3),
            "p50_ms": round(1000 * float(np.percentile(seconds, 50)), 1),
            "p95_ms": round(1000 * float(np.percentile(seconds, 95)), 1),
            "computing_p50_ms": round(1000 * float(np.percentile(worker, 50)), 1),
        }


def main() -> None:
    """Measure, print, and write where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [measure(run.resolve(), options.times) for run in options.runs]
    for row in rows:
        print(json.dumps(row))
    if options.out:
        options.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
