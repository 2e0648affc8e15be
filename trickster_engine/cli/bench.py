"""`bench`: what a config reaches on this machine, and how that compares."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickster_engine.cli.arguments import LoadedConfig, Subcommands, add_config, add_json, load_config, print_json
from trickster_engine.errors import TricksterError

if TYPE_CHECKING:
    from trickster_engine.bench.measure import Figures
    from trickster_engine.bench.race import Reading


def add_commands(commands: Subcommands) -> None:
    """Register the command of this file."""
    bench = commands.add_parser("bench", help="benchmark training and generation on this machine")
    add_config(bench)
    bench.add_argument("--updates", type=int, default=10, metavar="N", help="updates per repeat (default: 10)")
    bench.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="repeats, of which the median counts (default: 5); with --until, runs with one seed after another "
        "(default: 1)",
    )
    bench.add_argument(
        "--against", type=Path, metavar="FOLDER", help="a checkout of nanoGPT to compare with, at the same shape"
    )
    bench.add_argument(
        "--until",
        type=float,
        metavar="LOSS",
        help="instead, train to this validation loss (nats/character) and print the time; with --against, also train "
        "nanoGPT with its recipe for this kind of device",
    )
    add_json(bench)
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    loaded = load_config(options)
    if options.updates < 1 or (options.repeats is not None and options.repeats < 1):
        raise TricksterError(
            "bad-argument", "--updates and --repeats must be at least 1.", "Omit them for their defaults."
        )
    from trickster_engine.backends.select import torch_device

    device = torch_device(loaded.plan)
    if options.until is not None:
        return _race(options, loaded, device)
    from trickster_engine.bench.measure import measure

    figures = measure(loaded.plan, device, options.updates, options.repeats or 5, options.against)
    if options.json:
        print_json(figures.as_json())
    else:
        print("\n".join(_lines(figures)))
    return 0


def _race(options: argparse.Namespace, loaded: LoadedConfig, device: str) -> int:
    from trickster_engine.bench.nanogpt import recipe_for
    from trickster_engine.bench.race import lead, run_nanogpt, run_ours
    from trickster_engine.data.baselines import ngram_baselines
    from trickster_engine.data.prepare import prepare
    from trickster_engine.evaluation.report.names import best_ngram

    if loaded.plan.training.distill_from is not None:
        raise TricksterError(
            "race-with-teacher",
            "The seconds of a race do not include those that its teacher was trained for.",
            "Leave training_config.distill_from out of the config, or measure without --until.",
        )
    dataset = prepare(loaded.plan, loaded.path.parent.resolve(), config=loaded.path.resolve())

    def report(who: str) -> Any:
        def show(reading: Reading) -> None:
            print(
                f"{who}: step {reading.step:,}, {reading.seconds:.1f} s, {reading.characters:,} characters, "
                f"validation loss {reading.val_loss:.4f} nats/character",
                file=sys.stderr,
            )

        return show

    runs = [
        run_ours(
            replace(loaded.plan, training=replace(loaded.plan.training, seed=seed)),
            dataset,
            device,
            options.until,
            report("this config" if seed == loaded.plan.training.seed else f"seed {seed}"),
        )
        for seed in range(loaded.plan.training.seed, loaded.plan.training.seed + (options.repeats or 1))
    ]
    ours = runs[0]
    # Counted when the clocks have stopped.
    counted = {one.name: one.nats / dataset.characters_per_token for one in ngram_baselines(dataset)}
    results = {"config": loaded.path.stem, "until": options.until, "ours": ours.as_json(), "counting": counted}
    if len(runs) > 1:
        results["other_seeds"] = [run.as_json() for run in runs[1:]]
    if options.against:
        theirs = run_nanogpt(options.against, dataset, device, options.until, report("nanoGPT"))
        results["nanogpt"] = theirs.as_json()
        results |= lead(ours, theirs)
    if options.json:
        print_json(results)
    elif ours.reached:
        loss, seconds = ours.reached.val_loss, ours.reached.seconds
        print(f"Validation loss {loss:.4f} nats/character after {seconds:.1f} s of training.")
        for seed, run in enumerate(runs[1:], loaded.plan.training.seed + 1):
            when = f"after {run.reached.seconds:.1f} s" if run.reached else "not reached"
            print(f"With seed {seed}: {when}.")
        if "times_as_fast" in results:
            more_than = "More than " if results["at_least"] else ""
            recipe = recipe_for(device).device
            print(f"{more_than}{results['times_as_fast']:.1f} times as fast as nanoGPT's recipe for a {recipe}.")
    else:
        print(f"Not reached: the best validation loss was {ours.as_json()['best_val_loss']:.4f} nats/character.")
    if not options.json and (bar := best_ngram(counted)):
        name, nats = bar
        passed = next((reading for reading in ours.readings if reading.val_loss < nats), None)
        when = f"passed after {passed.seconds:.1f} s" if passed else "not passed"
        print(f"The best n-gram, {name}: {nats:.4f} nats/character, {when}.")
    return 0


def _lines(figures: Figures) -> list[str]:
    config, machine, rate = figures.config, figures.machine, figures.tokens_per_s
    peaks = machine["peak_flops"]
    lines = [
        f"{machine['device']}, {machine['threads']} threads; matrix products reach {peaks['fp32'] / 1e9:,.0f} GFLOP/s "
        f"in fp32 and {peaks['bf16'] / 1e9:,.0f} in bf16",
        f"{config['parameters']:,} parameters, {config['tokens_per_step']:,} tokens per step, {config['precision']}"
        + (", compiled" if config["compiled"] else ""),
        f"Training   {rate.median:,.0f} tokens/s ({rate.lowest:,.0f} to {rate.highest:,.0f}); "
        f"{figures.utilisation:.0%} of the {config['precision']} peak",
        "A step     " + ", ".join(f"{name} {1e3 * s.median:,.1f} ms" for name, s in figures.phases_s.items()),
        f"Generation {figures.sampled_tokens_per_s.median:,.0f} tokens/s",
    ]
    if figures.peak_memory:
        lines.append(f"Memory     {figures.peak_memory / 1e6:,.0f} MB peak")
    if figures.against:
        training, sampling = figures.against["times_as_fast"], figures.against["times_as_fast_sampling"]
        lines.append(
            f"nanoGPT    at the same shape ({figures.against['parameters']:,} parameters): ours trains "
            f"{training['median']:.2f} times as fast ({training['lowest']:.2f} to {training['highest']:.2f}) and "
            f"generates {sampling['median']:.1f} times as fast ({sampling['lowest']:.1f} to {sampling['highest']:.1f})"
        )
    return lines
