"""The kernels of this folder as functions: compiled once for a processor, kept in the user's cache, called by ctypes.

They are plain C++ on plain memory. Without torch's headers they compile in seconds, and what is kept does not depend on
torch's version. Threads are torch's own: the OpenMP functions are those of the library that torch has loaded.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from trickster_engine.data.cache import cache_directory, make_folder
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.compute import has_kernels
from trickster_engine.system.files import read_bytes, sync_file, temporary_name
from trickster_engine.system.programs import safe_environment

_SOURCES = Path(__file__).parent
_FLAGS = (
    *("-O3", "-march=native", "-std=c++17", "-fPIC", "-fopenmp"),
    *("-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-w"),
)
_PATIENCE_S = 120
_NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}


class NoKernelsError(Exception):
    """The kernels cannot be had here, and why."""


class Kernels:
    """The compiled kernels. Tensors are given by the address of their memory, which has to be in one piece."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._function = functools.cache(lambda name: getattr(library, name))

    def __call__(self, name: str, dtype: torch.dtype, *arguments: Tensor | int | float | None) -> None:
        """Run a kernel, in the variant for a format of the matrix products; see its own file for the arguments."""
        self._function(f"{name}_{_NAMES[dtype]}")(*map(_as_c, arguments))


def load_kernels(report: Callable[[str], None], *, with_fp64: bool = False) -> Kernels:
    """The kernels, compiled where they are not yet in the cache; `report` is told that this takes a while.

    In fp64 nobody trains: its variants are for tests, which compare them with torch to the last digits.
    Raises NoKernelsError.
    """
    if not has_kernels("cpu"):
        raise NoKernelsError("the kernels are compiled on Linux only")
    command = [_compiler(), *_FLAGS, *(["-DWITH_FP64"] if with_fp64 else [])]
    try:
        folder, name = _own_folder(), _identity(*command)
        if (found := _kept(folder, name)) is not None:
            return found
        report("compiling the kernels for this CPU (some seconds, once)")
        return _opened(_build(command, folder, name))
    except (OSError, subprocess.SubprocessError, TricksterError) as error:
        raise NoKernelsError(str(error)) from error


def kernels_at_hand() -> Kernels | None:
    """The kernels if they have been compiled before."""
    if not has_kernels("cpu"):
        return None
    try:
        return _kept(_own_folder(), _identity(_compiler(), *_FLAGS))
    except (OSError, subprocess.SubprocessError, TricksterError, NoKernelsError):
        return None


def _kept(folder: Path, name: str) -> Kernels | None:
    for path in folder.glob(f"{name}-*.so"):
        if path == folder / _file_name(name, read_bytes(path)):  # a loader that meets half a library is killed
            return _opened(path)
    return None


def _file_name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()[:32]}.so"


@functools.cache
def _opened(path: Path) -> Kernels:
    _require_own(path)
    return Kernels(ctypes.CDLL(str(path)))


def _own_folder() -> Path:
    """Where they are kept: nobody else can put code there."""
    folder = cache_directory() / "kernels"
    make_folder(folder)
    _require_own(folder)
    folder.chmod(0o700)
    return folder


def _require_own(path: Path) -> None:
    if sys.platform != "win32" and path.stat().st_uid != os.geteuid():
        raise NoKernelsError(f"{path} belongs to another user")


def _compiler() -> str:
    """g++, whose OpenMP is the one that torch uses on Linux; or what CXX names."""
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None or not Path(found).is_absolute():  # never one of the folder that happens to be the current one
        raise NoKernelsError(f"there is no C++ compiler {wanted}")
    return found


@functools.cache
def _identity(*command: str) -> str:
    """A name for what comes out of these sources, this compiler and its flags, for this processor: homes are shared."""
    asked = [command[0], "--version"]
    environment = safe_environment(os.environ)
    version = subprocess.run(asked, capture_output=True, timeout=_PATIENCE_S, check=False, env=environment).stdout
    sources = [read_bytes(path) for path in sorted(_SOURCES.glob("*.[ch]*"))]
    parts = [*sources, version, " ".join(command).encode(), _processor()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def _processor() -> bytes:
    """What the first processor is and can do, as Linux tells it, without what changes by the minute."""
    first = read_bytes(Path("/proc/cpuinfo")).split(b"\n\n", maxsplit=1)[0]
    lasting = (b"vendor_id", b"cpu family", b"model", b"flags", b"Features", b"CPU implementer", b"CPU part")
    return b"\n".join(line for line in first.splitlines() if line.startswith(lasting))


def _build(command: Sequence[str], folder: Path, name: str) -> Path:
    """Compile all sources at once, link them, and put the library into the folder. Raises NoKernelsError, OSError."""
    work = folder / temporary_name(name)
    work.mkdir(mode=0o700)
    try:
        sources = sorted(_SOURCES.glob("*.cpp"))
        started = [_start([*command, "-c", str(source), "-o", f"{source.stem}.o"], work) for source in sources]
        try:
            for process in started:
                _finish(process)
        finally:
            for process in started:
                if process.poll() is None:  # another one has failed
                    process.kill()
                    process.communicate()
        # Without -fopenmp, so that no OpenMP library comes in beside torch's, which is there when this is loaded.
        objects = [f"{source.stem}.o" for source in sources]
        _finish(_start([command[0], "-shared", *objects, "-o", "kernels.so"], work))
        built = work / "kernels.so"
        sync_file(built)
        return built.replace(folder / _file_name(name, read_bytes(built)))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=safe_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _finish(process: subprocess.Popen[bytes]) -> None:
    try:
        errors = process.communicate(timeout=_PATIENCE_S)[1].decode("utf-8", "replace").strip()
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise NoKernelsError("the C++ compiler does not come to an end") from error
    if process.returncode != 0:
        raise NoKernelsError((errors.splitlines() or [f"the C++ compiler ended with {process.returncode}"])[0])


def _as_c(argument: Tensor | int | float | None) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        assert argument.is_contiguous()
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_double(argument) if isinstance(argument, float) else ctypes.c_int64(argument)
