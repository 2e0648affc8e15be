"""`python -m tests.benchmarks.kenlm BIN [OUT.json]`: what KenLM makes of the texts that our n-grams are tested on.

BIN is the folder of KenLM's programs `lmplz` and `query` (https://github.com/kpu/kenlm, compiled with
-DKENLM_MAX_ORDER=8), which estimate and ask interpolated modified Kneser-Ney models. A text is one line for them, a
byte a word. Tiny Shakespeare is taken from TRICKSTER_CORPUS_DIR, with the validation text that every preset has.

KenLM's models also know the beginning and the end of a line, which are one n-gram each, and an unknown word. So what is
read here are the bytes of a validation text, and its vocabulary counts two words more than the text has bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.engine.interop.test_kenlm import KEPT, MADE_UP, made_up
from trickster_engine.system.files import write_text_atomically

ORDERS = (2, 3, 4, 5, 6, 7, 8)
_WORD = re.compile(r"b\d+=\d+ \d+ (\S+)")  # as `query -v word` prints it: =id, length of what matched, log10


def losses(programs: Path, train: bytes, val: bytes, order: int) -> list[float]:
    """What a model of `train` makes of each byte of `val`, in nats."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model.arpa")
        # Bytes have too few unigrams for an estimate of their discounts; those are a constant then.
        places = ["-S", "1G", "-T", scratch, "--arpa", str(model)]
        command = [str(programs / "lmplz"), "-o", str(order), "--discount_fallback", *places]
        subprocess.run(command, input=_line(train), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        asked = [str(programs / "query"), "-v", "word", str(model)]
        told = subprocess.run(asked, input=_line(val), capture_output=True, check=True).stdout.decode("ascii")
    found = [-float(log10) * math.log(10) for log10 in _WORD.findall(told)]
    if len(found) != len(val):
        raise SystemExit(f"query told {len(found)} probabilities of {len(val)}")
    return found


def _line(text: bytes) -> bytes:
    return " ".join(f"b{byte}" for byte in text).encode("ascii") + b"\n"


def main() -> None:
    """Write both readings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, metavar="BIN")
    parser.add_argument("out", type=Path, nargs="?", default=KEPT, metavar="OUT.json")
    arguments = parser.parse_args()
    train, val = made_up()
    kept: dict[str, Any] = {
        MADE_UP: {
            str(order): [round(loss, 5) for loss in losses(arguments.programs, train, val, order)]
            for order in (3, 4, 5)
        }
    }
    whole = Path(os.environ["TRICKSTER_CORPUS_DIR"], "tinyshakespeare.txt").read_bytes()
    first = len(whole) - len(whole) // 10
    kept["tinyshakespeare"] = {
        "train_bytes": first,
        "nats_a_byte": {
            str(order): sum(found[1:]) / len(found[1:])
            for order in ORDERS
            for found in [losses(arguments.programs, whole[:first], whole[first:], order)]
        },
    }
    write_text_atomically(arguments.out, json.dumps(kept) + "\n")
    print(kept["tinyshakespeare"])


if __name__ == "__main__":
    main()
