"""How long people wait: `python -m tests.server.latency [--yaml-language-server FOLDER]`.

Measures our server, and on the same file in the same run yaml-language-server with our schema where its folder is given
(`npm install --prefix FOLDER yaml-language-server`), idle and while a real training run has all cores busy. Times are
round trips seen by a client on the same machine, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.server.raw_client import SERVER, RawClient
from tools.config_schema import SCHEMA_FILE
from trickster_engine.config import preset_text, set_values
from trickster_engine.runs import find_runs

CAPABILITIES = {
    "textDocument": {
        "publishDiagnostics": {},
        "hover": {"contentFormat": ["markdown"]},
        "completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}},
    }
}
STARTS = 12
HOVERS = 400
COMPLETIONS = 200
EDITS = 200
OPENS = 40


def percentiles(values: list[float]) -> tuple[float, float, float]:
    """p50, p95, p99 in milliseconds."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    return at(0.50), at(0.95), at(0.99)


class Subject:
    """A server under measurement."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.command = command
        self.folder = folder

    def start(self) -> tuple[RawClient, float]:
        """A server that knows its client, and how long that took."""
        # Compiled files are kept, as they are where Python installs a package; the first start, which writes them, is
        # not measured.
        environment = {
            "TRICKSTER_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        client = RawClient(self.command, environment, CAPABILITIES)
        client.initialize(self.folder, {"debounceMs": 0})
        took = time.perf_counter() - client.began
        if self.name != "trickster":
            schemas = {SCHEMA_FILE.as_uri(): "*.trickster.yaml"}
            settings = {"yaml": {"schemas": schemas, "validate": True, "hover": True, "completion": True}}
            client.notify("workspace/didChangeConfiguration", {"settings": settings})
        return client, took


def diagnostics_of(client: RawClient, uri: str, act: Callable[[], None], version: int | None = None) -> float:
    """Seconds from an action to the diagnostics of a text."""
    while not client.notifications.empty():
        client.notifications.get()
    began = time.perf_counter()
    act()
    while True:
        published = client.notification("textDocument/publishDiagnostics", 60)
        if published["uri"] == uri and (version is None or published.get("version") in (None, version)):
            return time.perf_counter() - began


def measure(subject: Subject) -> dict[str, list[float]]:
    """Every figure of one server."""
    text = preset_text("nano")
    lines = text.split("\n")
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    subject.start()[0].kill()
    for number in range(STARTS):
        client, took = subject.start()
        with client:
            found["start to initialized"].append(took)
            uri = (subject.folder / f"first-{number}.trickster.yaml").as_uri()
            found["first diagnostics after open"].append(diagnostics_of(client, uri, partial(client.open, uri, text)))
    client, _ = subject.start()
    with client:
        uri = (subject.folder / "nano.trickster.yaml").as_uri()
        diagnostics_of(client, uri, lambda: client.open(uri, text))
        keys = [(line, 3) for line, content in enumerate(lines) if content.startswith("  ")]
        for index in range(HOVERS):
            found["hover"].append(_asked(client, "textDocument/hover", uri, keys[index % len(keys)]))
        for index in range(COMPLETIONS):
            found["completion"].append(_asked(client, "textDocument/completion", uri, keys[index % len(keys)]))
        line = next(number for number, content in enumerate(lines) if "num_layers" in content)
        column = lines[line].index("6")
        span = {"start": {"line": line, "character": column}, "end": {"line": line, "character": column + 1}}
        for index in range(EDITS):
            change = [{"range": span, "text": str(index % 8 + 1)}]
            found["edit to diagnostics"].append(
                diagnostics_of(
                    client,
                    uri,
                    partial(client.change, uri, index + 2, change),
                    index + 2,
                )
            )
        for name, long in (("2,000 lines, open to diagnostics", long_config()), ("2,000 wrong lines", wrong_config())):
            for number in range(OPENS):
                other = (subject.folder / f"{len(long)}-{number}.trickster.yaml").as_uri()
                found[name].append(diagnostics_of(client, other, partial(client.open, other, long)))
                client.notify("textDocument/didClose", {"textDocument": {"uri": other}})
    return found


FIGURES = (
    "start to initialized",
    "first diagnostics after open",
    "hover",
    "completion",
    "edit to diagnostics",
    "2,000 lines, open to diagnostics",
    "2,000 wrong lines",
)


def _asked(client: RawClient, method: str, uri: str, place: tuple[int, int]) -> float:
    params = {"textDocument": {"uri": uri}, "position": {"line": place[0], "character": place[1]}}
    began = time.perf_counter()
    client.request(method, params)
    return time.perf_counter() - began


def long_config() -> str:
    """The nano file with every key explained at length: 2,000 lines."""
    lines: list[str] = []
    source = [line for line in preset_text("nano").split("\n") if line.strip()]
    for line in source:
        lines.append(line)
        lines += [f"{line[: len(line) - len(line.lstrip())]}# what this line is for, in words" for _ in range(47)]
    return "\n".join(lines[:2000]) + "\n"


def wrong_config() -> str:
    """A file of 2,000 lines of which nearly every one is a problem with a fix."""
    return "model_config:\n" + "".join(f"  hiden_dim_{number}: {number}\n" for number in range(1999))


@contextlib.contextmanager
def training(folder: Path) -> Iterator[None]:
    """A real run of the nano preset, on all cores."""
    config = folder / "busy.yaml"
    changes = {"device_config.device_type": "cpu", "training_config.max_steps": "1000000"}
    if "TRICKSTER_CORPUS_DIR" not in os.environ:
        changes["data_config.corpus"] = "python"  # a text that every machine has
    config.write_text(set_values(preset_text("nano"), changes), encoding="utf-8")
    trainer = subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(config), "--json"],
        cwd=folder,
        env={**os.environ, "TRICKSTER_CACHE_DIR": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert trainer.stdout is not None
        for line in trainer.stdout:
            # The first evaluation keeps the cores as busy as training does, and takes minutes on a slow machine.
            if json.loads(line).get("status") in ("evaluating", "training"):
                break
        else:
            raise RuntimeError("training did not begin")
        yield
        assert trainer.poll() is None, "training has ended too early"
    finally:
        trainer.kill()
        trainer.wait()
        for run in find_runs(folder / "runs"):
            shutil.rmtree(run.path, ignore_errors=True)


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml-language-server", type=Path, metavar="FOLDER", help="where npm has installed it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subjects = [Subject("trickster", SERVER, folder)]
        if options.yaml_language_server is not None:
            program = options.yaml_language_server / "node_modules" / ".bin" / "yaml-language-server"
            subjects.append(Subject("yaml-language-server", [str(program), "--stdio"], folder))
        results: dict[str, dict[str, dict[str, list[float]]]] = {}
        for state in ("idle", "training"):
            with training(folder) if state == "training" else contextlib.nullcontext():
                results[state] = {subject.name: measure(subject) for subject in subjects}
        names = [subject.name for subject in subjects]
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}; p50 / p95 / p99 in ms\n")
        print("| | state | " + " | ".join(names) + " |")
        print("|:--|:--|" + "--:|" * len(names))
        for figure in FIGURES:
            for state, measured in results.items():
                cells = [" / ".join(f"{value:.1f}" for value in percentiles(measured[one][figure])) for one in names]
                print(f"| {figure} | {state} | " + " | ".join(cells) + " |")
        if options.json is not None:
            options.json.write_text(json.dumps(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
