"""The simulated workloads of the ASHA paper (arXiv 1810.05934, appendix A.1), against independent figures.

eta=4, r=1, R=256, 25 workers, 2000 time units, promotions train from zero, and a job takes the resource
it trains times 1 + |z|. The figures were worked out by another simulator, on 25 seeds.
"""

from __future__ import annotations

from functools import cache
from statistics import mean, variance
from typing import Any

import pytest

import hbsim
from hbsim.core import make_scheduler

SEEDS = 5
OPTIONS: dict[str, dict[str, Any]] = {
    "promotion": {"type": "promotion", "straight_on": False},
    "straight_on": {"type": "promotion"},
    "sha": {"type": "sha", "n": 256, "overlap": True},
}
# Trials trained to R, and the time of the first, by the standard deviation of z.
FIGURES = {
    ("promotion", 0.0): (43.5, 354),
    ("straight_on", 0.0): (53.8, 304),
    ("sha", 0.0): (33.0, 360),
    ("promotion", 0.56): (28.7, 462),
    ("straight_on", 0.56): (35.8, 394),
    ("sha", 0.56): (21, 518),
}


@cache
def workload(name: str, std: float) -> tuple[list[int], list[float]]:
    """Return how many trials were trained to R, and when the first was, by seed."""
    trained, first = [], []
    for seed in range(10, 10 + SEEDS):
        result = hbsim.simulate(
            make_scheduler(max_t=256, reduction_factor=4, seed=seed, **OPTIONS[name]),
            "ideal:max_resource=256",
            seed=seed,
            cluster=hbsim.Cluster(workers=25, resume=False, straggler_std=std),
            max_time=2000,
        )
        trained.append(result.summary()["completed"])
        first.append(result.incumbent(at="max_t")["time"][0])
    return trained, first


@pytest.mark.parametrize(("name", "std"), FIGURES)
def test_figures(name: str, std: float) -> None:
    """Within three standard errors, of ours and of theirs, and the rounding of what was printed."""
    for sample, figure in zip(workload(name, std), FIGURES[name, std], strict=True):
        error = (variance(sample) * (1 / SEEDS + 1 / 25)) ** 0.5
        assert abs(mean(sample) - figure) <= 3 * error + 0.005 * figure


@pytest.mark.parametrize("std", [0.0, 0.56])
def test_the_asynchronous_form_trains_more_and_going_straight_on_is_sooner(std: float) -> None:
    trained = {name: mean(workload(name, std)[0]) for name in OPTIONS}
    assert trained["sha"] < trained["promotion"] < trained["straight_on"]
    first = {name: mean(workload(name, std)[1]) for name in OPTIONS}
    assert first["straight_on"] < min(first["promotion"], first["sha"])


def test_stragglers_cost_the_synchronous_form_more() -> None:
    """What is left of the trials trained without them."""
    left = {name: mean(workload(name, 0.56)[0]) / mean(workload(name, 0.0)[0]) for name in OPTIONS}
    assert left["sha"] < left["promotion"]
