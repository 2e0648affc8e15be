"""Arguments that several commands share, and how they become a config."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickster_engine.cli.terminal import json_text
from trickster_engine.config import check, preset_names, preset_text, set_values
from trickster_engine.config.overrides import with_fitting_warmup
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem
from trickster_engine.config.suggestions import nearest
from trickster_engine.config.yaml.parser import LONGEST_TEXT
from trickster_engine.errors import TricksterError
from trickster_engine.system import files
from trickster_engine.system.os_errors import reason

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subcommands = argparse._SubParsersAction  # not a generic type at run time


#: Where runs are put unless a config says otherwise.
DEFAULT_RUNS = Path("runs")
RUN_HELP = "a run: its folder, or its name in runs/"


@dataclass(frozen=True)
class LoadedConfig:
    """A config that passed the check, and the text it came from."""

    path: Path
    text: str
    plan: Plan


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `(CONFIG | --preset NAME)` and `--set`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a YAML config")
    source.add_argument("--preset", metavar="NAME", help=f"a preset: {', '.join(preset_names())}")
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add `--set section.key=value`."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value, for instance --set training_config.max_steps=200 (may be repeated)",
    )


def run_path(words: str) -> Path:
    """The run that somebody names: its folder, or the name under which `trickster runs` lists it."""
    path, listed = Path(words), DEFAULT_RUNS / words
    return listed if not path.exists() and listed.is_dir() else path


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")


def read_overrides(options: argparse.Namespace) -> dict[str, str]:
    """`--set` as a dictionary. Raises TricksterError where one has no `=`."""
    overrides: dict[str, str] = {}
    for item in options.overrides:
        key, equals, value = item.partition("=")
        if not equals:
            raise TricksterError("bad-override", f"--set {item} has no value.", "Write --set section.key=value.", 2)
        overrides[key.strip()] = value  # a text is taken as it is, blanks and line ends too
    return overrides


def with_dashed_values(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Arguments in which a text that begins with a dash is its option's value: `-p -x` becomes `--prompt=-x`.

    argparse takes every such word for an option. One that is an option's own name stays what it is.
    """
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    command = next((commands.choices[word] for word in arguments if word in commands.choices), None)
    if command is None:
        return list(arguments)
    known = command._option_string_actions
    joined: list[str] = []
    words = iter(arguments)
    for word in words:
        option = known.get(word)
        if option is None or option.nargs is not None or not isinstance(option, _TAKES_TEXT):
            joined.append(word)
            continue
        value = next(words, None)
        if value is None or value.partition("=")[0] in known or not value.startswith("-"):
            joined += [word] if value is None else [word, value]
        else:
            joined.append(f"{option.option_strings[-1]}={value}")
    return joined


_TAKES_TEXT = (argparse._StoreAction, argparse._AppendAction)


def load_config(options: argparse.Namespace) -> LoadedConfig:
    """The config a command names. Prints warnings; raises TricksterError where it has errors."""
    path, text = read_config_text(options)
    result = check(text, path.parent.resolve())
    show_problems([p for p in result.problems if p.severity in ("error", "warning")], path)
    if result.plan is None:
        count = sum(problem.severity == "error" for problem in result.problems)
        raise TricksterError(
            "config-invalid",
            f"{path} has {count} error{'s' if count > 1 else ''}.",
            "docs/problems.md explains each code in brackets.",
        )
    return LoadedConfig(path, text, result.plan)


def read_config_text(options: argparse.Namespace) -> tuple[Path, str]:
    """The text of the config a command names, with `--set` applied."""
    if options.preset is not None:
        if options.preset not in preset_names():
            near = nearest(options.preset, preset_names())
            raise TricksterError(
                "preset-unknown",
                f"There is no preset {options.preset}." + (f" Did you mean {near}?" if near else ""),
                f"The presets are: {', '.join(preset_names())}.",
                2,
            )
        path, text = Path(f"{options.preset}.yaml"), preset_text(options.preset)
    else:
        path, text = options.config, read_text(options.config)
    overrides = read_overrides(options)
    return path, with_overrides(text, overrides) if overrides else text


def with_overrides(text: str, overrides: Mapping[str, str]) -> str:
    """The text with `--set` applied. A warm-up that would outlast a shortened run is shortened with it, and said so."""
    fitted, said = with_fitting_warmup(set_values(text, overrides), overrides)
    if said:
        print(f"note: {said}", file=sys.stderr)
    return fitted


def read_text(path: Path) -> str:
    """A UTF-8 file's text. Raises TricksterError."""
    try:
        return files.read_text(path, LONGEST_TEXT, follow_links=True)
    except UnicodeDecodeError as error:
        raise TricksterError(
            "not-text", f"{path} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8 and try again."
        ) from error
    except OSError as error:
        raise TricksterError(
            "config-unreadable",
            f"Cannot read {path}: {reason(error)}.",
            "Name a config file, or use a preset with --preset NAME (see: trickster presets).",
        ) from error


def show_problems(problems: list[Problem], path: Path) -> None:
    """Print problems to stderr in the form that editors turn into links."""
    for problem in problems:
        start = problem.range.start
        where = f"{path}:{start.line + 1}:{start.character + 1}"
        print(f"{where}: {problem.severity}: {problem.message} [{problem.code}]", file=sys.stderr)


def print_table(rows: Iterable[tuple[str, str]]) -> None:
    """Print facts, one a line."""
    for name, value in rows:
        print(f"{name + ':':<15}{value}")


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json_text(value, indent=2))
