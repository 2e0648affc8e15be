"""Trickster's training engine: from one YAML file to a transformer that has learned."""

import os

__version__ = "0.1.0"

# A thread that waits for another spins for some microseconds, then sleeps. When something else wants a core (an editor,
# a browser, a second run), threads that spin on starve the very threads they wait for, and a step takes many times as
# long; threads that sleep at once make every step slower. OpenMP reads this when torch is loaded, so it has to be said
# before; values the user has set are kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
