"""Near duplicates: what an exact comparison of all pairs finds too, on no side of the split but one."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from pathlib import Path

import pytest

from tests.refusals import refused
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.plan import Plan
from trickster_engine.data import near_duplicates
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.survey import text_facts

pytest.importorskip("rensa")

MakePlan = Callable[..., Plan]
CERTAIN = (0.7, 0.9)  # below never alike, above always; between them chance has a part


def exact_jaccard(one: str, other: str) -> float:
    """By sets of shingles, as the documentation says it, with nothing of the code under test."""
    first, second = _shingles(one), _shingles(other)
    both = len(first & second)
    return both / (len(first) + len(second) - both)


@cache
def _shingles(text: str) -> frozenset[bytes]:
    data = " ".join(text.lower().split()).encode()
    return frozenset(data[at : at + 24] for at in range(max(1, len(data) - 23)))


def planted() -> list[str]:
    """Texts and copies of them in which from one word to a quarter of all is another, with other white space too."""
    chooser = random.Random(7)
    words = ["".join(chooser.choices("abcdefghijklmnopqrstuvwxyzäß", k=chooser.randint(2, 9))) for _ in range(900)]
    texts = []
    for _ in range(40):
        text = chooser.choices(words, k=chooser.randint(60, 160))
        texts.append(" ".join(text))
        for share in chooser.sample([0.0, 0.004, 0.01, 0.03, 0.06, 0.12, 0.25], k=3):
            copy = [chooser.choice(words) if chooser.random() < share else word for word in text]
            blank = chooser.choice([" ", "  ", "\t"])
            texts.append(blank.join(copy).capitalize())
    texts += ["short", "short one", "Short", "", "x" * 30, "x" * 31]
    chooser.shuffle(texts)
    return [text for text in texts if text]


def _documents(dataset: Dataset) -> tuple[list[str], list[str]]:
    train, val = ("".join(dataset.text_chunks(part)).split("\0")[:-1] for part in (dataset.train, dataset.val))
    return train, val


def test_what_is_left_out_is_what_exact_comparison_finds(
    tmp_path: Path, plan_for: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = planted()
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    plan = plan_for("a.txt", "byte", 257, documents="lines", drop_near_duplicates=True)
    dataset = prepare(plan, tmp_path, progress=False)
    train, val = _documents(dataset)
    kept = [*train, *val]
    assert not [pair for pair in combinations(kept, 2) if exact_jaccard(*pair) > CERTAIN[1]]
    assert not [pair for pair in product(train, val) if exact_jaccard(*pair) > CERTAIN[1]]
    alike = {text: [other for other in texts if other is not text and exact_jaccard(text, other) > CERTAIN[0]]
             for text in texts}  # fmt: skip
    left_out = [text for text in texts if text not in kept]
    assert left_out and all(alike[text] for text in left_out), "what is like nothing else stays"
    assert set(kept) >= {text for text in texts if not alike[text]}
    table = dict(text_facts(plan, dataset).rows())
    exact = len(texts) - len(set(texts))
    said = f"{len(texts) - len(kept)} duplicates left out, {len(texts) - len(kept) - exact} of them near duplicates"
    assert table["Documents"].endswith(said)
    # The same from shards; the same side of the split in another order; and with the text given twice over.
    monkeypatch.setattr(prepare_shards, "LARGE_BYTES", 1000)
    monkeypatch.setattr(prepare_shards, "SHARD_BYTES", 20_000)
    (tmp_path / "b.txt").write_text("\n".join(texts), encoding="utf-8")
    plan_b = replace(plan, data=replace(plan.data, corpus="b.txt", val_fraction=0.1001))
    sharded = prepare(plan_b, tmp_path, progress=False, processes=1)
    assert sorted([*_documents(sharded)[0], *_documents(sharded)[1]]) == sorted(kept)
    monkeypatch.undo()
    half = len(texts) // 2
    for name, part in (("train.txt", texts[:half]), ("val.txt", texts[half:])):
        (tmp_path / name).write_text("\n".join(part), encoding="utf-8")
    apart = replace(plan, data=replace(plan.data, train_data="train.txt", val_data="val.txt"))
    train, val = _documents(prepare(apart, tmp_path, progress=False))
    assert train and not [pair for pair in product(train, val) if exact_jaccard(*pair) > CERTAIN[1]]
    sources = check_sources(plan)
    train, val = _documents(prepare(sources, tmp_path, progress=False))
    assert train and not [pair for pair in product(train, val) if exact_jaccard(*pair) > CERTAIN[1]]


def check_sources(plan: Plan) -> Plan:
    return replace(plan, data=replace(plan.data, corpus=(CorpusSource("train.txt", 2), CorpusSource("val.txt"))))


def test_without_the_package_and_called_off(
    tmp_path: Path, plan_for: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(planted()), encoding="utf-8")
    plan = plan_for("a.txt", "byte", 257, documents="lines", drop_near_duplicates=True)

    class CalledOffError(Exception):
        pass

    def stop() -> None:
        if sys._getframe(1).f_code.co_name == "_first_of_each":
            raise CalledOffError

    with pytest.raises(CalledOffError):
        prepare(plan, tmp_path, progress=False, interrupt=stop)
    monkeypatch.setattr(near_duplicates, "_ALGORITHM", 3)
    with refused("needs-rensa", "in a version"):
        prepare(plan, tmp_path, progress=False)
    monkeypatch.setitem(sys.modules, "rensa", None)
    with refused("needs-rensa", "not installed"):
        prepare(plan, tmp_path, progress=False)
