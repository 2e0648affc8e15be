"""Quick fixes. They are worked out anew from the place asked about: some editors do not send diagnostics back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

from trickster_engine.config.fixing import fixed, is_safe, line_edits
from trickster_engine.config.problems import Edit, Problem
from trickster_engine.import_config import quick_fix
from trickster_server.documents import Document, path_of
from trickster_server.features.diagnostics import to_diagnostic

if TYPE_CHECKING:
    from trickster_server.app import TricksterServer

FIX_ALL = "source.fixAll.trickster"
#: How many fixes are tried before they are called preferred: each costs a check of the whole text.
_MOST_LOOKED_AT = 10
_MOST_CHARACTERS = 300_000


def quick_fixes(document: Document, problems: Sequence[Problem], span: types.Range) -> list[types.CodeAction]:
    """Every fix of every problem that touches a range, preferred ones first."""
    wanted = document.columns.range_from_client(span)
    actions: list[types.CodeAction] = []
    own = document.checked.problems
    by_text = {id(problem) for problem in own}
    left = min(_MOST_LOOKED_AT, _MOST_CHARACTERS // max(len(document.text), 1))
    for problem in problems:
        # Both ends count: with the cursor right behind a word, its fixes are meant.
        if problem.range.end < wanted.start or problem.range.start > wanted.end:
            continue
        for fix in problem.fixes:
            preferred = fix.preferred
            if preferred and id(problem) in by_text:
                preferred = left > 0 and is_safe(document.text, own, problem, fix)
                left -= 1
            actions.append(
                types.CodeAction(
                    title=fix.title,
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[to_diagnostic(problem, document)],
                    is_preferred=preferred or None,
                    edit=workspace_edit(document, fix.edits),
                )
            )
    return sorted(actions, key=lambda action: not action.is_preferred)


def fix_all(document: Document, problems: Sequence[Problem]) -> types.CodeAction | None:
    """One action that applies every fix that is safe to apply without thinking, until none is left."""
    own = document.checked.problems
    by_text = {id(problem) for problem in own}
    more = [problem for problem in problems if id(problem) not in by_text]
    after = fixed(document.text, own, more)
    edits = line_edits(document.text, after)
    if not edits:
        return None
    return types.CodeAction(
        title="Fix everything that is safe to fix",
        kind=types.CodeActionKind(FIX_ALL) if FIX_ALL in types.CodeActionKind._value2member_map_ else FIX_ALL,
        edit=workspace_edit(document, edits),
    )


def convert_tt_train(document: Document) -> types.CodeAction | None:
    """The action that turns a config of tt-train's into one of ours, where the text is one."""
    fix = quick_fix(document.text, path_of(document.uri))
    if fix is None:
        return None
    return types.CodeAction(
        title=fix.title,
        kind=types.CodeActionKind.QuickFix,
        is_preferred=fix.preferred or None,
        edit=workspace_edit(document, fix.edits),
    )


def workspace_edit(document: Document, edits: Sequence[Edit]) -> types.WorkspaceEdit:
    """Edits of one version of one text."""
    changes: list[types.TextEdit | types.AnnotatedTextEdit | types.SnippetTextEdit] = [
        types.TextEdit(range=document.columns.range_to_client(edit.range), new_text=edit.new_text) for edit in edits
    ]
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(text_document=identifier, edits=changes)])


def register(server: TricksterServer) -> None:
    """Offer quick fixes."""

    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        document = server.documents.config(params.text_document.uri)
        if document is None:
            return None
        problems = [*document.checked.problems, *server.environment.problems(document)]
        only = [
            str(kind.value if isinstance(kind, types.CodeActionKind) else kind) for kind in params.context.only or []
        ]

        def asked_for(kind: str) -> bool:
            return not only or any(kind == one or kind.startswith(one + ".") for one in only)

        actions = quick_fixes(document, problems, params.range) if asked_for("quickfix") else []
        if asked_for("quickfix") and (conversion := convert_tt_train(document)) is not None:
            actions.insert(0, conversion)
        # Only where it is asked for by name: it has nothing to do with the place of the cursor.
        if only and asked_for(FIX_ALL) and (everything := fix_all(document, problems)) is not None:
            actions.append(everything)
        changes_only = not _takes_document_changes(server)
        return [_as_plain_changes(action, document) for action in actions] if changes_only else actions

    options = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix, FIX_ALL])
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(code_actions)


def _takes_document_changes(server: TricksterServer) -> bool:
    workspace = server.client_capabilities.workspace
    return bool(workspace and workspace.workspace_edit and workspace.workspace_edit.document_changes)


def _as_plain_changes(action: types.CodeAction, document: Document) -> types.CodeAction:
    assert action.edit is not None
    edits = [
        types.TextEdit(range=edit.range, new_text=edit.new_text)
        for change in action.edit.document_changes or []
        if isinstance(change, types.TextDocumentEdit)
        for edit in change.edits
        if isinstance(edit, types.TextEdit)
    ]
    action.edit = types.WorkspaceEdit(changes={document.uri: edits})
    return action
