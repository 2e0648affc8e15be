"""What each hint about the machine means: one paragraph per code. docs/machine.md is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MACHINE_DOCS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "corpus-not-fetched": "Tiny Shakespeare is downloaded once (1.1 MB), checked against its SHA-256 and kept "
        "in the user's cache. It is not there yet; Prepare Dataset or Train downloads it. Without a network, put "
        "`tinyshakespeare.txt` into a folder and name that folder in the environment variable "
        "`TRICKSTER_CORPUS_DIR`, or train on `corpus: python`.",
        "prompt-not-in-text": "The model continues `prompt`, and its last word does not occur in the training text. "
        "So the model has never seen what follows it, and its samples begin with noise, which also lowers the "
        "measures of the report. Choose a beginning that occurs in the text: of a letter, `def ` in Python, a "
        "speaker's name in plays. The fix uses the text's first words. Texts up to 8 MB are searched.",
        "device-not-here": "The config names a device that this machine does not have: there is no `/dev/tenstorrent`, "
        "no NVIDIA driver, or no Apple GPU. Training would stop with an error. `device_type: auto` uses the fastest "
        "device available. If you only edit here and train elsewhere, ignore this hint.",
        "memory-too-small": "The estimated peak memory of training is larger than the GPU's memory, or this machine's. "
        "Most of it usually grows with the batch: halve `batch_size` and double `gradient_accumulation_steps`, which "
        "gives the same result. A shorter `max_seq_len` and a smaller model help too. Hover over `model_config` to "
        "see what uses the memory.",
        "run-interrupted": "The last run of this config ended unexpectedly: the machine was switched off, or the "
        "process was killed. Its newest checkpoint is complete, and Resume continues exactly from there.",
    }
)


def page() -> str:
    """The page `docs/machine.md`."""
    blocks = [
        "# Hints about this machine",
        "<!-- Written by `make generate` from tools/machine_docs.py. -->",
        "Besides problems in a config ([problems.md](problems.md)), the editor shows hints about the machine it "
        "runs on. They never prevent training.",
    ]
    for code, text in MACHINE_DOCS.items():
        blocks += [f"## {code}", text]
    return "\n\n".join(blocks) + "\n"
