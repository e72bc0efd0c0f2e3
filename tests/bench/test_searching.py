"""Searchers as part of what is compared."""

from __future__ import annotations

from typing import Any

import pytest
from hbsim.bench.pairing import Searching, pairing

from hbsim.bench import Plan, compare, make_variants
from hbsim.bench.searching import search_named
from hbsim.errors import ParameterError
from hbsim.surrogates import load

SHARED: Any = {"max_t": 9, "num_trials": 10}


def test_a_variant_has_its_searcher_and_those_options_that_it_takes() -> None:
    options = {"size": 8, "points": 2, "points_to_evaluate": []}
    made = make_variants(
        ["promotion", "stopping,searcher=lhs", "fifo,searcher=grid"], [], SHARED, None, options
    )
    assert [(one.label, one.searcher, sorted(one.search_options)) for one in made] == [
        ("promotion", None, ["points_to_evaluate"]),
        ("stopping,searcher=lhs", "lhs", ["points_to_evaluate", "size"]),
        ("fifo,searcher=grid", "grid", ["points", "points_to_evaluate"]),
    ]
    assert all("searcher" not in one.options for one in made)


def test_the_shared_searcher_is_for_those_that_name_none() -> None:
    made = make_variants(["promotion", "stopping,searcher=lhs"], ["retries=0,1"], SHARED, "sobol")
    assert [one.searcher for one in made] == ["sobol", "sobol", "lhs", "lhs"]
    varied = make_variants(["promotion", "stopping,searcher=lhs"], ["searcher=random,grid"], SHARED, "sobol")
    assert [(one.label, one.searcher) for one in varied] == [
        ("promotion,searcher=random", "random"),
        ("promotion,searcher=grid", "grid"),
        ("stopping,searcher=lhs", "lhs"),
    ]


@pytest.mark.parametrize(
    ("variants", "vary", "searcher", "options", "field", "rule"),
    [
        (["promotion,searcher=girid"], [], None, {}, "variant", "searcher must be one of"),
        (["promotion,sercher=grid"], [], None, {}, "variant", "Did you mean 'searcher'?"),
        (["promotion"], ["searcher=girid"], None, {}, "vary", "Did you mean 'grid'?"),
        (["promotion"], [], "girid", {}, "searcher", "Did you mean 'grid'?"),
        (["promotion,searcher=grid"], [], None, {"sizes": 3}, "search_options.sizes", "is no option of grid"),
        (["promotion,searcher=random", "promotion"], [], None, {}, "variant", "has the same options as"),
        (["promotion,searcher=lhs"], ["searcher=grid"], None, {}, "vary", "no variant takes searcher"),
    ],
)
def test_errors_name_the_field(
    variants: Any, vary: Any, searcher: Any, options: Any, field: str, rule: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        make_variants(variants, vary, SHARED, searcher, options)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_what_is_not_paired_is_said() -> None:
    one, same = Searching("a", None, {}), Searching("b", "random", {})
    other, learner = Searching("c", "lhs", {}), Searching("d", "gp", {})
    assert pairing([one]) == pairing([one, same]) == pairing([learner]) == []
    (differ,) = pairing([one, same, other])
    assert "different ways (random, lhs)" in differ
    (options,) = pairing([other, Searching("c", "lhs", {"size": 9})])
    assert "trials are not paired" in options
    (learns,) = pairing([one, other, learner])
    assert learns.startswith("d: the searcher learns")
    (many,) = pairing([learner] * 4)
    assert many.startswith("4 of the 4 variants: the searchers learn")


def test_a_comparison_runs_them() -> None:
    made = make_variants(
        ["promotion,searcher=grid", "stopping,searcher=lhs"], [], SHARED, None, {"points": 2}
    )
    comparison = compare(Plan(made, lambda: load("synthetic"), range(2)), jobs=1)
    trials = {row.label: row.means["trials"] for row in comparison.rows}
    assert trials == {"promotion,searcher=grid": 8, "stopping,searcher=lhs": 10}
    assert any("different ways (grid, lhs)" in note for note in comparison.notes)


def test_names_of_searchers_beside_options_of_schedulers() -> None:
    assert search_named(None, {}) == search_named("random", {}) == {}
    found = search_named("grid", {"points": {"lr": 3}, "shuffle": True, "constraints": "/a/rules.py:deep"})
    assert found == {
        "searcher": "grid",
        "search_options.points": '{"lr": 3}',
        "search_options.shuffle": True,
        "search_options.constraints": "rules.py:deep",
    }
