"""What a good config becomes, and how names and values are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.engine.config.support import LESSON, codes_of, problems_of, underlined
from trickster_engine.config import (
    KEYS,
    SECTIONS,
    Plan,
    apply_edits,
    check,
    preset_names,
    preset_plan,
    preset_text,
    set_values,
)


def test_the_lessons_file_passes() -> None:
    result = check(LESSON)
    assert result.plan is not None
    assert {problem.severity for problem in result.problems} == {"hint"}
    assert [(problem.code, underlined(LESSON, problem)) for problem in result.problems] == [
        ("retired-key", "log_level"),
        ("other-name", "use_wandb"),
        ("doubled-key", "checkpoint_frequency"),
        ("doubled-key", "validation_frequency"),
        ("retired-key", "save_strategy"),
    ]
    plan = result.plan
    assert plan.model == Plan().model
    assert plan.device.device_type == "tt"
    assert plan.training.tracking == "none"
    assert (plan.data.train_data, plan.data.tokenizer) == ("data/train.pt", "data/tokenizer.pt")


def test_the_lessons_file_passes_where_its_files_are_missing(tmp_path: Path) -> None:
    result = check(LESSON, tmp_path)
    assert result.plan is not None
    assert [problem.code for problem in result.problems if problem.severity == "warning"] == ["corpus-not-found"] * 3


def test_the_lessons_file_tidied_by_its_fixes_means_the_same() -> None:
    text = LESSON
    while fixable := [problem for problem in check(text).problems if problem.fixes]:
        text = apply_edits(text, fixable[0].fixes[0].edits)
    result = check(text)
    assert result.problems == []
    assert result.plan == check(LESSON).plan


def test_the_lessons_two_chip_variant_passes() -> None:
    text = "device_config:\n  enable_ddp: True\n  mesh_shape: [1, 2]\n"
    text += "training_config:\n  batch_size: 32\n  gradient_accumulation_steps: 1\n"
    assert codes_of(text) == []


def test_every_key_can_be_given_its_default() -> None:
    for key in KEYS.values():
        if key.path == "sampling_config.prompt" or isinstance(key.default, str):
            value = f'"{key.default}"'
        elif key.default is None:
            value = "null"
        elif isinstance(key.default, bool):
            value = str(key.default).lower()
        else:
            value = str(list(key.default) if isinstance(key.default, tuple) else key.default)
        result = check(f"{key.section}:\n  {key.name}: {value}\n")
        assert result.plan is not None, (key.path, result.problems)
        assert not [problem for problem in result.problems if problem.severity != "hint"], (key.path, result.problems)
        section = getattr(result.plan, SECTIONS[key.section].attribute)
        assert getattr(section, key.name) == key.default
        assert type(getattr(section, key.name)) is type(key.default)


def test_every_example_is_a_good_value() -> None:
    for key in KEYS.values():
        for example in key.examples:
            text = list(example) if isinstance(example, tuple) else example
            found = check(f"{key.section}:\n  {key.name}: {text!r}\n").problems
            assert not [problem for problem in found if problem.code in ("wrong-type", "out-of-range", "unknown-value")]


def test_what_is_left_out_follows_what_is_given() -> None:
    plan = check("model_config:\n  num_heads: 4\ntraining_config:\n  learning_rate: 3e-4\n").plan
    assert plan is not None
    assert plan.model.num_kv_heads == 4
    assert plan.training.min_learning_rate == 3e-05
    assert dataclasses.replace(plan.model, num_heads=8, num_kv_heads=8) == Plan().model


def test_integers_for_numbers_become_floats() -> None:
    plan = check("training_config:\n  grad_clip: 1\n  max_steps: 1e4\n").plan
    assert plan is not None
    assert isinstance(plan.training.grad_clip, float)
    assert isinstance(plan.training.max_steps, int)


def test_an_empty_section_is_all_defaults() -> None:
    assert check("model_config:\ntraining_config: {}\n") == (Plan(), [])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hiden_dim", "hidden_dim"),
        ("hidden-dim", "hidden_dim"),
        ("HiddenDim", "hidden_dim"),
        ("hidden_size", "hidden_dim"),
        ("embedding_dim", "hidden_dim"),
        ("n_layer", "num_layers"),
        ("num_blocks", "num_layers"),
        ("num_groups", "num_kv_heads"),
        ("max_sequence_length", "max_seq_len"),
        ("theta", "rope_theta"),
    ],
)
def test_did_you_mean(name: str, meant: str) -> None:
    text = f"model_config:\n  {name}: 0\n"
    [problem] = problems_of(text, "unknown-key")
    assert problem.key == f"model_config.{meant}"
    assert problem.fixes[0].preferred
    assert apply_edits(text, problem.fixes[0].edits) == f"model_config:\n  {meant}: 0\n"
    # and the value is checked as the meant key's
    assert [each.key for each in check(text).problems if each.code == "out-of-range"] == [f"model_config.{meant}"]


def test_a_misspelt_section_is_checked_as_the_one_meant() -> None:
    text = "trainingconfig:\n  max_steps: 0\n"
    assert codes_of(text) == ["unknown-section", "out-of-range"]


def test_moving_a_misplaced_key_makes_its_section_if_there_is_none() -> None:
    text = "model_config:\n  hidden_dim: 128\n  learning_rate: 1e-3   # steep\n"
    [problem] = problems_of(text, "misplaced-key")
    assert apply_edits(text, problem.fixes[0].edits) == (
        "model_config:\n  hidden_dim: 128\ntraining_config:\n  learning_rate: 1e-3   # steep\n"
    )


def test_moving_a_key_in_a_config_that_is_indented_as_a_whole_keeps_it_valid() -> None:
    text = "  model_config:\n    hidden_dim: 128\n    learning_rate: 1e-3\n  sampling_config:\n    seed: 3\n"
    [problem] = problems_of(text, "misplaced-key")
    after = apply_edits(text, problem.fixes[0].edits)
    assert after == (
        "  model_config:\n    hidden_dim: 128\n  sampling_config:\n    seed: 3\n"
        "  training_config:\n    learning_rate: 1e-3\n"
    )
    assert check(after).problems == []


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (
            "model_config:\n  hidden_dim: 128\n  prompt: To be, or not\nsampling_config: {seed: 3}\n",
            'model_config:\n  hidden_dim: 128\nsampling_config: {seed: 3, prompt: "To be, or not"}\n',
        ),
        (
            "sampling_config: {seed: 3, }\nmodel_config:\n  temperature: 0.5\n  num_heads: 4\n",
            "sampling_config: {seed: 3, temperature: 0.5 }\nmodel_config:\n  num_heads: 4\n",
        ),
    ],
)
def test_a_key_moved_between_brackets_keeps_its_value(text: str, after: str) -> None:
    [problem] = problems_of(text, "misplaced-key")
    assert apply_edits(text, problem.fixes[0].edits) == after
    assert check(after).problems == []


@pytest.mark.parametrize(
    "text",
    [
        "model_config:\n  num_heads: &n 4\n  top_k: *n\n",  # behind a name that counts only further down
        "sampling_config: &s {seed: 3}\nmodel_config:\n  top_k: &n 4\n  num_heads: *n\n",
        "model_config:\n  top_k: 4\n<<: {sampling_config: {seed: 3}}\n",  # would hide the seed
        "x: &s {seed: 3}\nsampling_config: *s\nmodel_config:\n  top_k: 4\n  num_heads: 4\n",  # would change the alias
        "model_config:\n  top_k: 4\n  num_heads: 4\n---\nx: 1\n",  # would land in the second document
    ],
)
def test_a_key_is_not_moved_where_that_would_change_something_else(text: str) -> None:
    [problem] = problems_of(text, "misplaced-key")
    assert not [fix for fix in problem.fixes if fix.title.startswith("Move")]


def test_a_fix_adds_a_missing_key_where_its_section_is() -> None:
    text = "data_config:\n  tokenizer: bpe\nmodel_config:\n    num_layers: 4  # few\n\n"
    text += "training_config: {max_steps: 2000}\n"
    [problem] = problems_of(text, "vocabulary-too-small")
    assert apply_edits(text, problem.fixes[0].edits) == text.replace("# few\n", "# few\n    vocab_size: 1024\n")


def test_a_fix_writes_into_a_flow_mapping() -> None:
    text = "data_config: {tokenizer: bpe}\nmodel_config: {}\n"
    [problem] = problems_of(text, "vocabulary-too-small")
    assert (
        apply_edits(text, problem.fixes[0].edits) == "data_config: {tokenizer: bpe}\nmodel_config: {vocab_size: 1024}\n"
    )


def test_with_both_names_the_keys_own_value_counts() -> None:
    plan = check("training_config:\n  checkpoint_frequency: 500\n  save_interval: 500\n").plan
    assert plan is not None
    assert plan.training.save_interval == 500


def test_use_wandb_is_tracking() -> None:
    text = "training_config:\n  use_wandb: true\n"
    result = check(text)
    assert result.plan is not None
    assert result.plan.training.tracking == "wandb"
    [problem] = result.problems
    assert apply_edits(text, problem.fixes[0].edits) == "training_config:\n  tracking: wandb\n"


def test_heads_are_suggested_that_divide() -> None:
    [problem] = problems_of("model_config:\n  hidden_dim: 250\n  num_heads: 8\n", "heads-divide-dim")
    assert [fix.title for fix in problem.fixes] == [
        "Set num_heads to 5 (head_dim 50)",
        "Set num_heads to 25 (head_dim 10)",
        "Set hidden_dim to 256 (head_dim 32)",
        "Set hidden_dim to 240 (head_dim 30)",
    ]


def test_a_corpus_in_a_home_folder_or_with_odd_names_is_looked_up_safely(tmp_path: Path) -> None:
    for name in ("~nobody-of-that-name/x.txt", "x" * 5000, "a/../b", "..", "*?<>|"):
        check(f'data_config:\n  corpus: "{name}"\n', tmp_path)


def test_the_file_system_is_left_alone_without_a_folder() -> None:
    assert codes_of("data_config:\n  corpus: no/such/file.txt\n") == []


def test_a_folder_is_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x" * 700_000)
    assert codes_of("data_config:\n  corpus: texts\n", tmp_path) == []


@pytest.mark.parametrize("size", [567, 568, 569, 570, 571, 572, 573])
def test_a_corpus_is_long_enough_exactly_when_preparing_it_says_so(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.txt").write_text("x" * size)
    held_out = -(-size // 10)
    long_enough = size - held_out >= 513
    assert ("corpus-too-short" not in codes_of("data_config:\n  corpus: a.txt\n", tmp_path)) == long_enough


def small(folder: Path, text: str, **training: int) -> str:
    """What is said of so small a text under pico; empty where nothing is."""
    (folder / "diary.txt").write_text(text, encoding="utf-8")
    changes = {f"training_config.{key}": str(value) for key, value in training.items()}
    config = set_values(preset_text("pico"), {"data_config.corpus": "diary.txt", **changes})
    problems = problems_of(config, "corpus-small", folder)
    assert all(problem.severity == "warning" and problem.key == "data_config.corpus" for problem in problems)
    return problems[0].message if problems else ""


def test_a_diary_is_too_little_to_learn_writing_from(tmp_path: Path) -> None:
    """Where 165 characters are left to train on, they are read 1,500 x 16 x 128 / 165 times."""
    config = set_values(preset_text("pico"), {"data_config.corpus": "diary.txt", "data_config.val_fraction": "0.45"})
    (tmp_path / "diary.txt").write_text("é" * 184, encoding="utf-8")
    (problem,) = problems_of(config, "corpus-small", tmp_path)
    assert "has only 184 characters" in problem.message
    (tmp_path / "diary.txt").write_text("x" * 300, encoding="utf-8")  # 135 held out, 165 to train on
    (problem,) = problems_of(config, "corpus-small", tmp_path)
    assert (
        "18,618 epochs, and the model has 5,369 times as many parameters as the training part has characters"
        in problem.message
    )


def test_what_would_do_does(tmp_path: Path) -> None:
    assert "About 90,000 characters" in small(tmp_path, "x" * 85_000)
    assert small(tmp_path, "x" * 90_000) == ""


def test_a_small_text_that_is_not_read_often_is_no_matter_where_it_can_be_measured(tmp_path: Path) -> None:
    assert small(tmp_path, "x" * 9_000, max_steps=100, warmup_steps=10) == ""
    assert small(tmp_path, "x" * 9_000) != ""


@pytest.mark.parametrize(
    ("size", "share"), [(1_000, "0.13"), (1_280, "0.11"), (2_000, None), (1_290, None), (1_281, None)]
)
def test_validation_text_holds_one_sequence(tmp_path: Path, size: int, share: str | None) -> None:
    """Pico's sequences have 128 tokens, and a tenth of the text is for validation."""
    (tmp_path / "diary.txt").write_text("x" * size)
    config = set_values(preset_text("pico"), {"data_config.corpus": "diary.txt"})
    problems = problems_of(config, "validation-too-short", tmp_path)
    assert bool(problems) == (-(-size // 10) < 129) == (share is not None)
    if share is not None:
        assert [fix.title for fix in problems[0].fixes if fix.preferred] == [f"Set val_fraction to {share}"]
        fixed = set_values(config, {"data_config.val_fraction": share})
        assert problems_of(fixed, "validation-too-short", tmp_path) == []


def test_built_in_text_can_be_too_short_to_measure_on_as_well() -> None:
    config = set_values(preset_text("pico"), {"data_config.val_fraction": "0.0001"})
    (problem,) = problems_of(config, "validation-too-short")
    assert "gives 112 bytes of validation text" in problem.message


def test_a_file_is_not_both_trained_and_measured_on(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x" * 9_000)
    (tmp_path / "two.txt").write_text("y" * 100)
    config = set_values(preset_text("pico"), {"data_config.train_data": "one.txt", "data_config.val_data": "./one.txt"})
    (problem,) = problems_of(config, "validation-in-training", tmp_path)
    assert problem.severity == "error" and problem.key == "data_config.val_data"
    config = set_values(config, {"data_config.val_data": "two.txt"})
    (problem,) = problems_of(config, "validation-too-short", tmp_path)
    assert "has 100 bytes" in problem.message and [fix.title for fix in problem.fixes] == ["Set max_seq_len to 96"]


@pytest.mark.parametrize("name", ["shakespeare", "python"])
def test_a_folder_or_file_called_like_a_built_in_text_is_pointed_out(tmp_path: Path, name: str) -> None:
    config = set_values(preset_text("pico"), {"data_config.corpus": name})
    assert problems_of(config, "corpus-name-built-in", tmp_path) == []
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("x" * 90_000)
    (problem,) = problems_of(config, "corpus-name-built-in", tmp_path)
    assert "the built-in text" in problem.message and "A folder of that name" in problem.message
    assert [fix.title for fix in problem.fixes] == [f"Set corpus to ./{name} (the folder beside this config)"]
    assert problems_of(set_values(config, {"data_config.corpus": f"./{name}"}), "corpus-name-built-in", tmp_path) == []


def test_a_folder_without_text_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    for name in ("noending", ".hidden.txt", "photo.png", "empty.txt"):
        (tmp_path / "only" / name).write_text("" if name == "empty.txt" else "x")
    (problem,) = problems_of("data_config:\n  corpus: only\n", "corpus-no-text", tmp_path)
    said = "binary: photo.png; empty: empty.txt; hidden: .hidden.txt; no text file extension: noending."
    assert said in problem.message


def test_the_length_of_a_folder_is_told_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary/monday.txt").write_text("x" * 9_000)
    (problem,) = problems_of(set_values(preset_text("pico"), {"data_config.corpus": "diary"}), "corpus-small", tmp_path)
    assert "9,000 bytes" in problem.message


@pytest.mark.parametrize("name", preset_names())
def test_presets_have_no_problem(name: str) -> None:
    result = check(preset_text(name))
    assert result.problems == []
    assert result.plan == preset_plan(name)


def test_the_nano_preset_is_the_lessons_model() -> None:
    lesson, nano = check(LESSON).plan, preset_plan("nano")
    assert lesson is not None
    assert nano.model == lesson.model
    assert nano.training == lesson.training


def test_an_unknown_preset_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        preset_text("../plan")


def test_a_width_for_a_board_is_shared_out_among_the_heads() -> None:
    text = "model_config:\n  hidden_dim: 330\n  num_heads: 5\ndevice_config:\n  device_type: tt\n"
    fixes = [fix for problem in check(text).problems for fix in problem.fixes if fix.title.startswith("Set hidden_dim")]
    assert fixes
    for fix in fixes:
        assert not [each for each in check(apply_edits(text, fix.edits)).problems if each.severity == "error"], (
            fix.title
        )


@pytest.mark.parametrize(("size", "fraction", "cut"), [(100, 0.07, 7), (1_000, 0.003, 3), (50, 0.14, 7), (10, 0.3, 3)])
def test_validation_text_is_said_to_be_as_long_as_it_is_cut(
    tmp_path: Path, size: int, fraction: float, cut: int
) -> None:
    """In binary fractions 7% of 100 is a little more than 7, and would be rounded up to 8."""
    (tmp_path / "text.txt").write_text("a" * size)
    config = (
        "model_config:\n  max_seq_len: 2048\n"
        f"data_config:\n  corpus: text.txt\n  tokenizer: byte\n  val_fraction: {fraction}\n"
    )
    (problem,) = problems_of(config, "corpus-too-short", tmp_path)
    assert f"{size - cut:,} training tokens and {cut:,} validation tokens" in problem.message
