"""A preferred fix is applied without a look: it loses nothing that only one place says, and breaks nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.config.support import problems_of
from trickster_engine.config import Edit, Fix, apply_edits, check


def _preferred(text: str) -> list[Fix]:
    return [fix for problem in check(text).problems for fix in problem.fixes if fix.preferred]


def _all_at_once(text: str) -> str:
    """The text with all preferred fixes that do not touch each other, as an editor applies them."""
    edits: list[Edit] = []
    for fix in _preferred(text):
        if not any(_touch(one, other) for one in fix.edits for other in edits):
            edits.extend(fix.edits)
    return apply_edits(text, edits)


def _touch(one: Edit, other: Edit) -> bool:
    return one.range.start <= other.range.end and other.range.start <= one.range.end


def _titles(text: str, code: str) -> list[tuple[str, bool]]:
    return [(fix.title, fix.preferred) for problem in problems_of(text, code) for fix in problem.fixes]


# ------------------------------------------------------------------------------------------------- given twice


def test_a_key_given_twice_alike_is_given_once() -> None:
    text = "model_config:\n  num_heads: 4\n  num_heads: 4\n  num_layers: 2\n"
    assert _all_at_once(text) == "model_config:\n  num_heads: 4\n  num_layers: 2\n"


@pytest.mark.parametrize(
    "values",
    [("4", "8"), ("4", '"4"'), ("1", "true"), ("08", "8"), ("[4]", "[4]"), ("4", "&four 4"), ("4", "4  # four")],
)
def test_a_key_given_twice_differently_is_for_its_writer_to_decide(values: tuple[str, str]) -> None:
    text = "model_config:\n  num_heads: {}\n  num_heads: {}\n".format(*values)
    assert _titles(text, "duplicate-key") == [("Remove this num_heads", False), ("Remove the first num_heads", False)]


def test_two_sections_of_one_name_become_one() -> None:
    text = (
        "model_config:\n  num_heads: 4\n\ntraining_config:\n  max_steps: 5000\n"
        "model_config:\n    # deep\n    num_layers: 2  # few\n\n    num_heads: 4\n    hidden_dim: 128\n"
    )
    assert _all_at_once(text) == (
        "model_config:\n  num_heads: 4\n  # deep\n  num_layers: 2  # few\n\n  hidden_dim: 128\n"
        "\ntraining_config:\n  max_steps: 5000\n"
    )


def test_an_empty_section_takes_the_keys_of_the_second() -> None:
    assert _all_at_once("model_config:\nmodel_config:\n  num_heads: 4\n") == "model_config:\n  num_heads: 4\n"


@pytest.mark.parametrize(
    "second",
    [
        "  num_heads: 8\n  num_layers: 2\n",  # a contradiction
        "  num_heads: 4  # as in the paper\n  num_layers: 2\n",  # a comment that would have no place
        "  num_layers: &layers 2\n",  # a name that something between the two might not have yet
        "  <<: {num_layers: 2}\n",
        "  num_heads: [4]\n",
    ],
)
def test_two_sections_that_cannot_simply_be_joined_are_left_alone(second: str) -> None:
    text = f"model_config:\n  num_heads: 4\nmodel_config:\n{second}"
    titles = _titles(text, "duplicate-key")
    assert titles == [("Remove this model_config", False), ("Remove the first model_config", False)]


# ------------------------------------------------------------------------------------------------- wrong names


@pytest.mark.parametrize("order", [("num_head: {}", "num_heads: {}"), ("num_heads: {}", "num_head: {}")])
def test_a_name_is_not_corrected_to_one_that_is_there(order: tuple[str, str]) -> None:
    def text(own: int, wrong: int) -> str:
        return "model_config:\n" + "".join(
            f"  {line.format(wrong if line.startswith('num_head:') else own)}\n" for line in order
        )

    assert _titles(text(4, 8), "unknown-key") == [("Remove num_head", False)]
    assert _titles(text(4, 4), "unknown-key") == [("Remove num_head", True)]
    [problem] = problems_of(text(4, 8), "unknown-key")
    assert "num_heads is already set" in problem.message
    assert [related.range.start.line for related in problem.related] == [1 + order.index("num_heads: {}")]
    assert _all_at_once(text(4, 4)) == "model_config:\n  num_heads: 4\n"


def test_a_name_is_not_corrected_to_one_whose_other_name_is_there() -> None:
    text = "training_config:\n  checkpoint_frequency: 500\n  save_intervall: 600\n"
    assert _titles(text, "unknown-key") == [("Remove save_intervall", False)]
    assert _preferred(text) == []


def test_of_two_wrong_names_for_one_key_neither_is_taken_for_the_right_one() -> None:
    text = "model_config:\n  num_head: 4\n  n_heads: 8\n"
    assert _preferred(text) == []
    for problem in problems_of(text, "unknown-key"):
        after = apply_edits(text, problem.fixes[0].edits)
        assert "num_heads: " in after
        assert [each.code for each in check(after).problems] == ["unknown-key"]
    assert _all_at_once("model_config:\n  num_head: 4\n  n_heads: 4\n") == "model_config:\n  num_heads: 4\n"


def test_a_key_is_not_moved_to_where_it_is_already() -> None:
    text = "model_config:\n  max_steps: {}\ntraining_config:\n  max_steps: 5000\n"
    assert _titles(text.format(9000), "misplaced-key") == [("Remove max_steps", False)]
    assert _titles(text.format(5000), "misplaced-key") == [("Remove max_steps", True)]
    at_margin = "max_steps: 9000\ntraining_config:\n  max_steps: 5000\n"
    assert _titles(at_margin, "misplaced-key") == [("Remove max_steps", False)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model_config:\n  num_heads: 08\ndata_config:\n  num_heads: 8\n", "misplaced-key"),
        ("model_config:\n  num_heads: 08\n  num_head: 8\n", "unknown-key"),
        ("training_config:\n  save_interval: 5e2\n  checkpoint_frequency: 500\n", "doubled-key"),
    ],
)
def test_of_one_value_written_in_two_ways_neither_is_removed_without_a_look(text: str, code: str) -> None:
    name = text.split("\n")[-2].partition(":")[0].strip()
    assert _titles(text, code) == [(f"Remove {name}", False)]


def test_two_sections_that_write_one_value_in_two_ways_are_not_joined() -> None:
    text = "model_config:\n  num_heads: 08\nmodel_config:\n  num_heads: 8\n  num_layers: 2\n"
    titles = _titles(text, "duplicate-key")
    assert titles == [("Remove this model_config", False), ("Remove the first model_config", False)]


def test_a_line_that_two_sections_share_is_not_removed() -> None:
    text = "x: &x {max_steps: 5000}\ntraining_config:\n  <<: *x\nsampling_config:\n  <<: *x\n"
    assert _preferred(text) == []


def test_a_section_is_not_renamed_to_one_that_is_there() -> None:
    text = "trainig_config:\n  max_steps: 5000  # long\ntraining_config:\n  batch_size: 8\n"
    assert _titles(text, "unknown-section") == [
        ("Move its keys to the first training_config", False),
        ("Remove trainig_config", False),
    ]
    [problem] = problems_of(text, "unknown-section")
    joined = "training_config:\n  batch_size: 8\n  max_steps: 5000  # long\n"
    assert apply_edits(text, problem.fixes[0].edits) == joined


def test_of_two_wrong_names_for_one_section_one_is_corrected() -> None:
    text = "trainig_config:\n  max_steps: 5000\ntrain:\n  batch_size: 8\n"
    assert _all_at_once(text) == "training_config:\n  max_steps: 5000\ntrain:\n  batch_size: 8\n"


def test_a_key_is_not_moved_while_its_section_has_a_wrong_name() -> None:
    text = "trainig_config:\n  max_steps: 5000\nmodel_config:\n  batch_size: 8\n"
    once = _all_at_once(text)
    assert once == "training_config:\n  max_steps: 5000\nmodel_config:\n  batch_size: 8\n"
    assert _all_at_once(once) == "training_config:\n  max_steps: 5000\n  batch_size: 8\nmodel_config:\n"


def test_a_rule_changes_the_value_of_a_key_where_it_stands() -> None:
    for text in (
        "sampling_config:\n  max_steps: 400\n",
        "training_config:\n  max_step: 400\n",
        "trainig_config:\n  max_steps: 400\n",
        "max_steps: 400\n",
    ):
        [problem] = problems_of(text, "warmup-too-long")
        fix = next(fix for fix in problem.fixes if fix.title.startswith("Set max_steps"))
        assert apply_edits(text, fix.edits) == text.replace("400", "10000")


def test_a_rule_adds_no_section_without_a_look_that_may_be_there_under_a_wrong_name() -> None:
    text = "trainig_config:\nsampling_config: {seed: 5, max_steps: 7}\n"
    [problem] = problems_of(text, "warmup-too-long")
    assert not any(fix.preferred for fix in problem.fixes)
    assert _all_at_once(text) == text.replace("trainig", "training")


def test_a_good_value_is_not_removed_for_a_bad_one_under_another_name() -> None:
    text = "training_config:\n  save_interval: often\n  checkpoint_frequency: 500\n"
    assert _titles(text, "doubled-key") == [("Remove checkpoint_frequency", False)]


# ------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("training_config.grad_clip", "0,5", "0.5"),
        ("training_config.weight_decay", "0,1", "0.1"),
        ("training_config.learning_rate", "0,0003", "3e-4"),
        ("training_config.learning_rate", "3,0e-4", "3e-4"),
        ("model_config.dropout", "0,125", "0.125"),
        ("model_config.norm_eps", "1_0e-13", "1e-12"),
        ("model_config.rope_theta", "1,000,000", "1000000.0"),
        ("model_config.rope_theta", "10,000.5", "10000.5"),
        ("model_config.rope_theta", "10k", "10000.0"),
        ("training_config.max_steps", "10,000", "10000"),
        ("training_config.max_steps", "1,000,000", "1000000"),
        ("training_config.max_steps", "10 000", "10000"),
        ("training_config.max_steps", "1,5k", "1500"),
        ("training_config.max_steps", "1.1k", "1100"),
    ],
)
def test_a_number_written_otherwise_is_read_as_it_is_meant(key: str, written: str, meant: str) -> None:
    section, name = key.split(".")
    text = f"{section}:\n  {name}: {written}\n"
    assert _titles(text, "wrong-type") == [(f"Write {meant}", True)]


@pytest.mark.parametrize(
    ("key", "written", "meanings"),
    [
        ("training_config.grad_clip", "1,000", ["1000.0", "1.0"]),
        ("model_config.rope_theta", "10,000", ["10000.0", "10.0"]),
        ("training_config.weight_decay", "1,000", ["1.0"]),
        ("training_config.max_steps", "12,5", []),
        ("training_config.max_steps", "0,5", []),
        ("training_config.max_steps", "1,2,3", []),
        ("training_config.max_steps", "1 0", []),
        ("training_config.max_steps", "1.2345k", []),
    ],
)
def test_a_number_that_could_be_two_is_not_guessed(key: str, written: str, meanings: list[str]) -> None:
    section, name = key.split(".")
    text = f"{section}:\n  {name}: {written}\n"
    assert _titles(text, "wrong-type") == [(f"Write {meant}", False) for meant in meanings]


# ------------------------------------------------------------------------------------------------- all together

_LINES = [
    "model_config:",
    "training_config:",
    "trainig_config:",
    "train:",
    "max_steps: 5000",
    "  num_heads: 4",
    "  num_heads: 8",
    "  num_head: 4",
    "  n_heads: 8",
    "  max_steps: 5000",
    "  max_steps: 6000  # long",
    "  max_step: 5000",
    "  save_interval: 500",
    "  checkpoint_frequency: 500",
    "  save_intervall: 600",
    "  seed: 1,5",
    "  temperature: 0,5",
    "  # why",
    "",
    "sampling_config: {seed: 5, max_steps: 7, }",
]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(_LINES), min_size=2, max_size=14))
def test_fixes_applied_together_make_nothing_worse(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    before = Counter(problem.code for problem in check(text).problems)
    if any(code.startswith("yaml-") for code in before):
        return  # what could not be read may hold anything
    after = Counter(problem.code for problem in check(_all_at_once(text)).problems)
    assert not any(code.startswith("yaml-") for code in after)
    assert after["duplicate-key"] <= before["duplicate-key"]
    assert after["contradicting-keys"] <= before["contradicting-keys"]
