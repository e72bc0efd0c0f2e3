"""Searchers on the command line: simulate, run and compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.study.result import load
from tests.cli.run_studies import TRAIN, printed

RULES = """
def deep(configuration):
    return configuration["depth"] > 2

def small(configuration):
    return configuration["x"] < 0.5
"""
SIMULATE = ("simulate", "--scheduler", "promotion", "--max-t", "9")
RUN = ("run", "train.py:train_fn", "--scheduler", "promotion", "--max-t", "9", "--workers", "1")
QUIET = ("--progress", "none", "--fsync", "never")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "points.json").write_text('[{"lr": 0.1, "depth": 3}, 17]')
    (tmp_path / "x.json").write_text('[{"x": 0.25}]')
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "no.json").write_text("[")


def test_it_is_hbsim_simulate(call: Any) -> None:
    words = ("--trials", "40", "--searcher", "lhs", "--search-option", "size=10", "--points", "points.json")
    ran = call(*SIMULATE, *words, "--search-option", "constraints=rules.py:deep", "--json")
    found = printed(ran.out)
    options = {
        "size": 10,
        "points_to_evaluate": [{"lr": 0.1, "depth": 3}, 17],
        "constraints": lambda c: c["depth"] > 2,
    }
    scheduler = make_scheduler("promotion", max_t=9, num_trials=40, mode="min")
    result = hbsim.simulate(scheduler, "digits", searcher="lhs", search_options=options)
    assert found["summary"] == json.loads(json.dumps(result.summary()))
    assert (found["searcher"], found["configurations"]) == ("lhs", None)
    assert (
        "--search-option size=10 --search-option constraints=rules.py:deep --points points.json"
        in (found["command"])
    )


def test_a_grid_ends_the_study_and_says_how_many_there_are(call: Any) -> None:
    grid = ("--surrogate", "synthetic", "--searcher", "grid", "--search-option", "points=2")
    ran = call(*SIMULATE, *grid)
    assert ran.code == 0
    assert "grid of 8 configurations: learning_rate 2" in ran.out
    assert printed(call(*SIMULATE, *grid, "--json").out)["configurations"] == 8
    cut = call(*SIMULATE, *grid, "--trials", "3")
    assert "warning: the study starts 3 trials, the first of a grid of 8 configurations" in cut.err


ERRORS = [
    (("--searcher", "sobool"), "--searcher sobool: must be one of random, grid"),
    (("--search-option", "points"), "--search-option points: must be NAME=VALUE"),
    (
        ("--searcher", "grid", "--search-option", "pionts=2"),
        "--search-option pionts=2: is no option of the searcher grid; it takes points_to_evaluate, "
        "constraints, points, shuffle. Did you mean 'points'?",
    ),
    (("--search-option", "size=2"), "--search-option size=2: is no option of the searcher random"),
    (("--searcher", "lhs", "--search-option", "size=1"), "--search-option size=1: must be a whole number"),
    (("--searcher", "grid"), "--searcher grid: a table's rows are its configurations"),
    (("--points", "7"), "of a grid: --search-option 'points=7'"),
    (("--points", "no.json"), "--points no.json: must be a JSON file"),
    (("--points", "object.json"), "--points object.json: must be a JSON file"),
    (("--points", "x.json"), """--points '{"x": 0.25}': has a name that is no parameter"""),
    (("--search-option", "constraints=rules.py:dep"), "constraints=rules.py:dep: the file has no function"),
    (("--search-option", "constraints=rules.py:small"), "constraints=small: raised KeyError: 'x', for {"),
]


@pytest.mark.parametrize(("words", "text"), ERRORS)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], text: str, call: Any) -> None:
    ran = call(*SIMULATE, "--trials", "9", *words, "--out", "study")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("hbsim: error: ")
    assert ran.err.count("\n") == 1
    assert text in ran.err
    assert not Path("study").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--searcher", "gird"),
        ("--searcher", "grid", "--search-option", "pionts=2"),
        ("--searcher", "grid", "--search-option", "points=-2"),
        ("--search-option", "constraints=rules.py:deep"),
        ("--points", "points.json"),
    ],
)
def test_what_is_wrong_with_a_real_study_leaves_no_folder(words: tuple[str, ...], call: Any) -> None:
    ran = call(*RUN, "--trials", "4", *words, *QUIET)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("hbsim: error: --")
    assert not Path("exp").exists()


GRID = ("--searcher", "grid", "--search-option", "points=3", "--search-option", "constraints=rules.py:small")


def test_a_real_study_keeps_its_searcher(call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = call(*RUN, *GRID, "--points", "x.json", "--progress", "lines", "--out", "a")
    assert ran.code == 0, ran.err
    assert "hbsim: grid of 2 configurations, of 6 without the constraint: x 3 x kind 2" in ran.err
    whole = load("a")
    kept = {"points": 3, "constraints": "rules.py:small", "points_to_evaluate": [{"x": 0.25}]}
    assert (whole.spec.searcher, whole.spec.search_options) == ("grid", kept)
    assert [whole.configuration(trial)["x"] for trial in range(3)] == [0.25, 0, 0]
    monkeypatch.chdir("a")  # files are found from where the study was begun
    again = call("run", "--resume", "--out", str(tmp_path / "a"), "--json", *QUIET)
    assert printed(again.out)["summary"]["trials"] == 3
    other = call("run", "--resume", "--out", str(tmp_path / "a"), "--search-option", "points=4", *QUIET)
    assert other.code == 2
    assert "the study began with" in other.err


def test_a_study_of_python_needs_its_constraint_again(call: Any, tmp_path: Path) -> None:
    options = {"constraints": lambda c: c["x"] < 0.5}
    scheduler = make_scheduler("fifo", max_t=2, num_trials=2)
    how: Any = {"workers": 1, "progress": "none"}
    hbsim.run("train.py:train_fn", scheduler, search_options=options, **how)
    ran = call("run", "train.py:train_fn", "--resume", *QUIET)
    assert ran.code == 2
    assert "give it again, FILE.py:NAME" in ran.err


COMPARE = ("compare", "--trials", "9", "--surrogate", "digits", "--seeds", "2", "--jobs", "1", "--max-t", "9")


def test_searchers_are_compared(call: Any) -> None:
    words = ("--variant", "promotion", "--vary", "searcher=random,lhs", "--search-option", "size=9")
    found = printed(call(*COMPARE, *words, "--search-option", "constraints=rules.py:deep", "--json").out)
    made = {one["name"]: one["options"] for one in found["report"]["variants"]}
    rules = {"search_options.constraints": "rules.py:deep"}
    assert rules.items() <= made["promotion,searcher=random"].items()
    assert {"searcher": "lhs", "search_options.size": 9, **rules}.items() <= made[
        "promotion,searcher=lhs"
    ].items()
    (task,) = found["report"]["tasks"]
    assert any("trials are not paired" in note for note in task["notes"])
    same = printed(
        call(*COMPARE, "--variant", "promotion", "--variant", "stopping", "--searcher", "lhs", "--json").out
    )
    assert {one["options"]["searcher"] for one in same["report"]["variants"]} == {"lhs"}
    (task,) = same["report"]["tasks"]
    assert not any("paired" in note for note in task["notes"])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--searcher", "sobool"), "--searcher sobool: must be one of"),
        (("--vary", "searcher=random,lsh"), "--vary searcher=random,lsh: searcher must be one of"),
        (("--search-option", "size=9"), "--search-option size=9: is no option of random"),
        (
            ("--searcher", "lhs", "--search-option", "size=0"),
            "--search-option size=0: must be a whole number",
        ),
    ],
)
def test_errors_of_a_comparison(words: tuple[str, ...], text: str, call: Any) -> None:
    ran = call(*COMPARE, "--variant", "promotion", *words, "--out", "c")
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err
    assert not Path("c").exists()
