"""`export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from trickster_engine.cli.arguments import RUN_HELP, Subcommands, add_json, print_json, run_path

_SUFFIXES = {"folder": "", "gguf": ".gguf", "onnx": "-onnx"}


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    exporting = commands.add_parser("export", help="write a model in bf16, as GGUF for llama.cpp, or as ONNX")
    exporting.add_argument("path", type=run_path, metavar="RUN", help=f"{RUN_HELP}, or a checkpoint folder")
    exporting.add_argument(
        "--to", required=True, choices=list(_SUFFIXES), help="a Hugging Face folder, a GGUF file, or an ONNX folder"
    )
    exporting.add_argument("--dtype", default="fp32", choices=["fp32", "bf16", "fp16"], help="default: fp32")
    exporting.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    exporting.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help="a place where nothing is yet (default: RUN's name)",
    )
    add_json(exporting)
    exporting.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from trickster_engine.inference.load import checkpoint_folder
    from trickster_engine.inference.settings import sampling_settings
    from trickster_engine.interop.export import export

    folder = checkpoint_folder(options.path, options.checkpoint)
    sampling = sampling_settings(options.path, {})
    precision = "" if options.dtype == "fp32" and options.to != "folder" else f"-{options.dtype}"
    target = options.output or Path(f"{options.path.resolve().name}{precision}{_SUFFIXES[options.to]}")
    exported = export(folder, options.to, target, options.dtype, sampling.prompt)
    if options.json:
        print_json(
            {
                "path": str(exported.path),
                "from": str(folder),
                "compared": exported.compared,
                "as_before": exported.as_before,
                "text": exported.text,
            }
        )
        return 0
    print(f"Wrote {exported.path} from {folder}.")
    print(f"Opened again, it writes the same {exported.compared} tokens as the model with these weights (greedy).")
    if exported.as_before < exported.compared:
        print(
            f"In fp32 the model writes the first {exported.as_before} of them, and then others: that is the rounding."
        )
    return 0
