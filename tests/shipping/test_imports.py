"""How the code hangs together: layers point down, imports stand at the top, and the picture of it is current."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools import architecture_picture

ROOT = Path(__file__).parents[2]
#: Packages that may be loaded where they are needed: what takes seconds to import, and what need not be there.
LOADED_LATE = {
    "torch", "ttml", "ttnn", "tokenizers", "transformers", "safetensors", "wandb", "tensorboard", "numpy",
    "rdkit", "chess", "music21", "umap",
}  # fmt: skip
#: Modules of the standard library that only one system has.
OF_ONE_SYSTEM = {"fcntl", "msvcrt", "resource", "termios", "winreg", "pwd", "ctypes"}
OWN = {"trickster_engine", "trickster_server", "lsprotocol", "runpy"}
#: Places that load our own modules and their tools late.
LOAD_THEIR_OWN = {
    "trickster_engine/cli/": "each command loads only what it needs, so that the others stay quick",
    "trickster_engine/doctor/probe.py": "each probe is a process that loads only what it asks about",
    "trickster_engine/system/launcher.py": "nothing is loaded before the search path is safe",
    "trickster_engine/training/start.py": "torchrun is loaded for several processes only",
    "trickster_engine/training/rank.py": "what fails while it is loaded is reported to the process that started it",
    "trickster_engine/inference/worker.py": "nothing that may print is loaded before the streams are safe",
    "trickster_engine/__main__.py": "nothing is loaded before the search path is safe",
    "server/trickster_server/__main__.py": "nothing is loaded before the search path is safe",
    "server/trickster_server/lsp/import_speedup.py": "it changes how those types are made while they load",
}


def late_imports() -> Iterator[str]:
    """Each import inside a function of the product that no rule allows, as `file:line module`."""
    for path in [*(ROOT / "trickster_engine").rglob("*.py"), *(ROOT / "server").rglob("*.py")]:
        place = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for node in {inner for function in functions for inner in ast.walk(function)}:
            if isinstance(node, ast.Import):
                modules = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            else:
                continue
            for module in modules:
                package = module.split(".")[0]
                own = package in OWN and place.startswith(tuple(LOAD_THEIR_OWN))
                if package not in LOADED_LATE | OF_ONE_SYSTEM and not own:
                    yield f"{place}:{node.lineno} {module}"


def test_layers_point_down() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_imports_stand_at_the_top() -> None:
    assert sorted(late_imports()) == []


def test_the_picture_of_the_imports_is_current() -> None:
    assert architecture_picture.PICTURE.read_text(encoding="utf-8") == architecture_picture.picture()
