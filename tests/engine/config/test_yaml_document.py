"""Positions are exact, and a broken text still gives everything that can be read."""

from __future__ import annotations

import sys
import time

import pytest

from trickster_engine.config import Position, Range, apply_edits, check, parse, preset_names, preset_text
from trickster_engine.config.yaml.nodes import Entry, Mapping


def _values(text: str) -> dict[str, str]:
    """Each scalar below a section as `section.key` -> the text at its range."""
    document = parse(text)
    return {
        f"{section.key.text}.{entry.key.text}": document.lines.slice(entry.value.range)
        for section in document.sections()
        if isinstance(section.value, Mapping)
        for entry in section.value.entries
    }


def test_ranges_cover_exactly_what_is_written() -> None:
    values = _values('model_config:\n  hidden_dim: 256   # wide\n  other: "a b"\n  list: [1, 2]  # two\n')
    assert values == {
        "model_config.hidden_dim": "256",
        "model_config.other": '"a b"',
        "model_config.list": "[1, 2]",
    }


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_move_positions(line_end: str, mark: str) -> None:
    text = mark + line_end.join(["model_config:", "  hidden_dim: 256", "  num_heads: 7", ""])
    document = parse(text)
    assert not document.problems
    located = document.key_at(Position(2, 4))
    assert located is not None
    assert (located.section, located.name, located.part) == ("model_config", "num_heads", "key")
    assert located.range == Range(Position(2, 2), Position(2, 11))
    [section] = document.sections()
    assert section.key.range == Range(Position(0, len(mark)), Position(0, len(mark) + 12))


def test_positions_count_code_points_behind_an_emoji() -> None:
    text = 'sampling_config: {"\N{GRINNING FACE}\N{GRINNING FACE}": 1, prompt: "\N{GRINNING FACE}", seed: 5}\n'
    assert _values(text)["sampling_config.seed"] == "5"


def test_old_line_ends_are_characters_like_others() -> None:
    text = 'sampling_config:\n  prompt: "a\u2028b\x85c"\n  seed: 5\n'
    document = parse(text)
    assert not document.problems
    assert _values(text)["sampling_config.seed"] == "5"
    result = check(text)
    assert result.plan is not None
    assert result.plan.sampling.prompt == "a\u2028b\x85c"


def test_a_block_text_ends_where_its_text_ends() -> None:
    text = "sampling_config:\n  prompt: |\n    To be\n    or not\n\n\n  seed: 5\n"
    assert _values(text)["sampling_config.prompt"] == "|\n    To be\n    or not"
    plan = check(text).plan
    assert plan is not None
    assert plan.sampling.prompt == "To be\nor not\n"


def test_an_alias_stands_where_it_is_written() -> None:
    text = "model_config:\n  num_heads: &heads 4\n  num_kv_heads: *heads\n"
    assert _values(text)["model_config.num_kv_heads"] == "*heads"
    plan = check(text).plan
    assert plan is not None
    assert plan.model.num_kv_heads == 4


def test_merge_keys_give_what_is_not_given_nearer() -> None:
    text = "training_config: &base\n  max_steps: 5000\n  batch_size: 4\n  warmup_steps: 10\n"
    text += "sampling_config:\n  seed: 3\n"
    merged = text + "x: 1\n"
    assert [problem.code for problem in check(merged).problems] == ["unknown-section"]
    plan = check("model_config: &m\n  num_layers: 3\n  num_heads: 4\n<<: {sampling_config: {seed: 9}}\n").plan
    assert plan is not None
    assert (plan.model.num_layers, plan.sampling.seed) == (3, 9)
    plan = check("model_config:\n  <<: {num_layers: 3, num_heads: 2}\n  num_heads: 4\n").plan
    assert plan is not None
    assert (plan.model.num_layers, plan.model.num_heads) == (3, 4)


def test_aliases_are_not_expanded() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 200)]
    merges = [f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 200)]
    text = "\n".join([*levels, "m0: &m0 {k: 1}", *merges, "model_config: *m199", ""])
    started = time.process_time()
    result = check(text)
    assert time.process_time() - started < 2
    assert result.plan is None


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    for text in ("[" * 100_000, "{a: " * 50_000, "- " * 50_000, "\n".join(" " * n + "a:" for n in range(900))):
        result = check(text)
        assert result.plan is None
        assert result.problems[0].code in ("yaml-too-deep", "yaml-too-large"), text[:10]


# ------------------------------------------------------------------------------------------------- broken text


def test_everything_behind_a_broken_line_is_still_checked() -> None:
    text = "model_config:\n  hidden_dim 256\n  num_heads: 0\ntraining_config:\n  lr: 3e-4\nbad [\n"
    text += "sampling_config:\n  top_k: -1\n"
    found = [(problem.code, problem.range.start.line) for problem in check(text).problems]
    assert found == [
        ("yaml-missing-colon", 1),
        ("out-of-range", 2),
        ("unknown-key", 4),
        ("yaml-missing-colon", 5),
        ("out-of-range", 7),
    ]


def test_a_tab_does_not_hide_what_is_behind_it() -> None:
    text = "model_config:\n\thidden_dim: 250\n\tnum_heads: 8\n"
    found = [(problem.code, problem.range.start) for problem in check(text).problems]
    assert found == [("yaml-tab", (1, 0)), ("yaml-tab", (2, 0)), ("heads-divide-dim", (2, 12))]


def test_rules_do_not_guess_at_what_could_not_be_read() -> None:
    # num_heads is there, but unreadable: no rule may take it for the default
    text = "model_config:\n  num_heads 5\n  hidden_dim: 100\n"
    assert [problem.code for problem in check(text).problems] == ["yaml-missing-colon"]


def test_a_text_of_which_only_the_pieces_can_be_read_has_a_problem() -> None:
    text = "  # all of it\n  model_config:\n    num_heads: 4\n\ntraining_config:\n  max_steps: 5000\n"
    result = check(text)
    assert result.plan is None
    [problem] = result.problems
    assert (problem.code, problem.range.start) == ("yaml-indentation", (4, 0))
    [fix] = problem.fixes
    repaired = apply_edits(text, fix.edits)
    assert repaired == "# all of it\nmodel_config:\n  num_heads: 4\n\ntraining_config:\n  max_steps: 5000\n"
    assert check(repaired).problems == []


def test_an_unclosed_quote_costs_its_own_section_at_most() -> None:
    text = 'sampling_config:\n  prompt: "ROMEO\n  seed: 5\nmodel_config:\n  num_layers: 0\n'
    assert [problem.code for problem in check(text).problems] == ["yaml-unclosed", "out-of-range"]


@pytest.mark.parametrize("name", preset_names())
def test_any_line_may_be_broken(name: str) -> None:
    """Whatever line of a good config is spoiled, there is one more problem and nothing raises."""
    lines = preset_text(name).splitlines(keepends=True)
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        bare = line.split(" #")[0].rstrip()
        for spoiled in (line.replace(":", "", 1), "\t" + line, bare + ' "x: y\n', bare + ": [\n"):
            result = check("".join([*lines[:number], spoiled, *lines[number + 1 :]]))
            assert result.plan is None, (number, spoiled)
            near = [problem for problem in result.problems if abs(problem.range.start.line - number) <= 1]
            assert near, (number, spoiled, result.problems)


# ------------------------------------------------------------------------------------------------- looking up


def test_key_at_finds_section_key_and_value() -> None:
    document = parse("model_config:\n  hidden_dim: 256\n  num_layers:\n")
    for position, expected in (
        (Position(0, 3), ("model_config", None, "section")),
        (Position(1, 2), ("model_config", "hidden_dim", "key")),
        (Position(1, 12), ("model_config", "hidden_dim", "key")),
        (Position(1, 14), ("model_config", "hidden_dim", "value")),
        (Position(1, 17), ("model_config", "hidden_dim", "value")),
        (Position(2, 5), ("model_config", "num_layers", "key")),
    ):
        located = document.key_at(position)
        assert located is not None, position
        assert (located.section, located.name, located.part) == expected
    assert document.key_at(Position(1, 0)) is None
    assert document.key_at(Position(9, 9)) is None


def test_an_entry_reaches_from_key_to_value() -> None:
    document = parse("model_config:\n  hidden_dim: 256\n")
    [section] = document.sections()
    assert isinstance(section, Entry)
    assert section.range == Range(Position(0, 0), Position(1, 17))


def test_nothing_recurses() -> None:
    """A text nested as deeply as is allowed is read within a small stack."""
    limit = sys.getrecursionlimit()
    text = "model_config: " + "[" * 40 + "]" * 40
    try:
        sys.setrecursionlimit(120)
        document = parse(text)
    finally:
        sys.setrecursionlimit(limit)
    assert not document.problems
