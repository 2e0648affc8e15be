"""What this machine says about a config: is the text here, does the device exist, does the model fit, is a run waiting.

Looked up in threads and kept, so that no keystroke waits for a disk. Every finding is about a key; it is shown where
that key stands in the text as it is now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.config.check import check_document
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Position, Problem, Range
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.data.facts import TextFacts
from trickster_engine.data.findings import findings
from trickster_engine.data.own_output import NOTHING, own_output
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.fitting import Fit, fit
from trickster_engine.estimates.machines import Machine
from trickster_engine.system.files import path_meant
from trickster_engine.system.programs import find_program
from trickster_engine.system.units import size_text
from trickster_server.documents import Document
from trickster_server.features import figures
from trickster_server.hints.corpus import look_at_text

if TYPE_CHECKING:
    from trickster_engine.data.corpus import CorpusFile
    from trickster_server.server import TricksterServer

logger = logging.getLogger(__name__)

_AFTER_TYPING = 0.3
_FRESH_SECONDS = 15.0
_SMI_SECONDS = 5.0

CORPUS = "data_config.corpus"
DEVICE = "device_config.device_type"
PROMPT = "sampling_config.prompt"
#: Texts up to this size are read to see whether the prompt is in them.
_READ_BYTES = 8 << 20
_BEGINNING = 24


@dataclass(frozen=True)
class Corpus:
    """What is known of a config's text without reading it."""

    present: bool
    characters: int | None
    path: Path | None
    facts: TextFacts | None = None


@dataclass
class _Known:
    """What has been found out about one document."""

    text: str
    when: float
    problems: list[Problem]
    corpus: Corpus | None


class Environment:
    """Findings about the open configs."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._known: dict[str, _Known] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    def problems(self, document: Document) -> list[Problem]:
        """What is known now. Looks again, beside the loop, where that is old or about another text."""
        known = self._known.get(document.uri)
        if not self._is_current(document):
            self._look_soon(document.uri)
        found = _placed(known, document) if known is not None else []
        return found + self._waiting_run(document)

    def corpus(self, document: Document) -> Corpus | None:
        """What is known of the config's text; None until it has been looked at."""
        known = self._known.get(document.uri)
        if known is None:
            self._look_soon(document.uri)
            return None
        return known.corpus

    async def looked(self, document: Document, seconds: float) -> None:
        """Wait until it is known what the machine says of this text, at most so long, or until it has changed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._server.registry.ready(), seconds)
        while self._server.documents.config(document.uri) is document and not self._is_current(document):
            look = self._look_soon(document.uri, 0.0)
            await asyncio.wait({look}, timeout=max(0.0, until - loop.time()))
            if loop.time() >= until or (look.done() and not look.cancelled() and look.exception() is not None):
                return

    def _is_current(self, document: Document) -> bool:
        known = self._known.get(document.uri)
        return known is not None and known.text == document.text and time.monotonic() - known.when <= _FRESH_SECONDS

    async def corpus_now(self, document: Document) -> Corpus | None:
        """What is known of the config's text, after looking."""
        known = await asyncio.get_running_loop().run_in_executor(None, _look, document, self._server.trusted)
        return known.corpus

    def forget(self) -> None:
        """Something has changed that no file shows."""
        self._known.clear()

    def runs_changed(self) -> None:
        """Runs have appeared or ended. They are asked for each time, so there is nothing to forget."""

    def look_again(self, uri: str) -> None:
        """A text was saved, or files that it may name have come or gone."""
        known = self._known.get(uri)
        if known is not None:
            known.when = -math.inf
            self._look_soon(uri)

    def _look_soon(self, uri: str, delay: float = _AFTER_TYPING) -> asyncio.Task[None]:
        look = self._looking.get(uri)
        if look is None:
            look = self._looking[uri] = self._server.spawn(self._look(uri, delay), "look at the machine")
        return look

    async def _look(self, uri: str, delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            document = self._server.documents.config(uri)
            if document is None:
                self._known.pop(uri, None)
                return
            before = self._known.get(uri)
            now = await asyncio.get_running_loop().run_in_executor(None, _look, document, self._server.trusted)
            self._known[uri] = now
        finally:
            self._looking.pop(uri, None)
        if before is None or _shown(before) != _shown(now):
            self._server.refresh_figures()

    def _waiting_run(self, document: Document) -> list[Problem]:
        """A run of this very file that was interrupted and could go on."""
        key = document.file_key
        if key is None:
            return []
        for run in self._server.registry.runs():
            if run.state == "interrupted" and run.config_file == key:
                checkpoints = run.checkpoints()
                if not checkpoints:
                    continue
                message = (
                    f"The run {run.directory.path.name} was interrupted; its last checkpoint is step "
                    f"{checkpoints[-1].step:,}. Resume continues from there."
                )
                where = _place(document, "training_config.max_steps")
                return [Problem("run-interrupted", "hint", message, where, key="training_config.max_steps")]
        return []


def _shown(known: _Known) -> object:
    return [(problem.code, problem.message) for problem in known.problems], known.corpus


def _place(document: Document, key: str) -> Range:
    """Where a key's value stands; the first line where the file does not give it."""
    given = document.settings.given.get(key)
    if given is not None:
        return given.where
    section = key.split(".", maxsplit=1)[0]
    for entry in document.parsed.sections():
        if entry.key.text == section:
            return entry.key.range
    return Range(Position(0, 0), Position(0, len(document.lines.line(0))))


def _placed(known: _Known, document: Document) -> list[Problem]:
    """Findings at the places that their keys have now."""
    if known.text == document.text:
        return known.problems
    return [
        replace(problem, range=_place(document, problem.key), fixes=(), related=())
        for problem in known.problems
        if problem.key
    ]


# ---- in a thread ----------------------------------------------------------------------------------------------------


def _look(document: Document, may_run: bool) -> _Known:
    """Look at everything outside the text."""
    problems: list[Problem] = []
    corpus = None
    folder = document.path.parent if document.path is not None else None
    if folder is not None:
        without = {(problem.code, problem.key) for problem in document.checked.problems}
        problems += [
            problem
            for problem in check_document(document.parsed, folder).problems
            if (problem.code, problem.key) not in without
        ]
    plan = document.checked.plan
    if plan is not None:
        corpus = look_at_corpus(plan, folder, document.path)
        problems += _corpus_problems(plan, corpus, document)
        problems += _text_problems(plan, corpus, document, {problem.code for problem in problems})
        problems += _prompt_problems(plan, corpus, document, folder)
        problems += _device_problems(plan, document, may_run)
    return _Known(document.text, time.monotonic(), problems, corpus)


def look_at_corpus(plan: Plan, folder: Path | None, config: Path | None = None) -> Corpus | None:
    """Find a plan's text without preparing it."""
    corpus = _find_corpus(plan, folder, config)
    facts = look_at_text(plan, config) if config is not None else None
    if facts is None:
        return corpus
    if corpus is None:  # text that is split already
        corpus = Corpus(True, None, None)
    if facts.train_characters is not None and facts.val_characters is not None and plan.data.train_data is None:
        corpus = replace(corpus, characters=facts.train_characters + facts.val_characters)
    return replace(corpus, facts=facts)


def _find_corpus(plan: Plan, folder: Path | None, config: Path | None) -> Corpus | None:
    from trickster_engine.data.corpus import SHAKESPEARE_BYTES, describe_corpus

    if plan.data.train_data is not None or (folder is None and plan.data.corpus not in ("shakespeare", "python")):
        return None
    if plan.data.corpus == "shakespeare":
        path = _shakespeare()
        return Corpus(path is not None, SHAKESPEARE_BYTES, path)
    own = own_output(plan.output, folder or Path(), config)
    described = describe_corpus(plan.data.corpus, folder or Path(), own)
    if described.problem is not None:
        return Corpus(False, None, None)
    return Corpus(True, described.characters or described.bytes or None, described.path)


def _shakespeare() -> Path | None:
    """The copy of Tiny Shakespeare on this machine."""
    from trickster_engine.data.corpus import SHAKESPEARE_BYTES, SHAKESPEARE_FILE

    cache = known_cache_directory()
    candidates = [cache / SHAKESPEARE_FILE] if cache is not None else []
    if given := os.environ.get("TRICKSTER_CORPUS_DIR"):
        candidates.insert(0, path_meant(Path(), given) / SHAKESPEARE_FILE)
    for path in candidates:
        try:
            if path.stat().st_size == SHAKESPEARE_BYTES:
                return path
        except OSError:
            continue
    return None


def _corpus_problems(plan: Plan, corpus: Corpus | None, document: Document) -> list[Problem]:
    if plan.data.corpus == "shakespeare" and corpus is not None and not corpus.present:
        message = "Tiny Shakespeare (1.1 MB) is not on this machine yet. Prepare Dataset or Train downloads it."
        return [Problem("corpus-not-fetched", "hint", message, _place(document, CORPUS), key=CORPUS)]
    return []


def _text_problems(plan: Plan, corpus: Corpus | None, document: Document, said: set[str]) -> list[Problem]:
    """What the facts of the text mean, as far as they are known without reading it now."""
    if corpus is None or corpus.facts is None:
        return []
    said = said | {problem.code for problem in document.checked.problems}
    found = findings(plan, corpus.facts)
    return [finding.as_problem(document.settings) for finding in found if finding.code not in said]


def _prompt_problems(plan: Plan, corpus: Corpus | None, document: Document, folder: Path | None) -> list[Problem]:
    """A model goes on from the end of its prompt; a word that its text does not have tells it nothing."""
    words = plan.sampling.prompt.split()
    if not words or corpus is None or not corpus.present or plan.data.corpus == "python":
        return []
    files = _files(plan, corpus, folder)
    if not files or sum(file.size for file in files) > _READ_BYTES:
        return []
    found, beginning = _look_for(words[-1], files)
    if found:
        return []
    message = (
        f"{shown(words[-1])} does not occur in {shown(plan.data.corpus)}, so the model never learns what follows it, "
        "and its samples begin with noise. Choose a beginning that occurs in the text."
    )
    fix = document.settings.write(PROMPT, beginning, why="how the text begins") if beginning else None
    return [Problem("prompt-not-in-text", "hint", message, _place(document, PROMPT), (fix,) if fix else (), key=PROMPT)]


def _files(plan: Plan, corpus: Corpus, folder: Path | None) -> tuple[CorpusFile, ...]:
    from trickster_engine.data.corpus import MOST_FILES_DESCRIBED, file_now, text_files

    try:
        if plan.data.corpus == "shakespeare":
            return (file_now(corpus.path),) if corpus.path is not None else ()
        own = own_output(plan.output, folder) if folder is not None else NOTHING
        return text_files(plan.data.corpus, folder, MOST_FILES_DESCRIBED, own=own).files if folder is not None else ()
    except (OSError, TricksterError):
        return ()


@lru_cache(maxsize=8)
def _look_for(word: str, files: tuple[CorpusFile, ...]) -> tuple[bool, str]:
    """Whether a word occurs in these files as they are now, and how their text begins; True where one is no text."""
    from trickster_engine.data.corpus import read_text_chunks

    beginning = ""
    try:
        for file in files:
            text = "".join(read_text_chunks(file.path, size=file.size))
            if word in text:
                return True, ""
            beginning = beginning or _beginning(text)
    except TricksterError:  # preparing it says what is wrong
        return True, ""
    return False, beginning


def _beginning(text: str) -> str:
    """The first words of a text, as many as make a prompt."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= _BEGINNING:
        return line
    head = line[: _BEGINNING + 1]
    return head[: head.rfind(" ")].rstrip() if " " in head else head[:_BEGINNING]


def _device_problems(plan: Plan, document: Document, may_run: bool) -> list[Problem]:
    device = plan.device.device_type
    missing = {
        "tt": not any(Path("/dev/tenstorrent").glob("*")) if Path("/dev/tenstorrent").is_dir() else True,
        "cuda": not has_nvidia(),
        "mps": not (sys.platform == "darwin" and platform.machine() == "arm64"),
    }.get(device, False)
    where = _place(document, DEVICE)
    if missing:
        names = {"tt": "Tenstorrent board", "cuda": "NVIDIA GPU", "mps": "Apple GPU"}
        message = f"This machine has no {names[device]}. device_type: auto uses the fastest device available."
        fix = document.settings.write(DEVICE, "auto", preferred=False)
        return [Problem("device-not-here", "hint", message, where, (fix,) if fix else (), key=DEVICE)]
    available, name, on_gpu = _available_memory(device, may_run)
    said = memory_advice(plan, available, name, on_gpu) if available is not None else None
    if said is None:
        return []
    key = "training_config.batch_size"
    return [Problem("memory-too-small", "hint", said, _place(document, key), key=key)]


def memory_advice(plan: Plan, available: float, name: str, on_gpu: bool) -> str | None:
    """What to say where a plan does not fit: how much is missing and what makes it fit, reckoned; None where it fits.

    `available` bytes are those of one device, whose `name` is said; `on_gpu`: they are a GPU's own.
    """
    devices = plan.device.devices
    if plan.device.sharding == "full":
        planned = figures.training_memory(plan)
        needed = planned.device if on_gpu else planned.total * devices
        more = (
            ("A smaller batch_size needs less memory, and so does")
            if plan.training.batch_size > devices
            else "It takes"
        )
        advice = f"{more} a smaller model."
    else:
        there = fit(plan, Machine(name, "cuda" if on_gpu else "cpu", devices, int(available), None, "this machine"))
        needed = there.needed
        advice = _what_would_fit(there)
    if needed <= available:
        return None
    processes = f" for its {devices} processes" if devices > 1 and not on_gpu else ""
    return f"Training needs about {size_text(needed)}{processes}, and {name} has {size_text(available)}. {advice}"


def _what_would_fit(there: Fit) -> str:
    change = there.change
    if change is not None:
        kept = (
            "each step still uses the same number of tokens"
            if change.same_update
            else "the model then has a shorter context"
        )
        return f"It fits with {change.as_text()}: about {size_text(change.needed)}, and {kept}."
    if there.shared_by is not None:
        return (
            f"It does not fit with any batch size: use {there.shared_by} such GPUs with sharding: full, or a smaller "
            "model."
        )
    return "It does not fit with any batch size: use a smaller model."


def _available_memory(device: str, may_run: bool) -> tuple[float | None, str, bool]:
    """Bytes there are, whose they are, and whether they are a GPU's own."""
    if device in ("auto", "cuda") and may_run and has_nvidia() and (size := nvidia_memory()) is not None:
        return size, "the GPU", True
    if device in ("auto", "cpu", "mps"):
        return main_memory(), "this machine", False
    return None, "", False


def has_nvidia() -> bool:
    """Whether an NVIDIA driver is loaded."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32" / "nvcuda.dll").exists()
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


@lru_cache(maxsize=1)
def nvidia_memory() -> float | None:
    """Memory of the largest GPU in bytes, asked once."""
    program = find_program("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SMI_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return max(float(line) for line in answer.stdout.split()) * 1024 * 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


@lru_cache(maxsize=1)
def main_memory() -> float | None:
    """Memory of this machine in bytes; of its container where that is less."""
    sizes: list[float] = []
    if sys.platform == "win32":
        sizes += _windows_memory()
    else:
        with contextlib.suppress(ValueError, OSError):
            sizes.append(float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE"))
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(float(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(sizes, default=None)


def _windows_memory() -> list[float]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("others", ctypes.c_ulonglong * 6),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    windll = getattr(ctypes, "windll", None)
    if windll is not None and windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return [float(status.total)]
    return []
