"""The rules of a cluster's parameters; each returns what it checked, in the form that the simulator reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hbsim.core.numbers import exact, whole
from hbsim.errors import ParameterError, nearest
from hbsim.simulation.distribution_kinds import plain
from hbsim.simulation.distributions import LARGEST, Distribution, Exponential, parse
from hbsim.simulation.machines import Machines, share
from hbsim.simulation.trace import Trace, read_trace

if TYPE_CHECKING:
    from hbsim.simulation.cluster import Cluster

REPORTS = ("blocking", "async")
RETRIES = ("milestone", "checkpoint", "zero")
SHORTEST = 1e-3  # seconds: machines that come and go faster would hold the clock
MOST = 1_000_000  # workers: more would not fit into memory
SLOWEST = 1e-9  # GB a second, or the share of a usual speed
SELDOM = 1e-3  # how often machines must at least be there for longer than the notice, or than SHORTEST


def number(field: str, value: object) -> float:
    """Return a number of at least 0."""
    checked = exact(field, value)
    if checked < 0:
        raise ParameterError(field, value, "must be at least 0")
    if checked > LARGEST:
        raise ParameterError(field, value, f"must be at most {plain(LARGEST)}")
    return float(checked)


def distribution(field: str, value: object) -> float | Distribution:
    """Return a number of at least 0, or a distribution."""
    return parse(field, value)


def bandwidth(field: str, value: object) -> float | None:
    """Return GB a second, above 0; None for no limit."""
    if value is None:
        return None
    checked = exact(field, value)
    if checked <= 0:
        raise ParameterError(field, value, "must be above 0; leave it out for no limit")
    if checked < SLOWEST:
        raise ParameterError(field, value, f"must be at least {SLOWEST:g}")
    return float(checked)


def renewal(
    field: str, value: object, back: str, time: object
) -> tuple[Distribution | None, float | Distribution]:
    """Return how long machines are there, and how long they are not; numbers are exponential means."""
    if value is None:
        if time:
            raise ParameterError(back, time, f"is for {field}, which is not given")
        return None, 0.0
    there = parse(field, value, least=SHORTEST)
    if isinstance(there, float | int):
        there = Exponential(float(there))
    if float(there.quantile(np.array([1.0 - SELDOM]))[0]) < SHORTEST:
        raise ParameterError(field, value, f"is nearly always shorter than {SHORTEST:g} s")
    gone = parse(back, time)
    if isinstance(gone, float | int):
        gone = Exponential(float(gone)) if gone else 0.0
    return there, gone


def flags(drop_rate: float, resume: object, report: object, retry_from: object) -> None:
    """Check what is one of a few values, and the probability."""
    if drop_rate >= 1:
        raise ParameterError("drop_rate", drop_rate, "must be below 1: a probability per second")
    if not isinstance(resume, bool):
        raise ParameterError("resume", resume, "must be True or False")
    for field, value, choices in (("report", report, REPORTS), ("retry_from", retry_from, RETRIES)):
        if value not in choices:
            near = nearest(value, choices) if isinstance(value, str) else ""
            raise ParameterError(field, value, f"must be {' or '.join(map(repr, choices))}.{near}")


def trace(value: object) -> Trace | None:
    """Return a recorded cluster, read from its file if it is a path."""
    if value is None or isinstance(value, Trace):
        return value
    if isinstance(value, str | os.PathLike):
        return read_trace(value)
    raise ParameterError("trace", value, "must be the path of a CSV file")


def machines(value: object) -> tuple[Machines, ...]:
    """Return kinds of machines."""
    kinds = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for kind in kinds:
        if not isinstance(kind, Machines):
            raise ParameterError("machines", kind, "must be hbsim.simulation.Machines")
    return kinds


def gpus_per_trial(value: object, kinds: Sequence[Machines]) -> float:
    """Return how many GPUs a trial takes: whole, or about 1/k."""
    checked = share(value)
    if checked != 1 and not kinds:
        raise ParameterError("gpus_per_trial", value, "is for machines, which are not given")
    return int(checked) if checked >= 1 else float(exact("gpus_per_trial", value))


def slowdown(value: object, gpus: float) -> float:
    """Return how many times as long training takes where trials share a GPU."""
    checked = exact("slowdown", value)
    if checked < 1:
        raise ParameterError("slowdown", value, "must be at least 1")
    if checked > LARGEST:
        raise ParameterError("slowdown", value, f"must be at most {plain(LARGEST)}")
    if checked > 1 and gpus >= 1:
        raise ParameterError("slowdown", value, "is for trials that share a GPU: gpus_per_trial below 1")
    return float(checked)


def schedule(value: object) -> tuple[tuple[float, int], ...]:
    """Return pairs of a time and how many machines are there from then on."""
    rule = "must be pairs (time, machines), the times ascending, the first one 0"
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ParameterError("schedule", value, rule)
    pairs: list[tuple[float, int]] = []
    for pair in value:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise ParameterError("schedule", pair, rule)
        time, count = number("schedule", pair[0]), whole("schedule", pair[1], 0)
        if (time <= pairs[-1][0]) if pairs else time != 0:
            raise ParameterError("schedule", pair, rule)
        pairs.append((time, count))
    if pairs and not any(count for _, count in pairs):
        raise ParameterError("schedule", value, "must have machines at some time")
    return tuple(pairs)


def together(cluster: Cluster) -> None:
    """Check what must not stand together."""
    if cluster.machines:
        for field, default in (("speed", 1.0), ("price", 0.0)):
            if getattr(cluster, field) != default:
                rule = "must not be given with machines: each kind has its own"
                raise ParameterError(field, getattr(cluster, field), rule)
    if cluster.trace is not None:
        for field in ("machines", "schedule", "mtbf", "preempted_every"):
            value = getattr(cluster, field)
            if value is not None and value != ():
                raise ParameterError(field, value, "must not be given with a trace, which says who was there")
    if cluster.notice and not (cluster.preempted_every or cluster.schedule or cluster.trace):
        rule = "is for preempted_every, schedule or trace, none of which is given"
        raise ParameterError("notice", cluster.notice, rule)


def time_to_work(cluster: Cluster) -> None:
    """Check that machines are there at times at which they are not told yet that they go."""
    every = cluster.preempted_every
    if cluster.notice and isinstance(every, Distribution):
        longest = float(every.quantile(np.array([1.0 - SELDOM]))[0])
        if longest <= cluster.notice:
            rule = (
                f"leaves no time to work: {plain(longest)} s is about the longest that preempted_every gives"
            )
            raise ParameterError("notice", cluster.notice, rule)


def workers(is_named: bool, value: int, counted: int | None) -> int:
    """Return how many workers there are, as they were named or as the machines or the trace have them."""
    if counted is not None and counted > MOST:
        raise ParameterError("workers", counted, f"must be at most {MOST:,}, which the machines exceed")
    if not is_named:
        return value if counted is None else counted
    checked = whole("workers", value, 1)
    if checked > MOST:
        raise ParameterError("workers", value, f"must be at most {MOST:,}")
    if counted is not None and counted != checked:
        raise ParameterError("workers", value, f"the machines or the trace have {counted}; leave it out")
    return checked


def speed(value: object, count: int) -> float | tuple[float, ...]:
    """Return the training speed of all workers, or of each."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        speeds: list[object] = [value]
    else:
        speeds = list(value)
        if len(speeds) != count:
            raise ParameterError("speed", value, f"must be one number, or {count}, one a worker")
    numbers = tuple(float(exact("speed", one)) for one in speeds)
    if min(numbers) <= 0:
        raise ParameterError("speed", value, "must be above 0")
    if not SLOWEST <= min(numbers) <= max(numbers) <= LARGEST:
        raise ParameterError("speed", value, f"must lie in [{SLOWEST:g}, {LARGEST:g}]")
    return numbers if isinstance(value, Iterable) else numbers[0]


def enough_machines(pairs: Sequence[tuple[float, int]], count: int) -> None:
    """Check that a schedule never has more machines than there are."""
    for pair in pairs:
        if pair[1] > count:
            raise ParameterError("schedule", pair, f"must be at most {count} machines")
