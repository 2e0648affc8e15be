"""Small JSON documents that carry their own sum, so that a flipped bit or an edited figure does not go unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SUM = "sum"


def seal(document: Mapping[str, Any], context: str = "") -> dict[str, Any]:
    """The document with the SHA-256 sum of its other fields, and of `context`: what it belongs to."""
    return {**document, SUM: _sum(document, context)}


def unseal(value: Any, context: str = "") -> dict[str, Any]:
    """The document without its sum. Raises ValueError where it has none, or one of another content or context."""
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    document = {name: entry for name, entry in value.items() if name != SUM}
    if value.get(SUM) != _sum(document, context):
        raise ValueError("its checksum does not match its content")
    return document


def seal_fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a sum of the fields it has now, which are named: a later version may add others."""
    return {**document, SUM: {"fields": list(document), "sha256": _sum(document, "")}}


def require_fields_unchanged(value: Any) -> None:
    """Raise ValueError where a named field is not as `seal_fields` found it. A document without a sum passes."""
    if not isinstance(value, dict) or SUM not in value:
        return  # written before there were sums, or refused for what else it is
    kept = value[SUM]
    names = kept.get("fields") if isinstance(kept, dict) else None
    if not isinstance(names, list) or kept.get("sha256") != _sum({str(n): value.get(str(n)) for n in names}, ""):
        raise ValueError("it was changed after it was written")


def _sum(document: Mapping[str, Any], context: str) -> str:
    text = json.dumps([context, document], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
