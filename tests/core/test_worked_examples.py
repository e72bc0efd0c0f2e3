"""Worked examples of the schedulers: tables, walks and clocks that can be checked by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from hbsim.core import Report, Verdict, make_scheduler
from tests.doubles.clock import first_completion, one_worker

Make = Callable[..., Any]


def hyperband_table(scheduler: Any, brackets: int) -> list[list[tuple[int, float]]]:
    """Return for one turn of all brackets, in order, how many trials are trained at which level."""
    counts: list[Counter[float]] = [Counter() for _ in range(brackets)]
    turn = 0
    previous = 0
    while turn < 1:
        job = scheduler.ask()
        turn += job.bracket < previous
        previous = job.bracket
        if turn < 1:
            counts[job.bracket][job.stop] += 1
            scheduler.tell(Report(job.trial, job.stop, job.trial))
    return [[(n, level) for level, n in sorted(count.items())] for count in counts]


def test_hyperband_table_floor(make: Make) -> None:
    scheduler = make("hyperband", max_t=81, grace_period=1, reduction_factor=3, n_formula="floor")
    assert hyperband_table(scheduler, 5) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(27, 3), (9, 9), (3, 27), (1, 81)],
        [(9, 9), (3, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]


def test_hyperband_table_ceil(make: Make) -> None:
    scheduler = make("hyperband", max_t=81, grace_period=1, reduction_factor=3)
    assert hyperband_table(scheduler, 5) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_hyperband_sizes_use_the_exact_logarithm(make: Make) -> None:
    scheduler = make("hyperband", max_t=243, grace_period=1, reduction_factor=3)
    table = hyperband_table(scheduler, 6)
    assert [row[0] for row in table] == [(243, 1), (98, 3), (41, 9), (18, 27), (9, 81), (6, 243)]


def test_synchronous_levels_end_at_R_instead_of_the_last_power(make: Make) -> None:
    scheduler = make("hyperband", max_t=200, grace_period=1, reduction_factor=3)
    table = hyperband_table(scheduler, 5)
    assert [level for _, level in table[0]] == [1, 3, 9, 27, 200]
    assert [n for n, _ in (row[0] for row in table)] == [81, 34, 15, 8, 5]


def test_sha_walk(make: Make) -> None:
    """Trials from 1: at level 1 the best are 1, 6, 8 in this order, at level 3 it is 8."""
    scheduler = make("sha", max_t=9, grace_period=1, reduction_factor=3, n=9, num_trials=9)
    jobs = one_worker(scheduler, figure_value)
    assert [job.trial + 1 for job in jobs] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 6, 8, 8]
    assert scheduler.done


def figure_value(trial: int, level: float) -> float:
    if level == 1:
        return {1: 30.0, 6: 20.0, 8: 15.0}.get(trial + 1, -float(trial))
    return {8: 99.0}.get(trial + 1, float(trial))


def eight_best_value(trial: int, level: float) -> float:
    return 99.0 if trial + 1 == 8 else figure_value(trial, level)


def walk_of_promotion(make: Make, value: Callable[[int, float], float], straight_on: bool) -> str:
    """Return the walk of nine trials by one worker, as stretches: the trial, and `up` from the second on."""
    options = {"brackets": 1, "num_trials": 9, "straight_on": straight_on}
    scheduler = make("promotion", max_t=9, grace_period=1, reduction_factor=3, **options)
    walk: list[str] = []
    while (job := scheduler.ask()) is not None:
        walk.append(f"{job.trial + 1}{' up' if job.start else ''}")
        level = job.stop
        while (
            decision := scheduler.tell(Report(job.trial, level, value(job.trial, level)))
        ).stop is not None:
            walk.append(f"{job.trial + 1} up")
            level = decision.stop
    assert scheduler.done
    return ", ".join(walk)


@pytest.mark.parametrize("straight_on", [True, False])
def test_asha_walk(make: Make, straight_on: bool) -> None:
    walk = walk_of_promotion(make, figure_value, straight_on)
    assert walk == "1, 2, 3, 1 up, 4, 5, 6, 6 up, 7, 8, 9, 8 up, 8 up"
    walk = walk_of_promotion(make, eight_best_value, straight_on)
    assert walk == "1, 2, 3, 1 up, 4, 5, 6, 6 up, 7, 8, 8 up, 8 up, 9"


@pytest.mark.parametrize(
    ("eta", "R", "workers", "resume", "first"),
    [(3, 9, 9, False, 13), (3, 9, 9, True, 9), (4, 256, 256, False, 341)],
)
@pytest.mark.parametrize("order", [1, -1, 0])
def test_first_trial_at_R(
    make: Make, eta: int, R: int, workers: int, resume: bool, first: int, order: int
) -> None:
    """A job takes the resource it trains; pausing and restarting costs 13/9 of R, whoever is best."""
    scheduler = make(
        "promotion",
        max_t=R,
        grace_period=1,
        reduction_factor=eta,
        brackets=1,
        straight_on=False,
        num_trials=workers,
    )
    quality = random.Random(R)
    shuffled = [quality.random() for _ in range(workers)]
    time = first_completion(scheduler, workers, lambda t: t * order or shuffled[t], resume=resume)
    assert time == first


def test_straight_on_is_sooner_by_the_order_of_arrival(make: Make) -> None:
    """Each arrival better than those before: every third goes straight on, and one never restarts."""
    options = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "brackets": 1, "num_trials": 9}
    rising = first_completion(make("promotion", **options), 9, float, resume=False)
    assert rising == 9
    falling = first_completion(make("promotion", **options), 9, lambda t: -float(t), resume=False)
    assert falling == 13


AVERAGES = {
    "quantile": (4.28, 10.63, 87.71),
    "quantile-inclusive": (4.20, 10.57, 87.66),
    "rank": (4.81, 11.52, 89.33),
    "top-k": (3.49, 9.12, 84.71),
}


def passed(rule: str, values: list[float]) -> int:
    """Return how many of the values, in this order, go on from the first rung."""
    scheduler = make_scheduler(
        "stopping", max_t=3, grace_period=1, reduction_factor=3, brackets=1, rule=rule, num_trials=len(values)
    )
    count = 0
    for value in values:
        job = scheduler.ask()
        assert job is not None
        count += scheduler.tell(Report(job.trial, 1, value)).verdict is Verdict.CONTINUE
    return count


@pytest.mark.parametrize("rule", AVERAGES)
@pytest.mark.parametrize(("column", "n", "orders"), [(0, 9, 1500), (1, 27, 500), (2, 256, 60)])
def test_average_number_that_goes_on(rule: str, column: int, n: int, orders: int) -> None:
    generator = random.Random(2024 + n)
    counts = [passed(rule, [generator.random() for _ in range(n)]) for _ in range(orders)]
    mean = sum(counts) / orders
    variance = sum((count - mean) ** 2 for count in counts) / (orders - 1)
    assert abs(mean - AVERAGES[rule][column]) < 3.5 * (variance / orders) ** 0.5 + 0.005
