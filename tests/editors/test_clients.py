"""What a person does with a config, done by the real editors with the very configs that docs/editors.md shows."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.editors.conftest import CACHE, FEATURES, HERE, Terminal, Workspace, editor_config, program
from tests.editors.table import check_recorded
from trickster_engine.config import set_values

pytest.importorskip("torch")


def run_scenario(workspace: Workspace, command: list[str], **environment: str) -> dict[str, object]:
    """Run an editor with its scenario to the end. Returns what the scenario has written."""
    terminal = Terminal(command, workspace.folder, workspace.environment(**environment))
    code = terminal.end(80)
    shown = terminal.text()[-3000:]
    assert workspace.results.exists(), f"the editor ended with {code} and wrote nothing:\n{shown}"
    results: dict[str, object] = json.loads(workspace.results.read_text(encoding="utf-8"))
    assert "failed" not in results, (results, shown)
    results["exit"] = workspace.ended_cleanly()
    errors = [
        one["params"]["message"] for one in workspace.said("server", "window/logMessage") if one["params"]["type"] == 1
    ]
    assert errors == []
    assert not [one for one in workspace.said("server") if str(one.get("method")).startswith("trickster/")]
    return results


def version_of(command: list[str]) -> str:
    offscreen = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}  # Kate wants a screen even to say its version
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=offscreen).stdout
    found = re.search(r"\d+\.\d+(?:\.\d+)?", shown)
    assert found is not None
    return found[0]


def recorded(name: str, version: str, results: dict[str, object]) -> None:
    check_recorded(name, version, [feature for feature in FEATURES if results.get(feature)])


def test_neovim(workspace: Workspace) -> None:
    nvim = program("nvim", CACHE / "python" / "bin" / "nvim")
    version = version_of([nvim, "--version"])
    if tuple(map(int, version.split("."))) < (0, 11):
        pytest.skip(f"nvim is {version}, and 0.11 is needed: make setup-editors")
    init = workspace.home / "init.lua"
    scenario = HERE / "neovim.lua"
    init.write_text(editor_config("neovim", workspace.server) + f'\ndofile("{scenario}")\n', encoding="utf-8")
    results = run_scenario(workspace, [nvim, "--headless", "--clean", "-u", str(init), str(workspace.config)])
    assert results["lens"]
    recorded("Neovim", version, results)


def test_neovim_completes_a_line_with_a_model_of_ones_own(workspace: Workspace) -> None:
    nvim = program("nvim", CACHE / "bin" / "nvim", CACHE / "python" / "bin" / "nvim")
    version = version_of([nvim, "--version"])
    if tuple(map(int, version.split("."))) < (0, 12):
        pytest.skip(f"nvim is {version}, and 0.12 is needed: make setup-editors")
    rng = random.Random(1)
    lines = [f"Fox \U0001f98a thumbs\nVery {rng.randrange(10**9)}\n" for _ in range(400)]
    (workspace.folder / "corpus.txt").write_text("".join(lines), encoding="utf-8")
    keys = {"max_steps": 200, "batch_size": 8, "warmup_steps": 10, "eval_interval": 200, "save_interval": 200}
    text = workspace.config.read_text(encoding="utf-8").replace("checkpoint_frequency", "save_interval")
    changes = {f"training_config.{name}": str(value) for name, value in keys.items()}
    workspace.config.write_text(set_values(text, {**changes, "sampling_config.prompt": "Fox"}), encoding="utf-8")
    command = [sys.executable, "-m", "trickster_engine", "train", str(workspace.config)]
    run = workspace.folder / "runs" / "pico-001"
    subprocess.run([*command, "--run-dir", str(run)], check=True, capture_output=True, env=workspace.environment())
    notes = workspace.folder / "notes.txt"  # Markdown wants a parser that Debian packages apart
    notes.write_text("", encoding="utf-8")
    init = workspace.home / "init.lua"
    scenario = HERE / "neovim_completion.lua"
    config = editor_config("neovim-completion", workspace.server)
    init.write_text(f'{config}\ndofile("{scenario}")\n', encoding="utf-8")
    results = run_scenario(workspace, [nvim, "--headless", "--clean", "-u", str(init), str(notes)])
    assert results["completed"] == "Fox \U0001f98a thumbs"
    assert results["exit"]


def run_emacs(workspace: Workspace, name: str, *before: str) -> dict[str, object]:
    emacs = program("emacs", CACHE / "bin" / "emacs")
    init = workspace.home / ".emacs.d" / "init.el"
    init.parent.mkdir()
    scenario = [(HERE / one).read_text(encoding="utf-8") for one in ("emacs.el", f"{name}.el")]
    init.write_text("\n".join([*before, *scenario, editor_config(name, workspace.server)]), encoding="utf-8")
    return run_scenario(workspace, [emacs, "-nw", str(workspace.config)])


def has_package(emacs: str, package: str) -> bool:
    asked = f'(progn (package-activate-all) (kill-emacs (if (locate-library "{package}") 0 1)))'
    return subprocess.run([emacs, "--batch", "--eval", asked], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("name", "shown"), [("eglot", "Emacs, eglot"), ("lsp-mode", "Emacs, lsp-mode")])
def test_emacs(workspace: Workspace, name: str, shown: str) -> None:
    emacs = program("emacs", CACHE / "bin" / "emacs")
    for package in (name, "yaml-mode"):
        if not has_package(emacs, package):
            pytest.skip(f"emacs has no {package}: make setup-editors")
    results = run_emacs(workspace, name)
    recorded(shown, version_of([emacs, "--version"]), results)


@pytest.mark.parametrize(
    ("name", "shown", "places"),
    [
        ("ale", "Vim, ALE", (CACHE / "ale", Path("/usr/share/vim-ale"))),
        ("vim-lsp", "Vim, vim-lsp", (CACHE / "vim-lsp",)),
    ],
)
def test_vim(workspace: Workspace, name: str, shown: str, places: tuple[Path, ...]) -> None:
    vim = program("vim")
    plugin = next((one for one in places if (one / "plugin").is_dir()), None)
    if plugin is None:
        pytest.skip(f"vim has no {name}: make setup-editors")
    vimrc = workspace.home / ".vimrc"
    scenario = "".join(f"source {HERE / one}\n" for one in (f"{name}.vim", "vim.vim"))
    vimrc.write_text(
        f"set nocompatible\nfiletype plugin on\nset runtimepath+={plugin}\n{scenario}"
        + editor_config(name, workspace.server),
        encoding="utf-8",
    )
    results = run_scenario(workspace, [vim, "-u", str(vimrc), str(workspace.config)])
    recorded(shown, version_of([vim, "--version"]), results)
