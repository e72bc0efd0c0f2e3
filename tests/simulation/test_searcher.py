"""What a searcher that learns is asked and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError
from hbsim.surrogates import Ideal

from .surrogates import Formula


class Listener:
    """Suggests what follows from all that it was told, and writes down every call."""

    model_based = True
    listens = True

    def __init__(self, rows: bool = True) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.rows = rows
        self.next = 0

    def suggest(self, n: int) -> Any:
        self.calls.append(("suggest", n))
        first, self.next = self.next, self.next + n
        if self.rows:
            return np.arange(first, first + n, dtype=np.int64)
        reports = sum(call[0] == "report" for call in self.calls)
        return np.array([[(0.37 * (first + i) + 0.11 * reports) % 1] for i in range(n)])

    def register_pending(self, trial: int, level: float) -> None:
        self.calls.append(("start", trial, level))

    def observe(self, trial: int, level: float, value: float | None) -> None:
        self.calls.append(("report", trial, level, value))

    def forget(self, trial: int) -> None:
        self.calls.append(("end", trial))


class Deaf(Listener):
    listens = False


class Ahead(Listener):
    """Its suggestions depend on nothing: it may be asked for many."""

    model_based = False


RISING = Formula(lambda row, level: row + 0 * level)
FALLING = Formula(lambda row, level: -row + 0 * level)


def calls(
    type: str, surrogate: Any, searcher: Listener | None = None, cluster: Any = None, **options: Any
) -> list[tuple[Any, ...]]:
    searcher = searcher or Listener()
    scheduler = make_scheduler(type, max_t=3, **options)
    hbsim.simulate(scheduler, surrogate, searcher=searcher, cluster=cluster or hbsim.Cluster(workers=1))
    return searcher.calls


def test_stopping() -> None:
    """Trial 0 goes on, and is a start towards its next level; trial 1 stops."""
    assert calls("stopping", FALLING, num_trials=2) == [
        ("suggest", 1),
        ("start", 0, 1),
        ("report", 0, 1, 0),
        ("start", 0, 3),
        ("report", 0, 3, 0),
        ("end", 0),
        ("suggest", 1),
        ("start", 1, 1),
        ("report", 1, 1, -1),
        ("end", 1),
    ]


def test_with_maxt_pending_a_trial_is_pending_at_the_last_level_once() -> None:
    searcher = Listener()
    searcher.maxt_pending = True  # type: ignore[attr-defined]
    assert calls("stopping", FALLING, searcher, num_trials=1) == [
        ("suggest", 1),
        ("start", 0, 1),
        ("start", 0, 3),
        ("report", 0, 1, 0),
        ("report", 0, 3, 0),
        ("end", 0),
    ]


def test_promotion() -> None:
    """Three trials pause; the promoted one starts again, and nothing is asked for it."""
    assert calls("promotion", FALLING, num_trials=3, straight_on=False) == [
        ("suggest", 1),
        ("start", 0, 1),
        ("report", 0, 1, 0),
        ("end", 0),
        ("suggest", 1),
        ("start", 1, 1),
        ("report", 1, 1, -1),
        ("end", 1),
        ("suggest", 1),
        ("start", 2, 1),
        ("report", 2, 1, -2),
        ("end", 2),
        ("start", 0, 3),
        ("report", 0, 3, 0),
        ("end", 0),
    ]


def test_nothing_is_asked_ahead_and_pending_evaluations_are_known() -> None:
    """With three workers all three have started before the first report."""
    told = calls("fifo", RISING, cluster=hbsim.Cluster(workers=3), num_trials=4)
    assert told == [
        *(call for trial in range(3) for call in (("suggest", 1), ("start", trial, 3))),
        *(call for trial in range(3) for call in (("report", trial, 3, trial), ("end", trial))),
        ("suggest", 1),
        ("start", 3, 3),
        ("report", 3, 3, 3),
        ("end", 3),
    ]


def test_what_is_tried_again_is_still_pending_and_a_failure_for_good_is_an_end() -> None:
    cluster = hbsim.Cluster(workers=1, drop_rate=0.9)
    told = calls("fifo", RISING, cluster=cluster, num_trials=3, retries=1)
    assert told == [
        call for trial in range(3) for call in (("suggest", 1), ("start", trial, 3), ("end", trial))
    ]


def test_jobs_that_are_cut_have_no_end() -> None:
    searcher = Listener()
    scheduler = make_scheduler("fifo", max_t=3)
    hbsim.simulate(scheduler, RISING, workers=1, searcher=searcher, max_time=4)
    assert searcher.calls[-2:] == [("suggest", 1), ("start", 1, 3)]


def test_values_that_are_no_numbers() -> None:
    """A report of no number is still one."""
    told = calls("fifo", Formula(lambda row, level: np.where(row, np.nan, 1.0) + 0 * level), num_trials=2)
    reports = [call for call in told if call[0] == "report"]
    assert reports[0] == ("report", 0, 3, 1.0)
    assert reports[1][:3] == ("report", 1, 3)
    assert reports[1][3] is None or np.isnan(reports[1][3])


def test_who_does_not_listen_is_told_nothing_and_asked_all_the_same() -> None:
    assert calls("stopping", FALLING, Deaf(), num_trials=4) == [("suggest", 1)] * 4


def test_who_does_not_learn_is_asked_for_as_many_as_there_are_trials() -> None:
    told = calls("stopping", FALLING, Ahead(), num_trials=100)
    asked = [call[1] for call in told if call[0] == "suggest"]
    assert sum(asked) == 100
    assert len([call for call in told if call[0] == "end"]) == 100


@pytest.mark.parametrize("type", ["stopping", "promotion", "sha", "hyperband", "fifo"])
@pytest.mark.parametrize("report", ["blocking", "async"])
def test_the_protocol_in_a_larger_study(type: str, report: str) -> None:
    """Asked once for each trial, in order, before it starts; reports and ends only of what runs."""
    searcher = Listener(rows=False)
    options = {"n": 9} if type == "sha" else {}
    scheduler = make_scheduler(type, max_t=9, num_trials=50, retries=1, **options)
    cluster = hbsim.Cluster(workers=4, drop_rate=0.04, report_delay=0.25, report=report, save=0.5)
    result = hbsim.simulate(scheduler, Ideal(9), searcher=searcher, cluster=cluster, seed=1)
    suggested, pending, started = 0, {}, []
    for call in searcher.calls:
        if call[0] == "suggest":
            assert call == ("suggest", 1)
            assert suggested == len(set(started)), "asked before the last one started"
            suggested += 1
        elif call[0] == "start":
            assert call[1] < suggested
            assert call[1] not in pending, "registered twice"
            pending[call[1]] = call[2]
            started.append(call[1])
        elif call[0] == "report":
            assert pending.pop(call[1]) == call[2]
        else:
            pending.pop(call[1], None)
    assert not pending
    assert suggested == 50
    assert list(dict.fromkeys(started)) == list(range(50))
    continues = result.decisions["verdict"].to_list().count("continue")
    verdicts = result.jobs["verdict"].to_list()
    retried = verdicts.count("failed") - result.summary()["failed"]
    assert retried > 0
    assert len(started) == len(result.jobs) - retried + continues
    reports = [call[1:] for call in searcher.calls if call[0] == "report"]
    assert reports == result.decisions.select("trial", "level", "value").rows()


def test_configurations_are_those_suggested() -> None:
    """Each trial has the quality that was suggested for it."""
    searcher = Listener(rows=False)
    scheduler = make_scheduler("promotion", max_t=9, num_trials=20)
    result = hbsim.simulate(scheduler, Ideal(9), searcher=searcher, workers=3)
    qualities = result.curves.configurations()[:, 0]
    assert len(qualities) == 20
    decided = dict(result.decisions.select("trial", "value").rows())
    assert [decided[trial] for trial in range(20)] == qualities.tolist()


def test_a_searcher_of_another_space() -> None:
    class Wide(Listener):
        def suggest(self, n: int) -> Any:
            return np.zeros((n, 7))

    with pytest.raises(ParameterError, match="7"):
        calls("fifo", Ideal(3), Wide(rows=False), num_trials=2)
