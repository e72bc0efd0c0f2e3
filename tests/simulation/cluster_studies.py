"""Random small studies on random clusters, run by the engine and by the naive cluster."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import hbsim
from hbsim.searchers import SearchTask, make_searcher
from hbsim.simulation.availability import MachineAvailability
from hbsim.simulation.cluster import Machines
from hbsim.simulation.curves import TrialCurves
from hbsim.simulation.distributions import Distribution, Empirical, Exponential, LogNormal, Uniform, Weibull
from hbsim.simulation.random_effects import RandomEffects
from hbsim.simulation.trace import Trace, read_trace
from hbsim.surrogates import load
from tests.doubles.naive_cluster import NaiveCluster
from tests.doubles.pair import make_real
from tests.doubles.traces import TYPES, scheduler_options

from .studies import Study, surrogates

TIMES = (0.0, 0.0, 0.25, 0.5, 1.0, 2.75)
LONG = 120.0  # enough for most; on some clusters no study would ever end
STATES = ("up", "up", "up", "preempted", "down", "queued", "gap")


def naive(study: Study, curves: type[TrialCurves] = TrialCurves) -> NaiveCluster:
    """Run the naive cluster."""
    scheduler = make_real(study.type, study.options)
    loaded = load(study.surrogate)
    searcher = make_searcher(
        "random", SearchTask(loaded.space, study.seed, loaded.rows, replace=study.replace)
    )
    cluster, seed = study.cluster, study.seed
    made = curves(loaded, searcher, scheduler.levels, cluster, seed, scheduler.options.num_trials)
    luck, presence = RandomEffects(cluster, seed, len(scheduler.levels)), MachineAvailability(cluster, seed)
    return NaiveCluster(scheduler, made, cluster, luck, presence, study.max_time, study.max_reward).run()


def empirical(*values: float) -> st.SearchStrategy[Distribution]:
    """One to three of these values, each as likely as the others; at least one above 0."""
    lists = st.lists(st.sampled_from(values), min_size=1, max_size=3).filter(any)
    return lists.map(lambda drawn: Empirical(tuple(drawn)))


def times() -> st.SearchStrategy[float | Distribution]:
    """A number or a distribution of dyadic numbers."""
    return st.sampled_from(TIMES) | empirical(0.0, 0.25, 0.5, 1.0, 2.75)


def maybe(strategy: st.SearchStrategy[Any], otherwise: Any = None) -> st.SearchStrategy[Any]:
    return st.just(otherwise) | strategy


@st.composite
def places(draw: Any) -> dict[str, Any]:
    """Draw the workers, or machines that have them."""
    price = st.sampled_from([0.0, 2.5, 36.0])
    if draw(st.booleans()):
        workers = draw(st.integers(1, 6))
        speeds = st.lists(st.sampled_from([0.5, 1, 2, 4]), min_size=workers, max_size=workers)
        return {"workers": workers, "speed": draw(maybe(speeds, 1.0)), "price": draw(price)}
    gpus_per_trial = draw(st.sampled_from([1, 0.5, 2]))
    kinds = [
        Machines(
            kind=name,
            count=draw(st.integers(1, 2)),
            gpus=draw(st.integers(2, 3)) if gpus_per_trial == 2 else draw(st.integers(1, 2)),
            speed=draw(st.sampled_from([0.5, 1, 2])),
            price=draw(price),
        )
        for name in ("A100", "T4")[: draw(st.integers(1, 2))]
    ]
    slowdown = draw(st.sampled_from([1, 2])) if gpus_per_trial < 1 else 1
    return {"machines": kinds, "gpus_per_trial": gpus_per_trial, "slowdown": slowdown}


@st.composite
def traces(draw: Any) -> Trace:
    """Draw a recorded cluster: for each worker states one after the other, gaps among them."""
    lines = ["worker,start,end,state"]
    for worker in range(draw(st.integers(1, 4))):
        now = 0.0
        stays = draw(
            st.lists(
                st.tuples(st.sampled_from([0.25, 1.0, 3.5, 9.0]), st.sampled_from(STATES)),
                min_size=1,
                max_size=8,
            )
        )
        for seconds, state in stays:
            if state != "gap":
                lines.append(f"{worker},{now},{now + seconds},{state}")
            now += seconds
        lines.append(f"{worker},{now},{draw(st.sampled_from(['', now + 30]))},up")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cluster.csv"
        path.write_text("\n".join(lines) + "\n")
        return read_trace(path)


@st.composite
def absences(draw: Any, place: dict[str, Any]) -> dict[str, Any]:
    """Draw who comes and goes; every time is dyadic."""
    there = empirical(0.5, 2.0, 5.25, 12.0, 30.0)
    away = maybe(empirical(0.0, 0.25, 1.0, 4.0), 0.0)
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found |= {"mtbf": draw(there), "mttr": draw(away)}
    if draw(st.booleans()):
        found |= {"preempted_every": draw(there), "preempted_for": draw(away)}
    if draw(st.integers(0, 3)) == 0:
        count = hbsim.Cluster(**place).count_machines
        steps = draw(st.lists(st.sampled_from([1.0, 2.5, 8.0]), max_size=6))
        at = [sum(steps[:number]) for number in range(len(steps) + 1)]
        found["schedule"] = [(time, draw(st.integers(0, count))) for time in at[:-1]] + [(at[-1], count)]
    if not found.keys().isdisjoint({"preempted_every", "schedule"}):
        found["notice"] = draw(st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0]))
    return found


@st.composite
def clusters(draw: Any) -> hbsim.Cluster:
    """Draw a cluster with any of its parts but a shared store; all sums of times are exact."""
    bandwidth = maybe(st.sampled_from([0.5, 1.0, 4.0]))
    if draw(st.integers(0, 5)) == 0:
        place = {"trace": draw(traces()), "notice": draw(st.sampled_from([0.0, 0.5, 2.0]))}
    else:
        place = draw(places())
        place |= draw(maybe(absences(place), {}))
    return hbsim.Cluster(
        **place,
        startup=draw(times()),
        report_delay=draw(times()),
        decision_delay=draw(times()),
        suggest_delay=draw(st.sampled_from(TIMES)),
        save=draw(st.sampled_from(TIMES)),
        load=draw(st.sampled_from(TIMES)),
        straggler_std=draw(st.sampled_from([0, 0, 0.5])),
        drop_rate=draw(st.sampled_from([0, 0, 0, 0.01, 0.1])),
        resume=draw(st.sampled_from([True, True, True, False])),
        report=draw(st.sampled_from(["blocking", "async"])),
        retry_from=draw(st.sampled_from(["milestone", "checkpoint", "zero"])),
        checkpoint_size=draw(times()),
        save_bandwidth=draw(bandwidth),
        load_bandwidth=draw(bandwidth),
    )


@st.composite
def clusters_with_a_store(draw: Any) -> hbsim.Cluster:
    """Draw a cluster whose workers share a store; what happens together happens of one cause."""
    workers = draw(st.integers(2, 8))
    renewals: dict[str, Any] = {}
    if draw(st.booleans()):
        renewals |= {
            "mtbf": Exponential(draw(st.sampled_from([7.1, 40.0]))),
            "mttr": draw(st.sampled_from([0, 1.3])),
        }
    if draw(st.booleans()):
        renewals |= {"preempted_every": Weibull(17.3, 0.7), "preempted_for": Uniform(0.1, 2.3)}
        renewals["notice"] = draw(st.sampled_from([0.0, 0.9, 4.1]))
    bandwidth = maybe(st.sampled_from([0.31, 1.7]))
    return hbsim.Cluster(
        workers=workers,
        speed=draw(st.sampled_from([1.0, 1.3])),
        startup=Uniform(0.1, 0.9),
        report_delay=draw(maybe(st.just(Exponential(0.21)), 0.0)),
        decision_delay=draw(maybe(st.just(LogNormal(0.2, 0.1)), 0.0)),
        suggest_delay=draw(st.sampled_from([0.0, 0.3])),
        save=draw(st.sampled_from([0.0, 0.17])),
        load=draw(st.sampled_from([0.0, 0.13])),
        straggler_std=0.56,
        drop_rate=draw(st.sampled_from([0, 0.02])),
        report=draw(st.sampled_from(["blocking", "async"])),
        retry_from=draw(st.sampled_from(["milestone", "checkpoint", "zero"])),
        checkpoint_size=draw(st.just(0.77) | st.just(LogNormal(0.8, 0.5))),
        save_bandwidth=draw(bandwidth),
        load_bandwidth=draw(bandwidth),
        store_bandwidth=draw(st.sampled_from([0.23, 1.1, 3.0])),
        price=1.7,
        **renewals,
    )


@st.composite
def cluster_studies(
    draw: Any, clusters: st.SearchStrategy[hbsim.Cluster], types: tuple[str, ...] = TYPES
) -> Study:
    """Draw a study that ends, on one of these clusters."""
    type, options = draw(scheduler_options(types))
    options["retries"] = draw(st.sampled_from([0, 1, 2, 6]))
    options["num_trials"] = options["num_trials"] or draw(st.integers(1, 20))
    return Study(
        type,
        options,
        draw(surrogates(options["mode"], options["max_t"])),
        draw(clusters),
        seed=draw(st.integers(0, 50)),
        max_time=draw(st.sampled_from([LONG, LONG, 5.0, 17.25, 40.0])),
        max_reward=draw(st.sampled_from([None, None, None, None, 0.9, 2.0])),
        replace=True,
    )
