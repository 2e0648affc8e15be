"""Trickster's training engine: from one YAML file to a transformer that has learned."""

import os

__version__ = "0.1.0"

# A thread that waits for another sleeps instead of spinning. When something else wants a core (an editor, a browser,
# a second run), spinning threads starve the very threads they wait for, and a step takes many times as long. OpenMP
# reads this when torch is loaded, so it has to be said before; a value the user has set is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
