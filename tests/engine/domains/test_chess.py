"""Legal moves, as the package chess knows them. `make test-domains` installs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.evaluation.domains.chess_games import make, measure


@pytest.fixture(autouse=True)
def chess() -> Any:
    return pytest.importorskip("chess", reason="the package chess is not installed: make test-domains")


#: Morphy against the Duke of Brunswick and Count Isouard, Paris 1858.
OPERA = (
    "1. e4 e5 2. Nf3 d6 3. d4 Bg4 4. dxe5 Bxf3 5. Qxf3 dxe5 6. Bc4 Nf6 7. Qb3 Qe7 8. Nc3 c6 9. Bg5 b5 10. Nxb5 cxb5 "
    "11. Bxb5+ Nbd7 12. O-O-O Rd8 13. Rxd7 Rxd7 14. Rd1 Qe6 15. Bxd7+ Nxd7 16. Qb8+ Nxb8 17. Rd8#"
)


def test_a_game_that_was_played_is_legal_and_a_move_that_is_not_ends_it() -> None:
    assert measure([OPERA], set()) == {"legal moves": 1.0, "legal games": 1.0, "first illegal": 0.0, "novel": 1.0}
    # After mate there is no move; a king cannot stay in check; a knight is not where it is said to be; no move at all.
    wrong = [f"{OPERA} 17... Kd7", "f3 e5 g4 Qh4# Kf2", "e4 e5 Nb5", "e4 e5 castle"]
    found = measure([*wrong, "e4"], {"e4"})
    assert found["legal games"] == 1 / 5
    assert found["legal moves"] == (33 + 4 + 2 + 2 + 1) / (33 + 4 + 2 + 2 + 1 + 4)
    assert found["first illegal"] == (33 + 4 + 2 + 2) / 4
    assert found["novel"] == 4 / 5


def test_games_are_made_from_a_seed_and_are_legal(tmp_path: Path, chess: Any) -> None:
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        assert make(tmp_path / name, 60, seed) == {"train.txt": 54, "val.txt": 6}
        texts.append((tmp_path / name / "train.txt").read_text())
    assert texts[0] == texts[1] != texts[2]
    games = texts[0].splitlines()
    assert measure(games, set(games)) == {"legal moves": 1.0, "legal games": 1.0, "first illegal": 0.0, "novel": 0.0}
    board = chess.Board()
    for move in games[0].split():
        board.push_san(move)
    assert board.fullmove_number > 5


def test_the_command_writes_a_text_and_a_config_that_can_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "chess"
    assert main(["corpus", "chess", "--to", str(folder), "--games", "50"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["chess.yaml", "train.txt", "val.txt"]
    result = check((folder / "chess.yaml").read_text("utf-8"), folder)
    assert result.plan is not None and not [one for one in result.problems if one.severity in ("error", "warning")]
    longest = max(map(len, (folder / "train.txt").read_text().splitlines()))
    assert longest < result.plan.model.max_seq_len, "a whole game is within the context"
    capsys.readouterr()
    assert main(["corpus", "chess", "--to", str(folder)]) == 1
    assert "[output-not-writable]" in capsys.readouterr().err
