"""What the lesson breaks on purpose in the settings or the text; `backends/torch/broken.py` has the rest.

The names of the faults, and of the findings that name them, are in `runs/diagnosis.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from trickster_engine.data.dataset import Dataset

#: The learning rate where it is the fault: a thousand times what is usual.
FAR_TOO_HIGH: Final = 1.0


def dataset_with(dataset: Dataset, fault: str) -> Dataset:
    """The text that is trained and measured on with a fault, where that is in the text."""
    if fault != "shuffled-validation":
        return dataset
    tokens = np.asarray(dataset.val[0 : len(dataset.val)])
    order = np.argsort(np.random.PCG64(1).random_raw(len(tokens)), kind="stable")
    return replace(dataset, val=tokens[order])
