"""Configs with slips of the pen, and whether a fix makes one worse: `python -m tests.engine.config.slips [COUNT]`.

The same seed gives the same texts. A fix is worse that leaves more problems than there were, or loses a key, a value or
a comment: what it removes must stand elsewhere in the text that it leaves, or be replaced where it stood.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from tests.engine.config.cases import CASES
from tests.engine.config.support import LESSON
from trickster_engine.config import KEYS, Edit, apply_edits, fixing, preset_names, preset_text
from trickster_engine.config import check as check_anew
from trickster_engine.config.fixing import fixed, is_safe, steps
from trickster_engine.config.yaml.text import Lines

#: One text is looked at several times here; checking is what takes the time.
check = lru_cache(maxsize=200)(check_anew)

COMMENTED = """\
# A model for a laptop.
model_config:  # the shape
  hidden_dim: 128  # narrow
  num_heads: 4
  # deep
  num_layers: 4

training_config:
  max_steps: 2000   # an evening
  warmup_steps: 100
  learning_rate: 1e-3  # high
data_config: {corpus: shakespeare, tokenizer: byte}  # small
sampling_config:
  prompt: "ROMEO:"  # him
  seed: 5
"""
SEEDS = [COMMENTED, LESSON, *(preset_text(name) for name in preset_names())]
SEEDS += [case.text for case in CASES if len(case.text) < 2000 and "\ud800" not in case.text]
WORDS = ["To be, or not to be", "ROMEO speaks", "seed of doubt", "and so on: more", "num_heads 4", "hidden_dim = 64"]
PIECES = [*":#-,'\"[]{}|>&*!%@`=\t ", "\xa0", "\u2003", ": ", " #", "- ", "  ", "k", "0", "1,5", "~", "<<: ", "\\", "?"]
VALUES = [
    "",
    "0",
    "-1",
    "1e40",
    "1,000",
    "10k",
    "yes",
    "08",
    "a: b",
    "@x",
    "*a",
    "1e-320",
    "ROMEO:",
    "|",
    "null",
    "1.5",
]
CONFLICT = ("<<<<<<< HEAD", "=======", ">>>>>>> other")


def _characters(text: str, chooser: random.Random) -> str:
    at = chooser.randrange(len(text) + 1)
    length = chooser.choice((0, 0, 1, 1, 2, 5))
    piece: str = chooser.choice(["", *PIECES])
    return text[:at] + piece + text[at + length :]


def _line(change: Callable[[str, random.Random], str]) -> Callable[[str, random.Random], str]:
    def changed(text: str, chooser: random.Random) -> str:
        lines = text.split("\n")
        number = chooser.randrange(len(lines))
        lines[number] = change(lines[number], chooser)
        return "\n".join(lines)

    return changed


def _lines(text: str, chooser: random.Random) -> str:
    lines = text.split("\n")
    first, second = chooser.randrange(len(lines)), chooser.randrange(len(lines))
    kind = chooser.randrange(5)
    if kind == 0:
        lines.insert(second, lines[first])
    elif kind == 1:
        lines.insert(second, lines.pop(first))
    elif kind == 2:
        del lines[first]
    elif kind == 3:
        lines.insert(first, chooser.choice(["", "  ", "    "]) + chooser.choice(WORDS))
    else:
        lines[first : first + 2] = [" ".join(lines[first : first + 2])]
    return "\n".join(lines)


def _conflict(text: str, chooser: random.Random) -> str:
    lines = text.split("\n")
    at = sorted(chooser.randrange(len(lines) + 1) for _ in range(3))
    for number, mark in reversed(list(zip(at, CONFLICT, strict=True))):
        if chooser.random() < 0.9:
            lines.insert(number, mark)
    return "\n".join(lines)


def _fence(text: str, chooser: random.Random) -> str:
    return chooser.choice(["```yaml\n", "```\n", "~~~\n"]) + text + chooser.choice(["```\n", "", "```"])


def _dashes(text: str, chooser: random.Random) -> str:
    lines = text.split("\n")
    first = chooser.randrange(len(lines))
    for number in range(first, min(first + chooser.randrange(1, 5), len(lines))):
        body = lines[number].lstrip(" ")
        lines[number] = lines[number][: len(lines[number]) - len(body)] + "- " + body
    return "\n".join(lines)


def _misspelt(text: str, chooser: random.Random) -> str:
    names = list(re.finditer(r"\b[a-z]\w+(?=:)", text))
    if not names:
        return text
    match = chooser.choice(names)
    name = match.group()
    at = chooser.randrange(len(name))
    another = chooser.choice(sorted(KEYS)).split(".")[1]
    other = chooser.choice([name[:at] + name[at + 1 :], name[:at] + "x" + name[at:], another])
    return text[: match.start()] + other + text[match.end() :]


def _value(text: str, chooser: random.Random) -> str:
    values = list(re.finditer(r"(?<=: )[^\n#]*[^\s#]", text))
    if not values:
        return text
    match = chooser.choice(values)
    value = match.group()
    around = ['"' + value, value + '"', f"[{value}]", f"'{value}'", "&a " + value, value + " " + value]
    other = chooser.choice([*VALUES, *around])
    return text[: match.start()] + other + text[match.end() :]


SLIPS: list[Callable[[str, random.Random], str]] = [
    _characters,
    _characters,
    _lines,
    _lines,
    _conflict,
    _fence,
    _dashes,
    _misspelt,
    _value,
    _value,
    _line(lambda line, _: line.replace(": ", ":", 1)),
    _line(lambda line, _: line.replace(": ", " = ", 1)),
    _line(lambda line, _: line.replace(": ", " ", 1)),
    _line(lambda line, _: line.replace(" ", "\xa0")),
    _line(lambda line, _: line.replace("  ", "\t", 1)),
    _line(lambda line, chooser: " " * chooser.randrange(6) + line.lstrip()),
    _line(lambda line, _: line + "  # a word"),
    lambda text, _: text.replace("\n", "\r\n"),
]


def texts(count: int, seed: int = 0) -> Iterator[str]:
    """Yield configs with one to five slips each."""
    for number in range(count):
        chooser = random.Random(f"{seed}-{number}")
        text = chooser.choice(SEEDS[:9] if chooser.random() < 0.6 else SEEDS)
        for _ in range(chooser.randrange(1, 6)):
            text = chooser.choice(SLIPS)(text, chooser)
        yield text


# ---- judging --------------------------------------------------------------------------------------------------------


def _comments(text: str) -> Counter[str]:
    return Counter(match.group().strip() for match in re.finditer(r"(?:(?<=\s)|^)#[^\r\n]*", text, re.MULTILINE))


def _words(text: str) -> list[str]:
    return re.findall(r"[\w.+-]*\w", re.sub("[\x00-\x08\x7f]", "", text))  # what no file may hold is no loss


def lost(before: str, edits: Sequence[Edit], after: str) -> list[str]:
    """Return what a text has lost by edits: comments, and words of keys and values."""
    missing = list((_comments(before) - _comments(after)).elements())
    lines = Lines(before)
    there = set(_words(after))
    there.update(word for edit in edits if edit.new_text.strip() for word in _words(lines.slice(edit.range)))
    for edit in edits:
        removed = lines.slice(edit.range)
        if edit.new_text.strip() and "\n" not in removed.strip() and not re.search(r"(^|\s)#", removed):
            continue  # a name or a value is written otherwise
        if re.fullmatch(r"\s*(```|~~~)[\w -]*\s*", removed):
            continue
        for line in removed.splitlines():
            *name, value = re.split(r":(?=\s)|=|:", line, maxsplit=1) if ": " not in line else line.split(": ", 1)
            words = _words(value.split(" #")[0]) if name else _words(line)
            # The name may have been a wrong one for what is given elsewhere.
            missing += [word for word in words if word not in there]
    return missing


def worse(text: str) -> list[str]:
    """Return how a preferred fix, or all of them, make a text worse; nothing where they do not."""
    problems = check(text).problems
    reasons = []
    for problem in problems:
        for fix in problem.fixes:
            if not is_safe(text, problems, problem, fix):
                continue
            after = apply_edits(text, fix.edits)
            left = check(after).problems
            codes = Counter(each.code for each in problems)
            if Counter(each.code for each in left)[problem.code] >= codes[problem.code]:
                reasons.append(f"{fix.title}: {problem.code} is still there")
            if len(left) > len(problems):
                reasons.append(f"{fix.title}: {len(problems)} problems become {len(left)}")
            if gone := lost(text, fix.edits, after):
                reasons.append(f"{fix.title}: lost {gone}")
    done = text
    for step in steps(text):
        if gone := lost(step.before, step.edits, step.after):
            reasons.append(f"all at once: lost {gone}")
        done = step.after
    if len(check(done).problems) > len(problems):
        reasons.append("all at once: more problems")
    if fixed(done) != done:
        reasons.append("all at once: not done after the first time")
    return reasons


def main() -> int:
    """Judge many texts and print the figure."""
    vars(fixing)["check"] = check
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    bad = fixable = 0
    for number, text in enumerate(texts(count, seed)):
        if reasons := worse(text):
            bad += 1
            print(f"--- {number}: {reasons}\n{text!r}")
        fixable += fixed(text) != text
        if sys.stderr.isatty() and number % 100 == 0:
            print(f"\r{number}", end="", file=sys.stderr)
    print(f"{count} documents, {fixable} of them changed by fixing everything, {bad} made worse")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
