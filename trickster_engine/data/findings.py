"""What the facts of a text mean for whoever trains on it: said by `check`, by the editor and before training begins.

Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem, Severity
from trickster_engine.config.settings import Settings
from trickster_engine.config.split import MOST_VALIDATION
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.data.facts import TextFacts, line_ends_text, share_text
from trickster_engine.errors import TricksterError

CORPUS = "data_config.corpus"
TRAINING = "data_config.train_data"
VALIDATION = "data_config.val_data"
FRACTION = "data_config.val_fraction"
LENGTH = "model_config.max_seq_len"
VOCABULARY = "model_config.vocab_size"
DUPLICATES = "data_config.drop_duplicates"
LINE_ENDS = "data_config.line_ends"

#: So much of the validation text may also be trained on before it is said, and before training is refused.
OVERLAP_SAID, OVERLAP_REFUSED = 0.05, 0.9
_DUPLICATED_SAID = 0.5
_COPIES_SAID = 0.01  # of all documents
_CR_SAID = 0.01  # of all line ends
_BYTES = 256


@dataclass(frozen=True)
class Finding:
    """Something to say about a text, at the key that changes it, with values that would do."""

    code: str
    severity: Severity
    message: str
    advice: str
    key: str
    fixes: tuple[tuple[str, object], ...] = ()  # (key, value), the best first

    def as_problem(self, settings: Settings) -> Problem:
        """The finding at its place in a config."""
        best = self.fixes[:1]
        fixes = tuple(settings.write(*fix, preferred=fix in best) for fix in self.fixes)
        given = [key for key in (self.key, CORPUS, TRAINING) if settings.is_given(key)]
        key = given[0] if given else self.key
        return settings.problem(self.code, self.severity, f"{self.message} {self.advice}", key, fixes=fixes)

    def as_json(self) -> dict[str, str]:
        """The finding as plain JSON."""
        return {"code": self.code, "severity": self.severity, "message": self.message, "advice": self.advice}

    def as_error(self) -> TricksterError:
        """The finding for whoever wanted to train."""
        return TricksterError(self.code, self.message, self.advice)


def findings(plan: Plan, facts: TextFacts) -> Iterator[Finding]:
    """Everything there is to say, errors first."""
    if facts.content is None or facts.train_tokens is None or facts.val_tokens is None:
        yield from _line_ends(facts)
        return
    yield from _too_short(plan, facts, facts.train_tokens, facts.val_tokens)
    yield from _overlap(plan, facts, facts.content.overlap)
    yield from _line_ends(facts)
    yield from _vocabulary(facts, facts.vocabulary_filled or 0, facts.content.occurring)
    yield from _duplicates(facts)
    if facts.content.duplicated >= _DUPLICATED_SAID and facts.content.overlap < OVERLAP_REFUSED:
        yield Finding(
            "text-repeats",
            "information",
            f"{share_text(facts.content.duplicated)} of the training text repeats earlier text, so it contains less "
            "than its size suggests.",
            "Remove the copies if you did not intend them.",
            CORPUS,
        )


def require_trainable(plan: Plan, facts: TextFacts) -> list[Finding]:
    """What is worth a warning before training on a text. Raises TricksterError where it cannot be measured on."""
    found = list(findings(plan, facts))
    for finding in found:
        if finding.severity == "error":
            raise finding.as_error()
    return [finding for finding in found if finding.severity == "warning"]


def _too_short(plan: Plan, facts: TextFacts, train: int, val: int) -> Iterator[Finding]:
    if val > facts.window:
        return
    fixes: list[tuple[str, object]] = []
    share = math.ceil((facts.window + 1) / (train + val) * 100) / 100
    if plan.data.train_data is None and share <= MOST_VALIDATION and (train + val) * (1 - share) > facts.window + 1:
        fixes.append((FRACTION, share))
    if val > 2:
        fixes.append((LENGTH, (val - 1) // 32 * 32 or val - 1))
    values = " or ".join(f"{key.partition('.')[2]} {value}" for key, value in fixes)
    yield Finding(
        "validation-too-short",
        "error",
        f"The validation text has {val:,} tokens, and one sequence of max_seq_len {facts.window:,} and the next token "
        f"need {facts.window + 1:,}. Its loss would be mostly chance.",
        f"Use more text{f', or {values}' if values else ''}.",
        FRACTION if plan.data.train_data is None else VALIDATION,
        tuple(fixes),
    )


def _overlap(plan: Plan, facts: TextFacts, overlap: float) -> Iterator[Finding]:
    if overlap < OVERLAP_SAID:
        return
    refused = overlap >= OVERLAP_REFUSED
    sampled = facts.content is not None and facts.content.measured < 1
    split = plan.data.train_data is None
    yield Finding(
        "validation-in-training",
        "error" if refused else "warning",
        f"{'At least ' if sampled else ''}{share_text(overlap)} of the validation text is also in the training text, "
        "word for word. Its loss would reward memorising"
        + (", so the validation loss means nothing." if refused else " it."),
        (
            f"The validation text is {'the end' if facts.documents is None else 'documents'} of "
            f"{shown(facts.source.name)}: remove the duplicates, or set train_data and val_data to different texts."
            if split
            else "Set val_data to a text that is not part of train_data, or set corpus to one text, which is then "
            "split."
        ),
        CORPUS if split else VALIDATION,
    )


def _duplicates(facts: TextFacts) -> Iterator[Finding]:
    documents = facts.documents
    if (
        documents is None
        or documents.dropped
        or documents.duplicates < _COPIES_SAID * (documents.train + documents.val)
    ):
        return
    yield Finding(
        "documents-repeat",
        "information",
        f"{documents.duplicates:,} of {documents.train + documents.val:,} documents say exactly what an earlier one "
        "says. What is repeated is memorised first.",
        "With data_config.drop_duplicates: true they are left out; the files do not change.",
        DUPLICATES,
        ((DUPLICATES, True),),
    )


def _line_ends(facts: TextFacts) -> Iterator[Finding]:
    ends = facts.ends
    if ends is None:
        return
    other, every = ends.crlf + ends.cr, ends.lf + ends.crlf + ends.cr
    if not every or other / every < _CR_SAID:
        return
    yield Finding(
        "line-ends",
        "warning",
        f"The text's line ends are {line_ends_text(ends)}. Each CR is a separate token, which the model learns to "
        "generate and a typed prompt does not contain.",
        "With data_config.line_ends: lf every line end is read as one LF; the files do not change.",
        LINE_ENDS,
        ((LINE_ENDS, "lf"),),
    )


def _vocabulary(facts: TextFacts, filled: int, occurring: int) -> Iterator[Finding]:
    asked = facts.vocabulary_asked
    if not 0 < filled < asked or facts.tokenizer == "byte":  # for `byte` the config alone tells
        return
    unused = asked - filled
    by_text = facts.tokenizer == "bpe"
    what = (
        f"bpe finds only {filled:,} tokens in this text, and vocab_size is {asked:,}"
        if by_text
        else f"The tokenizer of this text has {filled:,} tokens, and vocab_size is {asked:,}"
    )
    fixes: tuple[tuple[str, object], ...] = ((VOCABULARY, filled),)
    if by_text and filled <= _BYTES:
        fixes = (("data_config.tokenizer", "byte"),)
    yield Finding(
        "vocabulary-not-filled",
        "warning" if by_text else "hint",
        f"{what}: {unused:,} rows are never used. The uniform baseline includes them, ln {asked:,} = "
        f"{math.log(asked):.3f}; over the {occurring:,} tokens that occur it is {math.log(max(1, occurring)):.3f}.",
        f"vocab_size: {filled} fits this text."
        if filled > _BYTES or not by_text
        else "No pair occurs twice, so nothing can be merged: tokenizer byte does the same.",
        VOCABULARY,
        fixes,
    )
