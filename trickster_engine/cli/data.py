"""`prepare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands, add_config, add_json, load_config, print_json, print_table
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.data.facts import uniform_text
from trickster_engine.data.findings import findings
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.printable import line_ends


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    preparing = commands.add_parser("prepare", help="download and tokenize the text")
    add_config(preparing)
    add_json(preparing)
    preparing.set_defaults(run=_prepare)

    importing = commands.add_parser("import-data", help="convert nanoGPT's train.bin, val.bin and meta.pkl to text")
    importing.add_argument("source", type=Path, metavar="FOLDER", help="nanoGPT's data; nothing in it is executed")
    importing.add_argument("target", type=Path, metavar="OUT", help="a folder that does not exist yet")
    importing.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="the folder of its tokenizer.json, if there is no meta.pkl"
    )
    importing.set_defaults(run=_import_data)


def _prepare(options: argparse.Namespace) -> int:
    from trickster_engine.data.baselines import ngram_baselines
    from trickster_engine.data.prepare import prepare
    from trickster_engine.data.survey import text_facts

    loaded = load_config(options)
    plan, path = loaded.plan, loaded.path.resolve()
    dataset = prepare(plan, path.parent, config=path, progress=not options.json)
    facts = text_facts(plan, dataset, progress=not options.json)
    found = list(findings(plan, facts))
    if not options.json:
        print_table([*facts.rows(), ("Prepared in", str(dataset.directory))])
        for finding in found:
            if finding.severity in ("warning", "information"):
                print(f"{finding.severity}: {finding.message} {finding.advice} [{finding.code}]", file=sys.stderr)
    for finding in found:
        if finding.severity == "error":
            raise finding.as_error()
    baselines = ngram_baselines(dataset, plan.model.vocab_size)
    if options.json:
        print_json(
            {
                **dataset.as_json(),
                "description": dataset.description,
                "begins": dataset.train_text(200),
                "vocabulary": dataset.tokenizer.vocab_size,
                "baselines": {baseline.name: baseline.nats for baseline in baselines},
                "directory": str(dataset.directory),
                "text": facts.as_json(),
                "findings": [finding.as_json() for finding in found],
            }
        )
        return 0
    uniform = uniform_text(facts)
    print("Validation loss of the baselines, in nats/token, and in bits/byte:")
    for baseline in baselines:
        note = f"  {uniform}" if uniform and baseline.name == "uniform" else ""
        print(f"  {title(baseline.name):<14} {baseline.nats:.4f}  {baseline.bits_per_byte:.4f}{note}")
    print("It begins:")
    print("  " + line_ends(dataset.train_text(200)).replace("\n", "\n  "))
    return 0


def _import_data(options: argparse.Namespace) -> int:
    from trickster_engine.interop.nanogpt_data import PARTS, import_data

    counts = import_data(options.source, options.target, options.tokenizer)
    told = " and ".join(f"{options.target / part}.txt ({counts[part]:,} tokens)" for part in PARTS)
    print(f"Wrote {told}. In a config:\n\ndata_config:")
    for part in PARTS:
        print(f"  {part}_data: {as_yaml((options.target / part).as_posix() + '.txt')}")
    return 0
