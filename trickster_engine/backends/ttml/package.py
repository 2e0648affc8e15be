"""Finding Tenstorrent's ttml and importing it, late and with care: the import alone may open the boards.

ttml is built from the tt-metal source tree and is in no package registry. A package of the same name on PyPI is about
something else entirely, so nothing here ever suggests installing "ttml".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_text
from trickster_engine.system.tenstorrent import boards

_GIT_BYTES = 1 << 12  # a file of git that names a commit or a folder

#: Set before anything of ttml is imported, the first three only where ttnn or ttml lies in that very tree: ttnn from a
#: wheel carries its own part of one, and aborts where it is sent to another. Values that are already there win.
HOME_VARIABLE = "TT_METAL_HOME"
RUNTIME_ROOT_VARIABLE = "TT_METAL_RUNTIME_ROOT"
ARCHITECTURE_VARIABLE = "TT_METAL_ARCH_NAME"
LOG_LEVELS = (("TT_LOGGER_LEVEL", "FATAL"), ("LOGURU_LEVEL", "WARNING"))
#: What lies in every tt-metal tree, and ttnn reads when it opens a device.
_NEEDED_IN_ROOT = "tt_metal/core_descriptors"

#: Said wherever a person could take a passing check for a proof.
SILICON = (
    "Trickster's Tenstorrent backend is tested against a double of ttml with ttml's documented rules, and has not run "
    "on a board yet. `trickster doctor --self-test` tests it on yours and writes a report."
)

BUILD_ADVICE = (
    "ttml is part of tt-metal's source tree: build it as described in tt-train/docs/INSTALLING_TTML.md in "
    "https://github.com/tenstorrent/tt-metal, then choose that Python with `Trickster: Select Interpreter` or run "
    "trickster with it. No package registry has it; the package called ttml on PyPI is unrelated."
)

UPDATE_ADVICE = "Update tt-metal (v0.77 or later is best), build it with tt-train, and try again."


@dataclass(frozen=True)
class Found:
    """What is known of a package without importing it."""

    location: Path | None  # the folder of the package
    unrelated: bool  # it is the package of the same name on PyPI


def find_ttml() -> Found | None:
    """Look for a package called ttml without importing it; None where there is none."""
    spec = importlib.util.find_spec("ttml")
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    return Found(Path(folders[0]) if folders else None, _is_unrelated(folders))


def prepare_environment(environment: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """Set the variables that tt-metal reads on import, where they are missing and can be known; return those."""
    environment = os.environ if environment is None else environment
    before = dict(environment)
    if home := metal_home():
        environment.setdefault(HOME_VARIABLE, str(home))
        environment.setdefault(RUNTIME_ROOT_VARIABLE, str(home))
        architectures = {board.architecture for board in boards()} - {None}
        if len(architectures) == 1 and (architecture := architectures.pop()):
            environment.setdefault(ARCHITECTURE_VARIABLE, architecture)
    for name, level in LOG_LEVELS:
        environment.setdefault(name, level)
    return {name: value for name, value in environment.items() if before.get(name) != value}


def import_ttml() -> tuple[ModuleType, ModuleType]:
    """Import `ttml` and `ttnn`. Raises TricksterError for every way in which that is known to go wrong."""
    found = find_ttml()
    if found is None:
        raise TricksterError(
            "ttml-missing", "This Python has no ttml, the library that trains on Tenstorrent boards.", BUILD_ADVICE
        )
    if found.unrelated:
        raise unrelated_package(found.location)
    prepare_environment()
    if wrong := wrong_root():
        raise wrong
    try:
        ttnn = importlib.import_module("ttnn")
        ttml = importlib.import_module("ttml")
    except Exception as error:
        raise import_failed(error) from error
    if not hasattr(getattr(ttml, "autograd", None), "AutoContext"):
        raise unrelated_package(found.location)
    if not (hasattr(ttnn, "Layout") and hasattr(ttnn, "DataType")):
        raise TricksterError(
            "ttml-too-old",
            "This tt-metal is older than v0.66: its ttnn has no Layout and DataType.",
            "Update tt-metal to v0.73 or later and build it with tt-train.",
        )
    return ttml, ttnn


def wrong_root(environment: Mapping[str, str] | None = None) -> TricksterError | None:
    """The error for a root that ttnn would look for its files in, and not find them, and abort the process."""
    root = (os.environ if environment is None else environment).get(RUNTIME_ROOT_VARIABLE)
    if not root or (Path(root) / _NEEDED_IN_ROOT).is_dir():
        return None
    return TricksterError(
        "metal-root-wrong",
        f"{RUNTIME_ROOT_VARIABLE} is {root}, which does not contain {_NEEDED_IN_ROOT}: ttnn would look there for its "
        "files and abort.",
        f"Unset {RUNTIME_ROOT_VARIABLE}: ttnn finds its own files. Set it only to a tree that ttnn was built in.",
    )


def version_of(package: ModuleType, distribution: str) -> str:
    """A package's version in words. tt-metal is often built from a checkout, which has only a commit."""
    declared = getattr(package, "__version__", None)
    if isinstance(declared, str):
        return declared
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return checkout_of(os.environ.get(HOME_VARIABLE)) or "unknown"


def checkout_of(metal_home: str | None) -> str | None:
    """The commit that a tt-metal tree is checked out at, in short, read from its files; None if it is no checkout."""
    if not metal_home:
        return None
    git = Path(metal_home) / ".git"
    try:
        if git.is_file():  # a submodule or a worktree: the file names the real folder
            git = (git.parent / read_text(git, _GIT_BYTES).removeprefix("gitdir:").strip()).resolve()
        head = read_text(git / "HEAD", _GIT_BYTES).strip()
        if head.startswith("ref:"):
            head = read_text(git / head.removeprefix("ref:").strip(), _GIT_BYTES).strip()
    except (OSError, ValueError):
        return None
    return f"commit {head[:10]}" if re.fullmatch(r"[0-9a-f]{40}", head) else None


def unrelated_package(location: Path | None) -> TricksterError:
    """The error for a package that is called ttml and is not Tenstorrent's."""
    return TricksterError(
        "ttml-unrelated",
        f"The ttml that this Python finds{f' in {location}' if location else ''} is not Tenstorrent's: "
        "it has no autograd.AutoContext.",
        f"Remove it from this Python (pip uninstall ttml). {BUILD_ADVICE}",
    )


def missing(what: str, advice: str = UPDATE_ADVICE) -> TricksterError:
    """The error for a build that lacks something that training needs."""
    return TricksterError("ttml-incomplete", f"This ttml does not have {what}.", advice)


def import_failed(error: BaseException) -> TricksterError:
    """The error for an import that raised, in words where the cause is known."""
    text = f"{type(error).__name__}: {error}"
    if "bad_cast" in text:
        return TricksterError(
            "ttml-bad-cast",
            "Importing ttml failed with std::bad_cast: ttnn was built without tt-train, and the two do not share "
            "their types.",
            "In the tt-metal tree, rebuild ttnn with tt-train on (ninja -C build_Release ttnn/_ttnn.so) and copy "
            "the new _ttnn.so over ttnn/ttnn/_ttnn.so.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "ttnn":
        return TricksterError("ttnn-missing", "This Python finds ttml, but not ttnn, which ttml needs.", BUILD_ADVICE)
    if HOME_VARIABLE in text or RUNTIME_ROOT_VARIABLE in text:
        return TricksterError(
            "metal-home-missing",
            f"ttml does not know where tt-metal is ({text}).",
            f"Set {HOME_VARIABLE} and {RUNTIME_ROOT_VARIABLE} to the tt-metal folder.",
        )
    return TricksterError(
        "ttml-import-failed",
        f"Importing ttml failed: {text}.",
        "Run `trickster doctor` to see what is missing on this machine.",
    )


def _is_unrelated(folders: list[str]) -> bool:
    """Whether the package is PyPI's: the installed metadata says what it is about."""
    if any((Path(folder) / "_ttml").exists() or (Path(folder) / "autograd").is_dir() for folder in folders):
        return False
    try:
        metadata = importlib.metadata.metadata("ttml")
    except importlib.metadata.PackageNotFoundError:
        return False
    return "tensor train" in str(metadata.json.get("summary", "")).lower()


def metal_home() -> Path | None:
    """The tt-metal tree that this Python's ttnn or ttml lies in; None for packages that were installed elsewhere."""
    for package in ("ttnn", "ttml"):
        folder = _folder_of(package)
        for above in folder.resolve().parents if folder else ():
            if (above / "tt_metal").is_dir() and ((above / "tt-train").is_dir() or (above / "ttnn").is_dir()):
                return above
    return None


def ttnn_folder() -> Path | None:
    """Where ttnn lies, without importing it. PyPI's carries part of a tt-metal tree."""
    return _folder_of("ttnn")


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) if folders else None
