"""What Trickster itself writes, and the config that it is told with: never part of a text to train on.

A text that grows with every run, because the last run's log lies beside it, would be another text each time, and no
run on it could be resumed.
"""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from pathlib import Path

from trickster_engine.config.keys import SECTIONS
from trickster_engine.config.plan import OutputConfig
from trickster_engine.config.yaml.parser import LONGEST_TEXT
from trickster_engine.system.files import open_plain, path_meant

_CONFIG_SUFFIXES = (".yaml", ".yml")
_SECTION = re.compile(rb"^\{?[\"']?(" + "|".join(SECTIONS).encode() + rb")[\"']?[ \t]*:", re.MULTILINE)
#: Of a run directory; `runs` builds on this package, and a test holds these names to its own.
_RUN_FILES = ("events.jsonl", "config.yaml")
_MODEL_FILES = ("model.safetensors", "model.safetensors.index.json")
RUN = "a run of Trickster"
_RUN_NAME = re.compile(r".-\d{3,}")


@dataclass(frozen=True)
class OwnOutput:
    """The folders that a config has its runs, checkpoints and logs written to, and the config's own file."""

    folders: tuple[Path, ...] = ()
    config: Path | None = None

    def below(self, root: Path) -> OwnOutput:
        """The same with real paths, without the folders that hold `root`: a text is named there on purpose."""
        real = [_real(folder) for folder in self.folders]
        start = _real(root)
        inside = tuple(folder for folder in real if folder != start and folder not in start.parents)
        return OwnOutput(inside, _real(self.config) if self.config else None)

    def is_config(self, path: Path) -> bool:
        """Whether a file is the config that the text is read for."""
        if self.config is None or os.path.normcase(path.name) != os.path.normcase(self.config.name):
            return False
        return _real(path) == _real(self.config)


NOTHING = OwnOutput()


def own_output(output: OutputConfig, folder: Path, config: Path | None = None) -> OwnOutput:
    """What a plan's runs write, paths relative to `folder`; `config` is its file where that is known."""
    return own_folders((output.output_dir, output.checkpoint_dir, output.log_dir), folder, config)


def own_folders(written: tuple[str | None, ...], folder: Path, config: Path | None = None) -> OwnOutput:
    """The same from the names as they are written."""
    folders: list[Path] = []
    for name in written:
        if name:
            try:
                folders.append(path_meant(folder, name))
            except ValueError:  # a zero character in the name
                continue
    return OwnOutput(tuple(folders), config)


def kind_of_output(folder: Path) -> str | None:
    """What of Trickster's a folder holds, in words; None where it holds none of it."""
    if all(os.path.isfile(folder / name) for name in _RUN_FILES):  # noqa: PTH113 - Path.is_file may raise
        return RUN
    if any(os.path.isfile(folder / name) for name in _MODEL_FILES):  # noqa: PTH113
        return "a model"
    if _RUN_NAME.search(folder.name) and os.path.isfile(folder / "log.txt"):  # noqa: PTH113
        return "the log of a run"
    return None


def is_config(path: Path, size: int) -> bool:
    """Whether a file is a config for Trickster: YAML with one of its sections."""
    if path.suffix.lower() not in _CONFIG_SUFFIXES or size > LONGEST_TEXT:
        return False
    try:
        with open_plain(path, follow_links=True) as stream:
            return _SECTION.search(stream.read(LONGEST_TEXT).removeprefix(BOM_UTF8)) is not None
    except OSError:
        return False


def _real(path: Path) -> Path:
    return Path(os.path.normcase(os.path.realpath(path)))
