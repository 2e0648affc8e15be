"""A stranger's folder opened, used with every request there is, and closed: nothing is started, written or removed.

Seen from outside, in what the server asks the operating system for; its own word is not taken for it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from trickster_server.lsp.messages import REQUESTS

from tests.server.raw_client import RawClient
from tests.server.run_files import checkpoint, status, write_run
from trickster_engine.config import preset_text, set_values

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

CALLS = (
    "execve,execveat,fork,vfork,clone,?clone3,open,openat,?openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,"
    "mkdirat,rmdir,symlink,symlinkat,link,linkat,chmod,fchmod,fchmodat,chown,fchown,fchownat,truncate,ftruncate,mknod,"
    "mknodat,utimensat,setxattr"
)
_OPENING = re.compile(r"\b(?:open|openat|openat2|creat)\(")
_TO_WRITE = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE|\bcreat\(")
_STARTING = re.compile(r"\b(?:execve|execveat|fork|vfork|clone|clone3)\(")
_LINE = re.compile(r"\d+ +(?P<call>\w+\(.*)\Z")
PYTHON_OPTIONS = {"PYTHONDONTWRITEBYTECODE": "1"}


def stranger(folder: Path) -> tuple[Path, Path]:
    """A folder that would have much done: configs, runs, links to what never ends."""
    if sys.platform == "win32":
        pytest.skip("FIFOs of POSIX")
    text = set_values(preset_text("pico"), {"data_config.corpus": "corpus.txt", "output_config.output_dir": "runs"})
    config = folder / "a.trickster.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(text, encoding="utf-8")
    (folder / "corpus.txt").write_text("to be or not to be " * 200, encoding="utf-8")
    run = write_run(folder / "runs" / "a-001", status(3), checkpoint(3), config_path=config, text=text, uid="a1")
    (run.path / "lock").write_text("{}", encoding="utf-8")
    (run.path / "report.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    # Holes, as long as the disk of a large machine: read whole, they would take all memory.
    huge = folder / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 36)
    for number, names in enumerate((("events.jsonl",), ("run.json", "lock", "report.html"), ("config.yaml",))):
        for target in (huge, Path("/dev/zero")):
            other = write_run(folder / "runs" / f"{target.name}-{number}", status(3), config_path=config, text=text)
            for name in names:
                (other.path / name).unlink(missing_ok=True)
                (other.path / name).symlink_to(target)
    waiting = write_run(folder / "runs" / "waiting-001", status(3), config_path=config, text=text)
    for name in ("run.json", "lock"):
        (waiting.path / name).unlink(missing_ok=True)
        os.mkfifo(waiting.path / name)
    for name, target in (("zero", Path("/dev/zero")), ("random", Path("/dev/urandom"))):
        (folder / f"{name}.trickster.yaml").symlink_to(target)
    os.mkfifo(folder / "fifo.trickster.yaml")
    for name in ("python", "python3", "nvidia-smi", "git"):
        (folder / name).write_text("#!/bin/sh\ntouch started\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return config, run.path


def used(client: RawClient, folder: Path, config: Path, run: Path) -> None:
    """Everything an editor and a person can ask for."""
    uri, text = config.as_uri(), config.read_text(encoding="utf-8")
    client.open(uri, text)
    document = {"textDocument": {"uri": uri}}
    span = {"start": {"line": 0, "character": 0}, "end": {"line": 40, "character": 0}}
    for line in range(0, len(text.splitlines()), 4):
        place = {**document, "position": {"line": line, "character": 5}}
        client.request("textDocument/hover", place)
        client.request("textDocument/completion", place)
    for method in ("diagnostic", "codeLens", "documentSymbol"):
        client.request(f"textDocument/{method}", document)
    client.request("textDocument/inlayHint", {**document, "range": span})
    client.request("textDocument/codeAction", {**document, "range": span, "context": {"diagnostics": []}})
    client.change(uri, 2, [{"text": text.replace("corpus.txt", "zero.trickster.yaml")}])
    client.request("textDocument/diagnostic", document)
    uris = [uri, *((folder / f"{name}.trickster.yaml").as_uri() for name in ("zero", "random", "fifo"))]
    for request in REQUESTS:
        for given in uris if "config_uri" in request.params.__dataclass_fields__ else uris[:1]:
            params = {
                "configUri": given, "runId": str(run), "checkpoint": str(run), "text": "a", "preset": "pico",
                "before": "a", "folderUri": folder.as_uri(), "layer": 0, "neuron": 0,
            }  # fmt: skip
            ways: list[tuple[str, dict[str, Any]]] = [(request.method, params)]
            if request.command is not None:
                ways.append(("workspace/executeCommand", {"command": request.command, "arguments": [params]}))
            for method, said in ways:
                answer = client.wait(client.begin(method, said))
                if request.does == "only reads":
                    # What is no plain file cannot be read; everything else is answered.
                    assert ("result" in answer) or given != uri, (method, answer)
                else:
                    assert answer["error"]["code"] == 1001, (method, answer)
    client.notify("trickster/interpreterChanged", {"python": str(folder / "python3")})
    listed = client.request("trickster/listRuns", {})["runs"]
    assert str(run) in [one["runId"] for one in listed]
    client.request("textDocument/hover", {**document, "position": {"line": 4, "character": 5}})
    client.notify("textDocument/didClose", document)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (found.st_size, found.st_mtime_ns, found.st_ino)
        for path in [folder, *folder.rglob("*")]
        if (found := path.lstat())
    }


@pytest.mark.parametrize("options", [{"trusted": False, "debounceMs": "0"}, {"calibrate": True}, {"trusted": "yes"}])
def test_nothing_is_started_written_or_removed(tmp_path: Path, options: dict[str, object]) -> None:
    folder, temporary = tmp_path / "w", tmp_path / "tmp"
    temporary.mkdir()
    config, run = stranger(folder)
    before = snapshot(folder)
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-s", "200", "-o", str(trace), "-e", f"trace={CALLS}", "-e", "signal=none"]
    environment = {
        **PYTHON_OPTIONS,
        "TRICKSTER_CACHE_DIR": str(tmp_path / "cache"),
        "TRICKSTER_CORPUS_DIR": "",
        "TMPDIR": str(temporary),
    }
    client = RawClient([*command, sys.executable, "-m", "trickster_server"], env=environment)
    with client:
        # As said here, and not as the tests' own client says it.
        where = [{"uri": folder.as_uri(), "name": "w"}]
        hello: dict[str, Any] = {
            "processId": os.getpid(),
            "rootUri": None,
            "workspaceFolders": where,
            "capabilities": {},
        }
        client.request("initialize", {**hello, "initializationOptions": options})
        client.notify("initialized", {})
        used(client, folder, config, run)
        peak = peak_memory(client.process.pid)
        assert peak < 300 << 20
        assert client.shutdown() == 0
        assert client.errors() == []
    # The first execve is strace's own, which starts the server.
    lines = [found["call"] for line in trace.read_text().splitlines() if (found := _LINE.match(line))][1:]
    assert len([line for line in lines if _OPENING.match(line)]) > 100  # it has looked, and was seen
    assert [line for line in lines if _acts(line)] == []
    assert snapshot(folder) == before
    assert not (tmp_path / "cache").exists()
    assert list(temporary.iterdir()) == []


def peak_memory(tracer: int) -> int:
    """The most memory that the process below a tracer has held, in bytes."""
    pid = Path(f"/proc/{tracer}/task/{tracer}/children").read_text(encoding="ascii").split()[0]
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _acts(line: str) -> bool:
    """Whether a call starts a process, or opens, makes, changes or removes a file."""
    if _STARTING.match(line):
        return "CLONE_THREAD" not in line
    if _OPENING.match(line):
        # Asking for a trainer's lock takes a handle that could write; that nothing was written, the snapshot shows.
        return bool(_TO_WRITE.search(line)) and not re.search(r'/lock", O_RDWR\|O_CLOEXEC(?:\||\)| )', line)
    return not line.startswith(("exit", "+++", "---")) and "resumed>" not in line
