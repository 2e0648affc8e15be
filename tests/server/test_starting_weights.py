"""`init_from` in an editor: problems, hovers, completion and figures follow the folder, and torch stays unloaded."""

from __future__ import annotations

from pathlib import Path

from tests.engine.config.cases import llama
from tests.server.test_environment_hints import codes, start

TEXT = "model_config:\n  init_from: m\n  hidden_dim: 64\ndata_config:\n  corpus: corpus.txt\n"


def test_the_editor_knows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("to be or not to be " * 200, encoding="utf-8")
    for name, content in llama():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    uri = (tmp_path / "x.trickster.yaml").as_uri()
    with start(tmp_path) as client:
        client.open(uri, TEXT)
        (problem,) = [one for one in codes(client, uri, "shape-of-weights") if one["code"] == "shape-of-weights"]
        assert problem["range"]["start"] == {"line": 2, "character": 14}
        actions = client.request(
            "textDocument/codeAction",
            {"textDocument": {"uri": uri}, "range": problem["range"], "context": {"diagnostics": []}},
        )
        assert "Remove hidden_dim" in [action["title"] for action in actions]

        text = TEXT.replace("  hidden_dim: 64\n", "")
        client.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]},
        )
        codes(client, uri, "shape-of-weights", present=False)

        def ask(kind: str, line: int, character: int) -> str:
            where = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
            return str(client.request(f"textDocument/{kind}", where))

        # 256 x 4 for the embedding and 4 x 16 + 3 x 4 x 2 + 2 x 4 + 4 for the rest
        assert "1,124" in ask("hover", 0, 4) or "1.1" in ask("hover", 1, 4)
        assert "BF16" in ask("hover", 1, 4)
        assert "'m'" in ask("completion", 1, 14)
        taught = "training_config:\n  distill_from: [gone, ]\n  seed: 3\n"
        client.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": uri, "version": 3}, "contentChanges": [{"text": text + taught}]},
        )
        (problem,) = [one for one in codes(client, uri, "teacher-unusable") if one["code"] == "teacher-unusable"]
        where = {"textDocument": {"uri": uri}, "position": {"line": 5, "character": 23}}
        items = {item["label"]: item for item in client.request("textDocument/completion", where)["items"]}
        assert items["m"]["textEdit"]["range"]["start"] == {"line": 5, "character": 23}
        assert not any("[" in label for label in items)
        client.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": uri, "version": 4}, "contentChanges": [{"text": text}]},
        )
        codes(client, uri, "teacher-unusable", present=False)
        lenses = client.request("textDocument/codeLens", {"textDocument": {"uri": uri}})
        assert "parameters" in lenses[0]["command"]["title"]
        described = client.request("trickster/describeConfig", {"configUri": uri})
        assert described["valid"]
        assert described["parameters"] == 1124
        maps = Path(f"/proc/{client.process.pid}/maps")
        if maps.exists():
            loaded = maps.read_text()
            assert "libtorch" not in loaded and "_multiarray_umath" not in loaded


def test_a_text_that_is_not_saved_yet_is_told_that_its_weights_cannot_be_found(tmp_path: Path) -> None:
    uri = "untitled:Untitled-1"
    with start(tmp_path) as client:
        client.open(uri, TEXT)
        (problem,) = codes(client, uri, "init-from-missing")
        assert problem["severity"] == 1 and problem["range"]["start"]["line"] == 1
        other = "untitled:Untitled-2"
        client.open(other, "training_config:\n  distill_from: [a, b]\n")
        (problem,) = [one for one in codes(client, other, "teacher-unusable") if one["code"] == "teacher-unusable"]
        assert problem["severity"] == 1 and "Save this config first" in problem["message"]
