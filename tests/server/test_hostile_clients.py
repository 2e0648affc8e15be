"""What no editor should send, and some do: the server answers or passes it over, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.raw_client import RawClient

NANO_LINE = "model_config:\n  hidden_dim: 256\n"


def alive(client: RawClient) -> bool:
    """Whether the server still answers, and has logged no failure of its own."""
    uri = "file:///alive/x.trickster.yaml"
    client.open(uri, NANO_LINE)
    hover = client.request(
        "textDocument/hover", {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 4}}
    )
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return "hidden_dim" in hover["contents"]["value"] and not [one for one in client.errors() if "Traceback" in one]


def frame(body: bytes, header: bytes = b"Content-Length") -> bytes:
    return b"%s: %d\r\n\r\n%s" % (header, len(body), body)


BAD_BODIES = {
    "not JSON": b"{not json",
    "not UTF-8": b'{"jsonrpc": "2.0", "method": "\xff\xfe"}',
    "empty object": b"{}",
    "a list": b"[1, 2, 3]",
    "a number": b"7",
    "null": b"null",
    "nested too deeply": b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a number of 10,000 digits": b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"shutdown"}',
    "an id that is a list": b'{"jsonrpc":"2.0","id":[1],"method":"textDocument/hover","params":{}}',
    "an id that is null": b'{"jsonrpc":"2.0","id":null,"method":"textDocument/hover","params":{}}',
    "a method that is a number": b'{"jsonrpc":"2.0","id":"x","method":7}',
    "a method that is unknown": b'{"jsonrpc":"2.0","id":"x","method":"no/such"}',
    "params that are text": b'{"jsonrpc":"2.0","id":"x","method":"textDocument/hover","params":"x"}',
    "params that are missing": b'{"jsonrpc":"2.0","id":"x","method":"textDocument/hover"}',
    "a position below zero": b'{"jsonrpc":"2.0","id":"x","method":"textDocument/hover","params":'
    b'{"textDocument":{"uri":"file:///x"},"position":{"line":-4,"character":-9}}}',
    "another version": b'{"jsonrpc":"1.0","id":"x","method":"shutdown"}',
    "an answer to nothing": b'{"jsonrpc":"2.0","id":"nothing","result":{"a":1}}',
    "an error to nothing": b'{"jsonrpc":"2.0","id":"nothing","error":{"code":1,"message":"x"}}',
    "an error of a strange form": b'{"jsonrpc":"2.0","id":9,"error":[]}',
    "NaN": b'{"jsonrpc":"2.0","method":"x","params":NaN}',
    "jsonrpc inside params": b'{"jsonrpc":"2.0","id":"x","method":"trickster/presets","params":'
    b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}}',
    "a change of an unknown text": b'{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":'
    b'{"uri":"file:///never","version":2},"contentChanges":[{"text":"x"}]}}',
    "closing an unknown text": b'{"jsonrpc":"2.0","method":"textDocument/didClose","params":{"textDocument":'
    b'{"uri":"file:///never"}}}',
    "a strange address": b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
    b'{"uri":"http://[::bad/x.trickster.yaml","languageId":"yaml","version":1,"text":"model_config:"}}}',
    "an address with NUL": b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
    b'{"uri":"file:///a%00b.trickster.yaml","languageId":"yaml","version":1,"text":"model_config:"}}}',
    "an untitled text": b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
    b'{"uri":"untitled:Untitled-1","languageId":"yaml","version":1,"text":"model_config:\\n  hiden_dim: 3"}}}',
    "a command that is unknown": b'{"jsonrpc":"2.0","id":"x","method":"workspace/executeCommand","params":'
    b'{"command":"rm","arguments":["-rf"]}}',
    "a command with the wrong argument": b'{"jsonrpc":"2.0","id":"x","method":"workspace/executeCommand","params":'
    b'{"command":"trickster.server.train","arguments":[7]}}',
    "a second initialize": b'{"jsonrpc":"2.0","id":"x","method":"initialize","params":{"processId":null,"rootUri":null,'
    b'"capabilities":{}}}',
    "a request without an id": b'{"jsonrpc":"2.0","method":"trickster/listRuns","params":{}}',
    "a run that is unknown": b'{"jsonrpc":"2.0","id":"x","method":"trickster/deleteRun","params":{"runId":"/"}}',
    "a run outside the workspace": b'{"jsonrpc":"2.0","id":"x","method":"trickster/deleteRun","params":'
    b'{"runId":"/etc"}}',
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_message_does_no_harm(shared: RawClient, case: str) -> None:
    shared.send_bytes(frame(BAD_BODIES[case]))
    assert alive(shared)


BAD_FRAMES = {
    "a lower-case header": lambda body: frame(body, b"content-length"),
    "line feeds alone": lambda body: b"Content-Length: %d\n\n%s" % (len(body), body),
    "another header first": lambda body: b"Content-Type: x; charset=utf-8\r\n" + frame(body),
    "no length": lambda body: b"Content-Type: x\r\n\r\n" + frame(body),
    "a length below zero": lambda body: b"Content-Length: -5\r\n\r\n" + frame(body),
    "a length in words": lambda body: b"Content-Length: many\r\n\r\n" + frame(body),
    "a huge length that is no number": lambda body: b"Content-Length: " + b"9" * 400 + b"\r\n\r\n" + frame(body),
    "blank lines between": lambda body: b"\r\n\r\n\r\n" + frame(body),
    "noise before": lambda body: b"hello there\r\n\r\n" + frame(body),
    "an endless header line": lambda body: b"x" * 300_000 + b"\r\n\r\n" + frame(body),
    "a message of nothing": lambda body: b"Content-Length: 0\r\n\r\n" + frame(body),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_does_not_swallow_the_next(shared: RawClient, case: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": "after", "method": "trickster/presets", "params": {}}).encode()
    shared.send_bytes(BAD_FRAMES[case](body))
    assert shared.wait("after")["result"]["presets"]
    assert alive(shared)


def test_a_frame_that_comes_in_pieces(shared: RawClient) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": "pieces", "method": "trickster/presets", "params": {}}).encode()
    whole = frame(body)
    for index in range(0, len(whole), 7):
        shared.send_bytes(whole[index : index + 7])
        if index % 70 == 0:
            assert shared.process.poll() is None
    assert shared.wait("pieces")["result"]["presets"]


def test_half_a_frame_and_then_nothing(initialized: RawClient) -> None:
    initialized.send_bytes(b"Content-Length: 500\r\n\r\n{")
    assert initialized.process.stdin is not None
    initialized.process.stdin.close()
    assert initialized.process.wait(5) == 1


def test_requests_before_initialize_are_refused(raw: RawClient) -> None:
    answer = raw.wait(raw.begin("textDocument/hover", {}))
    assert answer["error"]["code"] in (-32002, -32602)
    answer = raw.wait(raw.begin("trickster/listRuns", {}))
    assert answer["error"]["code"] == -32002
    raw.initialize()
    assert alive(raw)


def test_requests_after_shutdown_are_answered(initialized: RawClient) -> None:
    initialized.request("shutdown")
    assert initialized.wait(initialized.begin("trickster/presets", {}))["error"]["code"] == -32600
    initialized.notify("exit")
    assert initialized.process.wait(5) == 0


def test_a_cancel_overtakes_what_waits(shared: RawClient) -> None:
    """Two thousand hovers and their cancels in one go: most are never worked on, each is answered once."""
    uri = "file:///storm/x.trickster.yaml"
    shared.open(uri, NANO_LINE)
    params = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 4}}
    data = b""
    for number in range(2000):
        request = {"jsonrpc": "2.0", "id": f"storm-{number}", "method": "textDocument/hover", "params": params}
        cancel = {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": f"storm-{number}"}}
        data += frame(json.dumps(request).encode()) + frame(json.dumps(cancel).encode())
    shared.send_bytes(data)
    answers = [shared.wait(f"storm-{number}") for number in range(2000)]
    cancelled = [answer for answer in answers if answer.get("error", {}).get("code") == -32800]
    assert len(cancelled) > 1000
    assert all("result" in answer for answer in answers if answer not in cancelled)
    assert alive(shared)


def test_cancels_of_nothing(shared: RawClient) -> None:
    for number in range(1000):
        shared.notify("$/cancelRequest", {"id": f"no-{number}"})
    for strange in (None, {}, {"id": None}, {"id": [1]}, {"id": 1.5}, [1]):
        shared.notify("$/cancelRequest", strange)
    assert alive(shared)
    assert not [entry for entry in shared.log if entry["type"] == 1]


DOCUMENTS: dict[str, str] = {
    "deeply nested": "model_config: " + "[" * 5000 + "]" * 5000,
    "deeply indented": "\n".join(" " * depth + "a:" for depth in range(1500)),
    "a billion laughs": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefghijkl", "bcdefghijklm", strict=True))
    + "model_config: *m\n",
    "an alias of itself": "model_config: &x\n  hidden_dim: *x\n",
    "five megabytes": "model_config:\n" + "".join(f"  key_{number}: {number}\n" for number in range(280_000)),
    "five megabytes on a line": "model_config: {" + ", ".join(f"k{n}: {n}" for n in range(400_000)) + "}",
    "lone surrogates": 'model_config:\n  hidden_dim: "\ud800"\n  \udfff: 3\n',
    "carriage returns": "model_config:\r\n  hiden_dim: 256\r\ntraining_config:\r  max_steps: 5\r",
    "tabs": "model_config:\n\thidden_dim: 256\n\t\tx: 1\n",
    "a byte order mark": "\ufeffmodel_config:\n  hiden_dim: 256\n",
    "NUL": "model_config:\n  hidden\0dim: 2\x0056\n",
    "old line ends": "model_config:\n  a: 1\x85  b: 2\u2028  hiden_dim: 3\u2029\n",
    "emoji": "\N{PILE OF POO}: 1\nmodel_config:\n  \N{PILE OF POO}: \N{PILE OF POO}\n",
    "every control character": "model_config:\n  x: " + "".join(map(chr, range(32))) + "\n",
    "many documents": "---\nmodel_config: {}\n...\n---\n" * 50,
    "tags": "!!python/object/apply:os.system ['true']\nmodel_config: !!binary xx\n",
    "merges": "a: &a {hidden_dim: 3}\nmodel_config:\n  <<: [*a, *a]\n  <<: *a\n",
    "keys that are no text": "model_config:\n  [1, 2]: 3\n  {a: b}: 4\n  ? x\n  : y\n",
    "numbers": "model_config:\n  hidden_dim: 1" + "0" * 5000 + "\n  num_heads: -0x1F\n  dropout: .nan\n",
    "extremes": "model_config: {hidden_dim: 65536, num_layers: 1024, num_heads: 1, mlp_dim: 1000000}\n"
    "training_config: {max_steps: 1000000000, batch_size: 1048576, learning_rate: 1e-300, warmup_steps: 0}\n",
    "nothing of use": "model_config: 3\ntraining_config: [1]\ndata_config:\n",
    "an open quote": 'model_config:\n  x: "\n  hidden_dim: 3\n',
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_strange_text_is_dealt_with(shared: RawClient, case: str) -> None:
    text = DOCUMENTS[case]
    uri = f"file:///strange/{abs(hash(case))}.trickster.yaml"
    shared.open(uri, text)
    while (published := shared.notification("textDocument/publishDiagnostics", 30))["uri"] != uri:
        pass  # of a text that an earlier test has closed
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for diagnostic in published["diagnostics"]:
        for end in (diagnostic["range"]["start"], diagnostic["range"]["end"]):
            assert end["line"] < len(lines)
            assert end["character"] <= len(lines[end["line"]].encode("utf-16-le", "surrogatepass")) // 2
    ask_everything(shared, uri, [(0, 0), (1, 3), (1, 14), (2, 10**6), (10**6, 0)])
    shared.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert alive(shared)


def ask_everything(client: RawClient, uri: str, places: list[tuple[int, int]]) -> None:
    """Every feature once; none may answer with an error."""
    document = {"textDocument": {"uri": uri}}
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 10**6, "character": 0}}
    for line, character in places:
        position = {**document, "position": {"line": line, "character": character}}
        client.request("textDocument/hover", position, 30)
        client.request("textDocument/completion", position, 30)
    client.request("textDocument/codeAction", {**document, "range": whole, "context": {"diagnostics": []}}, 30)
    client.request("textDocument/codeLens", document, 30)
    client.request("textDocument/inlayHint", {**document, "range": whole}, 30)
    client.request("textDocument/documentSymbol", document, 30)
    client.request("textDocument/diagnostic", document, 30)


def test_edits_outside_the_text(shared: RawClient) -> None:
    uri = "file:///edits/x.trickster.yaml"
    shared.open(uri, "model_config:\n  hidden_dim: 256\n")
    for version, (start, end) in enumerate([((9, 9), (99, 99)), ((5, 0), (1, 0)), ((0, 500), (0, 2))], start=2):
        span = {
            "start": {"line": start[0], "character": start[1]},
            "end": {"line": end[0], "character": end[1]},
        }
        shared.change(uri, version, [{"range": span, "text": "x"}])
    shared.change(uri, 9, [{"text": "model_config:\n  hidden_dim: 320\n"}])
    hover = shared.request(
        "textDocument/hover", {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 4}}
    )
    assert "\n320 " in hover["contents"]["value"]


def test_a_stray_print_does_not_break_the_stream(tmp_path: Path) -> None:
    """Code that prints, in the server's own process and in a child of it, reaches standard error."""
    program = (
        "import sys, subprocess\n"
        "import trickster_server.server as app\n"
        "real = app.answers\n"
        "def noisy(*arguments):\n"
        "    print('stray print')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"stray child\")'])\n"
        "    import os; os.write(1, b'stray bytes')\n"
        "    return real(*arguments)\n"
        "app.answers = noisy\n"
        "app.main()\n"
    )
    with RawClient([sys.executable, "-c", program]) as client:
        client.initialize(tmp_path)
        assert alive(client)
        assert client.shutdown() == 0
        client._errors.join(5)
        assert b"stray print" in client.stderr and b"stray child" in client.stderr and b"stray bytes" in client.stderr


def test_the_log_goes_to_the_client_and_to_nobody_else(tmp_path: Path) -> None:
    """An editor shows standard error too, and as errors: what was sent as a message must not be there again."""
    program = (
        "import logging\n"
        "import trickster_server.server as app\n"
        "app.warm_up = lambda *_: saying()\n"
        "async def saying():\n"
        "    logging.getLogger('trickster_server.test').info('something of interest')\n"
        "    logging.getLogger('elsewhere').warning('something odd')\n"
        "app.main()\n"
    )
    with RawClient([sys.executable, "-c", program]) as client:
        client.initialize(tmp_path)
        assert client.notification("window/logMessage") == {"type": 3, "message": "something of interest"}
        assert client.notification("window/logMessage") == {"type": 2, "message": "something odd"}
        assert client.shutdown() == 0
        client._errors.join(5)
        assert b"something" not in client.stderr


def test_nothing_piles_up(shared: RawClient) -> None:
    """Ten thousand notifications leave nothing behind."""
    pid = shared.process.pid
    uri = "file:///pile/x.trickster.yaml"
    shared.open(uri, NANO_LINE)

    def edit(count: int, first: int) -> None:
        for version in range(first, first + count):
            shared.change(uri, version, [{"text": NANO_LINE + f"# {version % 10}\n"}])
            if version % 200 == 0:  # what is on its way is not what is left behind
                assert alive(shared)

    edit(2000, 2)
    grown = []
    for first in (3000, 20_000):  # what is left behind is so each time; what the allocator keeps, only once
        before = resident(pid)
        edit(10_000, first)
        grown.append(resident(pid) - before)
    assert min(grown) < 2_000_000


def resident(pid: int) -> int:
    """Memory of a process in bytes."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is read from /proc")
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


# ---- how it ends ----------------------------------------------------------------------------------------------------


def test_an_editor_that_vanishes_leaves_no_server(initialized: RawClient) -> None:
    assert initialized.process.stdin is not None
    initialized.process.stdin.close()
    began = time.monotonic()
    assert initialized.process.wait(5) == 1
    assert time.monotonic() - began < 2


def test_an_editor_that_dies_while_its_pipe_lives_on_leaves_no_server(raw: RawClient) -> None:
    """The pipe may be held open by another process; the client's own process is watched as well."""
    editor = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        raw.initialize(process_id=editor.pid)
        assert alive(raw)
    finally:
        editor.kill()
        editor.wait()
    assert raw.process.wait(10) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_polite_signal_ends_it(initialized: RawClient) -> None:
    initialized.process.send_signal(signal.SIGTERM)
    assert initialized.process.wait(5) == 0


def test_exit_without_shutdown_is_told_apart(initialized: RawClient) -> None:
    initialized.notify("exit")
    assert initialized.process.wait(5) == 1


def test_missing_packages_are_named() -> None:
    program = "import sys; sys.modules['pygls'] = None; sys.modules['lsprotocol'] = None; import runpy; "
    program += "runpy.run_module('trickster_server', run_name='__main__')"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 78
    assert "is missing in" in answer.stderr and "Install pygls" in answer.stderr


@pytest.mark.parametrize("module", ["torch", "numpy", "tokenizers", "safetensors", "platformdirs", "tqdm"])
def test_the_server_needs_none_of_the_engines_heavy_packages(module: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; import trickster_server.server as app; app.main()"
    with RawClient([sys.executable, "-c", program]) as client:
        client.initialize(tmp_path)
        path = tmp_path / "x.trickster.yaml"
        path.write_text(NANO_LINE, encoding="utf-8")
        client.open(path.as_uri(), NANO_LINE)
        ask_everything(client, path.as_uri(), [(1, 4)])
        described: dict[str, Any] = client.request("trickster/describeConfig", {"configUri": path.as_uri()})
        assert described["parameters"] == 5_180_672
        assert client.shutdown() == 0
        assert client.errors() == []
