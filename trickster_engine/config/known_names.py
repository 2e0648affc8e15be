"""Every name that a line of a config may begin with: keys and sections, by whatever name."""

from __future__ import annotations

from typing import Final

from trickster_engine.config.keys import KEYS, OTHER_NAMES, OTHER_SECTION_NAMES, RETIRED_KEYS, SECTIONS

SECTION_NAMES: Final = frozenset({*SECTIONS, *OTHER_SECTION_NAMES})
_TYPES: Final = {key.name: key.type for key in KEYS.values()}
KNOWN_NAMES: Final = frozenset(
    {
        *SECTION_NAMES,
        *_TYPES,
        *(alias.name for key in KEYS.values() for alias in key.aliases),
        *(retired.path.split(".")[1] for retired in RETIRED_KEYS.values()),
        *OTHER_NAMES,
    }
)
#: Keys whose value is any text, which may look like anything.
TEXT_NAMES: Final = frozenset(
    name
    for name in (*_TYPES, *OTHER_NAMES)
    if _TYPES.get(OTHER_NAMES.get(name, name).rpartition(".")[2]) in ("text", "path")
)
