"""Proof of learning: a trained model beside its untrained twin, and beside n-gram models."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trickster_engine.backends.torch.losses import summed_cross_entropy
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.batches import Batch, strided_windows, validation_windows
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.report.names import meaning, title
from trickster_engine.evaluation.text_measures import longest_copied_runs, real_word_share, vocabulary_of
from trickster_engine.inference.load import Before
from trickster_engine.inference.sampling import SamplingOptions, sample_batch
from trickster_engine.model.llama import Llama

#: Characters of a sample that are measured for copying and for real words.
MEASURED_CHARACTERS = 1000
#: Training text that copies are looked for in. More would not fit in memory.
SEARCHED_CHARACTERS = 100_000_000
_TOKENS_AT_ONCE = 4096


@dataclass(frozen=True)
class ProofRow:
    """One predictor, judged on the whole validation text."""

    name: str
    nats: float
    bits_per_character: float


@dataclass(frozen=True)
class SamplePair:
    """What both models write after the same prompt with the same seed."""

    prompt: str
    random: str
    trained: str


@dataclass(frozen=True)
class TextFigures:
    """A text beside the training text: its longest verbatim run of characters, its share of real words in 0..1."""

    longest_copied_run: int
    copied: str
    real_word_share: float


@dataclass(frozen=True)
class Comparison:
    """Everything `trickster compare` shows.

    `texts` is of `characters` characters that each model writes after the first prompt, which does not count, at
    `temperature`, and of as much validation text.
    """

    rows: list[ProofRow]
    samples: list[SamplePair]
    texts: dict[str, TextFigures]
    characters: int
    temperature: float

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, with what people read for each name."""
        found = asdict(self)
        for row in found["rows"]:
            row.update(title=title(row["name"]), meaning=meaning(row["name"]))
        for name, figures in found["texts"].items():
            figures["title"] = title(name)
        return found


def compare(
    trained: Llama,
    tokenizer: Tokenizer,
    dataset: Dataset,
    prompts: Sequence[str],
    options: SamplingOptions,
    before: Before,
) -> Comparison:
    """Judge a trained model against what it was before its training, on the validation text."""
    random = before.model.to(trained.device)
    baselines = ngram_baselines(dataset, trained.config.vocab_size)
    rows = [ProofRow(baseline.name, baseline.nats, baseline.bits_per_character) for baseline in baselines]
    losses = {
        before.name: held_out_loss(random, dataset.measured_val),
        "this model": held_out_loss(trained, dataset.measured_val),
        "this model, strided": float(strided_losses(trained, dataset.measured_val).mean()),
    }
    for name, nats in losses.items():
        rows.append(ProofRow(name, nats, nats / math.log(2) / dataset.characters_per_token))
    by_random = sample_batch(random, tokenizer, prompts, options)
    by_trained = sample_batch(trained, tokenizer, prompts, options)
    pairs = [SamplePair(*texts) for texts in zip(prompts, by_random, by_trained, strict=True)]

    texts = _measure_texts(Before(random, before.name), trained, tokenizer, dataset, prompts[0], options)
    return Comparison(rows, pairs, texts, MEASURED_CHARACTERS, options.temperature)


def _measure_texts(
    before: Before, trained: Llama, tokenizer: Tokenizer, dataset: Dataset, prompt: str, options: SamplingOptions
) -> dict[str, TextFigures]:
    """Copying and real words in a long sample of both models, and in as much validation text."""
    long = replace(options, max_new_tokens=math.ceil(MEASURED_CHARACTERS / dataset.characters_per_token))
    training_text = dataset.train_text(SEARCHED_CHARACTERS)
    words = vocabulary_of(training_text)
    texts = {
        before.name: sample_batch(before.model, tokenizer, [prompt], long, through=True)[0],
        "this model": sample_batch(trained, tokenizer, [prompt], long, through=True)[0],
        "held-out text": dataset.val_text(MEASURED_CHARACTERS),
    }
    measured = [text[:MEASURED_CHARACTERS] for text in texts.values()]
    runs = longest_copied_runs(measured, training_text)
    return {
        name: TextFigures(run.length, run.text, real_word_share(text, words, begins_inside=name == "held-out text"))
        for name, text, run in zip(texts, measured, runs, strict=True)
    }


def held_out_loss(model: Llama, tokens: NDArray[Any]) -> float:
    """Cross-entropy of tokens [N], window by window as in training, in nats/token."""
    length = model.config.max_seq_len
    return mean_loss(model, validation_windows(tokens, length, max(1, _TOKENS_AT_ONCE // length)))


def strided_losses(model: Llama, tokens: NDArray[Any]) -> NDArray[np.float64]:
    """The loss of every token but the first, [N - 1], in nats: strided evaluation, also called a sliding window.

    Windows overlap, so that each token is predicted from at least half a window, as far as there is that much text.
    """
    length = model.config.max_seq_len
    parts = []
    for (inputs, targets), known in strided_windows(tokens, length, max(1, _TOKENS_AT_ONCE // length)):
        parts.append(token_losses(model, inputs, targets)[:, known:].flatten())
    return np.concatenate(parts)


@torch.no_grad()
def token_losses(model: Llama, inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The loss of each target, [rows, length]."""
    model.eval()
    logits = model(torch.from_numpy(inputs).to(model.device))
    wanted = torch.from_numpy(targets).to(model.device)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), reduction="none")
    found: NDArray[np.float64] = losses.double().cpu().numpy().reshape(targets.shape)
    return found


@torch.no_grad()
def mean_loss(model: Llama, batches: Iterable[Batch]) -> float:
    """Cross-entropy over batches of inputs and targets, both [rows, length], in nats/token."""
    total, count = 0.0, 0
    model.eval()
    for inputs, targets in batches:
        logits = model(torch.from_numpy(inputs).to(model.device))
        total += summed_cross_entropy(logits, torch.from_numpy(targets).to(model.device)).item()
        count += targets.size
    return total / count
