"""The engine against a naive simulator: the same jobs, decisions, incumbents and figures.

The naive one asks for every idle worker again and again, so that both agree also says that no worker is
idle while there is work to give.
"""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import hbsim
from hbsim.surrogates import Ideal, Synthetic
from tests.doubles import naive_simulator_figures as figures
from tests.doubles.naive_simulator import NaiveSimulator
from tests.profile import examples

from .studies import ExactCurves, Study, exact_curves, studies
from .surrogates import Formula, Grid

REACHED = "stop_resource"


def near(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Make these columns comparable up to rounding."""
    return [{**row, **{name: close(row[name]) for name in names}} for row in rows]


def close(value: Any) -> Any:
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def assert_same(study: Study) -> None:
    """Run a study both ways, with seconds whose sums are exact."""
    with exact_curves():
        result = study.simulate()
    naive = study.naive(ExactCurves)
    assert result.jobs.to_dicts() == near(naive.jobs(), REACHED)
    assert result.decisions.to_dicts() == naive.decisions
    assert result.trials.to_dicts() == near(figures.trials(naive), "trained_seconds")
    assert_same_figures(result, naive)


def assert_same_figures(result: hbsim.Result, naive: NaiveSimulator) -> None:
    assert result.incumbent().to_dicts() == figures.incumbents(naive)
    R = result.scheduler.levels[-1]
    assert result.incumbent(at="max_t").to_dicts() == figures.incumbents(naive, R)
    summary = result.summary()
    for name, figure in figures.summary(naive).items():
        assert summary[name] == close(figure), name
    rungs = {(row["bracket"], row["level"]): row for row in result.rungs().to_dicts()}
    for where, counts in figures.rungs(naive).items():
        row = rungs.pop(where)
        for name in ("recorded", "continue", "pause", "stop", "complete"):
            assert row[name] == counts.get(name, 0), (where, name)
    assert not any(row["recorded"] for row in rungs.values())


@settings(max_examples=examples(350), deadline=None)
@given(study=studies())
def test_same_as_naive(study: Study) -> None:
    assert_same(study)


@settings(max_examples=examples(60), deadline=None)
@given(study=studies(("promotion", "sha", "hyperband")))
def test_same_as_naive_where_trials_pause(study: Study) -> None:
    assert_same(study)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("stopping", {"brackets": 3}),
    ("stopping", {"rule": "top-k", "shared_rungs": True, "brackets": 2}),
    ("promotion", {"brackets": 3}),
    ("promotion", {"straight_on": False, "keep_size_ratios": True}),
    ("sha", {"n": 27, "overlap": True}),
    ("hyperband", {"overlap": True, "quota": "nominal"}),
    ("hyperband", {}),
]


@pytest.mark.parametrize(("type", "options"), OPTIONS)
@pytest.mark.parametrize("report", ["blocking", "async"])
def test_same_as_naive_larger(type: str, options: dict[str, Any], report: str) -> None:
    """Two hundred trials on a dozen workers, where everything costs something."""
    luck = random.Random(f"{type} {options} {report}")
    cluster = hbsim.Cluster(
        workers=12,
        speed=[luck.choice([0.5, 1, 1, 2]) for _ in range(12)],
        startup=luck.choice([0, 0.5]),
        report_delay=luck.choice([0, 0.25, 1.5]),
        save=luck.choice([0.25, 2]),
        load=luck.choice([0, 1]),
        straggler_std=luck.choice([0, 0.3]),
        drop_rate=0.01,
        resume=luck.random() < 0.7,
        report=report,
    )
    common = {"max_t": 27, "num_trials": 200, "mode": "min", "retries": 1, "seed": 3}
    surrogate = Grid(luck.choice(["random", "tied", "odd"]), 5, 64, "min", (1.0, 2.0))
    study = Study(type, common | options, surrogate, cluster, seed=7, replace=True)
    assert_same(study)


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_stretches_that_take_no_time(type: str) -> None:
    """Where only whole tens of seconds count, many stretches take none, and everything ties."""
    options = {"max_t": 27, "num_trials": 60, "brackets": 2}
    for report in ("blocking", "async"):
        surrogate = Grid("random", 1, 64, "max", (1.0, 2.0), step=10.0)
        cluster = hbsim.Cluster(workers=4, report_delay=0.25, report=report)
        study = Study(type, options, surrogate, cluster)
        naive = study.naive()
        result = study.simulate()
        assert [{**row, REACHED: 0} for row in result.jobs.to_dicts()] == [
            {**row, REACHED: 0} for row in naive.jobs()
        ]
        assert result.decisions.to_dicts() == naive.decisions
        assert len(set(result.decisions["time"])) <= len(result.decisions) - 10


@pytest.mark.parametrize("type", ["stopping", "promotion", "hyperband", "fifo"])
def test_same_up_to_rounding_without_exact_seconds(type: str) -> None:
    """Nothing is rounded here: the figures are those of the surrogate itself."""
    cluster = hbsim.Cluster(
        workers=5, startup=0.3, save=0.1, load=0.7, straggler_std=0.56, drop_rate=0.003, speed=1.3
    )
    study = Study(type, {"max_t": 27, "num_trials": 80, "retries": 2}, Synthetic(max_resource=27), cluster)
    result, naive = study.simulate(), study.naive()
    times = ("start_time", "train_start", "end_time")
    assert result.jobs.to_dicts() == near(naive.jobs(), REACHED, *times)
    assert result.decisions.to_dicts() == near(naive.decisions, "time")
    for name, figure in figures.summary(naive).items():
        assert result.summary()[name] == close(figure), name


def test_rungs_say_how_many_were_promoted() -> None:
    """Where nothing fails and nothing is cut, those are the jobs that started there."""
    options = {"max_t": 27, "num_trials": 60, "straight_on": False, "brackets": 2}
    result = Study("promotion", options, Synthetic(max_resource=27), hbsim.Cluster(workers=7)).simulate()
    jobs = result.jobs.to_dicts()
    for row in result.rungs().to_dicts():
        started = [j for j in jobs if (j["bracket"], j["start_resource"]) == (row["bracket"], row["level"])]
        assert row["promoted"] == len(started), row
    assert result.rungs()["promoted"].sum() > 20


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_what_trains_while_a_decision_is_on_its_way_can_be_lost(type: str) -> None:
    cluster = hbsim.Cluster(workers=3, report_delay=0.5, report="async", drop_rate=0.05)
    assert_same(Study(type, {"max_t": 9, "num_trials": 40}, Ideal(9), cluster))


def test_a_job_that_waits_for_a_checkpoint_is_not_exposed() -> None:
    cluster = hbsim.Cluster(workers=3, save=2, drop_rate=0.05)
    options = {"max_t": 9, "num_trials": 40, "straight_on": False}
    assert_same(Study("promotion", options, Ideal(9), cluster))


@pytest.mark.parametrize(("mode", "odd"), [("max", inf), ("min", -inf)])
def test_an_infinite_value_is_not_good_enough(mode: str, odd: float) -> None:
    surrogate = Formula(lambda row, level: np.where(row % 3, 0.5, odd) + 0 * level, mode=mode)
    study = Study("fifo", {"max_t": 9, "num_trials": 20, "mode": mode}, surrogate, hbsim.Cluster(workers=2))
    assert_same(replace(study, max_reward=0.9 if mode == "max" else 0.1))
