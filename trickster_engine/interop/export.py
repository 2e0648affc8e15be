"""`trickster export`: a run's model as a folder in another precision, as a GGUF file or as an ONNX model.

Whatever was written is opened again, by the reader of its own format where there is one, and has to write the text that
the model itself writes with the same weights, always taking the likeliest token. Otherwise nothing is left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from trickster_engine.config.llama_file import CONFIG_FILE, WEIGHTS_STEM
from trickster_engine.data.make_tokenizer import load_tokenizer, require_vocabulary
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.interop import gguf_file, onnx_file
from trickster_engine.interop.export_source import (
    DTYPES,
    Kind,
    Precision,
    Predict,
    Source,
    Weights,
    copy_beside,
    predictor,
    rounded,
)
from trickster_engine.model.checksums import seal_model, verify_model
from trickster_engine.model.huggingface import read_model
from trickster_engine.model.stored_arrays import system_errors
from trickster_engine.system.files import read_json
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.replace_folder import discard

_COMPARED = 64  # tokens
#: Two tokens whose logits differ by less may change places in another program's arithmetic.
_TIE = 1e-3


@dataclass(frozen=True)
class Exported:
    """What was written, and how much of its text was held against the model's own."""

    path: Path
    text: str  # what it writes after the prompt
    compared: int  # tokens that are the same as those of the model with the same weights
    as_before: int  # how many of them the model in its own precision begins with, too


def export(folder: Path, kind: Kind, target: Path, precision: Precision, prompt: str) -> Exported:
    """Write the model in `folder` to `target`, which must not be there yet, and check what was written.

    Raises TricksterError: output-not-writable, export-needs-package, export-not-possible, export-differs.
    """
    verify_model(folder)
    config, weights = read_model(folder)
    source = Source(folder, config, weights, load_tokenizer(folder))
    require_vocabulary(source.tokenizer, config.vocab_size)
    write = {"folder": _write_folder, "gguf": gguf_file.write, "onnx": onnx_file.write}[kind]
    if os.path.lexists(target):
        raise TricksterError("output-not-writable", f"{target} is there already.", "Name another place with --output.")
    try:
        predict, stored = write(source, target, precision)
        return _checked(source, target, predict, stored, prompt)
    except FileExistsError as error:  # made by somebody else meanwhile: not ours to remove
        raise cannot_write(error, target, "name another place with --output") from error
    except OSError as error:
        _remove(target)
        raise cannot_write(error, target, "name another place with --output") from error
    except BaseException:
        _remove(target)
        raise


def _write_folder(source: Source, target: Path, precision: str) -> tuple[Predict, Weights]:
    """A Hugging Face folder whose weights are stored in `precision`."""
    dtype = DTYPES[precision]
    target.mkdir(parents=True)
    copy_beside(source.folder, target)
    tensors = {name: torch.from_numpy(array).to(dtype).contiguous() for name, array in source.weights.items()}
    weights_file = target / f"{WEIGHTS_STEM}.safetensors"
    with system_errors(weights_file):
        save_file(tensors, weights_file, {"format": "pt"})
    numbers = str(dtype).removeprefix("torch.")
    described = {**read_json(source.folder / CONFIG_FILE), "dtype": numbers, "torch_dtype": numbers}
    (target / CONFIG_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    seal_model(target)
    config, weights = read_model(target)
    return predictor(config, weights), {name: rounded(array, precision) for name, array in source.weights.items()}


def _checked(source: Source, target: Path, predict: Predict, stored: Weights, prompt: str) -> Exported:
    """Let the exported model and our own with the `stored` numbers write, and compare. Raises `export-differs`."""
    ids = _prompt_ids(source.tokenizer, prompt)[: source.config.max_seq_len // 2]
    count = min(_COMPARED, source.config.max_seq_len - len(ids))
    ours, theirs = predictor(source.config, stored), predict
    written, length = list(ids), len(ids)
    for _ in range(count):
        wanted, found = ours(written), theirs(written)
        if not np.isfinite(wanted).all():
            raise TricksterError(
                "export-not-possible",
                f"{source.folder} has weights too large for this precision: it would predict infinity or NaN.",
                "Use --dtype bf16 or fp32.",
            )
        expected, chosen = int(wanted.argmax()), int(found.argmax())
        tie = _TIE * max(1.0, float(abs(wanted).max()))
        if expected != chosen and not wanted[expected] - wanted[chosen] <= tie:  # not so for NaN either
            raise TricksterError(
                "export-differs",
                f"{target} writes another text than {source.folder}: after {prompt!r}, token number "
                f"{len(written) - length + 1} is {chosen}, and should be {expected}.",
                "It was removed. Please report this with the versions of the packages that are involved.",
            )
        written.append(expected)
    before, same = predictor(source.config, source.weights), 0
    while same < count and int(before(written[: length + same]).argmax()) == written[length + same]:
        same += 1
    text = takewhile(lambda token: token != source.tokenizer.end_id, written[length:])
    return Exported(target, source.tokenizer.decode_after(written[:length], text), count, same)


def _prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """The prompt's ids as generation begins with them; the first id where the tokenizer cannot write it."""
    begin = [] if tokenizer.begin_id is None else [tokenizer.begin_id]
    try:
        return begin + tokenizer.encode(prompt).tolist() or [0]
    except TricksterError:
        return begin or [0]


def _remove(target: Path) -> None:
    discard(target)
    with contextlib.suppress(OSError):  # a plain file, which `discard` leaves
        target.unlink()
