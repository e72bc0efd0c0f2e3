"""With one worker and nothing that goes wrong, a run decides as `hbsim.simulate` does on the same curves."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise
from math import nan
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import HbsimWarning
from tests.doubles.fake_trials import Curve
from tests.doubles.pair import make_real
from tests.profile import examples
from tests.simulation.surrogates import Rows

from .studies import Study, small, studies


class Recorded:
    """A surrogate with the values and the seconds of a `Curve`."""

    metric = "value"
    max_resource = 1e6
    rows = 100

    def __init__(self, curve: Curve, mode: str) -> None:
        self.curve, self.mode = curve, mode

    def evaluate(self, configurations: Any, levels: Any) -> tuple[Any, Any]:
        reached = [[self.curve.at(int(trial), level) for level in levels] for trial in configurations]
        pairs = zip(configurations.tolist(), reached, strict=True)
        values = [[self._value(trial, resource) for resource in row] for trial, row in pairs]
        return np.array(values, dtype=float), np.array(reached) * self.curve.seconds

    def _value(self, trial: int, resource: float) -> float:
        value = self.curve.value(trial, resource)
        return nan if value is None else value

    def optimum(self, level: float) -> None:
        return None


def simulated(study: Study) -> hbsim.Result:
    scheduler = make_real(study.type, study.options)
    surrogate = Recorded(study.curve, scheduler.mode)
    cluster = hbsim.Cluster(workers=study.workers, resume=study.curve.resume)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        return hbsim.simulate(scheduler, surrogate, cluster=cluster, searcher=Rows())


@st.composite
def well(draw: Any) -> Study:
    """Draw a study in which everything goes well."""
    study = draw(studies(faulty=False, workers=1))
    study.curve = replace(study.curve, breaks=(), ends=())
    study.until_return = False
    return study


@settings(max_examples=examples(150))
@given(well())
def test_decisions_are_equal(study: Study) -> None:
    run = study.run()
    result = simulated(study)
    assert run.decided() == result.decisions.drop("time").rows()
    jobs, theirs = run.jobs(), result.jobs
    same = ["job", "trial", "attempt", "bracket", "worker", "verdict", "value"]
    assert jobs.select(same).rows() == theirs.select(same).rows()


def reports_at_levels(study: Study) -> bool:
    """Whether each milestone is reported just there."""
    levels = make_real(study.type, study.options).levels
    return all(study.curve.at(0, level) == level for level in levels)


@settings(max_examples=examples(60))
@given(well())
def test_jobs_take_the_same_time(study: Study) -> None:
    study.latency = 0.0
    study.curve = replace(study.curve, paces=(0.5,))
    assume(reports_at_levels(study))
    jobs, theirs = study.run().jobs(), simulated(study).jobs
    for column in ("start_resource", "stop_resource", "start_time", "train_start", "end_time"):
        assert jobs[column].to_list() == pytest.approx(theirs[column].to_list(), abs=1e-3)


@pytest.mark.parametrize("type", ["stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo"])
@pytest.mark.parametrize("resume", [True, False])
def test_nine_trials(type: str, resume: bool) -> None:
    study = small(type, curve={"resume": resume})
    run, result = study.run(), simulated(study)
    shown = ["trial", "bracket", "level", "value", "n_before", "cutoff", "verdict"]
    decisions = run.decisions.frame(run.scheduler.levels, run.scheduler.trial_brackets())
    assert decisions.select(shown).equals(result.decisions.select(shown))
    times = decisions["time"].to_numpy() - result.decisions["time"].to_numpy()
    assert np.abs(times).max() < 1e-3
    assert run.jobs().equals(result.jobs)
    ends = run.jobs().select(pl.col("start_time", "end_time")).rows()
    assert all(end == start for (_, end), (start, _) in pairwise(ends))
