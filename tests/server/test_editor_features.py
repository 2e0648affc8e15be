"""What an editor shows while a config is written, over real stdio, as VS Code and as Neovim."""

from __future__ import annotations

import base64
import re

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from trickster_server.lsp.messages.errors import ErrorCode

from tests.server.conftest import Editor, applied
from trickster_engine import __version__

pytestmark = pytest.mark.asyncio(loop_scope="module")


def place(text: str, word: str, occurrence: int = 0) -> tuple[int, int]:
    """Line and character of a word."""
    offset = -1
    for _ in range(occurrence + 1):
        offset = text.index(word, offset + 1)
    line = text.count("\n", 0, offset)
    return line, offset - (text.rfind("\n", 0, offset) + 1)


async def test_the_server_says_what_it_can(editor: Editor) -> None:
    capabilities = editor.client.initialized_with.capabilities
    assert capabilities.position_encoding in ("utf-16", "utf-8", "utf-32", None)
    assert capabilities.hover_provider
    assert capabilities.inlay_hint_provider
    assert capabilities.document_symbol_provider
    assert capabilities.diagnostic_provider is not None
    assert "trickster.server.train" in editor.client.commands
    assert editor.client.initialized_with.server_info == types.ServerInfo("trickster", __version__)


# ---- diagnostics ----------------------------------------------------------------------------------------------------


async def test_a_good_config_has_no_problem_worth_a_colour(editor: Editor, nano: str) -> None:
    found = await editor.problems(editor.open(nano))
    assert [problem for problem in found if problem.severity in (1, 2)] == []


async def test_a_misspelt_key_is_underlined_exactly(editor: Editor, nano: str) -> None:
    text = nano.replace("hidden_dim:", "hiden_dim:")
    uri = editor.open(text)
    (problem,) = [one for one in await editor.problems(uri) if one.severity == 1]
    line, character = place(text, "hiden_dim")
    assert problem.range == types.Range(types.Position(line, character), types.Position(line, character + 9))
    assert problem.source == "trickster"
    assert problem.code == "unknown-key"
    assert "hidden_dim" in problem.message


async def test_a_rule_about_two_keys_points_at_the_other(editor: Editor, nano: str) -> None:
    text = nano.replace("num_heads: 8", "num_heads: 7")
    uri = editor.open(text)
    problem = next(one for one in await editor.problems(uri) if one.related_information)
    pointed = [(info.location.uri, info.location.range.start.line) for info in problem.related_information or []]
    (other,) = pointed
    assert other[0] == uri
    assert {problem.range.start.line, other[1]} == {place(text, "hidden_dim")[0], place(text, "num_heads")[0]}


async def test_columns_are_counted_in_the_clients_units(editor: Editor) -> None:
    """An emoji is two UTF-16 units; a key behind one must still be underlined where it stands."""
    head = 'model_config: {"\N{TENNIS RACQUET AND BALL}\N{PILE OF POO}": 1, hiden_dim: 256}\n'
    text = head + "training_config:\n  max_steps: 10\n"
    uri = editor.open(text)
    problem = next(one for one in await editor.problems(uri) if "hiden_dim" in one.message)
    encoding = editor.client.initialized_with.capabilities.position_encoding or "utf-16"
    before = text[: text.index("hiden_dim")]
    units = {"utf-8": len(before.encode()), "utf-16": len(before.encode("utf-16-le")) // 2, "utf-32": len(before)}
    assert problem.range.start.character == units[encoding]
    assert problem.range.end.character == units[encoding] + len("hiden_dim")


async def test_a_broken_document_still_gets_the_rest_checked(editor: Editor, nano: str) -> None:
    text = nano.replace("  batch_size: 16", '  batch_size: "16').replace("hidden_dim:", "hiden_dim:")
    found = await editor.problems(editor.open(text))
    assert any("hiden_dim" in problem.message for problem in found)
    assert any(str(problem.code).startswith("yaml") for problem in found)


async def test_typing_is_followed(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    line, character = place(nano, "num_layers: 6")
    editor.edit(uri, (line, character + 12), (line, character + 13), "six")
    found = await editor.problems(uri)
    assert any(problem.range.start.line == line and problem.severity == 1 for problem in found)
    editor.edit(uri, (line, character + 12), (line, character + 15), "12")
    assert not any(problem.severity == 1 for problem in await editor.problems(uri))


async def test_other_yaml_is_left_alone(editor: Editor) -> None:
    uri = editor.open("services:\n  web:\n    hiden_dim: 3\n", "docker-compose.yaml")
    if editor.pulls:
        assert await editor.problems(uri) == []
    assert await editor.hover(uri, 0, 2) is None
    answer = await editor.client.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))
    assert answer is None
    assert not any(pushed_uri == uri for pushed_uri, _ in editor.client.pushed)


async def test_a_file_becomes_a_config_and_stops_being_one(editor: Editor) -> None:
    uri = editor.open("a: 1\n", "plain.yaml")
    editor.replace(uri, "model_config:\n  hiden_dim: 3\n")
    assert any("hiden_dim" in problem.message for problem in await editor.problems(uri))
    editor.replace(uri, "a: 1\n")
    assert await editor.problems(uri) == []


async def test_an_unchanged_answer_is_not_sent_twice(editor: Editor, nano: str) -> None:
    uri = editor.open(nano.replace("hidden_dim:", "hiden_dim:"))
    identifier = types.TextDocumentIdentifier(uri)
    first = await editor.client.text_document_diagnostic_async(types.DocumentDiagnosticParams(identifier))
    again = await editor.client.text_document_diagnostic_async(
        types.DocumentDiagnosticParams(identifier, previous_result_id=first.result_id)
    )
    assert isinstance(first, types.RelatedFullDocumentDiagnosticReport)
    assert isinstance(again, types.RelatedUnchangedDocumentDiagnosticReport)


# ---- hover ----------------------------------------------------------------------------------------------------------


async def test_every_key_of_the_nano_file_has_a_hover(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    for line, content in enumerate(nano.split("\n")):
        match = re.match(r"( +)([a-z_0-9]+):", content)
        if match is None:
            continue
        hover = await editor.hover(uri, line, len(match[1]) + 1)
        assert hover is not None, content
        assert isinstance(hover.contents, types.MarkupContent)
        assert hover.contents.value.startswith(f"**{match[2]}**")
        assert hover.range == types.Range(
            types.Position(line, len(match[1])), types.Position(line, len(match[1]) + len(match[2]))
        )


async def test_a_shape_key_shows_its_neighbours(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    text = await editor.hover_text(uri, *place(nano, "hidden_dim"))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert any(row.startswith("| **256** | **32** | **5.18 M**") for row in rows)
    assert any(row.startswith("| 320 ") for row in rows)
    assert any(row.startswith("| 384 ") for row in rows)
    assert "5,180,672" in text
    assert "852,480" in text


async def test_hovers_follow_unsaved_text(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    editor.replace(uri, nano.replace("hidden_dim: 256", "hidden_dim: 384"))
    text = await editor.hover_text(uri, *place(nano, "hidden_dim"))
    assert "| **384** | **48** |" in text


async def test_the_learning_rate_is_drawn(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    text = await editor.hover_text(uri, *place(nano, "learning_rate"))
    if editor.client.editor_name.startswith("visual"):
        match = re.search(r"\(data:image/svg\+xml;base64,([^)]+)\)", text)
        assert match is not None
        picture = base64.b64decode(match[1]).decode()
        assert picture.startswith("<svg") and "polyline" in picture
    else:
        assert re.search("`[▁▂▃▄▅▆▇█]{20,}`", text)


async def test_a_value_has_a_hover_of_its_own_meaning(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    text = await editor.hover_text(uri, *place(nano, "adamw"))
    assert "`adamw`:" in text


async def test_hover_on_nothing_says_nothing(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    assert await editor.hover(uri, 0, 3) is None  # a comment
    assert await editor.hover(uri, 10_000, 3) is None


async def test_hover_survives_an_error_elsewhere(editor: Editor, nano: str) -> None:
    text = nano.replace("num_heads: 8", "num_heads: seven").replace("batch_size: 16", "batch_size: [")
    uri = editor.open(text)
    assert "hidden_dim" in await editor.hover_text(uri, *place(text, "hidden_dim"))


# ---- completion -----------------------------------------------------------------------------------------------------


async def test_only_missing_keys_are_offered_in_the_right_section(editor: Editor, nano: str) -> None:
    text = nano.replace("  dropout: 0.1", "  ", 1)
    uri = editor.open(text)
    line = nano[: nano.index("  dropout: 0.1")].count("\n")
    offered = await editor.completions(uri, line, 2)
    assert {"dropout", "tie_embeddings", "num_kv_heads", "rope_theta"} <= set(offered)
    assert not {"hidden_dim", "num_layers", "max_steps", "learning_rate"} & set(offered)
    assert isinstance(offered["dropout"].documentation, types.MarkupContent)


async def test_a_chosen_key_is_put_in_place(editor: Editor) -> None:
    text = "model_config:\n  hidden_dim: 256\n  num_l\ntraining_config:\n"
    uri = editor.open(text)
    item = (await editor.completions(uri, 2, 7))["num_layers"]
    assert isinstance(item.text_edit, types.TextEdit)
    edit = types.WorkspaceEdit(changes={uri: [item.text_edit]})
    assert applied(text, edit) == "model_config:\n  hidden_dim: 256\n  num_layers: 6\ntraining_config:\n"


@pytest.mark.parametrize("behind", [":", " :", ":  # the shape", ": {hidden_dim: 256}"])
async def test_a_section_that_is_there_keeps_its_colon(editor: Editor, behind: str) -> None:
    text = f"training_config:\n  max_steps: 5\nmod_config{behind}\n"
    uri = editor.open(text)
    item = (await editor.completions(uri, 2, 3))["model_config"]
    assert isinstance(item.text_edit, types.TextEdit)
    edit = types.WorkspaceEdit(changes={uri: [item.text_edit]})
    assert applied(text, edit) == text.replace("mod_config", "model_config")


async def test_a_section_that_is_begun_gets_its_colon(editor: Editor) -> None:
    text = "training_config:\n  max_steps: 5\nmod\n"
    uri = editor.open(text)
    item = (await editor.completions(uri, 2, 3))["model_config"]
    assert isinstance(item.text_edit, types.TextEdit)
    assert applied(text, types.WorkspaceEdit(changes={uri: [item.text_edit]})) == text.replace(
        "mod\n", "model_config:\n  \n"
    )


async def test_values_are_offered(editor: Editor) -> None:
    text = "training_config:\n  optimizer: \n  learning_rate: \ndata_config:\n  corpus: \n"
    text += "model_config:\n  tie_embeddings: \n"
    uri = editor.open(text)
    assert list(await editor.completions(uri, 1, 13)) == ["adamw", "muon"]
    assert "3e-4" in await editor.completions(uri, 2, 17)
    assert {"shakespeare", "python"} <= set(await editor.completions(uri, 4, 10))
    assert {"true", "false"} == set(await editor.completions(uri, 6, 18))


@pytest.mark.parametrize("rest", ["", "  num_layers: [1, 2\n", '  x: "open\n', "\t- :\n"])
async def test_unfinished_yaml_is_completed(editor: Editor, rest: str) -> None:
    uri = editor.open("model_config:\n  hid\n" + rest)
    assert "hidden_dim" in await editor.completions(uri, 1, 5)


async def test_sections_and_presets_are_offered_in_an_empty_file(editor: Editor) -> None:
    uri = editor.open("")
    offered = await editor.completions(uri, 0, 0)
    assert {"model_config", "training_config", "data_config", "sampling_config", "preset: pico"} <= set(offered)
    edit = offered["preset: pico"].text_edit
    assert isinstance(edit, types.TextEdit)
    second = editor.open(edit.new_text)
    assert not [problem for problem in await editor.problems(second) if problem.severity == 1]


# ---- quick fixes ----------------------------------------------------------------------------------------------------

FIXES = {
    "did you mean": ("hidden_dim: 256", "hiden_dim: 256", "hidden_dim"),
    "heads divide": ("num_heads: 8", "num_heads: 7", "num_heads"),
    "a choice": ("optimizer: adamw", "optimizer: adam", "adamw"),
    "a number in quotes": ("num_layers: 6", 'num_layers: "6"', "quotes"),
    "a doubled key": ("save_interval: 1000", "save_interval: 1000\n  checkpoint_frequency: 1000", ""),
}


@pytest.mark.parametrize("case", FIXES)
async def test_a_fix_mends_what_it_says(editor: Editor, nano: str, case: str) -> None:
    good, bad, title = FIXES[case]
    text = nano.replace(good, bad, 1)
    uri = editor.open(text)
    before = [problem for problem in await editor.problems(uri) if problem.code != "corpus-not-fetched"]
    assert before, "the case is not a problem"
    problem = before[0]
    actions = await editor.actions(uri, problem.range)
    assert actions, problem.message
    action = next(one for one in actions if title in one.title)
    assert action.kind == "quickfix"
    assert [diagnostic.code for diagnostic in action.diagnostics or []] == [problem.code]
    assert action.edit is not None
    mended = editor.open(applied(text, action.edit))
    after = [one for one in await editor.problems(mended) if one.code != "corpus-not-fetched"]
    assert problem.message not in [one.message for one in after]
    assert len(after) < len(before) or not any(one.severity == 1 for one in after)


async def test_fix_all_applies_what_is_safe(editor: Editor, nano: str) -> None:
    text = nano.replace("hidden_dim:", "hiden_dim:").replace("num_layers:", "num_layer:")
    uri = editor.open(text)
    everything = types.Range(types.Position(0, 0), types.Position(0, 0))
    (action,) = await editor.actions(uri, everything, ["source.fixAll"])
    assert action.edit is not None
    assert applied(text, action.edit) == nano


SLIPS = (
    "```yaml\nmodel_config:\n  - num_heads: 4\n  - num_layers:2 # few\nsampling_config:\n\xa0\xa0seed = 5\n"
    "  prompt: To be\n  or not\n"
)


async def test_fix_all_needs_no_second_time_and_leaves_alone_what_it_does_not_know(editor: Editor) -> None:
    nowhere = types.Range(types.Position(0, 0), types.Position(0, 0))
    (action,) = await editor.actions(editor.open(SLIPS), nowhere, ["source.fixAll"])
    assert action.edit is not None
    mended = applied(SLIPS, action.edit)
    assert mended == (
        "model_config:\n  num_heads: 4\n  num_layers: 2 # few\nsampling_config:\n  seed: 5\n  prompt: To be\n  or not\n"
    )
    uri = editor.open(mended)
    assert await editor.actions(uri, nowhere, ["source.fixAll"]) == []
    assert [problem.code for problem in await editor.problems(uri) if problem.severity == 1] == ["yaml-missing-colon"]


async def test_only_a_fix_that_has_been_tried_is_preferred(editor: Editor) -> None:
    # Behind the colon a value that goes with nothing else comes to light: two problems in place of one.
    text = "model_config:\n  hidden_dim: 96\n  num_heads 5\n  num_kv_heads: 3\n"
    line = types.Range(types.Position(2, 2), types.Position(2, 2))
    (action,) = await editor.actions(editor.open(text), line, ["quickfix"])
    assert (action.title, action.is_preferred) == ("Write `num_heads:`", None)
    good = text.replace("5", "6")
    (action,) = await editor.actions(editor.open(good), line, ["quickfix"])
    assert (action.title, action.is_preferred) == ("Write `num_heads:`", True)


async def test_no_fix_is_offered_where_nothing_is_wrong(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    everything = types.Range(types.Position(0, 0), types.Position(500, 0))
    assert [action for action in await editor.actions(uri, everything) if action.is_preferred] == []


# ---- lenses, hints, symbols -----------------------------------------------------------------------------------------


async def test_lenses_name_commands_of_the_server(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    found = await editor.client.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))
    assert found
    train = found[0].command
    assert train is not None
    assert "5.18 M parameters" in train.title
    assert train.command == "trickster.server.train" and train.command in editor.client.commands
    assert found[0].range.start.line == nano.split("\n").index("model_config:")


async def test_a_config_with_errors_cannot_be_trained_from_a_lens(editor: Editor, nano: str) -> None:
    uri = editor.open(nano.replace("hidden_dim:", "hiden_dim:"))
    found = await editor.client.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))
    assert "trickster.server.train" not in [lens.command.command for lens in found or [] if lens.command]


async def test_inlay_hints_show_what_follows(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    everything = types.Range(types.Position(0, 0), types.Position(100, 0))
    found = await editor.client.text_document_inlay_hint_async(
        types.InlayHintParams(types.TextDocumentIdentifier(uri), everything)
    )
    labels = {hint.label: hint.position.line for hint in found or []}
    assert labels["head_dim 32"] == place(nano, "num_heads")[0]
    assert labels["16.4 k tokens per step"] == place(nano, "batch_size")[0]
    one_line = types.Range(types.Position(0, 0), types.Position(1, 0))
    assert not await editor.client.text_document_inlay_hint_async(
        types.InlayHintParams(types.TextDocumentIdentifier(uri), one_line)
    )


async def test_the_outline(editor: Editor, nano: str) -> None:
    uri = editor.open(nano)
    found = await editor.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(types.TextDocumentIdentifier(uri))
    )
    symbols = {symbol.name: symbol for symbol in found or [] if isinstance(symbol, types.DocumentSymbol)}
    assert list(symbols)[:2] == ["model_config", "training_config"]
    children = {child.name: child.detail for child in symbols["model_config"].children or []}
    assert children["hidden_dim"] == "256"


# ---- requests about configs -----------------------------------------------------------------------------------------


async def test_presets_are_complete(editor: Editor) -> None:
    answer = await editor.client.protocol.send_request_async("trickster/presets", {})
    found = {preset.name: preset.parameters for preset in answer.presets}
    assert found["nano"] == 5_180_672
    assert next(iter(found)) == "pico"


async def test_a_config_is_described_as_it_is_in_the_editor(editor: Editor, nano: str) -> None:
    uri = editor.open(nano.replace("max_steps: 10000", "max_steps: 2000"))
    answer = await editor.client.protocol.send_request_async("trickster/describeConfig", {"configUri": uri})
    assert answer.valid
    assert answer.maxSteps == 2000
    assert answer.tokensPerStep == 16_384
    assert answer.trainTokens == 1_003_854
    assert answer.valTokens == 111_540


async def test_a_config_is_created_and_never_overwritten(editor: Editor) -> None:
    params = {"preset": "pico", "folderUri": editor.folder.as_uri()}
    first = await editor.client.protocol.send_request_async("trickster/createConfig", params)
    second = await editor.client.protocol.send_request_async("trickster/createConfig", params)
    assert first.uri != second.uri
    assert (editor.folder / first.uri.rsplit("/", 1)[1]).read_text(encoding="utf-8").startswith("# pico")
    params["fileName"] = first.uri.rsplit("/", 1)[1]
    with pytest.raises(JsonRpcException) as refused:
        await editor.client.protocol.send_request_async("trickster/createConfig", params)
    assert refused.value.code == ErrorCode.FILE_EXISTS
    params["fileName"] = "../outside.yaml"
    with pytest.raises(JsonRpcException, match="not the name of a file"):
        await editor.client.protocol.send_request_async("trickster/createConfig", params)
    assert not (editor.folder.parent / "outside.yaml").exists()
