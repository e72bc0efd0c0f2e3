"""A suggestion of tpe and bohb, for pytest-benchmark: `make bench`. Nothing here asserts on a time."""

from __future__ import annotations

import numpy as np
import pytest

from hbsim.core.space import Choice, Int, Real, Space
from hbsim.searchers import SearchTask, make_searcher

pytest.importorskip("optuna", reason="needs Optuna: the extra search")

REALS = {f"x{i}": Real(0.0, 1.0) for i in range(3)}
SPACE = Space({**REALS, "lr": Real(1e-5, 1.0, log=True), "n": Int(1, 100), "act": Choice("a", "b", "c")})


@pytest.mark.benchmark(group="tpe: a suggestion in six dimensions")
@pytest.mark.parametrize("name", ["tpe", "bohb"])
@pytest.mark.parametrize("observations", [50, 200, 1000])
def test_suggestion(benchmark, observations, name):
    points = np.random.default_rng(0).random((observations, len(SPACE)))

    def known():
        options = {"random_fraction": 0.0} if name == "bohb" else {}
        searcher = make_searcher(name, SearchTask(SPACE, 0, max_t=9), options)
        searcher.resume(points)
        for trial, point in enumerate(points):
            searcher.observe(trial, 9, float(-np.square(point - 0.3).sum()))
        return (searcher,), {}

    found = benchmark.pedantic(lambda searcher: searcher.suggest(1), setup=known, rounds=10, warmup_rounds=1)
    assert found.shape == (1, len(SPACE))
