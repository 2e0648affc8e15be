"""`evaluate`: what a trained model is good for: its loss, and the keys it saves, or what measures make of its text."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.cli.arguments import RUN_HELP, Subcommands, add_json, print_json, run_path
from trickster_engine.cli.measuring import add_measures, print_losses, print_measured
from trickster_engine.data.read_text import read_text_chunks
from trickster_engine.errors import TricksterError

if TYPE_CHECKING:
    from trickster_engine.evaluation.typing_figures import TypingFigures

#: Characters that are typed again. More change the shares little, and take minutes.
TYPED_CHARACTERS = 10_000
#: Items that each writer writes to be measured.
ITEMS = 1000


def _count(words: str) -> int:
    if (count := int(words)) < 1:
        raise argparse.ArgumentTypeError(f"{words} is not at least 1")
    return count


def _share(words: str) -> float:
    if not 0 <= (share := float(words)) <= 1:
        raise argparse.ArgumentTypeError(f"{words} is not between 0 and 1")
    return share


def add_commands(commands: Subcommands) -> None:
    """Register the command."""
    evaluating = commands.add_parser(
        "evaluate",
        help="measure a run: its loss in every unit, and the keys its completions would save, or what it writes",
    )
    evaluating.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    evaluating.add_argument(
        "--typing", type=Path, metavar="FILE", help="the text to type again (default: the run's validation text)"
    )
    evaluating.add_argument(
        "--characters",
        type=_count,
        default=TYPED_CHARACTERS,
        metavar="N",
        help=f"how much of it (default: {TYPED_CHARACTERS:,})",
    )
    evaluating.add_argument(
        "--confidence", type=_share, metavar="P", help="offer what is right with at least this probability (0 to 1)"
    )
    add_measures(evaluating)
    evaluating.add_argument(
        "--items",
        type=_count,
        default=ITEMS,
        metavar="N",
        help=f"with --measure: how many to write (default: {ITEMS:,})",
    )
    evaluating.add_argument(
        "-t", "--temperature", type=float, default=1.0, metavar="T", help="with --measure: the model's (default: 1)"
    )
    evaluating.add_argument("--seed", type=int, help="with --measure: of what is written (default: the config's)")
    evaluating.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    add_json(evaluating)
    evaluating.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.compare import losses
    from trickster_engine.evaluation.item_measures import find_measure, measure_items, own_probabilities
    from trickster_engine.evaluation.typing_figures import BEFORE, COUNTED_BYTES, measure_typing
    from trickster_engine.inference.completion import Rules
    from trickster_engine.inference.load import load_model
    from trickster_engine.inference.settings import sampling_settings
    from trickster_engine.runs import RunDirectory
    from trickster_engine.runs.checkpoint_files import plan_as_trained
    from trickster_engine.runs.trained_text import trained_text
    from trickster_engine.system.progress_bar import tqdm

    most = options.characters + BEFORE
    typed = _beginning(options.typing, most) if options.typing is not None else None  # now rather than after minutes
    rules = Rules() if options.confidence is None else Rules(confidence=options.confidence)
    measures = {name: find_measure(name) for name in options.measures}  # now rather than after minutes
    sampling = sampling_settings(options.path, {"temperature": options.temperature, "seed": options.seed})
    run = RunDirectory(options.path)
    plan, identity = run.begun()
    model, tokenizer, folder = load_model(options.path, options.checkpoint)
    plan, _ = plan_as_trained(folder, plan)
    dataset = trained_text(run, plan, identity, progress=not options.json)
    rows = losses(model, dataset)
    if measures:
        chosen = replace(own_probabilities(sampling), temperature=sampling.temperature)
        measured = measure_items(measures, model, dataset, chosen, options.items, _say)
        if options.json:
            print_json({"checkpoint": str(folder), "rows": rows, "measured": asdict(measured)})
        else:
            print_losses(rows)
            print_measured(measured)
        return 0
    text = dataset.val_text(most) if typed is None else typed
    if len(text) < 2:
        raise TricksterError("text-too-short", "There is no text to type.", "Name a longer one with --typing FILE.")
    with tqdm(total=100, desc="typing", unit="%", disable=options.json, leave=False) as bar:

        def report(typed: int) -> None:
            bar.update(100 * typed // (2 * len(text)) - bar.n)

        training_text = dataset.train_text(COUNTED_BYTES)
        figures = measure_typing(model, tokenizer, training_text, text, options.characters, rules, report)
    if options.json:
        print_json({"checkpoint": str(folder), "rows": rows, **figures.as_json()})
    else:
        print_losses(rows)
        _print(figures)
    return 0


def _say(words: str) -> None:
    print(f"{words} ...", file=sys.stderr, flush=True)


def _beginning(path: Path, characters: int) -> str:
    text = ""
    for chunk in read_text_chunks(path):
        text += chunk
        if len(text) >= characters:
            break
    return text[:characters]


def _print(figures: TypingFigures) -> None:
    print(f"\n{f'{figures.characters:,} characters typed':<34}{'keys':>10}{'saved':>9}{'offers':>10}{'taken':>9}")
    rows = (("with this model", figures.model), (f"with a {figures.ngram_order}-gram over bytes", figures.ngram))
    for name, row in rows:
        print(f"  {name:<32}{row.keys:>10,}{row.share:>9.1%}{row.offers:>10,}{row.precision:>9.1%}")
    print(f"  {'without completion':<32}{figures.characters:>10,}{0:>9.1%}")
    print("\nAn offer is taken with one key, whole or by its first word, where it is what comes next.")
