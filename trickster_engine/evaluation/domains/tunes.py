"""Tunes in ABC notation, one a line: from collections that the package music21 carries, judged by music21.

A line is `M:6/8 L:1/8 K:D` and the tune's body, without ornaments, words and texts. ABC: the standard, version 2.1,
2011. music21: Cuthbert and Ariza, "music21: A Toolkit for Computer-Aided Musicology", ISMIR 2010.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trickster_engine.evaluation.item_measures import package_missing

#: Tunes printed between 1782 and 1903. Of others that music21 carries, the encoders forbid commercial use.
_COLLECTIONS = ("ryansMammoth", "oneills1850", "airdsAirs")
_HELD_OUT = 10  # one tune of so many
_LONGEST = 500  # characters, so that a tune fits into the context of the config
_LINE = re.compile(r"M:(\S+) L:(\S+) K:(\S+) (.+)")
_FIELD = re.compile(r"^([A-Za-z]):\s*(.*?)\s*$")
_KEY = re.compile(r"^([A-G][b#]?)\s*(m|min|maj|mix|dor|phr|lyd|loc|aeo|ion)?", re.IGNORECASE)
#: What is no pitch and no time: texts, decorations, grace notes, slurs, comments, line breaks.
_ORNAMENTS = re.compile(r'"[^"]*"|![^!]*!|\+[^+]*\+|\{[^}]*\}|\((?!\d)|\)|[.~uvTHPS`\\$*]|%.*')


def measure(items: Sequence[str], training: Collection[str]) -> Mapping[str, float]:
    """Shares in 0..1: tunes that music21 parses, bars that add up, tunes in which all do, and novel tunes.

    Bars are those between two plain bar lines: beside repeats, and at both ends, pick-ups are shorter.
    Raises TricksterError `measure-needs-package`.
    """
    parsed = whole = right = bars = 0
    for item in items:
        found = _bars(item)
        if found is None:
            continue
        parsed += 1
        bars += len(found)
        right += sum(found)
        whole += bool(found) and all(found)
    different = set(items)
    return {
        "parse": parsed / max(1, len(items)),
        "bars add up": right / max(1, bars),
        "all bars": whole / max(1, len(items)),
        "novel": sum(item not in training for item in different) / max(1, len(different)),
    }


def _bars(item: str) -> list[bool] | None:
    """Whether each bar between plain bar lines has the length of the metre; None where music21 cannot read the tune."""
    try:
        from music21 import converter, stream
    except ImportError as error:
        raise package_missing("music21", "music") from error
    line = _LINE.fullmatch(item)
    if line is None:
        return None
    metre, length, key, body = line.groups()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score: Any = converter.parse(f"X:1\nM:{metre}\nL:{length}\nK:{key}\n{body}\n", format="abc")
            if not list(score.recurse().notes):
                return None
            return [
                bar.duration.quarterLength == bar.barDuration.quarterLength
                for bar in list(score.recurse().getElementsByClass(stream.Measure))[1:-1]
                if _plain(bar.leftBarline) and _plain(bar.rightBarline)
            ]
    except Exception:  # music21 raises anything for what is no tune
        return None


def _plain(line: Any) -> bool:
    return line is None or getattr(line, "type", "") == "regular"


def make(folder: Path) -> dict[str, int]:
    """Write train.txt and val.txt, a tune a line; returns how many each has. Nothing of music21 is executed.

    Raises OSError, and TricksterError `measure-needs-package`.
    """
    spec = find_spec("music21")  # where it is, without running it
    if spec is None or not spec.submodule_search_locations:
        raise package_missing("music21", "music")
    corpus = Path(spec.submodule_search_locations[0]) / "corpus"
    files = [path for name in _COLLECTIONS for path in sorted((corpus / name).glob("*.abc"))]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    lines = list(dict.fromkeys(line for text in texts for line in _lines(text)))
    parts = {
        "train.txt": [line for number, line in enumerate(lines) if number % _HELD_OUT],
        "val.txt": lines[::_HELD_OUT],
    }
    for name, part in parts.items():
        (folder / name).write_text("".join(f"{line}\n" for line in part), encoding="ascii", newline="\n")
    return {name: len(part) for name, part in parts.items()}


def _lines(text: str) -> Iterator[str]:
    """Each tune of a file as a line; those with a change of metre or key, or with something rare, are left out."""
    for tune in re.split(r"^X:", text, flags=re.MULTILINE)[1:]:
        fields: dict[str, str] = {}
        body: list[str] = []
        for line in tune.splitlines()[1:]:
            field = _FIELD.match(line)
            if field and "K" not in fields:
                fields.setdefault(*field.groups())
            elif field and field[1] in "MLK":
                fields["K"] = ""  # changes on the way
            elif not field and "K" in fields:
                body.append(_ORNAMENTS.sub("", line))
        key, metre = _KEY.match(fields.get("K", "")), fields.get("M", "")
        if key is None or (metre not in ("C", "C|") and not re.fullmatch(r"\d+/\d+", metre)):
            continue
        written = " ".join(" ".join(body).split())
        line = f"M:{metre} L:{fields.get('L', '1/8')} K:{key[1]}{(key[2] or '').lower()} {written}"
        if written and len(line) <= _LONGEST and line.isascii() and _LINE.fullmatch(line):
            yield line
