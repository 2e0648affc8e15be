"""Change values in a config's text, as `--set training_config.max_steps=200` does, and leave the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trickster_engine.config.check import check
from trickster_engine.config.keys import KEYS, PLACE_TYPES, Key
from trickster_engine.config.suggestions import nearest
from trickster_engine.config.walk import alias_of
from trickster_engine.config.yaml.editing import write_value
from trickster_engine.config.yaml.parser import parse
from trickster_engine.config.yaml.scalars import as_yaml, quote, shown
from trickster_engine.config.yaml.text import apply_edits
from trickster_engine.errors import TricksterError


class OverrideError(TricksterError):
    """A value could not be set: the name is unknown, or the text gives no place for it. The message says which."""

    def __init__(self, message: str) -> None:
        super().__init__("bad-override", message, "docs/config.md lists every key.", exit_code=2)


def set_values(text: str, overrides: Mapping[str, str]) -> str:
    """Return `text` with each key of `overrides` set to its value.

    A name is dotted (`training_config.max_steps`), or bare (`max_steps`) where one section alone has it. A value is
    written as in YAML; a text need not be quoted. Whether the values are good is for `check` to say afterwards.

    Raises:
        OverrideError: a name is no key, or the text is not a config that values can be written into.

    """
    for name, value in overrides.items():
        text = _set(text, find_key(name), value)
    return text


def with_fitting_warmup(text: str, overrides: Mapping[str, str]) -> tuple[str, str | None]:
    """A text that `overrides` have shortened, with the warm-up that nobody set cut to fit, and what to say about it.

    A warm-up in `overrides` stays: then it is for `check` to say what is wrong.
    """
    paths = {find_key(name).path for name in overrides}
    if "training_config.max_steps" not in paths or "training_config.warmup_steps" in paths:
        return text, None
    for problem in check(text).problems:
        if problem.code == "warmup-too-long":
            fix = next(fix for fix in problem.fixes if fix.preferred)
            return apply_edits(text, fix.edits), f"the run is shorter than its warm-up. {fix.title}: done for this run."
    return text, None


def find_key(name: str) -> Key:
    """Return the key of a dotted or bare name.

    Raises:
        OverrideError: there is no such key, or several sections have one of this name.

    """
    if name in KEYS:
        return KEYS[name]
    section, _, bare = name.rpartition(".")
    if section:
        key = alias_of(section, bare)
        if key is not None:
            return key
    else:
        matches = [key for key in KEYS.values() if key.name == bare]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise OverrideError(f"{bare} is in several sections. Write {' or '.join(key.path for key in matches)}.")
    meant = nearest(name, KEYS) or nearest(bare, [key.name for key in KEYS.values()])
    if meant is not None and meant not in KEYS:
        meant = next(key.path for key in KEYS.values() if key.name == meant)
    hint = f" Did you mean {meant}?" if meant else " `trickster presets` shows configs with the usual keys."
    raise OverrideError(f"There is no key {shown(name)}.{hint}")


def _set(text: str, key: Key, value: str) -> str:
    document = parse(text)
    if not document.complete:
        first = next((problem for problem in document.problems if problem.severity == "error"), None)
        where = f" (line {first.range.start.line + 1}: {first.message})" if first else ""
        raise OverrideError(f"{key.name} cannot be set, because the config is not readable{where}.")
    edits = write_value(document, key, yaml_text(key, value))
    if not edits:
        raise OverrideError(f"{key.name} cannot be set in this file automatically: add it to {key.section} by hand.")
    return apply_edits(text, edits)


_QUOTED: Final = ('"', "'")


def yaml_text(key: Key, value: str) -> str:
    """Return `value` as it must stand in the file for `key`: a text is quoted where it would mean something else."""
    stripped = value.strip()
    if key.type in ("paths", "patterns", "sources") and stripped.startswith("["):
        return stripped
    if key.type == "patterns":
        return as_yaml([stripped])
    if key.type != "text" and key.type not in PLACE_TYPES:
        return stripped or '""'
    if len(stripped) >= 2 and stripped[0] in _QUOTED and stripped[-1] == stripped[0]:
        return stripped
    if key.optional and stripped in ("null", "~", ""):
        return "null"
    return as_yaml(value) if value.isprintable() else quote(value)
