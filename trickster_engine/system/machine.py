"""What this machine has, as far as can be seen without torch: main memory, and NVIDIA's GPUs."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trickster_engine.system.programs import find_program

_PROBE_S = 5.0
_LIMITS_OF_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver reports it."""

    name: str
    memory: int  # bytes


def nvidia_gpus() -> list[Gpu]:
    """Return the GPUs that nvidia-smi reports; none where it is missing, fails or takes too long."""
    program = find_program("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        rows = [line.rsplit(",", 1) for line in answer.stdout.splitlines()]
        return [Gpu(name.strip(), int(mebibytes) << 20) for name, mebibytes in rows]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def has_nvidia_driver() -> bool:
    """Return whether an NVIDIA driver is loaded, without starting a program."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32" / "nvcuda.dll").exists()
    return any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/dxg")))


def main_memory() -> int | None:
    """Return the bytes of main memory, of the container where it has less; None where the system does not say."""
    sizes: list[int] = []
    with contextlib.suppress(ValueError, OSError):
        sizes.append(_installed_memory())
    for limit in _LIMITS_OF_CONTAINERS:
        try:
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return min(sizes, default=None)


def _installed_memory() -> int:
    # Spelled as a statement: mypy checks only the branch of the platform that it is asked about.
    if sys.platform == "win32":
        return _windows_memory()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _windows_memory() -> int:
    class Status(ctypes.Structure):
        """Windows' MEMORYSTATUSEX."""

        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("others", ctypes.c_ulonglong * 6),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("Windows does not say")
    return int(status.total)
