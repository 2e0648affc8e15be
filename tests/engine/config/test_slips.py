"""Slips of the pen: what is said of them, what mends them, and that no mending makes a text worse."""

from __future__ import annotations

import pytest

from tests.engine.config.slips import texts, worse
from tests.engine.config.support import codes_of, problems_of
from trickster_engine.config import apply_edits, check
from trickster_engine.config.fixing import fixed, is_safe, line_edits, steps
from trickster_engine.config.overrides import OverrideError, set_values

HEAD = "model_config:\n"

#: Sections' keys with slips, and what fixing everything makes of them.
MENDED_KEYS = [
    ("no space", "  hidden_dim:64\n", "  hidden_dim: 64\n"),
    ("no space, first of two", "  hidden_dim:64\n  num_heads: 4\n", "  hidden_dim: 64\n  num_heads: 4\n"),
    ("no space, twice", "  hidden_dim:64\n  num_heads:4\n", "  hidden_dim: 64\n  num_heads: 4\n"),
    ("equals", "  hidden_dim = 64\n", "  hidden_dim: 64\n"),
    ("equals, no space", "  num_layers: 2\n  num_heads=4 # few\n", "  num_layers: 2\n  num_heads: 4 # few\n"),
    ("dash", "  - num_heads: 4\n", "  num_heads: 4\n"),
    ("dash among keys", "  num_layers: 2\n  - num_heads: 4\n", "  num_layers: 2\n  num_heads: 4\n"),
    ("dashes", "  - num_heads: 4\n  # why\n  - num_layers: 2\n", "  num_heads: 4\n  # why\n  num_layers: 2\n"),
    ("a dash for all", "  - num_heads: 4\n    num_layers: 2\n", "    num_heads: 4\n    num_layers: 2\n"),
    ("no-break spaces", "\xa0\xa0num_heads:\xa04\n", "  num_heads: 4\n"),
    ("no-break spaces, mixed", "\xa0 num_heads: 4\n  num_layers: 2\n", "  num_heads: 4\n  num_layers: 2\n"),
    ("no-break spaces, a comment", "\xa0\xa0# few\n  num_heads: 4\n", "  # few\n  num_heads: 4\n"),
]
MENDED = [
    *((name, HEAD + text, HEAD + mended) for name, text, mended in MENDED_KEYS),
    ("no space, a text", "data_config:\n  corpus:python # mine\n", "data_config:\n  corpus: python # mine\n"),
    ("no space, in brackets", "model_config: {hidden_dim:64}\n", "model_config: {hidden_dim: 64}\n"),
    ("no space, a section", "model_config:{hidden_dim: 64}\n", "model_config: {hidden_dim: 64}\n"),
    ("no space, at the margin", "hidden_dim:64\n", "model_config:\n  hidden_dim: 64\n"),
    ("fence", "```yaml\n" + HEAD + "  num_heads: 4\n```\n", HEAD + "  num_heads: 4\n"),
    ("dashes in dashes", "- model_config:\n  - num_heads: 4\n", "model_config:\n  num_heads: 4\n"),
]

CONFLICT = HEAD + "  num_layers: 2\n<<<<<<< HEAD\n  num_heads: 8  # wide\n=======\n  num_heads: 4\n>>>>>>> small\n"

#: Only the writer knows what is meant here: nothing is changed without a look.
LEFT_ALONE = [
    ("conflict", CONFLICT),
    ("conflict with its base", CONFLICT.replace("=======", "||||||| base\n  num_heads: 2\n=======")),
    ("the second line of a prompt", "sampling_config:\n  prompt: To be\n  or not to be\n  seed: 5\n"),
    ("the second line of a prompt, at the margin", "sampling_config:\n  prompt: To be\nor not to be\n  seed: 5\n"),
    ("a word that is no key", HEAD + "  num_heads: 4\n  Juliet speaks\n"),
    ("a sign before a number", HEAD + "  num_heads: @4\n"),
]


@pytest.mark.parametrize(("text", "mended"), [case[1:] for case in MENDED], ids=[case[0] for case in MENDED])
def test_a_slip_is_mended_as_it_was_meant(text: str, mended: str) -> None:
    assert check(text).plan is None
    after = fixed(text)
    assert after == mended
    assert check(after).problems == []
    assert apply_edits(text, line_edits(text, after)) == after


@pytest.mark.parametrize("text", [case[1] for case in LEFT_ALONE], ids=[case[0] for case in LEFT_ALONE])
def test_what_only_the_writer_knows_is_left_alone(text: str) -> None:
    assert check(text).plan is None
    assert fixed(text) == text


def test_the_commonest_slip_is_named() -> None:
    [problem] = check(HEAD + "  hidden_dim:250\n  num_heads: 5\n").problems
    assert problem.code == "yaml-missing-space"
    assert problem.message.startswith("A space is missing after the colon of hidden_dim.")
    # and the value counts already: 251 does not go with 5 heads
    assert codes_of(HEAD + "  hidden_dim:251\n  num_heads: 5\n") == ["yaml-missing-space", "heads-divide-dim"]


@pytest.mark.parametrize("index", [0, 1])
def test_a_conflict_is_one_problem_and_either_side_can_be_kept(index: int) -> None:
    [problem] = check(CONFLICT).problems
    fix = problem.fixes[index]
    assert fix.title == ("Keep the first version", "Keep the second version")[index]
    kept = ("  num_heads: 8  # wide\n", "  num_heads: 4\n")[index]
    assert apply_edits(CONFLICT, fix.edits) == HEAD + "  num_layers: 2\n" + kept


def test_of_a_conflict_the_first_side_is_read() -> None:
    assert codes_of(CONFLICT.replace("num_heads: 8", "num_heads: 0")) == ["yaml-conflict", "out-of-range"]
    assert codes_of(CONFLICT.replace("num_heads: 4", "num_heads: 0")) == ["yaml-conflict"]


def test_the_second_line_of_a_text_is_told_apart_from_a_missing_colon() -> None:
    text = "sampling_config:\n  prompt: {}\n  Speak again\n  seed: 5\n"
    for written in ("ROMEO says", '"ROMEO says"'):
        [problem] = check(text.format(written)).problems
        assert "Is it the second line of the text above? That text then needs quotes." in problem.message
        assert [(fix.title, fix.preferred) for fix in problem.fixes] == [("Write `Speak:`", False)]


@pytest.mark.parametrize(
    "text",
    [
        "sampling_config:\n  prompt: |\n    hidden_dim:64\n    - num_heads: 4\n    ```\n    \xa0x = 1\n",
        'sampling_config:\n  prompt: "a\n    hidden_dim:64\n    seed = 3\xa0"\n',
        "sampling_config:\n  prompt: a\n    seed:3\n",
        "# hidden_dim:64\nmodel_config:  # num_heads = 4\n  num_heads: 4\n",
        "sampling_config:\n  prompt: '{seed:3}'\n",
        "data_config:\n  corpus: data://texts\n",
        "sampling_config:\n  prompt: a\xa0b\n",
    ],
)
def test_a_text_may_hold_what_looks_like_a_slip(text: str) -> None:
    assert check(text).problems == []


def test_positions_behind_a_slip_are_those_of_the_file() -> None:
    text = "model_config: {hidden_dim:64, num_heads:4, num_layers: 0}\n"
    [problem] = problems_of(text, "out-of-range")
    assert problem.range.start == (0, text.index("0}"))
    assert "num_layers: 1}" in apply_edits(text, problem.fixes[0].edits)
    text = "\ufeff```\nmodel_config:\n  - num_layers: 0\n"
    [problem] = problems_of(text, "out-of-range")
    assert problem.range.start == (2, text.splitlines()[2].index("0"))


def test_nothing_is_set_in_a_text_with_a_slip() -> None:
    with pytest.raises(OverrideError, match="line 2: A space is missing"):
        set_values(HEAD + "  hidden_dim:64\n", {"num_heads": "4"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("training_config:\n  max_steps: -1\n", "out-of-range"),
        ("- hidden_dim:128\n- ", "yaml-missing-space"),
        ("  seed of doubt\ntrainig_config:\n  max_steps: 5000\n", "yaml-missing-colon"),
        ("device_config:\n  device_type: tt\nmodel_config:   hidden_dim: 1024\n  num_heads: 2\n", "yaml-indentation"),
    ],
)
def test_a_fix_that_uncovers_more_is_not_applied_without_a_look(text: str, code: str) -> None:
    problem = next(each for each in check(text).problems if each.code == code)
    fix = next(each for each in problem.fixes if each.preferred)
    assert len(check(apply_edits(text, fix.edits)).problems) > len(check(text).problems)
    assert not is_safe(text, check(text).problems, problem, fix)
    assert all(step.edits != fix.edits for step in steps(text))


def test_fixing_everything_ends_also_where_fixes_would_chase_each_other() -> None:
    for text in texts(20, seed=5):
        rounds = list(steps(text))
        assert len(rounds) < 50
        assert len({step.after for step in rounds} | {text}) == len(rounds) + 1


@pytest.mark.parametrize("part", range(4))
def test_no_fix_makes_a_text_worse(part: int) -> None:
    for text in texts(75, seed=1000 + part):
        assert worse(text) == [], text


@pytest.mark.parametrize("section", ["model_config", "training_config"])
def test_a_name_with_a_value_in_it_is_not_renamed_without_a_look(section: str) -> None:
    text = f"{section}:\n  learning_rate = ROMEO:\n"
    assert fixed(text) == text
