"""`inspect`, `sample`, `compare` and `import-checkpoint`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from trickster_engine.cli.arguments import (
    RUN_HELP,
    Subcommands,
    add_config,
    add_json,
    load_config,
    print_json,
    run_path,
)
from trickster_engine.cli.terminal import write_exactly
from trickster_engine.config.plan import Plan, SamplingConfig
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.files import in_command, write_text_atomically
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.printable import line_ends

WIDTH = 72


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    inspecting = commands.add_parser("inspect", help="inspect a config's model before training: shapes, loss, a sample")
    add_config(inspecting)
    inspecting.add_argument(
        "--picture", type=Path, metavar="FILE", help="also draw the architecture with its numbers, as an SVG"
    )
    inspecting.add_argument(
        "--page",
        type=Path,
        nargs="?",
        const=Path("model.html"),
        metavar="FILE",
        help="also write a page for the browser (default: model.html)",
    )
    add_json(inspecting)
    inspecting.set_defaults(run=_inspect)

    sampling = commands.add_parser("sample", help="generate text with a trained model")
    sampling.add_argument("path", type=run_path, metavar="RUN", help=f"{RUN_HELP}, or a checkpoint folder")
    _add_sampling_options(sampling)
    add_json(sampling)
    sampling.set_defaults(run=_sample)

    comparing = commands.add_parser("compare", help="compare a trained model with an untrained one and with n-grams")
    comparing.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    _add_sampling_options(comparing)
    add_json(comparing)
    comparing.set_defaults(run=_compare)

    importing = commands.add_parser("import-checkpoint", help="convert a ttml checkpoint to a model directory")
    importing.add_argument("file", type=Path, metavar="FILE", help="a .pkl file of ttml's; nothing in it is executed")
    importing.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that does not exist yet")
    importing.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="the folder of its tokenizer.json (default: bytes)"
    )
    importing.add_argument("--num-heads", type=int, metavar="N", help="if the file does not say")
    importing.add_argument("--rope-theta", type=float, metavar="THETA", help="if the file does not say")
    importing.add_argument("--max-seq-len", type=int, metavar="N", help="if the file does not say")
    importing.set_defaults(run=_import_checkpoint)


def _add_sampling_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-p",
        "--prompt",
        dest="prompts",
        action="append",
        metavar="TEXT",
        help="the text to continue (default: the config's prompt; may be repeated)",
    )
    parser.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    parser.add_argument("--max-new-tokens", type=int, metavar="N")
    parser.add_argument("-t", "--temperature", type=float, metavar="T", help="0 = greedy; higher = more entropy")
    parser.add_argument("--top-k", type=int, metavar="K")
    parser.add_argument("--top-p", type=float, metavar="P")
    parser.add_argument("--repetition-penalty", type=float, metavar="R")
    parser.add_argument("--seed", type=int)


def _inspect(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.inspect_model import inspect_model
    from trickster_engine.evaluation.report.architecture import architecture_picture
    from trickster_engine.evaluation.report.model_page import model_page

    loaded = load_config(options)
    inspection = inspect_model(loaded.plan, loaded.path.parent.resolve())
    found = inspection.as_json()
    if options.picture is not None:
        _write(options.picture, architecture_picture(loaded.plan.model))
    if options.page is not None:
        _write(options.page, model_page(loaded.path.name, loaded.plan.model, found))
    if options.json:
        print_json(found)
    else:
        print(inspection.as_text())
    return 0


def _write(target: Path, text: str) -> None:
    try:
        write_text_atomically(target, text)
    except OSError as error:
        raise cannot_write(error, target, "choose another place") from error


def _sample(options: argparse.Namespace) -> int:
    from trickster_engine.inference.load import load_model
    from trickster_engine.inference.sampling import SamplingOptions, encode_prompt, sample_batch, stream
    from trickster_engine.inference.settings import sampling_settings
    from trickster_engine.runs import RunDirectory

    sampling = sampling_settings(options.path, vars(options))
    model, tokenizer, folder = load_model(options.path, options.checkpoint)
    plan = RunDirectory(options.path).plan_if_readable()
    if plan is not None:
        _as_trained(folder, plan)
    prompts = options.prompts or [sampling.prompt]
    for prompt in prompts:
        encode_prompt(tokenizer, prompt)
    chosen = SamplingOptions.from_config(sampling)
    if options.json:
        texts = sample_batch(model, tokenizer, prompts, chosen)
        samples = [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)]
        print_json({"checkpoint": str(folder), "samples": samples})
        return 0
    for number, prompt in enumerate(prompts):
        if number:
            print("\n" + "-" * WIDTH)
        write_exactly(prompt)
        for piece in stream(model, tokenizer, prompt, chosen):
            write_exactly(piece)
            sys.stdout.flush()
        print()
    return 0


def _compare(options: argparse.Namespace) -> int:
    from trickster_engine.inference.settings import sampling_settings

    sampling = sampling_settings(options.path, vars(options))
    prompts = options.prompts or [sampling.prompt]
    print_comparison(options.path, prompts, sampling, options.checkpoint, as_json=options.json)
    return 0


def _as_trained(folder: Path, plan: Plan) -> Plan:
    """A run's plan with what its checkpoint knows better; where config.yaml says otherwise by now, that is said."""
    from trickster_engine.runs.checkpoint_files import plan_as_trained

    trained, note = plan_as_trained(folder, plan)
    if note:
        print(f"note: {note}", file=sys.stderr)
    return trained


def _import_checkpoint(options: argparse.Namespace) -> int:
    from trickster_engine.data.make_tokenizer import byte_tokenizer, load_tokenizer, require_vocabulary
    from trickster_engine.interop.ttml_pickle import read
    from trickster_engine.model.checksums import seal_model
    from trickster_engine.model.huggingface import write_model

    saved = read(options.file)
    config = saved.model_config(options.num_heads, options.rope_theta, options.max_seq_len)
    weights = saved.canonical_weights(config)
    tokenizer = load_tokenizer(options.tokenizer) if options.tokenizer else byte_tokenizer()
    require_vocabulary(tokenizer, config.vocab_size)
    try:
        options.folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(error, options.folder, "name a folder to create", "output-not-writable") from error
    try:
        write_model(options.folder, config, weights)
        tokenizer.save(options.folder)
        seal_model(options.folder)
    except BaseException:
        shutil.rmtree(options.folder, ignore_errors=True)  # made above, and in the way of another try
        raise
    print(f"Wrote {options.folder}. Generate text with: trickster sample {in_command(options.folder)}")
    return 0


def print_comparison(
    path: Path,
    prompts: list[str],
    sampling: SamplingConfig | None = None,
    checkpoint: str = "best",
    *,
    as_json: bool = False,
) -> None:
    """Print the proof of learning of a run. Raises TricksterError."""
    from trickster_engine.evaluation.compare import compare
    from trickster_engine.inference.load import before_training, load_model
    from trickster_engine.inference.sampling import SamplingOptions
    from trickster_engine.runs import RunDirectory
    from trickster_engine.runs.trained_text import trained_text

    run = RunDirectory(path)
    plan, identity = run.begun()
    model, tokenizer, folder = load_model(path, checkpoint)
    plan = _as_trained(folder, plan)
    dataset = trained_text(run, plan, identity, progress=not as_json)
    options = SamplingOptions.from_config(sampling or plan.sampling)
    before = before_training(run, plan, model.config)
    result = compare(model, tokenizer, dataset, prompts, options, before)
    if as_json:
        print_json({"checkpoint": str(folder), **result.as_json()})
        return
    rule = "-" * WIDTH
    untrained = title(before.name).upper()
    for pair in result.samples:
        print(f"\n{f'{untrained} ':-<{WIDTH}}\n{line_ends(pair.prompt + pair.random)}")
        print(f"\n{'TRAINED MODEL ':-<{WIDTH}}\n{line_ends(pair.prompt + pair.trained)}\n{rule}")
    print(f"\n{'Validation loss':<28}{'nats/token':>14}{'bits/byte':>20}")
    for row in result.rows:
        print(f"  {title(row.name):<26}{row.nats:>14.4f}{row.bits_per_byte:>20.4f}")
    print(f"\nIn {result.characters:,} characters generated after the prompt, at temperature {result.temperature:g}")
    print(f"{'':<28}{'real words':>14}{'longest copy':>20}")
    for name, figures in result.texts.items():
        print(f"  {title(name):<26}{figures.real_word_share:>14.1%}{figures.longest_copied_run:>20}")
    print(f"  The model's longest copy is {result.texts['this model'].copied!r}.")
