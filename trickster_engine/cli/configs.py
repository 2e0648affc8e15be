"""`check`, `estimate`, `presets` and `import-config`."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from trickster_engine.cli.arguments import (
    Subcommands,
    add_config,
    add_json,
    add_overrides,
    load_config,
    print_json,
    print_table,
    read_config_text,
    read_text,
    show_problems,
)
from trickster_engine.cli.terminal import write_exactly
from trickster_engine.config import check, preset_names, preset_plan, preset_text
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.cache import cache_directory, known_cache_directory, storage_error
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.calibration import keep_calibration, read_calibrations
from trickster_engine.estimates.estimate import estimate
from trickster_engine.estimates.fitting import fit
from trickster_engine.estimates.machines import THIS_MACHINE, find_machine, machine_keys
from trickster_engine.estimates.speeds import Expected, expected_time, keep_speeds, read_speeds, speed_of
from trickster_engine.system.files import write_text_atomically
from trickster_engine.system.units import duration_text


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    checking = commands.add_parser("check", help="validate a config and its text")
    add_config(checking)
    add_json(checking)
    checking.set_defaults(run=_check)

    estimating = commands.add_parser("estimate", help="estimate a config's parameters, memory and compute")
    add_config(estimating)
    estimating.add_argument(
        "--for",
        dest="machines",
        action="append",
        default=[],
        choices=[*machine_keys(), "all"],
        metavar="MACHINE",
        help=f"whether the config fits, and the best speed possible: {', '.join([*machine_keys(), 'all'])}",
    )
    estimating.add_argument(
        "--measure", action="store_true", help="run a few updates first, to estimate the time on this machine"
    )
    estimating.add_argument(
        "--calibrate",
        action=argparse.BooleanOptionalAction,
        help="time a few small models for some seconds, to estimate the time of any config; runs automatically once",
    )
    add_json(estimating)
    estimating.set_defaults(run=_estimate)

    presets = commands.add_parser("presets", help="list the presets, or print one")
    presets.add_argument("name", nargs="?", metavar="NAME")
    add_overrides(presets)
    add_json(presets)
    presets.set_defaults(run=_presets)

    importing = commands.add_parser("import-config", help="convert a tt-train config to a Trickster config")
    importing.add_argument("file", type=Path, metavar="FILE", help="tt-train's training config")
    importing.add_argument("--model", type=Path, metavar="FILE", help="its model config, if FILE names none")
    importing.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="write to this file instead of the terminal"
    )
    importing.set_defaults(run=_import_config)


def _check(options: argparse.Namespace) -> int:
    from trickster_engine.cli.text import TextCheck, check_text

    path, text = read_config_text(options)
    result = check(text, path.parent.resolve())
    read = TextCheck()
    if result.plan is not None:
        read = check_text(result.plan, text, path, progress=not options.json)
    problems = [*result.problems, *read.problems]
    if options.json:
        facts = read.facts.as_json() if read.facts is not None else None
        print_json({"problems": [problem.as_lsp_json(text) for problem in problems], "text": facts})
    else:
        show_problems(problems, path)
        if not problems:
            print(f"{path}: no problems found")
        if read.facts is not None:
            print_table(read.facts.rows())
        if read.note:
            print(read.note)
    return 1 if any(problem.severity == "error" for problem in problems) else 0


def _estimate(options: argparse.Namespace) -> int:
    loaded = load_config(options)
    keys = machine_keys() if "all" in options.machines else dict.fromkeys(options.machines)
    fits = [fit(loaded.plan, find_machine(key)) for key in keys]
    figures = estimate(loaded.plan, _text_tokens(loaded.plan, loaded.path.parent))
    if options.measure:
        _measure(loaded.plan)
    shows_time = not options.json and (not fits or THIS_MACHINE in keys)
    if options.calibrate:
        _calibrate(loaded.plan)
    elif options.calibrate is None and shows_time and _wants_calibration(loaded.plan):
        try:
            _calibrate(loaded.plan)
        except TricksterError as error:  # nobody asked for it, and the rest of the estimate stands
            print(error, file=sys.stderr)
    expected = _expected(loaded.plan)
    if options.json:
        machines = {"machines": [one.as_json() for one in fits]} if fits else {}
        print_json({**figures.as_json(), "time": vars(expected) if expected else None, **machines})
    elif fits:
        print("\n\n".join(one.as_text() for one in fits))
        print("\nMemory is estimated for torch, with a tenth left for the driver.")
        print("\n".join(figures.optimal_lines()))
        if THIS_MACHINE in keys:
            print(_time_here(expected))
    else:
        print(figures.as_text())
        print(_time_here(expected))
    return 0


def _time_here(expected: Expected | None) -> str:
    if expected is None:
        return (
            "No run of this size was measured on this machine yet: --calibrate takes some seconds and allows an "
            "estimate."
        )
    return (
        f"About {duration_text(expected.seconds)} of training on this machine, without evaluations "
        f"({expected.as_words()})"
    )


def _expected(plan: Plan) -> Expected | None:
    cache = known_cache_directory()
    if cache is None:
        return None
    return expected_time(plan, read_speeds(cache), read_calibrations(cache))


def _measure(plan: Plan) -> None:
    """Time some updates of a plan, and keep the speed for whoever asks next."""
    from trickster_engine.backends.select import torch_device
    from trickster_engine.bench.updates import steady_rate

    device = torch_device(plan)
    speed = speed_of(plan, device, steady_rate(plan, device), "a measurement of this shape")
    try:
        keep_speeds(cache_directory(), [speed])
    except OSError as error:
        raise storage_error(error, cache_directory()) from error


def _wants_calibration(plan: Plan) -> bool:
    """Whether this machine is still to be calibrated, and can be, before it is said how long a plan takes here."""
    expected = _expected(plan)
    if expected is not None and expected.source == "measured":
        return False
    cache = known_cache_directory()
    if cache is None or any(plan.device.device_type in ("auto", known.device) for known in read_calibrations(cache)):
        return False
    if find_spec("torch") is None:
        return False
    from trickster_engine.backends.select import torch_device

    try:
        torch_device(plan)
    except TricksterError:  # a board, or a GPU that is elsewhere: nothing to time here
        return False
    return True


def _calibrate(plan: Plan) -> None:
    """Time the device that a plan trains on, and keep what was learned for any plan."""
    from trickster_engine.backends.select import torch_device
    from trickster_engine.bench.calibrate import calibrate

    device = torch_device(plan)
    print("Timing a few small models on this machine once; this takes some seconds.", file=sys.stderr)
    try:
        keep_calibration(cache_directory(), calibrate(device))
    except OSError as error:
        raise storage_error(error, cache_directory()) from error


def _text_tokens(plan: Plan, folder: Path) -> int | None:
    """Return the length of the text in tokens, as far as the size of its files tells it."""
    if plan.data.train_data is not None or plan.data.tokenizer != "byte" or plan.data.corpus == "shakespeare":
        return None
    from trickster_engine.config.own_output import own_output
    from trickster_engine.data.corpus import describe_text

    return describe_text(plan.data, folder, own_output(plan.output, folder)).bytes or None


def _presets(options: argparse.Namespace) -> int:
    if options.name is not None:
        options.preset, options.config = options.name, None
        write_exactly(read_config_text(options)[1])
        return 0
    presets = {name: preset_plan(name) for name in preset_names()}
    if options.json:
        print_json(
            {
                "presets": [
                    {"name": name, "parameters": count_parameters(plan.model).total, "text": preset_text(name)}
                    for name, plan in presets.items()
                ]
            }
        )
        return 0
    for name, plan in presets.items():
        model = plan.model
        shape = f"{model.num_layers} blocks, hidden_dim {model.hidden_dim}, context {model.max_seq_len} tokens"
        print(f"{name:<10}{count_parameters(model).total:>15,} parameters   {shape}")
    return 0


def _import_config(options: argparse.Namespace) -> int:
    from trickster_engine.interop.tt_train_config import convert

    model_text = read_text(options.model) if options.model else None
    result = convert(read_text(options.file), model_text, options.file)
    if options.output is None:
        write_exactly(result.text)
    elif options.output.exists():
        raise TricksterError("file-exists", f"{options.output} exists already.", "Name another file with -o.")
    else:
        write_text_atomically(options.output, result.text)
        print(f"Wrote {options.output}. Validate it with: trickster check {options.output}", file=sys.stderr)
    print(result.as_text(), file=sys.stderr)
    return 0
