"""What is known of a config's text without preparing it: facts that were kept when it was, and a quick look.

Called in threads. A text that was prepared before is not read again; of another one, only a small one is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from trickster_engine.config.plan import Plan
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.data.corpus import MOST_FILES_DESCRIBED, CorpusFile, read_text_chunks
from trickster_engine.data.facts import LineEnds, TextFacts, kept_facts, source_of, unread_facts
from trickster_engine.data.index import files_of, known_dataset, resolved_text
from trickster_engine.data.own_output import own_output
from trickster_engine.errors import TricksterError

#: Texts up to this size are looked at where they were not prepared.
_READ_BYTES = 8 << 20
UNREAD = "*Prepare Dataset*, *Train* or `trickster check` reads the text and shows the rest."


def look_at_text(plan: Plan, config: Path) -> TextFacts | None:
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
    small = corpora[0].kind != "python" and sum(file.size for file in files) <= _READ_BYTES
    ends = _line_ends(files) if small and plan.data.line_ends == "keep" else None
    return replace(unread_facts(plan, source), read_ends=ends)


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
