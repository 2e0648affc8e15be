"""What a gallery, a container and a release need to find: files, targets of make, and an address for the pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "build" / "node" / "bin"
MANIFEST: dict[str, Any] = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))


def targets() -> set[str]:
    """The names that `make` knows."""
    rules = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / "extension/extension.mk").read_text(
        encoding="utf-8"
    )
    return {name for line in re.findall(r"^([\w .-]+):(?!=)", rules, flags=re.MULTILINE) for name in line.split()}


def made(command: str) -> set[str]:
    """The targets that a shell command asks `make` for."""
    words = [word for call in re.findall(r"\bmake ([^\n;&|]+)", command) for word in call.split()]
    return {word for word in words if "=" not in word}


def test_the_manifest_says_what_a_gallery_shows() -> None:
    assert MANIFEST["pricing"] == "Free"
    assert MANIFEST["categories"] and MANIFEST["keywords"] and MANIFEST["icon"]
    assert "onStartupFinished" not in MANIFEST["activationEvents"] and "*" not in MANIFEST["activationEvents"]
    assert MANIFEST["extensionKind"] == ["workspace"]
    (schema,) = MANIFEST["contributes"]["yamlValidation"]
    assert "model_config" in json.loads((ROOT / schema["url"]).read_text(encoding="utf-8"))["properties"]


def test_the_container_and_the_release_call_targets_that_exist() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    commands = [value for key, value in container.items() if key.endswith("Command")]
    assert set().union(*map(made, commands)) == {"setup", "vsix"} <= targets()
    assert set(container["customizations"]["vscode"]["settings"]) <= set(
        MANIFEST["contributes"]["configuration"]["properties"]
    )
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    steps = [step for job in release["jobs"].values() for step in job["steps"]]
    asked = set().union(*(made(step.get("run", "")) for step in steps))
    assert {"vsix", "check", "test-extension", "test-workbench", "test-workbench-oldest"} <= asked <= targets()


@pytest.mark.skipif(not (NODE / "npm").exists() or not (ROOT / "dist/.built").exists(), reason="wants `make extension`")
def test_a_release_is_packed_with_pictures_from_the_web(tmp_path: Path) -> None:
    """The commands of the release workflow, on a copy: vsce itself says whether a gallery would take it."""
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    (address,) = [step["run"] for step in release["jobs"]["package"]["steps"] if "npm pkg set" in step.get("run", "")]
    for name in [
        *("package.json", "LICENSE", ".vscodeignore", "dist", "l10n", "server", "trickster_engine", "walkthroughs"),
        *("package.nls.json", "package.nls.de.json", "package.nls.zh-cn.json"),
    ]:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    shutil.copytree(ROOT / "extension", tmp_path / "extension")
    (tmp_path / "docs").mkdir()
    environment = {
        **os.environ,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "somebody/trickster",
        "PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}",
    }

    def run(command: str | list[str]) -> None:
        result = subprocess.run(
            command,
            check=False,
            shell=isinstance(command, str),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr

    run(address)
    vsce = ROOT / "node_modules/@vscode/vsce/vsce"
    pages = ["--readme-path", "extension/README.md", "--changelog-path", "extension/CHANGELOG.md"]
    run(["node", str(vsce), "package", "--no-dependencies", *pages, "--out", "trickster.vsix"])
    shutil.unpack_archive(tmp_path / "trickster.vsix", tmp_path / "package", "zip")
    packed = cast(dict[str, Any], json.loads((tmp_path / "package/extension/package.json").read_text(encoding="utf-8")))
    assert packed["bugs"]["url"] == "https://github.com/somebody/trickster/issues"
    pictures = re.findall(
        r"!\[[^\]]*\]\(([^)]+)\)", (tmp_path / "package/extension/readme.md").read_text(encoding="utf-8")
    )
    assert pictures and all(picture.startswith("https://github.com/somebody/trickster/") for picture in pictures)
