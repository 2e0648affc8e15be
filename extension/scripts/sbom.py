"""Writes dist/sbom.cdx.json, the bill of materials of the packaged extension (CycloneDX 1.6).

It lists what the package really carries: the npm packages whose code esbuild has put into the bundles, and the Python
packages in dist/libs. The same inputs give the same file, byte for byte.
"""

from __future__ import annotations

import base64
import json
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"


def read_json(path: Path) -> Any:
    """A JSON file's value."""
    return json.loads(path.read_text(encoding="utf-8"))


def npm_components() -> list[dict[str, Any]]:
    """The packages in the bundles, with the sums that package-lock.json has of them."""
    locked = read_json(ROOT / "package-lock.json")["packages"]
    components = []
    for folder in read_json(DIST / "bundled-packages.json"):
        package, name = locked[folder], folder.rpartition("node_modules/")[2]
        algorithm, _, digest = package["integrity"].partition("-")
        sha = {"alg": algorithm.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}
        purl = f"pkg:npm/{name.replace('@', '%40')}@{package['version']}"
        components.append(component(name, package["version"], purl, package["license"], hashes=[sha]))
    return components


def python_components() -> list[dict[str, Any]]:
    """The distributions in dist/libs."""
    found = sorted(distributions(path=[str(DIST / "libs")]), key=lambda one: one.name.lower())
    return [
        component(one.name, one.version, f"pkg:pypi/{one.name.lower()}@{one.version}", licence_of(one)) for one in found
    ]


def licence_of(distribution: Distribution) -> str:
    """What a distribution says of its licence: an SPDX expression, a short name, or a classifier's last part."""
    metadata = distribution.metadata
    classifiers = metadata.get_all("Classifier") or []
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: OSI Approved")]
    words = metadata.get("License-Expression") or metadata.get("License") or ""
    return words if words and "\n" not in words else (named or ["unknown"])[0]


def component(name: str, version: str, purl: str, licence: str, **more: Any) -> dict[str, Any]:
    """One entry."""
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"license": {"name": licence}}],
        **more,
    }


def main() -> None:
    """Write it."""
    package = read_json(ROOT / "package.json")
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "trickster",
                "name": package["name"],
                "version": package["version"],
                "licenses": [{"license": {"id": package["license"]}}],
            }
        },
        "components": [*npm_components(), *python_components()],
    }
    (DIST / "sbom.cdx.json").write_text(json.dumps(bill, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
