"""One thing at a time of hosts that come and go. Nine epochs, a second each; milestones at 1, 3 and 9."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from hbsim.runner.journal_state import WorkerSeconds
from hbsim.runner.real import Limits
from hbsim.runner.records import EndReason, StudyClosed
from tests.doubles.fake_hosts import Absence, Host
from tests.doubles.fake_trials import Fault

from .checks import check_end, check_hosts, check_left
from .studies import Run, Study, small


def one(**changes: Any) -> Study:
    """Return a study of one trial, which is tried again once."""
    return small("fifo", trials=1, retries=1, **changes)


def vanishing(*absences: Absence) -> list[Host]:
    return [Host(1, absences=absences)]


def kinds(run: Run) -> list[str]:
    return [record["e"] for record in run.records if record["e"] != "rows"]


def times(run: Run, *names: str) -> list[float]:
    return [record["t"] for record in run.records if record["e"] in names]


def test_a_trial_that_is_lost_with_its_host() -> None:
    """It goes at 3.5, is shut at 4, lost at 5.5, and is back at 7.5."""
    run = one().run(hosts=vanishing(Absence(3.5, seconds=4, lease=2, told=0.5)))
    check_end(run)
    again = ["open", "start", "reach", "gone", "none", "close"]
    assert kinds(run) == ["study", "open", "start", "shut", "fail", "gone", *again]
    assert times(run, "open", "shut", "fail", "start") == [0.0, 0.0, 4.0, 5.5, 7.5, 7.5]
    assert run.journal_state.failures == [(0, "lost", "its host was lost")]
    about = {"host": "host0", "cpus": 1, "gpus": ["gpu0"]}
    assert run.records[1] == {"e": "open", "n": 1, "t": 0.0, "worker": 0, **about}
    (machine,) = run.journal_state.machines.values()
    assert {name: getattr(machine, name) for name in about} == about


def test_a_host_that_is_back_before_its_lease_is_over() -> None:
    """Its trial has trained on; what it reported meanwhile comes then."""
    run = one().run(hosts=vanishing(Absence(3.5, seconds=3, lease=9, told=1, lives=True)))
    check_end(run)
    assert kinds(run) == ["study", "open", "start", "shut", "open", "reach", "gone", "none", "close"]
    assert times(run, "rows", "reach") == [1, 2, 3, 6.5, 6.5, 6.5, 7, 8, 9]
    assert run.journal_state.capacity == 9.0
    # As if checkpoints had been fetched until then.
    run.journal_state.apply(StudyClosed(time=20.0, why=EndReason.DONE))
    assert run.journal_state.capacity == 9.0


def test_a_worker_that_is_open_again_before_its_last_job_is_lost() -> None:
    run = one().run(hosts=vanishing(Absence(3.5, seconds=1, lease=5, told=0)))
    check_end(run)
    assert times(run, "shut", "open", "fail") == [0.0, 3.5, 4.5, 8.5]
    assert times(run, "start") == [0.0, 8.5]


def test_whatever_is_said_twice_counts_once() -> None:
    absence = Absence(3.5, seconds=4, lease=2, told=0.5)
    runs = [one().run(hosts=vanishing(replace(absence, twice=twice))) for twice in (False, True)]
    assert runs[0].records == runs[1].records


def test_a_study_that_is_done_waits_for_no_host() -> None:
    """The only trial fails for good when it is lost; it was done when its process died."""
    for study, hosts in (
        (small("fifo", trials=1), vanishing(Absence(3.5, inf, lease=5))),
        (small("fifo", trials=1, faults=[Fault(0, "deaf")]), vanishing(Absence(10.0, inf, lease=7))),
    ):
        run = study.run(hosts=hosts)
        check_end(run)
        assert times(run, "close") == times(run, "gone")
    again = study.run(run.records, hosts=[Host(1, joins=60.0)])
    assert kinds(again)[-2:] == ["resume", "close"]
    check_end(again)


@pytest.mark.parametrize("joins", [0.0, 100.0])
def test_out_of_time_while_there_is_no_host(joins: float) -> None:
    limits = Limits(max_time=20.0)
    run = one().run(limits=limits, hosts=[Host(1, joins, (Absence(3.5, 100.0, lease=1),))])
    check_left(run)
    assert (run.records[-1]["why"], run.records[-1]["t"]) == ("max_time", 20.0)
    check_end(run.study.run(run.records, workers=1))


@pytest.mark.parametrize("joins", [0.0, 100.0])
def test_interrupted_while_there_is_no_host(joins: float) -> None:
    run = Run(one(), hosts=[Host(1, joins, (Absence(3.5, 100.0, lease=1),))])
    run.crew.at(5.0 + 20.0, run.real.interrupt)
    run.go()
    check_left(run)
    assert (run.records[-1]["why"], run.records[-1]["t"]) == ("interrupted", 20.0)


def test_a_trial_that_cannot_leave_since_its_host_is_away() -> None:
    """The study ends when nothing can run there any more; the trial has not failed."""
    run = Run(one(), hosts=vanishing(Absence(3.5, inf, lease=9)))
    run.crew.at(5.0 + 4.0, run.real.interrupt)
    run.go()
    check_left(run)
    assert times(run, "close") == [12.5]
    assert run.journal_state.failures == []
    assert run.scheduler.trial_statuses() == ["running"]


def test_what_ran_starts_again_as_hosts_come() -> None:
    """Three trials, and only one worker at first: nothing new starts before them."""
    study = small("fifo", trials=4, workers=3)
    records = study.run().records
    place = next(n for n, record in enumerate(records) if record.get("t", 0) > 4)
    run = study.run(records[:place], hosts=[Host(1, joins=2.0), Host(1, joins=6.0)])
    check_end(run)
    check_hosts(run)
    started = [(r["e"], r["t"], r["trial"]) for r in run.records[place:] if "trial" in r]
    restarts = [("restart", 6.0, 0), ("restart", 10.0, 1), ("restart", 15.0, 2)]
    assert started == [*restarts, ("start", 19.0, 3)]


def test_a_job_that_is_held_on_a_worker_that_is_shut() -> None:
    """Trial 0 saves for half a minute on worker 0, and goes on at worker 1, which vanishes; 2 is idle.

    The scheduler has had no job for worker 2, and is not asked again before something else happens.
    """
    study = small(trials=3, workers=3)
    best = next(job["trial"] for job in study.run().jobs().rows(named=True) if job["start_resource"])
    saves = [Fault(best, "slow save", seconds=30)]
    held = next(job for job in study.run(faults=saves).jobs().rows(named=True) if job["stop_resource"] > 1)
    hosts = [Host(1, absences=(Absence(2.0, inf),) if w == held["worker"] else ()) for w in range(3)]
    run = study.run(hosts=hosts, faults=saves)
    check_end(run)
    check_hosts(run)
    assert run.journal_state.failures == []
    back, again = run.jobs().filter(trial=best).rows(named=True)[1:3]
    assert (back["job"], back["verdict"], back["train_start"], back["end_time"]) == (3, "censored", None, 2.0)
    assert (again["start_time"], again["train_start"], again["attempt"]) == (2.0, 31.0, 0)
    restart = next(record for record in run.records if record["e"] == "restart")
    assert (restart["was"], restart["start"], restart["stop"]) == (3, 1, 3)


def test_all_that_a_large_host_runs_fails_once() -> None:
    """Sixteen trials are lost before any has reported: that is no broken machine."""
    study = small("fifo", trials=16, retries=1)
    check_end(study.run(hosts=[Host(16, absences=(Absence(0.5, seconds=1, lease=2),))]))


def test_a_host_that_loses_whatever_it_is_given() -> None:
    """Nothing is ever reported. At the tenth time the host counts as broken."""
    losses = tuple(Absence(0.5, seconds=1, lease=0.5) for _ in range(20))
    run = small("fifo", trials=16, retries=9).run(hosts=[Host(2, absences=losses)])
    check_left(run)
    assert run.records[-1]["why"] == "failures"
    assert len(run.journal_state.failures) == 2 * 10


def test_worker_seconds_of_sessions_here_and_elsewhere() -> None:
    """Two workers here for 4 s; then a host of two from 2 s after the resumption until 11 s."""
    study = small("fifo", trials=2, workers=2)
    records = study.run().records
    place = next(n for n, record in enumerate(records) if record.get("t", 0) > 4)
    here = study.run(records[:place])
    assert here.journal_state.capacity is None
    away = study.run(records[:place], hosts=[Host(2, joins=2.0)])
    check_end(away)
    assert away.journal_state.capacity == 2 * 4 + 2 * 9
    back = study.run(away.records[:-6], workers=2)
    check_hosts(back)
    assert back.journal_state.workers_seen == 2


def test_workers_of_hosts_that_follow_each_other() -> None:
    """There are never more than two at once, though four have had jobs."""
    gone = (Absence(0.25, inf, lease=1),)
    run = small("fifo", trials=4, retries=1).run(hosts=[Host(2, absences=gone), Host(2, joins=3.0)])
    assert run.journal_state.jobs.started == 6
    assert run.journal_state.workers_seen == 2
    assert run.journal_state.capacity == 2 * 1.25 + 2 * 18


def test_workers_from_the_start_beside_hosts() -> None:
    """Those from the start are there while they have jobs, as soon as there are hosts."""
    capacity = WorkerSeconds()
    capacity.begin(0)
    capacity.open(1)
    capacity.pass_to(4.0)
    assert capacity.total == 4.0
