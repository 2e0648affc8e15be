"""Quick fixes, and Train, Stop, Resume and Generate for editors that show no code lenses.

Fixes are worked out anew from the place asked about: some editors do not send diagnostics back.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from trickster_engine.config.fixing import fixed, is_safe, line_edits
from trickster_engine.config.problems import Edit, Fix, Problem
from trickster_engine.interop.tt_train_config import quick_fix
from trickster_server.documents import Document
from trickster_server.features.code_lenses import commands_of
from trickster_server.features.diagnostics import to_diagnostic
from trickster_server.lsp.client import Client
from trickster_server.services import Services

FIX_ALL = "source.fixAll.trickster"
#: How many fixes are tried before they are called preferred: each costs a check of the whole text.
_MOST_LOOKED_AT = 10
_MOST_CHARACTERS = 300_000
RUN = "trickster"
"""The kind of the actions that train and the like. It is none of `source`, which some people apply at every save."""


def quick_fixes(
    document: Document, more: Sequence[Problem], span: types.Range, client: Client
) -> list[types.CodeAction]:
    """Every fix of every problem that touches a range, preferred ones first.

    `more` are problems beside those of the text itself. A fix of those is tried before it is called preferred.
    """
    wanted = document.columns.range_from_client(span)
    touched: list[tuple[bool, types.CodeAction]] = []
    own = document.checked.problems
    left = min(_MOST_LOOKED_AT, _MOST_CHARACTERS // max(len(document.text), 1))
    for number, problem in enumerate((*own, *more)):
        # Both ends count: with the cursor right behind a word, its fixes are meant.
        if problem.range.end < wanted.start or problem.range.start > wanted.end:
            continue
        for fix in problem.fixes:
            preferred = fix.preferred
            if preferred and number < len(own):
                preferred = left > 0 and is_safe(document.text, own, problem, fix)
                left -= 1
            touched.append((preferred, _quick_fix(fix, preferred, document, client, problem)))
    return [action for _, action in sorted(touched, key=lambda one: not one[0])]


def _quick_fix(
    fix: Fix, preferred: bool, document: Document, client: Client, problem: Problem | None = None
) -> types.CodeAction:
    return types.CodeAction(
        title=fix.title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[to_diagnostic(problem, document, client)] if problem is not None else None,
        is_preferred=(preferred or None) if client.preferred_actions else None,
        edit=workspace_edit(document, fix.edits, client),
    )


def fix_all(document: Document, more: Sequence[Problem], client: Client) -> types.CodeAction | None:
    """One action that applies every fix that is safe to apply without thinking, until none is left."""
    edits = line_edits(document.text, fixed(document.text, document.checked.problems, more))
    if not edits:
        return None
    edit = workspace_edit(document, edits, client)
    return types.CodeAction(title="Apply all safe fixes", kind=FIX_ALL, edit=edit)


def workspace_edit(document: Document, edits: Sequence[Edit], client: Client) -> types.WorkspaceEdit:
    """Edits of one version of one text, or of the text where the client knows no versions in edits."""
    changes = [
        types.TextEdit(range=document.columns.range_to_client(edit.range), new_text=edit.new_text) for edit in edits
    ]
    if not client.document_changes:
        return types.WorkspaceEdit(changes={document.uri: changes})
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(text_document=identifier, edits=changes)])


def code_actions(
    document: Document, services: Services, params: types.CodeActionParams
) -> list[types.CodeAction] | list[types.Command]:
    """What can be done at a place of a config."""
    client = services.client
    only = [str(kind.value if isinstance(kind, types.CodeActionKind) else kind) for kind in params.context.only or []]

    def asked_for(kind: str) -> bool:
        return not only or any(one in ("", kind) or kind.startswith(one + ".") for one in only)  # "" is every kind

    commands = [] if client.commands else commands_of(document, services)
    commands = [one for one in commands if asked_for(f"{RUN}.{one.command.rpartition('.')[2]}")]
    if not client.action_literals:  # such a client knows commands, and no edits
        return commands
    more = services.environment.problems(document)
    actions = []
    if asked_for("quickfix"):
        actions = quick_fixes(document, more, params.range, client)
        if (conversion := quick_fix(document.text, document.path)) is not None:  # a config of tt-train's
            actions.insert(0, _quick_fix(conversion, conversion.preferred, document, client))
    # Only where it is asked for by name: it has nothing to do with the place of the cursor.
    by_name = bool(only) and "" not in only and asked_for(FIX_ALL)
    if by_name and (everything := fix_all(document, more, client)) is not None:
        actions.append(everything)
    # What the code lenses offer, for the many editors that show none.
    return actions + [
        types.CodeAction(title=one.title, kind=f"{RUN}.{one.command.rpartition('.')[2]}", command=one)
        for one in commands
    ]
