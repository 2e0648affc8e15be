"""Chess games, one a line: made by random players who know the rules, and judged by whether moves are legal.

Moves are in standard algebraic notation (SAN), as in `e4 e5 Nf3 Nc6`: the FIDE Handbook's appendix C. To know which are
legal, a model has to keep track of a board that it never sees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.evaluation.item_measures import package_missing

if TYPE_CHECKING:
    import chess

#: Half-moves of a game at the most: a player's random moves never end most games.
_MOST_MOVES = 40
_HELD_OUT = 10  # one game of so many
_NUMBER = re.compile(r"\d+\.+")


def measure(items: Sequence[str], training: Collection[str]) -> Mapping[str, float]:
    """Shares in 0..1: legal of the moves, up to each game's first illegal one and with it; games wholly legal; novel.

    `first illegal` is how many legal moves a game with an illegal one begins with, in the mean. Raises TricksterError
    `measure-needs-package`.
    """
    legal = illegal = whole = before = 0
    for item in items:
        moves = _NUMBER.sub(" ", item).split()
        count = _legal_moves(moves)
        legal += count
        if count == len(moves) and moves:
            whole += 1
        else:
            illegal += 1
            before += count
    different = set(items)
    return {
        "legal moves": legal / max(1, legal + illegal),
        "legal games": whole / max(1, len(items)),
        "first illegal": before / max(1, illegal),
        "novel": sum(item not in training for item in different) / max(1, len(different)),
    }


def _legal_moves(moves: Sequence[str]) -> int:
    """How many moves from the first are legal, one after another."""
    board = _board()
    for count, move in enumerate(moves):
        try:
            if not board.push_san(move):
                return count  # "--", a move that moves nothing
        except ValueError:  # illegal, ambiguous or no move at all
            return count
    return len(moves)


def make(folder: Path, games: int, seed: int) -> dict[str, int]:
    """Write train.txt and val.txt, a game a line, the same ones for a seed; returns how many each has.

    Raises OSError, and TricksterError `measure-needs-package`.
    """
    chance = random.Random(seed)
    lines = list(dict.fromkeys(_game(chance) for _ in range(games)))  # a short game may come twice
    held_out = max(1, len(lines) // _HELD_OUT)
    parts = {"train.txt": lines[held_out:], "val.txt": lines[:held_out]}
    for name, part in parts.items():
        (folder / name).write_text("".join(f"{line}\n" for line in part), encoding="ascii", newline="\n")
    return {name: len(part) for name, part in parts.items()}


def _game(chance: random.Random) -> str:
    """A game of two players who capture half the time when they can, and else move anything."""
    board = _board()
    moves: list[str] = []
    while len(moves) < _MOST_MOVES and (legal := list(board.legal_moves)):
        captures = [move for move in legal if board.is_capture(move)]
        move = chance.choice(captures if captures and chance.random() < 0.5 else legal)
        moves.append(board.san_and_push(move))
    return " ".join(moves)


def _board() -> chess.Board:
    try:
        import chess
    except ImportError as error:
        raise package_missing("chess", "chess") from error
    return chess.Board()
