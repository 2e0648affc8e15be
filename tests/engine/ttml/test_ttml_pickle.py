"""ttml's pickled checkpoints are read without ttml, and nothing in them is carried out."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.named_objects import named_objects
from tests.engine.ttml.plans import MODEL
from tests.engine.ttml.test_layouts import shapes
from tests.refusals import refused
from trickster_engine.backends.ttml.weights import TtmlLayout, round_to_bf16
from trickster_engine.cli import main
from trickster_engine.data.make_tokenizer import char_tokenizer
from trickster_engine.doctor.parity import telling_weights
from trickster_engine.errors import TricksterError
from trickster_engine.interop.pickle_machine import Named
from trickster_engine.interop.ttml_pickle import read
from trickster_engine.model.huggingface import read_model

ARRAYS = TtmlLayout(MODEL, shapes(fused=True)).to_ttml(telling_weights(MODEL))


class Evil:
    """Asks the reader to run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def script_module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A class as a training script has it, which is gone when the file is read."""
    module = types.ModuleType("train_script")
    exec(
        "class ModelConfig:\n"
        "    def __init__(self):\n"
        "        self.num_heads, self.num_groups, self.theta, self.max_sequence_length = 4, 2, 500.0, 32\n"
        "class CharTokenizer:\n"
        "    def __init__(self):\n"
        "        self.stoi = {'a': 0, 'b': 1}\n",
        module.__dict__,
    )
    for name in ("ModelConfig", "CharTokenizer"):
        module.__dict__[name].__module__ = "train_script"
    monkeypatch.setitem(sys.modules, "train_script", module)
    return module


def single(path: Path, module: types.ModuleType, protocol: int, **more: Any) -> None:
    record = {
        "step": 7,
        "model_state": {
            name: {"data": array, "layout": "TILE", "shape": list(array.shape)} for name, array in ARRAYS.items()
        },
        "tokenizer": module.CharTokenizer(),
        "model_config": module.ModelConfig(),
        **more,
    }
    path.write_bytes(pickle.dumps(record, protocol=protocol))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_single_record(
    tmp_path: Path, script_module: types.ModuleType, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    path = tmp_path / "nano_step_7.pkl"
    single(path, script_module, protocol)
    monkeypatch.delitem(sys.modules, "train_script")
    checkpoint = read(path)
    assert checkpoint.step == 7
    assert checkpoint.header["tokenizer"].get("stoi") == {"a": 0, "b": 1}
    assert isinstance(checkpoint.header["model_config"], Named)
    config = checkpoint.model_config()
    assert config == MODEL
    weights = checkpoint.canonical_weights(config)
    assert all(np.array_equal(weights[name], array) for name, array in telling_weights(MODEL).items())


def streamed(path: Path, arrays: dict[str, np.ndarray], header: dict[str, Any], version: int = 1) -> None:
    """As ttml.checkpointing writes it: one record of what follows, then an array for each tensor, in that order."""
    leaf = {name: {"layout": "TILE", "dtype": "BFLOAT16"} for name in arrays}
    manifest = {
        "model": {"named_parameters": leaf},
        "optimizer": {"steps": 7, "lr": 3e-4, "exp_avg": {"named_parameters": leaf}, "amsgrad": False},
    }
    with path.open("wb") as file:
        pickle.dump({"format": version, "header": header, "manifest": manifest}, file)
        for array in (*arrays.values(), *(array / 2 for array in arrays.values())):
            pickle.dump(array, file)


def test_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "step_7.pkl"
    streamed(path, dict(reversed(ARRAYS.items())), {"step": 7, "model_config": {"num_heads": 4}})
    checkpoint = read(path)
    assert checkpoint.step == 7
    assert checkpoint.optimizer["steps"] == 7
    for name, array in ARRAYS.items():
        assert np.array_equal(checkpoint.model[name], array)
        assert np.array_equal(checkpoint.optimizer["exp_avg"][name], array / 2)
    with refused("checkpoint-incomplete", "rope_theta, max_seq_len"):
        checkpoint.model_config()
    assert checkpoint.model_config(rope_theta=500.0, max_seq_len=32) == MODEL


def test_bfloat16_without_ml_dtypes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written where ml_dtypes is, read where it is not. The pickle is put together as that package's is."""
    array = round_to_bf16(np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4))
    bits = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
    fake = types.ModuleType("ml_dtypes")
    vars(fake)["bfloat16"] = type("bfloat16", (), {"__module__": "ml_dtypes"})
    monkeypatch.setitem(sys.modules, "ml_dtypes", fake)

    class BFloat16Type:
        def __reduce__(self) -> Any:
            return np.dtype, (fake.bfloat16, False, True), (3, "<", None, None, None, -1, -1, 0)

    class BFloat16Array:
        def __reduce__(self) -> Any:
            return (
                np.empty(0).__reduce__()[0],
                (np.ndarray, (0,), b"b"),
                (1, (3, 4), BFloat16Type(), False, bits),
            )

    path = tmp_path / "checkpoint.pkl"
    with path.open("wb") as file:
        manifest: dict[str, Any] = {"model": {"named_parameters": {"Llama/fc/weight": {}}}}
        pickle.dump({"format": 1, "header": {}, "manifest": manifest}, file)
        pickle.dump(BFloat16Array(), file)
    monkeypatch.delitem(sys.modules, "ml_dtypes")
    assert np.array_equal(read(path).model["Llama/fc/weight"], array)


def test_nothing_is_carried_out(tmp_path: Path, script_module: types.ModuleType) -> None:
    victim = tmp_path / "victim"
    path = tmp_path / "evil.pkl"
    single(path, script_module, 4, extra=Evil(f"touch {victim}"), more=[{"deep": Evil(f"touch {victim}")}])
    checkpoint = read(path)
    assert not victim.exists()
    named = {(found.module, found.name) for found in named_objects(dict(checkpoint.header))}
    assert (os.system.__module__, "system") in named
    assert ("train_script", "ModelConfig") in named


def test_evil_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    with path.open("wb") as file:
        pickle.dump({"format": 1, "header": {}, "manifest": {"model": {"named_parameters": {"x": {}}}}}, file)
        pickle.dump(np.array([{"an": "object"}], dtype=object), file)
    with refused("checkpoint-unreadable", "array of objects"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"other": 1}), pickle.dumps([1, 2])])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(TricksterError) as refused:
        read(path)
    assert refused.value.code == "checkpoint-unreadable"


def test_a_cut_file_and_a_newer_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pkl"
    streamed(path, ARRAYS, {})
    path.write_bytes(path.read_bytes()[:-5000])
    with refused("checkpoint-unreadable"):
        read(path)
    streamed(path, ARRAYS, {}, version=2)
    with refused("checkpoint-format", "format 2"):
        read(path)
    with refused("checkpoint-missing"):
        read(tmp_path / "missing.pkl")


def test_the_command_line_makes_a_model_directory_of_it(
    tmp_path: Path, script_module: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    path, folder = tmp_path / "nano_step_7.pkl", tmp_path / "model"
    single(path, script_module, 4)
    assert main(["import-checkpoint", str(path), str(folder)]) == 1  # bytes need 256 ids, this model has 64
    assert "[vocabulary-too-small]" in capsys.readouterr().err
    assert not folder.exists()
    characters = "abcdefghijklmnopqrstuvwxyz ,.;:!?'-\nABCDEFGHIJKLMNOPQRSTUVWXYZ"
    char_tokenizer(characters).save(tmp_path)
    assert main(["import-checkpoint", str(path), str(folder), "--tokenizer", str(tmp_path)]) == 0
    config, weights = read_model(folder)
    assert config == MODEL
    assert all(np.array_equal(weights[name], array) for name, array in telling_weights(MODEL).items())
    assert main(["sample", str(folder), "--prompt", "a", "--max-new-tokens", "5"]) == 0
    assert main(["import-checkpoint", str(path), str(folder), "--tokenizer", str(tmp_path)]) == 1
