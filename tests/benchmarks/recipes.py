"""`python -m tests.benchmarks.recipes PRESET OUT.json [NAME ...]`: what else a recipe could be, and what it gives.

Every variant reads as many characters as its preset does, where its name says nothing else, and is trained with three
seeds on two cores at once, one thread each. The last tenth of the text is never looked at: the variants are measured on
the last tenth of the rest. Readings that OUT already holds are not taken again, so the search can be interrupted and
widened.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trickster_engine.config.plan import Plan
    from trickster_engine.data.dataset import Dataset

SEEDS = (1, 2, 3)
EVALUATED_TOKENS = 4096  # at once


@dataclass(frozen=True)
class Stage:
    """A stretch of training: its share of all characters, and the batches in it."""

    share: float
    batch_size: int
    context: int


@dataclass(frozen=True)
class Variant:
    """A change of the recipe: of the config, or of what no config can say."""

    changes: Mapping[str, str] = field(default_factory=dict)
    text: float = 1.0  # times as many characters as the preset reads
    stages: tuple[Stage, ...] = ()
    averages: tuple[float, ...] = ()  # how much of a weight's running mean outlives an update
    initial: float = 1.0  # times the usual size of the random weights
    initial_output: float = 1.0  # the same for the projections that write into the residual stream
    iterations: int = 5  # with which Muon orthogonalises an update
    first_momentum: float | None = None  # from which Muon's momentum climbs over the first fifth


def _training(**values: object) -> Variant:
    return Variant({f"training_config.{key}": str(value) for key, value in values.items()})


def _model(**values: object) -> Variant:
    return Variant({f"model_config.{key}": str(value) for key, value in values.items()})


def _bpe(vocabulary: int, text: float = 1.0, batch_size: int = 16) -> Variant:
    changes = {"data_config.tokenizer": "bpe", "model_config.vocab_size": str(vocabulary)}
    return Variant({**changes, "training_config.batch_size": str(batch_size)}, text)


#: Where a search began, in what its preset says otherwise since.
BEGUN: dict[str, Mapping[str, str]] = {
    "pico": {},
    "fast": {"training_config.muon_learning_rate": "0.02", "training_config.muon_momentum": "0.95"},
}
#: What no preset is needed to say.
COMMON: dict[str, Variant] = {
    "as it is": Variant(averages=(0.9, 0.98, 0.995)),
    "4 iterations in Muon": Variant(iterations=4),
    "3 iterations in Muon": Variant(iterations=3),
    "muon_momentum 0.9": _training(muon_momentum=0.9),
    "muon_momentum 0.85": _training(muon_momentum=0.85),
    "muon_momentum climbs from 0.85": Variant(first_momentum=0.85),
    "muon_learning_rate 0.03": _training(muon_learning_rate=0.03),
    "muon_learning_rate 0.014": _training(muon_learning_rate=0.014),
    "learning_rate 6e-3": _training(learning_rate=6e-3),
    "learning_rate 1.5e-3": _training(learning_rate=1.5e-3),
    "weight_decay 0.3": _training(weight_decay=0.3),
    "weight_decay 0": _training(weight_decay=0.0),
    "beta2 0.99": _training(beta2=0.99),
    "warmup_steps 150": _training(warmup_steps=150),
    "warmup_steps 10": _training(warmup_steps=10),
    "lr_schedule cosine": _training(lr_schedule="cosine"),
    "dropout 0.1": _model(dropout=0.1),
    "2 heads": _model(num_heads=2),
    "8 heads": _model(num_heads=8),
    "random weights twice as large": Variant(initial=2.0),
    "random weights half as large": Variant(initial=0.5),
    "output projections start at zero": Variant(initial_output=0.0),
}
VARIANTS: dict[str, dict[str, Variant]] = {
    "pico": COMMON
    | {
        "half the batch, twice the updates": _training(batch_size=8),
        "twice the batch, half the updates": _training(batch_size=32),
        "batch grows from 8 to 16 halfway": Variant(stages=(Stage(0.5, 8, 128), Stage(0.5, 16, 128))),
        "context grows from 64 to 128 halfway": Variant(stages=(Stage(0.5, 32, 64), Stage(0.5, 16, 128))),
        "context 256": Variant({"model_config.max_seq_len": "256", "training_config.batch_size": "8"}),
        "tokenizer char": Variant({"data_config.tokenizer": "char"}),
        "tokenizer bpe of 512": _bpe(512),
        "tokenizer bpe of 1,024": _bpe(1024),
        "tokenizer bpe of 2,048": _bpe(2048),
        "tokenizer bpe of 1,024, twice the text": _bpe(1024, text=2.0),
        "tokenizer bpe of 1,024, half the batch": _bpe(1024, batch_size=8),
    },
    "fast": COMMON
    | {
        "half the batch, twice the updates": _training(batch_size=4),
        "twice the batch, half the updates": _training(batch_size=16),
        "batch grows from 4 to 8 halfway": Variant(stages=(Stage(0.5, 4, 128), Stage(0.5, 8, 128))),
        "context grows from 64 to 128 halfway": Variant(stages=(Stage(0.5, 16, 64), Stage(0.5, 8, 128))),
        "context 64": Variant({"model_config.max_seq_len": "64", "training_config.batch_size": "16"}),
        "vocabulary of 768": _model(vocab_size=768),
        "vocabulary of 1,536": _model(vocab_size=1536),
        "3 blocks": _model(num_layers=3),
        "mlp_dim 512": _model(mlp_dim=512),
        "twice the text": Variant(text=2.0),
        "muon_momentum 0.9, muon_learning_rate 0.03": _training(muon_momentum=0.9, muon_learning_rate=0.03),
    },
}


def train(preset: str, name: str, seed: int, text: Path, cache: Path) -> dict[str, Any]:
    """Train one variant of a preset; returns its reading. Losses are in nats a character, whatever the tokenizer."""
    # torch reads the number of threads when it is imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from trickster_engine.backends.torch.backend import TorchBackend
    from trickster_engine.config import check, preset_text, set_values
    from trickster_engine.data.amounts import tokens_per_step
    from trickster_engine.data.batches import TrainingBatches, validation_windows
    from trickster_engine.data.prepare import prepare
    from trickster_engine.estimates.learning_rate import learning_rate_factor

    variant = VARIANTS[preset][name]
    changes = {
        "training_config.seed": str(seed),
        "training_config.compile": "never",
        "device_config.device_type": "cpu",
        "data_config.corpus": str(text),
    }

    def prepared(more: Mapping[str, str]) -> tuple[Plan, Dataset]:
        plan = check(set_values(preset_text(preset), {**BEGUN[preset], **more, **changes})).plan
        assert plan is not None
        return plan, prepare(plan, text.parent, cache_dir=cache, progress=False)

    unchanged, unchanged_dataset = prepared({})
    characters = unchanged.training.max_steps * tokens_per_step(unchanged) * unchanged_dataset.characters_per_token
    plan, dataset = prepared(variant.changes)
    training, context = plan.training, plan.model.max_seq_len
    tokens = variant.text * characters / dataset.characters_per_token
    stages = variant.stages or (Stage(1.0, training.batch_size, context),)
    updates = [
        (stage, number)
        for stage in stages
        for number in range(round(stage.share * tokens / (stage.batch_size * stage.context)))
    ]
    batches = {stage: TrainingBatches(dataset.train, stage.context, stage.batch_size, seed) for stage in stages}
    schedule = replace(training, max_steps=len(updates))

    def set_muon(optimizer: torch.optim.Optimizer, *_: object) -> None:
        for group in optimizer.param_groups:
            if "ns_steps" in group:
                group["ns_steps"] = variant.iterations
                if variant.first_momentum is not None:
                    climbed = min(1.0, step / (0.2 * len(updates)))
                    group["momentum"] = (1 - climbed) * variant.first_momentum + climbed * training.muon_momentum

    hook = register_optimizer_step_pre_hook(set_muon)
    backend = TorchBackend(plan, "cpu")
    for weight_name, weight in backend.model.named_parameters():
        if weight.ndim > 1:
            output = weight_name.endswith(("o_proj.weight", "down_proj.weight"))
            weight.data *= variant.initial * (variant.initial_output if output else 1.0)
    averages = {
        decay: AveragedModel(backend.model, multi_avg_fn=get_ema_multi_avg_fn(decay)) for decay in variant.averages
    }

    def val_loss() -> float:
        windows = validation_windows(dataset.val, context, max(1, EVALUATED_TOKENS // context))
        return backend.evaluate(windows) / dataset.characters_per_token

    seconds: list[float] = []
    for step, (stage, number) in enumerate(updates):
        start = time.perf_counter()
        backend.step([batches[stage].batch(number)], learning_rate_factor(step, schedule))
        seconds.append(time.perf_counter() - start)
        for average in averages.values():
            average.update_parameters(backend.model)
    reading = {
        "seed": seed,
        "precision": backend.precision,
        "updates": len(updates),
        "val_loss": val_loss(),
        "seconds_per_update": statistics.median(seconds),
    }
    for decay, average in averages.items():
        with torch.no_grad():
            for weight, mean in zip(backend.model.parameters(), average.parameters(), strict=True):
                weight.copy_(mean)
        reading[f"val_loss_averaged_{decay}"] = val_loss()
    backend.close()
    hook.remove()
    return reading


def main() -> None:
    """Take the readings that are missing, two at a time, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=VARIANTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which variants (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()
    out: Path = arguments.out
    kept: dict[str, list[dict[str, Any]]] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    missing = [
        (name, seed)
        for seed in arguments.seeds
        for name in arguments.names or VARIANTS[arguments.preset]
        if not any(reading["seed"] == seed for reading in kept.get(name, []))
    ]
    with tempfile.TemporaryDirectory() as scratch, ProcessPoolExecutor(2, get_context("spawn")) as pool:
        text = Path(scratch, "training-part.txt")
        text.write_text(_training_part(), encoding="utf-8")
        pending = {
            pool.submit(train, arguments.preset, name, seed, text, Path(scratch, f"cache-{name}-{seed}")): name
            for name, seed in missing
        }
        for finished in as_completed(pending):
            reading = finished.result()
            kept.setdefault(pending[finished], []).append(reading)
            out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(pending[finished], reading, flush=True)


def _training_part() -> str:
    whole = (Path(os.environ["TRICKSTER_CORPUS_DIR"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    return whole[: len(whole) * 9 // 10]


if __name__ == "__main__":
    main()
