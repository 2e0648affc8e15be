"""What the client has declared that it understands. Nothing else is sent to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from trickster_server.lsp.messages import InitializationOptions
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

    @classmethod
    def of(cls, declared: types.ClientCapabilities, options: InitializationOptions) -> Client:
        """The abilities of one client."""
        workspace = declared.workspace or types.WorkspaceClientCapabilities()
        text = declared.text_document or types.TextDocumentClientCapabilities()
        window = declared.window or types.WindowClientCapabilities()
        pulled = text.diagnostic
        pushed = text.publish_diagnostics or types.PublishDiagnosticsClientCapabilities()
        completion = text.completion or types.CompletionClientCapabilities()
        item = completion.completion_item or types.ClientCompletionItemOptions()
        kinds = completion.completion_item_kind and completion.completion_item_kind.value_set
        symbol = text.document_symbol or types.DocumentSymbolClientCapabilities()
        symbol_kinds = symbol.symbol_kind and symbol.symbol_kind.value_set
        action = text.code_action or types.CodeActionClientCapabilities()
        edit = workspace.workspace_edit
        return cls(
            notifications=options.notifications or _opted_in(declared.experimental),
            commands=options.client_commands,
            pulls=pulled is not None,
            refreshes_diagnostics=_refresh(workspace.diagnostics),
            refreshes_lenses=_refresh(workspace.code_lens),
            refreshes_hints=_refresh(workspace.inlay_hint),
            related_information=bool(pushed.related_information or (pulled and pulled.related_information)),
            explained_codes=bool(pushed.code_description_support or (pulled and pulled.code_description_support)),
            diagnostic_versions=bool(pushed.version_support),
            markdown_hover=_markdown(text.hover.content_format if text.hover else None),
            markdown_completion=_markdown(item.documentation_format),
            completion_kinds=frozenset(map(int, kinds or _FIRST_COMPLETION_KINDS)),
            symbol_kinds=frozenset(map(int, symbol_kinds or _FIRST_SYMBOL_KINDS)),
            symbol_tree=bool(symbol.hierarchical_document_symbol_support),
            action_literals=action.code_action_literal_support is not None,
            preferred_actions=bool(action.is_preferred_support),
            document_changes=bool(edit and edit.document_changes),
            shows_documents=bool(window.show_document and window.show_document.support),
            shows_progress=bool(window.work_done_progress),
            registers_watched_files=bool(
                workspace.did_change_watched_files and workspace.did_change_watched_files.dynamic_registration
            ),
        )

    def hover(self, markdown: str) -> types.MarkupContent:
        """Markdown for a hover, as this client reads it."""
        return _content(markdown, self.markdown_hover)

    def documentation(self, markdown: str) -> types.MarkupContent:
        """Markdown beside a completion, as this client reads it."""
        return _content(markdown, self.markdown_completion)


def both_spellings(capabilities: Any) -> None:
    """Clients write `workspace.diagnostic` as well as the protocol's `workspace.diagnostics`: read either."""
    workspace = capabilities.get("workspace") if isinstance(capabilities, dict) else None
    if isinstance(workspace, dict) and isinstance(workspace.get("diagnostic"), dict):
        workspace.setdefault("diagnostics", workspace["diagnostic"])


def _content(markdown: str, understood: bool) -> types.MarkupContent:
    if understood:
        return types.MarkupContent(types.MarkupKind.Markdown, markdown)
    return types.MarkupContent(types.MarkupKind.PlainText, plain_text(markdown))


def _markdown(formats: Sequence[types.MarkupKind] | None) -> bool:
    return types.MarkupKind.Markdown in (formats or ())


def _refresh(part: Any) -> bool:
    return bool(part is not None and part.refresh_support)


def _opted_in(experimental: Any) -> bool:
    # pygls reads what it does not know as objects with attributes.
    ours = (
        experimental.get(EXPERIMENTAL) if isinstance(experimental, dict) else getattr(experimental, EXPERIMENTAL, None)
    )
    wants = ours.get("notifications") if isinstance(ours, dict) else getattr(ours, "notifications", None)
    return wants is True
