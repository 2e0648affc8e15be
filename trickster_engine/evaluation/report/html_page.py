"""Pages of HTML that need nothing but themselves: no network, no script, and the colours of whoever shows them.

In a browser a page is light or dark as the system is; inside VS Code it takes the colours of the theme there.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from trickster_engine import __version__
from trickster_engine.system.printable import printable_text

_STYLE = Path(__file__).parent / "page.css"
#: Nothing is loaded and nothing runs, whatever a model has written into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, parts: Sequence[str], made_from: int = 0) -> str:
    """A whole page. `parts` are HTML; `made_from` says how many bytes of events it tells of."""
    style = _STYLE.read_text(encoding="utf-8")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{mark(made_from)}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe(title)}</title><style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def mark(made_from: int) -> str:
    """What stands in the head of a page that this version has made from so many bytes of events."""
    return f'<meta name="generator" content="Trickster {__version__}, from {made_from} bytes of events">'


def safe(text: str) -> str:
    """Text as HTML that shows it."""
    return html.escape(text)


def code(text: str) -> str:
    """A prompt as HTML that shows what has no look."""
    return safe(printable_text(text).strip())


def table(columns: Sequence[str], rows: Iterable[str], style: str = "") -> str:
    """A table of `rows`, each a `<tr>`. A column whose name begins with # is of figures."""
    head = "".join(
        f'<th class="n">{name.removeprefix("#")}</th>' if name.startswith("#") else f"<th>{name}</th>"
        for name in columns
    )
    of = f' class="{style}"' if style else ""
    return f'<div class="wide"><table{of}><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
