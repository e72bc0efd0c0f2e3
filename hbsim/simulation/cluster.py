"""The simulated cluster: its workers, and the costs of all operations in simulated time.

`Cluster` declares its parameters once, with their rules: the command line, TOML files and sweeps take them
from it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np

from hbsim.core.numbers import exact, whole
from hbsim.errors import ParameterError
from hbsim.options import Check, Panel, declared, option
from hbsim.simulation.distributions import LARGEST, Distribution, Exponential, parse, plain
from hbsim.simulation.trace import Trace, read_trace

MOST_WORKERS: Final = 1_000_000  # more would not fit into memory
SLOWEST: Final = 1e-9  # GB a second, or the share of a usual speed
SHORTEST: Final = 1e-3  # seconds: machines that come and go faster would hold the clock
SELDOM: Final = 1e-3  # how often machines must at least be there for longer than the notice, or than SHORTEST
ROUNDING: Final = Fraction(1, 100)  # 0.33 is a third
NEWER: Final = ("suggest_delay",)  # parameters that `Cluster.as_dict` has only if they are set

CLUSTER: Final[Panel] = "Simulated machines"
DELAYS: Final[Panel] = "Simulated delays"
CHECKPOINTS: Final[Panel] = "Simulated checkpoints"
FAILURES: Final[Panel] = "Simulated failures and absences"
RENEWALS: Final = {"mtbf": "mttr", "preempted_every": "preempted_for"}  # how long there, and how long not


class _Default(int):
    """A number that was not given; else it is the same number."""


DEFAULT_WORKERS: Final = _Default(32)


def _not_negative(field: str, value: object) -> float:
    checked = exact(field, value)
    if checked < 0:
        raise ParameterError(field, value, "must be at least 0")
    if checked > LARGEST:
        raise ParameterError(field, value, f"must be at most {plain(LARGEST)}")
    return float(checked)


def _probability(field: str, value: object) -> float:
    checked = _not_negative(field, value)
    if checked >= 1:
        raise ParameterError(field, value, "must be below 1: a probability per second")
    return checked


def _bandwidth(field: str, value: object) -> float | None:
    """Return GB a second, above 0; None for no limit."""
    if value is None:
        return None
    checked = exact(field, value)
    if checked <= 0:
        raise ParameterError(field, value, "must be above 0; leave it out for no limit")
    if checked < SLOWEST:
        raise ParameterError(field, value, f"must be at least {SLOWEST:g}")
    return float(checked)


def _time_there(field: str, value: object) -> Distribution | None:
    """Return how long machines are there; a number is the mean of an exponential distribution."""
    if value is None:
        return None
    there = parse(field, value, least=SHORTEST)
    if isinstance(there, float):
        there = Exponential(there)
    if float(there.quantile(np.array([1.0 - SELDOM]))[0]) < SHORTEST:
        raise ParameterError(field, value, f"is nearly always shorter than {SHORTEST:g} s")
    return there


def _time_away(field: str, value: object) -> float | Distribution:
    """Return how long machines are not there; a number above 0 is the mean of an exponential distribution."""
    away = parse(field, value)
    return Exponential(away) if isinstance(away, float) and away else away


def _workers(field: str, value: object) -> int:
    if isinstance(value, _Default):
        return value
    checked = whole(field, value, 1)
    if checked > MOST_WORKERS:
        raise ParameterError(field, value, f"must be at most {MOST_WORKERS:,}")
    return checked


def _speed(field: str, value: object) -> float:
    checked = float(exact(field, value))
    if checked <= 0:
        raise ParameterError(field, value, "must be above 0")
    if not SLOWEST <= checked <= LARGEST:  # others make times that no float holds
        raise ParameterError(field, value, f"must lie in [{SLOWEST:g}, {LARGEST:g}]")
    return checked


def _speeds(field: str, value: object) -> float | tuple[float, ...]:
    """Return the training speed of all workers, or of each."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _speed(field, value)
    return tuple(_speed(field, one) for one in value)


def _schedule(field: str, value: object) -> tuple[tuple[float, int], ...]:
    """Return pairs of a time and how many machines are there from then on."""
    rule = "must be pairs (time, machines), the times ascending, the first one 0"
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ParameterError(field, value, rule)
    pairs: list[tuple[float, int]] = []
    for pair in value:
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise ParameterError(field, pair, rule)
        time, count = _not_negative(field, pair[0]), whole(field, pair[1], 0)
        if (time <= pairs[-1][0]) if pairs else time != 0:
            raise ParameterError(field, pair, rule)
        pairs.append((time, count))
    if pairs and not any(count for _, count in pairs):
        raise ParameterError(field, value, "must have machines at some time")
    return tuple(pairs)


def _trace(field: str, value: object) -> Trace | None:
    """Return a recorded cluster, read from its file if it is a path."""
    if value is None or isinstance(value, Trace):
        return value
    if isinstance(value, str | os.PathLike):
        return read_trace(value)
    raise ParameterError(field, value, "must be the path of a CSV file")


def _machines(field: str, value: object) -> tuple[Machines, ...]:
    kinds = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    for kind in kinds:
        if not isinstance(kind, Machines):
            raise ParameterError(field, kind, "must be hbsim.simulation.Machines")
    return kinds


def _gpus_per_trial(field: str, value: object) -> float:
    """Return how many GPUs a trial takes: whole, or about 1/k."""
    checked = gpu_share(value)
    return int(checked) if checked >= 1 else float(exact(field, value))


def _slowdown(field: str, value: object) -> float:
    checked = exact(field, value)
    if checked < 1:
        raise ParameterError(field, value, "must be at least 1")
    return _not_negative(field, value)


def _machine_kind(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ParameterError(field, value, "must be a name")
    return value


def _at_least_one(field: str, value: object) -> int:
    return whole(field, value, 1)


# Declarations of parameters that are alike


def _number(help: str, panel: Panel, check: Check = _not_negative, default: float = 0.0) -> Any:
    return option(default, help=help, takes="number", check=check, panel=panel)


def _amount(help: str, panel: Panel, check: Check = parse) -> Any:
    return option(0.0, help=help, takes="amount", check=check, panel=panel)


def _time_until(help: str) -> Any:
    return option(None, help=help, takes="amount", check=_time_there, panel=FAILURES, can_be_none=True)


def _rate(help: str) -> Any:
    return option(
        None,
        help=help,
        takes="number",
        check=_bandwidth,
        metavar="GB/s",
        panel=CHECKPOINTS,
        can_be_none=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Machines of one kind.

    Parameters
    ----------
    kind : str
        Its name, such as ``"A100"``.
    count : int
        How many there are; at least 1.
    gpus : int
        GPUs of each; at least 1.
    speed : float
        Training speed, above 0; 2 halves the seconds of the curves.
    price : float
        An hour of one machine; at least 0.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    kind: str = option(help="The name of the kind.", check=_machine_kind)
    count: int = option(help="How many machines there are.", takes="whole", check=_at_least_one)
    gpus: int = option(1, help="GPUs of each.", takes="whole", check=_at_least_one)
    speed: float = option(1.0, help="Training speed.", takes="number", check=_speed)
    price: float = option(0.0, help="Money for an hour of one.", takes="number", check=_not_negative)

    def __post_init__(self) -> None:
        for name, declaration in declared(Machines).items():
            _set(self, name, declaration.check(name, getattr(self, name)))


def gpu_share(gpus_per_trial: object) -> Fraction:
    """Return the GPUs of a trial: a whole number, or 1/k where it is that to a hundredth (0.33 is a third).

    Raises
    ------
    ParameterError
        It is neither (field ``gpus_per_trial``).
    """
    number = exact("gpus_per_trial", gpus_per_trial)
    if number >= 1 and number.denominator == 1:
        return number
    if 0 < number < 1:
        trials = round(1 / number)
        if trials > 1 and abs(number * trials - 1) <= ROUNDING:
            return Fraction(1, trials)
    rule = "must be a whole number, or a share that k trials use up: 0.5, 0.33, 0.25 and so on"
    raise ParameterError("gpus_per_trial", gpus_per_trial, rule)


def workers_of(machines: Machines, gpus_per_trial: Fraction) -> int:
    """Return how many workers, each with `gpus_per_trial`, one of the machines has.

    Raises
    ------
    ParameterError
        A trial takes more GPUs than the machine has.
    """
    if gpus_per_trial > machines.gpus:
        rule = f"must be at most the GPUs of a machine: {machines.gpus} in each {machines.kind}"
        raise ParameterError("gpus_per_trial", int(gpus_per_trial), rule)
    return int(machines.gpus / gpus_per_trial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The simulated machines of a study: workers, each of which runs one job at a time.

    By default only training takes time. A job occupies its worker from its start to its last decision, or
    until its checkpoint is saved. All times are simulated seconds. In place of a distribution, a number is a
    constant, and a text is read by `hbsim.simulation.distributions.parse`: ``"lognormal:mean=5,std=2"``.

    Parameters
    ----------
    workers : int
        How many workers; at least 1, by default 32, or as many as the machines or the trace have.
    speed : float or sequence of float
        Training speed, of all workers or of each; 2 halves the seconds of the curves.
    startup : float or distribution
        Seconds from a job's start until it trains, or loads.
    report_delay : float or distribution
        Seconds from a milestone until the scheduler has the report and decides.
    decision_delay : float or distribution
        Seconds from a decision until the worker has it (default: 0).
    suggest_delay : float
        Seconds to choose the configuration of a new trial, while its worker waits. The searcher chooses one
        at a time; its real computing time does not count.
    save : float
        Seconds to save a checkpoint, when a trial pauses, beside its transfer. The worker is occupied, and
        the checkpoint cannot be loaded before.
    load : float
        Seconds to load it, when a trial goes on in a new job, beside its transfer.
    straggler_std : float
        Each stretch between two levels takes 1 + |z| times as long, z ~ Normal(0, straggler_std).
    drop_rate : float
        The probability per second of start-up, loading and training that a job is lost, in [0, 1).
    resume : bool
        Whether jobs go on from the trial's milestone. Otherwise there are no checkpoints, and a promoted or
        retried trial trains from zero.
    report : "blocking" or "async"
        Whether training waits for a decision, or runs on until a stop arrives. A job that runs
        on can be lost too, and then its report on the way is dropped.
    mtbf, mttr : float or distribution
        The seconds until a machine breaks, and until it is repaired; a number is the mean of an exponential
        distribution. None: it never breaks.
    preempted_every, preempted_for : float or distribution
        The same for machines that are preempted, such as spot machines.
    notice : float
        How many seconds before a preemption the workers of a machine get notice.
    schedule : sequence of (float, int)
        Times, and how many machines are available from each on: those with the lowest numbers.
    trace : path or Trace, optional
        A CSV file of when each worker was available; see `hbsim.simulation.trace`.
    retry_from : "milestone", "checkpoint" or "zero"
        Where a trial goes on that is retried after a failure: from its last milestone, which costs nothing to
        keep; from its last saved checkpoint; or from zero.
    checkpoint_size : float or distribution
        GB of a trial's checkpoint.
    save_bandwidth, load_bandwidth : float, optional
        GB a second that one worker can save and load; None: a transfer takes no time.
    store_bandwidth : float, optional
        GB a second of the store that all workers share; None: no limit.
    machines : sequence of Machines
        Kinds of machines, with their GPUs, speeds and prices. Without them each worker is a machine.
    gpus_per_trial : float
        GPUs of a machine that a trial takes: whole, or below 1 where trials share a GPU.
    slowdown : float
        How many times as long training takes where trials share a GPU; at least 1.
    price : float
        Money for an hour of a worker, without `machines`.

    Raises
    ------
    ParameterError
        A parameter breaks its rule.
    """

    workers: int = option(
        DEFAULT_WORKERS, help="Number of workers (default: 32).", takes="whole", check=_workers, panel=CLUSTER
    )
    speed: float | Sequence[float] = option(
        1.0,
        help="Training speed of all workers, or of each one (default: 1).",
        takes="numbers",
        check=_speeds,
        panel=CLUSTER,
    )
    startup: float | str | Distribution = _amount(
        "Seconds from a job's start until it trains: a number, or a distribution such as "
        "lognormal:mean=5,std=2 (default: 0).",
        DELAYS,
    )
    report_delay: float | str | Distribution = _amount(
        "Seconds from a milestone until it is decided on (default: 0).", DELAYS
    )
    decision_delay: float | str | Distribution = _amount(
        "Seconds from a decision until the worker has it (default: 0).", DELAYS
    )
    suggest_delay: float = _number("Seconds to choose the configuration of a new trial (default: 0).", DELAYS)
    save: float = _number("Seconds to save a checkpoint when a trial pauses (default: 0).", CHECKPOINTS)
    load: float = _number("Seconds to load a checkpoint when its trial goes on (default: 0).", CHECKPOINTS)
    straggler_std: float = _number(
        "Training from level to level takes 1 + |z| times as long, with z from N(0, std) (default: 0).",
        CLUSTER,
    )
    drop_rate: float = _number(
        "Probability that a job is lost, per second (default: 0).", FAILURES, _probability
    )
    resume: bool = option(
        True,
        help="Trials go on from checkpoints (default), or train again from zero.",
        takes="flag",
        panel=CHECKPOINTS,
    )
    report: Literal["blocking", "async"] = option(
        "blocking",
        help="Whether training waits for decisions, or runs on until told to stop (default: blocking).",
        choices=("blocking", "async"),
        panel=DELAYS,
    )
    mtbf: float | str | Distribution | None = _time_until(
        "Seconds until a machine breaks; a number is the mean (default: never)."
    )
    mttr: float | str | Distribution = _amount(
        "Seconds until a broken machine is repaired (default: 0).", FAILURES, _time_away
    )
    preempted_every: float | str | Distribution | None = _time_until(
        "Seconds until a machine is preempted; a number is the mean (default: never)."
    )
    preempted_for: float | str | Distribution = _amount(
        "Seconds until a preempted machine is back (default: 0).", FAILURES, _time_away
    )
    notice: float = _number(
        "Seconds from the notice until a machine is preempted, in which trials save (default: 0).", FAILURES
    )
    schedule: Sequence[tuple[float, int]] = option(
        (),
        help="How many machines there are from which second on, such as 0:4,3600:16.",
        takes="steps",
        check=_schedule,
        metavar="TIME:MACHINES,...",
        panel=FAILURES,
        can_be_none=True,
    )
    trace: str | os.PathLike[str] | Trace | None = option(
        None,
        help="CSV file that says when each worker was there: worker,start,end,state.",
        check=_trace,
        metavar="FILE",
        flags=("--trace", "--cluster-trace"),
        panel=FAILURES,
        can_be_none=True,
    )
    retry_from: Literal["milestone", "checkpoint", "zero"] = option(
        "milestone",
        help="Where a lost trial goes on from (default: milestone).",
        choices=("milestone", "checkpoint", "zero"),
        panel=FAILURES,
    )
    checkpoint_size: float | str | Distribution = _amount("GB of a checkpoint (default: 0).", CHECKPOINTS)
    save_bandwidth: float | None = _rate("Bandwidth of a worker that saves (default: no limit).")
    load_bandwidth: float | None = _rate("Bandwidth of a worker that loads (default: no limit).")
    store_bandwidth: float | None = _rate(
        "Bandwidth of the store that all workers share (default: no limit)."
    )
    machines: Sequence[Machines] = option(
        (), help="Kinds of machines, with their GPUs, speeds and prices.", takes="tables", check=_machines
    )
    gpus_per_trial: float = _number(
        "GPUs of a trial; needs a cluster that lists its machines (default: 1).", CLUSTER, _gpus_per_trial, 1
    )
    slowdown: float = _number(
        "How many times longer training takes where trials share a GPU (default: 1).", CLUSTER, _slowdown, 1.0
    )
    price: float = _number("Price of a worker for an hour (default: 0).", CLUSTER)

    def __repr__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}
        usual = {one.name: one.default for one in fields(self)}
        texts = [
            f"{name}={value!r}" for name, value in given.items() if name == "workers" or value != usual[name]
        ]
        return f"Cluster({', '.join(texts)})"

    def __post_init__(self) -> None:
        for time, away in RENEWALS.items():
            if getattr(self, time) is None and getattr(self, away):
                raise ParameterError(away, getattr(self, away), f"is for {time}, which is not given")
        given = {name: getattr(self, name) for name in declared(Cluster)}
        for name, declaration in declared(Cluster).items():
            _set(self, name, declaration.check(name, given[name]))
        self._check_together(given)
        _set(self, "workers", self._count_workers())
        if isinstance(self.speed, tuple) and len(self.speed) != self.workers:
            raise ParameterError(
                "speed", given["speed"], f"must be one number, or {self.workers}, one a worker"
            )
        for pair in self.schedule:
            if pair[1] > self.count_machines:
                raise ParameterError("schedule", pair, f"must be at most {self.count_machines} machines")

    def _check_together(self, given: Mapping[str, object]) -> None:
        """Check which parameters exclude or need each other; errors show the values as given."""
        if self.machines:
            for name, default in (("speed", 1.0), ("price", 0.0)):
                if getattr(self, name) != default:
                    rule = "must not be given with machines: each kind has its own"
                    raise ParameterError(name, given[name], rule)
        elif self.gpus_per_trial != 1:
            rule = "is for machines, which are not given"
            raise ParameterError("gpus_per_trial", given["gpus_per_trial"], rule)
        if self.slowdown > 1 and self.gpus_per_trial >= 1:
            rule = "is for trials that share a GPU: gpus_per_trial below 1"
            raise ParameterError("slowdown", given["slowdown"], rule)
        if self.trace is not None:
            for name in ("machines", "schedule", "mtbf", "preempted_every"):
                value = getattr(self, name)
                if value is not None and value != ():
                    rule = "must not be given with a trace, which says who was there"
                    raise ParameterError(name, given[name], rule)
        if self.notice and not (self.preempted_every or self.schedule or self.trace):
            rule = "is for preempted_every, schedule or trace, none of which is given"
            raise ParameterError("notice", given["notice"], rule)

    def _count_workers(self) -> int:
        """Return how many workers there are, as given or as the machines, the trace or the schedule have."""
        counted = None
        if self.machines:
            share = gpu_share(self.gpus_per_trial)
            counted = sum(kind.count * workers_of(kind, share) for kind in self.machines)
        elif isinstance(self.trace, Trace):
            counted = len(self.trace.workers)
        elif self.schedule and not self.names_workers:
            counted = max(1, max(count for _, count in self.schedule))
        if counted is None:
            return self.workers
        if counted > MOST_WORKERS:
            rule = f"must be at most {MOST_WORKERS:,}, which the machines exceed"
            raise ParameterError("workers", counted, rule)
        if self.names_workers and counted != self.workers:
            rule = f"the machines or the trace have {counted}; leave it out"
            raise ParameterError("workers", self.workers, rule)
        return counted

    def check_time_to_work(self) -> None:
        """Check that machines are available for longer than their notice; else no work would be done.

        Raises
        ------
        ParameterError
            They are not (field ``notice``).
        """
        every = self.preempted_every
        if self.notice and isinstance(every, Distribution):
            longest = float(every.quantile(np.array([1.0 - SELDOM]))[0])
            if longest <= self.notice:
                about = f"{plain(longest)} s is about the longest that preempted_every gives"
                raise ParameterError("notice", self.notice, f"leaves no time to work: {about}")

    def _workers_by_machine(self) -> list[tuple[int, Machines]]:
        """Return for each worker its machine's number and kind."""
        share, number, workers = gpu_share(self.gpus_per_trial), 0, []
        for kind in self.machines:
            for _ in range(kind.count):
                workers += [(number, kind)] * workers_of(kind, share)
                number += 1
        return workers

    @property
    def names_workers(self) -> bool:
        """Whether the number of workers was given."""
        return not isinstance(self.workers, _Default)

    @property
    def speeds(self) -> tuple[float, ...]:
        """The training speed of each worker."""
        if self.machines:
            return tuple(kind.speed / self.slowdown for _, kind in self._workers_by_machine())
        return (self.speed,) * self.workers if isinstance(self.speed, float) else tuple(self.speed)

    @property
    def machine_of(self) -> tuple[int, ...]:
        """The number of each worker's machine."""
        if self.machines:
            return tuple(number for number, _ in self._workers_by_machine())
        return tuple(range(self.workers))

    @property
    def count_machines(self) -> int:
        """How many machines there are."""
        return sum(kind.count for kind in self.machines) if self.machines else self.workers

    @property
    def prices(self) -> tuple[float, ...]:
        """The price of an hour of each machine."""
        if self.machines:
            return tuple(kind.price for kind in self.machines for _ in range(kind.count))
        return (self.price,) * self.workers

    @property
    def is_priced(self) -> bool:
        """Whether anything costs money."""
        return any(self.prices)

    @property
    def has_absences(self) -> bool:
        """Whether machines come and go."""
        return bool(self.mtbf is not None or self.preempted_every is not None or self.schedule or self.trace)

    @property
    def shares_store(self) -> bool:
        """Whether checkpoints go through a store that limits them."""
        return bool(self.resume and self.checkpoint_size and self.store_bandwidth is not None)

    @property
    def hazard(self) -> float:
        """The rate of the exponential law that loses a job with `drop_rate` a second."""
        return -math.log1p(-self.drop_rate)

    @classmethod
    def from_file(cls, source: str | os.PathLike[str]) -> Cluster:
        """Read a cluster from a TOML file, whose fields have the names of the parameters.

        Parameters
        ----------
        source : path or str
            The file, or the name of a preset; ``hbsim clusters`` lists them.

        Raises
        ------
        ParameterError
            It is neither, or cannot be used (field ``cluster``): names the file's field, value and rule.
        """
        from hbsim.simulation.cluster_files import read  # imports pydantic

        return read(source).make()

    def as_dict(self) -> dict[str, object]:
        """Return all parameters in plain JSON types, as a cluster file has them.

        One of `NEWER` is there only if it is set, so that the fingerprints of sweeps stay the same.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if name not in NEWER or value}


def _set(made: object, name: str, value: object) -> None:
    object.__setattr__(made, name, value)  # the classes are frozen


def _plain(value: object) -> object:
    if isinstance(value, Machines):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Trace):
        return value.source
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return getattr(value, "text")  # noqa: B009 - a distribution
    return int(value) if isinstance(value, _Default) else value
