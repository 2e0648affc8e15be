"""The errors that requests may answer with."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Codes of the errors that requests may answer with, beside those of the protocol itself."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ErrorCode:
        """A code with what it says."""
        made = int.__new__(cls, value)
        made._value_, made.meaning = value, meaning
        return made

    NOT_TRUSTED = 1001, "The folder is not trusted: nothing is started, written or deleted."
    UNKNOWN_RUN = 1002, "The workspace has no run of this name."
    RUN_IS_LIVE = 1003, "The run is being trained: stop it first."
    CONFIG_HAS_ERRORS = 1004, "The config has errors; the Problems list shows them."
    ENGINE_FAILED = 1005, "The process ended with an error; the message says which. `data.errorCode` is its code."
    NO_TORCH = 1006, "The interpreter has no torch: set up an environment or choose another interpreter."
    NO_CHECKPOINT = 1007, "The run has saved no checkpoint yet."
    NO_INTERPRETER = 1008, "The interpreter does not start."
    FILE_EXISTS = 1009, "A file of this name already exists; nothing was written."
