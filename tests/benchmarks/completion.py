"""`python -m tests.benchmarks.completion [--pico RUN]`: how long a key waits for its completion, and what that costs.

A client types held-out text character by character to the real server over its standard input and output, and asks
after each for a completion of 20 tokens, here characters, however unlikely. Measured are the time from the request to
the answer, in the client, and what of it the model took, in the worker; alone, and while the server trains pico. The
models are that of RUN, and random weights of the other presets' shapes: the time does not depend on their values.
Writes `docs/completion/latency.json`, from which docs/completion.md is made.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine
from tests.server.latency import percentiles
from tests.server.raw_client import RawClient
from trickster_engine.config import preset_plan, preset_text, set_values
from trickster_engine.data.corpus import resolve_corpus
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import Llama
from trickster_engine.runs import find_runs, summarize
from trickster_engine.system.files import write_json_atomically

KEPT = Path(__file__).parents[2] / "docs" / "completion" / "latency.json"
SHAPES = ("pico", "best", "nano")
TOKENS = 20
BEFORE = 4_000
"""Characters before the cursor when typing begins: more than any of the models sees."""


def random_model(preset: str, folder: Path) -> tuple[Path, int]:
    """A model of a preset's shape, and its parameters."""
    plan = preset_plan(preset)
    model = Llama(plan.model).initialize(1)
    folder.mkdir()
    write_model(folder, plan.model, {name: value.numpy() for name, value in model.state_dict().items()})
    byte_tokenizer().save(folder)
    return folder, sum(one.numel() for one in model.parameters())


def typed(client: RawClient, model: Path, text: str, keys: int) -> dict[str, Any]:
    """Type so many characters of a text, and ask after each."""
    asked, taken, lengths = [], [], []
    rules = {"checkpoint": str(model), "oneLine": False, "confidence": 0.0, "maxTokens": TOKENS}
    client.request("trickster/complete", {**rules, "before": text[:BEFORE]}, 120)
    for end in range(BEFORE + 1, BEFORE + 1 + keys):
        began = time.perf_counter()
        answer = client.request("trickster/complete", {**rules, "before": text[:end]}, 120)
        asked.append(time.perf_counter() - began)
        taken.append(answer["seconds"])
        lengths.append(len(answer["text"]))
    names = ("p50", "p95", "p99")
    return {
        "keys": keys,
        "answer_ms": dict(zip(names, percentiles(asked), strict=True)),
        "model_ms": dict(zip(names, percentiles(taken), strict=True)),
        "characters": sorted(lengths)[len(lengths) // 2],
    }


@contextlib.contextmanager
def training(client: RawClient, folder: Path) -> Iterator[None]:
    """Pico trains, in a process of the server's, as long as this lasts."""
    path = folder / "busy.trickster.yaml"
    path.write_text(set_values(preset_text("pico"), {"training_config.max_steps": "100000"}), encoding="utf-8")
    client.request("trickster/startRun", {"configUri": path.as_uri()}, 300)
    run = next(iter(find_runs(folder / "runs")))
    while summarize(run).step == 0:
        time.sleep(0.1)
    try:
        yield
    finally:
        run.request_stop()
        while run.is_live():
            time.sleep(0.1)


def worker_memory(server: int) -> dict[str, float]:
    """MB of the process that completes: all it has in memory, and what of it no other process shares. Linux only."""
    for task in Path(f"/proc/{server}/task").glob("*/children"):
        for pid in task.read_text(encoding="ascii").split():
            if b"inference.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
                kb = {name: int(value.split()[0]) for name, value in (row.split(":") for row in rows)}
                return {"resident_mb": kb["Rss"] / 1024, "own_mb": (kb["Private_Clean"] + kb["Private_Dirty"]) / 1024}
    return {}


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pico", type=Path, metavar="RUN", help="a finished run; without it, random weights")
    parser.add_argument("--keys", type=int, default=300)
    parser.add_argument("--output", type=Path, default=KEPT)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a run that trains would go on without us
    text = "".join(resolve_corpus("shakespeare", Path.cwd()).text_chunks())
    text = text[-len(text) // 10 :]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {shape: random_model(shape, folder / shape) for shape in SHAPES}
        if options.pico is not None:
            models["pico"] = options.pico.resolve(), models["pico"][1]
        for busy in (False, True):
            client = RawClient(env=dict(os.environ))  # with the kernels that whoever has trained here has in the cache
            with client:
                client.initialize(folder)
                with training(client, folder) if busy else contextlib.nullcontext():
                    for shape, (model, parameters) in models.items():
                        row = found.setdefault(
                            shape, {"parameters": parameters, "trained": shape == "pico" and options.pico is not None}
                        )
                        row["training" if busy else "idle"] = typed(client, model, text, options.keys)
                        if not busy:
                            row.update(worker_memory(client.process.pid))
                        print(shape, "training" if busy else "idle", row["training" if busy else "idle"], flush=True)
                client.shutdown()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomically(options.output, {"machine": machine(), "tokens": TOKENS, "models": found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
