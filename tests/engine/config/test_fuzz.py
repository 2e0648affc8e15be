"""No text makes the checker raise, hang, or contradict itself."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.engine.config.cases import CASES
from tests.engine.config.support import LESSON
from trickster_engine.config import KEYS, Position, apply_edits, check, parse, preset_names, preset_text
from trickster_engine.config.yaml.text import Lines

SEEDS = [LESSON, *(preset_text(name) for name in preset_names()), *(c.text for c in CASES if len(c.text) < 3000)]

# What Python takes for blanks and YAML does not, and the other way round: control characters and spaces of all widths.
ODD_SPACES = "\x0b\x0c\x1c\x1d\x1e\x1f\x7f\xa0\xad\u1680\u2000\u2003\u200b\u200e\u2029\u202f\u205f\u2060\u3000"

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)  # surrogates and controls as well
YAML_LIKE = st.text(
    st.sampled_from("ab: \n\t-[]{},&*!|>'\"%@`#?0123456789.eE+~<=\\\r\x85\u2028\ufeff\ud800\x00" + ODD_SPACES),
    max_size=200,
)


def examine(text: str, folder: Path | None = None) -> None:
    """Whatever the text: the promises of `check` hold."""
    result = check(text, folder)
    if any(problem.severity == "error" for problem in result.problems):
        assert result.plan is None
    elif result.plan is None:  # its shape is that of weights, in a folder that was not looked into
        assert folder is None and "init_from" in text
    lines = Lines(text)
    for problem in result.problems:
        start, end = problem.range
        assert start <= end
        assert end.line < len(lines), problem
        assert lines.position(lines.offset(start)) == start, problem
        assert lines.position(lines.offset(end)) == end, problem
        assert problem.message.isprintable(), problem
        assert problem.key is None or problem.key in KEYS
        problem.as_lsp_json(text)["message"].encode("utf-8")
        for related in problem.related:
            assert related.message.isprintable()
            assert lines.position(lines.offset(related.range.start)) == related.range.start
        for fix in problem.fixes:
            assert fix.title.isprintable(), fix
            check(apply_edits(text, fix.edits))
    document = parse(text)
    for position in (Position(0, 0), Position(len(lines) // 2, 3), Position(len(lines), 0)):
        document.key_at(position)
        document.place_at(position)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A config with a few slips: characters or lines lost, doubled, moved or invented."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        kind = draw(st.sampled_from(["cut", "insert", "double", "replace", "line"]))
        if kind == "cut":
            text = text[:start] + text[end:]
        elif kind == "double":
            text = text[:end] + text[start:end] + text[end:]
        elif kind == "line":
            lines = text.splitlines(keepends=True) or [""]
            index = draw(st.integers(0, len(lines) - 1))
            other = draw(st.integers(0, len(lines) - 1))
            lines.insert(other, draw(st.sampled_from(["", " ", "\t"])) + lines[index])
            text = "".join(lines)
        else:
            piece = draw(st.one_of(YAML_LIKE, ANY_TEXT))[:12]
            text = text[:start] + piece + text[end if kind == "replace" else start :]
    return text


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_any_text(tmp_path: Path, text: str) -> None:
    examine(text, tmp_path)


@settings(deadline=None, max_examples=200)
@given(YAML_LIKE)
def test_yaml_like_text(text: str) -> None:
    examine(text)


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
@example("model_config:\n  init_from:\x85 gone\n")  # a name that no screen can show
def test_mutated_configs(tmp_path: Path, text: str) -> None:
    examine(text, tmp_path)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(KEYS)), st.one_of(YAML_LIKE, ANY_TEXT, st.integers().map(str), st.floats().map(repr)))
def test_any_value_of_any_key(path: str, value: str) -> None:
    section, name = path.split(".")
    examine(f"{section}:\n  {name}: {value}\n")


@pytest.mark.parametrize("seed", range(5))
def test_large_junk_takes_little_time(seed: int) -> None:
    chooser = random.Random(seed)
    alphabet = "ab: \n\n-[]{},&*!|'\"#0123\t"
    text = "".join(chooser.choice(alphabet) for _ in range(100_000))
    started = time.process_time()
    check(text)
    assert time.process_time() - started < 5


# Inputs that once went wrong, each for a reason of its own.
FOUND = [
    "train\r\ting_config:\n  save_strategy: epoch\n",  # libyaml miscounts lines here
    "?\ud800?",  # a mark behind the last line
    "training_config:\n  s\tave_interval: 500\n  checkpoint_frequency: 500\n",  # a tab in a name in a message
    "?\t",  # a tab in a message
    "model_c\x85ocab_size: 256\n",  # an old line end in a message
    'a: "\\ud800"\n',  # an escaped half of a surrogate pair
    'a: "\\UFFFFFFFF"\n',  # an escape beyond Unicode
    "model_config:\n  hidden_dim 256\n  num_heads: 0\n",  # the first key without a colon hid its section
    "model_config: &a\n  <<: *a\n",  # a mapping that takes itself over
    "model_config:\n  max_seq_len: 0x" + "f" * 5000 + "\n",  # more digits than Python reads
    "\ufeff\ufeffmodel_config:\n",
    "%YAML 9.9\n---\nmodel_config:\n",
    "--- \nmodel_config:\n...\n",
    "model_config:\n  \u00a0\n",  # a section with nothing in it but a space that YAML does not know
    "model_config:\n  \u3000\u2003\n",
    "\x85wheels:\n\x85wheels:\n  round: true\n",  # an old line end in the title of a fix
    "model_config:\n  max_seq_len: " + "9" * 350 + "\n",  # an integer that no float can hold
    "model_config:\n  max_seq_len: -" + "9" * 309 + "\n",
    "model_config:\n  max_seq_len: 0x" + "f" * 290 + "\n",
    "device_config:\n  mesh_shape: [" + "9" * 350 + ", 1]\n",
]


ODD_PIECES = [
    *ODD_SPACES,
    "\x00",
    "\x85",
    "\u2028",
    "\t",
    "9" * 350,
    "-" + "9" * 310,
    "0x" + "f" * 300,
    "0" * 400 + "1",
]
PLACES = [
    "{}",
    "{}\n",
    "{}: 1\n",
    "{}:\n  hidden_dim: 256\n",
    "model_config:{}\n",
    "model_config: {}\n",
    "model_config:\n{}\n",
    "model_config:\n  {}\n",
    "model_config:\n  {}\n  num_heads: 8\n",
    "model_config:\n  num_heads: 8\n{}",
    "model_config:\n  {}: 8\n",
    "model_config:\n  num_heads: {}\n",
    "model_config:\n  num_heads: '{}'\n",
    "model_config:\n  num_heads{}: 8\n",
    "model_config:\n  num_heads {} 8\n",
    "model_config: {{num_heads: {}}}\n",
    "model_config: {{num_heads: 8, {}}}\n",
    "model_config:\n  dropout: {}\n  tie_embeddings: {}\n",
    "device_config:\n  mesh_shape: {}\n  enable_ddp: {}\n",
    "device_config:\n  mesh_shape: [{}, {}]\n",
    "data_config:\n  corpus: {}\n  tokenizer: {}\n",
    "training_config:\n  save_strategy: {}\n  use_wandb: {}\n",
    "sampling_config:\n  seed: {}\n  prompt: |\n    {}\n",
    "# {}\nmodel_config:  # {}\n",
]


@pytest.mark.parametrize("place", PLACES)
def test_odd_pieces_at_each_place(place: str, tmp_path: Path) -> None:
    for piece in ODD_PIECES:
        examine(place.replace("{}", piece).replace("{{", "{").replace("}}", "}"), tmp_path)


@pytest.mark.parametrize("text", FOUND)
def test_what_was_found(text: str) -> None:
    examine(text)
