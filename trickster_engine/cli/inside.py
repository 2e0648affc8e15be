"""`inside`: what each token costs a model, what its heads do, and what becomes of a text without a part of it."""

from __future__ import annotations

import argparse
import re
from typing import Any

from trickster_engine.cli.arguments import RUN_HELP, Subcommands, add_json, print_json, run_path
from trickster_engine.errors import TricksterError
from trickster_engine.system.printable import printable

_LOOKS = 3
_SHOWN = ("current", "previous", "first", "same", "line_start", "induction")
_PLACE = re.compile(r"(\d+)\.(\d+)")


def add_commands(commands: Subcommands) -> None:
    """Register the command of this file."""
    looking = commands.add_parser("inside", help="look inside a model: each token's loss, what each head does")
    looking.add_argument("path", type=run_path, metavar="RUN", help=f"{RUN_HELP}, or a checkpoint folder")
    looking.add_argument("--text", help="the text to read (default: the beginning of the validation text)")
    looking.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    looking.add_argument("--head", metavar="LAYER.HEAD", help="show where this head looks; counted from 0, as in 1.3")
    looking.add_argument(
        "--off", action="append", default=[], metavar="LAYER.HEAD", help="switch this head off (may be repeated)"
    )
    add_json(looking)
    looking.set_defaults(run=_inside)


def _inside(options: argparse.Namespace) -> int:
    from trickster_engine.inference.inside import inside
    from trickster_engine.inference.load import checkpoint_folder
    from trickster_engine.inference.packing import unpacked

    off = [dict(zip(("layer", "index"), _place(words), strict=True), part="head") for words in options.off]
    shown = _place(options.head) if options.head else None
    request: dict[str, Any] = {"path": checkpoint_folder(options.path, options.checkpoint), "text": options.text}
    if shown:
        request["layers"] = [shown[0]]
    found = inside({**request, "switched_off": off}, lambda: False)
    if shown and not shown[1] < found["model"]["heads"]:
        raise TricksterError("part-unknown", f"There is no head {options.head}.", "Both are counted from 0.", 2)
    if options.json:
        print_json(found)
        return 0
    looked = unpacked(found["attention"])[0, shown[1]] / 255 if shown else None
    print(f"Checkpoint {found['checkpoint']}")
    without = f", without {', '.join(options.off)}" if off else ""
    loss = "" if found["loss"] is None else f", mean loss {found['loss']:.4f} nats/token{without}"
    print(f"{len(found['tokens'])} tokens{loss}")
    if found["left_out"]:
        print(f"The last {found['left_out']} tokens are more than fit, and are not read.")
    heading = f"  head {options.head} looks at" if shown else ""
    print(f"\n{'':>5} {'token':<12}{'loss':>8}{'likelier':>10}{heading}")
    for at, token in enumerate(found["tokens"]):
        cost = f"{'':>18}" if token["loss"] is None else f"{token['loss']:>8.3f}{token['rank']:>10}"
        print(f"{at:>5} {_quoted(token['text']):<12}{cost}{_looks(found, looked, at)}".rstrip())
    print(f"\n{'head':<6}{'label':<12}" + "".join(f"{name.replace('_', ' '):>12}" for name in _SHOWN))
    for head in found["heads"]:
        values = "".join(f"{'' if head[name] is None else format(head[name], '.2f'):>12}" for name in _SHOWN)
        name = f"{head['layer']}.{head['head']}"
        print(f"{name:<6}{(head['label'] or '').replace('_', ' '):<12}{values}".rstrip())
    return 0


def _looks(found: dict[str, Any], looked: Any, at: int) -> str:
    """The tokens that a head looks at most from one of them."""
    if looked is None:
        return ""
    order = sorted(range(at + 1), key=lambda other: -looked[at, other])[:_LOOKS]
    texts = [_quoted(found["tokens"][other]["text"]) for other in order]
    return "".join(f"  {other} {text} {looked[at, other]:.2f}" for other, text in zip(order, texts, strict=True))


def _place(words: str) -> tuple[int, int]:
    if not (found := _PLACE.fullmatch(words)):
        raise TricksterError("part-unknown", f"{words!r} names no head.", "Write LAYER.HEAD, as in 1.3.", 2)
    return int(found[1]), int(found[2])


def _quoted(text: str) -> str:
    return repr(printable(text))
