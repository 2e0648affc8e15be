"""What a pickle claims is compared with what it holds, before any of it is made."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.engine.ttml.named_objects import named_objects
from tests.refusals import refused
from trickster_engine.errors import TricksterError
from trickster_engine.interop.pickle_data import PickleFile
from trickster_engine.interop.pickle_machine import PickleError
from trickster_engine.interop.ttml_pickle import read


def load(path: Path, data: bytes) -> object:
    path.write_bytes(data)
    with PickleFile(path) as file:
        return file.load()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits this process' memory")
def test_no_changed_file_crashes_hangs_or_fills_the_memory() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.engine.ttml.pickle_fuzz", "3000", "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    figures = ast.literal_eval(answer.stdout.splitlines()[-1])
    assert figures["read"] > 50  # some changes leave the weights as they were
    assert figures["refused"] > 1000


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, ("a",), {"a": ("f4", 0)}, 4, 1, 16),  # fields
        (3, "<", ("f4", (1 << 40,)), None, None, -1, -1, 0),  # a subarray
        (3, "|", None, None, None, 1 << 40, 1, 0),  # a size of its own
        (3, "<", None, None, None, -1, -1, 63),  # flags: holds objects
        (4, "<", None, None, None, -1, -1, 0, {}),
        {"any": "thing"},
    ],
)
def test_an_element_type_brings_nothing_of_its_own(state: object, tmp_path: Path) -> None:
    """numpy's own dtype would take these on trust: a crash, or foreign memory as weights."""
    kind = pickle.dumps(state, protocol=2)[2:-1]
    array = (
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85X\x01\x00\x00\x00b\x87R"
        b"(K\x01K\x04\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R" + kind + b"b\x89"
        b"c_codecs\nencode\nX\x10\x00\x00\x00AAAAAAAAAAAAAAAAX\x06\x00\x00\x00latin1\x86Rtb."
    )
    (tmp_path / "f").write_bytes(array)
    with PickleFile(tmp_path / "f") as file:
        value = file.load()
        with pytest.raises(PickleError, match="element type"):
            file.array(value)


@pytest.mark.parametrize("shape", [(5,), (1 << 40,), (2, 1 << 62), (-1,), (1.0,), "4", (True,)])
def test_a_shape_fits_the_bytes(shape: object, tmp_path: Path) -> None:
    honest = np.ones(4, dtype="<f4")
    reduced = honest.__reduce__()
    assert isinstance(reduced, tuple)
    _, arguments, state = reduced
    (tmp_path / "f").write_bytes(pickle.dumps(_Remade(arguments, (state[0], shape, *state[2:])), protocol=3))
    with PickleFile(tmp_path / "f") as file:
        value = file.load()
        with pytest.raises(PickleError):
            file.array(value)


class _Remade:
    """Pickled as an array with a state of our choice."""

    def __init__(self, arguments: tuple[object, ...], state: tuple[object, ...]) -> None:
        self._parts = (np.empty(0).__reduce__()[0], arguments, state)

    def __reduce__(self) -> tuple[object, ...]:
        return self._parts


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little") + b".",
        b"\x80\x04\x95" + (1 << 62).to_bytes(8, "little") + b"\x8e" + (1 << 40).to_bytes(8, "little"),
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02(((((0",
        b"\x80\x02" + b"]" * 10 + b"a" * 10 + b".",
        b"\x80\x02\x82\x01.",
        b"\x80\x02cos\nsystem\nNb.",
    ],
)
def test_claims_and_instructions_beyond_plain_data_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(PickleError):
        load(tmp_path / "f", data)


def test_a_memo_of_four_billion_places_costs_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "f", b"\x80\x02]r\xff\xff\xff\xff.") == []


def test_what_is_under_many_names_is_walked_once(tmp_path: Path) -> None:
    doubled: list[object] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    value = load(tmp_path / "f", pickle.dumps({"model_state": {}, "header": doubled}))
    assert list(named_objects(value)) == []
    (tmp_path / "f").write_bytes(pickle.dumps({"format": doubled, "manifest": {}}))
    with refused("checkpoint-format", "unknown"):
        read(tmp_path / "f")
    with pytest.raises(PickleError, match="deeper"):
        load(tmp_path / "f", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def test_one_buffer_under_many_names_is_refused(tmp_path: Path) -> None:
    array = np.zeros((1, 1, 512, 512), dtype="<f4")
    states = {f"Llama/{number}": {"data": array, "shape": list(array.shape)} for number in range(100)}
    (tmp_path / "f").write_bytes(pickle.dumps({"model_state": states}))
    with refused("checkpoint-unreadable", "larger than the file"):
        read(tmp_path / "f")


def test_numbers_that_collide_as_names_are_refused_at_once(tmp_path: Path) -> None:
    """All have the hash 0: a dictionary of 50,000 took over a minute."""
    names = dict.fromkeys([b"\x8a\x0a" + (n * ((1 << 61) - 1)).to_bytes(10, "little") for n in range(1, 50_000)])
    with pytest.raises(PickleError, match="large number"):
        load(tmp_path / "f", b"\x80\x02}(" + b"".join(name + b"N" for name in names) + b"u.")


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"format": 10**5000, "header": {}, "manifest": {}}, "checkpoint-format"),
        ({"format": 1, "header": {}, "manifest": {"model": 5}}, "checkpoint-unreadable"),
    ],
    ids=["a format of 5,000 digits", "a number for a model"],
)
def test_a_record_of_the_wrong_kind_is_refused_in_words(record: object, code: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(pickle.dumps(record))
    with pytest.raises(TricksterError) as refused:
        read(tmp_path / "f")
    assert refused.value.code == code


def test_bfloat16_is_read_as_ml_dtypes_writes_it(tmp_path: Path) -> None:
    """A type that is not NumPy's own is pickled with its size, its alignment and a flag."""
    kind = b"cnumpy\ndtype\ncml_dtypes\nbfloat16\n\x89\x88\x87R(K\x03X\x01\x00\x00\x00<NNNK\x02K\x02K@tb"
    array = (
        b"\x80\x03cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01K\x02\x85" + kind + b"\x89C\x04\x80?\x00@tb."
    )
    (tmp_path / "f").write_bytes(array)
    with PickleFile(tmp_path / "f") as file:
        assert (file.array(file.load()).astype(np.uint32) << 16).view(np.float32).tolist() == [1.0, 2.0]
