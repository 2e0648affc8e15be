"""`python -m tests.device.steps STEP OUT`: one step of `acceptance.sh`, into OUT/STEP.json as its parts are done."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.device.place import DEVICE, ON_GPU, plan_of
from trickster_engine.backends.torch.cuda import OPTIONS_VARIABLE
from trickster_engine.bench.measure import Spread, measure
from trickster_engine.bench.nanogpt import NanoGPT, recipe_for, same_shape
from trickster_engine.bench.peak import matrix_peak, wait_for
from trickster_engine.bench.race import Reading, lead, run_nanogpt, run_ours
from trickster_engine.bench.updates import Updates
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.prepare import prepare
from trickster_engine.estimates.compute import count_compute

NANOGPT = Path(os.environ["NANOGPT"]) if os.environ.get("NANOGPT") else None
TARGETS = (1.8857, 1.4697)
REPEATS = 5 if ON_GPU else 1

Note = Callable[[str, Any], None]


def facts(note: Note) -> None:
    """The machine, and what it reaches in plain matrix products."""
    place = torch.device(DEVICE)
    note("torch", torch.__version__)
    note("device", torch.cuda.get_device_name() if ON_GPU else "cpu")
    note("threads", torch.get_num_threads())
    if ON_GPU:
        free, total = torch.cuda.mem_get_info()
        note("memory", {"free": free, "total": total})
        note("cuda", {"version": torch.version.cuda, "cudnn": torch.backends.cudnn.version()})
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        note(f"peak {name}", matrix_peak(place, dtype))


def speed(note: Note) -> None:
    """Tokens/s and the share of the peak, and nanoGPT of the same shape in turns, compiled as a long run is."""
    long = {"batch_size": 8, "gradient_accumulation_steps": 1}
    for name, preset, updates, model, training in (
        ("nano-11m", "nano-11m", 20, {}, {}),
        ("midi at 8 x 1024", "midi", 10, {"max_seq_len": 1024, "dropout": 0.0}, long),
        ("midi", "midi", 5, {}, {}),
        ("nano", "nano", 20, {}, {}),
    ):
        precision = "bf16" if ON_GPU else "fp32"
        plan = plan_of(preset, model, compile="always" if ON_GPU else "never", precision=precision, **training)
        note(name, measure(plan, DEVICE, updates if ON_GPU else 1, REPEATS, NANOGPT).as_json())


#: What each pair compares: the options of `CudaOptions` without and with, and what `compile` says then.
PAIRS = (
    ("recorded passes", ("", "never"), ("graphs", "never")),
    ("kernels that repeat", ("-repeatable", "never"), ("", "never")),
    ("the update started before the loss is read", ("-early_update", "never"), ("", "never")),
    ("compiled blocks", ("", "never"), ("", "always")),
    ("the whole model compiled", ("", "always"), ("whole_model", "always")),
    ("recorded passes, the whole model compiled", ("whole_model", "always"), ("whole_model,graphs", "always")),
    ("kernels that repeat, the whole model compiled", ("whole_model,-repeatable", "always"), ("whole_model", "always")),
)


def options(note: Note) -> None:
    """Each option of `CudaOptions` with and without, in turns, on three sizes."""
    found: dict[str, dict[str, Any]] = {}
    for (name, *modes), (preset, updates) in itertools.product(PAIRS, (("nano-11m", 10), ("midi", 3), ("best", 20))):
        torch._dynamo.reset()  # it gives up compiling after a few variants of one function
        plans = [plan_of(preset, compile=word if ON_GPU else "never") for _, word in modes]
        sides = [_opened(plan, chosen) for plan, (chosen, _) in zip(plans, modes, strict=True)]
        laps: list[list[float]] = [[], []]
        for _ in range(REPEATS):
            for side, seconds in zip(sides, laps, strict=True):
                # One setting for the whole process: the other side may have left it as it wants it.
                torch.use_deterministic_algorithms(ON_GPU and side.backend._options.repeatable)
                seconds.append(side.lap(updates if ON_GPU else 1, detailed=False).seconds)
        torch.use_deterministic_algorithms(False)
        found.setdefault(preset, {})[name] = {
            "times_as_fast": Spread.of([a / b for a, b in zip(*laps, strict=True)]).as_json(),
            "tokens_per_s": updates * tokens_per_step(plans[1]) / statistics.median(laps[1]),
        }
        note(preset, found[preset])
        sides.clear()


def _opened(plan: Plan, chosen: str) -> Updates:
    os.environ[OPTIONS_VARIABLE] = chosen
    try:
        return Updates(plan, DEVICE)
    finally:
        del os.environ[OPTIONS_VARIABLE]


#: Candidates for the races, since which config gets there first on a GPU is not known. Each plans its whole schedule.
RACERS: dict[float, tuple[tuple[str, dict[str, str]], ...]] = {
    1.8857: (
        ("pico", {"max_steps": "250", "warmup_steps": "5", "batch_size": "32", "eval_interval": "25"}),
        ("pico", {"max_steps": "150", "warmup_steps": "5", "batch_size": "128", "eval_interval": "25"}),
    ),
    1.4697: (
        ("best", {"max_steps": "900", "batch_size": "64", "eval_interval": "50", "warmup_steps": "20"}),
        ("best", {"max_steps": "1500", "batch_size": "32", "eval_interval": "50", "warmup_steps": "20"}),
        ("nano-11m", {"max_steps": "600", "batch_size": "64", "eval_interval": "50", "warmup_steps": "20",
                      "optimizer": "muon", "gradient_accumulation_steps": "1", "max_seq_len": "256",
                      "muon_learning_rate": "0.02", "learning_rate": "3e-3", "min_learning_rate": "0.0",
                      "lr_schedule": "linear", "dropout": "0.2"}),
    ),
}  # fmt: skip


def races(note: Note) -> None:
    """Time to two losses: several configs of ours, and nanoGPT by its own recipe once for both."""
    curve = None
    if NANOGPT:
        with _dataset("pico", {}) as (_, dataset):
            recipe = recipe_for(DEVICE)
            note("nanogpt recipe", {"for": recipe.device, **recipe.shape, "steps": recipe.training.max_steps})
            curve = run_nanogpt(NANOGPT, dataset, DEVICE, min(TARGETS), _say("nanoGPT"))
            note("nanogpt", curve.as_json())
    for until in reversed(TARGETS):
        for number, (preset, changes) in enumerate(RACERS[until]):
            for chosen, word in (("graphs", "never"), ("whole_model,graphs", "always")):
                torch._dynamo.reset()
                os.environ[OPTIONS_VARIABLE] = chosen
                with _dataset(preset, {**changes, "compile": word if ON_GPU else "never"}) as (plan, dataset):
                    ours = run_ours(plan, dataset, DEVICE, until, _say(preset))
                result: dict[str, Any] = {"preset": preset, **changes, "options": chosen, **ours.as_json()}
                if curve is not None:
                    there = next((reading for reading in curve.readings if reading.val_loss <= until), None)
                    result |= lead(ours, replace(curve, reached=there))
                note(f"{until} {number} {chosen}".strip(), result)
                if not ON_GPU:
                    break
            if not ON_GPU:
                break


@contextmanager
def _dataset(preset: str, changes: dict[str, str]) -> Iterator[tuple[Plan, Any]]:
    """A preset's plan, changed, and Shakespeare; without a GPU some updates of a tiny model on a line of text."""
    if not ON_GPU:
        tiny = {"hidden_dim": "32", "mlp_dim": "64", "num_layers": "1", "num_heads": "2", "max_seq_len": "32"}
        changes = {**changes, **tiny, "batch_size": "2", "max_steps": "20", "eval_interval": "10", "warmup_steps": "2"}
        changes["corpus"] = "text.txt"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text.txt").write_text("To be, or not to be, that is the question.\n" * 400)
        checked = check(set_values(preset_text(preset), {**changes, "device_type": DEVICE}), Path(folder))
        assert checked.plan is not None, checked.problems
        yield checked.plan, prepare(checked.plan, Path(folder), progress=False)


def _say(who: str) -> Callable[[Reading], None]:
    return lambda reading: print(f"{who}: {reading}", file=sys.stderr)


def trainer(note: Note) -> None:
    """The Trainer of transformers and ours, lap by lap in turns."""
    from tests.benchmarks.transformers_trainer import compare

    for preset, updates in (("nano-11m", 10), ("midi", 3)):
        plan = plan_of(preset, compile="always" if ON_GPU else "never")
        note(preset, compare(plan, updates if ON_GPU else 1, REPEATS, DEVICE))


def predictions(note: Note) -> None:
    """What a calibration of this device says of an update, and how long it takes."""
    from trickster_engine.bench.calibrate import calibrate
    from trickster_engine.estimates.speeds import expected_time

    known = [calibrate(DEVICE)] if ON_GPU else []  # a rehearsal's machine may be busy, which a calibration refuses
    for preset in ("nano", "nano-11m", "midi"):
        plan = plan_of(preset, compile="never", precision="bf16" if ON_GPU else "fp32")
        expected = expected_time(plan, [], known)
        took = Updates(plan, DEVICE).lap(5, detailed=False).seconds / 5 * plan.training.max_steps
        note(preset, {"predicted_s": expected.seconds if expected else None, "took_s": took})


def profile(note: Note) -> None:
    """The kernels of one update that take longest, and for how long the device has nothing to do."""
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if ON_GPU else [])]
    for chosen, preset in itertools.product(("", "whole_model,graphs"), ("nano-11m", "midi", "best")):
        torch._dynamo.reset()
        plan = plan_of(preset, compile="always" if ON_GPU and chosen else "never")
        updates = _opened(plan, chosen)
        updates.lap(3, detailed=False)
        with torch.profiler.profile(activities=kinds) as seen:
            seconds = updates.lap(1, detailed=False).seconds
        updates.backend.close()
        # Operations carry the time of the kernels that they start; counted are the kernels themselves.
        wanted = torch.autograd.DeviceType.CUDA if ON_GPU else torch.autograd.DeviceType.CPU  # type: ignore[attr-defined]
        times = [(event.key, event.self_device_time_total if ON_GPU else event.self_cpu_time_total, event.count)
                 for event in seen.key_averages() if event.device_type == wanted]  # fmt: skip
        times.sort(key=lambda time: -time[1])
        busy = sum(microseconds for _, microseconds, _ in times) / 1e6
        note(f"{preset} {chosen}".strip(), {
            "seconds": seconds, "busy_s": busy, "idle": 1 - busy / seconds, "started": sum(time[2] for time in times),
            "flops_per_s": count_compute(plan).per_step / seconds,
            "top": [{"name": name[:120], "ms": ms / 1e3, "count": count} for name, ms, count in times[:12]],
        })  # fmt: skip


def sampling(note: Note) -> None:
    """Tokens/s of one text and of eight, and nanoGPT's of one."""
    from trickster_engine.inference.sampling import SamplingOptions, generate

    for preset in ("nano-11m", "midi"):
        plan = plan_of(preset, compile="never")
        updates = Updates(plan, DEVICE)
        model, count = updates.backend.sampling_model(), 200 if ON_GPU else 10
        found = {}
        for rows in (1, 8):
            began = time.perf_counter()
            list(generate(model, [[1, 2, 3]] * rows, SamplingOptions(max_new_tokens=count)))
            found[f"{rows}"] = rows * count / (time.perf_counter() - began)
        if NANOGPT:
            place, training = torch.device(DEVICE), plan.training
            rival = NanoGPT(NANOGPT, same_shape(plan.model), plan.model.vocab_size, training, place)
            began = time.perf_counter()
            rival.generate([1, 2, 3], count)
            wait_for(DEVICE)
            found["nanogpt"] = count / (time.perf_counter() - began)
        note(preset, found)


def best(note: Note) -> None:
    """The preset `best` to its end, by the race's clock."""
    os.environ[OPTIONS_VARIABLE] = "graphs"
    with _dataset("best", {"compile": "never"}) as (plan, dataset):
        note("best", run_ours(plan, dataset, DEVICE, 0.0, _say("best")).as_json())


STEPS = {step.__name__: step for step in (facts, speed, races, options, trainer, predictions, profile, sampling, best)}


def main() -> None:
    """Do one step. What it notes is written at once: a step that is killed has kept its parts."""
    name, out = sys.argv[1], Path(sys.argv[2])
    found: dict[str, Any] = {}

    def note(part: str, value: Any) -> None:
        found[part] = value
        (out / f"{name}.json").write_text(json.dumps(found, indent=1, default=float) + "\n", encoding="utf-8")

    torch.manual_seed(0)
    np.random.seed(0)
    STEPS[name](note)


if __name__ == "__main__":
    main()
