"""Molecules as SMILES, one a line: the data of the MOSES benchmark, and its measures with RDKit.

MOSES: Polykovskiy et al., "Molecular Sets (MOSES): A Benchmarking Platform for Molecular Generation Models", Frontiers
in Pharmacology 11:565644, 2020, arXiv:1811.12823. SMILES: Weininger, Journal of Chemical Information and Computer
Sciences 28(1), 1988.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from trickster_engine.errors import TricksterError
from trickster_engine.evaluation.item_measures import package_missing

_FILES = {"train": "train.csv.gz", "val": "test.csv.gz"}
_FOLDER = "moses/dataset/data"
_DISTINCT = 10_000  # uniqueness is of so many valid ones, as in the benchmark


def measure(items: Sequence[str], training: Collection[str]) -> Mapping[str, float]:
    """Shares in 0..1: valid of all, unique of the first 10,000 valid, novel of the different valid ones.

    Valid is what RDKit reads and sanitises; two SMILES are the same molecule when their canonical ones are equal, and
    novel is what is not in the training text. Raises TricksterError `measure-needs-package`.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise package_missing("rdkit", "molecules") from error
    RDLogger.DisableLog("rdApp.*")  # a line for each string that is no molecule
    molecules = [Chem.MolFromSmiles(item) if item else None for item in items]
    canonical = [Chem.MolToSmiles(molecule) for molecule in molecules if molecule is not None]
    found, first = set(canonical), canonical[:_DISTINCT]
    return {
        "valid": len(canonical) / len(items) if items else 0.0,
        "unique": len(set(first)) / len(first) if first else 0.0,
        "novel": sum(molecule not in training for molecule in found) / len(found) if found else 0.0,
    }


def make(folder: Path, source: Path | None = None) -> dict[str, int]:
    """Write train.txt and val.txt, a molecule a line; returns how many each has. Nothing of the package is executed.

    The data are those that the package `molsets` carries; `source` is its wheel, where it is not installed. Raises
    OSError, and TricksterError `corpus-missing`.
    """
    counts = {}
    for part, name in _FILES.items():
        lines = gzip.decompress(_data(name, source)).decode("ascii").splitlines()[1:]  # the first is the column's name
        with (folder / f"{part}.txt").open("w", encoding="ascii", newline="\n") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        counts[f"{part}.txt"] = len(lines)
    return counts


def _data(name: str, source: Path | None) -> bytes:
    try:
        if source is not None:
            with zipfile.ZipFile(source) as wheel:
                return wheel.read(f"{_FOLDER}/{name}")
        spec = find_spec("moses")  # where it is, without running it
        if spec is not None and spec.submodule_search_locations:
            return (Path(spec.submodule_search_locations[0]) / "dataset/data" / name).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise _missing(f"The data of molsets cannot be read: {error}.") from error
    raise _missing("The package molsets, which carries the data, is not installed.")


def _missing(message: str) -> TricksterError:
    return TricksterError(
        "corpus-missing",
        message,
        "Fetch it without what its old code wants: pip install --no-deps molsets==0.3.1. Or name a downloaded wheel: "
        "--source molsets-0.3.1-py3-none-any.whl.",
    )
