"""`make test-ranges`: the tests with the oldest and with the newest packages that pyproject.toml allows.

    python -m tests.shipping.ranges [--python python3.12] [--only oldest|newest] [TEST ...]

Makes build/ranges/<end>-<version of Python> with its own environment, installs what the range's end names, and runs the
tests of the engine and of the server there. Takes gigabytes where the index has no PyTorch for processors alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from packaging.requirements import Requirement

from tests.shipping.project import ROOT, wanted

ENDS = ("oldest", "newest")
#: What trains, saves, resumes, samples, checks and serves, in minutes.
TESTS = (
    "tests/engine/model", "tests/engine/config", "tests/engine/data", "tests/engine/test_sampling.py",
    "tests/engine/training/test_loop.py", "tests/engine/training/test_resume.py", "tests/engine/training/test_muon.py",
    "tests/engine/training/test_precision.py", "tests/engine/test_cli.py", "tests/server/test_messages.py",
    "tests/server/test_pygls.py", "tests/server/test_hostile_clients.py",
)  # fmt: skip
#: Of the tools that test, no end of a range is wanted.
TOOLS = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist", "pytest-lsp", "tensorboard", "transformers")


def at(end: str, requirement: Requirement) -> str:
    """The requirement at an end of its range: the lowest version that it names, or itself."""
    lowest = [one.version for one in requirement.specifier if one.operator in (">=", "==")]
    return f"{requirement.name}=={lowest[0]}.*" if end == "oldest" and lowest else str(requirement)


def environment(end: str, python: str) -> Path:
    """The Python of an environment with the packages of one end."""
    version = subprocess.check_output([python, "-c", "import sys; print(sys.version.split()[0])"], text=True).strip()
    folder = ROOT / "build" / "ranges" / f"{end}-{version}"
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    scripts = Path(sysconfig.get_path("scripts", vars={"base": str(folder), "platbase": str(folder)}))
    program = scripts / ("python.exe" if os.name == "nt" else "python")
    ours = [at(end, one) for one in (*wanted("dependencies"), *wanted("server"))]
    tools = [str(one) for one in wanted("dev") if one.name in TOOLS] + ["packaging", "setuptools>=77"]
    pip = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *ours, *tools], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
    return program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only", choices=ENDS)
    parser.add_argument("tests", nargs="*", default=TESTS)
    options = parser.parse_args()
    failed = []
    for end in [options.only] if options.only else ENDS:
        python = environment(end, options.python)
        listed = subprocess.check_output([python, "-m", "pip", "list", "--format=freeze"], text=True).lower()
        ours = [str(one.name).lower() for one in (*wanted("dependencies"), *wanted("server"))]
        print(end, *(line for line in listed.splitlines() if line.partition("==")[0] in ours), flush=True)
        command = [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", *options.tests]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(end)
    print(f"Failed: {', '.join(failed)}" if failed else "Both ends of every range pass.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
