"""What the editor underlines for device_type: tt is what a run on a board refuses, and the other way round."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.plans import plan
from trickster_engine.backends.ttml_backend import TtmlBackend
from trickster_engine.backends.ttml_mesh import check_mesh, descriptor_shape
from trickster_engine.backends.ttml_rules import check_rules
from trickster_engine.config.check import check
from trickster_engine.config.plan import DeviceConfig, Plan
from trickster_engine.errors import TricksterError

HEAD = "device_config:\n  device_type: tt\n"


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"vocab_size": 257}, {}),
        ({"hidden_dim": 260, "num_heads": 4, "num_kv_heads": 4}, {}),
        ({"mlp_dim": 700}, {}),
        ({"max_seq_len": 500}, {}),
        ({"norm_eps": "1e-6"}, {}),
        ({"hidden_dim": 128, "num_heads": 8, "num_kv_heads": 8}, {}),
        ({"hidden_dim": 1024, "num_heads": 2, "num_kv_heads": 2}, {}),
        ({}, {"loss": "focal"}),
        ({}, {"loss": "label_smoothing"}),
    ],
)
def test_the_editor_and_the_run_refuse_the_same(model: dict[str, Any], training: dict[str, Any]) -> None:
    text = HEAD + "".join(
        f"{section}:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items())
        for section, values in (("model_config", model), ("training_config", training))
        if values
    )
    shown = [problem for problem in check(text).problems if problem.severity == "error"]
    assert shown, "the editor shows nothing"
    base = Plan()
    asked = dataclasses.replace(
        base,
        model=dataclasses.replace(
            base.model, **{key: float(value) if isinstance(value, str) else value for key, value in model.items()}
        ),
        training=dataclasses.replace(base.training, **training),
    )
    with pytest.raises(TricksterError) as refused:
        check_rules(asked)
    assert refused.value.code in {problem.code for problem in shown}
    assert refused.value.message in {problem.message for problem in shown}
    assert refused.value.advice


def test_a_plan_that_fits_is_not_refused() -> None:
    check_rules(Plan())
    check_rules(plan())


def test_auto_meets_the_rules_when_it_turns_out_to_be_a_board(double: Callable[..., Any]) -> None:
    ttml = double()
    asked = dataclasses.replace(plan({"max_seq_len": 40}), device=DeviceConfig("auto"))
    with pytest.raises(TricksterError, match="multiple of 32"):
        TtmlBackend(asked)
    assert ttml.autograd.AutoContext.get_instance().opened == 0


def meshed(rows: int, columns: int, ddp: bool, batch_size: int = 8) -> Plan:
    return dataclasses.replace(plan(batch_size=batch_size), device=DeviceConfig("tt", (rows, columns), ddp))


def descriptor(folder: Path, dims: str, kinds: str = "") -> str:
    path = folder / "mesh.textproto"
    path.write_text(
        f'mesh_descriptors {{\n  name: "M0"\n  device_topology {{ dims: [ {dims} ] {kinds} }}\n}}\n', encoding="utf-8"
    )
    return str(path)


def test_meshes_that_are_known_to_hang_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[Plan, dict[str, str], str]] = [
        (meshed(2, 2, True), {}, "mesh-not-a-line"),
        (meshed(1, 4, False), {}, "mesh-without-ddp"),
        (meshed(1, 4, True, batch_size=6), {}, "batch-not-divisible"),
        (meshed(1, 4, True), {}, "mesh-descriptor-missing"),
        (meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": "/nowhere"}, "mesh-descriptor-unreadable"),
        (meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": descriptor(tmp_path, "2, 2")}, "mesh-descriptor-mismatch"),
    ]
    for asked, environment, code in cases:
        with pytest.raises(TricksterError) as refused:
            check_mesh(asked, environment)
        assert refused.value.code == code
    line = descriptor(tmp_path, "1, 4", "dim_types: [ LINE, LINE ]")
    with pytest.raises(TricksterError) as refused:
        check_mesh(meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": line})
    assert refused.value.code == "mesh-descriptor-not-a-ring"


def test_meshes_that_work_are_let_through(tmp_path: Path) -> None:
    assert check_mesh(meshed(1, 1, False), {}) == 1
    assert check_mesh(meshed(1, 8, True), {}) == 8  # tt-metal knows how to wire 8
    for kinds in ("", "dim_types: [ RING, RING ]"):
        path = descriptor(tmp_path, "1, 4", kinds)
        assert check_mesh(meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": path}) == 4


def test_the_advice_names_a_descriptor_that_fits(tmp_path: Path) -> None:
    folder = tmp_path / "tt-train/configs/mgd"
    folder.mkdir(parents=True)
    (folder / "wrong.textproto").write_text("device_topology { dims: [ 2, 2 ] }")
    (folder / "right.textproto").write_text("device_topology { dims: [ 1, 4 ] dim_types: [ RING, RING ] }")
    with pytest.raises(TricksterError) as refused:
        check_mesh(meshed(1, 4, True), {"TT_METAL_HOME": str(tmp_path)})
    assert "right.textproto" in refused.value.advice
    assert "wrong.textproto" not in refused.value.advice


def test_descriptors_of_several_machines_are_left_alone() -> None:
    assert descriptor_shape("mesh_descriptors {\n}\nmesh_descriptors {\n device_topology { dims: [ 9, 9 ] } }") is None
