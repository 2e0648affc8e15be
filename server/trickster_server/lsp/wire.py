"""JSON values to the dataclasses of `lsp/messages` and back, strictly, with errors that name the field."""

from __future__ import annotations

import dataclasses
import types
import typing
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from trickster_server.lsp.messages.fields import wire_name

Message = TypeVar("Message")


_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


class WireError(ValueError):
    """A JSON value does not have the form a message asks for."""


def from_wire(message: type[Message], value: Any) -> Message:
    """Read a message. Unknown fields are passed over, so that an older server understands a newer client.

    Raises WireError naming the first field that is missing or has the wrong type.
    """
    return typing.cast(Message, _dataclass_from(message, value, message.__name__))


def options_from_wire(message: type[Message], value: Any) -> tuple[Message, list[str]]:
    """Read a message whose fields may all be left out, each for itself; and what is wrong with those not taken.

    One bad field takes nothing else with it.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return message(), [f"expected an object, found {_kind(value)}"]
    arguments: dict[str, Any] = {}
    wrong: list[str] = []
    for name, wire, hint, _ in _parts(cast(Any, message)):
        if wire in value:
            try:
                arguments[name] = _value_from(hint, value[wire], wire)
            except WireError as error:
                wrong.append(str(error))
    return message(**arguments), wrong


def to_wire(value: Any) -> Any:
    """The JSON value of a message. Plain values (events, lists, numbers) are passed on untouched."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {wire: to_wire(getattr(value, name)) for name, wire, _, _ in _parts(cast(Any, type(value)))}
    if isinstance(value, list) and value and dataclasses.is_dataclass(value[0]):
        return [to_wire(entry) for entry in value]
    return value


@cache
def _parts(message: Any) -> tuple[tuple[str, str, Any, bool], ...]:
    """(name, name on the wire, type, required) of every field."""
    hints = typing.get_type_hints(message)
    return tuple(
        (
            part.name,
            wire_name(part.name),
            hints[part.name],
            part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING,
        )
        for part in dataclasses.fields(message)
    )


def _dataclass_from(message: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise WireError(f"{where}: expected an object, found {_kind(value)}")
    arguments: dict[str, Any] = {}
    for name, wire, hint, required in _parts(cast(Any, message)):
        if wire in value:
            arguments[name] = _value_from(hint, value[wire], f"{where}.{wire}")
        elif required:
            raise WireError(f"{where}.{wire} is missing")
    return message(**arguments)


def _value_from(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        errors: list[WireError] = []
        for argument in arguments:
            if argument is type(None):
                continue
            try:
                return _value_from(argument, value, where)
            except WireError as error:
                errors.append(error)
        raise errors[0]
    if origin is Literal:
        if value not in arguments:
            raise WireError(f"{where}: expected one of {', '.join(map(repr, arguments))}")
        return value
    if origin is list:
        if not isinstance(value, list):
            raise WireError(f"{where}: expected a list, found {_kind(value)}")
        return [_value_from(arguments[0], entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise WireError(f"{where}: expected an object, found {_kind(value)}")
        return {str(name): _value_from(arguments[1], entry, f"{where}.{name}") for name, entry in value.items()}
    if dataclasses.is_dataclass(hint):
        return _dataclass_from(typing.cast("type[Any]", hint), value, where)
    return _plain_from(hint, value, where)


def _plain_from(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise WireError(f"{where}: expected {_kind_name(hint)}, found {_kind(value)}")


def _kind_name(hint: Any) -> str:
    return _KINDS.get(hint, str(hint))


def _kind(value: Any) -> str:
    return _kind_name(type(value))
