"""From the tree of a file to the values of its keys: what is known, misspelt, misplaced, doubled, or out of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from trickster_engine.config.keys import KEYS, SECTIONS, Key, Section
from trickster_engine.config.keys.names import OTHER_NAMES, OTHER_SECTION_NAMES, RETIRED_KEYS
from trickster_engine.config.keys.spec import Alias
from trickster_engine.config.mentions import Mention, Mentions, removing
from trickster_engine.config.problems import Edit, Fix, Problem, Range, Related
from trickster_engine.config.settings import Given
from trickster_engine.config.suggestions import nearest
from trickster_engine.config.values import Reading, read_value
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.editing import merge_section, move_entry, remove_entry
from trickster_engine.config.yaml.errors import missing_colon
from trickster_engine.config.yaml.nodes import Entry, Mapping, Node, Scalar
from trickster_engine.config.yaml.scalars import as_yaml, shown

# A file with more unknown names than this is not a config with slips of the pen; looking for what each was meant to be
# would only take time.
_MOST_GUESSES: Final = 100

_ALIASES: Final[dict[tuple[str, str], tuple[Key, Alias]]] = {
    (key.section, alias.name): (key, alias) for key in KEYS.values() for alias in key.aliases
}
_BY_NAME: Final[dict[str, list[Key]]] = {}
for _key in KEYS.values():
    _BY_NAME.setdefault(_key.name, []).append(_key)


def alias_of(section: str, name: str) -> Key | None:
    """Return the key that `name` is another name of, in this section."""
    found = _ALIASES.get((section, name))
    return found[0] if found else None


class Walk:
    """Reads all sections of a document. Afterwards `problems` and `given` hold what was found."""

    def __init__(self, document: Document):
        self.document = document
        self.problems: list[Problem] = []
        self.given: dict[str, Given] = {}
        self._mentions = Mentions(document)
        self._wrong_sections: list[tuple[Entry, str, Problem]] = []  # each with the section that was probably meant
        self._guesses_left = _MOST_GUESSES

    def run(self) -> None:
        """Read the whole document."""
        root = self.document.root
        if root is None or (isinstance(root, Scalar) and root.value is None):
            if self.document.complete and not self.document.problems:
                self._report_empty()
            return
        if not isinstance(root, Mapping):
            message = "A config is made of sections such as `model_config:`, with `name: value` lines below each."
            where = Range(root.range.start, self.document.lines.position(len(self.document.text)))
            self.problems.append(Problem("not-a-config", "error", message, where))
            return
        seen: dict[str, Entry] = {}
        for entry in (*root.entries, *root.merged_entries()):
            first = seen.setdefault(entry.key.text, entry)
            if first is not entry:
                self._duplicate(first, entry, section=True)
            self._section(entry)
        self._settle_sections(seen)
        self.given = self._mentions.settle({meant for _, meant, _ in self._wrong_sections})
        self.problems.extend(self._mentions.problems)

    def _report_empty(self) -> None:
        last = self.document.lines.position(len(self.document.text))
        message = "This file is empty: every key has its default, and training would use the lesson's nano model."
        self.problems.append(Problem("empty-config", "warning", message, Range(last, last)))

    def _section(self, entry: Entry) -> None:
        name = entry.key.text
        section = SECTIONS.get(name)
        if section is None:
            section = self._unknown_section(entry)
            if section is None:
                return
        value = entry.value
        if isinstance(value, Scalar) and value.value is None:
            return  # a section whose keys are all left out
        if isinstance(value, Scalar) and value.plain and _is_key_without_colon(entry, value):
            self.problems.append(missing_colon(value.range, value.text))
            return
        if not isinstance(value, Mapping):
            message = (
                f"{section.name} is a section: write its keys below it, indented by two spaces, as in "
                f"`{_example(section)}`."
            )
            self.problems.append(Problem("not-a-section", "error", message, value.range))
            return
        seen: dict[str, Entry] = {}
        for inner in (*value.entries, *value.merged_entries()):
            first = seen.setdefault(inner.key.text, inner)
            if first is not inner:
                self._duplicate(first, inner)
            self._key(section, inner)

    def _unknown_section(self, entry: Entry) -> Section | None:
        """Report a name at the margin that is no section; return the section that was probably meant."""
        name = entry.key.text
        if name in _BY_NAME and not isinstance(entry.value, Mapping):
            self._misplaced(entry, _BY_NAME[name][0], "at the margin")
            return None
        meant = OTHER_SECTION_NAMES.get(name.casefold()) or nearest(name, SECTIONS)
        known = ", ".join(SECTIONS)
        if meant is None:
            path = OTHER_NAMES.get(name.casefold())
            if path and not isinstance(entry.value, Mapping):
                self._misplaced(entry, KEYS[path], "at the margin")
                return None
            message = f"There is no section {shown(name)}. The sections are {known}."
            self.problems.append(
                Problem("unknown-section", "error", message, entry.key.range, removing(self.document, entry, "section"))
            )
            return None
        message = f"There is no section {shown(name)}. Did you mean {meant}?"
        self._wrong_sections.append((entry, meant, Problem("unknown-section", "error", message, entry.key.range)))
        return SECTIONS[meant]

    def _settle_sections(self, seen: dict[str, Entry]) -> None:
        """Decide how the names of misspelt sections can be mended, now that all sections are known."""
        for entry, meant, found in self._wrong_sections:
            problem = found
            first = seen.get(meant)
            if first is None:
                # Of several that mean one section, the first takes the name, and the others can then join it.
                alone = next(wrong for wrong, other, _ in self._wrong_sections if other == meant) is entry
                fixes: tuple[Fix, ...] = (Fix(f"Change to {meant}", (Edit(entry.key.range, meant),), preferred=alone),)
            else:
                problem = replace(problem, related=(Related(first.key.range, f"{meant} is here"),))
                fixes = (*self._joining(first, entry), *removing(self.document, entry, shown(entry.key.text)))
            self.problems.append(replace(problem, fixes=fixes))

    def _joining(self, first: Entry, second: Entry, *, preferred: bool = False) -> tuple[Fix, ...]:
        """Return the fix that writes the keys of one section into another, where neither says what the other does."""
        edits = merge_section(self.document, first, second)
        return (Fix(f"Move its keys to the first {shown(first.key.text)}", edits, preferred),) if edits else ()

    def _key(self, section: Section, entry: Entry) -> None:
        name = entry.key.text
        path = f"{section.name}.{name}"
        if name in section.keys:
            self._read(section.keys[name], entry)
        elif (section.name, name) in _ALIASES:
            self._read_alias(entry, *_ALIASES[section.name, name])
        elif path in RETIRED_KEYS:
            self._retired(entry, path)
        elif name in _BY_NAME:
            key = _BY_NAME[name][0]
            self._misplaced(entry, key, f"in {section.name}")
        else:
            self._unknown_key(section, entry)

    def _unknown_key(self, section: Section, entry: Entry) -> None:
        name = entry.key.text
        path = OTHER_NAMES.get(name.casefold().replace("-", "_"))
        if path is None:
            path = self._guess_key(section, name)
        if path is None:
            message = f"Nothing reads {shown(name)} in {section.name}. Its keys are {', '.join(section.keys)}."
            self.problems.append(
                Problem("unknown-key", "error", message, entry.key.range, removing(self.document, entry, shown(name)))
            )
            return
        key = KEYS[path]
        if key.section != section.name:
            self._misplaced(entry, key, f"in {section.name}")
            return
        message = f"Nothing reads {shown(name)} in {section.name}. Did you mean {key.name}?"
        fixes = (
            Fix(f"Change to {key.name}", (Edit(entry.key.range, key.name),), preferred=_only_a_name(name)),
            *removing(self.document, entry, shown(name)),
        )
        problem = Problem("unknown-key", "error", message, entry.key.range, fixes, (), key.path)
        self._read(key, entry, wrong_name=problem)

    def _guess_key(self, section: Section, name: str) -> str | None:
        """Return the key that was probably meant: one of this section, else one of another."""
        if self._guesses_left == 0:
            return None
        self._guesses_left -= 1
        aliases = (alias for where, alias in _ALIASES if where == section.name)
        meant = nearest(name, (*section.keys, *aliases))
        if meant is not None:
            return section.keys[meant].path if meant in section.keys else _ALIASES[section.name, meant][0].path
        elsewhere = nearest(name, _BY_NAME, cutoff=0.75)
        return _BY_NAME[elsewhere][0].path if elsewhere else None

    def _misplaced(self, entry: Entry, key: Key, where: str) -> None:
        """Report a key that stands in another section than its own."""
        name = entry.key.text
        said = f"{name} is {where}, but it" if name == key.name else f"Nothing reads {shown(name)} {where}. {key.name}"
        message = f"{said} belongs in {key.section}."
        edits = move_entry(self.document, entry, key.section, key.name)
        fixes = (Fix(f"Move to {key.section}", edits, preferred=_only_a_name(name)),) if edits else ()
        problem = Problem(
            "misplaced-key",
            "error",
            message,
            entry.key.range,
            (*fixes, *removing(self.document, entry, shown(name))),
            (),
            key.path,
        )
        self._read(key, entry, wrong_name=problem)

    def _read(self, key: Key, entry: Entry, *, wrong_name: Problem | None = None) -> None:
        where = _where(entry)
        reading = read_value(key, entry.value, where)
        self.problems.extend(reading.problems)
        self._mention(key, entry, reading, wrong_name)

    def _mention(self, key: Key, entry: Entry, reading: Reading, wrong_name: Problem | None = None) -> None:
        written = self.document.lines.slice(entry.value.range)
        self._mentions.add(key, Mention(entry, reading, _where(entry), written, wrong_name))

    def _read_alias(self, entry: Entry, key: Key, alias: Alias) -> None:
        where = _where(entry)
        if alias.values is None:
            self._read(key, entry)
            return
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        reading = Reading()
        if isinstance(value, bool) and value in alias.values:
            reading = Reading(alias.values[value], valid=True)
        else:
            allowed = " or ".join(as_yaml(each) for each in alias.values)
            fixes = tuple(
                Fix(f"Write {key.name}: {translated}", (Edit(entry.range, f"{key.name}: {translated}"),))
                for translated in alias.values.values()
            )
            message = f"{alias.name} is {allowed}. Better write {key.name} itself: {alias.note}"
            self.problems.append(Problem("wrong-type", "error", message, where, fixes, (), key.path))
        self._mention(key, entry, reading)

    def _retired(self, entry: Entry, path: str) -> None:
        retired = RETIRED_KEYS[path]
        name = entry.key.text
        removal = removing(self.document, entry, name)
        text = entry.value.text if isinstance(entry.value, Scalar) else ""
        if text.casefold() in (value.casefold() for value in retired.accepted) or not text:
            message = f"{name} has no effect and can be removed. {retired.note}"
            self.problems.append(Problem("retired-key", "hint", message, entry.key.range, removal))
        else:
            message = f"{name} cannot be {shown(text)}: nothing reads this key any more. {retired.note}"
            self.problems.append(Problem("retired-key", "error", message, _where(entry), removal))

    def _duplicate(self, first: Entry, second: Entry, *, section: bool = False) -> None:
        name = second.key.text
        message = f"{shown(name)} is set twice. YAML readers disagree about which one counts: keep one."
        same = _same(first.value, second.value) and not (section and name in self.document.damaged)
        fixes = (
            *(self._joining(first, second, preferred=name in SECTIONS) if section else ()),
            *removing(self.document, second, f"this {shown(name)}", preferred=same),
            *removing(self.document, first, f"the first {shown(name)}"),
        )
        related = (Related(first.key.range, "It is first set here"),)
        self.problems.append(Problem("duplicate-key", "error", message, second.key.range, fixes, related))


def unused_keys(given: dict[str, Given], known: dict[str, object], document: Document) -> Iterator[Problem]:
    """Yield a hint for each key that the file gives although another key makes it count for nothing."""
    for path, mention in given.items():
        condition = KEYS[path].counts_when
        if condition is None or condition.key not in known or condition.holds(known[condition.key]):
            continue
        name = KEYS[path].name
        other = condition.key.split(".")[1]
        values = " or ".join(as_yaml(value) for value in condition.values)
        if condition.negated:
            message = f"{name} has no effect while {other} is {values}."
        elif None in condition.values:
            message = f"{name} has no effect while {other} is set."
        else:
            message = f"{name} only takes effect with {other} {values}, so it has no effect here."
        edit = remove_entry(document, mention.entry)
        fixes = (Fix(f"Remove {name}", (edit,)),) if edit else ()
        related = (Related(given[condition.key].where, f"{other} is set here"),) if condition.key in given else ()
        yield Problem("unused-key", "hint", message, mention.entry.key.range, fixes, related, path)


def _same(first: Node, second: Node) -> bool:
    """Return whether two values are single ones and written alike."""
    if not isinstance(first, Scalar) or not isinstance(second, Scalar):
        return False
    return (first.text, first.plain) == (second.text, second.plain)


def _where(entry: Entry) -> Range:
    """Return where problems with a value are shown: on the value, or on the key when nothing is written there."""
    return entry.value.range if entry.value.range.start != entry.value.range.end else entry.key.range


def _is_key_without_colon(section: Entry, value: Scalar) -> bool:
    """Return whether a section's value is really its first key, on a line of its own: `hidden_dim 256`."""
    first, last = value.range
    words = value.text.split()  # none where the text is only spaces that YAML does not know, such as U+00A0
    return section.key.range.end.line < first.line == last.line and bool(words) and words[0] in _BY_NAME


def _example(section: Section) -> str:
    key = next(iter(section.keys.values()))
    return f"{key.name}: {as_yaml(key.default)}"


def _only_a_name(name: str) -> bool:
    """Whether nothing of a value is in what stands before a colon, as in `learning_rate = ROMEO:`."""
    return not any(sign in name for sign in "=:")
