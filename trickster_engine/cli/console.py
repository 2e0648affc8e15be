"""What a person sees in the terminal while a model trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from math import log
from typing import Any

from trickster_engine.cli.terminal import json_text
from trickster_engine.config.plan import Plan
from trickster_engine.evaluation.report.names import beside, best_ngram, title
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.runs.event_types import FINAL_STATUSES, Event, StepEvent
from trickster_engine.system.printable import line_ends
from trickster_engine.system.progress_bar import tqdm

WIDTH = 72


class ConsoleWatcher:
    """The facts of the run, a progress bar, and a block for each evaluation."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._max_steps = 0
        self._logged_step = 0
        self._val_loss: float | None = None
        self._bits_per_byte: Callable[[float], float | None] = lambda nats: None
        self._baselines: Mapping[str, float] = {}

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Print what is about to be trained."""
        self._max_steps = plan.training.max_steps
        self._bits_per_byte = identity.bits_per_byte
        self._baselines = identity.baselines
        print(banner(run, plan, identity))

    def event(self, event: Event) -> None:
        """Show one event."""
        if event["kind"] == "status":
            self._status(event["status"], event["step"])
        elif event["kind"] == "step" and self._bar is not None:
            self._log_progress(event)
            self._bar.update(event["step"] - self._bar.n)
            shown = {"loss": f"{event['loss']:.3f}", "tokens/s": f"{event['tokens_per_s']:,.0f}"}
            if self._val_loss is not None:
                shown["val"] = f"{self._val_loss:.3f}"
            self._bar.set_postfix(shown)
        elif event["kind"] == "eval":
            self._val_loss = event["val_loss"]
            bits = self._bits_per_byte(event["val_loss"])
            notes = ["" if bits is None else f"{bits:.3f} bits/byte", beside(event["val_loss"], self._baselines)]
            note = ", ".join(filter(None, notes))
            self._write(
                f"\nStep {event['step']:,}: train loss {event['train_loss']:.3f}, "
                f"val loss {event['val_loss']:.3f}{f' ({note})' if note else ''}, perplexity {event['perplexity']:.2f}"
            )
        elif event["kind"] == "baselines":
            self._baselines = event["nats"]
            self._write(f"Baselines: {'  '.join(_baselines(event['nats']))}  (nats/token)")
        elif event["kind"] == "sample":
            rule = "-" * WIDTH
            self._write(f"{rule}\n{line_ends(event['prompt'] + event['text']).rstrip()}\n{rule}")
        elif event["kind"] == "warning":
            lines = [event["message"], *event["advice"].splitlines()]
            self._write("warning: " + "\n         ".join(lines))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _status(self, status: str, step: int) -> None:
        if status == "training" and self._bar is None:
            self._bar = tqdm(
                total=self._max_steps, initial=step, desc="Training", unit="step", dynamic_ncols=True, smoothing=0.1,
                disable=None,
            )  # fmt: skip
        elif status == "stopping":
            self._write("Stopping: saving a checkpoint first.")
        elif status in FINAL_STATUSES:
            self.close()

    def _log_progress(self, event: StepEvent) -> None:
        """Where there is no terminal to draw a bar on, a line now and then."""
        if not sys.stderr.isatty() and event["step"] - self._logged_step >= max(1, self._max_steps // 20):
            self._logged_step = event["step"]
            left = "" if event["eta_s"] is None else f", {event['eta_s'] / 60:.1f} min left"
            progress = f"step {event['step']:,} of {self._max_steps:,}: loss {event['loss']:.3f}"
            print(f"{progress}, {event['tokens_per_s']:,.0f} tokens/s{left}", file=sys.stderr, flush=True)

    def _write(self, text: str) -> None:
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text)
            sys.stdout.flush()


class JsonWatcher:
    """One event a line on standard output, as in `events.jsonl`."""

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Say where the run is written, and what was read."""
        text = identity.data.get("text")
        print(json_text({"kind": "run", "id": run.id, "path": str(run.path), "text": text}), flush=True)

    def event(self, event: Event) -> None:
        """Print one event."""
        print(json_text(event), flush=True)

    def close(self) -> None:
        """Nothing to take away."""
        sys.stdout.flush()


def _baselines(nats: Mapping[str, float], uniform: str = "") -> Iterator[str]:
    for name, value in nats.items():
        yield f"{title(name)} {value:.3f}{uniform if name == 'uniform' else ''}"


def _all_baselines(identity: RunIdentity) -> str:
    later = "" if best_ngram(identity.baselines) else "; n-grams are counted beside training"
    return "  ".join(_baselines(identity.baselines, _uniform_over_text(identity.data))) + f"  (nats/token){later}"


def _text_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was read, without what other rows say already; nothing for a run of before it was kept."""
    table = data.get("text", {}).get("table", [])
    return [(name, value) for name, value in table if name not in ("Tokens", "Epochs")]


def _uniform_over_text(data: Mapping[str, Any]) -> str:
    """The uniform baseline counts all rows of the model; said where the text has fewer tokens."""
    text = data.get("text", {})
    occurring, asked = (text.get("content") or {}).get("occurring", 0), text.get("vocabulary_asked", 0)
    return f" ({log(occurring):.3f} over the {occurring:,} tokens that occur)" if 0 < occurring < asked else ""


def banner(run: RunDirectory, plan: Plan, identity: RunIdentity) -> str:
    """The facts of a run, each of them computed."""
    training, model, data = plan.training, plan.model, identity.data
    window = model.max_seq_len
    sequences = training.batch_size * training.gradient_accumulation_steps
    tokens = sequences * window
    epochs = tokens * training.max_steps / data["train_tokens"]
    rate = f"{training.learning_rate:g}"
    if training.optimizer == "muon":
        rate += f" ({training.muon_learning_rate:g} for the matrices, with Muon)"
    rows = [
        ("Config", identity.config_path),
        ("Device", f"{identity.device}, {identity.precision} ({identity.backend})"),
        ("Data", f"{data['name']}: {data['train_tokens']:,} training tokens, {data['val_tokens']:,} validation tokens"),
        *_text_rows(data),
        ("Model", f"{identity.parameters:,} parameters in {model.num_layers} blocks; vocabulary {model.vocab_size:,}"),
        ("A step", f"{sequences} sequences of {window} tokens = {tokens:,} tokens"),
        ("Steps", f"{training.max_steps:,} ({training.warmup_steps:,} of warm-up), {epochs:.1f} epochs"),
        ("Learning rate", rate),
        ("Baselines", _all_baselines(identity)),
        ("Output", str(run.path)),
    ]
    rule = "=" * WIDTH
    return "\n".join([rule, *(f"{name + ':':<15}{value}" for name, value in rows), rule])
