"""The simulated cluster: which workers there are, and what everything costs in simulated time."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final, Literal

from hbsim.simulation import cluster_checks as check
from hbsim.simulation.distributions import Distribution
from hbsim.simulation.machines import Machines, share, workers_of
from hbsim.simulation.trace import Trace

__all__ = ["DEFAULT_WORKERS", "Cluster"]


class _Default(int):
    """A number that was not given; else it is the same number."""


DEFAULT_WORKERS: Final = _Default(32)
LATER: Final = ("suggest_delay",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster of workers, each of which runs one job at a time; see `docs/reference/cluster.md`.

    A job occupies its worker from its start to its last decision, or to the end of the checkpoint
    that it saves. All times are simulated seconds. Where a distribution may stand, a number is always
    the same, and a text is read by `hbsim.simulation.distributions.parse`: ``"lognormal:mean=5,std=2"``.

    Parameters
    ----------
    workers : int
        How many workers; at least 1, by default 32, or as many as the machines or the trace have.
    speed : float or sequence of float
        Training speed, of all workers or of each; 2 halves the seconds of the curves.
    startup : float or distribution
        From a job's start until it trains, or loads.
    report_delay : float or distribution
        From a milestone until the scheduler has the report and decides.
    decision_delay : float or distribution
        From a decision until the worker has the answer.
    suggest_delay : float
        Choosing the configuration of a new trial, whose worker waits. The searcher chooses one at a time; how
        long it takes for real does not matter.
    save : float
        Saving a checkpoint, when a trial pauses, beside its transfer. The worker is occupied, and nobody
        loads it before.
    load : float
        Loading it, when a trial goes on in a new job, beside its transfer.
    straggler_std : float
        Each stretch between two levels takes 1 + |z| times as long, z ~ Normal(0, straggler_std).
    drop_rate : float
        The probability per second of start-up, loading and training that a job is lost, in [0, 1).
    resume : bool
        Whether jobs go on from where the trial stands. Otherwise there are no checkpoints, nothing
        is saved or loaded, and a promoted or retried trial trains from zero.
    report : "blocking" or "async"
        Whether training waits for a decision, or runs on until a stop arrives. What runs on can be
        lost too, and then the report that was under way is dropped.
    mtbf, mttr : float or distribution
        A machine breaks after a time, and is repaired after another; a number is the mean of an
        exponential distribution. None: it never breaks.
    preempted_every, preempted_for : float or distribution
        The same for machines that are taken away, as spot machines are.
    notice : float
        How long before a machine is taken away its workers are told.
    schedule : sequence of (float, int)
        From each of these times on so many machines are there, those with the lowest numbers.
    trace : path or Trace, optional
        A CSV file of when each worker was there; see `hbsim.simulation.trace`.
    retry_from : "milestone", "checkpoint" or "zero"
        From where a trial goes on that is retried after a failure: its last milestone, which costs
        nothing to keep; its last saved checkpoint; or zero.
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

    workers: int = DEFAULT_WORKERS
    speed: float | Sequence[float] = 1.0
    startup: float | str | Distribution = 0.0
    report_delay: float | str | Distribution = 0.0
    decision_delay: float | str | Distribution = 0.0
    suggest_delay: float = 0.0
    save: float = 0.0
    load: float = 0.0
    straggler_std: float = 0.0
    drop_rate: float = 0.0
    resume: bool = True
    report: Literal["blocking", "async"] = "blocking"
    mtbf: float | str | Distribution | None = None
    mttr: float | str | Distribution = 0.0
    preempted_every: float | str | Distribution | None = None
    preempted_for: float | str | Distribution = 0.0
    notice: float = 0.0
    schedule: Sequence[tuple[float, int]] = ()
    trace: str | os.PathLike[str] | Trace | None = None
    retry_from: Literal["milestone", "checkpoint", "zero"] = "milestone"
    checkpoint_size: float | str | Distribution = 0.0
    save_bandwidth: float | None = None
    load_bandwidth: float | None = None
    store_bandwidth: float | None = None
    machines: Sequence[Machines] = ()
    gpus_per_trial: float = 1
    slowdown: float = 1.0
    price: float = 0.0

    def __repr__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}
        usual = {one.name: one.default for one in fields(self)}
        texts = [
            f"{name}={value!r}" for name, value in given.items() if name == "workers" or value != usual[name]
        ]
        return f"Cluster({', '.join(texts)})"

    def __post_init__(self) -> None:
        for name in ("startup", "report_delay", "decision_delay", "checkpoint_size"):
            self._set(name, check.distribution(name, getattr(self, name)))
        for name in ("suggest_delay", "save", "load", "straggler_std", "drop_rate", "notice", "price"):
            self._set(name, check.number(name, getattr(self, name)))
        for name in ("save_bandwidth", "load_bandwidth", "store_bandwidth"):
            self._set(name, check.bandwidth(name, getattr(self, name)))
        for time, back in (("mtbf", "mttr"), ("preempted_every", "preempted_for")):
            pair = check.renewal(time, getattr(self, time), back, getattr(self, back))
            self._set(time, pair[0])
            self._set(back, pair[1])
        check.flags(self.drop_rate, self.resume, self.report, self.retry_from)
        self._set("trace", check.trace(self.trace))
        self._set("machines", check.machines(self.machines))
        self._set("gpus_per_trial", check.gpus_per_trial(self.gpus_per_trial, self.machines))
        self._set("slowdown", check.slowdown(self.slowdown, self.gpus_per_trial))
        self._set("schedule", check.schedule(self.schedule))
        check.together(self)
        self._set("workers", check.workers(self.names_workers, self.workers, self._counted()))
        self._set("speed", check.speed(self.speed, self.workers))
        check.enough_machines(self.schedule, self.count_machines)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    def _counted(self) -> int | None:
        """Return how many workers the machines, the trace or the schedule have; None if nothing says it."""
        if self.machines:
            of_trial = share(self.gpus_per_trial)
            return sum(kind.count * workers_of(kind, of_trial) for kind in self.machines)
        if isinstance(self.trace, Trace):
            return len(self.trace.workers)
        if self.schedule and not self.names_workers:
            return max(1, max(count for _, count in self.schedule))
        return None

    def _workers_by_machine(self) -> list[tuple[int, Machines]]:
        """Return for each worker its machine's number and kind."""
        of_trial, number, workers = share(self.gpus_per_trial), 0, []
        for kind in self.machines:
            for _ in range(kind.count):
                workers += [(number, kind)] * workers_of(kind, of_trial)
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
        """What an hour of each machine costs."""
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
        from hbsim.simulation.cluster_file import read  # takes pydantic to read it

        return read(source).make()

    def as_dict(self) -> dict[str, object]:
        """Return all parameters in plain JSON types, as a cluster file has them.

        One that came later stands there only if it is set: what sweeps are known by stays the same.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if name not in LATER or value}


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
