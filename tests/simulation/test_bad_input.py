"""What cannot be simulated: one error that names the field, the value and the rule, before any work."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import HbsimWarning, ParameterError, SurrogateError
from hbsim.surrogates import Ideal

from .surrogates import Formula, Grid


def refused(field: str, value: object, **arguments: Any) -> ParameterError:
    """Simulate, and return the error; nothing was started before it."""
    scheduler = arguments.pop("scheduler", None) or make_scheduler("stopping", max_t=9, num_trials=5)
    with pytest.raises(ParameterError) as caught:
        hbsim.simulate(scheduler, **{"surrogate": Ideal(9), **arguments})
    error = caught.value
    assert error.field == field
    assert error.value is value or error.value == value
    assert str(error).startswith(f"{field}=")
    assert "\n" not in str(error)
    assert getattr(scheduler, "started", 0) == 0
    return error


def test_workers_that_disagree() -> None:
    error = refused("workers", 8, workers=8, cluster=hbsim.Cluster(workers=4))
    assert "workers=4" in error.rule


def test_workers_that_agree_or_are_given_once() -> None:
    def workers(**arguments: Any) -> object:
        scheduler = make_scheduler("fifo", max_t=9, num_trials=5)
        return hbsim.simulate(scheduler, Ideal(9), **arguments).summary()["workers"]

    assert workers(workers=4, cluster=hbsim.Cluster(workers=4)) == 4
    assert workers(cluster=hbsim.Cluster(workers=4)) == 4
    assert workers(workers=4) == 4
    assert workers() == 32


@pytest.mark.parametrize("workers", [0, -1, 1.5, "4", math.nan, True])
def test_workers_that_cannot_be(workers: Any) -> None:
    refused("workers", workers, workers=workers)


def test_a_used_scheduler() -> None:
    scheduler = make_scheduler("stopping", max_t=9, num_trials=5)
    hbsim.simulate(scheduler, Ideal(9))
    with pytest.raises(ParameterError, match="must be new") as caught:
        hbsim.simulate(scheduler, Ideal(9))
    assert caught.value.field == "scheduler"
    asked = make_scheduler("stopping", max_t=9, num_trials=5)
    asked.ask()
    with pytest.raises(ParameterError, match="must be new"):
        hbsim.simulate(asked, Ideal(9))


@pytest.mark.parametrize("scheduler", ["promotion", 3, object])
def test_no_scheduler(scheduler: Any) -> None:
    assert "make_scheduler" in refused("scheduler", scheduler, scheduler=scheduler).rule


def test_no_end() -> None:
    error = refused("num_trials", None, scheduler=make_scheduler("stopping", max_t=9))
    assert all(name in error.rule for name in ("num_trials", "max_time", "max_reward"))


@pytest.mark.parametrize("field", ["max_time", "max_reward"])
@pytest.mark.parametrize("value", [math.nan, math.inf, "10", [1]])
def test_ends_that_are_no_numbers(field: str, value: Any) -> None:
    refused(field, value, **{field: value})


@pytest.mark.parametrize("value", [0, -1.0])
def test_time_that_is_over(value: float) -> None:
    refused("max_time", value, max_time=value)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_mode_mismatch(mode: Any) -> None:
    surrogate = Ideal(9, mode="min" if mode == "max" else "max")
    scheduler = make_scheduler("fifo", max_t=9, mode=mode, num_trials=5)
    error = refused("mode", mode, scheduler=scheduler, surrogate=surrogate)
    assert surrogate.mode in error.rule
    assert "quality" in error.rule


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_seeds(seed: Any) -> None:
    refused("seed", seed, seed=seed)


def test_R_beyond_the_curves() -> None:
    error = refused("max_t", 27, scheduler=make_scheduler("stopping", max_t=27, num_trials=5))
    assert "9" in error.rule


def test_levels_that_the_curves_do_not_have() -> None:
    class Coarse(Formula):
        max_resource = 9
        resources = (1, 2, 4, 9)

    with pytest.raises((ParameterError, SurrogateError), match="no such level"):
        hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=5), Coarse(lambda r, level: r + level))


def test_unknown_keyword_and_names() -> None:
    with pytest.raises(ParameterError, match="workers") as caught:
        hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=1), Ideal(9), worker=4)  # type: ignore[call-arg]
    assert (caught.value.field, caught.value.value) == ("worker", 4)
    assert "ideal" in refused("surrogate", "ideall", surrogate="ideall").rule
    assert "random" in refused("searcher", "randon", searcher="randon").rule


# Rows of a table

TABLE = Grid("random", 1, 8, "max", (1.0,))


def test_more_trials_than_rows() -> None:
    scheduler = make_scheduler("stopping", max_t=9, num_trials=9)
    error = refused("num_trials", 9, scheduler=scheduler, surrogate=TABLE)
    assert "8 rows" in error.rule
    assert "replace=True" in error.rule
    assert "fitted" in error.rule


def test_as_many_trials_as_rows() -> None:
    result = hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=8), TABLE)
    assert sorted(result.curves.configurations().tolist()) == list(range(8))
    assert result.summary()["replace"] is False


def test_rows_again() -> None:
    """All eight in an order, then all in another; the result says so."""
    result = hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=24), TABLE, replace=True)
    assert result.summary()["replace"] is True
    assert result.replace is True
    used = result.curves.configurations().reshape(3, 8)
    assert [sorted(order) for order in used.tolist()] == [list(range(8))] * 3
    assert len({tuple(order) for order in used.tolist()}) == 3
    fewer = hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=8), TABLE)
    assert np.array_equal(fewer.curves.configurations(), used[0])


@pytest.mark.parametrize("searcher", [None, "random"])
def test_a_study_by_time_that_runs_out_of_rows(searcher: str | None) -> None:
    """It ends when all were tried, as with so many trials, and says so; one that is cut before does not."""
    made = make_scheduler("stopping", max_t=9)
    said = r"all 8 rows of Grid were tried, one for each trial, after .* s of max_time=10000: set replace"
    with pytest.warns(HbsimWarning, match=said):
        result = hbsim.simulate(made, TABLE, max_time=1e4, searcher=searcher)
    given = hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=8), TABLE, max_time=1e4)
    assert result.jobs.equals(given.jobs)
    assert result.summary()["trials"] == 8
    hbsim.simulate(make_scheduler("stopping", max_t=9), TABLE, workers=1, max_time=result.end_time / 2)
    result = hbsim.simulate(make_scheduler("stopping", max_t=9), TABLE, max_time=100, replace=True)
    assert result.summary()["trials"] > 8


# The cluster

TIMES = ("startup", "report_delay", "save", "load", "straggler_std", "drop_rate")
RULES: list[tuple[str, Any]] = [
    *((field, value) for field in TIMES for value in (-0.5, math.nan, math.inf, "1", None, True)),
    *(("workers", value) for value in (0, -3, 2.5, "8", None, math.inf, False)),
    ("drop_rate", 1),
    ("drop_rate", 1.5),
    ("resume", 1),
    ("resume", "yes"),
    ("report", "sync"),
    ("report", None),
    ("speed", 0),
    ("speed", -1.0),
    ("speed", math.nan),
    ("speed", "fast"),
    ("speed", None),
    ("speed", True),
    ("speed", [1.0, 2.0]),
    ("speed", [1.0, 0.0, 1.0]),
    ("speed", [1.0, math.inf, 1.0]),
    ("speed", []),
]


@pytest.mark.parametrize(("field", "value"), RULES)
def test_rules_of_the_cluster(field: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        hbsim.Cluster(**{"workers": 3, field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}=")


def test_whole_floats_and_numpy_numbers_will_do() -> None:
    cluster = hbsim.Cluster(
        workers=np.int64(3),
        speed=np.array([1.0, 2.0, 4.0]),
        startup=np.float64(0.5),
        drop_rate=np.float32(0.25),
    )
    assert hbsim.Cluster(workers=3.0).workers == 3
    scheduler = make_scheduler("fifo", max_t=9, num_trials=5)
    assert hbsim.simulate(scheduler, Ideal(9), cluster=cluster).summary()["workers"] == 3


@pytest.mark.parametrize("speed", [np.float32(2), np.int64(2), Fraction(2)])
def test_one_speed_of_any_kind_of_number(speed: Any) -> None:
    assert [float(each) for each in hbsim.Cluster(workers=3, speed=speed).speeds] == [2.0, 2.0, 2.0]


def test_a_cluster_of_another_kind() -> None:
    refused("cluster", 8, cluster=8)


# A user's surrogate


class Raises(Formula):
    def evaluate(self, configurations: Any, levels: Any) -> Any:
        raise ZeroDivisionError("no luck")


def test_a_surrogate_that_raises() -> None:
    with pytest.raises(SurrogateError) as caught:
        hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), Raises(lambda r, level: r))
    assert caught.value.source == "Raises"
    assert "ZeroDivisionError: no luck" in caught.value.problem
    assert "\n" not in str(caught.value)


class Flat(Formula):
    def evaluate(self, configurations: Any, levels: Any) -> Any:
        return np.zeros(len(configurations)), np.zeros(len(configurations))


def test_a_surrogate_of_another_shape() -> None:
    with pytest.raises(SurrogateError, match=r"values must have the shape \(5, 3\), got \(5,\)"):
        hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=5), Flat(lambda r, level: r))


def test_time_that_goes_back() -> None:
    surrogate = Formula(lambda r, level: r + level, seconds=lambda r, level: 10 - level + 0 * r)
    with pytest.raises(SurrogateError, match="seconds must not go back"):
        hbsim.simulate(make_scheduler("stopping", max_t=9, num_trials=5), surrogate)


FILE = """
import numpy as np


class Mine:
    metric, mode, max_resource, rows = "loss", "min", 9, 50

    def evaluate(self, configurations, levels):
        if len(levels) > {limit}:
            raise RuntimeError("too many levels")
        return configurations[:, None] + 1 / levels, np.tile(levels, (len(configurations), 1))
"""


def test_a_surrogate_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE.format(limit=1))
    scheduler = make_scheduler("fifo", max_t=9, mode="min", num_trials=5)
    result = hbsim.simulate(scheduler, f"{path}:Mine")
    assert result.summary()["surrogate"] == "Mine"
    assert result.summary()["completed"] == 5
    scheduler = make_scheduler("stopping", max_t=9, mode="min", num_trials=5)
    with pytest.raises(SurrogateError, match=r"RuntimeError: too many levels \(mine.py, line 10\)"):
        hbsim.simulate(scheduler, f"{path}:Mine")


def test_the_collector_is_as_it_was_after_an_error() -> None:
    import gc

    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with pytest.raises(SurrogateError):
                hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), Raises(lambda r, level: r))
            assert gc.isenabled() == enabled
            assert gc.get_freeze_count() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize("field", ["mtbf", "preempted_every"])
@pytest.mark.parametrize("text", ["weibull:mean=86400,shape=0.01", "empirical:86400" + "|0" * 2000])
def test_machines_that_come_and_go_too_fast_for_the_clock(field: str, text: str) -> None:
    with pytest.raises(ParameterError, match=r"nearly always shorter than 0\.001 s") as caught:
        hbsim.Cluster(**{field: text})
    assert caught.value.field == field
