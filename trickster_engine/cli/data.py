"""`prepare`."""

from __future__ import annotations

import argparse

from trickster_engine.cli.arguments import Subcommands, add_config, add_json, load_config, print_json
from trickster_engine.report.names import has_long_tokens, predictors


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    preparing = commands.add_parser("prepare", help="fetch the text and turn it into tokens, once")
    add_config(preparing)
    add_json(preparing)
    preparing.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    from trickster_engine.baselines import ngram_baselines
    from trickster_engine.data.prepare import prepare

    loaded = load_config(options)
    dataset = prepare(loaded.plan, loaded.path.parent.resolve(), progress=not options.json)
    baselines = ngram_baselines(dataset, loaded.plan.model.vocab_size)
    if options.json:
        print_json(
            {
                "name": dataset.name,
                "description": dataset.description,
                "fingerprint": dataset.fingerprint,
                "begins": dataset.train_text(200),
                "train_tokens": len(dataset.train),
                "val_tokens": len(dataset.val),
                "train_characters": dataset.train_characters,
                "val_characters": dataset.val_characters,
                "vocabulary": dataset.tokenizer.vocab_size,
                "baselines": {baseline.name: baseline.nats for baseline in baselines},
                "directory": str(dataset.directory),
            }
        )
        return 0
    print(dataset.description)
    print(f"{len(dataset.train):,} tokens to train on, {len(dataset.val):,} held out, in {dataset.directory}")
    names = predictors(long_tokens=has_long_tokens(dataset.characters_per_token))
    print("What counting alone predicts of the held-out text, in nats a token:")
    for baseline in baselines:
        print(f"  {names[baseline.name]:<14} {baseline.nats:.4f}")
    print("It begins:")
    print("  " + dataset.train_text(200).replace("\n", "\n  "))
    return 0
