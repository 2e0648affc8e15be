"""What an agent can read: the reference of the config, explained problems, the lesson; and prompts to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trickster_engine.config.reference import config_page
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_text
from trickster_engine.system.programs import ENGINE_FOLDER

_LESSON = ENGINE_FOLDER / "walkthroughs"
_PROBLEMS = ENGINE_FOLDER / "docs" / "problems.md"
_PAGE_BYTES = 1 << 20


def pages() -> Mapping[str, str]:
    """The address of each page that this installation has, and what it is about.

    A wheel holds neither the lesson nor the page of problems; a checkout and the extension do.
    """
    found = {"trickster://config": "Every key of a config: what it does, its default, its range"}
    if _PROBLEMS.is_file():
        found["trickster://problems"] = "What each code of a problem means, and how to fix it"
    for path in sorted(path for path in _LESSON.glob("*.md") if path.stem != "README"):
        found[f"trickster://lesson/{path.stem}"] = f"Lesson: {_title(path)}"
    return found


def page(address: str) -> str:
    """The text of a page, in Markdown. Raises TricksterError for an address that `pages` does not have."""
    if address not in pages():
        raise TricksterError("page-missing", f"There is no page {address}.", "List the resources.")
    if address == "trickster://config":
        return config_page()
    path = _PROBLEMS if address == "trickster://problems" else _LESSON / f"{address.rsplit('/', 1)[1]}.md"
    return read_text(path, _PAGE_BYTES)


def _title(path: Path) -> str:
    """The first heading of a page; its name where it has none."""
    lines = read_text(path, _PAGE_BYTES).splitlines()
    return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), path.stem)


def train_on_this_folder(folder: str = ".") -> str:
    """Train a small model on a folder of text, from the first look to an explained model."""
    return f"""\
Train a small language model on the text in {folder}, with the tools of this server.

1. Look at what is there: which files, how much text, in which language. Do not open what is not text.
2. Write a config beside it (YAML, see trickster://config): `data_config.corpus` names the folder, and the smallest
   preset that suits the amount of text is the start. `include` and `exclude` choose files.
3. Call `check`, and fix what it finds, until it is ok. Tell me what the text has: tokens, duplicates, files left out.
4. Call `estimate`, then `start` without `confirm`. Show me what would happen: parameters, memory, time, where.
5. Only when I agree, call `start` with `confirm: true`. Follow with `status` (wait_seconds) and tell me each
   evaluation in one line: validation loss, and the best n-gram beside it.
6. When it has ended, call `compare`, `sample` and `report`, and explain in plain words what the model learned, what it
   did not, and what I could change next. Say which figures you measured, and invent none."""


def why_is_it_not_learning(run: str) -> str:
    """Find out why a run's loss does not fall, or stopped falling."""
    return f"""\
Find out why the run {run} does not learn, or stopped learning. Change nothing yet.

1. `status` and `events_since` (kinds: eval, warning, error, status): where do the training and the validation loss
   stand, and since when? Read the warnings first; their advice is usually right.
2. Compare the validation loss with the baselines: above the uniform one it has learned nothing, near the unigram only
   frequencies; below the best n-gram it learns from context.
3. Tell the cases apart: training loss falls and validation loss rises (overfitting: less training, more text, dropout);
   both are flat from the start (learning rate, warm-up, text); both were falling when it ended (train longer); the
   gradient norm or the loss leaps (learning rate too high); few tokens for the parameters (smaller model).
4. `compare` with another run where there is one: which keys of the config differ?
5. Explain the likeliest cause with the figures that show it, and propose one change to try, as an override of `start`
   without `confirm`."""
