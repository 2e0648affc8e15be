"""Installs the PyTorch of requirements/torch.txt beside the Python that runs this: the build that fits this machine.

    python requirements/install_torch.py

On Linux the usual build carries gigabytes for NVIDIA cards. Where there is none, uv fetches the build without them;
where there is one, uv takes what its driver can run. On other systems, and where uv cannot, pip takes what it finds. A
PyTorch that is there and that the project works with is left alone. Sizes and progress are what the installer prints.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = "uv.exe" if sys.platform == "win32" else "uv"


def main() -> int:
    """Install it; 0 where it is there afterwards."""
    wanted = next(line for line in _lines(HERE / "torch.txt") if line.startswith("torch=="))
    present = _present()
    if present is not None and _works(present):
        print(f"PyTorch {present} is here already, and stays.")
        return 0
    if sys.platform == "linux":
        nvidia = has_nvidia()
        uv = _uv()
        if uv is not None:
            kind, backend = ("for NVIDIA cards", "auto") if nvidia else ("for processors alone", "cpu")
            print(f"Installing {wanted}, the build {kind}.", flush=True)
            if _run([uv, "pip", "install", "--python", sys.executable, "--torch-backend", backend, wanted]) == 0:
                return 0
        print(f"That build cannot be had here. pip takes {wanted} from where it is set to look.", flush=True)
    return _run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", wanted])


def has_nvidia() -> bool:
    """Whether an NVIDIA card has its driver here."""
    if Path("/proc/driver/nvidia/version").exists():
        return True
    program = shutil.which("nvidia-smi")  # also in WSL, where the driver lies outside
    return program is not None and subprocess.run([program, "-L"], capture_output=True, check=False).returncode == 0


def _present() -> str | None:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _works(version: str) -> bool:
    """Whether the range of pyproject.toml takes a version."""
    text = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    bounds = re.search(r'"torch>=(\d+)\.(\d+),<(\d+)"', text)
    number = re.match(r"(\d+)\.(\d+)", version)
    if bounds is None or number is None:
        return False
    major, minor, beyond = map(int, bounds.groups())
    return (major, minor) <= (int(number[1]), int(number[2])) < (beyond, 0)


def _uv() -> str | None:
    """The program uv: the person's, or one fetched into this environment."""
    if found := shutil.which("uv"):
        return found
    program = Path(sysconfig.get_path("scripts")) / PROGRAM
    if not program.exists():
        locked = ["--require-hashes", "--no-deps", "-r", str(HERE / "uv.txt")]
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *locked])
    return str(program) if program.exists() else None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _run(command: list[str]) -> int:
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
