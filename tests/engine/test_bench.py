"""`trickster bench`: its figures hang together, and a rival in a folder takes turns."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engine.conftest import trickster
from tests.refusals import refused
from tools.bench_page import render
from trickster_engine.bench.measure import Spread, measure
from trickster_engine.bench.nanogpt import CPU_RECIPE, NanoGPT
from trickster_engine.bench.peak import matrix_peak
from trickster_engine.bench.race import Reading, Result, lead, run_nanogpt, run_ours
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.prepare import prepare
from trickster_engine.estimates.compute import count_compute

SMALL = {
    "model_config.hidden_dim": "32",
    "model_config.mlp_dim": "64",
    "model_config.num_layers": "2",
    "model_config.max_seq_len": "32",
    "training_config.batch_size": "4",
    "training_config.max_steps": "40",
    "training_config.warmup_steps": "4",
    "training_config.eval_interval": "20",
    "training_config.precision": "fp32",
    "device_config.device_type": "cpu",
    "data_config.corpus": "text.txt",
}

# A language model with the interface of nanoGPT's model.py, and nothing else in common with it: bigrams.
BIGRAM_MODEL = """
from dataclasses import dataclass
import torch
from torch import nn
from torch.nn import functional as F

@dataclass
class GPTConfig:
    block_size: int = 8
    vocab_size: int = 8
    n_layer: int = 1
    n_head: int = 1
    n_embd: int = 8
    dropout: float = 0.0
    bias: bool = True

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.table = nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, x, y=None):
        logits = self.table(x)
        return logits, None if y is None else F.cross_entropy(logits.flatten(0, 1), y.flatten())

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        return torch.optim.AdamW(self.parameters(), lr=learning_rate, betas=betas)

    def generate(self, x, count, temperature=1.0, top_k=None):
        for _ in range(count):
            x = torch.cat((x, self(x)[0][:, -1:].argmax(-1)), dim=1)
        return x
"""


def small_plan() -> Plan:
    plan = check(set_values(preset_text("pico"), SMALL)).plan
    assert plan is not None
    return plan


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "model.py").write_text(BIGRAM_MODEL)
    return folder


def test_the_figures_hang_together() -> None:
    plan = small_plan()
    figures = measure(plan, "cpu", updates=3, repeats=1)
    step = tokens_per_step(plan) / figures.tokens_per_s.median
    phases = sum(spread.median for spread in figures.phases_s.values())
    assert set(figures.phases_s) == {"data", "forward", "backward", "optimizer", "other"}
    assert all(spread.lowest >= 0 for name, spread in figures.phases_s.items() if name != "other")
    assert phases == pytest.approx(step)
    peak = figures.machine["peak_flops"]["fp32"]
    assert figures.utilisation == pytest.approx(count_compute(plan).per_step / step / peak)
    assert 0 < figures.utilisation < 1
    assert figures.config["parameters"] == 28_832
    json.dumps(figures.as_json())


def test_the_peak_is_of_products() -> None:
    assert matrix_peak(torch.device("cpu"), torch.float32) > 1e9


def test_a_spread_is_of_its_readings() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_a_rival_takes_turns(checkout: Path) -> None:
    against = measure(small_plan(), "cpu", updates=2, repeats=3, nanogpt=checkout).against
    assert against is not None and against["parameters"] == 256 * 256
    for name in ("times_as_fast", "times_as_fast_sampling"):
        assert 0 < against[name]["lowest"] <= against[name]["median"] <= against[name]["highest"]


def test_the_rival_learns_by_its_recipe_and_is_measured_on_all_held_out_text(checkout: Path) -> None:
    tokens = np.tile(np.arange(8, dtype=np.uint16), 600)
    rival = NanoGPT(
        checkout,
        {"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 16},
        8,
        CPU_RECIPE.training,
        torch.device("cpu"),
    )
    before = rival.evaluate(tokens, rows=7)
    assert before == pytest.approx(rival.evaluate(tokens, rows=64), rel=1e-6)
    for step in range(150):
        rival.update(tokens, step)
    assert rival.evaluate(tokens) < before - 0.05


def test_a_race_stops_at_the_target_or_at_the_end(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 400)
    plan = small_plan()
    dataset = prepare(plan, tmp_path, progress=False)
    seen: list[int] = []
    early = run_ours(plan, dataset, "cpu", 5.5, lambda reading: seen.append(reading.step))
    assert early.reached is not None and early.reached.step == 20 == seen[-1]
    assert early.reached.characters == 20 * 4 * 32
    late = run_ours(plan, dataset, "cpu", 0.0, lambda reading: None)
    assert late.reached is None and [reading.step for reading in late.readings] == [20, 40]
    assert late.readings[1].val_loss < late.readings[0].val_loss
    theirs = run_nanogpt(checkout, dataset, "cpu", 0.0, lambda reading: None)
    assert [reading.step for reading in theirs.readings] == list(range(100, 2001, 100))
    assert theirs.readings[-1].val_loss < theirs.readings[0].val_loss


def test_a_race_is_measured_in_nats_a_character_whatever_the_tokenizer(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("So fair and foul a day I have not seen, señor.\n" * 400, encoding="utf-8")
    by_tokenizer = {}
    for tokenizer, vocabulary in (("byte", 256), ("bpe", 300)):
        changes = {"model_config.vocab_size": str(vocabulary), "data_config.tokenizer": tokenizer}
        shortest = {"training_config.max_steps": "1", "training_config.warmup_steps": "0"}
        plan = check(set_values(preset_text("pico"), {**SMALL, **changes, **shortest})).plan
        assert plan is not None
        dataset = prepare(plan, tmp_path, progress=False)
        (reading,) = run_ours(plan, dataset, "cpu", 0.0, lambda reading: None).readings
        # After one small update it still guesses among all tokens alike.
        assert reading.val_loss == pytest.approx(math.log(vocabulary) / dataset.characters_per_token, rel=0.05)
        assert reading.characters == round(4 * 32 * dataset.train_characters / len(dataset.train))
        theirs = run_nanogpt(checkout, dataset, "cpu", 9.0, lambda reading: None)
        by_tokenizer[tokenizer] = theirs.readings[-1].val_loss
    assert by_tokenizer["byte"] == by_tokenizer["bpe"], "it reads characters, whatever we read"


def test_a_race_counts_the_learning_of_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text("So fair and foul a day I have not seen.\n" * 400)
    changes = {"model_config.vocab_size": "300", "data_config.tokenizer": "bpe", "training_config.max_steps": "1"}
    plan = check(set_values(preset_text("pico"), {**SMALL, **changes, "training_config.warmup_steps": "0"})).plan
    assert plan is not None
    dataset = prepare(plan, tmp_path, progress=False)
    now = 0.0

    def learned(chunks: list[str], vocab_size: int) -> None:
        nonlocal now
        assert ("".join(chunks), vocab_size) == (dataset.train_text(), 300)
        now += 9.0

    monkeypatch.setattr("trickster_engine.bench.race.train_bpe", learned)
    monkeypatch.setattr("trickster_engine.bench.race.time.perf_counter", lambda: now)
    (reading,) = run_ours(plan, dataset, "cpu", 0.0, lambda reading: None).readings
    assert reading.seconds == 9.0


def test_a_folder_without_nanogpt_is_explained(tmp_path: Path) -> None:
    with refused("not-nanogpt"):
        measure(small_plan(), "cpu", updates=1, repeats=1, nanogpt=tmp_path)


def test_the_command_prints_figures_and_json(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(set_values(preset_text("pico"), SMALL))
    told = trickster("bench", str(config), "--updates", "1", "--repeats", "1")
    assert told.returncode == 0 and "tokens/s" in told.stdout and "GFLOP/s" in told.stdout
    printed = trickster("bench", str(config), "--updates", "1", "--repeats", "1", "--json")
    assert json.loads(printed.stdout)["config"]["tokens_per_step"] == 128
    wrong = trickster("bench", str(config), "--repeats", "0")
    assert wrong.returncode == 1 and "must be at least 1" in wrong.stderr
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 400)
    race = trickster("bench", str(config), "--until", "5.5", "--repeats", "2", "--json")
    run = json.loads(race.stdout)
    (other,) = run["other_seeds"]
    assert other["reached"] and other["readings"][0]["val_loss"] != run["ours"]["readings"][0]["val_loss"]
    race = trickster("bench", str(config), "--until", "5.5")
    assert race.returncode == 0 and "of training" in race.stdout


def test_a_rival_that_never_arrives_gives_a_lower_bound() -> None:
    early, late = Reading(10, 2.0, 100, 1.9), Reading(20, 9.0, 200, 1.8)
    arrived, short = Result([early, late], late), Result([early, Reading(20, 8.0, 200, 1.85)], None)
    assert lead(Result([early], early), arrived) == {"times_as_fast": 4.5, "at_least": False}
    assert lead(Result([early], early), short) == {"times_as_fast": 4.0, "at_least": True}
    assert lead(short, arrived) == {}


def test_a_change_of_the_recipe_is_compared_with_the_same_seed_in_the_same_precision(tmp_path: Path) -> None:
    def reading(precision: str, val_loss: float) -> dict[str, object]:
        return {"seed": 1, "precision": precision, "updates": 7, "val_loss": val_loss}

    recipes = {
        "as it is": [reading("bf16", 1.5), reading("fp32", 1.6)],
        "worse": [reading("fp32", 1.7)],
        "better": [reading("bf16", 1.4), reading("fp32", 1.4)],
    }
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed/recipes-pico.json").write_text(json.dumps(recipes), encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("<!-- speed: picorecipes -->\n<!-- /speed -->\n", encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in render(page).splitlines()[3:-1]]
    assert rows == [
        ["none", "2", "1.5500", "7"],
        ["better", "2", "-0.1500 (-0.2000 to -0.1000)", "7"],
        ["worse", "1", "+0.1000", "7"],
    ]


def test_the_page_on_speed_says_what_the_kept_readings_say() -> None:
    for name in ("speed", "serving"):
        page = Path(__file__).parents[2] / f"docs/{name}.md"
        assert render(page) == page.read_text(encoding="utf-8"), "run `make generate`"
