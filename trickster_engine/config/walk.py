"""From the tree of a file to the values of its keys: what is known, misspelt, misplaced, doubled, or out of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from trickster_engine.config.keys import KEYS, SECTIONS, Key, Section
from trickster_engine.config.keys.names import OTHER_NAMES, OTHER_SECTION_NAMES, RETIRED_KEYS
from trickster_engine.config.keys.spec import Alias
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


@dataclass
class _Mention:
    """One entry that gives a key."""

    entry: Entry
    reading: Reading
    where: Range
    written: str  # the value, as the file has it
    wrong_name: Problem | None = None  # what to say about its name, when this key is only what it probably meant

    @property
    def corrected(self) -> bool:
        """Whether the name was wrong."""
        return self.wrong_name is not None

    def agrees(self, other: _Mention) -> bool:
        """Return whether both are good and written alike; what stands in one place only cannot be spared."""
        same = self.reading.valid and other.reading.valid and self.reading.value == other.reading.value
        return same and self.written == other.written and self.entry is not other.entry


class Walk:
    """Reads all sections of a document. Afterwards `problems` and `given` hold what was found."""

    def __init__(self, document: Document):
        self.document = document
        self.problems: list[Problem] = []
        self.given: dict[str, Given] = {}
        self._mentions: dict[str, list[_Mention]] = {}
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
        for path, mentions in self._mentions.items():
            self._settle(KEYS[path], mentions)

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
                Problem("unknown-section", "error", message, entry.key.range, self._removal(entry, "section"))
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
                fixes = (*self._joining(first, entry), *self._removal(entry, shown(entry.key.text)))
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
                Problem("unknown-key", "error", message, entry.key.range, self._removal(entry, shown(name)))
            )
            return
        key = KEYS[path]
        if key.section != section.name:
            self._misplaced(entry, key, f"in {section.name}")
            return
        message = f"Nothing reads {shown(name)} in {section.name}. Did you mean {key.name}?"
        fixes = (
            Fix(f"Change to {key.name}", (Edit(entry.key.range, key.name),), preferred=_only_a_name(name)),
            *self._removal(entry, shown(name)),
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
            (*fixes, *self._removal(entry, shown(name))),
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
        self._mentions.setdefault(key.path, []).append(_Mention(entry, reading, _where(entry), written, wrong_name))

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
        removal = self._removal(entry, name)
        text = entry.value.text if isinstance(entry.value, Scalar) else ""
        if text.casefold() in (value.casefold() for value in retired.accepted) or not text:
            message = f"{name} has no effect and can be removed. {retired.note}"
            self.problems.append(Problem("retired-key", "hint", message, entry.key.range, removal))
        else:
            message = f"{name} cannot be {shown(text)}: nothing reads this key any more. {retired.note}"
            self.problems.append(Problem("retired-key", "error", message, _where(entry), removal))

    def _settle(self, key: Key, mentions: list[_Mention]) -> None:
        """Decide what a key's value is when it is given once or more, and under which names."""
        own = [mention for mention in mentions if mention.entry.key.text == key.name and not mention.corrected]
        named = [mention for mention in mentions if not mention.corrected]
        chosen = (own or named or mentions)[0]
        self.given[key.path] = Given(chosen.entry, chosen.where, chosen.reading.value, chosen.reading.valid)
        for mention in mentions:
            if mention is chosen or mention.corrected or mention.entry.key.text == chosen.entry.key.text:
                continue
            self._doubled(key, chosen, mention)
        if not own and not chosen.corrected:
            alone = all(mention is chosen or mention.agrees(chosen) for mention in mentions)
            self._old_name(key, chosen, preferred=alone)
        for mention in mentions:
            if mention.wrong_name is not None:
                self.problems.append(self._mended(key, mention.wrong_name, mention, chosen, mentions))

    def _mended(
        self, key: Key, problem: Problem, mention: _Mention, chosen: _Mention, all_of: list[_Mention]
    ) -> Problem:
        """Return the problem of a wrong name with the fixes that are right beside the other mentions of its key."""
        if mention is chosen:
            if self._is_certain(key, problem) and all(other is chosen or other.agrees(chosen) for other in all_of):
                return problem
        elif not chosen.corrected or mention.agrees(chosen):
            # Under its right name it would be given twice.
            removal = self._removal(mention.entry, shown(mention.entry.key.text), preferred=mention.agrees(chosen))
            message = f"{problem.message} {key.name} is already set in line {chosen.entry.key.range.start.line + 1}."
            related = (Related(chosen.entry.key.range, f"{shown(chosen.entry.key.text)} is set here"),)
            return replace(problem, message=message, fixes=removal, related=related)
        return replace(problem, fixes=tuple(replace(fix, preferred=False) for fix in problem.fixes))

    def _is_certain(self, key: Key, problem: Problem) -> bool:
        """Return whether the key is surely not given in lines that could not be read, or by a name yet to be mended."""
        if problem.code != "misplaced-key":
            return key.section not in self.document.damaged
        return self.document.complete and all(meant != key.section for _, meant, _ in self._wrong_sections)

    def _doubled(self, key: Key, chosen: _Mention, other: _Mention) -> None:
        other_name, chosen_name = shown(other.entry.key.text), shown(chosen.entry.key.text)
        related = (Related(chosen.entry.key.range, f"{chosen_name} is set here"),)
        same = not (chosen.reading.valid and other.reading.valid) or chosen.reading.value == other.reading.value
        certain = other.agrees(chosen)
        if same:
            message = f"{other_name} is another name of {chosen_name}, which is also set. Keep one."
            fixes = self._removal(other.entry, other_name, preferred=certain)
            problem = Problem("doubled-key", "hint", message, other.entry.key.range, fixes, related, key.path)
        else:
            message = (
                f"{other_name} and {chosen_name} are two names of one key with different values. Keep the one you mean."
            )
            fixes = (*self._removal(other.entry, other_name), *self._removal(chosen.entry, chosen_name))
            problem = Problem("contradicting-keys", "error", message, other.entry.key.range, fixes, related, key.path)
        self.problems.append(problem)

    def _old_name(self, key: Key, mention: _Mention, *, preferred: bool) -> None:
        name = mention.entry.key.text
        alias = next(alias for alias in key.aliases if alias.name == name)
        fixes: tuple[Fix, ...] = ()
        if alias.values is None:
            fixes = (Fix(f"Rename to {key.name}", (Edit(mention.entry.key.range, key.name),), preferred),)
        elif mention.reading.valid:
            text = f"{key.name}: {as_yaml(mention.reading.value)}"
            fixes = (Fix(f"Write {text}", (Edit(mention.entry.range, text),), preferred),)
        message = f"{name} is another name of {key.name}. It works; {key.name} is the usual name."
        if alias.note:
            message += f" {alias.note}"
        self.problems.append(Problem("other-name", "hint", message, mention.entry.key.range, fixes, (), key.path))

    def _duplicate(self, first: Entry, second: Entry, *, section: bool = False) -> None:
        name = second.key.text
        message = f"{shown(name)} is set twice. YAML readers disagree about which one counts: keep one."
        same = _same(first.value, second.value) and not (section and name in self.document.damaged)
        fixes = (
            *(self._joining(first, second, preferred=name in SECTIONS) if section else ()),
            *self._removal(second, f"this {shown(name)}", preferred=same),
            *self._removal(first, f"the first {shown(name)}"),
        )
        related = (Related(first.key.range, "It is first set here"),)
        self.problems.append(Problem("duplicate-key", "error", message, second.key.range, fixes, related))

    def _removal(self, entry: Entry, what: str, *, preferred: bool = False) -> tuple[Fix, ...]:
        edit = remove_entry(self.document, entry)
        # An alias further down may need a name that is given here, and a comment says what nothing else does.
        end = entry.range.end
        text = self.document.lines.slice(entry.range) + self.document.lines.line(end.line)[end.character :]
        spared = preferred and "#" not in text and "&" not in text
        return (Fix(f"Remove {what}", (edit,), spared),) if edit else ()


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
