"""What `check` says of a config's text: it is read as training would read it, and kept for training to find."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trickster_engine.config.check import settings_of
from trickster_engine.config.own_output import own_output
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.data.facts import TextFacts, kept_facts, source_of, unread_facts
from trickster_engine.data.findings import CORPUS, VOCABULARY, findings
from trickster_engine.data.index import files_of, known_dataset, resolved_text
from trickster_engine.errors import TricksterError
from trickster_engine.system.units import size_text

#: A larger text is not read by `check`, unless that was done before: it would take minutes.
_READ_BYTES = {"bpe": 16 << 20}
_READ_BYTES_OTHERWISE = 64 << 20
_ABOUT_THE_TEXT = ("corpus-", "vocabulary-", "unknown-", "data-file", "tokenizer-")
#: Said by the rules already, or nothing that is wrong with the config.
_KNOWN = ("corpus-missing", "corpus-unavailable", "data-file-missing")


@dataclass(frozen=True)
class TextCheck:
    """The facts of a text as far as they are known, what they mean, and a note where it was not read."""

    facts: TextFacts | None = None
    problems: list[Problem] = field(default_factory=list)
    note: str = ""


def check_text(plan: Plan, text: str, path: Path, *, progress: bool) -> TextCheck:
    """Read the text of a config that has passed the check. Never raises."""
    settings = settings_of(text, path.parent.resolve())
    try:
        facts, note = _facts(plan, path.resolve(), progress)
    except TricksterError as error:
        if not error.code.startswith(_ABOUT_THE_TEXT):  # the cache, the disk: no matter of the config
            return TextCheck(note=f"Could not read the text: {error.message} {error.advice}")
        if error.code in _KNOWN:
            return TextCheck(note=error.message if error.code == "corpus-unavailable" else "")
        key = VOCABULARY if error.code.startswith("vocabulary-") else CORPUS
        problem = settings.problem(error.code, "error", f"{error.message} {error.advice}", key)
        return TextCheck(problems=[problem])
    found = [finding.as_problem(settings) for finding in findings(plan, facts)] if facts is not None else []
    return TextCheck(facts, found, note)


def _facts(plan: Plan, path: Path, progress: bool) -> tuple[TextFacts | None, str]:
    from trickster_engine.data.prepare import prepare
    from trickster_engine.data.survey import text_facts

    folder = path.parent
    corpora = resolved_text(plan, folder, own_output(plan.output, folder, path))
    if corpora:
        size = sum(file.size for file in files_of(corpora))
        if size > _READ_BYTES.get(plan.data.tokenizer, _READ_BYTES_OTHERWISE):
            cache = known_cache_directory()
            known = known_dataset(cache, plan, corpora) if cache is not None else None
            facts = kept_facts(plan, source_of(corpora), known) if known is not None else None
            if facts is None:
                note = f"The text has {size_text(size)}, so only trickster prepare reads it."
                return unread_facts(plan, source_of(corpora)), note
            return facts, ""
    dataset = prepare(plan, folder, config=path, progress=progress, allow_download=False)
    return text_facts(plan, dataset, progress=progress), ""
