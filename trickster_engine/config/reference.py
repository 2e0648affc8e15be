"""The reference of all sections and keys, as Markdown: docs/config.md, and what agents read."""

from __future__ import annotations

from trickster_engine.config.keys import SECTIONS, Key
from trickster_engine.config.keys.names import RETIRED_KEYS
from trickster_engine.config.limits import expected
from trickster_engine.config.presets import preset_names, preset_plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.config.yaml.scalars import as_yaml


def config_page() -> str:
    """Return the reference of all sections and keys."""
    lines = [
        "# The config",
        "",
        "One YAML file describes a training run. It has six sections. Every section and every key may be omitted and "
        "then has its default. An unknown key is an error, so a typo is never silently ignored. `trickster check "
        "FILE` lists the problems of a config and where they are.",
        "",
        "Numbers are written as in YAML 1.2: `3e-4` is a number; `yes` is a string, `true` a boolean. Paths are "
        "relative to the folder of the file.",
        "",
        *_preset_table(),
    ]
    for section in SECTIONS.values():
        lines += ["", f"## {section.name}", "", section.doc]
        for key in section.keys.values():
            lines += ["", *_key_entry(key)]
    lines += ["", "## Keys of older configs", "", *_older_keys()]
    return "\n".join(lines) + "\n"


def _preset_table() -> list[str]:
    lines = [
        "`trickster presets NAME` prints a preset:",
        "",
        "| preset | parameters | num_layers | hidden_dim | context |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in preset_names():
        model = preset_plan(name).model
        total = count_parameters(model).total
        lines.append(f"| `{name}` | {total:,} | {model.num_layers} | {model.hidden_dim} | {model.max_seq_len} |")
    return lines


def _key_entry(key: Key) -> list[str]:
    facts = [expected(key)[0].upper() + expected(key)[1:]]
    if key.unit:
        facts.append(key.unit)
    if key.default_note:
        facts.append(f"default: {key.default_note}")
    elif key.default is not None:
        facts.append(f"default `{as_yaml(key.default)}`")
    else:
        facts.append("optional")
    lines = [f"### {key.section}.{key.name}", "", f"*{'; '.join(facts)}.*", "", key.doc]
    if key.effect:
        lines += ["", key.effect]
    if key.named_values:
        lines += ["", *(f"- `{value}`: {doc}" for value, doc in key.named_values.items())]
    if key.limit_reason:
        lines += ["", f"Reason for the limit: {key.limit_reason}"]
    if key.counts_when is not None and not key.counts_when.negated and None not in key.counts_when.values:
        other = key.counts_when.key.split(".")[1]
        values = " or ".join(f"`{other}: {as_yaml(value)}`" for value in key.counts_when.values)
        lines += ["", f"Only takes effect with {values}."]
    return lines


def _older_keys() -> list[str]:
    lines = ["These are still accepted, with a hint and a fix.", "", "| key | now |", "|---|---|"]
    for section in SECTIONS.values():
        for key in section.keys.values():
            for alias in key.aliases:
                note = f" {alias.note}" if alias.note else ""
                lines.append(f"| `{section.name}.{alias.name}` | `{key.name}`.{note} |")
    lines += [f"| `{retired.path}` | Has no effect. {retired.note} |" for retired in RETIRED_KEYS.values()]
    return lines
