"""The numbers in hovers, hints and lenses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from trickster_server.features import explain, hover_figures, lr_curve
from trickster_server.features.model_figures import shape_table
from trickster_server.hints.corpus import Corpus
from trickster_server.timing.boards import _MEASURED, MEASURED_ON, boards, training_time
from trickster_server.timing.speeds import Timing

from trickster_engine.config import KEYS, preset_names, preset_plan
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.estimates.speeds import speed_of
from trickster_engine.system import units


def context(plan: Plan, images: bool = False) -> hover_figures.Context:
    """A machine on which the nano preset has been measured at 1,000,000 tokens a second."""
    timing = Timing(None, None)  # type: ignore[arg-type]
    nano = preset_plan("nano")
    timing._take([speed_of(nano, "cpu", 1e6, "nano-001")])
    return hover_figures.Context(plan, Corpus(True, 1_115_394, None), timing, images)


def test_the_measured_run_is_given_back_as_it_was_measured() -> None:
    board = next(one for one in boards() if one.name == MEASURED_ON)
    plan = replace(_MEASURED, training=replace(_MEASURED.training, max_steps=3000))
    assert count_parameters(plan.model).total == 9_810_816
    seconds, source = training_time(board, plan)
    assert (round(seconds, 2), source) == (200.74, "measured")


def test_everything_else_is_an_estimate_and_more_chips_are_faster() -> None:
    plan = preset_plan("nano")
    times = {board.name: training_time(board, plan) for board in boards()}
    assert {source for _, source in times.values()} == {"estimated"}
    assert times["T3K"][0] < times["N300"][0] < times["N150"][0]


@pytest.mark.parametrize("name", preset_names())
def test_every_key_has_words_and_no_table_fails(name: str) -> None:
    plan = preset_plan(name)
    for key in KEYS.values():
        assert explain.key_text(key)
        assert explain.facts_line(key).startswith("Default ")
        text = hover_figures.for_key(key, context(plan))
        for line in text.splitlines():
            if line.startswith("|"):
                assert line.endswith("|")
    for section in ("model_config", "training_config", "device_config", "data_config"):
        assert hover_figures.section_summary(section, context(plan))


def test_the_device_says_which_machines_it_fits_and_what_would() -> None:
    for text in (
        hover_figures.for_key(KEYS["device_config.device_type"], context(preset_plan("mega"))),
        hover_figures.section_summary("device_config", context(preset_plan("mega"))),
    ):
        rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
        assert {"N150", "N300", "T3K", "Galaxy", "RTX 4090", "H100 80GB", "This machine's CPU"} < set(rows)
        assert "does not fit" in rows["N150"] and "Tenstorrent" in rows["N150"]
        assert "fits with batch_size: 4, gradient_accumulation_steps: 32" in rows["RTX 5090"]
        assert "| fits |" in rows["H100 80GB"] and "NVIDIA" in rows["H100 80GB"]
        assert "*At best*" in text and "nobody measured" in text


def test_the_text_is_held_against_what_the_model_could_use() -> None:
    text = hover_figures.section_summary("data_config", context(preset_plan("pico")))
    assert "17.7 M tokens" in text and "compute-optimal for 50.2 k parameters" in text


def test_the_neighbours_of_nano() -> None:
    table = hover_figures.for_key(KEYS["model_config.hidden_dim"], context(preset_plan("nano")))
    values = [line.split("|")[1].strip() for line in table.splitlines()[2:6]]
    assert values == ["192", "**256**", "320", "384"]


def test_max_steps_says_where_each_time_comes_from() -> None:
    text = hover_figures.for_key(KEYS["training_config.max_steps"], context(preset_plan("nano")))
    assert "| this machine | 3 min | measured, from nano-001 |" in text
    other = hover_figures.for_key(KEYS["training_config.max_steps"], context(preset_plan("mini")))
    assert "| estimated, from nano-001, within a factor of 2 |" in other
    assert any(line.startswith("| N150 |") and line.endswith(" min | estimated |") for line in text.splitlines())
    assert "163 epochs of the training text" in text


def test_the_curve_is_the_trainers() -> None:
    training = preset_plan("nano").training
    values = lr_curve.learning_rates(training, 101)
    assert max(values) == pytest.approx(3e-4, rel=1e-2)
    assert values[0] == pytest.approx(3e-7)
    assert values[-1] == pytest.approx(3e-5, rel=1e-3)
    assert values.index(max(values)) == 10
    line = lr_curve.sparkline(values)
    assert line[10] == "█" and line[0] == "▁"
    assert lr_curve.sparkline([0.0, 0.0]) == "▁▁"


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (units.short_count_text, 5_180_672, "5.18 M"),
        (units.short_count_text, 999.6e3, "1.00 M"),
        (units.short_count_text, 12, "12"),
        (units.short_count_text, 11_604_864, "11.6 M"),
        (units.short_count_text, 6.64e11, "664 G"),
        (units.size_text, 10**9, "1.00 GB"),
        (units.size_text, 999.96e6, "1.00 GB"),
        (units.size_text, 100, "100 bytes"),
        (units.duration_text, 0.2, "1 s"),
        (units.duration_text, 99.6, "2 min"),
        (units.duration_text, 3 * 3600, "3 h"),
        (units.duration_text, 3 * 3600 + 1200, "3 h 20 min"),
        (units.duration_text, 50 * 3600, "2 days 2 h"),
        (units.times_text, 0.123, "0.12"),
        (units.times_text, 4.94, "4.9"),
        (units.times_text, 163.3, "163"),
    ],
)
def test_numbers_as_people_read_them(function: Callable[[float], str], value: float, text: str) -> None:
    assert function(value) == text


@pytest.mark.parametrize(("width", "heads"), [(32, 5), (256, 5), (256, 8), (330, 5), (384, 6), (48, 4)])
def test_the_widths_and_heads_shown_go_together(width: int, heads: int) -> None:
    nano = preset_plan("nano")
    plan = replace(nano, model=replace(nano.model, hidden_dim=width, num_heads=heads, num_kv_heads=heads))
    table = shape_table("hidden_dim", plan)
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:] if "|" in line]
    assert str(width) in [row[0] for row in rows]
    for row in rows:
        shown = int(row[0])
        assert row[1] == (str(shown // heads) if shown % heads == 0 else "\N{EM DASH}")
        assert shown == width or shown % heads == 0
    shared = replace(plan, model=replace(plan.model, hidden_dim=384, num_heads=6, num_kv_heads=3))
    counts = [line.split("|")[1].strip(" *") for line in shape_table("num_heads", shared).splitlines()]
    assert all(int(count) % 3 == 0 for count in counts if count.isdecimal())
