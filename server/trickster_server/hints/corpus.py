"""What is known of a config's text without preparing it, and what that means for the config.

Called in threads. Of a text that was prepared before, the facts kept then are used; another one is looked at where it
is small.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from trickster_engine.config.corpus_files import SHAKESPEARE_BYTES
from trickster_engine.config.own_output import own_output
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.data import amounts
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.data.corpus import (
    MOST_FILES_DESCRIBED,
    SHAKESPEARE_FILE,
    CorpusFile,
    describe_text,
    file_now,
)
from trickster_engine.data.corpus import Corpus as Text
from trickster_engine.data.facts import LineEnds, TextFacts, kept_facts, source_of, unread_facts
from trickster_engine.data.findings import findings
from trickster_engine.data.index import files_of, known_dataset, resolved_text
from trickster_engine.data.read_text import read_text_chunks
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant
from trickster_server.documents import Document

#: Texts up to this size are read.
_READ_BYTES = 8 << 20
_CORPUS = "data_config.corpus"
_PROMPT = "sampling_config.prompt"
_BEGINNING = 24
UNREAD = "*Prepare Dataset*, *Train* or `trickster check` reads the text and shows the rest."


@dataclass(frozen=True)
class Corpus:
    """What is known of a config's text without reading it."""

    present: bool
    characters: int | None
    path: Path | None
    facts: TextFacts | None = None


def training_tokens(plan: Plan, corpus: Corpus | None) -> int | None:
    """Tokens of training text; None where only reading the text would tell."""
    if corpus is None or corpus.characters is None or plan.data.tokenizer not in ("byte", "char"):
        return None
    return amounts.training_tokens(plan, corpus.characters)


# ---- finding it -----------------------------------------------------------------------------------------------------


def look_at_corpus(plan: Plan, document: Document) -> Corpus | None:
    """Find a plan's text without preparing it."""
    corpus = _find_corpus(plan, document)
    facts = _look_at_text(plan, document.path) if document.path is not None else None
    if facts is None:
        return corpus
    if corpus is None:  # text that is split already
        corpus = Corpus(True, None, None)
    if facts.train_characters is not None and facts.val_characters is not None and plan.data.train_data is None:
        corpus = replace(corpus, characters=facts.train_characters + facts.val_characters)
    return replace(corpus, facts=facts)


def _find_corpus(plan: Plan, document: Document) -> Corpus | None:
    folder = document.folder
    if plan.data.train_data is not None or (folder is None and plan.data.corpus not in ("shakespeare", "python")):
        return None
    if plan.data.corpus == "shakespeare":
        path = _shakespeare()
        return Corpus(path is not None, SHAKESPEARE_BYTES, path)
    own = own_output(plan.output, folder or Path(), document.path)
    described = describe_text(plan.data, folder or Path(), own)
    if described.problem is not None:
        return Corpus(False, None, None)
    return Corpus(True, described.characters or described.bytes or None, described.path)


def _shakespeare() -> Path | None:
    """The copy of Tiny Shakespeare on this machine."""
    cache = known_cache_directory()
    candidates = [cache / SHAKESPEARE_FILE] if cache is not None else []
    if given := os.environ.get("TRICKSTER_CORPUS_DIR"):
        candidates.insert(0, path_meant(Path(), given) / SHAKESPEARE_FILE)
    for path in candidates:
        try:
            if path.stat().st_size == SHAKESPEARE_BYTES:
                return path
        except OSError:
            continue
    return None


def _look_at_text(plan: Plan, config: Path) -> TextFacts | None:
    """The facts of a plan's text as far as they are known; None where it is not here, or is not text."""
    folder = config.parent
    corpora = resolved_text(plan, folder, own_output(plan.output, folder, config), MOST_FILES_DESCRIBED)
    if not corpora:
        return None
    cache, source = known_cache_directory(), source_of(corpora)
    known = known_dataset(cache, plan, corpora) if cache is not None else None
    facts = kept_facts(plan, source, known) if known is not None else None
    if facts is not None:
        return facts
    files = files_of(corpora)
    small = _are_quickly_read(corpora)
    ends = _line_ends(files) if small and plan.data.line_ends == "keep" else None
    return replace(unread_facts(plan, source), read_ends=ends)


def _are_quickly_read(corpora: Sequence[Text]) -> bool:
    """Whether reading some text takes no time to speak of: it is small, and nothing has to be unpacked."""
    plain = all(corpus.kind != "python" and not corpus.is_packed for corpus in corpora)
    return plain and sum(corpus.size for corpus in corpora) <= _READ_BYTES


@lru_cache(maxsize=8)
def _line_ends(files: tuple[CorpusFile, ...]) -> LineEnds | None:
    """The line ends of these files as they are now; None where one is no text."""
    ends = LineEnds()
    try:
        for file in files:
            for chunk in read_text_chunks(file.path, size=file.size):
                ends.add(chunk.encode())
            ends.finish()
    except TricksterError:  # preparing it says what is wrong
        return None
    return ends


# ---- what that means ------------------------------------------------------------------------------------------------


def corpus_problems(plan: Plan, corpus: Corpus | None, document: Document, said: set[str]) -> list[Problem]:
    """What is to be said of a plan's text; `said` are codes of what is said already."""
    if corpus is None:
        return []
    problems: list[Problem] = []
    if plan.data.corpus == "shakespeare" and not corpus.present:
        message = "Tiny Shakespeare (1.1 MB) is not on this machine yet. Prepare Dataset or Train downloads it."
        problems.append(Problem("corpus-not-fetched", "hint", message, document.place_of(_CORPUS), key=_CORPUS))
    if corpus.facts is not None:
        said = said | {problem.code for problem in document.checked.problems}
        found = findings(plan, corpus.facts)
        problems += [finding.as_problem(document.settings) for finding in found if finding.code not in said]
    return problems + _prompt_problems(plan, corpus, document)


def _prompt_problems(plan: Plan, corpus: Corpus, document: Document) -> list[Problem]:
    """A model goes on from the end of its prompt; a word that its text does not have tells it nothing."""
    words = plan.sampling.prompt.split()
    if not words or not corpus.present or plan.data.corpus == "python":
        return []
    files = _files(plan, corpus, document)
    if not files:
        return []
    found, beginning = _look_for(words[-1], files)
    if found:
        return []
    message = (
        f"{shown(words[-1])} does not occur in {shown(plan.data.corpus_name)}, so the model never learns what follows "
        "it, and its samples begin with noise. Choose a beginning that occurs in the text."
    )
    fix = document.settings.write(_PROMPT, beginning, why="how the text begins") if beginning else None
    where = document.place_of(_PROMPT)
    return [Problem("prompt-not-in-text", "hint", message, where, (fix,) if fix else (), key=_PROMPT)]


def _files(plan: Plan, corpus: Corpus, document: Document) -> tuple[CorpusFile, ...]:
    """The files of a plan's text where it is quickly read."""
    try:
        if plan.data.corpus == "shakespeare":
            return (file_now(corpus.path),) if corpus.path is not None else ()
        if document.path is None:
            return ()
        own = own_output(plan.output, document.path.parent, document.path)
        corpora = resolved_text(plan, document.path.parent, own, MOST_FILES_DESCRIBED)
        return files_of(corpora) if _are_quickly_read(corpora) else ()
    except (OSError, TricksterError):
        return ()


@lru_cache(maxsize=8)
def _look_for(word: str, files: tuple[CorpusFile, ...]) -> tuple[bool, str]:
    """Whether a word occurs in these files as they are now, and how their text begins; True where one is no text."""
    beginning = ""
    try:
        for file in files:
            text = "".join(read_text_chunks(file.path, size=file.size))
            if word in text:
                return True, ""
            beginning = beginning or _beginning(text)
    except TricksterError:  # preparing it says what is wrong
        return True, ""
    return False, beginning


def _beginning(text: str) -> str:
    """The first words of a text, as many as make a prompt."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if len(line) <= _BEGINNING:
        return line
    head = line[: _BEGINNING + 1]
    return head[: head.rfind(" ")].rstrip() if " " in head else head[:_BEGINNING]
