"""For all tests."""

import os

# Several tests run at once, one on each core. Said here because torch reads it when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
