from __future__ import annotations

import enum


class RunnerType(enum.Enum):
    Default = 0
    MemoryEfficient = 1


class WeightTyingType(enum.Enum):
    Disabled = 0
    Enabled = 1


from . import llama  # noqa: E402, F401 - the enums must be there first
