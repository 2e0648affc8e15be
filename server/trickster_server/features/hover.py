"""Hovers: what a key means, and what it makes of this model."""

from __future__ import annotations

from lsprotocol import types

from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.walk import alias_of
from trickster_engine.config.yaml.document import Located
from trickster_engine.config.yaml.nodes import Scalar
from trickster_server.documents import Document
from trickster_server.features import hover_figures
from trickster_server.features.explain import facts_line, value_text
from trickster_server.lsp.client import content
from trickster_server.services import Services


def hover_text(document: Document, located: Located, context: hover_figures.Context) -> str | None:
    """The Markdown for what the cursor touches; None where there is nothing to say."""
    if located.part == "section":
        section = SECTIONS.get(located.section)
        if section is None:
            return None
        summary = hover_figures.section_summary(section.name, context)
        return "\n\n".join(part for part in (f"**{section.name}**", section.doc.strip(), summary) if part)
    path = f"{located.section}.{located.name}"
    key = KEYS.get(path) or (alias_of(located.section, located.name) if located.name else None)
    if key is None:
        return None
    written_as = f" (written here as `{located.name}`)" if located.name != key.name else ""
    blocks = [f"**{key.name}**{written_as}", key.doc]
    value = located.entry.value
    if isinstance(value, Scalar) and (meaning := value_text(key, value.value)):
        blocks.append(f"`{value.text}`: {meaning}")
    if key.effect:
        blocks.append(key.effect)
    blocks.append(facts_line(key))
    figures = hover_figures.for_key(key, context)
    if figures:
        blocks += ["---", figures]
    return "\n\n".join(blocks)


def hover(document: Document, services: Services, params: types.HoverParams) -> types.Hover | None:
    """The hover for a place of a config."""
    located = document.parsed.key_at(document.columns.from_client(params.position))
    if located is None:
        return None
    client = services.client
    images = services.options.images and client.markdown_hover
    corpus = services.environment.corpus(document)
    context = hover_figures.Context(document.nearest_plan, corpus, services.timing, images, document.start)
    text = hover_text(document, located, context)
    if text is None:
        return None
    return types.Hover(
        contents=content(text, client.markdown_hover), range=document.columns.range_to_client(located.range)
    )
