"""`python -m tests.benchmarks.many_events [--events N] [--runs N]`: one run with very many events, and very many runs.

A tiny run is trained, its `events.jsonl` is replaced by a million events, and the peak memory (VmHWM, of the process
that is asked) of `trickster runs`, `trickster report` and of the server is measured, with the time each took. Then the
same number of small runs is listed: the time of the whole `trickster runs`, and of the server from the start of its
process to the first answer of `trickster/listRuns`, and until all that was left for later is read. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tests.engine.conftest import TINY, dialogue
from tests.server.raw_client import RawClient
from tests.server.run_files import write_run
from trickster_engine.config import preset_text
from trickster_engine.runs.event_types import Event
from trickster_engine.runs.schema import event_line

TRICKSTER = [sys.executable, "-c", "from trickster_engine.cli import main; raise SystemExit(main())"]


def events(count: int, prompt: str = "ROMEO:", begun: float = 1e9) -> Iterator[dict[str, Any]]:
    """The events of a run that was logged at each step: evaluated every 50, saved every 1,000."""
    yield {"t": begun, "kind": "status", "status": "starting", "step": 0, "message": None}
    yield {"t": begun, "kind": "status", "status": "training", "step": 0, "message": None}
    t = begun
    for number in range(1, count - 2):
        t, step = begun + number * 0.1, number // 50 * 50
        if number % 50 == 0:
            loss = 1.5 + 5 / (1 + number / 5_000)
            yield {"t": t, "kind": "eval", "step": step, "train_loss": loss, "val_loss": loss + 0.1, "perplexity": 3.3}
        elif number % 50 == 1:
            yield {"t": t, "kind": "sample", "step": step, "prompt": prompt, "text": "to be or not to be " * 10}
        elif number % 1_000 == 2:
            path = f"checkpoints/step-{step:06d}"
            yield {"t": t, "kind": "checkpoint", "step": step, "path": path, "val_loss": 2.0, "best": False}
        else:
            yield {
                "t": t, "kind": "step", "step": number, "loss": 1.7123456 + 1 / number, "lr": 2.3456789e-4,
                "grad_norm": 0.7654321, "tokens_per_s": 54321.987, "eta_s": 1234.5678, "mfu": None,
            }  # fmt: skip
    yield {"t": t, "kind": "status", "status": "finished", "step": count, "message": None}


def line(event: dict[str, Any]) -> bytes:
    """One event as the engine writes it."""
    return event_line(cast(Event, event))


def write_events(path: Path, count: int) -> None:
    """Write so many events."""
    with path.open("wb") as file:
        file.writelines(map(line, events(count)))


def write_runs(folder: Path, count: int, events_each: int) -> None:
    """So many finished runs, each of another config."""
    text = preset_text("nano")
    told = list(events(events_each))
    for number in range(count):
        config = text.replace("learning_rate: 3e-4", f"learning_rate: {3e-4 + number * 1e-8:.8f}")
        run = write_run(
            folder / f"nano-{number:04d}", config_path=folder / "nano.yaml", text=config, created=1e9 + number * 1e4
        )
        with run.events_path.open("wb") as file:
            file.writelines(line({**one, "t": one["t"] + number * 1e4}) for one in told)


def command(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, peak megabytes and output of a command."""
    watched = "import atexit; atexit.register(lambda: print(open('/proc/self/status').read(), file=open('peak', 'w')))"
    code = f"{watched}\nimport sys\nfrom trickster_engine.cli import main\nsys.exit(main())"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    peak = _peak((folder / "peak").read_text(encoding="utf-8"))
    return seconds, peak, done.stdout


def _peak(status: str) -> float:
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def server(folder: Path, step: int, *, pages: bool) -> tuple[float, float, float, float, int]:
    """Seconds until it answers, lists and has read all; peak megabytes; and the events of the newest run's pages."""
    read = 0
    with RawClient() as client:
        client.initialize(folder)
        ready = time.perf_counter() - client.began
        runs = client.request("trickster/listRuns", {}, timeout=300)["runs"]
        first = time.perf_counter() - client.began
        while any(run["step"] != step or run["bestValLoss"] is None for run in runs):
            runs = client.notification("trickster/runsChanged", timeout=300)["runs"]
        last = time.perf_counter() - client.began
        after = 0
        for _ in itertools.count() if pages else ():
            page = client.request("trickster/runEvents", {"runId": runs[0]["runId"], "after": after}, timeout=60)
            read, after = read + len(page["events"]), page["next"]
            if not page["more"]:
                break
        peak = _peak(Path(f"/proc/{client.process.pid}/status").read_text(encoding="utf-8"))
        assert client.shutdown() == 0
    return ready, first, last, peak, read


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--events-each", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["TRICKSTER_CACHE_DIR"] = f"{scratch}/cache"
        folder = Path(scratch) / "one"
        folder.mkdir()
        (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
        (folder / "tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")
        command(folder, "train", "tiny.yaml")
        run = folder / "runs" / "tiny-001"
        seconds, peak, _ = command(folder, "report", "runs/tiny-001")
        print(f"report with its own few events:  {seconds:6.2f} s  {peak:6.0f} MB", flush=True)
        write_events(run / "events.jsonl", options.events)
        print(f"{options.events:,} events, {(run / 'events.jsonl').stat().st_size / 1e6:.0f} MB:")
        for arguments in (["runs"], ["report", "runs/tiny-001"]):
            seconds, peak, _ = command(folder, *arguments)
            print(f"  trickster {arguments[0]:<10} {seconds:6.2f} s  {peak:6.0f} MB", flush=True)
        ready, first, last, peak, read = server(folder, options.events, pages=True)
        print(
            f"  server  ready {ready:.2f} s, first list {first:.2f} s, complete {last:.2f} s, {peak:.0f} MB, "
            f"{read:,} events in pages"
        )
        many = Path(scratch) / "many"
        write_runs(many / "runs", options.runs, options.events_each)
        print(f"{options.runs:,} runs of {options.events_each} events:")
        for _ in range(3):
            seconds, peak, out = command(many, "runs")
            print(
                f"  trickster runs        {seconds:6.2f} s  {peak:6.0f} MB, {len(out.splitlines()):,} lines", flush=True
            )
            ready, first, last, peak, _ = server(many, options.events_each, pages=False)
            print(
                f"  server  ready {ready:.2f} s, first list {first:.2f} s, complete {last:.2f} s, {peak:.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
