"""Trickster's training engine: from one YAML file to a transformer that has learned."""

import os
import sys

__version__ = "0.1.0"

# A thread that waits for another spins for some microseconds, then sleeps. When something else wants a core (an editor,
# a browser, a second run), threads that spin on starve the very threads they wait for, and a step takes many times as
# long; threads that sleep at once make every step slower. OpenMP reads this when torch is loaded, so it has to be said
# before; values the user has set are kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# `python -m` puts the folder one stands in first, and names itself so while it looks for what to run, which is now.
# From here on nothing in that folder stands in for a module of Python's. (trickster_server does the same.)
if sys.argv[:1] == ["-m"] and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]
