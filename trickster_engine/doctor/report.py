"""What the probes found, judged: what is in order, what is missing, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trickster_engine.backends.ttml_package import BUILD_ADVICE, SILICON
from trickster_engine.doctor.probe import Facts
from trickster_engine.system.units import size_text

Level = Literal["ok", "note", "problem"]

#: Builds of tt-metal on which others, not Trickster, have trained Llamas through ttml.
KNOWN_TO_TRAIN = ((0, 73), (0, 77))
OLDEST = (0, 66)


@dataclass(frozen=True)
class Finding:
    """One thing about this machine. `next_step` is empty where there is nothing to do."""

    code: str
    level: Level
    title: str
    next_step: str = ""


@dataclass(frozen=True)
class Report:
    """The whole picture."""

    probes: Mapping[str, Facts]
    findings: tuple[Finding, ...]
    would_run: str  # tt | cuda | mps | cpu
    why: str

    @property
    def ready(self) -> bool:
        """Whether training can begin on what `device_type: auto` would take."""
        if self.would_run == "tt":
            return not any(finding.level == "problem" for finding in self.findings)
        codes = {finding.code for finding in self.findings}
        return "torch" in codes and "no-cache-folder" not in codes

    @property
    def about_boards(self) -> str:
        """What somebody with a board, or with ttml, has to know; empty for everybody else."""
        concerned = self.probes.get("boards", {}).get("boards") or self.probes.get("package", {}).get("ttml")
        return SILICON if concerned else ""

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "schema": 1,
            "would_run": self.would_run,
            "why": self.why,
            "ready": self.ready,
            "silicon": self.about_boards,
            "findings": [asdict(finding) for finding in self.findings],
            "probes": dict(self.probes),
        }

    def as_text(self) -> str:
        """The report for a person."""
        marks = {"ok": "[ok]", "note": "[--]", "problem": "[!!]"}
        lines = [f"{marks[finding.level]} {finding.title}" for finding in self.findings]
        steps = [finding for finding in self.findings if finding.next_step]
        lines += ["", f"device_type: auto would train on {self.would_run}: {self.why}"]
        if steps:
            lines += ["", "Next steps:"]
            lines += [f"  {number}. {finding.next_step}" for number, finding in enumerate(steps, 1)]
        if self.ready:
            lines += ["", "Ready to train. Next, the data: trickster prepare CONFIG"]
        if self.about_boards:
            lines += ["", self.about_boards]
        return "\n".join(lines)


def judge(probes: Mapping[str, Facts]) -> Report:
    """Turn what the probes found into findings."""
    findings = [*_machine(probes), *_torch(probes), *_boards(probes), *_ttml(probes)]
    findings += [
        Finding(f"probe-{name}", "problem", f"The probe `{name}` failed: {facts['failed']}.", _failed_step(name))
        for name, facts in probes.items()
        if "failed" in facts
    ]
    would_run, why = _would_run(probes)
    return Report(probes, tuple(findings), would_run, why)


def _machine(probes: Mapping[str, Facts]) -> list[Finding]:
    facts = probes.get("machine", {})
    if "python" not in facts:
        return []
    findings = [Finding("python", "ok", f"Python {facts['python']} ({facts['executable']}), {facts['system']}.")]
    if facts.get("processors"):
        memory = f", {size_text(facts['memory'])} of memory" if facts.get("memory") else ""
        cores = facts["processors"]
        findings.append(Finding("processor", "ok", f"{cores} processor core{'s' if cores > 1 else ''}{memory}."))
    cache: Facts = facts.get("cache", {})
    if "problem" in cache:
        code = "no-cache-folder" if cache["folder"] is None else "cache-unwritable"
        level: Level = "problem" if cache["folder"] is None else "note"  # what was prepared before can be read there
        findings.append(Finding(code, level, cache["problem"], cache["advice"]))
    environment: Mapping[str, str] = facts.get("environment", {})
    for name in ("TT_METAL_SIMULATOR", "TT_METAL_MOCK_CLUSTER_DESC_PATH", "TT_METAL_EMULE_MODE"):
        if environment.get(name):
            findings.append(
                Finding("not-a-board", "note", f"{name} is set: ttml computes in a program, not on a board.",
                        f"Unset {name} to use the board.")
            )  # fmt: skip
    if environment.get("TT_METAL_HOME") and not facts.get("metal_home_exists"):
        findings.append(
            Finding("metal-home-wrong", "problem", f"TT_METAL_HOME is no folder: {environment['TT_METAL_HOME']}.",
                    "Set TT_METAL_HOME and TT_METAL_RUNTIME_ROOT to the tt-metal folder.")
        )  # fmt: skip
    return findings


def _torch(probes: Mapping[str, Facts]) -> list[Finding]:
    facts = probes.get("torch", {})
    if "found" not in facts:
        return []
    if not facts["found"]:
        return [
            Finding("torch-missing", "problem", "This Python has no torch, which trains on CPUs and GPUs.",
                    "Install torch in this Python, or choose another with `Trickster: Select Interpreter`.")
        ]  # fmt: skip
    devices = [*facts["cuda"], *(["Apple GPU"] if facts["mps"] else [])]
    return [Finding("torch", "ok", f"torch {facts['version']}: {', '.join(devices) or 'CPU only'}.")]


def _boards(probes: Mapping[str, Facts]) -> list[Finding]:
    machine = probes.get("machine", {})
    found: list[dict[str, Any]] = probes.get("boards", {}).get("boards", [])
    if not found:
        return _no_boards(machine)
    smi = probes.get("tt_smi", {})
    findings = []
    names = [board["type"] for board in smi.get("boards", []) if board["type"]]
    firmware = next((board["firmware"] for board in smi.get("boards", []) if board["firmware"]), None)
    described = ", ".join(names) or ", ".join(board["card_type"] or "unknown card" for board in found)
    firmware = firmware or next((board["firmware"] for board in found if board["firmware"]), None)
    driver = machine.get("driver") or smi.get("driver") or "unknown"
    findings.append(
        Finding("boards", "ok", f"{len(found)} Tenstorrent device{'s' if len(found) > 1 else ''} ({described}); "
                f"driver {driver}, firmware {firmware or 'unknown'}.")
    )  # fmt: skip
    for board in found:
        if not board["usable"]:
            findings.append(
                Finding("board-permission", "problem", f"{board['path']} may not be read and written by you.",
                        f"Ask for the group of {board['path']} (ls -l shows it), join it with `sudo usermod -aG`, "
                        "and log in again.")
            )  # fmt: skip
        for holder in board["holders"]:
            findings.append(
                Finding("board-held", "problem",
                        f"{board['path']} is in use by process {holder['pid']} ({holder['command'] or 'unknown'}). "
                        "A second one would hang when it opens the device.",
                        f"Wait for process {holder['pid']} to end, or end it.")
            )  # fmt: skip
    if any(board["architecture"] == "grayskull" for board in found):
        findings.append(
            Finding("grayskull", "problem", "Grayskull boards (e75, e150, e300) are not supported by ttml.")
        )
    if smi.get("found") is False:
        findings.append(
            Finding("tt-smi-missing", "note", "tt-smi is not installed: a board that hangs cannot be reset.",
                    "Install tt-smi (tt-installer does), to reset a board with tt-smi -r.")
        )  # fmt: skip
    return findings


def _no_boards(machine: Facts) -> list[Finding]:
    if not machine.get("pci"):
        return [Finding("no-board", "note", "No Tenstorrent board is in this machine.")]
    if machine.get("driver"):
        return [
            Finding("board-not-shown", "problem",
                    f"A Tenstorrent board is on the PCI bus ({', '.join(machine['pci'])}) and its driver is loaded, "
                    "but there is no /dev/tenstorrent.",
                    "In a container, pass the device through (--device /dev/tenstorrent). Else look into dmesg.")
        ]  # fmt: skip
    return [
        Finding("driver-missing", "problem",
                f"A Tenstorrent board is on the PCI bus ({', '.join(machine['pci'])}), but its driver is not loaded.",
                "Install the driver (tenstorrent-dkms, which tt-installer sets up), then: sudo modprobe tenstorrent")
    ]  # fmt: skip


def _ttml(probes: Mapping[str, Facts]) -> list[Finding]:
    package, imported = probes.get("package", {}), probes.get("import_ttml", {})
    has_board = bool(probes.get("boards", {}).get("boards"))
    if package.get("unrelated"):
        return [
            Finding("ttml-unrelated", "problem",
                    f"The ttml in {package.get('location')} is not Tenstorrent's: it is a package of the same name on "
                    "PyPI, about tensor trains.", f"Remove it from this Python (pip uninstall ttml). {BUILD_ADVICE}")
        ]  # fmt: skip
    if package.get("ttml") is False:
        return [
            Finding("ttml-missing", "problem" if has_board else "note", "This Python has no ttml.",
                    BUILD_ADVICE if has_board else "")
        ]  # fmt: skip
    if imported.get("imported") is False:
        return [Finding(str(imported["code"]), "problem", str(imported["message"]), str(imported["advice"]))]
    if not imported.get("imported"):
        return []
    findings = [_version(imported, probes.get("machine", {}))]
    findings += _features(imported["features"])
    counted = probes.get("count_devices", {})
    if "error" in counted:
        findings.append(
            Finding("devices-not-counted", "problem", f"ttnn cannot enumerate the devices: {counted['error']}.",
                    "See who holds the device (above); if nobody does, bring it back with tt-smi -r.")
        )  # fmt: skip
    elif "devices" in counted:
        findings.append(
            Finding(
                "devices", "ok", f"ttnn sees {counted['devices']} device(s) of architecture {counted['architecture']}."
            )
        )
    return findings


def _version(imported: Facts, machine: Facts) -> Finding:
    versions = f"ttml {imported['ttml']}, ttnn {imported['ttnn']}"
    checkout = machine.get("metal_checkout")
    where = f"{versions}{f', tt-metal {checkout}' if checkout else ''}"
    number = re.match(r"v?(\d+)\.(\d+)", str(imported["ttnn"]))
    if not number:
        return Finding(
            "ttml", "note", f"{where}: a build whose version is not known; its features are looked at one by one."
        )
    version = (int(number.group(1)), int(number.group(2)))
    if version < OLDEST:
        return Finding("ttml-too-old", "problem", f"{where}: older than v0.66, whose Python interface is another.",
                       "Update tt-metal to v0.73 or later and build it with tt-train.")  # fmt: skip
    low, high = KNOWN_TO_TRAIN
    if low <= version <= high:
        return Finding("ttml", "ok", f"{where}. Others have trained Llamas with builds from v0.73 to v0.77.")
    return Finding("ttml", "note", f"{where}: outside v0.73 to v0.77, with which others have trained Llamas.")


def _features(features: Mapping[str, bool]) -> list[Finding]:
    findings = []
    if not (features["python_llama"] or features["cpp_llama"]):
        findings.append(
            Finding("no-llama", "problem", "This ttml has no Llama that Trickster knows.", "Update tt-metal.")
        )
    elif not features["python_llama"]:
        findings.append(
            Finding("cpp-llama", "note", "This ttml has its Llama in C++ only: training works, with slower attention.",
                    "Update tt-metal to v0.73 or later for the faster one.")
        )  # fmt: skip
    if not features["clip_grad_norm"]:
        findings.append(
            Finding("no-clipping", "note", "This ttml cannot clip gradients.", "Set grad_clip: 0, or update tt-metal.")
        )
    return findings


def _would_run(probes: Mapping[str, Facts]) -> tuple[str, str]:
    torch = probes.get("torch", {})
    if probes.get("boards", {}).get("boards") and probes.get("package", {}).get("ttml"):
        return "tt", "a Tenstorrent board and a package called ttml are here."
    if torch.get("cuda"):
        return "cuda", f"torch sees {torch['cuda'][0]}."
    if torch.get("mps"):
        return "mps", "torch sees an Apple GPU."
    return "cpu", "neither a Tenstorrent board with ttml nor a GPU is here."


def _failed_step(name: str) -> str:
    if name in ("tt_smi", "count_devices", "import_ttml"):
        return "The board may be wedged or held by another process. See who holds it; bring it back with tt-smi -r."
    return "Run `python -m trickster_engine.doctor.probe " + name + "` and see what it says."
