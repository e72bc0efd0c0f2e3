"""Jobs before they have started: their checkpoints are on the way to the host that is to run them."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("distributed")

from hbsim.executors.dask.fleet_jobs import HEARD
from hbsim.runner.ends import Limits
from hbsim.runner.workers import Ended, Said
from tests.doubles.fake_trials import Fault
from tests.executors.test_dask_transfers import Jobs
from tests.runner.studies import Run, small


@pytest.mark.parametrize(
    ("order", "ended"),
    [
        ({"o": "kill", "job": 6, "reason": "it hangs"}, Ended(6, kind="lost", reason="it hangs")),
        ({"o": "leave", "job": 6, "save": True}, Ended(6, left=True)),
    ],
)
def test_a_job_that_fetches_is_called_off_at_once(order: dict[str, object], ended: Ended) -> None:
    """The host that has its checkpoint may take an hour to answer."""
    job = Jobs()
    job.jobs.order(6, {"o": "go", "job": 6, "stop": 9.0}, 1.0)
    assert not job.todo.messages
    job.jobs.order(6, order, 1.0)
    assert job.todo.messages == [ended]
    assert not job.agent.jobs
    job.jobs.fetched(6, 5, None, 2.0)
    job.jobs.order(6, order, 3.0)
    assert not job.started()
    assert job.todo.messages == [ended]


def test_a_job_that_fetches_is_heard_of_until_it_has_started() -> None:
    job = Jobs()
    for tick in range(40):
        job.jobs.tick(tick * HEARD / 4)
    assert job.todo.messages == [Said(6, [], 0)] * 10
    job.todo.messages.clear()
    job.jobs.fetched(6, 5, None, 11.0)
    assert job.started()
    for tick in range(40):
        job.jobs.tick(20.0 + tick)
    assert not job.todo.messages


@pytest.mark.parametrize("heard", [True, False])
def test_a_job_that_is_heard_of_has_not_hung(heard: bool) -> None:
    """Its clock begins when there is no word any more that it has not started yet."""
    study = small("fifo", trials=1, faults=[Fault(0, "slow start", seconds=30.0)])
    run = Run(study, limits=Limits(hang_timeout=4.0))
    for second in range(31 if heard else 2):
        run.crew.at(5.0 + second, lambda: run.crew._inbox.append(Said(0, [], 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.go()
    assert bool(run.crew.killed) is not heard
