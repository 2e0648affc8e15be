"""tt-train's own YAML (`training_config` and `transformer_config`) as a Trickster config, with every key accounted for.

tt-train keeps two files: one for the training, which names the other, for the model. No torch is needed here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trickster_engine.config.check import check
from trickster_engine.config.keys import SECTIONS
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range
from trickster_engine.config.yaml.composer import DEEPEST_NESTING
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.errors import TricksterError
from trickster_engine.interop.tt_train_conversion import Account, Conversion
from trickster_engine.interop.tt_train_sections import (
    convert_device,
    convert_model,
    convert_other_section,
    convert_sampling,
    convert_training,
)
from trickster_engine.system.files import read_text
from trickster_engine.system.os_errors import reason

#: Theirs are about a kilobyte. Reading takes a second for a hundred of it.
MOST_BYTES = 32_768
_MOST_BRACKETS = 500

#: One of these is in every file of theirs, and in hardly any of ours: most texts need not be parsed.
_THEIR_WORDS = ("transformer_config", "project_name", "use_clip_grad_norm", "model_save_interval", "scheduler_type")


@dataclass(frozen=True)
class ConversionResult:
    """A Trickster config and where each of its values came from."""

    text: str
    accounts: tuple[Account, ...]
    problems: tuple[Problem, ...]  # what the checker says about `text`

    def as_text(self) -> str:
        """The accounts, a line each."""
        lines = []
        for account in self.accounts:
            arrow = f" -> {account.target}" if account.target else ""
            note = f"  ({account.note})" if account.note else ""
            lines.append(f"{account.fate:9} {account.key}: {account.value!r}{arrow}{note}")
        return "\n".join(lines)


def is_tt_train(text: str) -> bool:
    """Whether a text looks like one of tt-train's configs rather than one of ours."""
    if not any(word in text for word in _THEIR_WORDS):
        return False
    try:
        document = _parsed(text)
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    training = document.get("training_config")
    marks = {"optimizer", *_THEIR_WORDS}
    # `optimizer` is a key of ours as well, but there it is a word.
    own = isinstance(training, dict) and isinstance(training.get("optimizer"), str)
    found = isinstance(training, dict) and not own and bool(marks & set(training))
    return "transformer_config" in document or found


def _parsed(text: str) -> Any:
    """The document in a text of theirs. Raises ValueError where it is none, or larger or more tangled than theirs."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} characters")
    if text.count("[") + text.count("{") > _MOST_BRACKETS:  # the scanner's time grows with their square
        raise ValueError(f"it has more than {_MOST_BRACKETS} lists and mappings in brackets")
    try:
        # A few lines of names that stand for one another can mean gigabytes once they are written out.
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases (*name), which are not supported here")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST_NESTING:
                raise ValueError("it is nested too deeply")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def convert(text: str, model_text: str | None = None, path: Path | None = None) -> ConversionResult:
    """Convert tt-train's YAML to ours.

    `model_text` is the model's file; None looks for the one that the training's names, starting from `path`, the file
    that `text` came from. Raises TricksterError where the config is of a model that is not a Llama, asks for something
    that would train differently, or where the model's file cannot be found.
    """
    document = _load(text, path)
    training = _section(document, "training_config")
    model = _find_model(document, training, model_text, path)
    conversion = Conversion()
    convert_model(conversion, model, training)
    convert_training(conversion, training)
    convert_device(conversion, _section(document, "device_config"))
    convert_sampling(conversion, _section(document, "eval_config"))
    for name, value in document.items():
        if name not in ("training_config", "transformer_config", "device_config", "eval_config"):
            convert_other_section(conversion, name, value)
    result = _write(conversion, path)
    return ConversionResult(result, tuple(conversion.accounts), tuple(check(result).problems))


def quick_fix(text: str, path: Path | None = None) -> Fix | None:
    """The editor's fix that turns a tt-train file into a config of ours, or None where the text is none."""
    if not is_tt_train(text):
        return None
    try:
        result = convert(text, path=path)
    except TricksterError:
        return None
    lines = text.split("\n")
    whole = Range(Position(0, 0), Position(len(lines) - 1, len(lines[-1])))
    return Fix("Convert this tt-train config to Trickster's keys", (Edit(whole, result.text),), preferred=True)


def _find_model(
    document: Mapping[str, Any], training: Mapping[str, Any], model_text: str | None, path: Path | None
) -> Mapping[str, Any]:
    if model_text is not None:
        return _section(_load(model_text, None), "transformer_config")
    for holder in (document, training):
        if isinstance(holder.get("transformer_config"), dict):
            return _section(holder, "transformer_config")
    named = training.get("model_config")
    if not isinstance(named, str):
        raise TricksterError(
            "no-model-config",
            "This file has neither transformer_config nor training_config.model_config: the model's shape is unknown.",
            "Give the model's file as well, for instance model_configs/nanollama3_char.yaml.",
        )
    found = _resolve(named, path)
    if found is None:
        raise TricksterError(
            "model-config-missing",
            f"The model's file {named} is not at the path in this file.",
            "Set TT_METAL_RUNTIME_ROOT to the tt-metal folder, or give the model's file as well.",
        )
    return _section(_load(_text_of(found), found), "transformer_config")


def _text_of(found: Path) -> str:
    try:
        return read_text(found, MOST_BYTES, follow_links=True)
    except OSError as error:
        why = reason(error)
    except UnicodeDecodeError:
        why = "it is not UTF-8 text"
    raise TricksterError(
        "model-config-missing", f"The model's file {found} cannot be read: {why}.", "Give the model's file as well."
    )


def _resolve(named: str, path: Path | None) -> Path | None:
    expanded = Path(os.path.expandvars(named))
    # ${TT_METAL_RUNTIME_ROOT} may not be set on the machine that converts: what follows tt-train is enough.
    match = re.search(r"tt-train/(.+)$", named)
    tails = [expanded, *([Path("tt-train") / match.group(1), Path(match.group(1))] if match else [])]
    folders = [Path.cwd()] if path is None else [path.resolve().parent, *path.resolve().parents[1:]]
    for tail in tails:
        for folder in folders:
            for candidate in (folder / tail, folder / "model_configs" / tail.name):
                if candidate.is_file():
                    return candidate
    return None


def _load(text: str, path: Path | None) -> dict[str, Any]:
    where = f" {path}" if path else ""
    try:
        document = _parsed(text)
    except ValueError as error:
        raise TricksterError(
            "yaml-unreadable", f"The file{where} is not readable YAML: {error}", "Fix it, and convert it again."
        ) from error
    if not isinstance(document, dict):
        raise TricksterError(
            "not-a-tt-train-config",
            f"The file{where} is not one of tt-train's configs: it has no sections.",
            "Give a file from tt-train/configs/training_configs.",
        )
    return document


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise TricksterError("not-a-tt-train-config", f"{name} has no keys.", "Give one of tt-train's own configs.")
    return value


def _write(conversion: Conversion, path: Path | None) -> str:
    lines = [f"# Converted from tt-train's {path.name if path else 'config'} by trickster import-config."]
    for section in SECTIONS.values():
        written = [
            f"  {name}: {as_yaml(conversion.values[key.path])}"
            for name, key in section.keys.items()
            if key.path in conversion.values
        ]
        if written:
            lines += ["", f"{section.name}:", *written]
    left_out = [account for account in conversion.accounts if account.fate == "left out"]
    if left_out:
        lines += ["", "# Not converted:"]
        lines += [f"#   {account.key}: {as_comment(account.value)} ({account.note})" for account in left_out]
    return "\n".join(lines) + "\n"


def as_comment(value: object) -> str:
    """A value on one line of a comment."""
    return re.sub(r"\s+", " ", str(value))
