"""Damaged and malicious checkpoints of ttml's: `python -m tests.engine.ttml.pickle_fuzz COUNT [SEED]`.

Each is a valid file with bytes or whole instructions changed, repeated, left out or put elsewhere. Whatever it is, the
reader answers with the right weights or with a TricksterError, within bounds of time and memory, and never runs any of
it. Prints how many were read and how many refused.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import pickletools
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from trickster_engine.errors import TricksterError
from trickster_engine.interop.ttml_pickle import read

assert sys.platform != "win32"

MEMORY_BYTES = 256 << 20
SECONDS = 2.0
_WEIGHTS = {
    "Llama/tok_emb/weight": (1, 1, 32, 32),
    "Llama/llama_block_0/mlp/w2/weight": (1, 1, 32, 64),
    "Llama/llama_block_0/attention/qkv_linear/weight": (1, 1, 96, 32),
}
#: Instructions that claim much, or reach for what is not data.
_HOSTILE = [
    b"r\xff\xff\xff\xff",  # LONG_BINPUT: a memo of four billion places
    b"\x8e" + (1 << 40).to_bytes(8, "little"),  # BINBYTES8: a terabyte
    b"\x95" + (1 << 50).to_bytes(8, "little"),  # FRAME
    b"\x8b\xff\xff\xff\x7f",  # LONG4: a number of two billion bytes
    b"cos\nsystem\nX\x05\x00\x00\x00false\x85R",
    b"cbuiltins\neval\nX\x01\x00\x00\x001\x85R",
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x89\x88\x87R(K\x03X\x01\x00\x00\x00<K\x05K\x05K\x05J\xff\xff\xff\xffK\x01K?tb",
    b"cnumpy\ndtype\nX\x01\x00\x00\x00O\x89\x88\x87R",
    b"\x82\x01",  # EXT1
    b"2" * 100,  # DUP
    b"(" * 100,  # MARK
    b"]\x94" * 300,
    b"}}}}",
    b"b",
    b"R",
    b"0",
]


def originals() -> list[bytes]:
    """Valid files of both formats and of all protocols."""
    chooser = np.random.default_rng(1)
    arrays = {name: chooser.standard_normal(shape).astype("<f4") for name, shape in _WEIGHTS.items()}
    header = {"step": np.int64(7), "model_config": {"num_heads": 2, "theta": 500.0, "max_sequence_length": 32}}
    files = []
    for protocol in (2, 3, 4, 5):
        single = {"model_state": {name: {"data": array, "shape": array.shape} for name, array in arrays.items()}}
        files.append(pickle.dumps({**header, **single}, protocol=protocol))
        leaves: dict[str, dict[str, dict[str, object]]] = {"named_parameters": {name: {} for name in arrays}}
        first = {"format": 1, "header": header, "manifest": {"model": leaves, "optimizer": {"m": leaves}}}
        records = [first, *arrays.values(), *arrays.values()]
        files.append(b"".join(pickle.dumps(record, protocol=protocol) for record in records))
    return files


def mutated(original: bytes, chooser: random.Random) -> bytes:
    """One file made of another by one to four changes."""
    data = bytearray(original)
    for _ in range(chooser.randint(1, 4)):
        places = _instructions(bytes(data)) or [0, len(data)]
        begin, end = sorted(chooser.choices(places, k=2)) if len(places) > 1 else (0, len(data))
        what = chooser.randrange(7)
        if what == 0:
            data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)
        elif what == 1:
            data[begin:begin] = chooser.choice(_HOSTILE)
        elif what == 2:
            del data[begin : min(end, begin + 200)]
        elif what == 3:
            data[begin:begin] = data[begin : min(end, begin + 200)] * chooser.randint(1, 20)
        elif what == 4:
            data[begin : begin + 1] = bytes([chooser.choice(pickletools.opcodes).code.encode("latin-1")[0]])
        elif what == 5:
            size = chooser.choice([1, 2, 4, 8])
            place = chooser.randrange(len(data))
            data[place : place + size] = chooser.choice([b"\xff", b"\x7f", b"\x00", b"\x80"]) * size
        else:
            del data[chooser.randrange(1, len(data) + 1) :]
        data = data or bytearray(b".")
    return bytes(data)


def _instructions(data: bytes) -> list[int]:
    places = []
    try:
        for _, _, place in pickletools.genops(data[: 1 << 16]):
            places.append(place or 0)
    except Exception:  # of a file that was changed before, the part up to there
        pass
    return places


def _answer(path: Path) -> bool:
    """Whether the file was read. Raises what no user should see."""
    try:
        saved = read(path)
    except TricksterError:
        return False
    with contextlib.suppress(TricksterError):  # the layout is of no Llama, for a start
        saved.canonical_weights(saved.model_config())
    assert all(isinstance(array, np.ndarray) and array.dtype == np.float32 for array in saved.model.values())
    return True


def fuzz(count: int, seed: int) -> dict[str, Any]:
    """Read `count` changed files in this process, which gets no more than a little memory beyond what it has."""
    files, chooser = originals(), random.Random(seed)
    read_whole = refused = 0
    slowest = 0.0
    os.system = os.popen = None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pkl"
        for data in files:
            path.write_bytes(data)
            read(path)
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
        for number in range(count):
            path.write_bytes(mutated(chooser.choice(files), chooser))
            began = time.monotonic()
            try:
                if _answer(path):
                    read_whole += 1
                else:
                    refused += 1
            except BaseException:
                print(f"file {number} of seed {seed}:", path.read_bytes()[:2000])
                raise
            slowest = max(slowest, time.monotonic() - began)
    return {"files": count, "read": read_whole, "refused": refused, "slowest_s": round(slowest, 3)}


if __name__ == "__main__":
    print(fuzz(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
