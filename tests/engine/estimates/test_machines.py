"""Machines: figures with sources, what fits, what would make it fit, and speeds that pass for no measurement."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from trickster_engine.cli import main
from trickster_engine.config import preset_names, preset_plan, preset_text
from trickster_engine.config.plan import Plan
from trickster_engine.estimates.estimate import estimate
from trickster_engine.estimates.fitting import ASSUMED_UTILISATION, USABLE_SHARE, fit
from trickster_engine.estimates.machines import MACHINES, Machine, find_machine, machine_keys
from trickster_engine.estimates.memory import training_memory
from trickster_engine.system import machine as machine_module


def with_values(plan: Plan, values: dict[str, int | bool | str]) -> Plan:
    """The plan with these lines written into it."""
    for key, value in values.items():
        section, name = key.split(".")
        part = section.removesuffix("_config")
        plan = replace(plan, **{part: replace(getattr(plan, part), **{name: value})})
    return plan


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.key)
def test_every_figure_has_a_source(machine: Machine) -> None:
    assert '"' in machine.source and ("Tenstorrent" in machine.source or "NVIDIA" in machine.source)
    assert machine.paper.count('"') == 2 and machine.source.startswith(machine.paper)
    assert machine.memory and machine.peak
    assert f"{machine.memory // 10**9} GB" in machine.source or machine.chips > 1
    assert find_machine(machine.key) is machine


def test_the_lesson_names_these_boards() -> None:
    assert machine_keys()[:5] == ["this", "n150", "n300", "t3k", "galaxy"]
    chips = {machine.name: (machine.chips, machine.memory) for machine in MACHINES if machine.device_type == "tt"}
    wormhole = {"N150": 1, "N300": 2, "T3K": 8, "Galaxy": 32}
    blackhole = {"P100a": 1, "P150": 1, "P300": 2, "QuietBox 2": 4, "Galaxy Blackhole": 32}
    assert {name: number for name, (number, _) in chips.items()} == wormhole | blackhole
    assert {chips[name][1] for name in wormhole} == {12 * 10**9}
    assert {name: chips[name][1] for name in blackhole} == dict.fromkeys(blackhole, 32 * 10**9) | {"P100a": 28 * 10**9}
    rate = {m.name: m.peak for m in MACHINES if m.peak is not None}
    assert rate["RTX 3060 12GB"] == pytest.approx(71.2e12 * 28 * 1.777 / (82 * 1.695), rel=0.01)


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.key)
def test_what_is_advised_does_fit_and_is_the_least_change(preset: str, machine: Machine) -> None:
    plan = preset_plan(preset)
    there = fit(plan, machine)
    assert there.usable == int(USABLE_SHARE * (machine.memory or 0))
    if there.fits:
        assert there.change is None and "does not" not in there.verdict()
        return
    assert there.verdict().startswith("does not fit")
    if there.change is None:
        smallest = with_values(plan, {"training_config.batch_size": machine.chips, "model_config.max_seq_len": 32})
        assert not fit(smallest, machine).fits
        assert there.shared_by in (None, 2, 4, 8) and (there.shared_by is None or "sharding: full" in there.verdict())
        return
    values = there.change.values
    changed = with_values(plan, values)
    again = fit(changed, machine)
    assert again.fits and again.needed == there.change.needed
    assert not again.uneven
    before, after = plan.training, changed.training
    same = before.batch_size * before.gradient_accumulation_steps
    assert after.batch_size * after.gradient_accumulation_steps == same
    assert there.change.same_update == (changed.model == plan.model)
    # The next larger portion of the batch would not have fitted.
    for larger in range(after.batch_size + 1, before.batch_size):
        if same % larger == 0 and larger % machine.chips == 0 and there.change.same_update:
            portion: dict[str, int | bool | str] = {
                "training_config.batch_size": larger,
                "training_config.gradient_accumulation_steps": same // larger,
            }
            if after.activation_checkpointing:
                portion["training_config.activation_checkpointing"] = True
            assert not fit(with_values(plan, portion), machine).fits


def test_several_gpus_share_what_one_cannot_hold() -> None:
    mega = preset_plan("mega")
    there = fit(replace(mega, training=replace(mega.training, optimizer="adamw")), find_machine("rtx-3060-12gb"))
    assert not there.fits and there.change is None and there.shared_by in (2, 4, 8)
    assert f"fits on {there.shared_by} of them with sharding: full" in there.verdict()
    muon = fit(replace(mega, training=replace(mega.training, optimizer="muon")), find_machine("rtx-3060-12gb"))
    assert muon.shared_by is None or muon.change is not None
    board = fit(replace(mega, training=replace(mega.training, activation_checkpointing=True)), find_machine("n150"))
    assert board.memory == fit(mega, find_machine("n150")).memory  # boards have neither
    assert board.shared_by is None


def test_memory_is_that_of_one_chip_with_its_share_of_the_batch() -> None:
    plan = preset_plan("mini")
    one, eight = fit(plan, find_machine("n150")), fit(plan, find_machine("t3k"))
    assert one.needed == training_memory(replace(plan, device=replace(plan.device, device_type="tt"))).device
    assert eight.memory.weights == one.memory.weights
    assert eight.memory.activations < one.memory.activations / 4
    assert fit(plan, replace(find_machine("t3k"), chips=3)).uneven


def test_a_speed_never_passes_for_a_measurement() -> None:
    plan = preset_plan("nano")
    there = fit(plan, find_machine("h100-80gb"))
    assert there.machine.peak is not None
    assert there.fastest_s == pytest.approx(estimate(plan).compute.total / (there.machine.peak * ASSUMED_UTILISATION))
    assert there.as_json()["measured"] is False
    text = there.as_text()
    assert "at best" in text and "not a measurement" in text and "50%" in text and there.machine.source in text
    unknown = fit(plan, Machine("somewhere", "cpu", 1, None, None, "nothing"))
    assert unknown.fits is None and unknown.fastest_s is None
    assert "not known" in unknown.verdict() and "at best" not in unknown.as_text()


def test_this_machine_is_seen_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "find_program", lambda name: None)
    here = find_machine("this")
    assert here.device_type == "cpu" and here.memory is not None and here.memory > 1 << 28

    def answers(output: str) -> None:
        monkeypatch.setattr(machine_module, "find_program", lambda name: "/usr/bin/nvidia-smi")
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=output))

    answers("NVIDIA GeForce RTX 4090, 24564\nNVIDIA GeForce RTX 3090, 24576\n")
    here = find_machine("this")
    assert (here.device_type, here.memory, here.peak) == ("cuda", 24564 << 20, 165.2e12)
    answers("NVIDIA GeForce RTX 3060 Ti, 8192\n")
    here = find_machine("this")
    assert here.memory == 8192 << 20 and here.peak is None  # another chip than the RTX 3060

    def fails(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 5)

    monkeypatch.setattr(subprocess, "run", fails)
    assert find_machine("this").device_type == "cpu"


def test_the_optimal_text_is_twenty_tokens_a_parameter() -> None:
    plan = preset_plan("pico")
    figures = estimate(plan)
    assert figures.text.optimal_tokens == 20 * 885_888
    assert figures.text.training_tokens is not None
    assert figures.text.fed_parameters == figures.text.training_tokens // 20
    optimal, fed = figures.optimal_lines()
    assert "17.7 million" in optimal and "50.2 thousand" in fed
    unread = replace(plan, data=replace(plan.data, corpus="other.txt"))
    assert estimate(unread).text.fed_parameters is None
    assert len(estimate(unread).optimal_lines()) == 1


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "mega.yaml"
    config.write_text(preset_text("mega"))
    assert main(["estimate", str(config), "--for", "n150", "--for", "a100-80gb", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(one["machine"], one["fits"]) for one in answer["machines"]] == [("N150", False), ("A100 80GB", True)]
    assert main(["estimate", str(config), "--for", "all", "--no-calibrate"]) == 0
    shown = capsys.readouterr().out
    for machine in MACHINES:
        assert machine.name in shown and machine.source in shown
    assert "does not fit; fits with batch_size" in shown and "Chinchilla" in shown
    (tmp_path / "letters.txt").write_text("dear reader " * 1000)
    assert main(["estimate", str(config), "--set", "data_config.corpus=letters.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"]["training_tokens"] == 10_800
    assert main(["estimate", str(config), "--for", "this", "--no-calibrate"]) == 0
    here = capsys.readouterr().out
    assert "This machine's" in here and "--calibrate" in here
    with pytest.raises(SystemExit):
        main(["estimate", str(config), "--for", "abacus"])
