"""The time that is left of a study: exact where all costs are equal, unknown where nothing is known."""

from __future__ import annotations

import json

import pytest

from hbsim.study.time_left import SeenJobs, time_left
from tests.study.made import Made


def one_epoch_a_second(made, job, start, stop):
    """Train a job on its worker: a report each second; its last is at its milestone."""
    for epoch in range(start + 1, stop):
        made.rows(job, [(epoch, 0.1)], made.journal_state.now + 1)
    verdict = made.reach(job, 0.1, made.journal_state.now + 1)
    made.gone(job, made.journal_state.now)
    return verdict


@pytest.fixture
def fifo(tmp_path):
    """One worker, four trials of three epochs: the first is complete after 3 s."""
    made = Made(tmp_path / "exp", "fifo", max_t=3, num_trials=4)
    one_epoch_a_second(made, made.start(0, 0.0), 0, 3)
    return made


def test_equal_costs_give_the_exact_time(fifo):
    left = time_left(fifo.state, 3.0)
    assert (left.seconds, left.low, left.high) == pytest.approx((9.0, 9.0, 9.0))
    assert left.simulations >= 5
    assert left.at_most is None


def test_a_running_job_counts_from_its_last_report(fifo):
    job = fifo.start(0, 3.0)
    fifo.rows(job, [(1, 0.1)], 4.0)
    assert time_left(fifo.state, 4.25).seconds == pytest.approx(2 - 0.25 + 6)
    assert time_left(fifo.state, 4.25, runs=False).seconds == pytest.approx(3 + 6)


def test_a_limit_cuts_the_rest(fifo):
    left = time_left(fifo.state, 3.0, max_time=5.0)
    assert left.at_most == left.seconds == pytest.approx(2.0)
    assert time_left(fifo.state, 3.0, max_reward=0.05).seconds == pytest.approx(3.0)
    late = time_left(fifo.state, 3.0, max_time=2.0)
    assert (late.seconds, late.at_most) == (0.0, 0.0)


def test_the_scheduler_decides_in_simulations(tmp_path):
    """Nine trials of one level each, then three at the next and one to the end, on one worker."""
    made = Made(tmp_path / "exp", "sha", max_t=9, n=9, num_trials=9)
    for trial in range(8):
        job = made.start(0)
        made.reach(job, 0.1 * trial, made.journal_state.now + 1)
        made.gone(job, made.journal_state.now)
    before = json.dumps(made.scheduler.state_dict())
    assert time_left(made.state, 8.0).seconds == pytest.approx(1 + 3 * 2 + 6)
    assert json.dumps(made.scheduler.state_dict()) == before


def test_jobs_fail_in_simulations_as_often_as_so_far(fifo):
    fifo.fail(fifo.start(0, 3.0), "broken", 4.0)
    assert SeenJobs(fifo.journal_state, until_return=False).failing == 0.5


def test_what_is_unknown_has_a_reason(tmp_path, fifo):
    nothing = Made(tmp_path / "nothing", "fifo", max_t=3)
    assert "no trial has started" in time_left(nothing.state, 0.0).reason
    nothing.start(0, 0.0)
    unknown = time_left(nothing.state, 1.0, max_time=5.0)
    assert unknown.seconds is None
    assert unknown.at_most == 4.0
    assert "no trial has reported" in unknown.reason
    endless = Made(tmp_path / "endless", "fifo", max_t=3, num_trials=None)
    one_epoch_a_second(endless, endless.start(0, 0.0), 0, 3)
    assert "max_reward" in time_left(endless.state, 3.0, max_reward=0.9).reason
    assert time_left(endless.state, 3.0, max_time=8.0).seconds == pytest.approx(5.0)
