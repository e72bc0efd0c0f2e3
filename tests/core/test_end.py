"""A trial whose training comes to an end of its own, below R."""

from __future__ import annotations

import json

import pytest

from hbsim.core import Failure, Report, Verdict, make_scheduler
from hbsim.errors import ProtocolError


def test_it_has_completed_and_what_it_recorded_stays():
    scheduler = make_scheduler("stopping", max_t=9, num_trials=3)
    for value in (1.0, 2.0, 3.0):
        trial = scheduler.ask().trial
        assert scheduler.tell(Report(trial, 1, value)).verdict is Verdict.CONTINUE
        scheduler.end(trial)
    assert scheduler.done
    assert scheduler.trial_statuses() == ["completed"] * 3
    assert scheduler.explain(1).n == 2
    assert "end of its own" in scheduler.explain(1).text
    with pytest.raises(ProtocolError, match="completed"):
        scheduler.tell(Report(0, 2, 1.0))
    with pytest.raises(ProtocolError, match="completed"):
        scheduler.end(0)


def test_it_is_not_retried():
    scheduler = make_scheduler("fifo", max_t=9, num_trials=1, retries=3)
    scheduler.end(scheduler.ask().trial)
    assert scheduler.done
    assert scheduler.ask() is None


def promotions(then: str) -> list[int]:
    """Return who is promoted of nine trials; none of the promoted has a number at the next level."""
    scheduler = make_scheduler("promotion", max_t=27, num_trials=9, straight_on=False)
    promoted = []
    while (job := scheduler.ask()) is not None:
        if job.start == 0:
            scheduler.tell(Report(job.trial, 1, -float(job.trial)))
            continue
        promoted.append(job.trial)
        if then == "ends":
            scheduler.end(job.trial)
        elif then == "fails":
            scheduler.tell(Failure(job.trial, job.start))
        else:
            scheduler.tell(Report(job.trial, job.stop, float("nan")))
    assert scheduler.done
    return promoted


def test_it_keeps_its_place_so_no_other_is_promoted_instead():
    assert promotions("ends") == promotions("reports") == [0, 1, 2]
    assert promotions("fails") == list(range(9)), "one that fails is passed over, and another takes its place"


@pytest.mark.parametrize("kind", ["sha", "hyperband"])
def test_a_synchronous_rung_does_not_wait_for_it(kind):
    options = {"n": 9} if kind == "sha" else {}
    scheduler = make_scheduler(kind, max_t=9, num_trials=9, **options)
    first = [scheduler.ask() for _ in range(9)]
    assert scheduler.ask() is None
    for job in first[:-1]:
        scheduler.tell(Report(job.trial, 1, float(job.trial)))
    assert scheduler.ask() is None
    scheduler.end(first[-1].trial)
    assert [scheduler.ask().trial for _ in range(2)] == [6, 7], "the best floor(8 / 3) of those that are in"


@pytest.mark.parametrize("kind", ["stopping", "promotion", "hyperband", "pasha", "median"])
def test_the_state_remembers_it(kind):
    scheduler = make_scheduler(kind, max_t=9, num_trials=30)
    for i in range(40):
        job = scheduler.ask()
        if job is None:
            break
        if i % 4 == 3:
            scheduler.end(job.trial)
        else:
            scheduler.tell(Report(job.trial, job.stop, float(i % 7)))
            if job.trial in [running.trial for running in scheduler.running_jobs()]:
                scheduler.end(job.trial)
    again = make_scheduler(kind, max_t=9, num_trials=30)
    again.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert again.trial_statuses() == scheduler.trial_statuses()
    assert again.state_dict() == scheduler.state_dict()
    while (job := scheduler.ask()) is not None:
        assert again.ask() == job
        assert scheduler.tell(Report(job.trial, 9, 0.5)) == again.tell(Report(job.trial, 9, 0.5))
    assert again.ask() is None
