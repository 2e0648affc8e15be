"""What the probes found, judged: what is in order, what is missing, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trickster_engine.backends.ttml.package import BUILD_ADVICE, SILICON
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
    device: str = ""  # the device in words

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
            "device": self.device,
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
            lines += ["", f"Ready to train on {self.device}. Next, the data: trickster prepare CONFIG"]
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
    return Report(probes, tuple(findings), would_run, why, _device(probes, would_run))


def _machine(probes: Mapping[str, Facts]) -> list[Finding]:
    facts = probes.get("machine", {})
    if "python" not in facts:
        return []
    findings = [Finding("python", "ok", f"Python {facts['python']} ({facts['executable']}), {facts['system']}.")]
    if facts.get("processors"):
        memory = f", {size_text(facts['memory'])} of memory" if facts.get("memory") else ""
        cores = facts["processors"]
        findings.append(Finding("processor", "ok", f"{cores} CPU core{'s' if cores > 1 else ''}{memory}."))
    cache: Facts = facts.get("cache", {})
    if "problem" in cache:
        code = "no-cache-folder" if cache["folder"] is None else "cache-unwritable"
        level: Level = "problem" if cache["folder"] is None else "note"  # what was prepared before can be read there
        findings.append(Finding(code, level, cache["problem"], cache["advice"]))
    environment: Mapping[str, str] = facts.get("environment", {})
    findings += _stands_in(facts.get("substitute"), probes.get("count_devices", {}))
    if environment.get("TT_METAL_HOME") and not facts.get("metal_home_exists"):
        findings.append(
            Finding("metal-home-wrong", "problem", f"TT_METAL_HOME is not a folder: {environment['TT_METAL_HOME']}.",
                    "Set TT_METAL_HOME and TT_METAL_RUNTIME_ROOT to the tt-metal folder.")
        )  # fmt: skip
    return findings


def _stands_in(found: Facts | None, counted: Facts) -> list[Finding]:
    """What takes a board's place, as the device that it is."""
    if not found:
        return []
    if not found["simulates"]:
        return [
            Finding("not-a-board", "note", f"{found['variable']} is set: ttml runs in a simulator, not on a board.",
                    f"Unset {found['variable']} to use the board.")
        ]  # fmt: skip
    findings = [
        Finding(lack["code"], "problem" if lack["needed"] else "note", lack["message"], lack["advice"])
        for lack in found["lacking"]
    ]
    how_many = f"; ttnn counts {counted['devices']}" if "devices" in counted else ""
    findings.append(
        Finding("simulated-chip", "note" if findings else "ok",
                f"A simulated chip: {_simulated(found, counted)} ({found['value']}){how_many}. It is slow, and its "
                "speed says nothing about a board.")
    )  # fmt: skip
    return findings


def _simulated(found: Facts, counted: Facts) -> str:
    """What the simulator says that it is, or else what its name says."""
    told = counted.get("architecture")
    return f"Tenstorrent {told}, {found['label'].split(', ', 1)[1]}" if told else str(found["label"])


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
                Finding("board-permission", "problem", f"{board['path']} is not readable and writable for you.",
                        f"Find the group of {board['path']} (ls -l shows it), join it with `sudo usermod -aG`, and "
                        "log in again.")
            )  # fmt: skip
        for holder in board["holders"]:
            findings.append(
                Finding("board-held", "problem",
                        f"{board['path']} is in use by process {holder['pid']} ({holder['command'] or 'unknown'}). A "
                        "second process would hang when it opens the device.",
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
                    "In a container, pass the device through (--device /dev/tenstorrent). Otherwise check dmesg.")
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
    wanted = has_board or bool(probes.get("machine", {}).get("substitute"))
    root = package.get("wrong_root")
    findings = [Finding("metal-root-wrong", "problem", root["message"], root["advice"])] if root else []
    findings += _sfpi(package, wanted)
    if package.get("ttml") is False:
        return [*findings, _no_ttml(package, wanted), *_counted(probes)]
    if imported.get("imported") is False:
        failed = Finding(str(imported["code"]), "problem", str(imported["message"]), str(imported["advice"]))
        return [failed, *(finding for finding in findings if finding.code != failed.code)]
    if not imported.get("imported"):
        return findings
    findings.append(_version(imported, probes.get("machine", {})))
    return [*findings, *_features(imported["features"]), *_counted(probes)]


def _no_ttml(package: Facts, wanted: bool) -> Finding:
    """ttml is missing; with ttnn from a wheel, which is half of the way, what the other half is."""
    level: Level = "problem" if wanted else "note"
    if not package.get("ttnn"):
        return Finding("ttml-missing", level, "This Python has no ttml.", BUILD_ADVICE if wanted else "")
    version = package.get("distributions", {}).get("ttnn")
    tag = f"the tag v{version}" if version else "the commit that ttnn was built from"
    return Finding(
        "ttml-missing",
        level,
        f"ttnn {version or 'of an unknown version'} is installed ({package.get('ttnn_location')}); ttml, the part "
        "that trains, is not.",
        f"Build ttml from {tag} of tt-metal: run `pip install .` in its folder tt-train with this Python "
        "(tt-train/docs/INSTALLING_TTML.md). No package registry has it; the package called ttml on PyPI is unrelated.",
    )


def _sfpi(package: Facts, wanted: bool) -> list[Finding]:
    """The compiler for kernels."""
    facts: Facts = package.get("sfpi") or {}
    release = facts.get("wanted")
    if not facts or not (release or facts.get("place")):
        return []
    level: Level = "problem" if wanted else "note"
    get = (
        f"Download release {release} from https://github.com/tenstorrent/sfpi, whose Debian package goes to "
        f"/opt/tenstorrent/sfpi, or unpack it to {facts['places'][0]}."
    )
    if not facts["place"]:
        missing = f"SFPI {release}, the compiler for kernels, is missing at {' and at '.join(facts['places'])}"
        return [Finding("sfpi-missing", level, f"{missing}: ttnn opens no device without it.", get)]
    found = facts["version"]
    if release and found and found != release:
        return [
            Finding("sfpi-version", level, f"SFPI {found} is in {facts['place']}, and this ttnn needs {release}.", get)
        ]
    if not found:
        return [
            Finding("sfpi-unknown", "note",
                f"SFPI is in {facts['place']}, and its version is unknown; this ttnn needs "
                f"{release or 'its own version'}.")
        ]  # fmt: skip
    return [Finding("sfpi", "ok", f"SFPI {found}, the compiler for kernels, is in {facts['place']}.")]


def _counted(probes: Mapping[str, Facts]) -> list[Finding]:
    counted = probes.get("count_devices", {})
    if "error" in counted:
        step = "See above which process uses the device; if none does, reset it with tt-smi -r."
        if probes.get("machine", {}).get("substitute"):
            step = "See docs/tenstorrent.md for what a simulated chip needs."
        said = str(counted["error"]).rstrip(".")
        return [Finding("devices-not-counted", "problem", f"ttnn cannot enumerate the devices: {said}.", step)]
    if "devices" not in counted:
        return []
    number = counted["devices"]
    return [
        Finding("devices", "ok", f"ttnn sees {number} device{'s' if number != 1 else ''} of architecture "
                f"{counted['architecture']}.")
    ]  # fmt: skip


def _version(imported: Facts, machine: Facts) -> Finding:
    versions = f"ttml {imported['ttml']}, ttnn {imported['ttnn']}"
    checkout = machine.get("metal_checkout")
    where = f"{versions}{f', tt-metal {checkout}' if checkout else ''}"
    number = re.match(r"v?(\d+)\.(\d+)", str(imported["ttnn"]))
    if not number:
        return Finding(
            "ttml", "note", f"{where}: a build with an unknown version; its features are checked one by one."
        )
    version = (int(number.group(1)), int(number.group(2)))
    if version < OLDEST:
        return Finding("ttml-too-old", "problem", f"{where}: older than v0.66, which has another Python interface.",
                       "Update tt-metal to v0.73 or later and build it with tt-train.")  # fmt: skip
    low, high = KNOWN_TO_TRAIN
    if low <= version <= high:
        return Finding("ttml", "ok", f"{where}. Others have trained Llamas with builds from v0.73 to v0.77.")
    return Finding("ttml", "note", f"{where}: outside v0.73 to v0.77, with which others have trained Llamas.")


def _features(features: Mapping[str, bool]) -> list[Finding]:
    findings = []
    if not (features["python_llama"] or features["cpp_llama"]):
        findings.append(
            Finding("no-llama", "problem", "This ttml has no Llama that Trickster supports.", "Update tt-metal.")
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
    torch, package = probes.get("torch", {}), probes.get("package", {})
    stands_in = probes.get("machine", {}).get("substitute") or {}
    if stands_in.get("simulates") and package.get("ttml"):
        return "tt", f"{stands_in['variable']} asks for a simulated chip, and a package called ttml is installed."
    if probes.get("boards", {}).get("boards") and package.get("ttml"):
        return "tt", "there is a Tenstorrent board, and a package called ttml is installed."
    if torch.get("cuda"):
        return "cuda", f"torch sees {torch['cuda'][0]}."
    if torch.get("mps"):
        return "mps", "torch sees an Apple GPU."
    return "cpu", "there is no Tenstorrent board with ttml and no GPU."


def _device(probes: Mapping[str, Facts], kind: str) -> str:
    """The device that would be used, in words."""
    if kind == "tt":
        stands_in = probes.get("machine", {}).get("substitute")
        if stands_in:
            return _simulated(stands_in, probes.get("count_devices", {}))
        board = probes["boards"]["boards"][0]
        smi = [board["type"] for board in probes.get("tt_smi", {}).get("boards", []) if board["type"]]
        name = (smi[0] if smi else None) or board["card_type"] or board["architecture"] or "board"
        return f"Tenstorrent {name} ({board['path']})"
    if kind == "cuda":
        return str(probes["torch"]["cuda"][0])
    return "this computer's Apple GPU" if kind == "mps" else "this computer's CPU"


def _failed_step(name: str) -> str:
    if name in ("tt_smi", "count_devices", "import_ttml"):
        return "The board may hang, or another process uses it. See which one; reset the board with tt-smi -r."
    return "Run `python -m trickster_engine.doctor.probe " + name + "` and read its output."
