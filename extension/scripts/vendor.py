"""Puts what the packaged extension carries beside its JavaScript into dist/.

dist/libs                        what the language server imports: pygls, lsprotocol, PyYAML and their own needs,
                                 without compiled parts, so that one package fits every machine and every Python
                                 from 3.10 on
dist/training-requirements.txt   what "Set Up Environment" installs: the engine's dependencies of pyproject.toml

Nothing is done when dist/libs is already made from the same versions.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
LIBS = DIST / "libs"
OLDEST_PYTHON = "3.10"
#: What cattrs needs on Python 3.10 only; pip judges that by the Python it runs in.
FOR_OLDEST_PYTHON = ["exceptiongroup==1.3.1"]


def quoted_list(text: str, name: str) -> list[str]:
    """The strings of a TOML list `name = [...]` of pyproject.toml. (tomllib comes with Python 3.11 only.)"""
    match = re.search(rf"^{name}\s*=\s*\[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit(f"pyproject.toml has no list named {name}.")
    return re.findall(r'"([^"]+)"', match.group(1))


def pip(*arguments: str) -> None:
    """Run pip, quietly; its own words stand when it fails."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", str(LIBS), *arguments]
    subprocess.run(command, check=True)


def main() -> None:
    """Make both."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    training = quoted_list(project, "dependencies")
    server = [*quoted_list(project, "server"), *FOR_OLDEST_PYTHON]
    yaml = [requirement for requirement in training if requirement.startswith("PyYAML")]
    DIST.mkdir(exist_ok=True)
    (DIST / "training-requirements.txt").write_text("\n".join(training) + "\n", encoding="utf-8")

    stamp = LIBS / ".made-from"
    wanted = "\n".join([*server, *yaml, OLDEST_PYTHON])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(LIBS, ignore_errors=True)
    pip("--platform", "any", "--python-version", OLDEST_PYTHON, "--only-binary", ":all:", "--upgrade", *server)
    # PyYAML's wheels are built for one machine each because of an optional faster parser; without it they fit all.
    pip("--no-deps", "--upgrade", *yaml)
    shutil.rmtree(LIBS / "_yaml", ignore_errors=True)
    shutil.rmtree(LIBS / "bin", ignore_errors=True)
    for compiled in [*LIBS.rglob("*.so"), *LIBS.rglob("*.pyd"), *LIBS.rglob("*.dylib")]:
        compiled.unlink()
    for cache in LIBS.rglob("__pycache__"):
        shutil.rmtree(cache)
    stamp.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
