"""Random small studies, run by the engine and by the naive simulator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import hbsim
from hbsim.searchers import SearchTask, make_searcher
from hbsim.simulation.curves import TrialCurves
from hbsim.surrogates import Ideal, Synthetic, load
from tests.doubles.naive_simulator import NaiveSimulator
from tests.doubles.pair import make_real
from tests.doubles.traces import TYPES, scheduler_options

from .surrogates import STEP, Grid, Rounded

TIMES = (0.0, 0.0, 0.25, 0.5, 1.0, 2.75)


class ExactCurves(TrialCurves):
    """Curves whose luck is rounded to multiples of 2**-20: all sums of times are exact."""

    def _slow_factors(self, first: int, count: int) -> Any:
        return np.round(super()._slow_factors(first, count) / STEP) * STEP

    def budget(self, trial: int, attempt: int) -> float:
        return (round(super().budget(trial, attempt) / STEP) + 0.5) * STEP


@contextmanager
def exact_curves() -> Iterator[None]:
    """Make `simulate` read exact curves: then two orders of adding times give the same ties."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hbsim.simulation.curves.TrialCurves", ExactCurves)
        yield


@dataclass
class Study:
    """What it takes to run a study twice."""

    type: str
    options: dict[str, Any]
    surrogate: Any
    cluster: hbsim.Cluster
    seed: int = 0
    max_time: float | None = None
    max_reward: float | None = None
    replace: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def simulate(self) -> hbsim.Result:
        """Run the engine; whether a worker is left does not matter."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no worker is left")
            return hbsim.simulate(
                make_real(self.type, self.options),
                self.surrogate,
                seed=self.seed,
                cluster=self.cluster,
                max_time=self.max_time,
                max_reward=self.max_reward,
                replace=self.replace,
                **self.extra,
            )

    def naive(self, curves: type[TrialCurves] = TrialCurves) -> NaiveSimulator:
        """Run the naive simulator."""
        scheduler = make_real(self.type, self.options)
        loaded = load(self.surrogate)
        searcher = make_searcher(
            "random", SearchTask(loaded.space, self.seed, loaded.rows, replace=self.replace)
        )
        made = curves(
            loaded, searcher, scheduler.levels, self.cluster, self.seed, scheduler.options.num_trials
        )
        return NaiveSimulator(scheduler, made, self.cluster, self.max_time, self.max_reward).run()


@st.composite
def clusters(draw: Any) -> hbsim.Cluster:
    """Draw a cluster; speeds are powers of two and times dyadic."""
    workers = draw(st.integers(1, 6))
    speeds = st.sampled_from([0.5, 1, 2, 4])
    return hbsim.Cluster(
        workers=workers,
        speed=draw(st.just(1.0) | st.lists(speeds, min_size=workers, max_size=workers)),
        startup=draw(st.sampled_from(TIMES)),
        report_delay=draw(st.sampled_from(TIMES)),
        save=draw(st.sampled_from(TIMES)),
        load=draw(st.sampled_from(TIMES)),
        straggler_std=draw(st.sampled_from([0, 0, 0, 0.5, 1.33])),
        drop_rate=draw(st.sampled_from([0, 0, 0, 0.01, 0.05, 0.2])),
        resume=draw(st.booleans()),
        report=draw(st.sampled_from(["blocking", "async"])),
    )


@st.composite
def surrogates(draw: Any, mode: str, max_t: float) -> Any:
    """Draw learning curves; most have dyadic seconds."""
    kind = draw(st.sampled_from(["random", "tied", "odd", "flat", "ideal", "synthetic"]))
    if kind == "ideal":
        return Rounded(Ideal(max_t, mode=mode))
    if kind == "synthetic":
        return Rounded(Synthetic(max_resource=max(max_t, 2), mode=mode, noise=0.1, divergence=0.2))
    costs = draw(st.sampled_from([(1.0,), (1.0, 2.0), (0.5, 3.0)]))
    return Grid(kind, draw(st.integers(0, 99)), draw(st.sampled_from([8, 40])), mode, costs)


@st.composite
def studies(draw: Any, types: tuple[str, ...] = TYPES) -> Study:
    """Draw a study that ends: by its trials, its time or its reward."""
    type, options = draw(scheduler_options(types))
    max_time = draw(st.sampled_from([None, None, 1.0, 5.0, 17.25, 40.0]))
    if max_time is None and options["num_trials"] is None:
        options["num_trials"] = draw(st.integers(1, 40))
    return Study(
        type,
        options,
        draw(surrogates(options["mode"], options["max_t"])),
        draw(clusters()),
        seed=draw(st.integers(0, 50)),
        max_time=max_time,
        max_reward=draw(st.sampled_from([None, None, None, 0.9, 2.0, 0.1])),
        replace=True,
    )
