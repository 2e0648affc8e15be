"""Our own Markdown as plain text, for editors that show a text as it is."""

from __future__ import annotations

import re

_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?! )([^*\n]+?)\*(?![\w*])")
_CODE = re.compile(r"`([^`\n]+)`")
_RULE = re.compile(r"-{3,}")
_DIVIDER = re.compile(r"\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?\s*)?")
_GAP = "  "


def plain_text(markdown: str) -> str:
    """The words of a Markdown text, its tables in columns and its marks left out."""
    lines: list[str] = []
    table: list[list[str]] = []
    fenced = False
    for line in markdown.splitlines():
        if not fenced and line.startswith("|"):
            if not _DIVIDER.fullmatch(line.strip()):
                table.append([_inline(cell.strip()) for cell in line.strip().strip("|").split("|")])
            continue
        lines += _columns(table)
        table = []
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            lines.append(line)
        elif not _RULE.fullmatch(line.strip()):
            lines.append(_inline(line.lstrip("#").lstrip() if line.startswith("#") else line).rstrip())
    lines += _columns(table)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _inline(text: str) -> str:
    # What stands between backticks is taken as it is.
    parts = _CODE.split(text)
    return "".join(part if index % 2 else _unmarked(part) for index, part in enumerate(parts))


def _unmarked(text: str) -> str:
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(r"\1 (\2)", text)
    return _EMPHASIS.sub(r"\1", _STRONG.sub(r"\1", text))


def _columns(rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    count = max(map(len, rows))
    padded = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [max(len(row[index]) for row in padded) for index in range(count)]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in padded]
