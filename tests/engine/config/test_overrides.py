"""`--set` changes one value and nothing else."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.config.support import LESSON, codes_of
from trickster_engine.config import KEYS, OverrideError, Plan, check, parse, preset_names, preset_text, set_values
from trickster_engine.config.overrides import with_fitting_warmup
from trickster_engine.config.yaml.nodes import Mapping


def _changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def _plan(text: str) -> Plan:
    result = check(text)
    assert result.plan is not None, result.problems
    return result.plan


@pytest.mark.parametrize("indent", ["", "  "])
@pytest.mark.parametrize(("value", "meant"), [("c", "c"), ("[c, d]", ("c", "d"))])
def test_a_list_below_its_key_is_replaced(indent: str, value: str, meant: object) -> None:
    text = f"training_config:\n  distill_from:\n  {indent}- a\n  {indent}- b\n  seed: 3\n"
    training = _plan(set_values(text, {"training_config.distill_from": value})).training
    assert (training.distill_from, training.seed) == (meant, 3)


def test_a_value_is_replaced_in_place() -> None:
    after = set_values(preset_text("nano"), {"training_config.max_steps": "20000"})
    assert _changed_lines(preset_text("nano"), after) == ["-   max_steps: 10000", "+   max_steps: 20000"]


def test_a_comment_behind_the_value_stays() -> None:
    after = set_values("model_config:\n  hidden_dim: 256   # wide\n", {"model_config.hidden_dim": "128"})
    assert after == "model_config:\n  hidden_dim: 128   # wide\n"


def test_a_missing_key_joins_its_section() -> None:
    text = "model_config:\n    num_layers: 4 # few\n\ntraining_config:\n  max_steps: 5000\n"
    after = set_values(text, {"model_config.num_heads": "4", "training_config.seed": "7"})
    assert after == (
        "model_config:\n    num_layers: 4 # few\n    num_heads: 4\n\ntraining_config:\n  max_steps: 5000\n  seed: 7\n"
    )


def test_a_missing_section_is_made() -> None:
    assert set_values("", {"sampling_config.seed": "7"}) == "sampling_config:\n  seed: 7\n"
    assert set_values("model_config:\n  num_layers: 4", {"sampling_config.seed": "7"}) == (
        "model_config:\n  num_layers: 4\nsampling_config:\n  seed: 7\n"
    )
    assert set_values("model_config:  # none\n", {"model_config.num_layers": "7"}) == (
        "model_config:  # none\n  num_layers: 7\n"
    )


def test_carriage_returns_stay() -> None:
    after = set_values("model_config:\r\n  num_layers: 4\r\n", {"model_config.num_heads": "4"})
    assert after == "model_config:\r\n  num_layers: 4\r\n  num_heads: 4\r\n"


def test_a_key_under_another_name_gets_its_own() -> None:
    after = set_values("training_config:\n  use_wandb: false\n", {"training_config.tracking": "tensorboard"})
    assert after == "training_config:\n  tracking: tensorboard\n"
    doubled = set_values("training_config:\n  checkpoint_frequency: 9\n", {"save_interval": "500"})
    assert _plan(doubled).training.save_interval == 500


def test_the_lessons_doubled_keys_stay_in_step() -> None:
    after = set_values(LESSON, {"training_config.save_interval": "700"})
    assert _plan(after).training.save_interval == 700
    assert "checkpoint_frequency: 700" in after


def test_a_bare_name_is_enough_where_one_section_has_it() -> None:
    assert _plan(set_values("", {"hidden_dim": "128"})).model.hidden_dim == 128
    with pytest.raises(OverrideError, match=r"training_config\.seed or sampling_config\.seed"):
        set_values("", {"seed": "1"})


@pytest.mark.parametrize(
    "prompt",
    ["JULIET:", "a: b", "yes", "12", " ", "# no", "it's", 'say "hi"', "back\\slash", "two\nlines", "-", "\ufeff"],
)
def test_texts_are_quoted_where_they_must_be(prompt: str) -> None:
    assert _plan(set_values(preset_text("nano"), {"sampling_config.prompt": prompt})).sampling.prompt == prompt


def test_an_empty_text_is_written_as_one() -> None:
    text = set_values("", {"sampling_config.prompt": ""})
    assert text == 'sampling_config:\n  prompt: ""\n'


def test_a_quoted_text_keeps_its_quotes() -> None:
    assert _plan(set_values("", {"sampling_config.prompt": '"12"'})).sampling.prompt == "12"


def test_null_takes_a_path_away() -> None:
    text = set_values(LESSON, {"data_config.train_data": "null", "data_config.val_data": "null", "tokenizer": "byte"})
    assert _plan(text).data.train_data is None


def test_lists_are_written_as_lists() -> None:
    text = set_values(
        "device_config:\n  mesh_shape:\n    - 1\n    - 1\n", {"mesh_shape": "[1, 2]", "enable_ddp": "true"}
    )
    assert _plan(text).device.mesh_shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("training_config.max_step", "Did you mean training_config.max_steps?"),
        ("max_step", "Did you mean training_config.max_steps?"),
        ("model.hidden_dim", "Did you mean model_config.hidden_dim?"),
        ("zebra", "There is no key zebra."),
    ],
)
def test_an_unknown_name_is_refused(name: str, says: str) -> None:
    with pytest.raises(OverrideError) as caught:
        set_values("", {name: "1"})
    assert says in str(caught.value)


def test_an_unreadable_text_is_refused() -> None:
    with pytest.raises(OverrideError, match="line 1"):
        set_values("model_config: [\n", {"hidden_dim": "1"})
    with pytest.raises(OverrideError, match="by hand"):
        set_values("- a\n- b\n", {"hidden_dim": "1"})


def test_a_value_that_others_refer_to_is_not_torn_away() -> None:
    text = "model_config:\n  num_heads: &heads 4\n  num_kv_heads: *heads\n"
    with pytest.raises(OverrideError, match="by hand"):
        set_values(text, {"num_heads": "8"})
    assert _plan(set_values(text, {"num_kv_heads": "2"})).model.num_kv_heads == 2


def test_a_key_that_comes_from_elsewhere_is_given_here() -> None:
    text = "model_config:\n  <<: {num_layers: 3}\n  num_heads: 4\n"
    assert _plan(set_values(text, {"num_layers": "2"})).model.num_layers == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{max_steps: 100, }", "{max_steps: 100, seed: 7 }"),
        ("{max_steps: 100,}", "{max_steps: 100, seed: 7}"),
        ("{max_steps: 100 }", "{max_steps: 100, seed: 7 }"),
        ("{}", "{seed: 7}"),
        ("{ }", "{ seed: 7}"),
        ("{ # none, yet\n  }", "{ # none, yet\n  seed: 7}"),
        ("{max_steps: 100, # a, b\n  }", "{max_steps: 100, seed: 7 # a, b\n  }"),
        ("{max_steps: 100,# a, b\n  }", "{max_steps: 100, seed: 7 # a, b\n  }"),
        ("{max_steps: 100 # a, b\n  }", "{max_steps: 100, seed: 7 # a, b\n  }"),
        ("{max_steps: 100\n  , }", "{max_steps: 100\n  , seed: 7 }"),
        ("{loss: 'a,', }", "{loss: 'a,', seed: 7 }"),
        ("{loss: 'a #,' }", "{loss: 'a #,', seed: 7 }"),
        (
            "{\n  max_steps: 100,\n  loss: focal, # a, b\n}",
            "{\n  max_steps: 100,\n  loss: focal, # a, b\n  seed: 7,\n}",
        ),
        ("{\n  max_steps: 100,\n  loss: focal # a, b\n}", "{\n  max_steps: 100,\n  loss: focal, # a, b\n  seed: 7\n}"),
        ("{\n  max_steps: 100,\n  # more, soon\n}", "{\n  max_steps: 100,\n  seed: 7,\n  # more, soon\n}"),
        ("{\n  max_steps: 100 # first\n  ,\n}", "{\n  max_steps: 100 # first\n  , seed: 7\n}"),
        ("{<<: [{max_steps: 100}], }", "{<<: [{max_steps: 100}], seed: 7 }"),
        ("{<<: {max_steps: 100}}", "{<<: {max_steps: 100}, seed: 7}"),
        ("{max_steps: , }", "{max_steps: , seed: 7 }"),
        ("{max_steps}", "{max_steps, seed: 7}"),
        ("{seed}", "{seed: 7}"),
        ("{seed: , max_steps: 100}", "{seed: 7 , max_steps: 100}"),
    ],
)
def test_a_key_joins_a_section_between_brackets(before: str, after: str) -> None:
    result = set_values(f"training_config: {before}\n", {"training_config.seed": "7"})
    assert result == f"training_config: {after}\n"
    document = parse(result)
    assert document.problems == []
    assert codes_of(result).count("duplicate-key") == 0
    [section] = document.sections()
    assert isinstance(section.value, Mapping)
    assert [entry.value.value for entry in section.value.entries if entry.key.text == "seed"] == [7]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{sampling_config: {top_k: 4, }, }", "{sampling_config: {top_k: 4, temperature: 0.5 }, }"),
        ("{model_config: {num_heads: 4}, }", "{model_config: {num_heads: 4}, sampling_config: {temperature: 0.5} }"),
        ("{sampling_config}", "{sampling_config: {temperature: 0.5}}"),
        ("{sampling_config: , }", "{sampling_config: {temperature: 0.5} , }"),
        ("{sampling_config: null}", "{sampling_config: {temperature: 0.5}}"),
    ],
)
def test_a_section_joins_a_config_between_brackets(before: str, after: str) -> None:
    result = set_values(before, {"temperature": "0.5"})
    assert result == after
    assert _plan(result).sampling.temperature == 0.5


def test_a_key_joins_no_alias() -> None:
    with pytest.raises(OverrideError, match="by hand"):
        set_values("x: &s {top_k: 4}\nsampling_config: *s\n", {"temperature": "0.5"})


@pytest.mark.parametrize("value", ["1,000", "5}", "5 # five", "5, seed: 3", "a: b", "[1", "5\nseed: 3", '"5'])
@pytest.mark.parametrize("text", ["", "training_config: {batch_size: 8}\n", "training_config: {max_steps: 8}\n"])
def test_a_value_does_not_run_into_what_stands_beside_it(value: str, text: str) -> None:
    result = set_values(text, {"max_steps": value})
    document = parse(result)
    assert document.problems == []
    [section] = document.sections()
    assert isinstance(section.value, Mapping)
    assert {entry.key.text for entry in section.value.entries} <= {"batch_size", "max_steps"}


def test_a_config_that_is_indented_as_a_whole_stays_so() -> None:
    text = "  # mine\n  model_config:\n    num_layers: 4\n"
    result = set_values(text, {"temperature": "0.5"})
    assert result == text + "  sampling_config:\n    temperature: 0.5\n"
    assert _plan(result).sampling.temperature == 0.5
    assert set_values("  model_config:\n", {"num_layers": "4"}) == "  model_config:\n    num_layers: 4\n"
    marked = "\ufeffmodel_config:\n  num_layers: 4\n"
    assert set_values(marked, {"temperature": "0.5"}) == marked + "sampling_config:\n  temperature: 0.5\n"


def test_sections_in_different_columns_are_refused_with_the_reason() -> None:
    text = "  model_config:\n    num_layers: 4\ntraining_config:\n  max_steps: 5000\n"
    with pytest.raises(OverrideError, match=r"line 3: .*same column"):
        set_values(text, {"max_steps": "9"})


@settings(deadline=None)
@given(
    st.sampled_from(preset_names()),
    st.sampled_from(sorted(KEYS)),
    st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(repr), st.just("[1, 2]")),
)
def test_whatever_is_set_leaves_the_rest_alone(name: str, path: str, value: str) -> None:
    before = _plan(preset_text(name))
    try:
        after = set_values(preset_text(name), {path: value})
    except OverrideError:
        return
    result = check(after)
    if result.plan is None:
        return  # a bad value; check says so
    for section in ("model", "training", "device", "data", "output", "sampling"):
        old, new = vars(getattr(before, section)), vars(getattr(result.plan, section))
        changed = {key for key in old if old[key] != new[key]}
        allowed = {path.split(".")[1]}
        if path == "model_config.num_heads":
            allowed.add("num_kv_heads")
        if path == "training_config.learning_rate":
            allowed.add("min_learning_rate")
        assert changed <= (allowed if path.startswith(section) else set())


def test_a_shortened_run_gets_a_warm_up_that_fits() -> None:
    overrides = {"training_config.max_steps": "200"}
    shortened = set_values(preset_text("nano"), overrides)
    assert check(shortened).plan is None
    fitted, said = with_fitting_warmup(shortened, overrides)
    assert (_plan(fitted).training.warmup_steps, _plan(fitted).training.max_steps) == (20, 200)
    assert said is not None
    assert "20" in said


@pytest.mark.parametrize(
    "overrides",
    [
        {"training_config.max_steps": "2000"},  # still longer than nano's warm-up
        {"training_config.max_steps": "200", "training_config.warmup_steps": "500"},  # somebody has set both
        {"training_config.seed": "1"},
    ],
)
def test_a_warm_up_that_fits_or_was_set_is_left_alone(overrides: dict[str, str]) -> None:
    text = set_values(preset_text("nano"), overrides)
    assert with_fitting_warmup(text, overrides) == (text, None)
