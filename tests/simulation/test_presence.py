"""When machines are there, against a naive double; the examples of the documentation in numbers."""

from __future__ import annotations

import math
from itertools import islice, takewhile
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbsim
from hbsim.simulation.availability import MachineAvailability
from hbsim.simulation.distributions import Distribution, Empirical
from hbsim.simulation.trace import Absence, Trace
from tests.doubles.naive_presence import NaivePresence

MACHINES = 3
HORIZON = 100.0

# Dyadic times, so that sources tie and touch; and others, whose sums are rounded.
THERE = st.sampled_from(
    [
        4.0,
        Empirical((0.25, 0.5)),
        Empirical((0.5, 1.0, 2.0)),
        Empirical((0.0, 0.0, 8.0)),
        "weibull:mean=9,shape=0.6",
    ]
)
AWAY = st.sampled_from([0.0, 0.7, Empirical((0.0, 0.5, 1.0)), Empirical((2.0,)), "lognormal:mean=1,std=3"])
TIMES = st.lists(st.integers(1, 100).map(lambda n: n / 2), unique=True, max_size=6).map(sorted)


@st.composite
def clusters(draw: Any) -> hbsim.Cluster:
    """Draw a cluster whose machines come and go, or do not."""
    notice = draw(st.sampled_from([0.0, 0.0, 0.25, 0.3, 2.0, 1e9]))
    sources: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        absences = tuple(draw(recorded()) for _ in range(MACHINES))
        return hbsim.Cluster(trace=Trace("made", ("a", "b", "c"), absences), notice=notice)
    if draw(st.booleans()):
        sources |= {"mtbf": draw(THERE), "mttr": draw(AWAY)}
    if draw(st.booleans()):
        sources |= {"preempted_every": draw(THERE), "preempted_for": draw(AWAY)}
    if draw(st.booleans()):
        counts = st.integers(0, MACHINES)
        sources["schedule"] = [
            (0.0, draw(st.integers(1, MACHINES))),
            *((t, draw(counts)) for t in draw(TIMES)),
        ]
    if not sources.keys().isdisjoint({"preempted_every", "schedule"}):
        sources["notice"] = notice
    return hbsim.Cluster(workers=MACHINES, **sources)


@st.composite
def recorded(draw: Any) -> tuple[Absence, ...]:
    """Draw absences that are apart, some of no length, the last perhaps for ever."""
    times = draw(TIMES)
    pairs = zip(times[::2], times[1::2], strict=False)
    absences = [
        Absence(start, draw(st.sampled_from([start, end])), draw(st.booleans())) for start, end in pairs
    ]
    if absences and draw(st.booleans()):
        absences[-1] = absences[-1]._replace(end=inf)
    return tuple(absences)


def until(presence: MachineAvailability, machine: int, horizon: float) -> list[Absence]:
    return list(takewhile(lambda absence: absence.start <= horizon, presence.absences(machine)))


@given(clusters(), st.integers(0, 2**40), st.integers(0, MACHINES - 1))
def test_against_naive(cluster: hbsim.Cluster, seed: int, machine: int) -> None:
    naive = NaivePresence(cluster, seed, HORIZON)
    ours = until(MachineAvailability(cluster, seed), machine, HORIZON)
    theirs = naive.absences(machine)
    # What reaches beyond the horizon may go on with what starts there.
    assert [each[:3] for each in ours if each.end <= HORIZON] == [e[:3] for e in theirs if e[1] <= HORIZON]
    assert [each.start for each in ours] == [each[0] for each in theirs]
    assert [each.preempted for each in ours] == [each[2] for each in theirs]
    assert [each.notice for each in ours] == pytest.approx([each[3] for each in theirs], rel=1e-9)
    for time in [k / 4 for k in range(int(4 * HORIZON))]:
        assert naive.is_there(machine, time) != any(each.start <= time < each.end for each in ours)


@given(clusters(), st.integers(0, 99), st.integers(0, MACHINES - 1), st.floats(0, HORIZON))
def test_seconds_there(cluster: hbsim.Cluster, seed: int, machine: int, end: float) -> None:
    presence = MachineAvailability(cluster, seed)
    list(islice(presence.absences(machine), 5))  # another iterator takes nothing from it
    assert presence.there(machine, end) == NaivePresence(cluster, seed, HORIZON).there(machine, end)


@given(clusters(), st.integers(0, 99))
def test_order_and_notice(cluster: hbsim.Cluster, seed: int) -> None:
    presence = MachineAvailability(cluster, seed)
    for machine in range(MACHINES):
        back = 0.0
        for place, each in enumerate(islice(presence.absences(machine), 200)):
            assert each.start > back or place == 0
            assert each.end >= each.start
            assert 0 <= each.notice <= cluster.notice
            assert each.start - each.notice >= back
            assert each.preempted or each.notice == 0
            back = each.end


def test_keyed_by_seed_and_machine() -> None:
    def first(seed: int, machine: int, workers: int = 4) -> list[Absence]:
        cluster = hbsim.Cluster(workers=workers, mtbf=10, mttr=1, preempted_every=10, preempted_for=1)
        return list(islice(MachineAvailability(cluster, seed).absences(machine), 300))

    assert first(0, 1) == first(0, 1) == first(0, 1, workers=2)
    assert len({first(seed, machine)[0].start for seed in (0, 1) for machine in range(4)}) == 8
    both = first(0, 1)
    assert {each.preempted for each in both} == {True, False}


def test_no_end_of_draws_but_an_end_of_the_machine() -> None:
    """A machine that a schedule takes for ever has no absence after that one, though breaks go on."""
    cluster = hbsim.Cluster(workers=2, mtbf=1.0, mttr=0.5, schedule=[(0, 2), (50, 1)])
    (*before, last) = MachineAvailability(cluster, 0).absences(1)
    assert last.end == inf
    assert last.start <= 50
    assert len(before) > 10
    assert MachineAvailability(cluster, 0).there(1, 1e9) == MachineAvailability(cluster, 0).there(1, 50)


@pytest.mark.parametrize("mtbf", ["weibull:mean=3,shape=0.7", "gamma:mean=3,std=1", 3.0])
def test_long_run_share(mtbf: Any) -> None:
    """A renewal process is up for E[up] / (E[up] + E[down]) of the time; 20,000 cycles, 4 standard errors."""
    cluster = hbsim.Cluster(workers=1, mtbf=mtbf, mttr="exponential:mean=1")
    share = MachineAvailability(cluster, 5).there(0, 80_000.0) / 80_000.0
    law: Distribution = cluster.mtbf  # type: ignore[assignment]
    std = {"weibull": 4.4, "gamma": 1.0, "exponential": 3.0}[law.text.partition(":")[0]]
    error = math.hypot(std * 0.25, 1.0 * 0.75) / 4 / math.sqrt(20_000)
    assert share == pytest.approx(0.75, abs=4 * error)


def schedule(*pairs: tuple[float, int], machine: int, **options: Any) -> list[Absence]:
    return list(MachineAvailability(hbsim.Cluster(schedule=pairs, **options), 0).absences(machine))


def test_a_schedule() -> None:
    pairs = ((0, 2), (10, 4), (30, 3), (40, 1), (50, 4))
    assert schedule(*pairs, machine=0) == []
    assert schedule(*pairs, machine=1) == [Absence(40, 50, True)]
    assert schedule(*pairs, machine=2) == [Absence(0, 10, True), Absence(40, 50, True)]
    assert schedule(*pairs, machine=3) == [Absence(0, 10, True), Absence(30, 50, True)]
    assert schedule((0, 2), (10, 1), machine=1) == [Absence(10, inf, True)]


def test_notice_is_cut_to_when_it_is_there() -> None:
    pairs = ((0, 2), (10, 1), (14, 2), (16, 1))
    assert schedule(*pairs, machine=1, notice=3) == [Absence(10, 14, True, 3), Absence(16, inf, True, 2)]


def test_notice_does_not_reach_into_the_absence_before_by_a_rounding() -> None:
    back, start = 1.8, 60.099999999999994
    assert start - (start - back) < back
    _, later = schedule((0, 1), (back, 2), (start, 1), machine=1, notice=1e9)
    assert back <= start - later.notice < back + 1e-9


def absences(**sources: Any) -> list[Absence]:
    return list(islice(MachineAvailability(hbsim.Cluster(workers=1, **sources), 0).absences(0), 3))


def test_what_starts_an_absence_gives_its_kind() -> None:
    two, three = Empirical((2.0,)), Empirical((3.0,))
    # Broken 2-4, 6-8, ..., 14-16, 18-20; taken 3-6, 9-12, 15-18: kinds are those of 2, 9 and 14.
    both = absences(mtbf=two, mttr=two, preempted_every=three, preempted_for=three, notice=0.5)
    assert both == [Absence(2, 8, False, 0), Absence(9, 12, True, 0.5), Absence(14, 20, False, 0)]
    # Of two that start together it is broken.
    both = absences(mtbf=two, mttr=0, preempted_every=two, preempted_for=Empirical((1.0,)))
    assert both[0] == Absence(2, 3, False)


def test_absences_of_no_length() -> None:
    two = Empirical((2.0,))
    assert absences(mtbf=two, mttr=0) == [Absence(2, 2, False), Absence(4, 4, False), Absence(6, 6, False)]
    assert absences(preempted_every=two, notice=9)[1] == Absence(4, 4, True, 2)
    assert MachineAvailability(hbsim.Cluster(workers=1, mtbf=two), 0).there(0, 7.0) == 7.0


def test_always_there() -> None:
    assert absences() == []
    assert MachineAvailability(hbsim.Cluster(workers=1), 0).there(0, 12.5) == 12.5
