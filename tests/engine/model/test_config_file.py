"""A model's config.json and its weights are held to rules before anything is allocated."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.engine.model.test_huggingface import as_arrays, small
from tests.refusals import refused
from trickster_engine.errors import TricksterError
from trickster_engine.model.huggingface import read_model, write_model
from trickster_engine.model.llama import Llama
from trickster_engine.model.stored_arrays import read_array
from trickster_engine.system.safetensors_header import read_header

BAD: list[dict[str, Any]] = [
    {"num_hidden_layers": 10_000_000},
    {"num_attention_heads": 0},
    {"num_attention_heads": 5},
    {"num_key_value_heads": 3},
    {"hidden_size": "64"},
    {"hidden_size": True},
    {"hidden_size": -64},
    {"vocab_size": 1e300},
    {"rope_theta": float("nan")},
    {"rms_norm_eps": float("inf")},
    {"tie_word_embeddings": "false"},
    {"max_position_embeddings": 1 << 60},
    {"head_dim": 8},
    {"hidden_act": "gelu"},
    {"rope_parameters": {"rope_type": "llama3", "factor": 8}},
    {"vocab_size": None},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_config_that_breaks_a_rule_is_refused_before_anything_is_made(tmp_path: Path, change: dict[str, Any]) -> None:
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    tracemalloc.start()
    try:
        with pytest.raises(TricksterError) as caught:
            read_model(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.code == "checkpoint-damaged"


def test_a_config_without_end_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, small(), as_arrays(Llama(small())))
    for content in ("[" * 1_000_000, " " * (5 << 20), '{"vocab_size": ' + "9" * 100_000 + "}"):
        (tmp_path / "config.json").write_text(content)
        with refused("checkpoint-damaged"):
            read_model(tmp_path)


def header(entries: dict[str, Any], numbers: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + numbers


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no header"),
        (b"\xff" * 8, "no header"),
        (struct.pack("<Q", 1 << 40) + b"{}", "no header"),
        (struct.pack("<Q", 2) + b"[]", "no header"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "nested"),
        (header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}}), "its shape needs"),
        (header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1 << 40]}}), "its shape needs"),
        (header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), "16 bytes of numbers"),
        (header({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, -16]}}), "not an integer"),
        (header({"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}}), "number type"),
        (header({name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"}), "overlap"),
        (header({"a": {"dtype": "F32", "shape": True, "data_offsets": [0, 16]}}), "not an integer"),
        (header({"a": []}), "does not say where"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        read_header(path)


def test_numbers_are_read_as_the_library_wrote_them(tmp_path: Path) -> None:
    kinds = ("?", "u1", "i1", "u2", "f2", "i4", "f4", "u8", "i8", "f8")
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds}
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "pt"})
    read = {name: read_array(place) for name, place in read_header(tmp_path / "a.safetensors").items()}
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[kind], arrays[kind]) and read[kind].dtype == arrays[kind].dtype for kind in kinds)
