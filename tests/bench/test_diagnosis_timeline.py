"""The timeline of a diagnosis: the first workers, and no more stretches than asked for."""

from __future__ import annotations

import numpy as np
import pytest

import hbsim
from hbsim.bench.diagnosis import timeline
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError

CLUSTERS = {
    "free": {},
    "dear": {"startup": 0.5, "save": 0.25, "load": 0.75, "report_delay": 0.1},
    "lossy": {"drop_rate": 0.02, "startup": 0.5},
    "absent": {"mtbf": 12.0, "mttr": 3.0},
}


def simulated(cluster: str, max_time: float | None = None) -> hbsim.Result:
    scheduler = make_scheduler("promotion", max_t=27, num_trials=60, retries=1)
    made = hbsim.Cluster(workers=5, **CLUSTERS[cluster])
    return hbsim.simulate(scheduler, "synthetic", cluster=made, max_time=max_time)


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("max_time", [None, 40.0])
def test_a_whole_timeline_fills_the_jobs(cluster: str, max_time: float | None):
    result = simulated(cluster, max_time)
    stretches, cut = timeline(result, workers=5, most=10_000)
    assert cut is None
    jobs = result.jobs
    spent = np.bincount(stretches["worker"], weights=stretches["end"] - stretches["start"], minlength=5)
    spans = np.bincount(jobs["worker"], weights=jobs["end_time"] - jobs["start_time"], minlength=5)
    assert spent == pytest.approx(spans)
    trained = stretches.drop_nulls("level")
    assert set(trained["level"].to_list()) == {1.0, 3.0, 9.0, 27.0}
    assert (stretches["level"].null_count() > 0) == (cluster in ("dear", "lossy"))


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize(("workers", "most"), [(1, 1), (1, 7), (3, 3), (3, 40), (5, 21), (12, 12)])
def test_a_timeline_is_cut_before_there_are_too_many(cluster: str, workers: int, most: int):
    result = simulated(cluster)
    whole, _ = timeline(result, workers=workers, most=10_000)
    cutoff, cut = timeline(result, workers=workers, most=most)
    assert cut is not None
    expected = [
        (worker, start, min(end, cut), level)
        for worker, start, end, level in whole.iter_rows()
        if start < cut
    ]
    assert cutoff.rows() == expected
    assert 0 < len(cutoff) <= most < sum(start <= cut for start in whole["start"])
    assert set(cutoff["worker"].to_list()) <= set(range(min(workers, 5)))
    assert cutoff.rows() == cutoff.sort("worker", "start").rows()


def test_exactly_as_many_as_there_may_be_are_not_cut():
    result = simulated("dear")
    whole, _ = timeline(result, most=10_000)
    assert timeline(result, most=len(whole))[1] is None
    assert timeline(result, most=len(whole) - 1)[1] == whole["start"].max()


@pytest.mark.parametrize(
    ("workers", "most", "text"),
    [
        (0, 10, "workers=0: must be at least 1"),
        (12, 11, "most=11: must be at least the number of workers, 12"),
    ],
)
def test_too_few(workers: int, most: int, text: str):
    with pytest.raises(ParameterError, match=text):
        timeline(simulated("free"), workers=workers, most=most)
