"""One sentence in three alphabets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trickster_engine.cli import main

Config = Callable[..., Path]


def test_three_views_of_a_sentence(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = "the king shall speak"
    assert main(["tokens", str(tiny_config()), sentence, "--json"]) == 0
    views = {view["kind"]: view for view in json.loads(capsys.readouterr().out)}
    assert views["byte"]["ids"] == list(sentence.encode())
    assert views["char"]["tokens"] == list(sentence)
    assert "".join(views["bpe"]["tokens"]) == sentence
    assert len(views["bpe"]["ids"]) < len(sentence) / 2
    assert main(["tokens", str(tiny_config()), sentence]) == 0
    assert "|".join(sentence) in capsys.readouterr().out


def test_characters_that_the_corpus_never_uses(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokens", str(tiny_config()), "naïve 7"]) == 0
    shown = capsys.readouterr().out
    assert "cannot write" in shown
    assert "'ï' '7'" in shown
    assert "n|a|\N{MIDDLE DOT}|\N{MIDDLE DOT}|v|e" in shown
