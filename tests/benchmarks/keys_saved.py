"""`python -m tests.benchmarks.keys_saved FOLDER`: the keys that completions save on text held out, with small models.

Trains a model of pico's shape on Tiny Shakespeare, on the source of Python's standard library and on tunes, some
minutes each, in FOLDER; a run that lies there is measured as it is. Each is typed again by `trickster evaluate`, beside
the best n-gram model. Writes `docs/completion/keys-saved.json`, from which docs/completion.md is made.

The tunes are a folder of `trickster corpus tunes` (`--tunes`). Every 20th file of the standard library is held out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from trickster_engine.config import preset_text, set_values
from trickster_engine.data.corpus import resolve_corpus
from trickster_engine.evaluation.report.history import history
from trickster_engine.runs import RunDirectory
from trickster_engine.system.files import write_json_atomically

KEPT = Path(__file__).parents[2] / "docs" / "completion" / "keys-saved.json"
NAMES = ("shakespeare", "python", "tunes")
_HELD_OUT_EVERY = 20


def config_of(name: str, folder: Path, tunes: Path | None) -> Path:
    """The config of one of `NAMES`, in a folder of its own with its texts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.trickster.yaml"
    if name == "tunes":
        if tunes is None:
            raise SystemExit("Make the tunes first: trickster corpus tunes FOLDER. Then name them: --tunes FOLDER")
        for part in ("train.txt", "val.txt"):
            (folder / part).write_bytes((tunes / part).read_bytes())
        path.write_bytes((tunes / "tunes.yaml").read_bytes())
        return path
    changes = {"data_config.corpus": name}
    if name == "python":
        _library(folder)
        changes = {"data_config.train_data": "train.txt", "data_config.val_data": "val.txt"}
        changes["sampling_config.prompt"] = '"def "'
    path.write_text(set_values(preset_text("pico"), changes), encoding="utf-8")
    return path


def _library(folder: Path) -> None:
    """The standard library's source in two texts: whole files to train on, and whole files held out."""
    files = resolve_corpus("python", folder).files
    with (
        (folder / "train.txt").open("w", encoding="utf-8") as train,
        (folder / "val.txt").open("w", encoding="utf-8") as val,
    ):
        for number, file in enumerate(files):
            text = Path(file.path).read_text(encoding="utf-8", errors="replace")
            (val if number % _HELD_OUT_EVERY == 0 else train).write(text)


def trickster(*arguments: str | Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "trickster_engine", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(run: Path, characters: int) -> dict[str, Any]:
    """What is kept of one model."""
    answer = json.loads(trickster("evaluate", run, "--characters", str(characters), "--json"))
    plan, identity = RunDirectory(run).begun()
    steps = history(RunDirectory(run).events_path).step
    training = plan.training
    tokens = steps * training.batch_size * training.gradient_accumulation_steps * plan.model.max_seq_len
    kept = ("characters", "confidence", "ngram_order", "model", "ngram", "rows")
    return {
        "parameters": identity.parameters,
        "device": f"{identity.device}, {identity.precision}",
        "steps": steps,
        "epochs": tokens / identity.data["train_tokens"],
        **{name: answer[name] for name in kept},
    }


def main() -> None:
    """Train what is not there, and measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tunes", type=Path)
    parser.add_argument("--characters", type=int, default=10_000)
    parser.add_argument("--only", choices=NAMES, action="append")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    for name in options.only or NAMES:
        run = options.folder / name / "runs" / f"{name}-001"
        if not run.is_dir():
            trickster("train", config_of(name, options.folder / name, options.tunes), "--run-dir", run)
        kept[name] = measured(run, options.characters)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(KEPT, {name: kept[name] for name in NAMES if name in kept})
        print(f"{name}: {kept[name]['model']['share']:.1%} beside {kept[name]['ngram']['share']:.1%}", flush=True)


if __name__ == "__main__":
    main()
