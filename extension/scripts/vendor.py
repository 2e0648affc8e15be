"""Puts what the packaged extension carries beside its JavaScript into dist/.

dist/libs                        what the language server imports: pygls, lsprotocol, PyYAML and their own needs,
                                 without compiled parts, so that one package fits every machine and every Python
                                 from 3.10 on; the versions and sums are those of requirements/server.txt
dist/training-requirements.txt   what "Set Up Environment" installs: the engine's dependencies of pyproject.toml, and
                                 the PyTorch of requirements/torch.txt

Nothing is done when dist/libs is already made from the same versions.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
LIBS = DIST / "libs"
LOCK = ROOT / "requirements" / "server.txt"
TORCH = ROOT / "requirements" / "torch.txt"
OLDEST_PYTHON = "3.10"


def quoted_list(text: str, name: str) -> list[str]:
    """The strings of a TOML list `name = [...]` of pyproject.toml. (tomllib comes with Python 3.11 only.)"""
    match = re.search(rf"^{name}\s*=\s*\[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit(f"pyproject.toml has no list named {name}.")
    return re.findall(r'"([^"]+)"', match.group(1))


def pip(requirements: str, *options: str) -> None:
    """Install locked requirements, quietly; pip's own words stand when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "requirements.txt"
        locked.write_text(requirements, encoding="utf-8")
        into = ["--quiet", "--no-compile", "--upgrade", "--target", str(LIBS)]
        sums = ["--no-deps", "--require-hashes", "-r", str(locked)]
        subprocess.run([sys.executable, "-m", "pip", "install", *into, *options, *sums], check=True)


def main() -> None:
    """Make both."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    training = [one for one in quoted_list(project, "dependencies") if not one.startswith("torch")]
    training += [line for line in TORCH.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    DIST.mkdir(exist_ok=True)
    (DIST / "training-requirements.txt").write_text("\n".join(training) + "\n", encoding="utf-8")

    stamp = LIBS / ".made-from"
    wanted = LOCK.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(LIBS, ignore_errors=True)
    # A requirement is a line and the indented lines of its sums.
    requirements = re.findall(r"^\S.*\n(?:[ \t].*\n)*", wanted, re.MULTILINE)
    yaml = [requirement for requirement in requirements if requirement.startswith("pyyaml==")]
    pure = [requirement for requirement in requirements if requirement not in yaml]
    pip("".join(pure), "--platform", "any", "--python-version", OLDEST_PYTHON, "--only-binary", ":all:")
    # PyYAML's wheels are built for one machine each because of an optional faster parser; without it they fit all.
    pip("".join(yaml))
    shutil.rmtree(LIBS / "_yaml", ignore_errors=True)
    shutil.rmtree(LIBS / "bin", ignore_errors=True)
    for compiled in [*LIBS.rglob("*.so"), *LIBS.rglob("*.pyd"), *LIBS.rglob("*.dylib")]:
        compiled.unlink()
    for cache in LIBS.rglob("__pycache__"):
        shutil.rmtree(cache)
    stamp.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
