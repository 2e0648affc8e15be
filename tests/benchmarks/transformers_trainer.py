"""`python -m tests.benchmarks.transformers_trainer OUT.json`: transformers' Trainer and ours, lap by lap in turns.

Its model is LlamaForCausalLM of the same shape and its batches have the same size; it runs as it does by itself: on a
CPU in fp32, on a GPU (`--device cuda`) in bf16 and compiled, on both with AdamW and without dropout. Ours is the preset
as it is. Wants `pip install -e .[dev,bench]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset

from trickster_engine.bench.measure import Spread
from trickster_engine.bench.peak import wait_for
from trickster_engine.bench.updates import Updates
from trickster_engine.config import preset_plan
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.model.huggingface import write_model
from trickster_engine.model.llama import Llama


class Windows(Dataset[dict[str, torch.Tensor]]):
    """As many windows of a plan's context, drawn at random: what they say does not change how long they take."""

    def __init__(self, model: ModelConfig, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._tokens = torch.randint(model.vocab_size, (count, model.max_seq_len), generator=generator)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._tokens[index], "labels": self._tokens[index]}


class Turns(transformers.TrainerCallback):  # type: ignore[misc]  # see pyproject.toml
    """Times laps of the Trainer's updates, and after each one lap of ours."""

    def __init__(self, ours: Updates, updates: int) -> None:
        self._ours, self._updates = ours, updates
        self.theirs_s: list[float] = []
        self.ours_s: list[float] = []
        self._began = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step % self._updates:
            return
        wait_for(self._ours.backend.model.device.type)
        if self._began:  # the first lap pays for what is done once
            self.theirs_s.append(time.perf_counter() - self._began)
            self.ours_s.append(self._ours.lap(self._updates, detailed=False).seconds)
        self._began = time.perf_counter()


def race(plan: Plan, updates: int, pairs: int, device: str) -> Turns:
    """Train both in turns."""
    training = plan.training
    on_gpu = device == "cuda"
    turns = Turns(Updates(plan, device), updates)
    steps = (pairs + 1) * updates
    with tempfile.TemporaryDirectory() as folder:
        weights = {name: value.numpy() for name, value in Llama(plan.model).initialize(0).state_dict().items()}
        write_model(Path(folder), plan.model, weights)
        model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=training.batch_size,
                gradient_accumulation_steps=training.gradient_accumulation_steps,
                max_steps=steps,
                learning_rate=1e-5,
                weight_decay=training.weight_decay,
                max_grad_norm=training.grad_clip,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=not on_gpu,
                bf16=on_gpu,
                torch_compile=on_gpu,
            ),
            train_dataset=Windows(plan.model, steps * training.batch_size * training.gradient_accumulation_steps),
            callbacks=[turns],
        ).train()
    return turns


def compare(plan: Plan, updates: int, pairs: int, device: str) -> dict[str, Any]:
    """The figures of both, as JSON."""
    turns = race(plan, updates, pairs, device)
    tokens = updates * tokens_per_step(plan)
    ratios = [theirs / ours for theirs, ours in zip(turns.theirs_s, turns.ours_s, strict=True)]
    return {
        "tokens_per_s": Spread.of([tokens / seconds for seconds in turns.ours_s]).as_json(),
        "trainer_tokens_per_s": Spread.of([tokens / seconds for seconds in turns.theirs_s]).as_json(),
        "times_as_fast": Spread.of(ratios).as_json(),
    }


def main() -> None:
    """Measure pico and nano, and write the table's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    measured = (("pico", 10), ("nano", 1)) if options.device == "cpu" else (("nano-11m", 20), ("midi", 5))
    presets = {name: compare(preset_plan(name), updates, options.pairs, options.device) for name, updates in measured}
    for name, figures in presets.items():
        ratio = figures["times_as_fast"]
        print(f"{name}: {ratio['median']:.2f} times as fast ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    options.out.write_text(json.dumps({"versions": versions, "presets": presets}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
