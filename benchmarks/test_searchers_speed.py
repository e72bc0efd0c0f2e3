"""Suggestions of gp, mobster, tpe and bohb, for pytest-benchmark: `make bench`. Nothing asserts on a time."""

from __future__ import annotations

import numpy as np
import pytest

from hbsim.core.space import Choice, Int, Real, Space
from hbsim.searchers import SearchTask, make_searcher

SPACE = Space({f"x{i}": Real(0.0, 1.0) for i in range(8)})
PENDING = 8


@pytest.mark.benchmark(group="gp: a suggestion in eight dimensions, eight pending")
@pytest.mark.parametrize("fits", ["fitted", "with a fit"])
@pytest.mark.parametrize("name", ["gp", "mobster"])
@pytest.mark.parametrize("observations", [50, 200, 1000])
def test_gp_suggestion(benchmark, observations, name, fits):
    """Levels of mobster: each trial at 1, every third at 3, every ninth at 9, and so on."""
    pytest.importorskip("botorch", reason="needs BoTorch: the extra search")
    points = np.random.default_rng(0).random((observations + PENDING, len(SPACE)))

    def known():
        searcher = make_searcher(name, SearchTask(SPACE, 0, max_t=81))
        searcher.resume(points)
        trial, count = 0, 0
        while count < observations:
            value = float(-np.square(points[trial] - 0.3).sum())
            for level in (1, 3, 9, 27, 81) if name == "mobster" else (81,):
                if count < observations and (name == "gp" or trial % level == 0):
                    searcher.observe(trial, level, value + 0.1 * np.log(level))
                    count += 1
            searcher.forget(trial)
            trial += 1
        for waiting in range(trial, len(points)):
            searcher.forget(waiting)
            if waiting < trial + PENDING:
                searcher.register_pending(waiting, 1 if name == "mobster" else 81)
        if fits == "fitted":
            searcher.suggest(1)
            searcher.forget(len(points))
        return (searcher,), {}

    found = benchmark.pedantic(lambda searcher: searcher.suggest(1), setup=known, rounds=3)
    assert found.shape == (1, len(SPACE))


REALS = {f"x{i}": Real(0.0, 1.0) for i in range(3)}
MIXED = Space({**REALS, "lr": Real(1e-5, 1.0, log=True), "n": Int(1, 100), "act": Choice("a", "b", "c")})


@pytest.mark.benchmark(group="tpe: a suggestion in six dimensions")
@pytest.mark.parametrize("name", ["tpe", "bohb"])
@pytest.mark.parametrize("observations", [50, 200, 1000])
def test_tpe_suggestion(benchmark, observations, name):
    pytest.importorskip("optuna", reason="needs Optuna: the extra search")
    points = np.random.default_rng(0).random((observations, len(MIXED)))

    def known():
        options = {"random_fraction": 0.0} if name == "bohb" else {}
        searcher = make_searcher(name, SearchTask(MIXED, 0, max_t=9), options)
        searcher.resume(points)
        for trial, point in enumerate(points):
            searcher.observe(trial, 9, float(-np.square(point - 0.3).sum()))
        return (searcher,), {}

    found = benchmark.pedantic(lambda searcher: searcher.suggest(1), setup=known, rounds=10, warmup_rounds=1)
    assert found.shape == (1, len(MIXED))
