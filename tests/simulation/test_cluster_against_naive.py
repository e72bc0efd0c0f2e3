"""The engine against the naive cluster: the same jobs, decisions, failures, disk and figures."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings

import hbsim
from hbsim.simulation.availability import MachineAvailability
from hbsim.simulation.cluster import Machines
from hbsim.simulation.distributions import Empirical
from tests.doubles import naive_cluster_figures as cluster_figures
from tests.doubles import naive_simulator_figures as figures
from tests.doubles.naive_cluster import NaiveCluster
from tests.profile import examples

from .cluster_studies import cluster_studies, clusters, clusters_with_a_store, naive
from .studies import ExactCurves, Study, exact_curves
from .surrogates import Grid

DECIDED = ("continue", "pause", "stop", "complete")
RESOURCES = ("start_resource", "stop_resource", "resource", "kept")
Rows = list[dict[str, Any]]


def near(rows: Rows, *names: str) -> Rows:
    """Make these columns, where they are, comparable up to rounding."""
    return [{**row, **{name: close(row[name]) for name in names if name in row}} for row in rows]


def close(value: Any) -> Any:
    if isinstance(value, list):
        return [tuple(map(close, row)) for row in value]
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def assert_same(study: Study) -> None:
    """Run a study both ways, with seconds whose sums are exact."""
    with exact_curves():
        result = study.simulate()
    assert_same_tables(result, naive(study, ExactCurves), study.seed, *RESOURCES)


def assert_same_tables(result: hbsim.Result, double: NaiveCluster, seed: int, *rounded: str) -> None:
    """Hold all tables against each other: exactly, but for these columns."""
    assert result.jobs.to_dicts() == near(double.jobs(), *rounded)
    assert result.decisions.to_dicts() == near(double.decisions, *rounded)
    assert result.failures.to_dicts() == near(double.failures, *rounded)
    assert result.trials.to_dicts() == near(figures.trials(double), "trained_seconds", *rounded)
    assert result.incumbent().to_dicts() == near(figures.incumbents(double), *rounded)
    rungs = {(row["bracket"], row["level"]): row for row in result.rungs().to_dicts()}
    counted = {where: {name: row[name] for name in DECIDED if row[name]} for where, row in rungs.items()}
    counted = {where: counts for where, counts in counted.items() if counts}
    for counts in (found := figures.rungs(double)).values():
        del counts["recorded"]
    assert counted == found
    summary = result.summary()
    for name, figure in cluster_figures.summary(double, MachineAvailability(result.cluster, seed)).items():
        assert summary[name] == close(figure) or (summary[name] is None and name.startswith("disk")), name
    assert changes(result.disk().rows()) == close(changes(double.checkpoints.disk(double.luck.size)))


def changes(rows: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return the rows of a disk's table at which something changed, of those at one time the last."""
    last = {row[0]: row for row in [(0.0, 0.0, 0.0), *rows]}
    kept = [(row[0], *(round(held, 9) for held in row[1:])) for row in last.values()]
    return kept[:1] + [row for before, row in pairwise(kept) if row[1:] != before[1:]]


@settings(max_examples=examples(400), deadline=None)
@given(study=cluster_studies(clusters()))
def test_same_as_naive(study: Study) -> None:
    assert_same(study)


@settings(max_examples=examples(200), deadline=None)
@given(study=cluster_studies(clusters(), ("promotion", "sha", "hyperband")))
def test_same_as_naive_where_trials_pause(study: Study) -> None:
    assert_same(study)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("stopping", {"brackets": 3}),
    ("promotion", {"straight_on": False, "brackets": 2}),
    ("sha", {"n": 27, "overlap": True}),
    ("hyperband", {}),
]


@pytest.mark.parametrize(("type", "options"), OPTIONS)
@pytest.mark.parametrize("report", ["blocking", "async"])
@pytest.mark.parametrize("retry_from", ["milestone", "checkpoint", "zero"])
def test_same_as_naive_larger(type: str, options: dict[str, Any], report: str, retry_from: str) -> None:
    """A hundred trials on a dozen workers that come and go, where everything costs something."""
    luck = random.Random(f"{type} {options} {report} {retry_from}")
    cluster = hbsim.Cluster(
        machines=[
            Machines(kind="fast", count=2, gpus=2, speed=2, price=32),
            Machines(kind="slow", count=4, speed=0.5, price=0.5),
        ],
        gpus_per_trial=0.5,
        slowdown=2,
        startup=Empirical((0.25, 0.5, 2.0)),
        report_delay=Empirical((0.0, 0.25, 1.5)),
        decision_delay=luck.choice([0, Empirical((0.0, 0.5))]),
        save=luck.choice([0, 0.25]),
        load=luck.choice([0, 0.5]),
        straggler_std=0.3,
        drop_rate=luck.choice([0, 0.005]),
        report=report,
        mtbf=Empirical((20.0, 90.5, 200.0)),
        mttr=luck.choice([0, Empirical((0.0, 3.25, 20.0))]),
        preempted_every=Empirical((30.25, 100.0)),
        preempted_for=Empirical((0.0, 6.0)),
        notice=luck.choice([0, 1, 4]),
        schedule=[(0, 3), (10, 6), (60, 2), (80, 6)],
        retry_from=retry_from,
        checkpoint_size=Empirical((0.5, 1.0, 2.0)),
        save_bandwidth=luck.choice([1, 4]),
        load_bandwidth=luck.choice([None, 2]),
    )
    common = {"max_t": 27, "num_trials": 100, "mode": "min", "retries": 9, "seed": 3}
    surrogate = Grid(luck.choice(["random", "tied", "odd"]), 5, 64, "min", (1.0, 2.0))
    assert_same(Study(type, common | options, surrogate, cluster, seed=7, max_time=2000.0, replace=True))


@settings(max_examples=examples(150), deadline=None)
@given(study=cluster_studies(clusters_with_a_store(), ("promotion", "sha", "hyperband")))
def test_same_as_naive_with_a_shared_store(study: Study) -> None:
    """Nothing is rounded here: what is simultaneous has one cause, or differs by more than rounding."""
    times = ("time", "start_time", "train_start", "end_time")
    assert_same_tables(study.simulate(), naive(study), study.seed, *times, *RESOURCES)
