"""What each hint about the machine means: one paragraph a code, from which docs/machine.md is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

MACHINE_DOCS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "corpus-not-fetched": "Tiny Shakespeare is downloaded once (1.1 MB), checked against its sum and kept in the "
        "user's cache. It is not there yet; Prepare Dataset or Train fetches it. Without a network, put "
        "`tinyshakespeare.txt` into a folder and name that folder in the environment variable "
        "`TRICKSTER_CORPUS_DIR`, or train on `corpus: python`.",
        "prompt-not-in-text": "The model goes on from the end of `prompt`, and the last word of it is nowhere in the "
        "text that it learns from. So it has never seen what follows, and its samples begin with noise; the report, "
        "which measures such samples, is unfair to it then. Choose a beginning that the text has: that of a letter, "
        "`def ` in Python, a speaker's name in plays. The fix takes the text's first words. Texts up to 8 MB are "
        "looked through.",
        "device-not-here": "The file names a kind of device that this machine does not show: no `/dev/tenstorrent`, no "
        "NVIDIA driver, or no Apple GPU. Training would stop with an error. `device_type: auto` takes the fastest "
        "device there is. On a machine you only edit on, this hint can be left alone.",
        "memory-too-small": "The estimate of what training needs at its peak is larger than the GPU's memory, or this "
        "machine's. Most of it usually grows with the batch: halve `batch_size` and double "
        "`gradient_accumulation_steps`, which gives the same result. Shorter sequences (`max_seq_len`) and a smaller "
        "model help as well. Hover over `model_config` to see where the memory goes.",
        "run-interrupted": "The last run of this file ended without a word: the machine was switched off, or the "
        "process was killed. Its newest checkpoint is whole, and Resume goes on from there, as if nothing had "
        "happened.",
    }
)


def page() -> str:
    """The page `docs/machine.md`."""
    blocks = [
        "# What the editor says about this machine",
        "<!-- Written by `make generate` from tools/machine_docs.py. -->",
        "Beside what is wrong with a config itself ([problems.md](problems.md)), the editor shows hints about the "
        "machine it runs on. They never keep a config from being trained.",
    ]
    for code, text in MACHINE_DOCS.items():
        blocks += [f"## {code}", text]
    return "\n\n".join(blocks) + "\n"
