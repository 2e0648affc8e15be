"""A file of tt-train's is offered to be converted, in one fix."""

from __future__ import annotations

import pytest
from lsprotocol import types

from tests.engine.ttml.test_import_config import CHARACTERS, TRAINING
from tests.server.conftest import Editor, applied

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOMEWHERE = types.Range(types.Position(3, 0), types.Position(3, 0))


async def test_a_tt_train_file_becomes_ours(editor: Editor) -> None:
    text = TRAINING + CHARACTERS
    uri = editor.open(text, "nano_llama.yaml")
    action = (await editor.actions(uri, SOMEWHERE))[0]
    assert action.title == "Convert this tt-train config to Trickster's keys"
    assert action.edit is not None
    converted = applied(text, action.edit)
    editor.replace(uri, converted)
    assert [found for found in await editor.problems(uri) if found.severity == types.DiagnosticSeverity.Error] == []
    assert not [again for again in await editor.actions(uri, SOMEWHERE) if again.title == action.title]


async def test_our_own_files_are_not_offered_it(editor: Editor, nano: str) -> None:
    actions = await editor.actions(editor.open(nano), SOMEWHERE)
    assert not [action for action in actions if "tt-train" in action.title]
