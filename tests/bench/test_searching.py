"""Searchers as part of what is compared."""

from __future__ import annotations

from hbsim.bench.variants import Searching, pairing, search_named


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
