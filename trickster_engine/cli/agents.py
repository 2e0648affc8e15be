"""`mcp`."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command

REQUIREMENT = "mcp>=2.3,<3"
DESCRIPTION = """\
Let an agent (Claude, Copilot, Cursor and others) check, train, follow and compare with this command, over the Model
Context Protocol on standard input and output. A client's configuration starts it; there is nothing to type here.
The agent may act in the folders named with --folder, and in no other.
"""


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    mcp = commands.add_parser("mcp", help="let an agent train and follow runs, over MCP", description=DESCRIPTION)
    mcp.add_argument(
        "--folder",
        dest="folders",
        action="append",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder that the agent may use, with all below it (may be repeated)",
    )
    mcp.add_argument(
        "--webhook",
        dest="webhooks",
        action="append",
        default=[],
        metavar="URL",
        help="an address that configs an agent starts may have alerts sent to (may be repeated)",
    )
    mcp.set_defaults(run=_mcp)


def _mcp(options: argparse.Namespace) -> int:
    if find_spec("mcp") is None:
        raise TricksterError(
            "mcp-missing",
            "The package mcp is not installed.",
            f'Install it: {in_command(sys.executable)} -m pip install "{REQUIREMENT}"',
        )
    from trickster_engine.agents.server import serve

    serve(options.folders, options.webhooks)
    return 0
