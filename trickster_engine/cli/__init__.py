"""The `trickster` command."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from trickster_engine import __version__
from trickster_engine.cli import (
    agents,
    bench,
    classroom,
    configs,
    data,
    evaluating,
    export,
    inside,
    launching,
    lesson,
    machine,
    making,
    models,
    report,
    runs,
    serving,
    training,
)
from trickster_engine.cli.arguments import with_dashed_values
from trickster_engine.cli.terminal import take_over_standard_streams
from trickster_engine.errors import TricksterError
from trickster_engine.system.os_errors import reason, remedy

EPILOG = """\
to start:
  trickster quickstart                 train the smallest preset on Shakespeare and see proof that it learned
  trickster presets nano > nano.yaml   create a config to read and change
  trickster check nano.yaml            validate it and see how to fix it
  trickster train nano.yaml            train it; Ctrl-C saves and stops
  trickster resume runs/nano-001       resume it
  trickster sample runs/nano-001       generate text

exit codes: 0 success · 1 error in the input · 2 error on the command line · 3 stopped and saved · 4 training failed
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    take_over_standard_streams()
    parser = argparse.ArgumentParser(
        prog="trickster",
        description="Train a small transformer from random weights and watch it learn language.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trickster {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        training,
        launching,
        lesson,
        configs,
        data,
        making,
        models,
        evaluating,
        export,
        inside,
        serving,
        report,
        runs,
        machine,
        bench,
        agents,
        classroom,
    ):
        module.add_commands(commands)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(with_dashed_values(given, parser))
    code = 0
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except TricksterError as error:
        code = error.exit_code
        _complain(f"error: {error.message} [{error.code}]", error.advice)
    except KeyboardInterrupt:
        code = 130
        _complain("interrupted")
    except BrokenPipeError:
        pass  # whoever read the output has gone (`trickster runs | head`)
    except OSError as error:
        code = code or 1
        advice = remedy(error, "check the folder's permissions and the free disk space")
        _complain(f"error: {error.filename or 'A file'}: {reason(error)} [system-refused]", f"{advice}.")
    _let_go_of_streams()
    return code


def _complain(message: str, advice: str = "") -> None:
    """Say what went wrong. A terminal that is gone changes nothing about the exit code."""
    with contextlib.suppress(OSError):
        print("\n       ".join([message, *advice.splitlines()]), file=sys.stderr)


def _let_go_of_streams() -> None:
    """Write out what is left. Python would complain at exit of a stream that nobody reads, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
