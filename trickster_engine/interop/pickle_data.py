"""Reads what a pickle holds without running what it asks to run.

A pickle is a program for a machine with a stack. `pickletools` takes it apart into its instructions;
`pickle_machine.py` carries out those that make plain data. NumPy's arrays are put together afterwards, from parts that
were looked at one by one, so that no code of NumPy's ever sees what a stranger wrote.

What a file can make this process hold is bounded by the file's own size.
"""

from __future__ import annotations

import math
import os
import pickletools
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from trickster_engine.interop.pickle_machine import Machine, Named, PickleError
from trickster_engine.system.files import open_plain

#: Instructions of all records together. A header with a tokenizer of 100,000 tokens has about a million.
MOST_INSTRUCTIONS = 1_500_000
_MOST_DIMENSIONS = 32
#: The element types that may be stored, as NumPy pickles their names. All have a fixed size and no code of their own.
_ELEMENTS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


class PickleFile:
    """A file of one pickle after the other."""

    def __init__(self, path: Path) -> None:
        """Open a plain file. Raises OSError."""
        self._file = open_plain(path, follow_links=True)
        self._reader = _Bounded(self._file, os.fstat(self._file.fileno()).st_size)
        self._instructions_left = MOST_INSTRUCTIONS
        self._array_bytes_left = self._reader.left

    def __enter__(self) -> PickleFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def load(self) -> Any:
        """The next record. Raises PickleError, or OSError where the file cannot be read."""
        machine = Machine()
        try:
            for instruction, argument, _ in pickletools.genops(cast(IO[bytes], self._reader)):
                self._instructions_left -= 1
                if self._instructions_left < 0:
                    raise PickleError(f"it has more than {MOST_INSTRUCTIONS:,} instructions")
                machine.carry_out(instruction.name, argument)
            return machine.result()
        except MemoryError as error:
            raise PickleError("its content does not fit into this machine's memory") from error
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError) as error:
            # What pickletools and the machine raise on bytes that are no pickle.
            raise error if isinstance(error, PickleError) else PickleError(f"it is damaged ({error})") from error

    def array(self, value: Any) -> NDArray[Any]:
        """The array that an object stands for; bfloat16 comes as its bits, in uint16. Raises PickleError."""
        shape, element, fortran, data = _parts_of_array(value)
        if isinstance(data, memoryview):
            self._array_bytes_left -= data.nbytes
        if self._array_bytes_left < 0:  # one buffer under many names would be copied as often
            raise PickleError("its arrays together are larger than the file")
        count = math.prod(shape)
        if count * element.itemsize != data.nbytes:
            raise PickleError(f"an array of shape {list(shape)} has {data.nbytes:,} bytes")
        return np.frombuffer(data, dtype=element, count=count).reshape(shape, order="F" if fortran else "C")


def whole_number(value: Any) -> int | None:
    """A number that is an int or a NumPy scalar of whole numbers; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Named) and value.is_("numpy._core.multiarray", "scalar") and len(value.arguments or ()) == 2:
        element, data = cast(tuple[Any, Any], value.arguments)
        try:
            kind, raw = _element(element), _raw(data)
        except PickleError:
            return None
        if kind.kind in "iu" and raw.nbytes == kind.itemsize:
            return int(np.frombuffer(raw, dtype=kind)[0])
    return None


class _Bounded:
    """A file that never reads, nor makes room for, more than it has left."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.left = size

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise PickleError("it is cut short, or claims more than it holds")
        data = self._file.read(count)
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self._file.readline(1 << 16)
        self.left -= len(line)
        return line


# ---- arrays ---------------------------------------------------------------------------------------------------------


def _parts_of_array(value: Any) -> tuple[tuple[int, ...], np.dtype[Any], bool, memoryview]:
    """Shape, element type, whether columns come first, and the bytes of an array. Raises PickleError."""
    if not isinstance(value, Named) or value.arguments is None:
        raise PickleError(f"a {type(value).__name__} where an array should be")
    if value.is_("numpy._core.numeric", "_frombuffer") and len(value.arguments) == 4 and value.state is None:
        data, element, shape, order = value.arguments
        if order not in ("C", "F"):
            raise PickleError("an array in an unknown order")
        return _shape(shape), _element(element), order == "F", _raw(data)
    if value.is_("numpy._core.multiarray", "_reconstruct") and value.arguments:
        kind = value.arguments[0]
        if not isinstance(kind, Named) or not kind.is_("numpy", "ndarray"):
            raise PickleError("an array of a class of its own")
        state = value.state
        if not isinstance(state, tuple) or len(state) != 5 or state[0] != 1 or not isinstance(state[3], bool):
            raise PickleError("an array of an unknown form")
        if isinstance(state[4], list):
            raise PickleError("an array of objects")
        return _shape(state[1]), _element(state[2]), state[3], _raw(state[4])
    raise PickleError(f"a {value.module}.{value.name} where an array should be")


def _shape(value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, tuple) else (value,)
    if len(sizes) > _MOST_DIMENSIONS or not all(type(size) is int and 0 <= size < 1 << 48 for size in sizes):
        raise PickleError("an array of an impossible shape")
    return cast(tuple[int, ...], sizes)


def _element(value: Any) -> np.dtype[Any]:
    """The element type that a pickled dtype stands for, made by us from a short list. Raises PickleError."""
    if not isinstance(value, Named) or not value.is_("numpy", "dtype") or not value.arguments:
        raise PickleError("an array without an element type")
    kind, state = value.arguments[0], value.state
    order = "<"
    if state is not None:
        if not isinstance(state, tuple) or len(state) != 8 or state[0] != 3 or state[1] not in ("<", ">", "|", "="):
            raise PickleError("an element type of an unknown form")
        is_bfloat16 = isinstance(kind, Named) and kind.is_("ml_dtypes", "bfloat16")
        own_size = is_bfloat16 and state[5:7] == (2, 2) and isinstance(state[7], int)  # a type that is not NumPy's own
        if any(part is not None for part in state[2:5]) or not (state[5:] == (-1, -1, 0) or own_size):
            raise PickleError("an element type with parts of its own")
        order = "<" if state[1] in ("|", "=") else state[1]
    if isinstance(kind, Named) and kind.arguments is None and kind.is_("ml_dtypes", "bfloat16"):
        return np.dtype(f"{order}u2")
    if kind == "O" or (isinstance(kind, str) and kind.startswith("O")):
        raise PickleError("an array of objects")
    if not isinstance(kind, str) or kind not in _ELEMENTS:
        raise PickleError("an element type that no checkpoint has")
    return np.dtype(f"{order}{kind}")


def _raw(value: Any) -> memoryview:
    """Bytes, also in the form in which protocol 2 writes them: as text, to be encoded. Raises PickleError."""
    if isinstance(value, (bytes, bytearray)):
        return memoryview(value)
    if isinstance(value, Named) and value.is_("_codecs", "encode") and value.arguments is not None:
        words = value.arguments
        if len(words) == 2 and isinstance(words[0], str) and words[1] == "latin1":
            try:
                return memoryview(words[0].encode("latin-1"))
            except UnicodeEncodeError as error:
                raise PickleError("an array whose data is not bytes") from error
    raise PickleError("an array without its bytes")
