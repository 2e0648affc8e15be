"""What `check` says of awkward texts: each fact it should know, with the number that plain counting gives.

The numbers on the right are counted here, without a function of the engine: sets of slices, regular expressions, and
the `tokenizers` library's own byte-level BPE.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import models, pre_tokenizers, trainers

from tests.engine.conftest import dialogue, trickster
from tools.problem_docs import PROBLEM_DOCS
from trickster_engine.cli.text import TextCheck, check_text
from trickster_engine.config import check
from trickster_engine.config.problems import Problem

WINDOW = 32  # max_seq_len
STEPS, BATCH = 60, 4
PLAY = dialogue(6_000)


def letters(count: int, alphabet: str, seed: int = 3) -> str:
    chooser = random.Random(seed)
    return "".join(chooser.choice(alphabet) for _ in range(count))


def lines(count: int, ending: str, seed: int = 5) -> str:
    """Lines that do not come twice, and end in a letter."""
    chooser = random.Random(seed)
    return "".join(f"{chooser.random():.12f} {letters(30, 'abcdefghij', number)}{ending}" for number in range(count))


@dataclass(frozen=True)
class Case:
    """Files, what the config says beside the defaults, and what is to be said."""

    name: str
    files: Mapping[str, str | bytes]
    data: dict[str, Any] = field(default_factory=dict)
    vocab_size: int = 256
    said: dict[str, str] = field(default_factory=dict)  # code -> severity, nothing else
    words: tuple[str, ...] = ()  # parts of what is said
    left_out: dict[str, list[str]] = field(default_factory=dict)
    text: str | None = None  # what is read; None where nothing is
    validation: str | None = None  # the second text, where there is one
    read: bool = True
    make: Callable[[Path], None] | None = None


def copies(text: str, count: int) -> str:
    return text * count


HALF = dialogue(4_500, 1) + dialogue(250, 2) + dialogue(4_500, 1)[1_000:1_250]  # half of the last tenth is known
LITTLE = dialogue(9_000, 1) + dialogue(940, 2) + dialogue(9_000, 1)[1_000:1_060]
NAMES = "\n".join(random.Random(1).choices(["anna", "emil", "otto", "lena", "karl", "ida"], k=2_000))
HEADER = "# Copyright of nobody in particular; see the file LICENSE for what you may do.\n"
HEADED = {f"books/{number}.txt": HEADER + dialogue(300, number) for number in range(20)}


def _links(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real/r.txt").write_text("elsewhere\n")
    (folder / "books/linked").symlink_to(folder / "real", target_is_directory=True)
    (folder / "books/gone.txt").symlink_to(folder / "nowhere.txt")


CASES = [
    Case("lines that end in LF", {"a.txt": PLAY}, text=PLAY),
    Case(
        "lines that end in CR LF",
        {"a.txt": lines(200, "\r\n")},
        text=lines(200, "\r\n"),
        said={"line-ends": "warning"},
        words=("are 200 CRLF (Windows).", "line_ends: lf"),
    ),
    Case(
        "lines that end in CR",
        {"a.txt": lines(150, "\r")},
        text=lines(150, "\r"),
        said={"line-ends": "warning"},
        words=("are 150 CR (old Mac).",),
    ),
    Case(
        "all three ends of lines",
        {"a.txt": lines(99, "\n") + lines(70, "\r\n", 6) + lines(30, "\r", 7)},
        text=lines(99, "\n") + lines(70, "\r\n", 6) + lines(30, "\r", 7),
        said={"line-ends": "warning"},
        words=("99 LF, 70 CRLF (Windows), 30 CR (old Mac)",),
    ),
    Case(
        "one CR in many lines",
        {"a.txt": lines(300, "\n") + "x\r"},
        text=lines(300, "\n") + "x\r",
    ),
    Case(
        "CR LF that are read as LF",
        {"a.txt": lines(200, "\r\n")},
        {"line_ends": "lf"},
        text=lines(200, "\n"),
    ),
    Case("no end of a line", {"a.txt": letters(5_000, "abc def ghi ")}, text=letters(5_000, "abc def ghi ")),
    Case("a mark at the beginning", {"a.txt": b"\xef\xbb\xbf" + PLAY.encode()}, text=PLAY),
    Case(
        "characters of three bytes",
        {"a.txt": letters(3_000, "東京の天気は晴れ。\n")},
        text=letters(3_000, "東京の天気は晴れ。\n"),
    ),
    Case(
        "characters beyond the first plane",
        {"a.txt": letters(2_000, "🙂🚀é\n x")},
        {"tokenizer": "char"},
        text=letters(2_000, "🙂🚀é\n x"),
        said={"vocabulary-not-filled": "hint"},
        words=("has 6 tokens, and vocab_size is 256: 250 rows",),
    ),
    Case(
        "an alphabet of three",
        {"a.txt": letters(2_000, "ab\n")},
        {"tokenizer": "char"},
        vocab_size=3,
        text=letters(2_000, "ab\n"),
    ),
    Case(
        "more characters than rows",
        {"a.txt": letters(2_000, "abcdefgh")},
        {"tokenizer": "char"},
        vocab_size=5,
        said={"vocabulary-too-small": "error"},
        words=("vocab_size is 5,", "needs 8."),
        read=False,
    ),
    Case(
        "six names and 8,192 rows",
        {"a.txt": NAMES},
        {"tokenizer": "bpe"},
        vocab_size=8_192,
        text=NAMES,
        said={"vocabulary-not-filled": "warning"},
    ),
    Case(
        "little that could be merged",
        {"a.txt": "".join(chr(0x4E00 + number) for number in range(3_000))},
        {"tokenizer": "bpe"},
        vocab_size=300,
        text="".join(chr(0x4E00 + number) for number in range(3_000)),
        said={"vocabulary-not-filled": "warning"},
    ),
    Case(
        "one long word",
        {"a.txt": letters(30_000, "ACGT")},
        {"tokenizer": "bpe"},
        vocab_size=300,
        text=letters(30_000, "ACGT"),
    ),
    Case(
        "twenty copies of a document",
        {"a.txt": copies(dialogue(900), 20)},
        text=copies(dialogue(900), 20),
        said={"validation-in-training": "error"},
        words=("100.0% of the validation text",),
    ),
    Case(
        "half of the validation text known",
        {"a.txt": HALF},
        text=HALF,
        said={"validation-in-training": "warning"},
    ),
    Case("sixty characters of it known", {"a.txt": LITTLE}, text=LITTLE),
    Case(
        "one line again and again",
        {"a.txt": "all work and no play makes a dull toy\n" * 400},
        text="all work and no play makes a dull toy\n" * 400,
        said={"validation-in-training": "error"},
    ),
    Case(
        "a text whose first half comes twice",
        {"a.txt": dialogue(4_000, 1) * 3 + dialogue(2_000, 2)},
        text=dialogue(4_000, 1) * 3 + dialogue(2_000, 2),
        said={"text-repeats": "information"},
    ),
    Case(
        "a copy of the training text to measure on",
        {"a.txt": PLAY, "b.txt": PLAY},
        {"train_data": "a.txt", "val_data": "b.txt"},
        text=PLAY,
        validation=PLAY,
        said={"validation-in-training": "error"},
    ),
    Case(
        "another text to measure on",
        {"a.txt": PLAY, "b.txt": dialogue(2_000, 9)},
        {"train_data": "a.txt", "val_data": "b.txt"},
        text=PLAY,
        validation=dialogue(2_000, 9),
    ),
    Case(
        "the same file twice",
        {"a.txt": PLAY},
        {"train_data": "a.txt", "val_data": "a.txt"},
        said={"validation-in-training": "error"},
        words=("are the same file",),
        read=False,
    ),
    Case(
        "too few bytes to measure on",
        {"a.txt": dialogue(300)},
        said={"validation-too-short": "error"},
        words=("gives 30 bytes",),
        read=False,
    ),
    Case(
        "enough bytes to measure on, and too few tokens",
        {"a.txt": "the king of the hills " * 40},
        {"tokenizer": "bpe"},
        vocab_size=400,
        text="the king of the hills " * 40,
        said={
            "validation-too-short": "error",
            "validation-in-training": "error",
            "vocabulary-not-filled": "warning",
        },
    ),
    Case(
        "too few bytes to train on",
        {"a.txt": "x" * 30},
        said={"corpus-too-short": "error"},
        words=("30 bytes",),
        read=False,
    ),
    Case(
        "a folder of all sorts",
        {
            "books/a.txt": dialogue(3_000, 1),
            "books/b.MD": dialogue(3_000, 2),
            "books/noending": "x",
            "books/c.log": "x",
            "books/photo.png": b"\x89PNG",
            "books/.secret.txt": "x",
            "books/.git/config.txt": "x",
            "books/empty.txt": "",
            "books/node_modules/x.js": "x",
            "books/__pycache__/x.py": "x",
        },
        {"corpus": "books"},
        text=dialogue(3_000, 1) + "\n" + dialogue(3_000, 2),
        left_out={
            "binary": ["photo.png"],
            "broken link": ["gone.txt"],
            "empty": ["empty.txt"],
            "hidden": [".git/", ".secret.txt"],
            "link to a folder": ["linked/"],
            "of other programs": ["__pycache__/", "node_modules/"],
            "no text file extension": ["c.log", "noending"],
        },
        make=_links,
    ),
    Case(
        "a folder that everything was written into",
        {
            "notes.md": PLAY,
            "other.yaml": "model_config:\n  hidden_dim: 8\ndata_config:\n  corpus: .\n",
            "runs/my-001/log.txt": "step 1",
            "elsewhere/run/events.jsonl": "{}",
            "elsewhere/run/config.yaml": "model_config:\n",
            "elsewhere/run/samples.md": "x",
            "model/config.json": "{}",
            "model/model.safetensors": b"x",
            "logs/my-001/log.txt": "step 1",
            "list.yaml": "- eggs\n- milk\n",
        },
        {"corpus": "."},
        text="- eggs\n- milk\n\n" + PLAY,
        left_out={
            "a model": ["model/"],
            "a run of Trickster": ["elsewhere/run/"],
            "config of Trickster": ["config.yaml", "other.yaml"],
            "the log of a run": ["logs/my-001/"],
            "folder of runs": ["runs/"],
        },
    ),
    Case(
        "a folder without text",
        {"only/noending": "x", "only/a.bin": b"x"},
        {"corpus": "only"},
        said={"corpus-no-text": "error"},
        words=("binary: a.bin; no text file extension: noending.",),
        read=False,
    ),
    Case(
        "a folder with nothing in it",
        {"only/sub/.keep": ""},
        {"corpus": "only"},
        said={"corpus-no-text": "error"},
        words=("hidden: sub/.keep.",),
        read=False,
    ),
    Case("a header in every file", HEADED, {"corpus": "books"}, said={"validation-in-training": "warning"}),
    Case(
        "a folder called shakespeare",
        {"shakespeare/mine.txt": PLAY},
        {"corpus": "./shakespeare"},
        text=PLAY,
    ),
    Case(
        "an empty file",
        {"a.txt": ""},
        said={"corpus-too-short": "error"},
        words=("is empty",),
        read=False,
    ),
    Case(
        "a zero byte",
        {"a.txt": PLAY.encode() + b"\0" + PLAY.encode()},
        said={"corpus-binary": "error"},
        words=("offset 6,000",),
        read=False,
    ),
    Case(
        "UTF-16",
        {"a.txt": PLAY.encode("utf-16")},
        said={"corpus-not-utf8": "error"},
        words=("UTF-16LE", "iconv"),
        read=False,
    ),
    Case(
        "Latin-1",
        {"a.txt": PLAY[:1_000].encode() + b"caf\xe9\n" + PLAY.encode()},
        said={"corpus-not-utf8": "error"},
        words=("0xe9 at byte offset 1,003",),
        read=False,
    ),
    Case(
        "the config itself",
        {},
        {"corpus": "config.yaml"},
        said={"corpus-is-the-config": "error"},
        words=("names the config itself",),
        read=False,
    ),
    Case(
        "the folder of a run",
        {"runs/my-001/events.jsonl": "{}", "runs/my-001/config.yaml": "x: 1", "runs/my-001/samples.md": PLAY},
        {"corpus": "runs/my-001"},
        said={"corpus-no-text": "error"},
        words=("is the folder of a run",),
        read=False,
    ),
    Case("half to measure on", {"a.txt": PLAY}, {"val_fraction": 0.5}, text=PLAY),
]


def _config(case: Case, folder: Path) -> Path:
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    sections = {
        "model_config": {
            "vocab_size": case.vocab_size,
            "hidden_dim": 16,
            "num_layers": 1,
            "num_heads": 2,
            "mlp_dim": 32,
            "max_seq_len": WINDOW,
        },
        "training_config": {
            "batch_size": BATCH,
            "gradient_accumulation_steps": 1,
            "max_steps": STEPS,
            "warmup_steps": 5,
            "log_interval": 10,
            "eval_interval": 30,
            "save_interval": 30,
        },
        "data_config": {"corpus": "a.txt", **case.data},
        "sampling_config": {"prompt": "a"},
    }
    if "train_data" in case.data:
        del sections["data_config"]["corpus"]
    path = folder / "config.yaml"
    path.write_text("".join(f"{name}: {json.dumps(keys)}\n" for name, keys in sections.items()))
    if case.make is not None:
        case.make(folder)
    return path


def _said(path: Path) -> tuple[list[Problem], TextCheck]:
    text = path.read_text()
    result = check(text, path.parent)
    read = check_text(result.plan, text, path, progress=False) if result.plan is not None else TextCheck()
    # How small a text is beside the model is another matter, and all of these are small.
    return [one for one in [*result.problems, *read.problems] if one.code != "corpus-small"], read


def _windows(text: bytes, size: int) -> Iterator[bytes]:
    return (text[start : start + size] for start in range(len(text) - size + 1))


def _is_about(share: float, counted: float) -> bool:
    return abs(share - counted) < 1e-9


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_each_fact_is_said_with_its_number(case: Case, tmp_path: Path) -> None:
    if case.make is not None and sys.platform == "win32":
        pytest.skip("links need a privilege there")
    problems, read = _said(_config(case, tmp_path))
    assert {problem.code: problem.severity for problem in problems} == case.said
    assert set(case.said) <= set(PROBLEM_DOCS)
    message = " ".join(problem.message for problem in problems)
    assert all(words in message for words in case.words), message
    assert (read.facts is not None) == case.read
    if read.facts is None:
        return
    facts, content = read.facts, read.facts.content
    assert content is not None
    table = dict(facts.rows())
    assert {reason: list(names) for reason, names in (facts.source.left_out_names or {}).items()} == case.left_out
    assert facts.source.left_out == ({reason: len(names) for reason, names in case.left_out.items()} or None)
    text = case.text if case.text is not None else "\n".join(str(case.files[name]) for name in sorted(case.files))
    if case.validation is not None:
        train, val = text, case.validation
    else:
        held = math.ceil(len(text) * Fraction(str(case.data.get("val_fraction", 0.1))))
        train, val = text[: len(text) - held], text[len(text) - held :]
    assert (facts.train_characters, facts.val_characters) == (len(train), len(val))
    assert table["Characters"] == f"{len(train):,} training, {len(val):,} validation"
    ends = [re.findall(r"\r\n|\r|\n", part) for part in ([train, val] if case.validation else [text])]
    found = [end for part in ends for end in part]
    assert (content.lf, content.crlf, content.cr) == tuple(found.count(end) for end in ("\n", "\r\n", "\r"))
    size = min(50, len(train), len(val))
    learned, measured = list(_windows(train.encode(), size)), list(_windows(val.encode(), size))
    known = set(learned)
    overlap = sum(window in known for window in measured) / len(measured)
    assert _is_about(content.overlap, overlap) and _is_about(content.duplicated, 1 - len(known) / len(learned))
    for code, severity in (("validation-in-training", "error" if overlap >= 0.9 else "warning"),):
        assert case.said.get(code) == (severity if overlap >= 0.05 else None)
    assert table["Overlap"].startswith(f"{overlap:.1%}") or 0 < overlap < 0.0005
    _assert_tokens(case, facts, train, val, message)


def _assert_tokens(case: Case, facts: Any, train: str, val: str, message: str) -> None:
    kind = case.data.get("tokenizer", "byte")
    if kind == "byte":
        tokens, filled, occurring = [len(train.encode()), len(val.encode())], 256, len(set(train.encode()))
    elif kind == "char":
        tokens, filled, occurring = [len(train), len(val)], len(set(train + val)), len(set(train))
    else:
        library = LibraryTokenizer(models.BPE())
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        blanks = re.search(r"\s", train)  # without any, the text is one word, and words are cut after 256 characters
        words = [train] if blanks else [train[start : start + 256] for start in range(0, len(train), 256)]
        library.train_from_iterator(
            words,
            trainers.BpeTrainer(
                vocab_size=case.vocab_size,
                min_frequency=2,
                show_progress=False,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            ),
        )
        filled = library.get_vocab_size()
        ids = [index for word in words for index in library.encode(word).ids]
        tokens, occurring = [len(ids), facts.val_tokens], len(set(ids))
    assert [facts.train_tokens, facts.val_tokens] == tokens
    assert (facts.vocabulary_filled, facts.content.occurring) == (filled, occurring)
    assert f"{filled:,} of {case.vocab_size:,} rows used, {occurring:,} occur" in dict(facts.rows())["Vocabulary"]
    if "vocabulary-not-filled" in case.said and kind == "bpe":
        assert f"vocab_size: {filled} fits this text." in message
        assert f"ln {case.vocab_size:,} = {math.log(case.vocab_size):.3f}" in message
        assert f"over the {occurring:,} tokens that occur it is {math.log(occurring):.3f}" in message
    windows = (facts.train_tokens - 1) // WINDOW - 1
    assert facts.epochs == STEPS * BATCH / max(1, windows)


def test_there_are_at_least_thirty() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


def test_the_command_says_the_same_as_json(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "twenty copies of a document")
    path = _config(case, tmp_path)
    answer = trickster("check", path, "--json")
    assert answer.returncode == 1
    said = json.loads(answer.stdout)
    assert [problem["code"] for problem in said["problems"]] == ["validation-in-training"]
    assert said["text"]["version"] == 1 and said["text"]["content"]["overlap"] == 1.0
    assert ["Line ends", f"{str(case.files['a.txt']).count(chr(10)):,} LF"] in said["text"]["table"]
    refused = trickster("train", path)
    assert refused.returncode == 1 and "[validation-in-training]" in refused.stderr
    assert not list(tmp_path.glob("runs/*"))
