"""tqdm's progress bar, kept to this process.

By itself it makes a lock for several processes. On macOS and Windows, Python starts a helper for that, which imports
from the folder one stands in; nothing here draws one bar from several processes.
"""

from __future__ import annotations

from threading import RLock

from tqdm import tqdm

tqdm.set_lock(RLock())

__all__ = ["tqdm"]
