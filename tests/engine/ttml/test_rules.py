"""What the editor underlines for device_type: tt is what a run on a board refuses, and the other way round."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.plans import plan
from tests.refusals import refused
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.backends.ttml.mesh import check_mesh, descriptor_shape
from trickster_engine.backends.ttml.rules import check_rules
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
        ({}, {"r_drop": 1.0}),
        ({}, {"distill_from": "m"}),
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
    shape: dict[str, Any] = {key: float(value) if isinstance(value, str) else value for key, value in model.items()}
    asked = dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, **shape),
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
    with refused("tt-multiple-of-32"):
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


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (meshed(2, 2, True), "mesh-one-row"),
        (meshed(1, 4, False), "mesh-without-ddp"),
        (meshed(1, 4, True, batch_size=6), "batch-divides-devices"),
    ],
)
def test_a_mesh_that_is_no_line_of_copies_is_refused(asked: Plan, code: str) -> None:
    with pytest.raises(TricksterError) as refused:
        TtmlBackend(asked)
    assert refused.value.code == code


def test_meshes_that_are_known_to_hang_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[Plan, dict[str, str], str]] = [
        (meshed(1, 4, True), {}, "mesh-descriptor-missing"),
        (meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": "/nowhere"}, "mesh-descriptor-unreadable"),
        (meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": descriptor(tmp_path, "2, 2")}, "mesh-descriptor-mismatch"),
        # What tt-metal takes by itself for 8 and 32 chips is no line.
        (meshed(1, 8, True), {}, "mesh-descriptor-missing"),
        (meshed(1, 32, True, batch_size=32), {}, "mesh-descriptor-missing"),
        (meshed(1, 2, True), {}, "mesh-descriptor-missing"),
    ]
    for asked, environment, code in cases:
        with pytest.raises(TricksterError) as refused:
            check_mesh(asked, environment)
        assert refused.value.code == code
    several = tmp_path / "several.textproto"
    several.write_text("mesh_descriptors {\n}\nmesh_descriptors {\n device_topology { dims: [ 1, 4 ] } }")
    with pytest.raises(TricksterError) as refused:
        check_mesh(meshed(1, 4, True), {"TT_MESH_GRAPH_DESC_PATH": str(several)})
    assert refused.value.code == "mesh-descriptor-not-one-mesh"


@pytest.mark.parametrize("chips", [2, 4, 8, 32])
@pytest.mark.parametrize("kinds", ["", "dim_types: [ RING, RING ]", "dim_types: [ LINE, LINE ]"])
def test_meshes_that_work_are_let_through(tmp_path: Path, chips: int, kinds: str) -> None:
    assert check_mesh(meshed(1, 1, False), {}) == 1
    path = descriptor(tmp_path, f"1, {chips}", kinds)
    assert check_mesh(meshed(1, chips, True, batch_size=32), {"TT_MESH_GRAPH_DESC_PATH": path}) == chips


#: Files where tt-metal keeps them (names, dims and kinds as read in ttnn 0.81.1 and in tt-train, 2026), chips or none.
FABRIC, TRAIN = "tt_metal/fabric/mesh_graph_descriptors", "tt-train/configs/mgd"
UPSTREAM = [
    (f"{FABRIC}/n150_mesh_graph_descriptor", "1, 1", ""),
    (f"{FABRIC}/n300_mesh_graph_descriptor", "1, 2", ""),
    (f"{FABRIC}/p300_mesh_graph_descriptor", "1, 2", ""),
    (f"{FABRIC}/p150_x2_mesh_graph_descriptor", "1, 2", ""),
    (f"{FABRIC}/n300_x2_mesh_graph_descriptor", "4, 1", ""),
    (f"{FABRIC}/p300_x2_mesh_graph_descriptor", "2, 2", ""),
    (f"{FABRIC}/t3k_mesh_graph_descriptor", "2, 4", ""),
    (f"{FABRIC}/single_galaxy_mesh_graph_descriptor", "8, 4", ""),
    (f"{FABRIC}/single_galaxy_torus_xy_graph_descriptor", "8, 4", "dim_types: [ RING, RING ]"),
    (f"{FABRIC}/bh_lbx2_1x16_mesh_graph_descriptor", "1, 16", ""),
    (f"{TRAIN}/bh_qb_1_4_ring_ring", "1, 4", "dim_types: [ RING, RING ]"),
    (f"{TRAIN}/bh_galaxy_1_8_line_line", "1, 8", "dim_types: [ LINE, LINE ]"),
    (f"{TRAIN}/bh_galaxy_8_1_ring_ring", "8, 1", "dim_types: [ RING, RING ]"),
]


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    for name, dims, kinds in UPSTREAM:
        path = tmp_path / f"{name}.textproto"
        path.parent.mkdir(parents=True, exist_ok=True)
        Path(descriptor(path.parent, dims, kinds)).rename(path)
    (tmp_path / FABRIC / "commented.textproto").write_text("# device_topology { dims: [ 1, 4 ] }\n")
    return tmp_path


@pytest.mark.parametrize("chips", [2, 4, 8, 16, 32])
def test_the_advice_names_a_descriptor_that_the_check_accepts(upstream: Path, chips: int) -> None:
    asked = meshed(1, chips, True, batch_size=32)
    with pytest.raises(TricksterError) as refused:
        check_mesh(asked, {"TT_METAL_HOME": str(upstream)})
    fitting = [f"{name}.textproto" for name, dims, _ in UPSTREAM if dims == f"1, {chips}"]
    named = re.search(r"for instance (\S+?),? ", refused.value.advice)
    if not fitting:
        assert named is None and f"dims: [ 1, {chips} ]" in refused.value.advice
        return
    assert named is not None and named[1].endswith(tuple(fitting))
    assert check_mesh(asked, {"TT_MESH_GRAPH_DESC_PATH": named[1]}) == chips
    # Of all files of the tree, exactly those are accepted that the advice could have named.
    for path in upstream.rglob("*.textproto"):
        try:
            check_mesh(asked, {"TT_MESH_GRAPH_DESC_PATH": str(path)})
        except TricksterError:
            assert path.relative_to(upstream).as_posix() not in fitting
        else:
            assert path.relative_to(upstream).as_posix() in fitting


def test_descriptors_of_several_machines_are_left_alone() -> None:
    assert descriptor_shape("mesh_descriptors {\n}\nmesh_descriptors {\n device_topology { dims: [ 9, 9 ] } }") is None
