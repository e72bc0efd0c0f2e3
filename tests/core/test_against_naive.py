"""The real core against naive doubles that sort everything each time: every answer must be equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doubles.pair import Pair
from tests.doubles.traces import act, actions, burst, scheduler_options, seeded_trace
from tests.profile import THOROUGH, examples, thorough

RELAXED = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run_actions(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    pair = Pair(*chosen)
    for op, which, value in steps:
        act(pair, workers, op, which, value)
    if pair.naive.num_trials is not None:
        pair.drain()


@RELAXED
@given(scheduler_options(("stopping",)), st.integers(1, 9), actions)
def test_stopping(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    run_actions(chosen, workers, steps)


@RELAXED
@given(scheduler_options(("promotion",)), st.integers(1, 9), actions)
def test_promotion(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    run_actions(chosen, workers, steps)


@RELAXED
@given(scheduler_options(("sha", "hyperband", "fifo")), st.integers(1, 9), actions)
def test_synchronous(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    run_actions(chosen, workers, steps)


@RELAXED
@given(scheduler_options(("pasha",)), st.integers(1, 9), actions)
def test_pasha(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    run_actions(chosen, workers, steps)


@RELAXED
@given(scheduler_options(("median",)), st.integers(1, 9), actions)
def test_median(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    run_actions(chosen, workers, steps)


@settings(RELAXED, max_examples=examples(150) if THOROUGH else 10)
@given(scheduler_options(), st.integers(0, 10**6))
def test_in_bursts(chosen: tuple[str, dict[str, Any]], seed: int) -> None:
    """All workers ask until nothing is to be had, then nearly all report: many places at once, everywhere."""
    type, options = chosen
    if options["num_trials"] is not None:
        options["num_trials"] *= 3
    pair = Pair(type, options)
    for round in range(8):
        burst(pair, workers=60, seed=seed + round)
    if options["num_trials"] is not None:
        pair.drain()


BASE = {"max_t": 27, "grace_period": 1, "reduction_factor": 3, "brackets": 1, "num_trials": 150}
LONG: list[tuple[str, dict[str, Any]]] = [
    *(("stopping", BASE | {"rule": rule}) for rule in ("quantile", "quantile-inclusive", "rank", "top-k")),
    ("stopping", BASE | {"brackets": 4, "retries": 1, "mode": "min"}),
    ("stopping", BASE | {"brackets": 3, "shared_rungs": True, "reduction_factor": 2.2}),
    ("stopping", BASE | {"num_trials": None, "reduction_factor": 1.5}),
    ("promotion", BASE),
    ("promotion", BASE | {"straight_on": False}),
    ("promotion", BASE | {"straight_on": False, "retries": 1, "mode": "min"}),
    ("promotion", BASE | {"keep_size_ratios": True, "retries": 1}),
    ("promotion", BASE | {"keep_size_ratios": True, "straight_on": False, "brackets": 3}),
    ("promotion", BASE | {"brackets": 4, "bracket_sampling": "hyperband"}),
    ("promotion", BASE | {"brackets": 4, "shared_rungs": True, "keep_size_ratios": True}),
    ("promotion", BASE | {"brackets": 4, "straight_on": False, "num_trials": 40, "retries": 1}),
    ("promotion", BASE | {"brackets": 2, "shared_rungs": True, "straight_on": False}),
    ("promotion", BASE | {"failed_places": "held"}),
    ("promotion", BASE | {"failed_places": "held", "straight_on": False, "brackets": 3, "mode": "min"}),
    ("promotion", BASE | {"failed_places": "held", "shared_rungs": True, "brackets": 3, "retries": 1}),
    ("promotion", BASE | {"failed_places": "held", "keep_size_ratios": True, "reduction_factor": 2.2}),
    ("promotion", BASE | {"reduction_factor": 2.2, "num_trials": None}),
    ("promotion", BASE | {"reduction_factor": 1.2, "max_t": 6, "num_trials": 60}),
]
ONE = {name: value for name, value in BASE.items() if name != "brackets"}
LONG += [
    ("pasha", ONE | {"max_t": 243}),
    ("pasha", ONE | {"epsilon": 0, "straight_on": False, "mode": "min"}),
    ("pasha", ONE | {"epsilon": 2, "max_t": 81, "retries": 1}),
    ("pasha", ONE | {"epsilon": 0.5, "reduction_factor": 2, "failed_places": "held"}),
    ("pasha", ONE | {"max_t": 200, "reduction_factor": 1.5, "keep_size_ratios": True, "num_trials": 80}),
    ("pasha", ONE | {"max_t": 81, "reduction_factor": 2, "num_trials": None, "straight_on": False}),
    ("pasha", ONE | {"epsilon": 5, "num_trials": 60}),
]
EVEN = {"max_t": 12, "grace_period": 2, "num_trials": 60}
LONG += [
    ("median", EVEN),
    ("median", EVEN | {"interval": 3, "min_samples": 5, "mode": "min", "retries": 1}),
    ("median", EVEN | {"interval": 1, "among": "recorded"}),
    ("median", EVEN | {"interval": 4, "among": "recorded", "min_samples": 4, "num_trials": None}),
]
SYNC = {"max_t": 27, "grace_period": 1, "reduction_factor": 3, "num_trials": 120}
LONG += [
    ("sha", SYNC | {"n": 30}),
    ("sha", SYNC | {"n": 30, "overlap": True, "retries": 1, "mode": "min"}),
    ("sha", SYNC | {"n": 27, "quota": "nominal", "overlap": True}),
    ("hyperband", SYNC),
    ("hyperband", SYNC | {"overlap": True, "quota": "nominal", "retries": 1}),
    ("hyperband", SYNC | {"n_formula": "floor", "reduction_factor": 2.5, "overlap": True}),
]


@pytest.mark.parametrize("chosen", LONG, ids=str)
@pytest.mark.parametrize("seed", [pytest.param(0, marks=thorough), 1])
def test_long_traces(chosen: tuple[str, dict[str, Any]], seed: int) -> None:
    type, options = chosen
    pair = Pair(type, options | {"seed": seed})
    seeded_trace(pair, workers=4 + 20 * seed, steps=500, seed=seed)
    if options["num_trials"] is None:
        return
    pair.drain()
    for reload in (True, False):  # an extension by another process, which goes on with the state, or by this
        if reload:
            pair.reload()
        pair.extend(31)
        seeded_trace(pair, workers=4 + 20 * seed, steps=100, seed=seed, reload=reload)
        pair.drain()
