"""Measures of a text, from letters to dialogue.

Every measure is taken of the untrained model's text, of the samples of a run, of the trained model's text and of
validation text, so that a number is judged by its place between *untrained* and *real*. No torch here.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trickster_engine.evaluation.text_measures import real_word_share, vocabulary_of, words_of

Level = Literal["character", "word", "sentence", "discourse"]
LEVELS: tuple[Level, ...] = ("character", "word", "sentence", "discourse")

#: Words of Shakespeare's time that everyday English has lost.
_OLD = (
    "thou thee thy thine thyself hath hast doth dost art wilt shalt ere nay aye ay prithee wherefore whence hither "
    "thither tis twas methinks forsooth anon betwixt yea ye sirrah"
)
OLD_WORDS = frozenset(_OLD.split())
_MARKS = ".,;:!?"
_PAIRS = {"(": ")", "[": "]", "{": "}", "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}"}
_SPEAKER = re.compile(r"(?P<name>[^\W\d_][^\n:]{0,40}):[ \t]*(?=\n|$)")
#: Characters that the models write to be measured, at temperature 1: their own probabilities.
LONG = 4000
#: Characters of training text that tell how the corpus is written.
_REFERENCE_CHARACTERS = 2_000_000


@dataclass(frozen=True)
class Reference:
    """What the training text is like. Frequencies sum to 1."""

    characters: Mapping[str, float]
    pairs: Mapping[str, float]
    vocabulary: frozenset[str]
    speakers: frozenset[str]

    @classmethod
    def of(cls, training_text: str) -> Reference:
        """Read the training text once."""
        start = training_text[:_REFERENCE_CHARACTERS]
        return cls(
            _frequencies(start),
            _frequencies([start[i : i + 2] for i in range(len(start) - 1)]),
            vocabulary_of(training_text),
            frozenset(_speakers(training_text)),
        )


@dataclass(frozen=True)
class Measure:
    """One question. `of` answers None where the text has nothing to ask it of."""

    key: str
    level: Level
    title: str
    about: str
    unit: Literal["share", "number"]  # a share lies in 0..1
    of: Callable[[str, Reference], float | None]
    #: Real text must reach this much for the question to make sense of a corpus.
    least: float = 0.0
    #: More than real text has is as good as real text, not further from it.
    more_is_fine: bool = False


def _letters(text: str, reference: Reference) -> float | None:
    return _in_common(_frequencies(text), reference.characters) if text else None


def _pairs(text: str, reference: Reference) -> float | None:
    if len(text) < 2:
        return None
    return _in_common(_frequencies([text[i : i + 2] for i in range(len(text) - 1)]), reference.pairs)


def _alphabet(text: str, reference: Reference) -> float | None:
    return sum(character in reference.characters for character in text) / len(text) if text else None


def _spaced_marks(text: str, reference: Reference) -> float | None:
    followers = [after for mark, after in itertools.pairwise(text) if mark in _MARKS]
    return _share([after.isspace() for after in followers])


def _word_length(text: str, reference: Reference) -> float | None:
    words = words_of(text, begins_inside=True)
    return sum(map(len, words)) / len(words) if words else None


def _real_words(text: str, reference: Reference) -> float | None:
    return real_word_share(text, reference.vocabulary, begins_inside=True)


def _old_words(text: str, reference: Reference) -> float | None:
    words = words_of(text, begins_inside=True)
    return 100 * sum(word in OLD_WORDS for word in words) / len(words) if words else None


def _capital_lines(text: str, reference: Reference) -> float | None:
    return _share([line[0].isupper() for line in text.split("\n")[1:] if line and line[0].isalpha()])


def _capital_sentences(text: str, reference: Reference) -> float | None:
    return _share([found.group(1).isupper() for found in re.finditer(r"[.!?]\s+([^\W\d_])", text)])


def _marks(text: str, reference: Reference) -> float | None:
    return 100 * sum(character in _MARKS for character in text) / len(text) if text else None


def _line_length(text: str, reference: Reference) -> float | None:
    lines = [line for line in text.split("\n")[1:-1] if line]  # the first and the last may be cut
    return sum(map(len, lines)) / len(lines) if lines else None


def _closed(text: str, reference: Reference) -> float | None:
    """Brackets and double quotes that are closed again, of all that are opened, or closed without being open."""
    waiting: list[str] = []
    closed = stray = 0
    for character in text:
        if character == '"':
            if '"' in waiting:
                waiting.remove('"')
                closed += 1
            else:
                waiting.append('"')
        elif character in _PAIRS:
            waiting.append(_PAIRS[character])
        elif character in _PAIRS.values():
            if character in waiting:
                waiting.remove(character)
                closed += 1
            else:
                stray += 1
    seen = closed + stray + len(waiting)
    return closed / seen if seen else None


def _speeches(text: str, reference: Reference) -> float | None:
    return _share([_SPEAKER.match(paragraph) is not None for paragraph in _paragraphs(text)])


def _known_speakers(text: str, reference: Reference) -> float | None:
    return _share([name in reference.speakers for name in _speakers(text)])


def _answers(text: str, reference: Reference) -> float | None:
    names = list(_speakers(text))
    return _share([one != other for one, other in itertools.pairwise(names)])


MEASURES: tuple[Measure, ...] = (
    Measure(
        "letters",
        "character",
        "Letter frequencies",
        "Overlap of the character frequencies with those of the training text.",
        "share",
        _letters,
        more_is_fine=True,
    ),
    Measure(
        "pairs",
        "character",
        "Letter pair frequencies",
        "The same for two characters in a row: q before u, hardly ever j after x.",
        "share",
        _pairs,
        more_is_fine=True,
    ),
    Measure(
        "alphabet",
        "character",
        "Known characters",
        "Share of characters that occur anywhere in the training text.",
        "share",
        _alphabet,
        more_is_fine=True,
    ),
    Measure(
        "spaced-marks",
        "character",
        "Space after punctuation",
        "Share of punctuation marks followed by a space or a new line.",
        "share",
        _spaced_marks,
        more_is_fine=True,
    ),
    Measure("marks", "character", "Punctuation frequency", "Marks (. , ; : ! ?) per 100 characters.", "number", _marks),
    Measure("word-length", "word", "Word length", "Mean letters per word.", "number", _word_length),
    Measure(
        "real-words",
        "word",
        "Real words",
        "Share of words that occur in the training text. Real text stays below 100% too: it has words of its own.",
        "share",
        _real_words,
        more_is_fine=True,
    ),
    Measure(
        "old-words",
        "word",
        "Archaic words",
        "Thou, thy, hath and the like, per 100 words.",
        "number",
        _old_words,
        least=0.5,
    ),
    Measure(
        "capital-lines",
        "sentence",
        "Capital at the start of a line",
        "Of the lines that begin with a letter, the share that begin with a capital.",
        "share",
        _capital_lines,
    ),
    Measure(
        "capital-sentences",
        "sentence",
        "Capital after a full stop",
        "Share of sentences after another that begin with a capital.",
        "share",
        _capital_sentences,
    ),
    Measure("line-length", "sentence", "Line length", "Mean characters per line.", "number", _line_length),
    Measure(
        "closed",
        "sentence",
        "Closed quotes and brackets",
        "Share of double quotes and brackets that come in pairs.",
        "share",
        _closed,
        more_is_fine=True,
    ),
    Measure(
        "speeches",
        "discourse",
        "Speeches that start with a name",
        "Share of paragraphs whose first line is NAME: and nothing else.",
        "share",
        _speeches,
        least=0.2,
    ),
    Measure(
        "known-speakers",
        "discourse",
        "Known speakers",
        "Share of speakers who also speak in the training text. Real text has some new ones.",
        "share",
        _known_speakers,
        least=0.2,
        more_is_fine=True,
    ),
    Measure(
        "answers",
        "discourse",
        "Change of speaker",
        "Share of consecutive speeches by different speakers.",
        "share",
        _answers,
        least=0.2,
    ),
)


def measure_text(text: str, reference: Reference) -> dict[str, float | None]:
    """Answer every question about one text."""
    return {measure.key: measure.of(text, reference) for measure in MEASURES}


# ---------------------------------------------------------------------------------------------------------------------


def _frequencies(items: Sequence[str]) -> dict[str, float]:
    counts = Counter(items)
    return {item: count / len(items) for item, count in counts.items()}


def _in_common(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """The area that two distributions share: 1 where they are equal, 0 where nothing occurs in both."""
    return sum(min(share, theirs.get(item, 0.0)) for item, share in ours.items())


def _share(answers: Sequence[bool]) -> float | None:
    return sum(answers) / len(answers) if answers else None


def _paragraphs(text: str) -> list[str]:
    """Paragraphs after a blank line; what stands before the first is a prompt, or cut."""
    return [stripped for paragraph in text.split("\n\n")[1:] if (stripped := paragraph.strip("\n"))]


def _speakers(text: str) -> Iterator[str]:
    for paragraph in _paragraphs(text):
        found = _SPEAKER.match(paragraph)
        if found:
            yield found["name"]
