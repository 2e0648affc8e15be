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
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.recipe_variants import BEGUN, PRESETS, TRAINED, UNCHANGED, VARIANTS, Stage
from trickster_engine.system.files import write_text_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trickster_engine.config.plan import Plan
    from trickster_engine.data.dataset import Dataset

SEEDS = (1, 2, 3)
EVALUATED_TOKENS = 4096  # at once
RESEGMENTED = 100  # updates after which a text is divided into other subwords, for BPE-dropout
TRAIN_PROBE_TOKENS = 32768


def train(preset: str, name: str, seed: int, text: Path, kept_weights: Path) -> dict[str, Any]:
    """Train one variant of a preset; returns its reading. Losses are in nats a character, whatever the tokenizer.

    The recipe as it is leaves its weights in `kept_weights` for those that are taught by it.
    """
    # torch reads the number of threads when it is imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from tests.benchmarks.recipe_bets import VariedBackend
    from trickster_engine.config import check, preset_text, set_values
    from trickster_engine.data.amounts import tokens_per_step
    from trickster_engine.data.batches import TrainingBatches, evenly_spaced_windows, validation_windows
    from trickster_engine.data.ngram_model import NgramModel
    from trickster_engine.data.prepare import prepare
    from trickster_engine.estimates.learning_rate import learning_rate_factor
    from trickster_engine.model.llama import Llama

    variant = VARIANTS[preset][name]
    changes = {
        "training_config.seed": str(seed),
        "data_config.val_fraction": str(0.1 / (TRAINED[preset] + 0.1)),
        "device_config.device_type": "cpu",
        "data_config.corpus": str(text),
    }

    def prepared(more: Mapping[str, str]) -> tuple[Plan, Dataset]:
        plan = check(
            set_values(
                preset_text(PRESETS.get(preset, preset)),
                {"training_config.compile": "never", **BEGUN[preset], **more, **changes},
            )
        ).plan
        assert plan is not None
        return plan, prepare(plan, text.parent, cache_dir=text.parent / "cache", progress=False)

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
    teachers = []
    if variant.taught:
        for number in range(variant.teachers):
            teacher = Llama(replace(unchanged.model, dropout=0.0))
            teacher.load_state_dict(torch.load(kept_weights / f"{preset}-{(seed + number) % len(SEEDS) + 1}.pt"))
            teachers.append(teacher)
    # Counted once for a run, in seconds that stand in its reading.
    begun = time.perf_counter()
    counts = (
        NgramModel(np.frombuffer(text.read_bytes()[: len(dataset.train)], np.uint8), 6) if variant.counted else None
    )
    counting = time.perf_counter() - begun
    backend = VariedBackend(plan, variant, teachers, counts)
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

    def train_loss() -> float:
        windows = evenly_spaced_windows(dataset.train, context, TRAIN_PROBE_TOKENS // context)
        return backend.evaluate([windows]) / dataset.characters_per_token

    last = 0.0
    seconds: list[float] = []
    for step, (stage, number) in enumerate(updates):
        start = time.perf_counter()
        generator = np.random.default_rng([seed, step])
        progress = step / len(updates)
        if variant.bpe_dropout and (step % RESEGMENTED == 0 or progress >= variant.bpe_dropout_until > last):
            share = variant.bpe_dropout if progress < variant.bpe_dropout_until else None
            tokens_now = resegmented(dataset, share)
            batches = {stage: TrainingBatches(tokens_now, stage.context, stage.batch_size, seed + step)}
        last = progress
        backend.varied_step(batches[stage].batch(number), learning_rate_factor(step, schedule), progress, generator)
        seconds.append(time.perf_counter() - start)
        for average in averages.values():
            average.update_parameters(backend.model)
    if name == UNCHANGED:
        kept_weights.mkdir(exist_ok=True)
        torch.save(backend.model.state_dict(), kept_weights / f"{preset}-{seed}.pt")
    reading = {
        "seed": seed,
        "precision": backend.precision,
        "updates": len(updates),
        "val_loss": val_loss(),
        "train_loss": train_loss(),
        "seconds_per_update": statistics.median(seconds),
        "seconds": counting + sum(seconds),
    }
    for decay, average in averages.items():
        with torch.no_grad():
            for weight, mean in zip(backend.model.parameters(), average.parameters(), strict=True):
                weight.copy_(mean)
        reading[f"val_loss_averaged_{decay}"] = val_loss()
    backend.close()
    hook.remove()
    return reading


def resegmented(dataset: Dataset, share: float | None) -> NDArray[np.int64]:
    """The training text in subwords, of which a share of the merges is left out at random."""
    import numpy as np

    library = dataset.tokenizer.library
    lines = dataset.train_text().splitlines(keepends=True)
    library.model.dropout = share
    pieces = library.encode_batch(["".join(lines[first : first + 50]) for first in range(0, len(lines), 50)])
    library.model.dropout = None
    return np.concatenate([np.array(piece.ids, np.int64) for piece in pieces])


def main() -> None:
    """Take the readings that are missing, two at a time, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=VARIANTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which variants (default: all)")
    parser.add_argument("--processes", type=int, default=2, help="how many readings at once (default: 2)")
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
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(arguments.processes, get_context("spawn")) as pool,
    ):
        text = Path(scratch, "training-part.txt")
        text.write_text(_text(TRAINED[arguments.preset]), encoding="utf-8")
        pending = {
            pool.submit(train, arguments.preset, name, seed, text, out.with_suffix(".weights")): name
            for name, seed in missing
        }
        for finished in as_completed(pending):
            reading = finished.result()
            kept.setdefault(pending[finished], []).append(reading)
            write_text_atomically(out, json.dumps(kept, indent=1) + "\n")
            print(pending[finished], reading, flush=True)


def _text(trained: float) -> str:
    """A share of what comes before the last tenth of the text, and the tenth that judges."""
    whole = (Path(os.environ["TRICKSTER_CORPUS_DIR"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    part = whole[: len(whole) * 9 // 10]
    judged = len(part) * 9 // 10
    return part[: round(trained * len(part))] + part[judged:] if trained < 0.9 else part


if __name__ == "__main__":
    main()
