"""Every figure on a page is computed here, or comes from a kept run."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.walkthroughs.pages import FOLDER, PAGES, ROOT, STEPS, page, without_kept_blocks
from tools import recorded_runs
from tools.recorded_blocks import GOES_ON
from tools.recorded_picture import by_character, tokens_per_character
from tools.untrained import untrained_loss
from trickster_engine.config import check, preset_names, preset_plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.config.split import validation_size
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.findings import OVERLAP_REFUSED, OVERLAP_SAID
from trickster_engine.data.prepare import prepare
from trickster_engine.system.printable import printable_text

SHAKESPEARE = 1_115_394


def computed() -> Iterator[float]:
    """What the program itself says."""
    for name in preset_names():
        plan = preset_plan(name)
        parts = count_parameters(plan.model)
        yield from (parts.total, parts.per_block, parts.embedding, round(parts.total / 1e6, 1))
        for section in (plan.model, plan.training):
            yield from (value for value in vars(section).values() if isinstance(value, int | float))
    model = preset_plan("nano").model
    parts = count_parameters(model)
    yield from (parts.per_block * model.num_layers, 4 * model.hidden_dim**2, 3 * model.hidden_dim * model.mlp_dim)
    yield from (SHAKESPEARE, validation_size(SHAKESPEARE, 0.1), SHAKESPEARE - validation_size(SHAKESPEARE, 0.1))
    yield round(math.log(256), 3)
    yield from (100 * OVERLAP_SAID, 100 * OVERLAP_REFUSED)
    yield from map(float, b"ROMEO:")
    for margin, share in beyond_counting().values():
        yield from (round(margin, 3), round(100 * share, 1))


def beyond_counting() -> dict[str, tuple[float, float]]:
    """How far the recorded runs are below the best n-gram: in nats/character, and as a share of its loss."""
    margins = {}
    for name in ("pico", "best"):
        nats = nats_a_character(json.loads((recorded_runs.KEPT_FOLDER / f"{name}.json").read_text(encoding="utf-8")))
        counted = min(value for row, value in nats.items() if "model" not in row and "dynamic" not in row)
        assert counted == nats.get("7-gram", nats.get("byte 7-gram"))
        margins[name] = (counted - nats["this model"], 1 - nats["this model"] / counted)
    return margins


def nats_a_character(kept: dict[str, Any]) -> dict[str, float]:
    """The rows of the proof of a recorded run."""
    share = tokens_per_character(kept, "val")
    return {row["name"]: row["nats"] * share for row in kept["proof"]["rows"]}


#: Figures that are not ours, and what they are.
QUOTED = {
    2.7: "e",
    2022: "the year of the Chinchilla study",
    20: "its tokens for each parameter",
    11: "the parameters, in millions, of which the old lesson speaks",
    65: "the different characters of Shakespeare, counted in test_what_is_said_of_shakespeare",
    0.66: "a version of tt-metal",
    0.73: "a version of tt-metal",
    3.10: "the oldest Python",
    0.001: "how near KenLM comes, in tests/engine/interop/test_kenlm.py",
    0.004: "half of what bfloat16 can tell apart below 1, rounded",
    1.5: "a temperature to try",
    0.5: "a temperature to try",
    0.2: "a dropout to try",
    200: "steps of a very short run",
    100: "percent",
    1024: "a context to try",
    2048: "a context to try",
}


@pytest.mark.parametrize("name", PAGES)
def test_every_figure_of_a_page_is_tied(name: str) -> None:
    text = re.sub(r"```.*?```|\]\([^)]*\)", "", without_kept_blocks(page(name)), flags=re.DOTALL)
    known = {*computed(), *QUOTED}
    for figure in re.findall(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w.]*-rc)", text):
        value = float(figure.replace(",", ""))
        # Small whole numbers count things on the page itself, or are settings to try.
        assert value in known or (value < 50 and value == int(value)), f"{figure} in {name}.md"


@pytest.mark.parametrize("name", STEPS)
def test_every_figure_of_a_picture_is_tied(name: str) -> None:
    text = (FOLDER / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    shown = " ".join(a or b for a, b in re.findall(r"<text[^>]*>([^<]*)</text>|<desc[^>]*>([^<]*)</desc>", text))
    known = {*computed(), *QUOTED}
    for figure in re.findall(r"(?<![\w.;\u00b7])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", shown):
        value = float(figure.replace(",", ""))
        assert value in known or round(value) in {round(k) for k in known} or value < 50, f"{figure} in {name}.svg"


def test_the_lesson_s_golden_numbers() -> None:
    nano = count_parameters(preset_plan("nano").model)
    assert (nano.total, nano.per_block, nano.embedding) == (5_180_672, 852_480, 65_536)
    assert count_parameters(preset_plan("pico").model).total == 885_888
    assert round(math.log(256), 3) == 5.545
    pico, nano_plan = preset_plan("pico"), preset_plan("nano")
    assert 3 < _times_over(pico) < 10  # "several times over"
    assert 100 < _times_over(nano_plan) < 200  # "more than a hundred times"


def _times_over(plan: Any) -> float:
    training = plan.training
    tokens = training.batch_size * training.gradient_accumulation_steps * plan.model.max_seq_len * training.max_steps
    return float(tokens / (SHAKESPEARE - validation_size(SHAKESPEARE, 0.1)))


@pytest.mark.skipif("TRICKSTER_CORPUS_DIR" not in os.environ, reason="wants Tiny Shakespeare in TRICKSTER_CORPUS_DIR")
def test_what_is_said_of_shakespeare() -> None:
    text = (Path(os.environ["TRICKSTER_CORPUS_DIR"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    assert len(text) == SHAKESPEARE
    assert len(set(text)) == 65
    start = text[: SHAKESPEARE - validation_size(SHAKESPEARE, 0.1)]
    assert "\nROMEO:\n" in start
    assert "\nJULIET:\n" in start
    assert "GHOST:" not in text
    assert "To be or not" not in text


# ------------------------------------------------------------------------------------------------------------ kept runs


@pytest.mark.parametrize(
    "path",
    [*(FOLDER / f"{name}.md" for name in PAGES), ROOT / "README.md", ROOT / "docs/speed.md"],
    ids=lambda p: p.stem,
)
def test_kept_blocks_hold_what_the_kept_runs_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert recorded_runs.render(text) == text, "run: make generate"
    for name, picture in recorded_runs.pictures(text).items():
        assert (path.parent / "pictures" / name).read_text(encoding="utf-8") == picture


def test_lines_of_samples_that_are_broken_are_the_model_s_again_without_our_marks() -> None:
    text = page("watch")
    kept = json.loads(PICO.read_text(encoding="utf-8"))
    first = printable_text((kept["samples"][0]["prompt"] + kept["samples"][0]["text"])[:160]).rstrip()
    shown = re.findall(r"```text\n(.*?)\n```", text, flags=re.DOTALL)
    assert shown[0].replace(f"\n{GOES_ON}", "") == first
    assert f"\n{GOES_ON}" in shown[0]
    assert f"{GOES_ON} marks a line that continues the one above" in text


RANDOM = recorded_runs.KEPT_FOLDER / "random.json"


def test_the_random_baselines_are_those_of_the_presets_and_of_the_kept_run() -> None:
    random = json.loads(RANDOM.read_text(encoding="utf-8"))
    assert set(random["models"]) == set(recorded_runs.RANDOM_PRESETS)
    for name, kept in random["models"].items():
        plan = preset_plan(name)
        assert kept["model"] == dataclasses.asdict(plan.model)
        assert kept["parameters"] == count_parameters(plan.model).total
        assert kept["losses"][0]["seed"] == plan.training.seed
        # "A fresh model must start near it."
        assert all(abs(row["nats"] - math.log(256)) < 0.1 for row in kept["losses"])
    rows = {row["name"]: row["nats"] for row in json.loads(PICO.read_text(encoding="utf-8"))["proof"]["rows"]}
    for row in random["counting"]:
        assert row["nats"] == pytest.approx(rows[row["name"]], abs=1e-6)
    assert random["models"]["pico"]["losses"][0]["nats"] == pytest.approx(rows["random model"], abs=1e-3)


@pytest.mark.skipif("TRICKSTER_CORPUS_DIR" not in os.environ, reason="wants Tiny Shakespeare in TRICKSTER_CORPUS_DIR")
def test_the_random_baselines_can_be_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path))
    random = json.loads(RANDOM.read_text(encoding="utf-8"))
    plan = preset_plan("pico")
    dataset = prepare(plan, tmp_path, progress=False)
    assert dataset.fingerprint == random["data"]["fingerprint"]
    for kept, counted in zip(random["counting"], ngram_baselines(dataset), strict=True):
        assert counted.name == kept["name"]
        assert counted.nats == pytest.approx(kept["nats"], abs=1e-6)
    kept = random["models"]["pico"]["losses"][0]
    assert untrained_loss(plan, dataset, kept["seed"]) == pytest.approx(kept["nats"], abs=1e-3)


PICO = recorded_runs.KEPT_FOLDER / "pico.json"


@pytest.mark.parametrize("name", ["nano", "best"])
def test_a_kept_run_is_of_its_preset(name: str) -> None:
    kept = recorded_runs.read_kept(name)
    assert kept is not None
    plan, preset = check(kept["config"]).plan, preset_plan(name)
    assert plan is not None
    assert plan.model == preset.model
    # How often it was saved changes nothing that it learned.
    assert dataclasses.replace(plan.training, save_interval=preset.training.save_interval) == preset.training
    assert kept["parameters"] == count_parameters(preset.model).total
    curve = kept["curve"]
    assert curve[0]["step"] == 0
    assert kept["seconds"] > 0
    rows = {row["name"]: row["nats"] for row in kept["proof"]["rows"]}
    assert rows["this model"] == pytest.approx(min(point["val_loss"] for point in curve), abs=1e-3)
    assert rows["this model"] < rows["random model"]


def test_best_is_lower_on_held_out_text_than_nano_ever_was() -> None:
    nano, best = recorded_runs.read_kept("nano"), recorded_runs.read_kept("best")
    assert nano is not None
    assert best is not None
    lowest = min(point["val_loss"] for point in by_character(best))
    assert lowest < min(point["val_loss"] for point in by_character(nano))
    assert best["parameters"] < nano["parameters"]
    assert "Its recorded run reached a lower loss\n   than nano's." in page("scale")


def test_how_far_the_kept_runs_are_beyond_counting() -> None:
    margins, words = beyond_counting(), " ".join(page("compare").split())
    margin, share = margins["pico"]
    assert f"The recorded pico is {margin:.3f} nats/token ({100 * share:.1f} %) below the 7-gram" in words
    assert f"the recorded run of `best` is {margins['best'][0]:.3f} below" in words
    kept = json.loads(PICO.read_text(encoding="utf-8"))
    assert f"{kept['parameters']:,} numbers" in words
    rows = {row["name"]: row["nats"] for row in kept["proof"]["rows"]}
    trigram, best = (
        next(point["step"] for point in kept["curve"] if point["val_loss"] < rows[name])
        for name in ("trigram", "7-gram")
    )
    assert f"below trigram at step {trigram:,}, and below the 7-gram only at step {best:,}" in words
    watch = " ".join(page("watch").split())
    assert f"below trigram by its second sample, at step {trigram:,}, and below the best n-gram, 7-gram" in watch
    assert f"only at its last, step {best:,}." in watch
    assert best == kept["curve"][-1]["step"]


def test_the_kept_runs_bear_out_what_is_said_of_counting() -> None:
    """The page `counting.md`: where pico is ahead of the best n-gram, where behind, and what a dynamic one does."""
    pico, best = (
        json.loads((recorded_runs.KEPT_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("pico", "best")
    )
    counting = pico["counting"]
    assert counting["model_mean"] < counting["ngram_mean"]
    ends = [case["token"] for case in counting["wins"] if not case["token"].isalnum()]
    assert len(ends) > len(counting["wins"]) / 2, "a line or a sentence ends"
    inside = [case["token"] for case in counting["losses"] if case["token"].isalpha()]
    assert len(inside) > len(counting["losses"]) / 2, "inside rare words"
    few = [row["model"] - row["ngram"] for row in counting["by_familiarity"][:-1]]
    assert min(few) < 0 < max(few), "ahead in some rows and behind in others"
    of_pico, of_best = nats_a_character(pico), nats_a_character(best)
    dynamic = of_pico["7-gram, dynamic"]
    assert dynamic < of_pico["this model, strided"] < of_pico["this model"]
    assert of_best["this model"] < dynamic
    assert round(best["parameters"] / pico["parameters"]) == 3


def test_the_kept_pico_run_bears_out_what_the_pages_say() -> None:
    kept = json.loads(PICO.read_text(encoding="utf-8"))
    curve = kept["curve"]
    assert curve[0]["step"] == 0
    # The loss falls fastest at the beginning.
    assert curve[0]["val_loss"] - curve[1]["val_loss"] > curve[1]["val_loss"] - curve[-1]["val_loss"]
    rows = {row["name"]: row["nats"] for row in kept["proof"]["rows"]}
    assert rows["this model"] < rows["7-gram"] < rows["trigram"] < rows["bigram"] < rows["unigram"] < rows["uniform"]
    texts = kept["proof"]["texts"]
    assert texts["random model"]["real_word_share"] < texts["this model"]["real_word_share"]


def test_the_two_beginnings_had_the_same_budget_and_one_of_them_other_text() -> None:
    kept = recorded_runs.read_kept("beginnings")
    assert kept is not None
    plans = {name: check(kept[name]["config"]).plan for name in ("base", "scratch", "tuned")}
    base, scratch, tuned = (plans[name] for name in ("base", "scratch", "tuned"))
    assert base is not None and scratch is not None and tuned is not None
    assert tuned.model.init_from is not None
    assert dataclasses.replace(tuned, model=dataclasses.replace(tuned.model, init_from=None)) == scratch
    steps = scratch.training.max_steps
    preset = preset_plan("pico")
    short = dataclasses.replace(preset.training, max_steps=steps, eval_interval=scratch.training.eval_interval)
    assert scratch == dataclasses.replace(preset, training=short)
    assert (base.data.corpus, scratch.data.corpus) == ("python", "shakespeare")
    assert base.model == scratch.model
    assert kept["parameters"] == count_parameters(preset.model).total
    losses = {name: {p["step"]: p["val_loss"] for p in kept[name]["curve"]} for name in ("scratch", "tuned")}
    assert losses["scratch"].keys() == losses["tuned"].keys() and max(losses["tuned"]) == steps
    assert kept["base"]["steps"] == base.training.max_steps
    assert losses["scratch"][0] == pytest.approx(math.log(256), abs=0.1)
    assert all(losses["tuned"][step] < loss for step, loss in losses["scratch"].items())
