"""Untrained models of the presets' shapes, and n-grams, on validation text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trickster_engine.config import preset_plan
from trickster_engine.config.plan import Plan
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.evaluation.compare import MEASURED_CHARACTERS, held_out_loss
from trickster_engine.evaluation.report.measures import LONG, Reference, measure_text
from trickster_engine.evaluation.report.nearness import measure_windows, measures_that_apply
from trickster_engine.evaluation.report.study import SEARCHED, long_text
from trickster_engine.evaluation.text_measures import longest_copied_runs, real_word_share, vocabulary_of
from trickster_engine.inference.sampling import SamplingOptions, sample_batch
from trickster_engine.model.llama import Llama
from trickster_engine.system.units import bits_per_byte

#: Models made from each shape. One alone could be a lucky or an unlucky throw.
SEEDS = 3


def random_baselines(presets: Sequence[str]) -> dict[str, Any]:
    """Everything that is kept of it, as plain values; the presets learn from the same text. Losses in nats/token.

    Raises TricksterError where the text is missing.
    """
    plans = {name: preset_plan(name) for name in presets}
    dataset = prepare(next(iter(plans.values())), Path.cwd(), progress=False)
    training_text, held_out = dataset.train_text(SEARCHED), dataset.val_text(SEARCHED)
    reference = Reference.of(training_text)
    real = measure_windows(held_out, LONG, reference).mean
    counting = ngram_baselines(dataset, next(iter(plans.values())).model.vocab_size)
    return {
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "held_out_tokens": len(dataset.measured_val),
        },
        "counting": [asdict(baseline) for baseline in counting],
        "measures": [
            {"key": m.key, "level": m.level, "title": m.title, "unit": m.unit, "real": real[m.key]}
            for m in measures_that_apply(real)
        ],
        "models": {name: _untrained(plan, dataset, training_text, reference) for name, plan in plans.items()},
    }


def untrained_loss(plan: Plan, dataset: Dataset, seed: int) -> float:
    """What a model that was made with `seed` and never trained loses on all validation text, in nats/token."""
    return held_out_loss(Llama(plan.model).initialize(seed), dataset.measured_val)


def _untrained(plan: Plan, dataset: Dataset, training_text: str, reference: Reference) -> dict[str, Any]:
    seeds = [plan.training.seed + index for index in range(SEEDS)]
    losses = [untrained_loss(plan, dataset, seed) for seed in seeds]
    model = Llama(plan.model).initialize(seeds[0])
    prompt, options = plan.sampling.prompt, SamplingOptions.from_config(plan.sampling)
    sample = sample_batch(model, dataset.tokenizer, [prompt], options)[0]
    written = long_text(model, dataset.tokenizer, plan.sampling, dataset.characters_per_token).whole
    piece = written[:MEASURED_CHARACTERS]
    return {
        "model": asdict(plan.model),
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "losses": [
            {"seed": seed, "nats": nats, "bits_per_byte": bits_per_byte(nats, dataset.bytes_per_token)}
            for seed, nats in zip(seeds, losses, strict=True)
        ],
        "measures": measure_text(written, reference),
        "real_word_share": real_word_share(piece, vocabulary_of(training_text)),
        "longest_copied_run": longest_copied_runs([piece], training_text)[0].length,
        "sample": {"prompt": prompt, "text": sample},
    }
