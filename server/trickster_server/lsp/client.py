"""What the client has declared that it understands. Nothing else is sent to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lsprotocol import types
from pygls.capabilities import get_capability

from trickster_server.lsp.messages.options import InitializationOptions
from trickster_server.lsp.plain_text import plain_text

EXPERIMENTAL = "trickster"
"""The experimental capability by which a client opts in to our notifications: `{"notifications": true}`."""

#: What the protocol says that every client knows.
_FIRST_COMPLETION_KINDS = range(1, 19)
_FIRST_SYMBOL_KINDS = range(1, 19)


@dataclass(frozen=True)
class Client:
    """The declared abilities, each as a question with an answer."""

    notifications: bool = False
    """It wants `trickster/event` and `trickster/runsChanged`."""
    commands: bool = False
    """It has commands and buttons of its own for training, as our extension has."""
    pulls: bool = False
    """It asks for diagnostics by itself."""
    refreshes_diagnostics: bool = False
    refreshes_lenses: bool = False
    refreshes_hints: bool = False
    related_information: bool = False
    explained_codes: bool = False
    diagnostic_versions: bool = False
    markdown_hover: bool = False
    markdown_completion: bool = False
    completion_kinds: frozenset[int] = frozenset(_FIRST_COMPLETION_KINDS)
    symbol_kinds: frozenset[int] = frozenset(_FIRST_SYMBOL_KINDS)
    symbol_tree: bool = False
    action_literals: bool = False
    preferred_actions: bool = False
    document_changes: bool = False
    shows_documents: bool = False
    shows_progress: bool = False
    registers_watched_files: bool = False
    inline_completions: bool = False
    """It shows completions in grey, and has no provider of its own for ours, as our extension has."""

    @classmethod
    def of(cls, declared: types.ClientCapabilities, options: InitializationOptions) -> Client:
        """The abilities of one client."""

        def given(*fields: str, default: Any = None) -> Any:
            """The first of these that is declared."""
            return next((found for field in fields if (found := get_capability(declared, field))), default)

        def has(*fields: str) -> bool:
            return bool(given(*fields))

        def markdown(field: str) -> bool:
            return types.MarkupKind.Markdown in given(field, default=())

        pushed, pulled = "text_document.publish_diagnostics", "text_document.diagnostic"
        item, symbol, action = (f"text_document.{name}" for name in ("completion", "document_symbol", "code_action"))
        completion_kinds = given(f"{item}.completion_item_kind.value_set", default=_FIRST_COMPLETION_KINDS)
        symbol_kinds = given(f"{symbol}.symbol_kind.value_set", default=_FIRST_SYMBOL_KINDS)
        ours = (declared.experimental or {}).get(EXPERIMENTAL) if isinstance(declared.experimental, dict) else None
        return cls(
            notifications=options.notifications or (isinstance(ours, dict) and ours.get("notifications") is True),
            commands=options.client_commands,
            pulls=get_capability(declared, pulled) is not None,
            refreshes_diagnostics=has("workspace.diagnostics.refresh_support"),
            refreshes_lenses=has("workspace.code_lens.refresh_support"),
            refreshes_hints=has("workspace.inlay_hint.refresh_support"),
            related_information=has(f"{pushed}.related_information", f"{pulled}.related_information"),
            explained_codes=has(f"{pushed}.code_description_support", f"{pulled}.code_description_support"),
            diagnostic_versions=has(f"{pushed}.version_support"),
            markdown_hover=markdown("text_document.hover.content_format"),
            markdown_completion=markdown(f"{item}.completion_item.documentation_format"),
            completion_kinds=frozenset(map(int, completion_kinds)),
            symbol_kinds=frozenset(map(int, symbol_kinds)),
            symbol_tree=has(f"{symbol}.hierarchical_document_symbol_support"),
            action_literals=get_capability(declared, f"{action}.code_action_literal_support") is not None,
            preferred_actions=has(f"{action}.is_preferred_support"),
            document_changes=has("workspace.workspace_edit.document_changes"),
            shows_documents=has("window.show_document.support"),
            shows_progress=has("window.work_done_progress"),
            registers_watched_files=has("workspace.did_change_watched_files.dynamic_registration"),
            inline_completions=given("text_document.inline_completion") is not None and not options.client_commands,
        )


def both_spellings(capabilities: Any) -> None:
    """Clients write `workspace.diagnostic` as well as the protocol's `workspace.diagnostics`: read either."""
    workspace = capabilities.get("workspace") if isinstance(capabilities, dict) else None
    if isinstance(workspace, dict) and isinstance(workspace.get("diagnostic"), dict):
        workspace.setdefault("diagnostics", workspace["diagnostic"])


def content(markdown: str, understood: bool) -> types.MarkupContent:
    """Markdown as it is, or as plain text for a client that does not understand it."""
    if understood:
        return types.MarkupContent(types.MarkupKind.Markdown, markdown)
    return types.MarkupContent(types.MarkupKind.PlainText, plain_text(markdown))
