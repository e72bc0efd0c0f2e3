"""PASHA by hand, and what its paper says of it: the cap grows while the ranking is not settled."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core import Failure, Job, Report, Verdict, make_scheduler
from hbsim.core.pasha import EpsilonEstimator, Pasha, Ranking
from tests.doubles.naive_pasha import NaivePasha
from tests.doubles.pair import make_real, round_trip
from tests.profile import examples

Make = Callable[..., Any]
Value = Callable[[int, float], float | None]
WIDE: dict[str, Any] = {"max_t": 81, "grace_period": 1, "reduction_factor": 3}


def cap(scheduler: Any) -> float:
    return float(scheduler.cap)


def started(scheduler: Any, n: int) -> list[Job]:
    return [scheduler.ask() for _ in range(n)]


def tell_all(scheduler: Any, values: dict[int, float | None], level: float = 1) -> list[Verdict]:
    return [scheduler.tell(Report(trial, level, value)).verdict for trial, value in values.items()]


def with_two_at_the_cap(make: Make, **options: Any) -> Any:
    """Return a scheduler where 0 and 1, with 9 and 8 at level 1, are on their way to level 3, the cap."""
    scheduler = make("pasha", **WIDE, straight_on=False, **options)
    started(scheduler, 6)
    tell_all(scheduler, {trial: 9.0 - trial for trial in range(6)})
    assert [(job.trial, job.stop) for job in started(scheduler, 2)] == [(0, 3), (1, 3)]
    return scheduler


def run(scheduler: Any, value: Value, workers: int = 4) -> tuple[float, list[Job]]:
    """Run a study to its end, the longest running job first; return the resource trained, and all jobs."""
    trained, jobs, running = 0.0, [], []
    while True:
        while len(running) < workers and (job := scheduler.ask()) is not None:
            jobs.append(job)
            running.append(job)
        if not running:
            return trained, jobs
        job = running.pop(0)
        trained += job.stop - job.start
        decision = scheduler.tell(Report(job.trial, job.stop, value(job.trial, job.stop)))
        if decision.stop is not None:
            running.append(job._replace(start=job.stop, stop=decision.stop))


# by hand


def test_a_trial_at_the_cap_pauses(make: Make) -> None:
    scheduler = with_two_at_the_cap(make)
    assert tell_all(scheduler, {0: 9.0, 1: 8.0}, level=3) == [Verdict.PAUSE] * 2
    assert cap(scheduler) == 3
    assert scheduler.ask() == Job(6, 0, 0, 1, 0)  # not 0, though it is the best of three at level 3 soon
    tell_all(scheduler, {6: 10.0})
    assert scheduler.ask() == Job(6, 0, 1, 3, 0)
    tell_all(scheduler, {6: 10.0}, level=3)
    assert cap(scheduler) == 3
    assert scheduler.ask().start == 0


def test_another_ranking_raises_the_cap_by_one_level(make: Make) -> None:
    scheduler = with_two_at_the_cap(make)
    tell_all(scheduler, {0: 5.0}, level=3)
    assert cap(scheduler) == 3
    assert tell_all(scheduler, {1: 6.0}, level=3) == [Verdict.PAUSE]
    assert cap(scheduler) == 9
    assert scheduler.ask() == Job(6, 0, 0, 1, 0)  # of two at level 3 none is promotable
    tell_all(scheduler, {6: 10.0})
    assert scheduler.ask() == Job(6, 0, 1, 3, 0)
    tell_all(scheduler, {6: 1.0}, level=3)
    assert scheduler.ask() == Job(1, 0, 3, 9, 0)
    tell_all(scheduler, {1: 6.0}, level=9)
    assert cap(scheduler) == 9


def test_the_trial_that_raises_the_cap_may_go_straight_on(make: Make) -> None:
    """Of three at level 3 the last is the best, and was not below: the cap grows, then it is promotable."""
    scheduler = make("pasha", **WIDE, straight_on=False)
    started(scheduler, 9)
    tell_all(scheduler, {trial: 9.0 - trial for trial in range(9)})
    scheduler = make("pasha", **WIDE)
    started(scheduler, 9)
    tell_all(scheduler, {trial: float(trial) for trial in range(9)})  # 2, 5 and 8 went straight on
    tell_all(scheduler, {8: 9.0, 5: 8.0}, level=3)
    decision = scheduler.tell(Report(2, 3, 10.0))
    assert (decision.verdict, decision.stop) == (Verdict.CONTINUE, 9)
    assert cap(scheduler) == 9


@pytest.mark.parametrize(("epsilon", "grown"), [(0, 9), (0.5, 9), (1, 3), (7.5, 3), (None, 9)])
def test_values_within_epsilon_are_equal(make: Make, epsilon: float | None, grown: float) -> None:
    """0 and 1 change places; one level below they were 1 apart."""
    scheduler = with_two_at_the_cap(make, epsilon=epsilon)
    tell_all(scheduler, {0: 5.0, 1: 6.0}, level=3)
    assert cap(scheduler) == grown


def test_equal_values_at_the_cap_are_no_change(make: Make) -> None:
    scheduler = with_two_at_the_cap(make, epsilon=0)
    tell_all(scheduler, {1: 6.0, 0: 6.0}, level=3)
    assert cap(scheduler) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), None])
def test_a_non_number_ranks_last(make: Make, bad: float | None) -> None:
    scheduler = with_two_at_the_cap(make)
    tell_all(scheduler, {0: 5.0, 1: bad}, level=3)
    assert cap(scheduler) == 3
    scheduler = with_two_at_the_cap(make)
    tell_all(scheduler, {0: bad, 1: 5.0}, level=3)
    assert cap(scheduler) == 9


def test_epsilon_is_a_percentile_of_pairs_that_cross_back() -> None:
    """At levels 1, 3, 9 three curves cross in pairs: 10 is ahead of 11 by 2 at last, of 12 by 4."""
    noise = EpsilonEstimator(3)
    noise.add([5.0, 1.0, 10.0])
    assert noise.epsilon is None
    noise.add([4.0, 2.0, 8.0])  # behind, ahead, behind: 2 apart
    assert noise.epsilon == 2
    noise.add([3.0, 3.0, 6.0])  # crosses back with both: 4 and 2 apart
    assert noise.epsilon == pytest.approx(3.6)
    noise.add([9.0, 9.0, 99.0])  # always ahead
    noise.add([0.0, 9.0, -float("inf")])
    assert noise.epsilon == pytest.approx(3.6)


def test_epsilon_is_zero_at_the_first_cap_and_stays_when_the_cap_grows() -> None:
    scheduler: Pasha = make_real("pasha", WIDE | {"num_trials": 200, "straight_on": False})
    value = shuffled(7)
    seen = [(scheduler.cap, scheduler.epsilon)]
    while (job := scheduler.ask()) is not None:
        scheduler.tell(Report(job.trial, job.stop, value(job.trial, job.stop)))
        seen.append((scheduler.cap, scheduler.epsilon))
    assert [at for at, _ in groupby(cap for cap, _ in seen)] == [3, 9, 27]
    assert all(epsilon == 0 for at, epsilon in seen if at == 3)
    before = [epsilon for at, epsilon in seen if at == 9]
    after = [epsilon for at, epsilon in seen if at == 27]
    assert before[0] == 0 < before[-1]
    assert after[0] not in (0, before[-1])  # the pair whose ranking raised the cap counts at 9
    assert after[0] == after[1]  # and stays while there is no pair at 27
    assert len(set(after)) > 2


def test_two_levels_or_one_are_promotion(make: Make) -> None:
    for max_t in (1, 2, 3):
        options = WIDE | {"max_t": max_t, "num_trials": 30}
        asked = [run(make(type, **options), shuffled(5)) for type in ("pasha", "promotion")]
        assert asked[0] == asked[1]


def test_a_failed_promotion_to_the_cap_gives_its_place_back(make: Make) -> None:
    scheduler = with_two_at_the_cap(make, num_trials=6)
    scheduler.tell(Failure(0, 2))
    assert scheduler.ask() == Job(2, 0, 1, 3, 0)
    assert scheduler.ask() is None


# what the paper says


def shuffled(seed: int) -> Value:
    """Return values whose order at each level has nothing to do with that at others."""
    return lambda trial, level: random.Random(f"{seed} {trial} {level}").random()


def stable(seed: int) -> Value:
    """Return values whose order is the same at all levels."""
    return lambda trial, level: random.Random(f"{seed} {trial}").random() + level


OPTIONS = {
    "straight_on": st.booleans(),
    "keep_size_ratios": st.booleans(),
    "reduction_factor": st.sampled_from([2, 3]),
}


@settings(max_examples=examples(40), deadline=None)
@given(st.fixed_dictionaries(OPTIONS), st.integers(0, 99), st.integers(1, 9), st.sampled_from([None, 0, 0.1]))
def test_a_stable_ranking_never_raises_the_cap(
    options: dict[str, Any], seed: int, workers: int, epsilon: float | None
) -> None:
    """All is as promotion with max_t at the cap, and trains no more than promotion to R."""
    options = {**options, "max_t": 64, "num_trials": 60}
    scheduler = make_scheduler("pasha", **options, epsilon=epsilon)
    trained, jobs = run(scheduler, stable(seed), workers)
    least = scheduler.levels[1]
    assert scheduler.cap == least
    assert (trained, jobs) == run(
        make_scheduler("promotion", **options | {"max_t": least}), stable(seed), workers
    )
    assert trained <= run(make_scheduler("promotion", **options), stable(seed), workers)[0]


@settings(max_examples=examples(40), deadline=None)
@given(st.fixed_dictionaries(OPTIONS), st.integers(0, 99), st.integers(1, 9))
def test_a_ranking_that_never_settles_raises_it_to_R(
    options: dict[str, Any], seed: int, workers: int
) -> None:
    options = {**options, "max_t": 16, "num_trials": 150}
    scheduler = make_scheduler("pasha", **options, epsilon=0)
    run(scheduler, shuffled(seed), workers)
    assert scheduler.cap == 16
    counts = scheduler.status_counts()
    assert counts["completed"] > 0
    assert counts["running"] == 0


@settings(max_examples=examples(30), deadline=None)
@given(st.fixed_dictionaries(OPTIONS), st.integers(0, 99), st.sampled_from([None, 0, 0.2]))
def test_the_same_as_promotion_to_the_cap_until_it_grows(
    options: dict[str, Any], seed: int, epsilon: float | None
) -> None:
    ours = make_scheduler("pasha", **options, max_t=64, epsilon=epsilon)
    least = ours.levels[1]
    theirs = make_scheduler("promotion", **options, max_t=least)
    value = shuffled(seed)
    for _ in range(400):
        job = ours.ask()
        assert job == theirs.ask()
        assert job is not None
        while job.stop is not None:
            report = Report(job.trial, job.stop, value(job.trial, job.stop))
            one, other = ours.tell(report), theirs.tell(report)
            if ours.cap > least:
                return
            assert one.stop == other.stop
            job = job._replace(stop=one.stop)


def test_once_it_is_R_it_decides_as_promotion_does() -> None:
    """A rung that is full of records is promoted from as promotion does it: by the best third."""
    scheduler = make_scheduler("pasha", **WIDE | {"max_t": 9}, epsilon=0, straight_on=False, num_trials=90)
    value = shuffled(1)
    run(scheduler, value)
    promotion = make_scheduler("promotion", **WIDE | {"max_t": 9}, straight_on=False, num_trials=90)
    run(promotion, value)
    assert scheduler.cap == 9
    assert scheduler.status_counts() == promotion.status_counts()


# the ranking and the noise against plain loops

VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, -5.0, 1e308, -1e308]) | st.floats(-2, 2)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.tuples(VALUES | st.just(-float("inf")), VALUES), max_size=60),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5, 1e308]), min_size=1, max_size=5),
)
def test_rankings_agree_as_sorted_ones_do(
    pairs: Sequence[tuple[float, float]], epsilons: list[float]
) -> None:
    """Epsilon changes from trial to trial, as an estimate does."""
    ranking = Ranking()
    naive = make_naive_pasha()
    curves: list[list[float | None]] = []
    for number, (value, below) in enumerate(pairs):
        epsilon = epsilons[number % len(epsilons)]
        ranking.add(value, below)
        curves.append([below, None if value == -float("inf") else value])
        naive.given = epsilon
        assert ranking.agrees(epsilon) == naive.settled(curves)


def test_rankings_that_have_come_nearer_are_seen() -> None:
    """5 before 0 are 5 apart from 0 before 5; with a 2.5 on either side of them all are 2.5 apart."""
    ranking = Ranking()
    for value, below in ((1.0, 5.0), (2.0, 0.0)):
        ranking.add(value, below)
    assert not ranking.agrees(4.9)
    for value, below in ((0.0, 2.5), (3.0, 2.5)):
        ranking.add(value, below)
    assert ranking.agrees(2.5)
    assert not ranking.agrees(2.4)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(3, 6), st.integers(0, 10**6), st.integers(0, 90), st.booleans())
def test_noise_is_that_of_all_pairs(levels: int, seed: int, count: int, ties: bool) -> None:
    random_ = random.Random(seed)
    noise, naive = EpsilonEstimator(levels), make_naive_pasha()
    curves: list[list[float | None]] = []
    for _ in range(count):
        curve = [float(random_.randint(0, 3)) if ties else random_.random() for _ in range(levels)]
        gone = random_.random() < 0.1
        noise.add([*curve[:-1], -float("inf")] if gone else curve)
        curves.append([*curve[:-1], None] if gone else list(curve))
    assert (noise.epsilon or 0.0) == naive.estimate(curves)


def make_naive_pasha() -> NaivePasha:
    from tests.doubles.naive import make_naive

    naive = make_naive("pasha", **WIDE)
    assert isinstance(naive, NaivePasha)
    return naive


# looking and keeping


def test_explain_says_where_the_cap_is() -> None:
    scheduler = with_two_at_the_cap(make_scheduler)
    tell_all(scheduler, {0: 9.0, 1: 8.0}, level=3)
    told = scheduler.explain(1)
    assert (told.level, told.rank, told.n, told.cutoff) == (3, 2, 2, None)
    assert told.text.endswith(
        "Now it is rank 2 of 2, and no trial goes beyond 3 while those there rank as they did at 1."
    )
    assert "the best 2 go on" in scheduler.explain(2).text
    started(scheduler, 3)
    tell_all(scheduler, {6: 7.5, 7: 0.0, 8: 0.0})
    assert scheduler.explain(8).cutoff == 7.5
    assert scheduler.ask() == Job(6, 0, 1, 3, 0)
    tell_all(scheduler, {6: 7.5}, level=3)  # the third there, but nothing is promoted from the cap
    assert scheduler.explain(6).cutoff is None
    scheduler = with_two_at_the_cap(make_scheduler)
    tell_all(scheduler, {0: 9.0, 1: 8.0}, level=3)
    scheduler.ask()
    tell_all(scheduler, {6: 10.0})
    scheduler.ask()
    tell_all(scheduler, {6: 1.0}, level=3)
    assert scheduler.explain(1).text.endswith("Now it is rank 2 of 3, and the best 1 go on.")


def test_paused_at_the_cap_is_dropped_only_when_all_is_done() -> None:
    """Two at the cap could go on if it grew: they are named at the end, not before."""
    scheduler = with_two_at_the_cap(make_scheduler, num_trials=9)
    tell_all(scheduler, {0: 9.0, 1: 8.0}, level=3)
    started(scheduler, 3)
    assert scheduler.dropped() == []
    tell_all(scheduler, {6: 0.5, 7: 0.25, 8: 0.0})
    assert scheduler.dropped() == []
    assert scheduler.ask() == Job(2, 0, 1, 3, 0)
    tell_all(scheduler, {2: 7.0}, level=3)
    assert scheduler.done
    assert scheduler.dropped() == list(range(9))
    assert scheduler.dropped() == []


def test_a_state_remembers_cap_and_epsilon() -> None:
    scheduler: Pasha = make_real("pasha", WIDE | {"num_trials": 100})
    random_ = random.Random(5)
    qualities = [random_.random() for _ in range(100)]

    def run_some(one: Any, jobs: int) -> list[Any]:
        told = []
        for _ in range(jobs):
            if (job := one.ask()) is not None:
                value = qualities[job.trial] + random.Random(f"{job.trial} {job.stop}").random() / 9
                told.append((job, one.tell(Report(job.trial, job.stop, value))))
                if told[-1][1].stop is not None:
                    one.tell(Failure(job.trial, job.stop))
        return told

    run_some(scheduler, 90)
    copy: Pasha = make_real("pasha", WIDE | {"num_trials": 100})
    copy.load_state_dict(round_trip(scheduler))
    assert (copy.cap, copy.epsilon) == (scheduler.cap, scheduler.epsilon)
    assert scheduler.cap > 3
    assert run_some(copy, 100) == run_some(scheduler, 100)
    assert (copy.cap, copy.epsilon) == (scheduler.cap, scheduler.epsilon)


@pytest.mark.parametrize(("field", "value"), [("cap", 0), ("cap", 5), ("cap", None), ("epsilon", None)])
def test_a_broken_cap_is_refused(field: str, value: object) -> None:
    scheduler = make_scheduler("pasha", **WIDE)
    state = round_trip(scheduler)
    state["extra"][field] = value
    with pytest.raises(ValueError, match="state"):
        scheduler.load_state_dict(state)
