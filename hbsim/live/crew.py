"""Who runs a study's trials: this machine, or the workers of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from hbsim.core.exact import whole
from hbsim.errors import ParameterError, nearest
from hbsim.executors.dask.options import Dask
from hbsim.executors.devices import cpu_limit, cpus, gpus
from hbsim.executors.local import LocalWorkers
from hbsim.executors.resource import read_resource
from hbsim.executors.slots import Slot, make_slots
from hbsim.executors.target import Description, default_start
from hbsim.executors.threads import thread_variables
from hbsim.live.dask_note import DaskNote
from hbsim.runner.workers import Workers

__all__ = ["EXECUTORS", "Crew", "Executor", "Training", "check_executor", "check_share", "make_crew"]

Executor: TypeAlias = Literal["local", "dask"] | Dask
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


def _nothing(trials: Sequence[int]) -> None:
    """Bring nothing: all is in the study's folder already."""


def _nowhere() -> None:
    """Remove nothing: there is nothing beside the study's folder."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of a study, and what there is to know of them beside.

    Attributes
    ----------
    workers : Workers
        What the runner drives.
    slots : callable
        Returns the workers' shares of their machines, by number: those that were made by now.
    hosts : callable or None
        Returns a line about the hosts; None: there is only this machine.
    gather : callable
        Brings checkpoints of these trials into the study's folder.
    prune : callable or None
        Told of trials whose checkpoints and files are of no more use anywhere.
    discard : callable
        Has hosts remove all that they have of the study when it is closed: it has come to nothing.
    describe : callable or None
        Waits until the training function is loaded where trials run, and returns what it is; None: nobody
        there tells, so that it has to be loaded here, too.
    """

    workers: Startable
    slots: Callable[[], Sequence[Slot]]
    hosts: Callable[[], str] | None = None
    gather: Callable[[Sequence[int]], None] = _nothing
    prune: Callable[[int], None] | None = None
    discard: Callable[[], None] = _nowhere
    describe: Callable[[], Description] | None = None


def check_executor(executor: Executor) -> Dask | None:
    """Return the options of a Dask cluster; None for this machine.

    Raises
    ------
    ParameterError
        It is no executor, or Dask is not installed.
    """
    if executor == "local":
        return None
    if not isinstance(executor, Dask) and executor != "dask":
        rule = f"must be local, dask or an hbsim.Dask.{nearest(str(executor), EXECUTORS)}"
        raise ParameterError("executor", executor, rule)
    if not _has_dask():
        raise ParameterError("executor", "dask", 'needs Dask: pip install "hbsim[dask]"')
    return executor if isinstance(executor, Dask) else Dask()


def _has_dask() -> bool:
    try:
        return find_spec("distributed") is not None
    except ImportError:  # something else that finds modules says so
        return False


def check_share(dask: Dask | None, workers: int | None, resource: Mapping[str, object] | None) -> None:
    """Check what is known of `workers` and `resource` before any host is.

    Raises
    ------
    ParameterError
        A value that cannot be, or more than this machine has where only it is used.
    """
    if dask is None:
        make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
        return
    if workers is not None:
        whole("workers", workers, 1)
    read_resource(resource)


def make_crew(
    training: Training,
    dask: Dask | None,
    workers: int | None,
    resource: Mapping[str, object] | None,
    note: DaskNote,
    say: Callable[[str], None],
) -> Crew:
    """Return workers that are to be launched.

    Parameters
    ----------
    training : Training
        What they have to know.
    dask : Dask or None
        Which cluster; None: this machine.
    workers, resource
        As `hbsim.run` has them.
    note : DaskNote
        Of the study.
    say : callable
        Takes lines for people.
    """
    if dask is None:
        slots = _slots(workers, resource)
        local = LocalWorkers(
            training.target,
            slots,
            training.trials,
            training.setup,
            training.start or default_start(),
            training.grace,
            say=say,
        )
        return Crew(local, lambda: slots, describe=local.describe)
    from hbsim.executors.dask.workers import DaskWorkers

    there = DaskWorkers(
        dask,
        training.target,
        workers,
        resource,
        training.trials,
        training.setup,
        training.start,
        training.grace,
        note.number(),
        say,
    )

    def gather(trials: Sequence[int]) -> None:
        if there.gather(trials):
            note.end()

    return Crew(there, lambda: there.slots, there.hosts, gather, there.prune, there.discard)


def _slots(workers: int | None, resource: Mapping[str, object] | None) -> list[Slot]:
    slots = make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if "num_cpus" in (resource or {}) or not asked.isdigit() or asked == "0":
        return slots
    # Nobody said how many cores a trial needs, but how many threads it should have.
    threads = thread_variables(int(asked))
    return [replace(slot, threads=int(asked), env={**slot.env, **threads}) for slot in slots]
