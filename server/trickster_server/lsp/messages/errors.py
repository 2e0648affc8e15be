"""The errors that requests may answer with."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Codes of the errors that requests may answer with, beside those of the protocol itself."""

    NOT_TRUSTED = 1001
    UNKNOWN_RUN = 1002
    RUN_IS_LIVE = 1003
    CONFIG_HAS_ERRORS = 1004
    ENGINE_FAILED = 1005
    NO_TORCH = 1006
    NO_CHECKPOINT = 1007
    NO_INTERPRETER = 1008
    FILE_EXISTS = 1009


ERROR_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.NOT_TRUSTED: "The folder is not trusted: nothing is started, written or removed.",
    ErrorCode.UNKNOWN_RUN: "No run of this name is under the workspace.",
    ErrorCode.RUN_IS_LIVE: "The run is being trained: stop it first.",
    ErrorCode.CONFIG_HAS_ERRORS: "The config has errors; the Problems list shows them.",
    ErrorCode.ENGINE_FAILED: "The process ended with an error; the message says which. `data.errorCode` is its code.",
    ErrorCode.NO_TORCH: "The interpreter has no torch: set up an environment or choose another interpreter.",
    ErrorCode.NO_CHECKPOINT: "The run has saved no checkpoint yet.",
    ErrorCode.NO_INTERPRETER: "The interpreter does not start.",
    ErrorCode.FILE_EXISTS: "A file of this name is there already; nothing was written.",
}
