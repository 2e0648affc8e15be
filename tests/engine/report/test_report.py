"""A report of a real run, however small: whole, truthful, and alone in the world."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import dialogue
from tools import recorded_runs
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.prepare import prepare
from trickster_engine.evaluation.report.curve import LossPoint, find_overfitting
from trickster_engine.evaluation.report.measures import MEASURES
from trickster_engine.evaluation.report.nearness import nearness
from trickster_engine.evaluation.report.page import render
from trickster_engine.evaluation.report.page_copies import reciting
from trickster_engine.evaluation.report.page_measures import _past, _way_there
from trickster_engine.evaluation.report.study import Copying, StepBack, Study, study
from trickster_engine.inference.load import load_model
from trickster_engine.runs import RunDirectory

Config = Callable[..., Path]
_VOID = {"meta", "br"}


class Wellformed(HTMLParser):
    """Raises where an element is not closed, and gathers what could be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert tag not in ("script", "link", "iframe", "object", "img")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def run(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tiny_config(
        training_config={
            "batch_size": 16,
            "max_steps": 120,
            "eval_interval": 24,
            "save_interval": 60,
            "warmup_steps": 4,
        },
        sampling_config={"max_new_tokens": 120},
    )
    assert main(["train", str(path)]) == 0
    capsys.readouterr()
    return path.parent / "runs" / "tiny-001"


def test_the_page_is_whole_and_loads_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run)]) == 0
    assert "Open in a browser" in capsys.readouterr().out
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Wellformed()
    page.feed(text)
    assert page.open == []
    assert page.loaded == []
    assert "://" not in text
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    for expected in ("Step 0", "Step 120", "Change of speaker", "longest copy in", "What was not learned"):
        assert expected in page.text
    for level in ("Character", "Word", "Sentence", "Discourse"):
        assert level in page.text


def test_the_model_before_training_as_a_page(
    tiny_config: Config, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "model.html"
    assert main(["inspect", str(tiny_config()), "--page", str(target), "--json"]) == 0
    inspection = json.loads(capsys.readouterr().out)
    page = Wellformed()
    page.feed(target.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.loaded == []
    parts = inspection["parameters"]
    for key in ("total", "per_block", "embedding", "attention", "mlp", "norms"):
        assert f"{parts[key]:,}" in page.text, key
    assert f"{inspection['random_loss']:.3f}" in page.text
    assert "feed-forward (SwiGLU)" in page.text
    for shape in inspection["shapes"]:
        assert shape["name"] in page.text


def test_where_it_beats_counting_and_where_not(run: Path) -> None:
    found = study(run)
    counting, page = found.counting, Wellformed()
    page.feed(render(found))
    model, tokenizer, _ = load_model(run)
    plan = check((run / "config.yaml").read_text(encoding="utf-8"), run).plan
    assert plan is not None
    dataset = prepare(plan, run.parents[1], progress=False)
    # All of so short a text is looked at, so the n-gram's mean is the baseline.
    baselines = {one.name: one.nats for one in ngram_baselines(dataset)}
    assert counting.tokens == len(dataset.val) - 1
    assert counting.ngram_mean == pytest.approx(baselines[counting.ngram])
    assert counting.ngram in list(baselines)[3:]
    assert counting.model_mean == pytest.approx(found.strided_loss)
    rows = counting.by_familiarity
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.share * row.ngram for row in rows) == pytest.approx(counting.ngram_mean)
    assert sum(row.share * row.model for row in rows) == pytest.approx(counting.model_mean)
    training_text = dataset.train_text()
    text = dataset.val_text()
    for places, better in ((counting.wins, True), (counting.losses, False)):
        gains = [abs(place.model - place.ngram) for place in places]
        assert gains == sorted(gains, reverse=True) and len(gains) == 8
        for place in places:
            assert (place.model < place.ngram) == better
            assert place.before + place.token in text
            assert place.before[len(place.before) - place.seen :] in training_text
            shown = (place.before + place.token).replace("\n", "\N{RETURN SYMBOL}")
            assert shown in page.text
    # One of them again: the probability of its token after as much text as there is.
    place = counting.wins[0]
    before = tokenizer.encode(text[: text.index(place.before + place.token) + len(place.before)])
    with torch.no_grad():
        context = torch.from_numpy(before[-model.config.max_seq_len :])[None]
        chances = model(context)[0, -1].softmax(-1)
    assert chances[tokenizer.encode(place.token)[0]] > math.exp(-place.ngram)
    assert f"{counting.ngram_mean:.3f}" in page.text and f"{found.strided_loss:.3f}" in page.text


def test_the_figures_are_those_of_the_run(run: Path) -> None:
    found = study(run)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = {event["step"]: event["val_loss"] for event in events if event["kind"] == "eval"}
    assert {point.step: point.val_loss for point in found.points} == evaluated
    assert [sample.step for sample in found.samples] == sorted(evaluated)
    # The held-out text is shorter than what is looked at, so both judge all of it.
    assert found.difficulty.mean == pytest.approx(min(evaluated.values()), abs=2e-3)
    assert sum(row.share for row in found.difficulty.places) == pytest.approx(1.0)
    assert sum(row.count for row in found.difficulty.places) == found.difficulty.tokens
    assert found.difficulty.positions[0][1] > found.difficulty.positions[-1][1]
    assert json.loads(json.dumps(found.as_json()))["parameters"] == found.parameters


def test_the_page_says_which_measures_stepped_back(run: Path) -> None:
    """What the page says is told again here from the samples themselves."""
    found = study(run)
    falling = {}
    for course in found.courses:
        if course.near is None:
            continue
        measure = next(measure for measure in MEASURES if measure.key == course.key)
        values = [(step, value) for step, value in course.steps if step > 0 and value is not None]
        near = [0.0] + [nearness(measure, value, course.random, course.real) or 0.0 for _, value in values]
        back = [values[i][0] for i in range(len(values)) if near[i + 1] < near[i] - 1e-9]
        if back:
            falling[course.title] = back
    assert falling, "samples of 120 characters that always rise would be a wonder"
    folded = _way_there(found)
    assert folded.startswith("<details>")
    items = [html.unescape(re.sub("<.*?>", "", item)) for item in re.findall(r"<li>(.*?)</li>", folded)]
    told = {item.partition(": step")[0]: re.findall(r"\d+", item.partition(": step")[2]) for item in items}
    assert told == {title: [f"{step}" for step in steps] for title, steps in falling.items()}
    for course in found.courses:
        assert [back.step for back in course.backs] == falling.get(course.title, [])


def test_luck_and_what_lies_past_real_text_are_told_apart(run: Path) -> None:
    found = study(run)
    course = replace(
        next(course for course in found.courses if course.key == "letters"),
        backs=[StepBack(48, luck=True), StepBack(72, luck=False), StepBack(96, luck=True)],
        past=True,
    )
    crooked = replace(found, courses=[course])
    assert "steps 48, <b>72</b>, 96" in _way_there(crooked)
    assert "overshoots real text" in _past(crooked)
    assert render(crooked).count("chance") == 1
    straight = replace(found, courses=[replace(course, backs=[], past=False)])
    assert "No measure fell back" in _way_there(straight)
    assert _past(straight) == ""


def test_there_is_one_count_of_measures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = study(run)
    near = [course.near for course in found.courses if course.near is not None]
    assert (found.verdict.near, found.verdict.of) == (sum(value >= 0.8 for value in near), len(near))
    assert f"{found.verdict.near} of {found.verdict.of} measures" in found.verdict.words
    page = render(found)
    assert page.count(html.escape(found.verdict.words)) == 2  # at the head and at the end
    assert re.findall(r"\d+ of \d+ measures", page) == [f"{found.verdict.near} of {found.verdict.of} measures"] * 2
    assert main(["report", str(run)]) == 0
    assert found.verdict.words in capsys.readouterr().out


def test_every_figure_says_what_it_was_measured_on(run: Path) -> None:
    found = study(run)
    page = " ".join(re.sub("<.*?>", "", render(found)).split())
    dataset = RunDirectory(run).identity()
    assert dataset is not None
    assert found.held_out == dataset.data["val_tokens"]
    assert found.trained_on % 32 == 0 and 0 < found.trained_on <= 16384
    assert f"over {found.held_out:,} tokens of validation text" in page
    assert f"over {found.trained_on:,} tokens spread evenly over the training text" in page
    assert "real words in 4,000 characters at temperature 1" in page
    assert f"on all {found.difficulty.tokens:,} tokens of validation text" in page
    part = replace(found, difficulty=replace(found.difficulty, tokens=100))
    text = render(part)
    assert f"on the first 100 of the {found.difficulty.of:,} tokens" in text
    assert "The validation loss of the run is measured on all of them" in text


def test_hard_and_easy_characters_are_drawn_on_one_scale(run: Path) -> None:
    found = study(run)
    hard, easy = found.difficulty.characters[0].nats, found.difficulty.easiest[0].nats
    after = render(found).partition("<h3>By character</h3>")[2].partition("<h3>")[0]
    hardest, easiest = (int(re.findall(r"<i style=\"width:(\d+)%", table)[0]) for table in after.split("<table>")[1:])
    assert hardest == 100
    assert easiest == round(100 * easy / hard)


def test_a_prompt_does_not_count_as_a_copy(run: Path) -> None:
    found = study(run)
    assert found.long_prompt == found.prompt == "ROMEO:"
    assert "ROMEO:" in found.long_texts["random"]
    random = found.copying[0]
    assert random.longest < len("ROMEO:")


def test_a_corpus_that_never_has_the_prompt(tiny_config: Config, tmp_path: Path) -> None:
    path = tiny_config(sampling_config={"prompt": "Dear diary"})
    assert main(["train", str(path)]) == 0
    found = study(tmp_path / "runs" / "tiny-001")
    text = (tmp_path / "play.txt").read_text(encoding="utf-8")
    assert found.prompt == "Dear diary"
    assert f"\n{found.long_prompt}" in text[-4000:]
    assert found.long_texts["model"].startswith(found.long_prompt)
    assert {sample.prompt for sample in found.samples} == {"Dear diary"}
    page = render(found)
    assert "<code>Dear diary</code>, the config's prompt, never occurs" in page
    assert f"begin with <code>{found.long_prompt}</code>" in page


def test_learning_brings_a_text_nearer_to_real_text(tiny_config: Config, tmp_path: Path) -> None:
    path = tiny_config(
        model_config={"vocab_size": 64, "max_seq_len": 64},
        training_config={"batch_size": 16, "max_steps": 120, "eval_interval": 60, "warmup_steps": 4},
        data_config={"tokenizer": "char"},
    )
    assert main(["train", str(path)]) == 0
    found = study(tmp_path / "runs" / "tiny-001")
    near = {course.key: course.near for course in found.courses}
    for key, least in (("letters", 0.5), ("pairs", 0.5), ("real-words", 0.05)):
        assert (near[key] or 0.0) > least, key
    random, model, real = found.copying
    assert random.shares[5] < model.shares[5] <= real.shares[5]
    assert random.longest < model.longest


@pytest.mark.parametrize(("tokenizer", "vocabulary"), [("char", 64), ("bpe", 300)])
def test_any_tokenizer(tiny_config: Config, tokenizer: str, vocabulary: int, tmp_path: Path) -> None:
    path = tiny_config(model_config={"vocab_size": vocabulary}, data_config={"tokenizer": tokenizer})
    assert main(["train", str(path)]) == 0
    found = study(tmp_path / "runs" / "tiny-001")
    assert found.tokenizer == tokenizer
    assert "Known speakers" in render(found)


def test_any_text(tiny_config: Config, tmp_path: Path) -> None:
    """Prose with letters of two bytes, marks that HTML must not take for its own, and no play."""
    line = 'Él dijo: "¿qué <b>más</b> & {}?" (nunca), y se fue a {} casa con <script>alert(1)</script> frío.\n'
    text = "".join(line.format(number * 7919, number * 104729) for number in range(400))
    (tmp_path / "play.txt").write_text(text, encoding="utf-8")
    path = tiny_config(sampling_config={"prompt": "Él <"})
    assert main(["train", str(path)]) == 0
    found = study(tmp_path / "runs" / "tiny-001")
    assert not {"speeches", "old-words"} & {course.key for course in found.courses}
    page = Wellformed()
    page.feed(render(found))
    assert page.open == []


def test_output_and_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "tiny-001"
    assert not (run / "report.html").exists()
    target = tmp_path / "elsewhere.html"
    assert main(["report", str(run), "-o", str(target)]) == 0
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    capsys.readouterr()
    assert main(["report", str(run), "-o", str(tmp_path / "no" / "folder.html")]) == 1
    assert "[cannot-write]" in capsys.readouterr().err
    assert main(["report", str(tmp_path)]) == 1
    assert "[not-a-run]" in capsys.readouterr().err


def test_reciting_is_said_when_it_is_so() -> None:
    real = Copying("real", 20, "", {5: 0.9, 15: 0.1, 30: 0.0})
    honest = [Copying("random", 2, "", {5: 0.0}), Copying("model", 18, "", {5: 0.95, 15: 0.12, 30: 0.0}), real]
    together = find_overfitting([LossPoint(step, loss, loss) for step, loss in enumerate((5.0, 4.0, 3.0, 2.0))])
    assert reciting(honest, together).startswith("The model does not recite:")
    assert reciting(honest, None).startswith("The model does not recite:")
    parrot = [honest[0], Copying("model", 400, "", {5: 1.0, 15: 0.8, 30: 0.7}), real]
    assert "The model recites: 80.0% of its runs of 15 characters" in reciting(parrot, together)


def test_not_reciting_does_not_gainsay_a_large_generalisation_gap() -> None:
    real = Copying("real", 20, "", {5: 0.9, 15: 0.1})
    honest = [Copying("random", 2, "", {5: 0.0}), Copying("model", 18, "", {5: 0.95, 15: 0.12}), real]
    apart = find_overfitting([LossPoint(0, 5.528, 5.502), LossPoint(250, 0.547, 2.236)])
    words = reciting(honest, apart)
    assert "does not recite here" in words
    assert "But the generalisation gap, 1.689 nats" in words


def test_a_model_that_knows_its_text_by_heart_is_found_out(tiny_config: Config, tmp_path: Path) -> None:
    """The same page over and over to learn, another to be judged by."""
    (tmp_path / "play.txt").write_text(dialogue(400, seed=1) * 60 + dialogue(2600, seed=2), encoding="utf-8")
    path = tiny_config(
        model_config={"hidden_dim": 64, "mlp_dim": 192, "max_seq_len": 64, "dropout": 0.0},
        training_config={
            "max_steps": 300,
            "batch_size": 8,
            "eval_interval": 60,
            "save_interval": 300,
            "warmup_steps": 10,
        },
    )
    assert main(["train", str(path)]) == 0
    found = study(tmp_path / "runs" / "tiny-001", "final")
    assert found.overfitting is not None
    assert found.overfitting.step is not None
    model, real = found.copying[1], found.copying[2]
    assert model.longest > real.longest
    assert "The model recites" in reciting(found.copying, found.overfitting)


# ------------------------------------------------------------------------------------------------------------ the pages


def test_a_kept_run_fills_the_pages(run: Path, tmp_path: Path) -> None:
    kept = recorded_runs.keep(RunDirectory(run), "a machine for tests")
    (tmp_path / "pico.json").write_text(json.dumps(kept), encoding="utf-8")
    kinds = ("time", "curve", "samples", "proof", "learned")
    page = (
        "".join(f"<!-- kept: pico {kind} -->\n<!-- /kept -->\n" for kind in kinds)
        + "<!-- kept: nano -->\n<!-- /kept -->\n"
    )
    rendered = recorded_runs.render(page, tmp_path)
    assert recorded_runs.render(rendered, tmp_path) == rendered
    last = kept["curve"][-1]
    assert f"{last['step']:,} steps of pico, a model with {kept['parameters']:,} parameters" in rendered
    assert f"{last['val_loss']:.3f}" in rendered
    assert "a machine for tests" in rendered
    assert "| **trained model** |" in rendered
    assert "| discourse | Speeches that start with a name |" in rendered
    assert re.search(r"<!-- kept: nano -->\n<!-- /kept -->", rendered)
    ((name, picture),) = recorded_runs.pictures(page, tmp_path).items()
    assert f"(pictures/{name})" in rendered
    assert f"{kept['curve'][0]['val_loss']:.3f}" in picture
    assert recorded_runs.render(rendered, tmp_path / "nothing") == page


def test_the_long_look_is_at_the_model_s_own_probabilities(run: Path) -> None:
    one, other = study(run), study(run)
    assert one.long_texts == other.long_texts
    assert isinstance(one, Study)
    assert one.long_texts["model"].count(one.prompt) >= 8
