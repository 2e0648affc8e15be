"""Whether a run's report is one that this person's servers have made, and still says what there is to say.

What stands in the page proves nothing: whoever hands on a run may have written it. So the sum of each page made is kept
in the person's own cache, outside the run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from trickster_engine import __version__
from trickster_engine.runs import REPORT_FILE, RunDirectory
from trickster_engine.system.files import read_bytes, read_json, write_json_atomically

_KEPT = "reports.json"
_KEPT_BYTES = 4 << 20
_MOST = 1000


def is_fresh(run: RunDirectory, cache: Path) -> bool:
    """Whether the page is whole as it was made, by this version, from all events that there are now."""
    known = _read(cache).get(str(run.path))
    try:
        return known is not None and known == _facts(run, event_bytes(run))
    except OSError:
        return False


def remember(run: RunDirectory, cache: Path, made_from: int) -> None:
    """Note a page that was just made from so many bytes of events. Raises OSError."""
    kept = _read(cache)
    kept.pop(str(run.path), None)
    kept[str(run.path)] = _facts(run, made_from)
    cache.mkdir(parents=True, exist_ok=True)
    write_json_atomically(cache / _KEPT, dict(list(kept.items())[-_MOST:]))


def event_bytes(run: RunDirectory) -> int:
    """How much the run has told so far. Raises OSError."""
    return run.events_path.stat().st_size


def _facts(run: RunDirectory, made_from: int) -> dict[str, Any]:
    sha256 = hashlib.sha256(read_bytes(run.path / REPORT_FILE)).hexdigest()
    return {"sha256": sha256, "events": made_from, "version": __version__}


def _read(cache: Path) -> dict[str, Any]:
    try:
        found = read_json(cache / _KEPT, _KEPT_BYTES)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
