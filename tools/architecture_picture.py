"""The picture of docs/architecture.md: the packages of the code, and which imports which.

    python -m tools.architecture_picture

writes it from the imports themselves. The order is that of the contract in pyproject.toml, which `lint-imports` holds
the code to, so no dot stands left of the diagonal.
"""

from __future__ import annotations

import importlib
import re
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
_ROW, _COLUMN, _MARGIN = 26, 22, 12
_NAMES, _DOTS = 150, 690


def rooms() -> list[str]:
    """Packages from the top down: the server, then the engine's in the order of the contract."""
    contract = re.search(r"^layers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    assert contract is not None
    return ["trickster_server", *re.findall(r"trickster_engine\.\w+", contract[1])]


def imports(rooms: list[str]) -> set[tuple[str, str]]:
    """Which package imports which."""
    graph = grimp.build_graph("trickster_engine", "trickster_server", cache_dir=None)
    room_of = {
        module: room for room in rooms for module in graph.modules if module == room or module.startswith(f"{room}.")
    }
    return {
        (room, room_of[other])
        for module, room in room_of.items()
        for other in graph.find_modules_directly_imported_by(module)
        if room_of.get(other, room) != room
    }


def picture() -> str:
    """The picture as SVG: a row for each package, with a dot in the column of each package that it imports."""
    order = rooms()
    arrows = imports(order)
    width, height = _DOTS + _COLUMN * len(order) + _MARGIN, 3 * _MARGIN + _ROW * (len(order) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img">',
        "<title>Packages of the code from the top down, and which imports which</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_DOTS}" y="{_MARGIN + 14}" fill="#57606a">imports, in the same order</text>',
    ]
    for row, room in enumerate(order):
        y = 2 * _MARGIN + _ROW * (row + 1)
        if row % 2 == 0:
            parts.append(f'<rect y="{y - 18}" width="{width}" height="{_ROW}" fill="#f6f8fa"/>')
        name = room.removeprefix("trickster_engine.")
        what = (
            (importlib.import_module(room).__doc__ or "")
            .strip()
            .splitlines()[0]
            .split(". ")[0]
            .replace("`", "")
            .rstrip(".")
        )
        parts.append(f'<text x="{_MARGIN}" y="{y}" font-weight="600" fill="#1f2328">{escape(name)}</text>')
        parts.append(f'<text x="{_NAMES}" y="{y}" fill="#57606a">{escape(what)}</text>')
        for column, other in enumerate(order):
            x = _DOTS + _COLUMN * column + _COLUMN // 2
            if other == room:
                parts.append(f'<rect x="{x - 4}" y="{y - 9}" width="8" height="8" fill="#d0d7de"/>')
            elif (room, other) in arrows:
                label = escape(f"{name} imports {other.removeprefix('trickster_engine.')}")
                parts.append(f'<circle cx="{x}" cy="{y - 5}" r="5" fill="#0969da"><title>{label}</title></circle>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
