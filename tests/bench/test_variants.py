"""Variants from text, as tables of a specification; their schedulers and their searchers."""

from __future__ import annotations

import pytest

from hbsim.bench.variants import Searching, complete, label, pairing, search_named, variant_tables
from hbsim.errors import ParameterError


def test_values_have_types():
    (table,) = variant_tables(["promotion,brackets=3,straight_on=false,eta=2.5,bracket_sampling=hyperband"])
    assert table == {
        "type": "promotion",
        "brackets": 3,
        "straight_on": False,
        "reduction_factor": 2.5,
        "bracket_sampling": "hyperband",
    }
    own = {name: value for name, value in table.items() if name != "type"}
    text = "promotion,brackets=3,straight_on=false,reduction_factor=2.5,bracket_sampling=hyperband"
    assert label("promotion", own) == text  # type: ignore[arg-type]
    assert variant_tables([text]) == variant_tables([f" {text.replace(',', ' , ')}"]) == [table]


def test_vary_is_for_those_that_take_it_and_leave_it_open():
    texts = ["stopping", "promotion,brackets=2", "fifo", "stopping,searcher=lhs"]
    assert variant_tables(texts, ["brackets=1,3", "searcher=random,gp"]) == [
        {"type": "stopping", "vary": {"brackets": [1, 3], "searcher": ["random", "gp"]}},
        {"type": "promotion", "brackets": 2, "vary": {"searcher": ["random", "gp"]}},
        {"type": "fifo", "vary": {"searcher": ["random", "gp"]}},
        {
            "type": "stopping",
            "name": "stopping,searcher=lhs",
            "searcher": "lhs",
            "vary": {"brackets": [1, 3]},
        },
    ]


@pytest.mark.parametrize(
    ("max_t", "eta", "n"), [(81, 3, 81), (80, 3, 27), (243, 3, 243), (9, 2.5, 7), (9, 10, 1)]
)
def test_sha_gets_eta_to_the_k(max_t: int, eta: float, n: int):
    variant = complete("sha", "sha", {"reduction_factor": eta}, {"max_t": max_t, "brackets": 3})
    assert variant.options == {"reduction_factor": eta, "max_t": max_t, "n": n}
    assert f"n={n}" in variant.notes[0]
    own = complete("sha,n=5", "sha", {"n": 5}, {"max_t": 81})
    assert (own.options["n"], own.notes) == (5, ())


@pytest.mark.parametrize(
    ("variants", "vary", "field", "message"),
    [
        ([], [], "variant", "at least one"),
        (["stoping"], [], "variant", "Did you mean 'stopping'?"),
        ([""], [], "variant", "must start with a type"),
        (["stopping,bracket=3"], [], "variant", "Did you mean 'brackets'?"),
        (["fifo,brackets=3"], [], "variant", "'brackets' is no option of type 'fifo'"),
        (["stopping,brackets"], [], "variant", "must be OPTION=VALUE"),
        (["stopping,brackets="], [], "variant", "must be OPTION=VALUE"),
        (["stopping,brackets=1,brackets=2"], [], "variant", "must not be given twice"),
        (["promotion,sercher=grid"], [], "variant", "Did you mean 'searcher'?"),
        (["stopping"], ["bracket=1,3"], "vary", "Did you mean 'brackets'?"),
        (["stopping"], ["brackets"], "vary", "OPTION=VALUE,VALUE"),
        (["stopping"], ["brackets=1,,2"], "vary", "OPTION=VALUE,VALUE"),
        (["stopping"], ["brackets=1,1"], "vary", "a value must not be given twice"),
        (["stopping"], ["brackets=1", "brackets=2"], "vary", "brackets must not be given twice"),
        (["fifo"], ["brackets=1,2"], "vary", "no variant takes brackets"),
        (["stopping,brackets=3"], ["brackets=1,2"], "vary", "leaves it open"),
        (["promotion,searcher=lhs"], ["searcher=grid"], "vary", "no variant takes searcher"),
    ],
)
def test_what_is_wrong_is_named(variants: list[str], vary: list[str], field: str, message: str):
    with pytest.raises(ParameterError) as caught:
        variant_tables(variants, vary)
    assert caught.value.field == field
    assert message in caught.value.rule


def test_a_wrong_option_is_the_variants_and_a_shared_one_keeps_its_name():
    with pytest.raises(ParameterError) as caught:
        complete("mine", "stopping", {"brackets": 0}, {"max_t": 9})
    assert (caught.value.field, caught.value.value) == ("variant", "mine")
    with pytest.raises(ParameterError) as caught:
        complete("mine", "stopping", {}, {"max_t": 9, "grace_period": "x"})
    assert caught.value.field == "grace_period"


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


def test_names_of_searchers_beside_options_of_schedulers() -> None:
    assert search_named(None, {}) == search_named("random", {}) == {}
    found = search_named("grid", {"points": {"lr": 3}, "shuffle": True, "constraints": "/a/rules.py:deep"})
    assert found == {
        "searcher": "grid",
        "search_options.points": '{"lr": 3}',
        "search_options.shuffle": True,
        "search_options.constraints": "rules.py:deep",
    }
