"""Looking at this machine, one question at a time, each in a process of its own with a time limit.

A board that hangs, or a library that aborts, takes a probe with it and nothing else. A probe is run as
`trickster_engine.doctor.probe NAME` and prints one JSON object as its last line.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from trickster_engine.errors import TricksterError
from trickster_engine.system import substitutes
from trickster_engine.system.programs import find_program, python_command

Facts = dict[str, Any]

#: Seconds that each probe may take. Importing ttml and asking for devices open the boards, which takes a while.
LIMITS: Mapping[str, float] = {
    "machine": 20.0,
    "boards": 10.0,
    "tt_smi": 30.0,
    "torch": 60.0,
    "package": 20.0,
    "import_ttml": 120.0,
    "count_devices": 60.0,
}


def run_probe(name: str, python: str = sys.executable, limit: float | None = None) -> Facts:
    """Run one probe in a process of its own. What went wrong with the process itself is in `failed`."""
    seconds = LIMITS[name] if limit is None else limit
    began = time.perf_counter()
    process = subprocess.Popen(
        python_command(__name__, name, python=python),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=os.name == "posix",  # so that what the probe starts can be ended with it
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return {"failed": f"no answer within {seconds:g} s", "seconds": seconds}
    facts = _last_object(out)
    if facts is None:
        last = (err.strip().splitlines() or ["no output"])[-1]
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        facts = {"failed": f"ended with {how}: {last}"}
    return {**facts, "seconds": round(time.perf_counter() - began, 2)}


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, 9)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)


def _last_object(text: str) -> Facts | None:
    for line in reversed(text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return None


# --- the probes ------------------------------------------------------------------------------------------------------


def machine() -> Facts:
    """The computer and the interpreter."""
    from trickster_engine import __version__
    from trickster_engine.backends.ttml.package import checkout_of
    from trickster_engine.system.machine import main_memory
    from trickster_engine.system.tenstorrent import driver_version, pci_devices

    known = (
        "TT_METAL_HOME", "TT_METAL_RUNTIME_ROOT", "TT_METAL_ARCH_NAME", "TT_VISIBLE_DEVICES", "TT_LOGGER_LEVEL",
        "TT_MESH_GRAPH_DESC_PATH", substitutes.SLOW_DISPATCH_VARIABLE, substitutes.NO_MACRO_VARIABLE,
        *substitutes.VARIABLES,
    )  # fmt: skip
    home = os.environ.get("TT_METAL_HOME")
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "memory": main_memory(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "trickster": __version__,
        "pci": pci_devices(),
        "driver": driver_version(),
        "environment": {name: os.environ[name] for name in known if name in os.environ},
        "metal_home_exists": bool(home) and Path(home or "").is_dir(),
        "metal_checkout": checkout_of(home),
        "substitute": _substitute(),
        "cache": _cache(),
    }


def _substitute() -> Facts | None:
    """What stands in for a board, and what it still needs."""
    found = substitutes.substitute()
    if found is None:
        return None
    return {
        "variable": found.variable,
        "value": found.value,
        "label": found.label,
        "simulates": found.simulates,
        "chips": found.chips,
        "lacking": [asdict(lack) for lack in substitutes.lacking(found)],
    }


def _cache() -> Facts:
    """Where prepared text is kept, and what is in the way of that. Nothing is written to see."""
    from trickster_engine.data.cache import cache_directory

    try:
        folder = cache_directory().absolute()
    except TricksterError as error:
        return {"folder": None, "problem": error.message, "advice": error.advice}
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return {"folder": str(folder)}
    return {
        "folder": str(folder),
        "problem": f"Prepared text belongs in {folder}, and {there} is not writable.",
        "advice": "Set TRICKSTER_CACHE_DIR to a folder that you may write to.",
    }


def boards() -> Facts:
    """The boards that the driver shows."""
    from trickster_engine.system import tenstorrent

    return {
        "boards": [
            {
                "number": board.number,
                "path": str(board.path),
                "usable": board.usable,
                "card_type": board.card_type,
                "architecture": board.architecture,
                "pci_id": board.pci_id,
                "firmware": board.firmware,
                "holders": [{"pid": pid, "command": _command(pid)} for pid in board.holders],
            }
            for board in tenstorrent.boards()
        ]
    }


def tt_smi() -> Facts:
    """What Tenstorrent's own tool says: the names of the boards, and the firmware."""
    path = find_program("tt-smi")
    if path is None:
        return {"found": False}
    answer = subprocess.run([path, "-s", "--snapshot_no_tty"], check=False, capture_output=True, text=True)
    start = answer.stdout.find("{")
    try:
        snapshot = json.loads(answer.stdout[start:]) if start >= 0 else {}
    except ValueError:
        snapshot = {}
    devices = snapshot.get("device_info") or []
    return {
        "found": True,
        "path": path,
        "exit_code": answer.returncode,
        "driver": (snapshot.get("host_info") or {}).get("Driver"),
        "boards": [
            {
                "type": (device.get("board_info") or {}).get("board_type"),
                "bus": (device.get("board_info") or {}).get("bus_id"),
                "firmware": (device.get("firmwares") or {}).get("fw_bundle_version"),
            }
            for device in devices
        ],
        "said": answer.stderr.strip()[-300:] if not devices else "",
    }


def torch() -> Facts:
    """The devices that torch can train on."""
    try:
        import torch
    except ImportError as error:
        return {"found": False, "error": str(error)}
    cuda = torch.cuda.is_available()
    return {
        "found": True,
        "version": torch.__version__,
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
        "mps": torch.backends.mps.is_available(),
    }


def package() -> Facts:
    """Which packages called ttml and ttnn there are, without importing them."""
    from trickster_engine.backends.ttml.package import find_ttml, metal_home, ttnn_folder, wrong_root
    from trickster_engine.doctor.toolchain import sfpi_facts

    found, ttnn, home, wrong = find_ttml(), ttnn_folder(), metal_home(), wrong_root()
    return {
        "ttml": found is not None,
        "location": str(found.location) if found and found.location else None,
        "unrelated": bool(found and found.unrelated),
        "ttnn": ttnn is not None,
        "ttnn_location": str(ttnn) if ttnn else None,
        "distributions": {name: version for name in ("ttml", "ttnn") if (version := _installed(name))},
        "metal_tree": str(home) if home else None,
        "sfpi": sfpi_facts([root for root in (ttnn, home) if root]) if ttnn else None,
        "wrong_root": {"message": wrong.message, "advice": wrong.advice} if ttnn and wrong else None,
    }


def import_ttml() -> Facts:
    """Import ttml and ttnn, and see which of the features that Trickster uses this build has."""
    from trickster_engine.backends.ttml.package import import_ttml, version_of
    from trickster_engine.errors import TricksterError

    try:
        ttml, ttnn = import_ttml()
    except TricksterError as error:
        return {"imported": False, "code": error.code, "message": error.message, "advice": error.advice}
    llama: Any = None
    with contextlib.suppress(ImportError):
        llama = importlib.import_module("ttml.models.llama")
    optimizers = getattr(ttml, "optimizers", None)
    return {
        "imported": True,
        "ttml": version_of(ttml, "ttml"),
        "ttnn": version_of(ttnn, "ttnn"),
        "features": {
            "python_llama": hasattr(llama, "Llama") and is_dataclass(getattr(llama, "LlamaConfig", None)),
            "cpp_llama": hasattr(llama, "create_cpp_llama_model") or hasattr(llama, "create_llama_model"),
            "clip_grad_norm": hasattr(getattr(ttml, "core", None), "clip_grad_norm"),
            "adamw_full_precision": hasattr(optimizers, "AdamWFullPrecision"),
            "muon": hasattr(optimizers, "Muon") or hasattr(optimizers, "MuonComposite"),
            "mesh": hasattr(ttml, "open_device_mesh"),
            "data_parallel": hasattr(ttml.autograd.AutoContext, "initialize_parallelism_context"),
        },
    }  # fmt: skip


def count_devices() -> Facts:
    """Ask ttnn how many devices it can open. This opens the cluster, and fails while somebody else has it."""
    from trickster_engine.backends.ttml.package import prepare_environment, wrong_root

    prepare_environment()
    if wrong := wrong_root():
        return {"error": wrong.message}
    try:
        ttnn: Any = importlib.import_module("ttnn")
        return {"devices": int(ttnn.GetNumAvailableDevices()), "architecture": str(ttnn.get_arch_name())}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"}


PROBES: Mapping[str, Callable[[], Facts]] = {
    "machine": machine,
    "boards": boards,
    "tt_smi": tt_smi,
    "torch": torch,
    "package": package,
    "import_ttml": import_ttml,
    "count_devices": count_devices,
}


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return words.decode("utf-8", "replace").strip()[:200]
    except OSError:
        return ""


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    # What a library prints must not be taken for the answer: it goes to stderr.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    result = PROBES[sys.argv[1]]()
    with os.fdopen(answer_to, "w") as out:
        out.write(json.dumps(result) + "\n")
        out.flush()
    os._exit(0)  # a native library's goodbye may abort, and the answer is given
