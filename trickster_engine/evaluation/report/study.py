"""Measure what a run has learned: everything that its report shows, as plain values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trickster_engine.config.plan import Plan, SamplingConfig
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.compare import strided_losses
from trickster_engine.evaluation.item_measures import ItemMeasure, Measured, measure_items, own_probabilities
from trickster_engine.evaluation.report.beginning import beginning
from trickster_engine.evaluation.report.beyond_counting import BeyondCounting, find_beyond_counting
from trickster_engine.evaluation.report.curve import LossPoint, Overfitting, find_overfitting, loss_points
from trickster_engine.evaluation.report.difficulty import Difficulty, find_difficulty
from trickster_engine.evaluation.report.history import History, history
from trickster_engine.evaluation.report.measures import LONG, Measure, Reference, measure_text
from trickster_engine.evaluation.report.names import title
from trickster_engine.evaluation.report.nearness import measure_windows, measures_that_apply, nearness
from trickster_engine.evaluation.report.verdict import Verdict, judge
from trickster_engine.evaluation.text_measures import copied_shares, longest_copied_runs
from trickster_engine.inference.load import before_training, load_model
from trickster_engine.inference.sampling import SamplingOptions, sample_batch
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory, RunIdentity, pieces
from trickster_engine.runs.checkpoint_files import plan_as_trained
from trickster_engine.runs.diagnosis import Finding, diagnose
from trickster_engine.runs.event_types import LayersEvent
from trickster_engine.runs.events import left_out_words
from trickster_engine.runs.state import action_words
from trickster_engine.runs.trained_text import trained_text
from trickster_engine.training.loop import TRAIN_PROBE_TOKENS

#: Lengths of runs of characters that are looked for in the training text.
COPIED_LENGTHS = (3, 5, 8, 10, 15, 20, 30, 50)
#: Training text that is searched and counted. More would take minutes and change little.
SEARCHED = 20_000_000
_ROWS = 8  # samples written side by side for the long look


@dataclass(frozen=True)
class Sample:
    """What a run wrote at one evaluation, and the answers about it. `text` does not repeat the prompt."""

    step: int
    prompt: str
    text: str
    val_loss: float | None
    answers: dict[str, float | None]


@dataclass(frozen=True)
class StepBack:
    """A sample that lies further from real text than the one before it."""

    step: int
    luck: bool  # two pieces of real text of a sample's length may differ as much


@dataclass(frozen=True)
class Course:
    """One measure over a run. `near` says how far from random (0) to real (1), None where they are too alike."""

    key: str
    level: str
    title: str
    about: str
    unit: str
    random: float | None
    steps: list[tuple[int, float | None]]
    real: float
    long_random: float | None
    long_model: float | None
    long_real: float
    near: float | None
    backs: list[StepBack]
    past: bool  # the model's long text lies beyond real text, further than luck would carry it


@dataclass(frozen=True)
class LongText:
    """`LONG` characters in the model's own probabilities, as several texts after the same prompt."""

    whole: str  # the texts with their prompts, joined by blank lines
    written: list[str]  # what the model wrote itself


@dataclass(frozen=True)
class Copying:
    """How much of a text of `LONG` characters stands in the training text; a prompt does not count."""

    name: str
    longest: int
    longest_text: str
    shares: dict[int, float]


@dataclass(frozen=True)
class Study:
    """Everything a report shows. Losses in nats/token."""

    run: str
    events_read: int  # bytes of the run's events that this tells of
    actions: tuple[str, ...]  # what agents had done with it, and which, in words
    left_out: int  # lines of them that were not understood
    device: str
    machine: str
    corpus: str
    tokenizer: str
    parameters: int
    steps_done: int
    times_over_text: float
    checkpoint: str
    prompt: str  # the config's, which the samples along the run begin with
    long_prompt: str  # what the long texts begin with: another one where the corpus never has the config's
    temperature: float
    sample_length: int
    trained_on: int  # tokens of training text that its loss is measured on
    held_out: int  # tokens of validation text that the loss over the run is measured on
    baselines: dict[str, float]
    points: list[LossPoint]
    overfitting: Overfitting | None
    samples: list[Sample]
    courses: list[Course]
    verdict: Verdict
    copying: list[Copying]
    difficulty: Difficulty
    counting: BeyondCounting
    strided_loss: float  # of all validation text that is measured, at `checkpoint`
    bytes_per_token: float  # of the same text: what makes bits/byte of nats/token
    long_texts: dict[str, str]
    measured: Measured | None = None  # what measures of items make of it, where some were asked for
    layers: LayersEvent | None = None  # what each layer did last, where the run has measured it
    findings: tuple[Finding, ...] = ()  # what the run's events show to be wrong
    init_from: str | None = None  # of a run that fine-tunes: the weights that it began with

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def study(
    path: Path,
    checkpoint: str = "best",
    say: Callable[[str], None] = lambda _: None,
    measures: Mapping[str, ItemMeasure] | None = None,
) -> Study:
    """Measure a run that has at least one checkpoint; `say` hears what is being done.

    `measures` are those of items, by name, which are taken beside the others.

    Raises TricksterError where the run has no checkpoint, or its text is gone.
    """
    run = RunDirectory(path)
    plan, identity = run.begun()
    say("Loading the model and its text")
    model, tokenizer, folder = load_model(path, checkpoint)
    plan, note = plan_as_trained(folder, plan)
    if note:
        say(note)
    dataset = trained_text(run, plan, identity)
    past = history(run.events_path, prompt=plan.sampling.prompt)
    if past.left_out:
        say(f"{left_out_words(past.left_out)} in {run.events_path}")
    return _Studying(run, plan, identity, model, tokenizer, dataset, past, say, measures or {}).study(folder.name)


def long_text(model: Llama, tokenizer: Tokenizer, sampling: SamplingConfig, characters_per_token: float) -> LongText:
    """Let a model write at temperature 1 after the prompt of `sampling`."""
    tokens = math.ceil(LONG / _ROWS / characters_per_token)
    options = replace(SamplingOptions.from_config(sampling), max_new_tokens=tokens)
    options = replace(options, temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0)
    texts = sample_batch(model, tokenizer, [sampling.prompt] * _ROWS, options, through=True)
    return LongText("\n\n".join(sampling.prompt + text for text in texts)[:LONG], texts)


@dataclass(frozen=True)
class _Studying:
    run: RunDirectory
    plan: Plan
    identity: RunIdentity
    model: Llama
    tokenizer: Tokenizer
    dataset: Dataset
    past: History
    say: Callable[[str], None]
    measures: Mapping[str, ItemMeasure]

    def study(self, checkpoint: str) -> Study:
        self.say("Counting n-grams of the training text")
        training_text = self.dataset.train_text(SEARCHED)
        reference = Reference.of(training_text)
        held_out = self.dataset.val_text(SEARCHED)
        points = loss_points(self.past.evaluations)
        prompt = self.plan.sampling.prompt
        long_prompt = beginning(prompt, training_text, held_out, reference.characters, self.tokenizer)
        before = before_training(self.run, self.plan, self.model.config)
        twin = before.model.to(self.model.device)
        self.say("Measuring the samples of the run")
        samples = self._samples(reference, points)
        length = _typical([len(sample.prompt + sample.text) for sample in samples]) or 200
        self.say(f"Generating {LONG:,} characters with the {title(before.name)}")
        random = self._written(twin, long_prompt)
        self.say(f"Generating {LONG:,} characters with the trained model")
        model = self._written(self.model, long_prompt)
        texts = {"random": random.whole, "model": model.whole, "real": held_out[:LONG]}
        self.say("Taking every measure")
        courses = self._courses(reference, samples, held_out, length, texts)
        self.say("Searching for copies from the training text")
        own = {"random": random.written, "model": model.written, "real": [held_out[:LONG]]}
        copying = [_copying(name, written, training_text) for name, written in own.items()]
        self.say("Measuring what the model finds hard")
        difficulty = find_difficulty(self.model, self.tokenizer, self.dataset)
        self.say("Comparing with counting, token by token")
        counting = find_beyond_counting(self.model, self.tokenizer, self.dataset)
        baselines = ngram_baselines(self.dataset, self.plan.model.vocab_size)
        strided = float(strided_losses(self.model, self.dataset.measured_val).mean())
        steps_done = self.past.step
        context = self.plan.model.max_seq_len
        tokens = self.plan.training.batch_size * self.plan.training.gradient_accumulation_steps
        tokens *= context * steps_done
        return Study(
            run=self.run.id,
            events_read=self.past.read,
            actions=tuple(map(action_words, self.past.actions)),
            left_out=self.past.left_out,
            device=f"{self.identity.device}, {self.identity.precision}",
            machine=self.identity.host,
            corpus=self.dataset.name,
            tokenizer=self.tokenizer.kind,
            parameters=self.identity.parameters,
            steps_done=steps_done,
            times_over_text=tokens / len(self.dataset.train),
            checkpoint=checkpoint,
            prompt=prompt,
            long_prompt=long_prompt,
            temperature=self.plan.sampling.temperature,
            sample_length=length,
            trained_on=min(max(1, TRAIN_PROBE_TOKENS // context), (len(self.dataset.train) - 1) // context) * context,
            held_out=len(self.dataset.measured_val),
            baselines={baseline.name: baseline.nats for baseline in baselines},
            points=points,
            overfitting=find_overfitting(points),
            samples=samples,
            courses=courses,
            verdict=judge([course.near for course in courses]),
            copying=copying,
            difficulty=difficulty,
            counting=counting,
            strided_loss=strided,
            measured=self._measured(),
            bytes_per_token=self.dataset.bytes_per_token,
            long_texts=texts,
            layers=self.past.layers,
            findings=tuple(self._findings()),
            init_from=self.plan.model.init_from,
        )

    def _samples(self, reference: Reference, points: Sequence[LossPoint]) -> list[Sample]:
        """The samples of the config's prompt in the order of their steps."""
        losses = {point.step: point.val_loss for point in points}
        return [
            Sample(
                event["step"],
                event["prompt"],
                event["text"],
                losses.get(event["step"]),
                measure_text(event["prompt"] + event["text"], reference),
            )
            for event in self.past.samples
        ]

    def _written(self, model: Llama, prompt: str) -> LongText:
        sampling = replace(self.plan.sampling, prompt=prompt)
        return long_text(model, self.tokenizer, sampling, self.dataset.characters_per_token)

    def _findings(self) -> list[Finding]:
        events = (event for piece in pieces(self.run.events_path) for event in piece.events)
        return diagnose(self.plan, events)

    def _measured(self) -> Measured | None:
        if not self.measures:
            return None
        options = own_probabilities(self.plan.sampling)
        return measure_items(self.measures, self.model, self.dataset, options, say=self.say)

    def _courses(
        self, reference: Reference, samples: Sequence[Sample], held_out: str, length: int, texts: dict[str, str]
    ) -> list[Course]:
        real = measure_windows(held_out, length, reference)
        long_real = measure_windows(held_out, LONG, reference)
        random, trained = (measure_text(texts[name], reference) for name in ("random", "model"))
        first = samples[0].answers if samples and samples[0].step == 0 else random
        courses = []
        for measure in measures_that_apply(long_real.mean):
            steps = [(sample.step, sample.answers[measure.key]) for sample in samples]
            at_length, at_long = real.mean[measure.key], long_real.mean[measure.key]
            assert at_long is not None
            course = Course(
                key=measure.key,
                level=measure.level,
                title=measure.title,
                about=measure.about,
                unit=measure.unit,
                random=first[measure.key],
                steps=steps,
                real=at_long if at_length is None else at_length,
                long_random=random[measure.key],
                long_model=trained[measure.key],
                long_real=at_long,
                near=nearness(measure, trained[measure.key], random[measure.key], at_long),
                backs=[],
                past=_past(trained[measure.key], random[measure.key], at_long, long_real.luck[measure.key]),
            )
            courses.append(replace(course, backs=_steps_back(course, measure, real.luck[measure.key])))
        return courses


def _steps_back(course: Course, measure: Measure, luck: float | None) -> list[StepBack]:
    """Where a measure moved away from real text, sample by sample, beginning with random weights.

    Samples that have nothing to ask of are passed over.
    """
    if course.near is None:
        return []
    before, far = 0.0 if course.random is None else course.random, 0.0
    backs = []
    for step, value in course.steps:
        near = nearness(measure, value, course.random, course.real)
        if step == 0 or value is None or near is None:
            continue
        if near < far - 1e-9:
            backs.append(StepBack(step, luck is not None and abs(value - before) <= luck))
        before, far = value, near
    return backs


def _past(model: float | None, random: float | None, real: float, luck: float | None) -> bool:
    if model is None or luck is None:
        return False
    beyond = (model - real) * math.copysign(1.0, real - (0.0 if random is None else random))
    return beyond > luck


def _copying(name: str, written: Sequence[str], training_text: str) -> Copying:
    longest = max(longest_copied_runs(written, training_text), key=lambda run: run.length)
    return Copying(name, longest.length, longest.text, copied_shares(written, training_text, COPIED_LENGTHS))


def _typical(lengths: Sequence[int]) -> int | None:
    return sorted(lengths)[len(lengths) // 2] if lengths else None
