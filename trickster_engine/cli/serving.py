"""`serve`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import secrets
import sys
from pathlib import Path

from trickster_engine.cli.arguments import RUN_HELP, Subcommands, run_path
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command
from trickster_engine.system.loopback import is_loopback

_TOKEN_VARIABLE = "TRICKSTER_SERVE_TOKEN"
_PACKAGES = ("prometheus_client", "starlette", "uvicorn")


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    serving = commands.add_parser("serve", help="answer completion requests over HTTP, as OpenAI's API does")
    serving.add_argument(
        "path", type=run_path, metavar="RUN", help=f"{RUN_HELP}, a checkpoint folder, or a folder with a Llama"
    )
    serving.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    serving.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine only)")
    serving.add_argument("--port", type=int, default=8080, metavar="N", help="default: 8080; 0 takes a free one")
    serving.add_argument(
        "--token",
        help=f"what clients send as their API key (default: ${_TOKEN_VARIABLE}, which no list of processes shows, or a "
        "random one, printed)",
    )
    serving.add_argument("--name", help="what clients call the model (default: the folder's name)")
    serving.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: auto")
    serving.add_argument(
        "--batch", type=_above_zero, default=32, metavar="N", help="texts generated side by side (default: 32)"
    )
    serving.add_argument(
        "--max-tokens", type=_above_zero, default=4096, metavar="N", help="the longest answer (default: 4096)"
    )
    serving.add_argument(
        "--max-requests", type=_above_zero, default=256, metavar="N", help="open at once; more get 429 (default: 256)"
    )
    serving.set_defaults(run=_serve)


def _above_zero(words: str) -> int:
    number = int(words)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{words} is less than 1")
    return number


def _serve(options: argparse.Namespace) -> int:
    missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise TricksterError(
            "package-missing",
            f"Serving takes {' and '.join(missing)}, not installed in this Python.",
            f"Install: {in_command(sys.executable)} -m pip install {' '.join(_PACKAGES)}. (The extra `serve`.)",
        )
    from trickster_engine.serving.server import Settings, serve

    given = options.token if options.token is not None else os.environ.get(_TOKEN_VARIABLE)
    if given is None and not is_loopback(options.host):
        raise TricksterError(
            "token-missing",
            f"Other machines may reach {options.host}, and no token was given.",
            f"Give one with --token or in {_TOKEN_VARIABLE}, or serve this machine only with --host 127.0.0.1.",
            2,
        )
    if given is not None and not (given and given.isascii() and given.isprintable() and " " not in given):
        raise TricksterError(
            "token-unusable",
            "The token is empty, or has characters that do not fit into an HTTP header.",
            "Use letters, digits and signs of ASCII, without blanks.",
            2,
        )
    token = given or f"sk-trickster-{secrets.token_urlsafe(24)}"

    def ready(name: str, folder: Path, address: str) -> None:
        print(f"Serving {name} from {folder}")
        print(f"  base URL  {address}")
        print(f"  model     {name}")
        print(f"  API key   {token if given is None else 'the token you gave'}")
        print("Ctrl-C stops.", flush=True)

    serve(
        Settings(
            path=options.path,
            checkpoint=options.checkpoint,
            name=options.name,
            host=options.host,
            port=options.port,
            token=token,
            device=options.device,
            batch=options.batch,
            most_tokens=options.max_tokens,
            most_requests=options.max_requests,
        ),
        ready,
    )
    print("Stopped.")
    return 0
