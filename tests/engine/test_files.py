"""Only plain files are read and written, whatever lies in their place; nothing hangs and nothing grows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trickster_engine.system.files import (
    NotAPlainFileError,
    TooLargeError,
    create_file,
    in_command,
    open_to_append,
    read_bytes,
    read_json,
    read_text,
    sweep_temporaries,
    temporary_name,
    write_text_atomically,
)
from trickster_engine.system.replace_folder import discard

if sys.platform == "win32":
    pytest.skip("links and FIFOs of POSIX", allow_module_level=True)


def lay(kind: str, path: Path) -> None:
    """Put something other than a plain file at a path."""
    if kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder", "socket"])
@pytest.mark.timeout(5)
def test_what_is_no_plain_file_is_neither_read_nor_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    lay(kind, path)
    for action in (read_bytes, read_text, read_json, open_to_append):
        with pytest.raises(NotAPlainFileError) as caught:
            action(path)
        assert caught.value.kind == kind
    with pytest.raises(FileExistsError):
        create_file(path)


@pytest.mark.timeout(5)
def test_a_device_is_not_read_even_where_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "f").symlink_to("/dev/zero")
    with pytest.raises(NotAPlainFileError) as caught:
        read_bytes(tmp_path / "f", follow_links=True)
    assert caught.value.kind == "device"


def test_a_link_that_a_person_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("text", encoding="utf-8")
    (tmp_path / "f").symlink_to("there")
    assert read_text(tmp_path / "f", follow_links=True) == "text"


def test_absent_unreadable_and_not_ours_are_three_things(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"\xff{")
    with pytest.raises(ValueError):
        read_json(tmp_path / "f")
    (tmp_path / "f").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ValueError):
        read_json(tmp_path / "f")


def test_no_more_is_read_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it says a terabyte and costs nothing
    with pytest.raises(TooLargeError):
        read_bytes(path)
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(TooLargeError):
        read_bytes(path, limit=4)


def test_writing_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    (tmp_path / "f").symlink_to(victim)
    (tmp_path / ".f.tmp").symlink_to(victim)  # the name that was used until it could not be foreseen
    write_text_atomically(tmp_path / "f", "new")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "f").read_text(encoding="utf-8") == "new"


def test_a_fifo_in_the_place_of_a_folder_holds_nothing_up(tmp_path: Path) -> None:
    leftover = tmp_path / ".final.tmp"
    os.mkfifo(leftover)
    removing = threading.Thread(target=discard, args=(leftover,), daemon=True)
    removing.start()
    removing.join(20)
    assert not removing.is_alive()
    assert not os.path.lexists(leftover)


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / temporary_name("events.jsonl")
    left.touch()
    (tmp_path / ".mine.tmp").touch()
    sweep_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.tmp"]


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "./shakespeare",
        "a b",
        "$(touch made)",
        "`touch made`",
        'say "hi"',
        "it's",
        "$HOME",
        "a\\ b",
        "two\nlines",
        "x!",
    ],
)
def test_what_is_to_be_copied_into_a_shell_arrives_as_it_was(argument: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"printf %s {in_command(argument)}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == argument
    assert list(tmp_path.iterdir()) == []
