"""The machine that a pickle is a program for, without the instructions that run anything.

It makes plain data. A class or function that the program names becomes a `Named`, and what would be made of it a
`Named` with arguments: neither can do anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

#: Nothing that ttml writes goes deeper than a dozen.
MOST_LEVELS = 100


class PickleError(ValueError):
    """The file is no pickle of plain data and arrays, or claims more than it holds."""


@dataclass(eq=False)
class Named:
    """A class or function that a file names and, once it is called there, an object made of it. It can do nothing."""

    module: str
    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None

    def get(self, name: str) -> Any:
        """A field of the object, or None."""
        return self.state.get(name) if isinstance(self.state, dict) else None

    def is_(self, module: str, name: str) -> bool:
        """Whether it is this one. `numpy.core` became `numpy._core` in NumPy 2."""
        return (self.module.replace("numpy.core", "numpy._core"), self.name) == (module, name)


class _Mark:
    """Where a group of objects on the stack begins."""


_MARK = _Mark()
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CARRIES_ITS_VALUE = frozenset(
    {
        *("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_SAYS_NOTHING = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})


class Machine:
    """The stack and the memo of one record, and the instructions that make plain data."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._names: dict[tuple[str, str], Named] = {}

    def result(self) -> Any:
        """What is left on the stack at the end."""
        value = self._pop()
        _require_shallow(value)
        return value

    def carry_out(self, name: str, argument: Any) -> None:
        """One instruction. Raises PickleError for one that makes no plain data; other errors for a damaged file."""
        if name in _CARRIES_ITS_VALUE:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top()
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name not in _SAYS_NOTHING and name != "STOP":
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise PickleError(f"it uses the instruction {name}, which plain data does not need")
            if argument is None:
                action()
            else:
                action(argument)

    # ---- containers -------------------------------------------------------------------------------------------------

    def _append(self) -> None:
        value = self._pop()
        self._container(list).append(value)

    def _appends(self) -> None:
        values = self._marked()
        self._container(list).extend(values)

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._container(dict)[_key(key)] = value

    def _setitems(self) -> None:
        values = self._marked()
        into = self._container(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            into[_key(key)] = value

    def _additems(self) -> None:
        values = self._marked()
        self._container(set).update(map(_key, values))

    def _frozenset(self) -> None:
        self._stack.append(frozenset(map(_key, self._marked())))

    def _list(self) -> None:
        self._stack.append(self._marked())

    def _dict(self) -> None:
        values = self._marked()
        self._stack.append({_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)})

    def _tuple(self) -> None:
        self._stack.append(tuple(self._marked()))

    def _tuple1(self) -> None:
        self._stack.append((self._pop(),))

    def _tuple2(self) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _tuple3(self) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _pop_mark(self) -> None:
        self._marked()

    # ---- what would be carried out ----------------------------------------------------------------------------------

    def _global(self, words: str) -> None:
        module, _, name = words.partition(" ")
        self._push_named(module, name)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("a name that is not a string")
        self._push_named(module, name)

    def _reduce(self) -> None:
        arguments, named = self._pop(), self._pop()
        self._push_made(named, arguments)

    def _newobj(self) -> None:
        self._reduce()

    def _newobj_ex(self) -> None:
        keywords, arguments, named = self._pop(), self._pop(), self._pop()
        self._push_made(named, (arguments, keywords))

    def _build(self) -> None:
        state, made = self._pop(), self._top()
        if not isinstance(made, Named) or made.arguments is None or made.state is not None:
            raise PickleError("a state for an object that has none")
        made.state = state

    def _push_named(self, module: str, name: str) -> None:
        self._stack.append(self._names.setdefault((module, name), Named(module, name)))

    def _push_made(self, named: Any, arguments: Any) -> None:
        if not isinstance(named, Named) or named.arguments is not None or not isinstance(arguments, tuple):
            raise PickleError("a call of an object that is not a function")
        self._stack.append(Named(named.module, named.name, arguments))

    # ---- the stack --------------------------------------------------------------------------------------------------

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise PickleError("a mark where an object should be")
        return value

    def _pop(self) -> Any:
        value = self._top()
        self._stack.pop()
        return value

    def _marked(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise PickleError("a group without a beginning")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _container(self, kind: type[Any]) -> Any:
        value = self._top()
        if type(value) is not kind:
            raise PickleError(f"a {type(value).__name__} where a {kind.__name__} should be")
        return value


def _key(value: Any) -> Any:
    # Python's hash of text is secret; numbers with the same hash can be chosen, and a dictionary of them takes forever.
    if isinstance(value, (int, float)) and not abs(value) < 1 << 32:
        raise PickleError("a name that is a large number")
    if not isinstance(value, (str, int, float, bytes)) and value is not None:
        raise PickleError(f"a {type(value).__name__} as a name")
    return value


def _require_shallow(value: Any) -> None:
    """Whoever walks through a record afterwards must come to its end: no cycles, and not too many levels."""
    heights: dict[int, int] = {}

    def height(one: Any, level: int) -> int:
        if not isinstance(one, (dict, list, tuple, set, frozenset, Named)):
            return 0
        known = heights.get(id(one))
        if level + (known or 0) > MOST_LEVELS or known == _UNDER_WAY:
            raise PickleError(f"it is nested deeper than {MOST_LEVELS} levels, or refers to itself")
        if known is None:
            heights[id(one)] = _UNDER_WAY
            known = heights[id(one)] = 1 + max((height(inner, level + 1) for inner in _inside(one)), default=0)
        return known

    height(value, 0)


_UNDER_WAY = -1


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Named):
        return (value.arguments, value.state)
    return cast(Iterable[Any], value.values() if isinstance(value, dict) else value)
