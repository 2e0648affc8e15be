"""For all tests."""

import os

# Several tests run at once: see trickster_engine/__init__.py, which is not always imported before torch here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
