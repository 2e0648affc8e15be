"""What a plain YAML scalar means, after the YAML 1.2 core schema.

PyYAML's own rules are those of YAML 1.1, in which `3e-4` is a text, `012` is ten and `yes` is true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)")
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
# Only YAML 1.1 reads these as a truth value.
_YAML_1_1_TRUE = frozenset({"yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_YAML_1_1_FALSE = frozenset({"no", "No", "NO", "off", "Off", "OFF", "n", "N"})

# A longer integer counts as infinite: beyond 308 digits none has a float, and beyond 4300 Python does not read it.
_MOST_DIGITS = 300
_LARGEST = 10**_MOST_DIGITS

Value = None | bool | int | float | str


def resolve(text: str) -> Value:
    """Return the value of the plain scalar `text`."""
    if text in _NULL:
        return None
    first = text[0]
    if first not in "+-.0123456789":
        if text in _TRUE:
            return True
        return False if text in _FALSE else text
    return _number(text)


def _number(text: str) -> Value:
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            return float("-inf") if text.startswith("-") else float("inf")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        number = int(text, 0) if len(text) <= _MOST_DIGITS else _LARGEST
        return number if number < _LARGEST else float("inf")
    if _INFINITY.fullmatch(text):
        return float("-inf") if text.startswith("-") else float("inf")
    return float("nan") if text in _NOT_A_NUMBER else text


def yaml_1_1_boolean(text: str) -> bool | None:
    """Return the truth value that a YAML 1.1 reader (such as PyYAML) sees in `text`, if only such a reader does."""
    if text in _YAML_1_1_TRUE:
        return True
    return False if text in _YAML_1_1_FALSE else None


def looks_octal(text: str) -> bool:
    """Return whether a YAML 1.1 reader takes the plain integer `text` for an octal number, and so for another one."""
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits.startswith("0") and digits.isdecimal() and digits.isascii() and int(text) != 0


def quote(text: str) -> str:
    """Return `text` as a quoted YAML scalar on one line."""
    if "'" not in text and text.isprintable():
        return f"'{text}'" if '"' in text or "\\" in text else f'"{text}"'
    escaped = []
    for character in text:
        if character in '"\\':
            escaped.append("\\" + character)
        elif character.isprintable():
            escaped.append(character)
        elif character in _ESCAPES:
            escaped.append(_ESCAPES[character])
        else:
            code = ord(character)
            escaped.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
    return '"' + "".join(escaped) + '"'


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
_SAFE_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./+-]*")


def as_yaml(value: object) -> str:
    """Return `value` as it would be written in a config: `0.0003`, `true`, `[1, 2]`, `"ROMEO:"`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {as_yaml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_yaml(item) for item in value) + "]"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _SAFE_PLAIN.fullmatch(text) and isinstance(resolve(text), str) and yaml_1_1_boolean(text) is None:
        return text
    return quote(text)


def shown(text: str, longest: int = 60) -> str:
    """Return a text from a file so that it can stand in a message: short, and with nothing that spoils the line."""
    short = text if len(text) <= longest else text[: longest - 3] + "..."
    return short if short and short.isprintable() and short == short.strip() else quote(short)


def number_text(value: float) -> str:
    """Return a float the short way: `0.1`, `3e-4`, `10000.0`."""
    if math.isnan(value):
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}"
    if value != 0 and abs(value) < 0.001:
        mantissa, exponent = f"{value:.12e}".split("e")
        short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return short if float(short) == value else text
    return text
