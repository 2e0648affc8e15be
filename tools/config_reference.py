"""The pages and the schema that are made from the tables: docs/config.md, docs/problems.md, trickster.schema.json.

`python -m tools.config_reference` writes them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.config_schema import SCHEMA_FILE, schema_text
from tools.problem_docs import PROBLEM_GROUPS
from trickster_engine.config.reference import config_page

ROOT: Final = Path(__file__).resolve().parents[1]
_NOTICE: Final = "<!-- Made by `python -m tools.config_reference`; change the tables it is made from. -->"


def problems_page() -> str:
    """Return the page that explains every problem code."""
    lines = [
        "# Problems in a config",
        "",
        _NOTICE,
        "",
        "Each message of `trickster check` and of the editor ends with a code. This page explains the codes. Errors "
        "prevent training; warnings, information and hints do not.",
    ]
    for title, problems in PROBLEM_GROUPS.items():
        lines += ["", f"## {title}"]
        for code, text in problems.items():
            lines += ["", f"### {code}", "", text]
    return "\n".join(lines) + "\n"


def pages() -> Mapping[Path, str]:
    """Return what every generated file must hold."""
    return {
        ROOT / "docs" / "config.md": config_page().replace("\n\n", f"\n\n{_NOTICE}\n\n", 1),
        ROOT / "docs" / "problems.md": problems_page(),
        SCHEMA_FILE: schema_text(),
    }


def main() -> None:
    """Write all generated files."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        print(path)


if __name__ == "__main__":
    main()
