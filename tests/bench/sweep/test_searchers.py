"""Searchers and their options in a sweep's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hbsim.bench.sweep.plan import SweepPlan
from hbsim.errors import ParameterError
from hbsim.surrogates import load
from tests.bench.sweep.made import read

RULES = "def deep(c):\n    return c['depth'] > 2\n"
FILE = """\
seeds = 2
[defaults]
num_trials = 9
max_t = 9
searcher = "lhs"
search_options = {size = 8, points_to_evaluate = [{lr = 0.1}]}
[[variants]]
type = "promotion"
vary.searcher = ["random", "sobol"]
[[variants]]
type = "stopping"
search_options = {size = 4, constraints = "rules.py:deep"}
[[surrogates]]
surrogate = "digits"
"""


@pytest.fixture(autouse=True)
def rules(tmp_path: Path) -> None:
    (tmp_path / "rules.py").write_text(RULES)


def found(sweep: SweepPlan) -> dict[str, tuple[Any, Any]]:
    studies = sweep.studies
    return {one.of.variant.label: (one.of.searcher, dict(one.of.search_options)) for one in studies}


def test_a_variant_has_its_own_and_those_of_settings_that_it_takes(tmp_path: Path) -> None:
    sweep = read(tmp_path, FILE)
    points = {"points_to_evaluate": [{"lr": 0.1}]}
    own = {"size": 4, "constraints": f"{tmp_path}/rules.py:deep", **points}
    assert found(sweep) == {
        "promotion,searcher=random": ("random", points),
        "promotion,searcher=sobol": ("sobol", points),
        "stopping": ("lhs", own),
    }
    manifest: Any = sweep.manifest()
    (note,) = manifest["tasks"][0]["notes"]
    assert "different ways (random, sobol, lhs)" in note
    assert [one["own"] for one in manifest["variants"]][1:] == [
        {"searcher": "sobol"},
        {"search_options.size": 4, "search_options.constraints": "rules.py:deep"},
    ]
    assert manifest["variants"][2]["options"]["searcher"] == "lhs"


def test_a_study_runs_with_them(tmp_path: Path) -> None:
    curves = load("digits")
    for study in read(tmp_path, f"halves = false\n{FILE}").studies:
        rows = study.run().curves.configurations().tolist()
        assert len(set(rows)) == 9
        if study.of.searcher == "lhs":
            assert min(curves.configurations["depth"][rows]) > 2  # type: ignore[attr-defined]


def keys(folder: Path, text: str) -> list[str]:
    return [study.key for study in read(folder, text).studies]


def test_options_of_a_searcher_are_merged_one_by_one(tmp_path: Path) -> None:
    override = (
        '[[override]]\nwhere = {variant = "stopping"}\nset = {search_options = {points_to_evaluate = [0]}}\n'
    )
    sweep = read(tmp_path, FILE + override)
    assert found(sweep)["stopping"][1]["points_to_evaluate"] == [0]
    assert found(sweep)["stopping"][1]["size"] == 4
    assert found(sweep)["promotion,searcher=sobol"][1] == {"points_to_evaluate": [{"lr": 0.1}]}


def test_they_count_for_the_cell_and_none_is_what_it_was(tmp_path: Path) -> None:
    plain = FILE.replace("search_options", "# search_options")
    base, cells = keys(tmp_path, plain), keys(tmp_path, FILE)
    assert not set(base) & set(cells)
    assert keys(tmp_path, plain.replace("# search_options = {size = 8, ", "search_options = {} # ")) == base
    assert keys(tmp_path, FILE.replace("size = 8", "size = 9")) == cells  # no variant takes that one
    changed = keys(tmp_path, FILE.replace("size = 4", "size = 5"))
    assert [one == other for one, other in zip(changed, cells, strict=True)] == [True, True, False] * 2
    (tmp_path / "rules.py").write_text(RULES + "\n")
    again = keys(tmp_path, FILE)
    assert [one == other for one, other in zip(again, cells, strict=True)] == [True, True, False] * 2


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"sobol"', '"sobool"', 'line 9: variants.0.vary.searcher = "sobool": must be one of random'),
        ('"lhs"', '"lsh"', 'line 5: defaults.searcher = "lsh": must be one of random'),
        ("size = 8", "sise = 8", "line 6: defaults.search_options.sise = 8: is no option of random or sobol"),
        (
            "size = 4",
            "sise = 4",
            "line 12: variants.1.search_options.sise = 4: is no option of the searcher lhs",
        ),
        ("size = 4", "size = 1", "line 12: variants.1.search_options.size = 1: must be a whole number"),
        ("lr = 0.1", "lrr = 0.1", "line 6: defaults.search_options.points_to_evaluate"),
        (":deep", ":dep", "Did you mean 'deep'?"),
        ("rules.py", "rule.py", "there is no file"),
        ("size = 4", "size = 1979-05-27", "search_options.size"),
        ("{size = 4", "3 # {", "line 12: variants.1.search_options"),
        ('vary.searcher = ["random", "sobol"]', 'searcher = "x"', 'variants.0.searcher = "x"'),
        (
            'vary.searcher = ["random"',
            'searcher = "lhs"\nvary.searcher = ["random"',
            "is varied, and searcher",
        ),
    ],
)
def test_what_is_wrong_names_the_line(old: str, new: str, error: str, tmp_path: Path) -> None:
    assert old in FILE
    with pytest.raises(ParameterError) as caught:
        read(tmp_path, FILE.replace(old, new))
    assert error in str(caught.value)


GRID = """\
seeds = 2
[defaults]
max_t = 9
[[variants]]
type = "promotion"
searcher = "grid"
search_options = {points = 3}
[[variants]]
type = "stopping"
searcher = "grid"
search_options = {points = 2}
[[surrogates]]
surrogate = "synthetic:max_resource=9"
"""


def test_a_grid_is_an_end(tmp_path: Path) -> None:
    studies = read(tmp_path, GRID).studies
    assert [study.run().summary()["trials"] for study in studies] == [27, 8, 27, 8]
    with pytest.raises(ParameterError, match=r"line 2: .*have no end: give num_trials"):
        read(tmp_path, GRID.replace('searcher = "grid"\nsearch_options = {points = 2}', 'searcher = "lhs"'))
