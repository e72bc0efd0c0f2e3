"""What a study refuses, and what it keeps when it is interrupted."""

import gc
import os
import signal
from decimal import Decimal

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError, SurrogateError
from hbsim.searchers import RandomSearcher
from hbsim.study.interrupts import Interrupted
from hbsim.surrogates import Ideal


class Curve(Ideal):
    """Ideal curves that do something at their n-th block."""

    def __init__(self, action, block=1, seconds=1.0):
        super().__init__(9, seconds=seconds)
        self.action, self.block, self.blocks = action, block, 0

    def evaluate(self, configurations, levels):
        self.blocks += 1
        if self.blocks == self.block:
            self.action()
        return super().evaluate(configurations, levels)


def test_the_first_ctrl_c_ends_the_study_and_keeps_it():
    curves = Curve(lambda: os.kill(os.getpid(), signal.SIGINT), block=3)
    with pytest.raises(Interrupted) as caught:
        hbsim.simulate(make_scheduler("promotion", max_t=9, num_trials=10**6), curves, workers=4)
    result = caught.value.result
    summary = result.summary()
    assert summary["interrupted"] is True
    assert summary["trials"] > 8192
    assert result.jobs.filter(result.jobs["verdict"] == "censored").height == summary["running"] > 0
    assert result.jobs["end_time"].max() == result.end_time
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_own_stays():
    calls = []
    usual = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        curves = Curve(lambda: os.kill(os.getpid(), signal.SIGINT))
        result = hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=50), curves, workers=4)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert calls == [1]
    assert result.summary()["completed"] == 50


def test_workers_may_be_said_beside_a_cluster_that_does_not_say():
    def study(**options):
        scheduler = make_scheduler("fifo", max_t=9, num_trials=20)
        return hbsim.simulate(scheduler, Ideal(9), **options).summary()["workers"]

    assert study(workers=8, cluster=hbsim.Cluster(startup=2)) == 8
    assert study(cluster=hbsim.Cluster(startup=2)) == 32
    assert study(workers=8, cluster=hbsim.Cluster(workers=8)) == 8
    with pytest.raises(ParameterError) as caught:
        study(workers=8, cluster=hbsim.Cluster(workers=32))
    assert caught.value.field == "workers"


def test_numbers_of_other_kinds():
    cluster = hbsim.Cluster(workers=2, startup=Decimal("1.5"), report_delay=np.float32(0.5), speed=[1, 2])
    assert hash(cluster) == hash(hbsim.Cluster(workers=2, startup=1.5, report_delay=0.5, speed=(1.0, 2.0)))
    scheduler = make_scheduler("fifo", max_t=9, num_trials=20)
    result = hbsim.simulate(
        scheduler, Ideal(9), cluster=cluster, max_time=Decimal(40), max_reward=Decimal("2")
    )
    assert result.end_time == 40


def test_no_time_and_no_number_of_trials_has_no_end():
    with pytest.raises(SurrogateError, match="no time at all"):
        hbsim.simulate(make_scheduler("fifo", max_t=9), Ideal(9, seconds=0.0), max_time=5)


class Short:
    """A searcher that returns too few."""

    model_based = False
    listens = False

    def suggest(self, n):
        return np.full((n - 1, 1), 0.5)


class Deaf:
    """A searcher that would be told of everything, and cannot be."""

    model_based = False

    def suggest(self, n):
        return np.full((n, 1), 0.5)


class Vague:
    """A searcher that does not say whether it learns."""

    listens = False

    def suggest(self, n):
        return np.full((n, 1), 0.5)


@pytest.mark.parametrize("searcher", [5, object(), Short(), Deaf(), Vague()])
def test_what_is_no_searcher(searcher):
    with pytest.raises(ParameterError) as caught:
        hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), Ideal(9), searcher=searcher)
    assert caught.value.field == "searcher"


@pytest.mark.parametrize("outside", [1.5, -0.1, np.nan, np.inf])
def test_points_outside_the_unit_cube(outside):
    class Outside(Deaf):
        listens = False

        def suggest(self, n):
            return np.append(np.full(n - 1, 0.5), outside)[:, np.newaxis]

    with pytest.raises(ParameterError, match=f"points of the unit cube, not {outside}") as caught:
        hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), Ideal(9), searcher=Outside())
    assert (caught.value.field, caught.value.value) == ("searcher", "Outside")


def test_a_searcher_may_return_lists():
    class Lists(Deaf):
        listens = False

        def suggest(self, n):
            return [[0.5]] * n

    scheduler = make_scheduler("fifo", max_t=9, num_trials=5)
    assert hbsim.simulate(scheduler, Ideal(9), searcher=Lists()).summary()["trials"] == 5


def test_the_result_says_whether_rows_came_again():
    surrogate = Ideal(9, qualities=[0.1, 0.2, 0.3, 0.4])
    for trials, again in ((4, False), (5, True)):
        scheduler = make_scheduler("fifo", max_t=9, num_trials=trials)
        assert hbsim.simulate(scheduler, surrogate, replace=True).summary()["replace"] is again


def test_a_callers_frozen_objects_stay_frozen():
    gc.freeze()
    try:
        hbsim.simulate(make_scheduler("fifo", max_t=9, num_trials=5), Ideal(9))
        assert gc.get_freeze_count() > 0
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("odd", [np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_an_infinity_is_no_number_either(odd, mode):
    """All that is told of a study is the same as with NaN."""

    class Odd(Ideal):
        def __init__(self, odd):
            super().__init__(9, mode=mode)
            self.odd = odd

        def evaluate(self, configurations, levels):
            values, seconds = super().evaluate(configurations, levels)
            return np.where((values * 1000).astype(int) % 3 == 0, self.odd, values), seconds

    class Hears(RandomSearcher):
        listens = True

        def __init__(self, space):
            super().__init__(space, 0)
            self.values = []

        def observe(self, trial, level, value):
            self.values.append(value)

    for type in ("stopping", "promotion", "median", "sha", "fifo"):
        told = []
        for value in (np.nan, odd):
            searcher = Hears(Ideal(9).space)
            options = {"n": 9} if type == "sha" else {}
            scheduler = make_scheduler(type, max_t=9, num_trials=30, mode=mode, **options)
            result = hbsim.simulate(scheduler, Odd(value), workers=3, searcher=searcher)
            frames = [result.jobs, result.trials, result.decisions, result.incumbent(), result.epochs()]
            told.append(([frame.rows() for frame in frames], result.summary(), searcher.values))
        assert told[0] == told[1]
        assert None in told[0][2]
    assert Ideal(9, qualities=[0.5, odd, 0.25], mode=mode).optimum(9) == (0.5 if mode == "max" else 0.25)


def test_what_a_pause_costs_is_not_training():
    cluster = hbsim.Cluster(workers=2, startup=3, save=2, load=1)
    scheduler = make_scheduler("promotion", max_t=9, num_trials=20, straight_on=False)
    summary = hbsim.simulate(scheduler, Ideal(9), cluster=cluster).summary()
    trained = summary["trained_resource"]  # a second a unit
    assert summary["training_share"] == pytest.approx(trained / (2 * summary["simulated_seconds"]))
    assert summary["training_share"] < summary["busy_share"] <= 1
