"""The workers of a real study: of this machine, of hosts, or of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from hbsim.core.exact import whole
from hbsim.errors import ParameterError, nearest, needs
from hbsim.executors.devices import cpu_limit, cpus, gpus
from hbsim.executors.local import LocalWorkers
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.resource import read_resource
from hbsim.executors.slots import Slot, make_slots
from hbsim.executors.target import Description, default_start
from hbsim.executors.threads import thread_variables
from hbsim.live.remote_note import RemoteNote
from hbsim.runner.workers import Workers

__all__ = [
    "EXECUTORS",
    "Executor",
    "StudyWorkers",
    "Training",
    "check_executor",
    "check_share",
    "make_workers",
]

Executor: TypeAlias = Literal["local", "dask"] | Sequence[str] | Hosts | Dask
EXECUTORS: Final = ("local", "dask")


class Startable(Workers, Protocol):
    """Workers that take a while to be there."""

    def launch(self) -> None:
        """Begin; returns soon."""
        ...

    def prepare(self) -> None:
        """Wait until the training function is loaded there."""
        ...


@dataclass(frozen=True, slots=True)
class Training:
    """What every worker has to know.

    Attributes
    ----------
    target : mapping
        Where the training function is, of `hbsim.executors.target.make_target`.
    setup : mapping
        time_attr, reward_attr, constants, counts.
    trials : Path
        The folder of the trials' folders.
    start : "fork" or "spawn", or None
        How trials' processes are made; None: as is usual where they are.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    """

    target: Mapping[str, Any]
    setup: Mapping[str, object]
    trials: Path
    start: str | None
    grace: float


def _gather_nothing(trials: Sequence[int]) -> None:
    """Do nothing: all is in the study's folder."""


def _discard_nothing() -> None:
    """Do nothing: there is nothing beside the study's folder."""


@dataclass(frozen=True, slots=True)
class StudyWorkers:
    """The workers of a study, and what is known of them.

    Attributes
    ----------
    workers : Workers
        What the runner drives.
    slots : callable
        Returns the workers' shares of their machines, by number: those that were made by now.
    hosts : callable or None
        Returns a line about the hosts; None: there is only this machine.
    gather : callable
        Waits until checkpoints of these trials are in the study's folder, or in its store.
    prune : callable or None
        Given trials whose checkpoints and files are of no more use anywhere.
    discard : callable
        Has hosts remove all that they have of the study when it is closed: it has come to nothing.
    describe : callable or None
        Waits until the training function is loaded where trials run, and returns what it is; None: it has to
        be loaded in this process, too.
    """

    workers: Startable
    slots: Callable[[], Sequence[Slot]]
    hosts: Callable[[], str] | None = None
    gather: Callable[[Sequence[int]], None] = _gather_nothing
    prune: Callable[[int], None] | None = None
    discard: Callable[[], None] = _discard_nothing
    describe: Callable[[], Description] | None = None


def check_executor(executor: object) -> Hosts | Dask | None:
    """Return the options of other machines; None for this one.

    Raises
    ------
    ParameterError
        It is no executor, or Dask is not installed.
    """
    if executor == "local":
        return None
    if isinstance(executor, (list, tuple)):
        return Hosts(executor)
    if isinstance(executor, Hosts):
        return executor
    if not isinstance(executor, Dask) and executor != "dask":
        rule = (
            f"must be local, dask, a list of hosts, hbsim.Hosts or hbsim.Dask.{nearest(executor, EXECUTORS)}"
        )
        raise ParameterError("executor", executor, rule)
    if not _has_dask():
        raise ParameterError("executor", "dask", needs("Dask", "dask"))
    return executor if isinstance(executor, Dask) else Dask()


def _has_dask() -> bool:
    try:
        return find_spec("distributed") is not None
    except ImportError:  # something else that finds modules says so
        return False


def check_share(
    remote: Hosts | Dask | None, workers: int | None, resource: Mapping[str, object] | None
) -> None:
    """Check what is known of `workers` and `resource` before any host is.

    Raises
    ------
    ParameterError
        A value that cannot be, or more than this machine has where only it is used.
    """
    if remote is None:
        make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
        return
    if workers is not None:
        whole("workers", workers, 1)
    read_resource(resource)


def make_workers(
    training: Training,
    remote: Hosts | Dask | None,
    workers: int | None,
    resource: Mapping[str, object] | None,
    note: RemoteNote,
    say: Callable[[str], None],
) -> StudyWorkers:
    """Return workers that are to be launched.

    Parameters
    ----------
    training : Training
        What they have to know.
    remote : Hosts or Dask, optional
        Which other machines; None: this one.
    workers, resource
        As `hbsim.run` has them.
    note : RemoteNote
        Of the study.
    say : callable
        Given lines for people.
    """
    target, setup, trials, grace = training.target, training.setup, training.trials, training.grace
    if remote is None:
        slots = _slots(workers, resource)
        start = training.start or default_start()
        local = LocalWorkers(target, slots, trials, setup, start, grace, say=say)
        return StudyWorkers(local, lambda: slots, describe=local.describe)
    from hbsim.executors.remote.workers import RemoteWorkers

    how = (training.start, grace, note.number(), say)
    made = RemoteWorkers(remote, target, workers, resource, trials, setup, *how)

    def gather(trials: Sequence[int]) -> None:
        if made.gather(trials):
            note.end()

    return StudyWorkers(made, lambda: made.slots, made.hosts, gather, made.prune, made.discard)


def _slots(workers: int | None, resource: Mapping[str, object] | None) -> list[Slot]:
    slots = make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if "num_cpus" in (resource or {}) or not asked.isdigit() or asked == "0":
        return slots
    # Nobody said how many cores a trial needs, but how many threads it should have.
    threads = thread_variables(int(asked))
    return [replace(slot, threads=int(asked), env={**slot.env, **threads}) for slot in slots]
