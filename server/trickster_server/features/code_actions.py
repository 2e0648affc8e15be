"""Quick fixes, and Train, Stop, Resume and Generate for editors that show no code lenses.

Fixes are worked out anew from the place asked about: some editors do not send diagnostics back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

from trickster_engine.config.fixing import fixed, is_safe, line_edits
from trickster_engine.config.problems import Edit, Fix, Problem
from trickster_engine.interop.tt_train_config import quick_fix
from trickster_server.documents import Document, path_of
from trickster_server.features.code_lenses import commands_of
from trickster_server.features.diagnostics import to_diagnostic
from trickster_server.lsp.client import Client

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer

FIX_ALL = "source.fixAll.trickster"
#: How many fixes are tried before they are called preferred: each costs a check of the whole text.
_MOST_LOOKED_AT = 10
_MOST_CHARACTERS = 300_000
RUN = "trickster"
"""The kind of the actions that train and the like. It is none of `source`, which some people apply at every save."""


def quick_fixes(
    document: Document, problems: Sequence[Problem], span: types.Range, client: Client
) -> list[types.CodeAction]:
    """Every fix of every problem that touches a range, preferred ones first."""
    wanted = document.columns.range_from_client(span)
    actions: list[types.CodeAction] = []
    touched: list[tuple[Problem, Fix, bool]] = []
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
            touched.append((problem, fix, preferred))
    for problem, fix, preferred in sorted(touched, key=lambda one: not one[2]):
        actions.append(
            types.CodeAction(
                title=fix.title,
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[to_diagnostic(problem, document, client)],
                is_preferred=(preferred or None) if client.preferred_actions else None,
                edit=workspace_edit(document, fix.edits),
            )
        )
    return actions


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
        title="Apply all safe fixes",
        kind=types.CodeActionKind(FIX_ALL) if FIX_ALL in types.CodeActionKind._value2member_map_ else FIX_ALL,
        edit=workspace_edit(document, edits),
    )


def run_actions(server: TricksterServer, document: Document) -> list[types.CodeAction]:
    """What the code lenses offer, for the many editors that show none."""
    return [
        types.CodeAction(
            title=title,
            kind=f"{RUN}.{command.rpartition('.')[2]}",
            command=types.Command(title=title, command=command, arguments=arguments),
        )
        for title, command, arguments in commands_of(server, document)
    ]


def convert_tt_train(document: Document, client: Client) -> types.CodeAction | None:
    """The action that turns a config of tt-train's into one of ours, where the text is one."""
    fix = quick_fix(document.text, path_of(document.uri))
    if fix is None:
        return None
    return types.CodeAction(
        title=fix.title,
        kind=types.CodeActionKind.QuickFix,
        is_preferred=(fix.preferred or None) if client.preferred_actions else None,
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

    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction] | list[types.Command] | None:
        document = server.documents.config(params.text_document.uri)
        if document is None:
            return None
        problems = [*document.checked.problems, *server.environment.problems(document)]
        only = [
            str(kind.value if isinstance(kind, types.CodeActionKind) else kind) for kind in params.context.only or []
        ]

        def asked_for(kind: str) -> bool:
            return not only or any(one in ("", kind) or kind.startswith(one + ".") for one in only)  # "" is every kind

        client = server.client
        runs = [] if client.commands else [one for one in run_actions(server, document) if asked_for(str(one.kind))]
        if not client.action_literals:  # such a client knows commands, and no edits
            return [one.command for one in runs if one.command is not None]
        actions = quick_fixes(document, problems, params.range, client) if asked_for("quickfix") else []
        if asked_for("quickfix") and (conversion := convert_tt_train(document, client)) is not None:
            actions.insert(0, conversion)
        # Only where it is asked for by name: it has nothing to do with the place of the cursor.
        if only and "" not in only and asked_for(FIX_ALL) and (everything := fix_all(document, problems)) is not None:
            actions.append(everything)
        if not client.document_changes:
            actions = [_as_plain_changes(action, document) for action in actions]
        return actions + runs

    options = types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix, FIX_ALL, RUN])
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION, options)(code_actions)


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
