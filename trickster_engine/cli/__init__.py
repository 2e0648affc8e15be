"""The `trickster` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from trickster_engine import __version__
from trickster_engine.cli import bench, configs, data, launching, machine, models, report, runs, training
from trickster_engine.cli.terminal import take_over_standard_streams
from trickster_engine.errors import TricksterError

EPILOG = """\
a first evening:
  trickster quickstart                 train the smallest preset on Shakespeare and see proof that it learned
  trickster presets nano > nano.yaml   a config of your own, to read and change
  trickster check nano.yaml            what is wrong with it, and how to mend it
  trickster train nano.yaml            train it; Ctrl-C saves and stops
  trickster resume runs/nano-001       go on
  trickster sample runs/nano-001       let it write

exit codes: 0 done · 1 something to mend in the input · 2 the command line · 3 stopped and saved · 4 training failed
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
    for module in (training, launching, configs, data, models, report, runs, machine, bench):
        module.add_commands(commands)
    options = parser.parse_args(arguments)
    code = 0
    try:
        code = options.run(options)
        sys.stdout.flush()
    except TricksterError as error:
        print(f"error: {error.message} [{error.code}]", file=sys.stderr)
        if error.advice:
            print(f"       {error.advice}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone (`trickster runs | head`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {error.filename or 'A file'}: {error.strerror or error} [system-refused]", file=sys.stderr)
        print("       Look at the folder's permissions and at the space on the disk.", file=sys.stderr)
        return 1
    return int(code)
