"""What a folder may have done is decided by one valid `true`, and by nothing else."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from trickster_server.lsp.messages.options import InitializationOptions
from trickster_server.lsp.wire import options_from_wire
from trickster_server.private_folder import PrivateFolder

from tests.server.raw_client import RawClient


def initialized(client: RawClient, folder: Path, options: Any) -> None:
    where = [{"uri": folder.as_uri(), "name": "w"}]
    params: dict[str, Any] = {"processId": None, "rootUri": None, "workspaceFolders": where, "capabilities": {}}
    client.request("initialize", {**params, "initializationOptions": options})
    client.notify("initialized", {})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"trusted": False, "debounceMs": "100"}, "debounceMs: expected a whole number, found text"),
        ({"trusted": "true", "debounceMs": 7}, "trusted: expected true or false, found text"),
        (["trusted"], "expected an object, found a list"),
        ({}, None),
        (None, None),
    ],
)
def test_a_folder_is_not_trusted_unless_a_valid_true_was_sent(
    raw: RawClient, tmp_path: Path, options: Any, named: str | None
) -> None:
    initialized(raw, tmp_path, options)
    request = {"preset": "pico", "folderUri": tmp_path.as_uri()}
    assert raw.wait(raw.begin("trickster/createConfig", request))["error"]["code"] == 1001
    assert list(tmp_path.glob("*.yaml")) == []
    if named is not None:
        said = raw.notification("window/showMessage")
        assert said["type"] == 2
        assert named in said["message"]
    raw.notify("trickster/trustGranted", {})
    assert "result" in raw.wait(raw.begin("trickster/createConfig", request))


def test_a_bad_option_takes_no_other_with_it() -> None:
    given = {"trusted": True, "python": 3, "following": {"a": "b"}, "debounceMs": 20, "unknown": 1}
    options, wrong = options_from_wire(InitializationOptions, given)
    assert (options.trusted, options.python, options.following, options.debounce_ms) == (True, None, {}, 20)
    assert [words.partition(":")[0] for words in wrong] == ["python", "following.a"]


def test_pages_of_two_servers_are_private_to_each_and_go_with_it() -> None:
    folders = [PrivateFolder(), PrivateFolder()]
    paths = [folder.write("doctor.md", f"{number}") for number, folder in enumerate(folders)]
    assert paths[0] != paths[1]
    assert [path.read_text(encoding="utf-8") for path in paths] == ["0", "1"]
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.parent.stat().st_mode) for path in paths} == {0o700}
    for folder in folders:
        folder.remove()
    assert not any(path.parent.exists() for path in paths)
