"""What a key's value is when it is given once or more, and under which names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from trickster_engine.config.keys import KEYS, Key
from trickster_engine.config.problems import Edit, Fix, Problem, Range, Related
from trickster_engine.config.settings import Given
from trickster_engine.config.values import Reading
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.editing import remove_entry
from trickster_engine.config.yaml.nodes import Entry
from trickster_engine.config.yaml.scalars import as_yaml, shown


@dataclass
class Mention:
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

    def agrees(self, other: Mention) -> bool:
        """Return whether both are good and written alike; what stands in one place only cannot be spared."""
        same = self.reading.valid and other.reading.valid and self.reading.value == other.reading.value
        return same and self.written == other.written and self.entry is not other.entry


class Mentions:
    """Gathers the entries that give each key. `problems` holds what `settle` has found."""

    def __init__(self, document: Document):
        self.problems: list[Problem] = []
        self._document = document
        self._by_path: dict[str, list[Mention]] = {}
        self._wrong_sections: Collection[str] = ()

    def add(self, key: Key, mention: Mention) -> None:
        """Take in an entry."""
        self._by_path.setdefault(key.path, []).append(mention)

    def settle(self, wrong_sections: Collection[str]) -> dict[str, Given]:
        """Return each key's value. `wrong_sections` are those that other sections, misspelt, were meant to be."""
        self._wrong_sections = wrong_sections
        return {path: self._settle(KEYS[path], mentions) for path, mentions in self._by_path.items()}

    def _settle(self, key: Key, mentions: list[Mention]) -> Given:
        own = [mention for mention in mentions if mention.entry.key.text == key.name and not mention.corrected]
        named = [mention for mention in mentions if not mention.corrected]
        chosen = (own or named or mentions)[0]
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
        return Given(chosen.entry, chosen.where, chosen.reading.value, chosen.reading.valid)

    def _mended(self, key: Key, problem: Problem, mention: Mention, chosen: Mention, all_of: list[Mention]) -> Problem:
        """Return the problem of a wrong name with the fixes that are right beside the other mentions of its key."""
        if mention is chosen:
            if self._is_certain(key, problem) and all(other is chosen or other.agrees(chosen) for other in all_of):
                return problem
        elif not chosen.corrected or mention.agrees(chosen):
            # Under its right name it would be given twice.
            removal = removing(
                self._document, mention.entry, shown(mention.entry.key.text), preferred=mention.agrees(chosen)
            )
            message = f"{problem.message} {key.name} is already set in line {chosen.entry.key.range.start.line + 1}."
            related = (Related(chosen.entry.key.range, f"{shown(chosen.entry.key.text)} is set here"),)
            return replace(problem, message=message, fixes=removal, related=related)
        return replace(problem, fixes=tuple(replace(fix, preferred=False) for fix in problem.fixes))

    def _is_certain(self, key: Key, problem: Problem) -> bool:
        """Return whether the key is surely not given in lines that could not be read, or by a name yet to be mended."""
        if problem.code != "misplaced-key":
            return key.section not in self._document.damaged
        return self._document.complete and key.section not in self._wrong_sections

    def _doubled(self, key: Key, chosen: Mention, other: Mention) -> None:
        other_name, chosen_name = shown(other.entry.key.text), shown(chosen.entry.key.text)
        related = (Related(chosen.entry.key.range, f"{chosen_name} is set here"),)
        same = not (chosen.reading.valid and other.reading.valid) or chosen.reading.value == other.reading.value
        certain = other.agrees(chosen)
        if same:
            message = f"{other_name} is another name of {chosen_name}, which is also set. Keep one."
            fixes = removing(self._document, other.entry, other_name, preferred=certain)
            problem = Problem("doubled-key", "hint", message, other.entry.key.range, fixes, related, key.path)
        else:
            message = (
                f"{other_name} and {chosen_name} are two names of one key with different values. Keep the one you mean."
            )
            fixes = (
                *removing(self._document, other.entry, other_name),
                *removing(self._document, chosen.entry, chosen_name),
            )
            problem = Problem("contradicting-keys", "error", message, other.entry.key.range, fixes, related, key.path)
        self.problems.append(problem)

    def _old_name(self, key: Key, mention: Mention, *, preferred: bool) -> None:
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


def removing(document: Document, entry: Entry, what: str, *, preferred: bool = False) -> tuple[Fix, ...]:
    """The fix that removes an entry, where it can be removed."""
    edit = remove_entry(document, entry)
    # An alias further down may need a name that is given here, and a comment says what nothing else does.
    end = entry.range.end
    text = document.lines.slice(entry.range) + document.lines.line(end.line)[end.character :]
    spared = preferred and "#" not in text and "&" not in text
    return (Fix(f"Remove {what}", (edit,), spared),) if edit else ()
