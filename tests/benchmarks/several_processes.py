"""`python -m tests.benchmarks.several_processes`: several processes on this machine, killed, measured, and at length.

    kills    a process killed at random moments: seconds until the job ended, and whether the run, gone on with to its
             end, is bit for bit that of a run left alone; what was left is gone on with by 1 and 4 processes as well
    mini     the mini preset (27 million parameters) for fifty steps on two processes
    scaling  tokens/s of pico on 1, 2 and 4 processes that share the cores there are

Uses the CPU for minutes. Linux only.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.engine.conftest import dialogue
from tests.engine.training.test_processes import figures, ranks_of
from tests.engine.training.test_resume import same_checkpoint
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import verify
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.training.start import resume, start

assert sys.platform == "linux"  # test_processes finds its processes through /proc

STEPS = 1000
#: A process takes some seconds until it trains: a good part of the kills come before that.
LATEST_KILL_S = 15.0


def config(preset: str, processes: int, **changes: object) -> str:
    """A preset on `processes`, with changes to its keys."""
    fixed = {
        "device_type": "cpu", "mesh_shape": f"[1, {processes}]", "enable_ddp": str(processes > 1).lower(),
        "corpus": "play.txt", "prompt": "ROMEO:", "precision": "fp32", "compile": "never", "optimizer": "adamw",
        "max_new_tokens": 4, "gradient_accumulation_steps": 1, "warmup_steps": 1, "log_interval": 1,
    }  # fmt: skip
    return set_values(preset_text(preset), {key: str(value) for key, value in {**fixed, **changes}.items()})


def train(folder: Path, name: str, text: str) -> RunDirectory:
    """Train from the start. Raises TricksterError."""
    plan = check(text).plan
    assert plan is not None, check(text).problems
    run, _ = start(folder / f"{name}.yaml", text, plan, run_path=folder / name, show_progress=False)
    return run


def speed(run: RunDirectory) -> float:
    """Tokens/s, the median over the steps behind the first few."""
    return statistics.median(e["tokens_per_s"] for e in read_events(run.events_path)[0][8:] if e["kind"] == "step")


def kill_later(seconds: float, rank: int, done: list[float]) -> threading.Thread:
    """Kill one of this process's ranks with SIGKILL `seconds` after both are there."""

    def wait_and_kill() -> None:
        while rank not in (ranks := ranks_of(os.getpid())):
            time.sleep(0.05)
        time.sleep(seconds)
        try:
            os.kill(ranks[rank], signal.SIGKILL)
            done.append(time.monotonic())
        except ProcessLookupError:
            pass

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


def kills(folder: Path, count: int, seed: int) -> None:
    """Kill until `count` kills have hit, then let the run end."""
    text = config(
        "pico", 2, dropout=0.1, hidden_dim=64, num_layers=2, mlp_dim=128, max_seq_len=64, batch_size=8, max_steps=STEPS,
        eval_interval=STEPS // 4, save_interval=10,
    )  # fmt: skip
    straight = train(folder, "straight", text)
    chooser = random.Random(seed)
    broken = RunDirectory(folder / "broken")
    seconds: list[float] = []
    while len(seconds) < count:
        hit: list[float] = []
        kill_later(chooser.uniform(0.0, LATEST_KILL_S), chooser.randrange(2), hit)
        try:
            if broken.identity() is None:
                shutil.rmtree(broken.path, ignore_errors=True)
                train(folder, "broken", text)
            else:
                resume(broken, show_progress=False)
            print(f"the run ended before kill {len(seconds) + 1}")
            break
        except TricksterError as error:
            assert error.code == "process-lost", error
            seconds.append(time.monotonic() - hit[0])
        assert not ranks_of(os.getpid())
        folders = sorted((broken.path / "checkpoints").glob("step-*"))
        for checkpoint in folders:
            verify(checkpoint)
        step = folders[-1].name if folders else "none"
        print(f"kill {len(seconds)}: ended after {seconds[-1]:.1f} s; newest checkpoint {step}", flush=True)
    left = folder / "left"
    shutil.copytree(broken.path, left)
    resume(broken, show_progress=False)
    same_checkpoint(straight.path / f"checkpoints/step-{STEPS:06d}", broken.path / f"checkpoints/step-{STEPS:06d}")
    longest, median = max(seconds), statistics.median(seconds)
    print(f"{len(seconds)} kills: the job ended after at most {longest:.1f} s, median {median:.1f}")
    print(f"then the same as left alone, bit for bit; validation loss {straight.summary().val_loss:.4f}")
    for processes in (1, 4):
        copy = RunDirectory(folder / f"by-{processes}")
        shutil.copytree(left, copy.path)
        device = {
            "device_config.mesh_shape": f"[1, {processes}]",
            "device_config.enable_ddp": str(processes > 1).lower(),
        }
        resume(copy, device, show_progress=False)
        print(f"gone on with by {processes}: validation loss {copy.summary().val_loss:.4f}", flush=True)


def mini(folder: Path, steps: int) -> None:
    """The mini preset at full size."""
    small = {"max_seq_len": 128, "batch_size": 4, "dropout": 0.0}
    run = train(folder, "mini", config("mini", 2, max_steps=steps, eval_interval=steps, save_interval=steps, **small))
    losses = [values[0] for (kind, _), values in sorted(figures(run).items()) if kind == "step"]
    print(f"mini, {steps} steps on 2 processes: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {speed(run):,.0f} tokens/s")


def scaling(folder: Path) -> None:
    """Pico on the cores there are."""
    speeds = {}
    for processes in (1, 2, 4):
        text = config("pico", processes, batch_size=32, max_steps=40, eval_interval=40, save_interval=40)
        speeds[processes] = speed(train(folder, f"pico-{processes}", text))
    cores = os.cpu_count() or 1
    for processes, value in speeds.items():
        share = value / speeds[1]
        print(f"pico, {processes} processes on {cores} cores: {value:,.0f} tokens/s, {share:.2f} of one process")


def main() -> None:
    """Run the parts named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["kills", "mini", "scaling"])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mini-steps", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TRICKSTER_CACHE_DIR"] = str(folder / "cache")
        (folder / "play.txt").write_text(dialogue(12_000), encoding="utf-8")
        if "kills" in options.parts:
            kills(folder, options.kills, options.seed)
        if "mini" in options.parts:
            mini(folder, options.mini_steps)
        if "scaling" in options.parts:
            scaling(folder)


if __name__ == "__main__":
    main()
