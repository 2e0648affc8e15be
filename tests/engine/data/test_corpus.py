"""Finding corpora, reading them as a stream, and the words for everything that can be wrong with them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickster_engine.config.corpus_files import SHAKESPEARE_BYTES
from trickster_engine.data import corpus as corpus_module
from trickster_engine.data.corpus import describe_corpus, resolve_corpus
from trickster_engine.data.read_text import read_text_chunks
from trickster_engine.errors import TricksterError


def _error(name: str, folder: Path) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        "".join(resolve_corpus(name, folder).text_chunks())
    return caught.value


def test_a_file_is_read_exactly_whatever_its_line_ends(tmp_path: Path) -> None:
    text = "one\r\ntwo\n\rthree\n\n  é東🙂\x0b\x85end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    corpus = resolve_corpus("a.txt", tmp_path)
    assert "".join(corpus.text_chunks()) == text
    assert (corpus.kind, corpus.size) == ("file", len(text.encode()))


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")), size=st.integers(1, 9))
def test_chunks_never_cut_a_character(tmp_path_factory: pytest.TempPathFactory, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("corpus") / "a.txt"
    path.write_bytes(text.encode())
    assert "".join(read_text_chunks(path, size)) == text


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert "".join(resolve_corpus("a.txt", tmp_path).text_chunks()) == "hello"


def test_a_folder_is_read_in_order_with_one_newline_between_files(tmp_path: Path) -> None:
    root = tmp_path / "texts"
    for name, text in {
        "b.txt": "B",
        "a.md": "A\n",
        "a/z.txt": "inner",
        "a/deep/x.PY": "deep",
        "empty.txt": "",
        "picture.png": "no",
        "README": "no",
        ".hidden.txt": "no",
        ".git/c.txt": "no",
        "node_modules/d.js": "no",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "loop").symlink_to(root)
    (root / "dangling.txt").symlink_to(root / "nowhere")
    corpus = resolve_corpus("texts", tmp_path)
    assert "".join(corpus.text_chunks()) == "deep\ninner\nA\n\nB"
    assert corpus.kind == "folder"


def test_the_python_corpus_is_the_standard_library_and_nothing_else() -> None:
    first, second = (resolve_corpus("python", Path()) for _ in range(2))
    assert first == second
    names = {file.path.relative_to(first.path).as_posix() for file in first.files}
    assert {"json/decoder.py", "os.py", "asyncio/base_events.py"} <= names
    assert not [
        name for name in names if not name.endswith(".py") or {"test", "tests", "site-packages"} & set(name.split("/"))
    ]
    text = "".join(first.text_chunks())
    assert len(text) > 2_000_000
    assert "class JSONDecoder" in text


def test_the_python_corpus_passes_over_a_file_in_another_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "b.py").write_bytes(b"# -*- coding: latin-1 -*-\n# \xe9\n")
    (tmp_path / "c.py").write_text("c = 3\n")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    assert "".join(resolve_corpus("python", Path()).text_chunks()) == "a = 1\n\nc = 3\n"


def test_missing_suggests_a_close_name(tmp_path: Path) -> None:
    (tmp_path / "sonnets.txt").write_text("text")
    assert _error("sonets.txt", tmp_path).code == "corpus-missing"
    assert "Did you mean sonnets.txt?" in _error("sonets.txt", tmp_path).advice
    assert "Did you mean shakespeare?" in _error("shakespear", tmp_path).advice
    assert "Did you mean" not in _error("quite-another-thing", tmp_path).advice


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~nosuchuser/a.txt", "corpus.txt/inside"])
def test_impossible_names_are_errors_in_words(tmp_path: Path, name: str) -> None:
    (tmp_path / "corpus.txt").write_text("text")
    assert _error(name, tmp_path).code in ("corpus-missing", "corpus-unreadable")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert _error("a.txt", tmp_path).code == "corpus-empty"


def test_a_folder_without_text(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.png").write_bytes(b"x")
    assert _error("d", tmp_path).code == "corpus-no-text-files"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("named pipes")
    os.mkfifo(tmp_path / "pipe")
    assert _error("pipe", tmp_path).code == "corpus-not-a-file"


def test_binary_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 1_500_000 + b"\0" + b"x")
    error = _error("a.txt", tmp_path)
    assert error.code == "corpus-binary"
    assert str(tmp_path / "a.txt") in error.message and "offset 1,500,000" in error.message


@pytest.mark.parametrize(
    ("data", "offset", "line"),
    [
        (b"caf\xe9 au lait", "offset 3 ", "line 1"),
        (b"\xef\xbb\xbfab\n\nc\xff", "offset 8 ", "line 3"),
        (b"x" * ((1 << 20) - 1) + b"\xe6\x9d" + b"A", f"offset {(1 << 20) - 1:,} ", "line 1"),  # cut by a chunk's end
        (b"fine \xe6\x9d", "offset 5 ", "line 1"),  # cut by the file's end
    ],
)
def test_not_utf8_says_which_byte_of_which_file(tmp_path: Path, data: bytes, offset: str, line: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    error = _error("a.txt", tmp_path)
    assert error.code == "corpus-not-utf8"
    assert str(tmp_path / "a.txt") in error.message
    assert offset in error.message and line in error.message
    assert "iconv" in error.advice


def test_not_utf8_inside_a_folder_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("good")
    (tmp_path / "b.txt").write_bytes(b"\xe9")
    error = _error(".", tmp_path)
    assert error.code == "corpus-not-utf8" and "b.txt" in error.message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_utf16_is_recognised_before_its_zero_bytes(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffhello".encode(encoding))
    error = _error("a.txt", tmp_path)
    assert error.code == "corpus-not-utf8" and encoding[:6].upper() in error.message


def test_unreadable(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("POSIX permissions")
    path = tmp_path / "a.txt"
    path.write_text("secret")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read anything: ask as nobody
        for folder in [tmp_path, *tmp_path.parents]:
            if folder == Path("/tmp"):
                break
            folder.chmod(0o755)
        script = (
            "import os, sys, pathlib\n"
            "from trickster_engine.data.corpus import resolve_corpus\n"
            "from trickster_engine.errors import TricksterError\n"
            "os.setuid(65534)\n"
            "try: list(resolve_corpus('a.txt', pathlib.Path(sys.argv[1])).text_chunks())\n"
            "except TricksterError as error: print(error.code, error.advice)"
        )
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("corpus-unreadable") and "chmod u+r" in done.stdout
    else:
        error = _error("a.txt", tmp_path)
        assert error.code == "corpus-unreadable" and "chmod u+r" in error.advice


def test_shakespeare_from_the_corpus_folder(shakespeare: str, tmp_path: Path) -> None:
    corpus = resolve_corpus("shakespeare", tmp_path)
    assert "".join(corpus.text_chunks()) == shakespeare
    assert len(shakespeare) == SHAKESPEARE_BYTES


def test_shakespeare_from_the_cache(
    shakespeare: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICKSTER_CORPUS_DIR", str(tmp_path))  # a folder without it is no obstacle
    cache.mkdir()
    (cache / "tinyshakespeare.txt").write_bytes(shakespeare.encode())
    assert resolve_corpus("shakespeare", tmp_path).path == cache / "tinyshakespeare.txt"
    (cache / "tinyshakespeare.txt").write_bytes(shakespeare.encode()[:-1])  # damaged: as good as missing
    assert _error_without_download(tmp_path).code == "corpus-unavailable"


def test_shakespeare_with_a_wrong_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tinyshakespeare.txt").write_text("To be, or not to be")
    monkeypatch.setenv("TRICKSTER_CORPUS_DIR", str(tmp_path))
    error = _error_without_download(tmp_path)
    assert error.code == "corpus-wrong-sum"
    assert str(tmp_path / "tinyshakespeare.txt") in error.message


def test_shakespeare_nowhere_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRICKSTER_CORPUS_DIR", raising=False)
    error = _error_without_download(tmp_path)
    assert error.code == "corpus-unavailable"
    for words in (corpus_module.SHAKESPEARE_URL, "TRICKSTER_CORPUS_DIR", "python"):
        assert words in error.advice


def _error_without_download(folder: Path) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        resolve_corpus("shakespeare", folder)
    return caught.value


def test_a_description_costs_no_reading(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff" * 100)  # reading it would fail
    description = describe_corpus("a.txt", tmp_path)
    assert (description.kind, description.bytes, description.files, description.problem) == ("file", 100, 1, None)
    assert describe_corpus("shakespeare", tmp_path).characters == 1_115_394
    assert describe_corpus("python", tmp_path).files > 100
    problem = describe_corpus("none.txt", tmp_path).problem
    assert problem is not None and problem.code == "corpus-missing"
    assert not (tmp_path / "cache").exists()


def test_describing_needs_neither_numpy_nor_torch_nor_a_moment(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from trickster_engine.data.corpus import describe_corpus\n"
        "describe_corpus('shakespeare', pathlib.Path('.')); describe_corpus('.', pathlib.Path(sys.argv[1]))\n"
        "print(sorted({'numpy', 'torch', 'tokenizers', 'tqdm', 'platformdirs'} & set(sys.modules)))"
    )
    (tmp_path / "a.txt").write_text("x")
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.perf_counter() - begun < 5
