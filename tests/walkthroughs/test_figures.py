"""Every figure on a page is computed here, or comes from a kept run."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.walkthroughs.pages import FOLDER, PAGES, ROOT, STEPS, page, without_kept_blocks
from trickster_engine import kept_runs
from trickster_engine.config import preset_names, preset_plan
from trickster_engine.data.prepare import held_out
from trickster_engine.estimates import count_parameters

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
    yield from (SHAKESPEARE, held_out(SHAKESPEARE, 0.1), SHAKESPEARE - held_out(SHAKESPEARE, 0.1))
    yield round(math.log(256), 3)
    yield from map(float, b"ROMEO:")


#: Figures that are not ours, and what they are.
QUOTED = {
    2022: "the year of the Chinchilla study",
    20: "its tokens for each parameter",
    11: "the parameters, in millions, of which the old lesson speaks",
    65: "the different characters of Shakespeare, counted in test_what_is_said_of_shakespeare",
    0.66: "a version of tt-metal",
    0.73: "a version of tt-metal",
    3.10: "the oldest Python",
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
    return float(tokens / (SHAKESPEARE - held_out(SHAKESPEARE, 0.1)))


@pytest.mark.skipif("TRICKSTER_CORPUS_DIR" not in os.environ, reason="wants Tiny Shakespeare in TRICKSTER_CORPUS_DIR")
def test_what_is_said_of_shakespeare() -> None:
    text = (Path(os.environ["TRICKSTER_CORPUS_DIR"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
    assert len(text) == SHAKESPEARE
    assert len(set(text)) == 65
    start = text[: SHAKESPEARE - held_out(SHAKESPEARE, 0.1)]
    assert "\nROMEO:\n" in start
    assert "\nJULIET:\n" in start
    assert "GHOST:" not in text
    assert "To be or not" not in text


# ------------------------------------------------------------------------------------------------------------ kept runs


@pytest.mark.parametrize("path", [*(FOLDER / f"{name}.md" for name in PAGES), ROOT / "README.md"], ids=lambda p: p.stem)
def test_kept_blocks_hold_what_the_kept_runs_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert kept_runs.render(text) == text, (
        "run: python -m trickster_engine.kept_runs render README.md walkthroughs/*.md"
    )
    for name, picture in kept_runs.pictures(text).items():
        assert (path.parent / "pictures" / name).read_text(encoding="utf-8") == picture


PICO = kept_runs.KEPT_FOLDER / "pico.json"


@pytest.mark.skipif(not PICO.exists(), reason="the pico run is not kept yet")
def test_the_kept_pico_run_bears_out_what_the_pages_say() -> None:
    kept = json.loads(PICO.read_text(encoding="utf-8"))
    curve = kept["curve"]
    assert curve[0]["step"] == 0
    # The loss falls fastest at the beginning.
    assert curve[0]["val_loss"] - curve[1]["val_loss"] > curve[1]["val_loss"] - curve[-1]["val_loss"]
    rows = {row["name"]: row["nats"] for row in kept["proof"]["rows"]}
    assert rows["this model"] < rows["trigram"] < rows["bigram"] < rows["unigram"] < rows["uniform"]
    texts = kept["proof"]["texts"]
    assert texts["random model"]["real_word_share"] < texts["this model"]["real_word_share"]
