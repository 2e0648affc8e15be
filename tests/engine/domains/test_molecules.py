"""Molecules, as RDKit and the MOSES benchmark see them. `make test-domains` installs RDKit."""

from __future__ import annotations

import gzip
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.refusals import refused
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.evaluation.domains.molecules import make, measure

#: First molecules of both parts of the benchmark's data.
TRAIN = ["CCCS(=O)c1ccc2[nH]c(=NC(=O)OC)[nH]c2c1", "CC(C)(C)C(=O)C(Oc1ccc(Cl)cc1)n1ccnc1"]
TEST = ["CC1C2CCC(C2)C1CN(CCO)C(=O)c1ccc(Cl)cc1"] * 8


def test_validity_uniqueness_and_novelty() -> None:
    pytest.importorskip("rdkit", reason="rdkit is not installed: make test-domains")
    aspirin, again = "CC(=O)Oc1ccccc1C(=O)O", "O=C(O)c1ccccc1OC(C)=O"  # the same molecule, written from another end
    wrong = [
        "C(C)(C)(C)(C)C",
        "c1ccccc",
        "CC(=O",
        "",
        "xyz",
        "c1cccc1",
    ]  # five bonds, open ring or branch, no Kekulé form
    found = measure([aspirin, again, *TRAIN, *wrong], set(TRAIN))
    assert found == {"valid": 4 / 10, "unique": 3 / 4, "novel": 1 / 3}
    assert measure([], set()) == {"valid": 0.0, "unique": 0.0, "novel": 0.0}
    # RDKit's canonical form is the one in which the benchmark stores its molecules, so that copies are found.
    assert measure(TRAIN, set(TRAIN)) == {"valid": 1.0, "unique": 1.0, "novel": 0.0}


def _wheel(folder: Path) -> Path:
    """A wheel with data as that of molsets 0.3.1 has them."""
    path = folder / "molsets-0.3.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, lines in (("train", TRAIN), ("test", TEST)):
            text = "\n".join(["SMILES", *lines]) + "\n"
            wheel.writestr(f"moses/dataset/data/{name}.csv.gz", gzip.compress(text.encode()))
        wheel.writestr("moses/__init__.py", "raise SystemExit('executed')")
    return path


def test_the_benchmarks_data_become_lines_and_its_code_is_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, folder = _wheel(tmp_path), tmp_path / "molecules"
    assert main(["corpus", "molecules", "--to", str(folder), "--source", str(wheel)]) == 0
    assert "2 lines" in capsys.readouterr().out
    assert (folder / "train.txt").read_text().splitlines() == TRAIN
    assert (folder / "val.txt").read_text().splitlines() == TEST
    assert check((folder / "molecules.yaml").read_text("utf-8"), folder).plan is not None
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    monkeypatch.syspath_prepend(str(installed))
    (tmp_path / "again").mkdir()
    assert make(tmp_path / "again") == {"train.txt": 2, "val.txt": 8}


def test_data_that_are_not_there_are_named_and_nothing_is_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.whl"
    bad.write_bytes(b"no archive")
    with refused("corpus-missing"):
        make(tmp_path, bad)
    assert main(["corpus", "molecules", "--to", str(tmp_path / "new"), "--source", str(bad)]) == 1
    assert "pip install --no-deps molsets==0.3.1" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_real_data(tmp_path: Path) -> None:
    if find_spec("moses") is None:
        pytest.skip("molsets is not installed: make test-domains")
    pytest.importorskip("rdkit", reason="rdkit is not installed: make test-domains")
    assert make(tmp_path) == {"train.txt": 1_584_663, "val.txt": 176_074}
    train = (tmp_path / "train.txt").read_text().splitlines()
    assert train[:2] == TRAIN
    found = measure(train[::4000], set(train))
    assert found == {"valid": 1.0, "unique": 1.0, "novel": 0.0}
