"""One value of the config: does the text written there fit the key, and what does it become?"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from trickster_engine.config.keys import PLACE_TYPES, Key
from trickster_engine.config.limits import (
    SMALLEST,
    as_32_bits,
    expected,
    limit_broken,
    listed,
    lost_in_32_bits,
    number_or_int,
)
from trickster_engine.config.list_values import Wrong, read_paths, read_patterns, read_sources
from trickster_engine.config.problems import Edit, Fix, Problem, Range, Severity
from trickster_engine.config.suggestions import nearest
from trickster_engine.config.yaml.nodes import Mapping as YamlMapping
from trickster_engine.config.yaml.nodes import Node, Scalar, Sequence
from trickster_engine.config.yaml.scalars import as_yaml, looks_octal, quote, shown, yaml_1_1_boolean

# Names that other tools use for a value.
OTHER_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "device_config.device_type": {
        "gpu": "cuda",
        "nvidia": "cuda",
        "tenstorrent": "tt",
        "ttnn": "tt",
        "n150": "tt",
        "n300": "tt",
        "t3k": "tt",
        "galaxy": "tt",
        "p100a": "tt",
        "p150": "tt",
        "p300": "tt",
        "wormhole": "tt",
        "blackhole": "tt",
        "metal": "mps",
        "apple": "mps",
    },
    "training_config.precision": {
        "bfloat16": "bf16",
        "fp16": "bf16",
        "float16": "bf16",
        "16": "bf16",
        "mixed": "bf16",
        "float32": "fp32",
        "32": "fp32",
        "full": "fp32",
    },
    "training_config.optimizer": {"adam": "adamw", "sgd": "adamw"},
    "training_config.lr_schedule": {"warmup_linear": "linear", "cos": "cosine"},
    "training_config.loss": {"ce": "cross_entropy", "nll": "cross_entropy"},
    "data_config.tokenizer": {"character": "char", "bytes": "byte", "subword": "bpe"},
    "data_config.corpus": {"tinyshakespeare": "shakespeare", "tiny_shakespeare": "shakespeare"},
}

_LOOSE_NUMBER: Final = re.compile(r"([-+]?)([0-9][0-9_, ]*)(\.[0-9]+)?((?:[eE][-+]?[0-9]{1,3})?)\s*([kKmM]?)")
_SEPARATED: Final = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]{0,2}(?: [0-9]{3})+|[0-9]+(?:_[0-9]+)*")
_DECIMAL_COMMA: Final = re.compile(r"[0-9]+,[0-9]+")


@dataclass
class Reading:
    """What became of a value: `valid` tells whether `value` is one."""

    value: object = None
    valid: bool = False
    problems: list[Problem] = field(default_factory=list)


def read_value(key: Key, node: Node, where: Range) -> Reading:
    """Read the value of `key`. `where` is where problems are shown (the value, or the key when the value is empty)."""
    reader = _ValueReader(key, node, where)
    reader.read()
    return reader.reading


class _ValueReader:
    def __init__(self, key: Key, node: Node, where: Range):
        self.key = key
        self.node = node
        self.where = where
        self.reading = Reading()

    def read(self) -> None:
        key, node = self.key, self.node
        if isinstance(node, Scalar) and node.value is None:
            self._read_nothing()
        elif key.type == "mesh":
            self._read_mesh(node)
        elif key.type == "patterns":
            self._read_list(read_patterns(key.name, node))
        elif key.type == "paths" and isinstance(node, Sequence):
            self._read_list(read_paths(key.name, node))
        elif key.type == "sources" and isinstance(node, Sequence):
            self._read_list(read_sources(node))
        elif not isinstance(node, Scalar):
            shape = "a mapping" if isinstance(node, YamlMapping) else "a list"
            self._wrong_type(f"it is {shape}", self._only_item(node))
        elif key.type == "boolean":
            self._read_boolean(node)
        elif key.type == "text" or key.type in PLACE_TYPES:
            self._read_text(node)
        else:
            self._read_number(node, node.value)

    def _report(self, code: str, message: str, fixes: tuple[Fix, ...] = (), severity: Severity = "error") -> None:
        self.reading.problems.append(Problem(code, severity, message, self.where, fixes, (), self.key.path))

    def _accept(self, value: object) -> None:
        self.reading.value = value
        self.reading.valid = True

    def _replace(self, value: object, *, preferred: bool = True) -> Fix:
        text = as_yaml(value)
        return Fix(f"Write {text}", (Edit(self.node.range, text),), preferred and self._on_one_line)

    @property
    def _on_one_line(self) -> bool:
        """Whether a value stands on one line and holds no comment, by an open quote for example: it would be lost."""
        commented = isinstance(self.node, Scalar) and re.search(r"(^|\s)#", self.node.text) is not None
        return self.node.range.start.line == self.node.range.end.line and not commented

    def _wrong_type(self, found: str, fixes: tuple[Fix, ...] = ()) -> None:
        self._report("wrong-type", f"{self.key.name} must be {expected(self.key)}, but {found}.", fixes)

    def _read_nothing(self) -> None:
        if self.key.optional:
            self._accept(self.key.default)
            return
        written = isinstance(self.node, Scalar) and self.node.text
        default = self.key.default_note or as_yaml(self.key.default)
        message = (
            f"{self.key.name} has no value. Give it {expected(self.key)}, or remove the line: the default is {default}."
        )
        text = as_yaml(self.key.default)
        # `{seed}` is a key without a colon; `where` is the key, as the value is empty
        before = " " if self.node.range.start > self.where.end else ": "
        edit = Edit(self.node.range, text if written else before + text)
        self._report("missing-value", message, (Fix(f"Write {text}", (edit,)),))

    def _only_item(self, node: Node) -> tuple[Fix, ...]:
        if isinstance(node, Sequence) and len(node.items) == 1 and isinstance(node.items[0], Scalar):
            return (self._replace(node.items[0].value),) if node.items[0].value is not None else ()
        return ()

    def _read_boolean(self, node: Scalar) -> None:
        value = node.value
        if isinstance(value, bool):
            self._accept(value)
            return
        truth = yaml_1_1_boolean(node.text)
        if truth is None and isinstance(value, str):
            truth = {"true": True, "false": False, "enabled": True, "disabled": False}.get(node.text.casefold())
        if truth is None and value in (0, 1):
            truth = bool(value)
        if truth is not None and node.plain:
            self._wrong_type(f"in YAML 1.2 {node.text} is {_kind(value)}", (self._replace(truth),))
        elif truth is not None:
            self._wrong_type(f"{shown(quote(node.text))} is a string, because of the quotes", (self._replace(truth),))
        else:
            self._wrong_type(f"this is {_kind(value)}")

    def _read_text(self, node: Scalar) -> None:
        value = node.value
        if isinstance(value, str):
            if node.plain and yaml_1_1_boolean(node.text) is not None:
                message = (
                    f"{shown(node.text)} is a string here, but older YAML readers read it as true or false. Put "
                    "quotes around it, so that every reader agrees."
                )
                fix = Fix(f'Write "{node.text}"', (Edit(node.range, f'"{node.text}"'),), preferred=True)
                self._report("yaml-boolean-word", message, (fix,), "warning")
            self._read_choice(node, value)
            return
        other = OTHER_VALUES.get(self.key.path, {}).get(node.text.casefold())
        if self.key.choices:
            fixes = (self._replace(other),) if other else ()
        else:
            fixes = (Fix(f'Write "{node.text}"', (Edit(node.range, quote(node.text)),), preferred=True),)
        self._wrong_type(f"{shown(node.text)} is {_kind(value)}", fixes)

    def _read_list(self, found: tuple[object, ...] | list[Wrong]) -> None:
        if isinstance(found, tuple):
            self._accept(found)
            return
        for code, message, where in found:
            self.reading.problems.append(Problem(code, "error", message, where, (), (), self.key.path))

    def _read_choice(self, node: Scalar, value: str) -> None:
        key = self.key
        if key.choices and value not in key.choices:
            meant = OTHER_VALUES.get(key.path, {}).get(value.casefold()) or nearest(value, key.choices)
            fixes = [Fix(f"Change to {choice}", (Edit(node.range, choice),), choice == meant) for choice in key.choices]
            fixes.sort(key=lambda fix: not fix.preferred)
            hint = f" Did you mean {meant}?" if meant else ""
            message = f"{key.name} cannot be {shown(value)}.{hint} Use one of {listed(key.choices)}."
            self._report("unknown-value", message, tuple(fixes))
            return
        if key.type in PLACE_TYPES and any(ord(character) < 32 for character in value):
            self._report("unknown-value", f"{key.name} contains a control character, which file names cannot have.")
            return
        if key.type in PLACE_TYPES and not value.strip():
            self._report("missing-value", f"{key.name} is empty. Give it {expected(key)}, or remove the line.")
            return
        self._accept(value)

    def _read_number(self, node: Scalar, value: object) -> None:
        key = self.key
        if isinstance(value, (str, bool)):
            self._wrong_type(self._why_no_number(node, value), self._number_fixes(node))
            return
        assert isinstance(value, (int, float))
        if not math.isfinite(value):
            self._report("out-of-range", f"{key.name} must be {expected(key)}. {shown(node.text)} is not.")
            return
        if key.type == "integer" and isinstance(value, float):
            if value != int(value):
                below, above = math.floor(value), math.ceil(value)
                fixes = tuple(self._replace(each, preferred=False) for each in (below, above))
                self._wrong_type(f"{shown(node.text)} is not whole", fixes)
                return
            value = int(value)
            message = f"{key.name} counts whole {key.unit or 'things'}. {shown(node.text)} is read as {value}."
            self._report("whole-number", message, (self._replace(value),), "hint")
        if node.plain and looks_octal(node.text):
            message = f"{node.text} is read as {number_or_int(value)}; older YAML readers read it as an octal number."
            self._report("leading-zero", message, (self._replace(value),), "warning")
        result: int | float = float(value) if key.type == "number" else int(value)
        complaint = limit_broken(key, result)
        if complaint:
            self._report("out-of-range", complaint, self._limit_fixes(result))
            return
        if isinstance(result, float) and (complaint := lost_in_32_bits(key, result)):
            self._report("out-of-range", complaint, self._fixes_for_32_bits(key, result))
            return
        self._accept(result)

    def _why_no_number(self, node: Scalar, value: object) -> str:
        if not node.plain and Scalar(node.range, node.text, plain=True).value != node.text:
            return f"{shown(quote(node.text))} is a string, because of the quotes"
        return f"{shown(node.text)} is {_kind(value)}"

    def _number_fixes(self, node: Scalar) -> tuple[Fix, ...]:
        """What number the text was meant to be: `"256"`, `1_000`, `10k`, `1,000`."""
        value = Scalar(node.range, node.text.strip(), plain=True).value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            fits = limit_broken(self.key, value) is None and (self.key.type == "number" or value == int(value))
            return (Fix("Remove the quotes", (Edit(node.range, node.text.strip()),), fits),)
        match = _LOOSE_NUMBER.fullmatch(node.text.strip()) if len(node.text) < 40 else None
        if not match:
            return ()
        sign, digits, fraction, exponent, unit = match.groups()
        readings = []
        if _SEPARATED.fullmatch(digits):
            readings.append(re.sub("[_, ]", "", digits) + (fraction or ""))
        # A group of three behind the one comma could be thousands; a count has no decimals.
        if _DECIMAL_COMMA.fullmatch(digits) and not fraction and (not readings or self.key.type == "number"):
            readings.append(digits.replace(",", "."))
        certain = len(readings) == 1
        numbers = [self._scaled(f"{sign}{reading}{exponent}", unit) for reading in readings]
        return tuple(
            self._replace(number, preferred=certain)
            for number in numbers
            if number is not None and limit_broken(self.key, number) is None
        )

    def _scaled(self, digits: str, unit: str) -> float | None:
        """Return a number with `k` or `M` behind it as the key takes it; None where the key takes none of its kind."""
        number = float(digits)
        if unit:  # rounded, as 1.1 * 1000 need not be whole
            number = round(number * {"k": 1_000, "m": 1_000_000}[unit.lower()], 9)
        if self.key.type == "number" or not math.isfinite(number):
            return number if math.isfinite(number) else None
        return int(number) if number == int(number) else None

    def _limit_fixes(self, value: float) -> tuple[Fix, ...]:
        key = self.key
        fixes = []
        nearest_allowed: float | None = None
        if key.minimum is not None and value < key.minimum:
            nearest_allowed = key.minimum
        elif key.maximum is not None and value > key.maximum:
            nearest_allowed = key.maximum
        if nearest_allowed is not None:
            fixes.append(self._replace(int(nearest_allowed) if key.type == "integer" else float(nearest_allowed)))
        if key.default != nearest_allowed and not key.default_note:
            text = as_yaml(key.default)
            fixes.append(
                Fix(f"Write {text}, the default", (Edit(self.node.range, text),), not fixes and self._on_one_line)
            )
        return tuple(fixes)

    def _fixes_for_32_bits(self, key: Key, value: float) -> tuple[Fix, ...]:
        near = 0.0 if abs(value) < SMALLEST else float(f"{as_32_bits(value) - 1e-6:.6f}")
        return (self._replace(near),) if limit_broken(key, near) is None else ()

    def _read_mesh(self, node: Node) -> None:
        key = self.key
        items = node.items if isinstance(node, Sequence) else []
        numbers = [item.value for item in items if isinstance(item, Scalar)]
        whole = [
            number for number in numbers if isinstance(number, int) and not isinstance(number, bool) and number >= 1
        ]
        if len(whole) == len(items) == 2 and max(whole) <= (key.maximum or math.inf):
            self._accept((whole[0], whole[1]))
            return
        fixes: list[Fix] = []
        if isinstance(node, Scalar) and isinstance(node.value, int) and node.value >= 1:
            fixes.append(self._replace((1, int(node.value))))
        elif isinstance(node, Scalar) and (match := re.fullmatch(r"\s*(\d{1,4})\s*[x,*]\s*(\d{1,4})\s*", node.text)):
            fixes.append(self._replace((int(match.group(1)), int(match.group(2)))))
        elif len(whole) == len(items) == 1:
            fixes.append(self._replace((1, whole[0])))
        preferred = not fixes and self._on_one_line
        fixes.append(Fix("Write [1, 1], one device", (Edit(node.range, "[1, 1]"),), preferred))
        message = f"{key.name} must be {expected(key)}: [1, 1] is one device, [1, 2] two in a row."
        code = "wrong-type" if len(numbers) != 2 or len(items) != 2 else "out-of-range"
        self._report(code, message, tuple(fixes))


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    return "a text"
