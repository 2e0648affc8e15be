"""Random configs, random edits, and everything a server may be asked about them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from lsprotocol import types
from trickster_server.documents import Document
from trickster_server.features import hover_figures
from trickster_server.features.code_actions import fix_all, quick_fixes
from trickster_server.features.code_lenses import lens_line, lenses
from trickster_server.features.completion import complete
from trickster_server.features.diagnostics import to_diagnostic
from trickster_server.features.hover import hover_text
from trickster_server.features.inlay_hints import hints
from trickster_server.features.symbols import symbols
from trickster_server.hints.corpus import Corpus
from trickster_server.lsp.client import Client

from trickster_engine.config import apply_edits, preset_names, preset_text
from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.problems import Position
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.estimates.speeds import Expected

CLIENT = Client(related_information=True, explained_codes=True, preferred_actions=True)
FINDINGS = Path(__file__).parent / "fuzz_findings"
SNIPPETS = [
    "\t",
    "\r\n",
    "\r",
    "\n",
    "  ",
    ":",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!int ",
    "<<: *a",
    '"',
    "'",
    "#",
    "|\n",
    ">\n",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "? ",
    "\0",
    "\ufeff",
    "\x85",
    "\u2028",
    "\ud800",
    "\udfff",
    "\N{PILE OF POO}",
    "e\u0301",
    "-1",
    "0",
    "1e999",
    "-.inf",
    ".nan",
    "0x1F",
    "012",
    "yes",
    "null",
    "~",
    "3e-4",
    "99999999999999999999",
    "[1, 2]",
    "[[[[",
    "auto",
    "muon",
]
NAMES = [*SECTIONS, *(key.name for key in KEYS.values()), *(a.name for key in KEYS.values() for a in key.aliases)]


def mutate(text: str, rng: random.Random, count: int) -> str:
    """Change a text in the ways that people and their tools do, and in some that they do not."""
    for _ in range(count):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 2, 5, 20, 80)))
        way = rng.randrange(7)
        if way == 0:
            text = text[:start] + rng.choice(SNIPPETS) + text[end:]
        elif way == 1:
            text = text[:start] + text[end:]
        elif way == 2:
            text = text[:start] + text[start:end] * 2 + text[end:]
        elif way == 3:
            text = text[:start] + rng.choice(NAMES) + rng.choice((":", ": ", "")) + text[end:]
        elif way == 4:
            lines = text.split("\n")
            here, there = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[here], lines[there] = lines[there], lines[here]
            text = "\n".join(lines)
        elif way == 5:
            lines = text.split("\n")
            here = rng.randrange(len(lines))
            lines[here] = " " * rng.randrange(6) + lines[here].lstrip()
            text = "\n".join(lines)
        else:
            text = text[:start] + chr(rng.choice((rng.randrange(128), rng.randrange(0x110000)))) + text[end:]
    return text


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A preset, changed here and there."""
    text = preset_text(draw(st.sampled_from(preset_names())))
    return mutate(text, random.Random(draw(st.integers(0, 2**32))), draw(st.integers(1, 12)))


_VALUES = st.one_of(
    st.integers(-3, 5000),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=12),
    st.lists(st.integers(0, 9), max_size=3),
)


@st.composite
def structured(draw: st.DrawFn) -> str:
    """A config of known keys with values of every kind, some of them good."""
    lines = []
    for name in draw(st.lists(st.sampled_from([*SECTIONS, "model_confg"]), max_size=7)):
        lines.append(f"{name}:")
        section = SECTIONS.get(name, SECTIONS["model_config"])
        for key in draw(st.lists(st.sampled_from(list(section.keys.values())), max_size=6)):
            good: list[Any] = [key.default, *key.examples, *key.choices]
            value = draw(st.one_of(st.sampled_from(good), _VALUES))
            lines.append(f"  {key.name}: {as_yaml(value)}")
    return "\n".join(lines)


anything = st.text(
    alphabet=st.one_of(
        st.sampled_from(list(":-[]{}#&*!|>'\"%@`,?\n\r\t ")), st.characters(codec=None), st.characters(codec="ascii")
    ),
    max_size=300,
)
pieces = st.lists(st.sampled_from([*SNIPPETS, *NAMES, "\n", "\n  "]), max_size=60).map("".join)
documents = st.one_of(mutated(), mutated(), structured(), pieces, anything)


class NoTiming:
    """Stands where a hover asks for times; always knows one, so that the words around it are tried as well."""

    def training_time(self, plan: Any) -> Expected:
        return Expected(12.5, "estimated", "run-001")


def ask_everything(text: str, rng: random.Random, encoding: str = "utf-16") -> None:
    """Ask every feature about a text. Raises where one fails, or answers with a place outside the text."""
    document = Document("file:///w/x.trickster.yaml", text, 1, "yaml", encoding)
    lines = document.lines
    problems = document.checked.problems
    assert (document.checked.plan is None) == any(problem.severity == "error" for problem in problems)
    for problem in problems:
        _inside(to_diagnostic(problem, document, CLIENT).range, document)
        assert problem.message and problem.code
        for fix in problem.fixes:
            for edit in fix.edits:
                _inside(document.columns.range_to_client(edit.range), document)
            Document("file:///w/x.trickster.yaml", apply_edits(text, fix.edits), 2, "yaml", encoding).checked  # noqa: B018
    document.nearest_plan  # noqa: B018
    corpus = rng.choice((None, Corpus(True, 1_115_394, Path("/c")), Corpus(False, None, None)))
    context = hover_figures.Context(document.nearest_plan, corpus, NoTiming(), rng.random() < 0.5)  # type: ignore[arg-type]
    places = [Position(0, 0), Position(len(lines) - 1, len(lines.line(len(lines) - 1)))]
    for _ in range(6):
        line = rng.randrange(len(lines))
        places.append(Position(line, rng.randrange(len(lines.line(line)) + 1)))
    for place in places:
        where = document.columns.to_client(place)
        assert document.columns.from_client(where) == place
        located = document.parsed.key_at(place)
        if located is not None:
            _inside(document.columns.range_to_client(located.range), document)
            hover_text(document, located, context)
        for item in complete(document, where):
            assert isinstance(item.text_edit, types.TextEdit)
            _inside(item.text_edit.range, document)
    whole = types.Range(types.Position(0, 0), types.Position(len(lines), 0))
    quick_fixes(document, (), whole, CLIENT)
    fix_all(document, (), CLIENT)
    lenses(document, [], "", rng.random() < 0.5)
    lens_line(document)
    hints(document, corpus)
    for symbol in symbols(document):
        _inside(symbol.range, document)
        _inside(symbol.selection_range, document)
        assert _contains(symbol.range, symbol.selection_range), symbol.name


def _inside(span: types.Range, document: Document) -> None:
    for place in (span.start, span.end):
        assert 0 <= place.line < len(document.lines), (place, len(document.lines))
        line = document.lines.line(place.line)
        assert 0 <= place.character <= len(line.encode("utf-16-le", "surrogatepass")) // 2, (place, line)
    assert (span.start.line, span.start.character) <= (span.end.line, span.end.character)


def _contains(outer: types.Range, inner: types.Range) -> bool:
    return (outer.start.line, outer.start.character) <= (inner.start.line, inner.start.character) and (
        inner.end.line,
        inner.end.character,
    ) <= (outer.end.line, outer.end.character)


def findings() -> list[Path]:
    """Texts that once made something fail."""
    return sorted(FINDINGS.glob("*.txt"))


def read_finding(path: Path) -> str:
    """A finding's text; lone surrogates are kept in files as such."""
    return path.read_bytes().decode("utf-8", "surrogatepass")
