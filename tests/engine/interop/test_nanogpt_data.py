"""nanoGPT's data: written here as its prepare.py writes it, read back as the text it was made from."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.engine.conftest import dialogue, trickster
from tests.engine.training.test_starting_weights import byte_bpe
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.interop.nanogpt_data import import_data

TEXT = dialogue(40_000) + "caf\u00e9\r\n\u65e5\u672c\u8a9e \U0001f642\r" * 50


def as_nanogpt(folder: Path, text: str = TEXT) -> None:
    """nanoGPT's data/shakespeare_char/prepare.py, line for line what it does to a text."""
    folder.mkdir()
    chars = sorted(set(text))
    stoi = {ch: i for i, ch in enumerate(chars)}
    itos = dict(enumerate(chars))
    n = len(text)
    for name, part in (("train", text[: int(n * 0.9)]), ("val", text[int(n * 0.9) :])):
        np.array([stoi[c] for c in part], dtype=np.uint16).tofile(folder / f"{name}.bin")
    with (folder / "meta.pkl").open("wb") as file:
        pickle.dump({"vocab_size": len(chars), "itos": itos, "stoi": stoi}, file)


def test_characters_come_back_as_the_text(tmp_path: Path) -> None:
    as_nanogpt(tmp_path / "data")
    answer = trickster("import-data", str(tmp_path / "data"), str(tmp_path / "out"))
    assert answer.returncode == 0, answer.stderr
    assert "train_data: " in answer.stdout
    parts = [(tmp_path / "out" / f"{part}.txt").read_bytes().decode() for part in ("train", "val")]
    assert "".join(parts) == TEXT
    assert len(parts[0]) == int(len(TEXT) * 0.9)


def test_subwords_come_back_with_their_tokenizer(tmp_path: Path) -> None:
    """GPT-2's tokens, which nanoGPT prepares without a meta.pkl: byte-level BPE with a special token."""
    (tmp_path / "data").mkdir()
    byte_bpe(tmp_path / "tokenizer")
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    for part in ("train", "val"):
        tokenizer.encode(TEXT).astype(np.uint16).tofile(tmp_path / "data" / f"{part}.bin")
    with pytest.raises(TricksterError, match=r"GPT-2"):
        import_data(tmp_path / "data", tmp_path / "out")
    import_data(tmp_path / "data", tmp_path / "out", tmp_path / "tokenizer")
    assert (tmp_path / "out" / "val.txt").read_bytes().decode() == TEXT


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("was-run",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("meta.pkl", pickle.dumps({"stoi": _Evil()})),
        ("meta.pkl", pickle.dumps({"stoi": {"a": 1, "b": 1}})),
        ("meta.pkl", pickle.dumps({"stoi": {"a": -1}})),
        ("meta.pkl", pickle.dumps({"stoi": {"a": 1 << 40}})),
        ("meta.pkl", pickle.dumps(["a"])),
        ("meta.pkl", b"\x80\x04"),
        ("train.bin", b"\0"),
        ("train.bin", b""),
        ("train.bin", b"\xff\xff"),
        ("val.bin", None),
    ],
)
def test_what_is_not_nanogpts_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    as_nanogpt(tmp_path / "data", "abc" * 100)
    path = tmp_path / "data" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(TricksterError, match=name.partition(".")[0]):
        import_data(tmp_path / "data", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
