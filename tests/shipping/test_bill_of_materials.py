"""The packaged extension's bill of materials against what the package carries and what npm itself says of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VSIX = ROOT / "build" / "trickster.vsix"
LIBS = "extension/dist/libs/"

pytestmark = pytest.mark.skipif(not VSIX.exists(), reason="the extension is not packaged yet (make vsix)")


@pytest.fixture(scope="module")
def package() -> zipfile.ZipFile:
    return zipfile.ZipFile(VSIX)


def components(package: zipfile.ZipFile, kind: str) -> dict[str, dict[str, Any]]:
    bill = json.loads(package.read("extension/dist/sbom.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    return {one["name"]: one for one in bill["components"] if one["purl"].startswith(f"pkg:{kind}/")}


def test_every_python_package_in_it_is_listed(package: zipfile.ZipFile) -> None:
    names = package.namelist()
    libraries = [name.removeprefix(LIBS) for name in names if name.startswith(LIBS)]
    infos = {name.partition("/")[0] for name in libraries if ".dist-info/" in name}
    carried = dict(info.removesuffix(".dist-info").rsplit("-", 1) for info in infos)
    listed = {one["name"].replace("-", "_").lower(): one["version"] for one in components(package, "pypi").values()}
    assert {name.lower(): version for name, version in carried.items()} == listed
    recorded = {
        line.partition(",")[0].partition("/")[0]
        for info in infos
        for line in package.read(f"{LIBS}{info}/RECORD").decode().splitlines()
    }
    tops = {name.partition("/")[0] for name in libraries}
    assert tops - recorded <= {".made-from"}, "files of a package that is in no list"


def test_every_npm_package_in_it_is_listed_as_npm_knows_it(package: zipfile.ZipFile) -> None:
    npm = shutil.which("npm", path=f"{ROOT / 'build' / 'node' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert npm is not None
    answer = subprocess.run(
        [npm, "sbom", "--package-lock-only", "--sbom-format=cyclonedx"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = {one["purl"]: one for one in json.loads(answer.stdout)["components"]}
    listed = components(package, "npm")
    assert {"vscode-languageclient", "uplot"} <= set(listed)
    locked = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, one in listed.items():
        assert "dev" not in locked[f"node_modules/{name}"], "`npm audit --omit=dev` would not look at it"
        theirs = known[one["purl"]]
        assert one["hashes"] == [{"alg": "SHA-512", "content": theirs["hashes"][0]["content"]}]
        words = theirs["licenses"][0]
        assert one["licenses"][0]["license"]["name"] in (words.get("expression"), words.get("license", {}).get("id"))
    assert all(one["licenses"][0]["license"]["name"] != "unknown" for one in listed.values())
