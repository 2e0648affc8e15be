"""Every problem: it is found, at the right place, with fixes that work."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.engine.config.cases import CASES, Case, llama
from tests.engine.config.support import problems_of, underlined
from tools.problem_docs import PROBLEM_DOCS, PROBLEM_GROUPS, READ
from trickster_engine.config import KEYS, Problem, apply_edits, check

CONFIG = Path(__file__).parents[3] / "trickster_engine" / "config"


def _folder(case: Case, tmp_path: Path) -> Path | None:
    for name, content in case.files:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path if case.on_disk else None


def _found(case: Case, folder: Path | None) -> Problem:
    matching = [
        problem
        for problem in problems_of(case.text, case.code, folder)
        if underlined(case.text, problem) == case.underlined
    ]
    assert len(matching) == 1, [
        (problem.code, underlined(case.text, problem)) for problem in check(case.text, folder).problems
    ]
    return matching[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_found_where_it_stands(case: Case, tmp_path: Path) -> None:
    folder = _folder(case, tmp_path)
    problem = _found(case, folder)
    assert problem.severity == case.severity
    assert (check(case.text, folder).plan is None) == any(
        each.severity == "error" for each in check(case.text, folder).problems
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_message_is_a_sentence_of_one_line(case: Case, tmp_path: Path) -> None:
    problem = _found(case, _folder(case, tmp_path))
    assert problem.message.isprintable(), problem.message
    assert problem.message[-1] in ".?", problem.message
    assert len(problem.message) < 420
    assert problem.key is None or problem.key in KEYS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fix_makes_its_problem_go_away(case: Case, tmp_path: Path) -> None:
    folder = _folder(case, tmp_path)
    problem = _found(case, folder)
    assert bool(problem.fixes) == case.fixable, [fix.title for fix in problem.fixes]
    before = Counter(each.code for each in check(case.text, folder).problems)
    for fix in problem.fixes:
        repaired = apply_edits(case.text, fix.edits)
        after = Counter(each.code for each in check(repaired, folder).problems)
        assert after[case.code] < before[case.code], (fix.title, repaired)


def test_a_fix_is_preferred_once_at_most() -> None:
    for case in CASES:
        for problem in check(case.text).problems:
            assert sum(fix.preferred for fix in problem.fixes) <= 1, (case.name, problem)


def test_every_code_is_documented_and_tested() -> None:
    # What only reading the text tells is tested with texts, in tests/engine/data/test_awkward_corpora.py.
    assert {case.code for case in CASES} == set(PROBLEM_DOCS) - set(PROBLEM_GROUPS[READ])


def test_every_code_in_the_source_is_documented() -> None:
    pattern = re.compile(r'(?:Problem|\.problem|report|_report)\(\s*"([a-z0-9-]+)"')
    used = {code for path in CONFIG.glob("*.py") for code in pattern.findall(path.read_text(encoding="utf-8"))}
    assert used
    assert used <= set(PROBLEM_DOCS)


def test_documentation_ends_in_a_full_stop() -> None:
    for code, text in PROBLEM_DOCS.items():
        assert text.endswith("."), code
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)


def test_a_rule_about_two_keys_points_at_the_other() -> None:
    text = "model_config:\n  hidden_dim: 250\n  num_heads: 8\n"
    [problem] = problems_of(text, "heads-divide-dim")
    [related] = problem.related
    assert related.range.start == (1, 14)
    assert related.message == "hidden_dim is 250"


def test_as_lsp_json_counts_utf_16_units() -> None:
    text = 'sampling_config: {prompt: "\N{GRINNING FACE}", top_k: -1}\n'
    [problem] = check(text).problems
    assert problem.range.start.character == text.index("-1")
    assert problem.as_lsp_json(text)["range"] == {
        "start": {"line": 0, "character": text.index("-1") + 1},
        "end": {"line": 0, "character": text.index("-1") + 3},
    }


@pytest.mark.parametrize(("written", "left"), [("[gone, m, n]", ("m", "n")), ("[gone, m]", "m"), ("[gone]", None)])
def test_a_teacher_that_cannot_be_is_taken_out_alone(written: str, left: object, tmp_path: Path) -> None:
    for name in "mn":
        for file, content in llama():
            (tmp_path / file.replace("m/", f"{name}/", 1)).parent.mkdir(exist_ok=True)
            (tmp_path / file.replace("m/", f"{name}/", 1)).write_text(content)
    text = f"model_config:\n  vocab_size: 256\n  max_seq_len: 32\ntraining_config:\n  distill_from: {written}\n"
    (problem,) = problems_of(text, "teacher-unusable", tmp_path)
    (fix,) = problem.fixes
    plan = check(apply_edits(text, fix.edits), tmp_path).plan
    assert plan is not None and plan.training.distill_from == left


def test_a_text_that_is_named_twice_is_missed_once(tmp_path: Path) -> None:
    (problem,) = problems_of("data_config:\n  corpus: [python, gone.txt, gone.txt]\n", "corpus-not-found", tmp_path)
    assert problem.range.start.character == len("  corpus: [python, ")


def test_a_text_that_an_alias_brings_in_is_missed_in_the_list_and_not_written_over_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "plays.txt").write_text("x" * 900, encoding="utf-8")
    text = "x: &x {path: plays.tx}\ndata_config:\n  corpus: [*x, python]\n"
    (problem,) = problems_of(text, "corpus-not-found", tmp_path)
    assert problem.range.start.line == 2 and problem.fixes == ()
