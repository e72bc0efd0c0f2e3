"""Hosts come and go: nothing that was told is lost, and a study ends by its scheduler, whoever is there."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.runner.real import Limits
from tests.doubles.fake_hosts import Absence, Host
from tests.doubles.fake_trials import Fault
from tests.doubles.pair import round_trip
from tests.profile import examples

from .checks import check_end, check_hosts, check_left, check_reports, tell_again
from .studies import HANGS, Run, Study, picture, replayed, small, studies

CUTS = st.lists(st.floats(0, 1), min_size=1, max_size=3)


@st.composite
def absences(draw: Any) -> Absence:
    lease = draw(st.sampled_from([0.0, 1.0, 5.0, 30.0]))
    seconds = draw(st.sampled_from([0.0, 0.5, 3.0, 12.0, 60.0, 60.0, inf]))
    told = min(draw(st.sampled_from([0.0, 0.25, 2.0, 30.0])), lease, seconds)
    after = draw(st.sampled_from([0.25, 1.0, 3.5, 10.0, 25.0]))
    return Absence(after, seconds, lease, told, draw(st.booleans()), draw(st.booleans()))


@st.composite
def hosts(draw: Any, workers: int = 3) -> list[Host]:
    """Draw hosts: few losses, so that nothing takes them for a broken machine. One stays in the end."""
    losses = draw(st.lists(absences(), max_size=4))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        mine, losses = losses[: (most := draw(st.integers(0, 3)))], losses[most:]
        joins = draw(st.sampled_from([0.0, 0.0, 0.5, 4.0, 30.0]))
        found.append(Host(draw(st.integers(1, workers)), joins, tuple(mine)))
    stays = tuple(replace(absence, seconds=min(absence.seconds, 60.0)) for absence in found[0].absences)
    return [replace(found[0], absences=stays), *found[1:]]


def check_cut(run: Run) -> None:
    check_left(run)
    check_reports(run)
    check_hosts(run)
    tell_again(run)


def check_over(run: Run) -> None:
    """It was over as soon as the scheduler was done: nobody waited for hosts any more."""
    check_cut(run)
    check_end(run)
    assert run.records[-1]["t"] == max(r["t"] for r in run.records if r["e"] in ("gone", "resume"))


def check_standing(study: Study, run: Run, count: int) -> None:
    """The first `count` records say where everything stood after them."""
    standing = replayed(study, run.records[:count])
    assert round_trip(standing.scheduler) == run.notes.states[count - 1]
    assert picture(standing.journal_state) == run.pictures.taken[count - 1]


@settings(max_examples=examples(50))
@given(studies(), hosts())
def test_whatever_goes_wrong(study: Study, hosts: list[Host]) -> None:
    check_over(study.run(hosts=hosts))


@settings(max_examples=examples(50))
@given(
    studies(types=("promotion", "sha", "hyperband"), faulty=False),
    hosts(workers=2),
    st.lists(st.sampled_from([0.0, 1.0, 8.0, 40.0]), min_size=1, max_size=5),
)
def test_trials_that_go_on_while_they_save(study: Study, hosts: list[Host], seconds: list[float]) -> None:
    """The next job of a trial has a worker, which is shut before the last process is gone."""
    faults = [Fault(job, "slow save", seconds=seconds[job % len(seconds)]) for job in range(60)]
    check_over(study.run(hosts=[*hosts, Host(2)], faults=faults))


@settings(max_examples=examples(25, 8))
@given(studies(), st.lists(hosts(), min_size=4, max_size=4), CUTS, st.integers(0, 3))
def test_crashes(study: Study, hosts: list[list[Host]], cuts: list[float], local: int) -> None:
    """Other hosts go on each time, or once this machine alone; what was written says where all stood."""
    run = Run(study, states=True, hosts=hosts[0]).go()
    for number, where in enumerate(cuts):
        before = run.records[: 1 + round(where * (len(run.records) - 1))]
        if len(before) - 1 in run.notes.states:
            check_standing(study, run, len(before))
        crew: dict[str, Any] = {"workers": 2} if number == local else {"hosts": hosts[1 + number]}
        run = Run(study, before, states=True, now=1000.0 * number, **crew).go()
        assert run.records[: len(before)] == before
        check_over(run)


@settings(max_examples=examples(50))
@given(studies(faulty=False, workers=1), hosts(workers=1))
def test_one_worker_decides_the_same(study: Study, hosts: list[Host]) -> None:
    """It vanishes and comes back; whatever is lost is tried again."""
    study.options |= {"retries": 9, "loss_retries": None}
    study.curve = replace(study.curve, breaks=())
    undisturbed, run = study.run(), study.run(hosts=hosts[:1])
    check_over(run)
    assert run.decided() == undisturbed.decided()
    assert run.journal_state.points == undisturbed.journal_state.points
    assert run.journal_state.returned == undisturbed.journal_state.returned


@settings(max_examples=examples(35))
@given(studies(), hosts(), hosts(), st.floats(0, 1))
def test_interrupted(study: Study, hosts: list[Host], others: list[Host], where: float) -> None:
    """At any record, with hosts there or not; then others go on."""
    length = len(study.run(hosts=hosts).records)
    run = Run(study, hosts=hosts)
    run.notes.hooks[1 + round(where * length)] = run.real.interrupt
    check_cut(run.go())
    check_over(study.run(run.records, hosts=others))


@settings(max_examples=examples(40))
@given(studies(), hosts(), st.integers(0, 600))
def test_out_of_time(study: Study, hosts: list[Host], tenths: int) -> None:
    """Nothing is waited for any more, neither trials nor hosts."""
    limits = Limits(max_time=tenths / 10, hang_timeout=HANGS, grace=2.0)
    run = study.run(limits=limits, hosts=hosts)
    check_cut(run)
    if not run.scheduler.done:
        assert run.records[-1]["why"] == "max_time"
    assert all(r["t"] < tenths / 10 for r in run.records if r["e"] in ("start", "restart"))
    check_over(study.run(run.records, hosts=hosts))


@pytest.mark.parametrize("type", ["stopping", "promotion", "hyperband"])
def test_a_crash_at_every_record(type: str) -> None:
    """With one worker that vanishes now and then it decides as a study that never lost anything."""
    losses = (Absence(2.5, seconds=4, lease=2, told=1), Absence(3.5, seconds=1, lease=5, twice=True))
    study = small(type, trials=4, retries=9, hosts=[Host(1, absences=losses)])
    undisturbed, run = study.run(workers=1), Run(study, states=True).go()
    for count in range(2, len(run.records) + 1):
        check_standing(study, run, count)
        resumed = study.run(run.records[:count], now=100.0)
        check_over(resumed)
        assert resumed.decided() == undisturbed.decided()
