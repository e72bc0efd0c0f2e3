"""Configurations to Optuna's params and back."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.core.space import Bool, Choice, Int, Parameter, Real, Space

optuna = pytest.importorskip("optuna", reason="needs Optuna: the extra search")

from hbsim.searchers.optuna_study import OptunaSpace, without_optuna_logs  # noqa: E402  (it needs Optuna)

PLAIN = st.none() | st.text(max_size=3) | st.integers() | st.floats(allow_nan=False)
ODD = st.tuples(st.integers()) | st.frozensets(st.integers(), max_size=2) | st.binary(max_size=2)


@st.composite
def reals(draw: st.DrawFn) -> Real:
    log = draw(st.booleans())
    low = draw(st.floats(1e-12, 1e6)) if log else draw(st.floats(-1e6, 1e6))
    high = low * draw(st.floats(1.01, 1e9)) if log else low + draw(st.floats(0.01, 1e9))
    return Real(low, high, log=log)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -(2**44), 2**44 - 1))
    return Int(low, draw(st.integers(low + 1, 2**44)), log=log)


def choices(values: st.SearchStrategy[object]) -> st.SearchStrategy[Parameter]:
    return st.lists(values, min_size=1, max_size=6, unique=True).map(Choice)


PARAMETERS = reals() | ints() | choices(PLAIN) | choices(PLAIN | ODD) | st.booleans().map(Bool)
SPACES = st.dictionaries(st.text(min_size=1), PARAMETERS, min_size=1, max_size=5).map(Space)


@given(space=SPACES, data=st.data())
def test_configurations_survive(space: Space, data: st.DataObject) -> None:
    unit = st.floats(0.0, 1.0)
    point = np.array(data.draw(st.lists(unit, min_size=len(space), max_size=len(space))))
    optuna_space = OptunaSpace(space)
    (params,) = optuna_space.params(point[np.newaxis])
    for name, distribution in optuna_space.distributions.items():  # Optuna takes them, and gives them back
        internal = distribution.to_internal_repr(params[name])
        assert distribution._contains(internal)
        assert distribution.to_external_repr(internal) == params[name]
    again = optuna_space.point(params)
    assert ((again >= 0.0) & (again <= 1.0)).all()
    was, now = space.mapping(point), space.mapping(again)
    for name, parameter in space.parameters.items():
        if not isinstance(parameter, Real):
            assert now[name] is was[name] or (now[name], type(now[name])) == (was[name], type(was[name]))
        elif parameter.log:
            assert math.isclose(now[name], was[name], rel_tol=1e-9)
        else:
            size = max(abs(parameter.low), abs(parameter.high))
            assert math.isclose(now[name], was[name], abs_tol=8 * np.spacing(size))


@given(space=SPACES, data=st.data())
def test_what_optuna_draws_is_a_point(space: Space, data: st.DataObject) -> None:
    optuna_space = OptunaSpace(space)
    seed = data.draw(st.integers(0, 1000))
    with without_optuna_logs():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        params = study.ask(optuna_space.distributions).params
    point = optuna_space.point(params)
    assert ((point >= 0.0) & (point <= 1.0)).all()
    (again,) = optuna_space.params(point[np.newaxis])
    for name, parameter in space.parameters.items():
        if not isinstance(parameter, Real):
            assert again[name] == params[name]


def test_bounds_are_kept_where_a_sampler_is_a_float_off() -> None:
    space = OptunaSpace(Space({"x": Real(0.1, 0.3), "lr": Real(1e-3, 1e-1, log=True)}))
    low = space.point({"x": np.nextafter(0.1, 0.0), "lr": np.nextafter(1e-3, 0.0)})
    high = space.point({"x": np.nextafter(0.3, 1.0), "lr": np.nextafter(1e-1, 1.0)})
    assert low.tolist() == [0.0, 0.0]
    assert high.tolist() == [1.0, 1.0]


def test_distributions_are_optunas_own() -> None:
    space = Space(
        {
            "lr": Real(1e-3, 1e-1, log=True),
            "depth": Int(1, 8, log=True),
            "act": Choice("relu", None, 3, 0.5),
            "shape": Choice((1, 2), (3,)),
            "one": Choice("same"),
            "nesterov": Bool(),
        }
    )
    made = OptunaSpace(space)
    d = optuna.distributions
    assert made.distributions == {
        "lr": d.FloatDistribution(1e-3, 1e-1, log=True),
        "depth": d.IntDistribution(1, 8, log=True),
        "act": d.CategoricalDistribution(("relu", None, 3, 0.5)),
        "shape": d.CategoricalDistribution((0, 1)),
        "one": d.CategoricalDistribution(("same",)),
        "nesterov": d.CategoricalDistribution((False, True)),
    }


@pytest.mark.parametrize("level", [20, 50])  # INFO, CRITICAL
def test_quiet_gives_the_level_of_the_log_back(level: int) -> None:
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(level)
        with pytest.raises(KeyError), without_optuna_logs():
            raise KeyError(optuna.logging.get_verbosity())
        assert optuna.logging.get_verbosity() == level
        with without_optuna_logs():
            assert optuna.logging.get_verbosity() == max(level, optuna.logging.ERROR)
    finally:
        optuna.logging.set_verbosity(before)


def test_optuna_says_nothing_and_is_not_imported_before_it_is_used() -> None:
    code = """
import sys
import hbsim
from hbsim.searchers import SearchTask, make_searcher
task = SearchTask(hbsim.Space({"x": hbsim.Real(0, 1)}), 0, max_t=1)
make_searcher("random", task)
assert "optuna" not in sys.modules
searcher = make_searcher("bohb", task, {"num_init": 0, "random_fraction": 0})
for trial in range(9):
    searcher.suggest(1)
    searcher.observe(trial, 1, trial)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
