"""Trickster's language server: a config that explains itself, and runs that are served."""

import sys

# As in trickster_engine: `python -m` has put the folder one stands in first, and nothing there is ours.
if sys.argv[:1] == ["-m"] and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]
