"""What this machine says about a config: is the text here, does the device exist, does the model fit."""

CODES = frozenset(
    {"corpus-not-fetched", "prompt-not-in-text", "device-not-here", "memory-too-small", "run-interrupted"}
)
"""The codes of what is said. docs/machine.md explains each."""
