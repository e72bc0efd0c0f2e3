"""The workers of a real study: of this machine, of hosts, or of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from hbsim.core.numbers import whole
from hbsim.errors import ParameterError, nearest, needs
from hbsim.executors.devices import cpu_limit, cpus, gpus
from hbsim.executors.local import LocalWorkers
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.slots import Slot, make_slots, read_resource, thread_variables
from hbsim.executors.training_function import FunctionDescription, default_start
from hbsim.runner.workers import WorkerBackend
from hbsim.study.folder import RemoteRuns
from hbsim.study.options import RunOptions

__all__ = [
    "EXECUTORS",
    "Executor",
    "StudyWorkers",
    "check_executor",
    "check_share",
    "make_workers",
]

Executor: TypeAlias = Literal["local", "dask"] | Sequence[str] | Hosts | Dask
EXECUTORS: Final = ("local", "dask")


class StudyWorkers(WorkerBackend, Protocol):
    """The workers of a study: of this machine, or of others."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The workers' shares of their machines, by number: those that there have been by now."""
        ...

    def launch(self) -> None:
        """Begin; returns soon."""
        ...

    def prepare(self) -> None:
        """Wait until the training function is loaded there."""
        ...

    def describe(self) -> FunctionDescription:
        """Return what the training function is; it may have to be loaded first."""
        ...

    def hosts(self) -> str:
        """Say which hosts there are; empty if there is only this machine."""
        ...

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files where they are beside the study's folder."""
        ...

    def gather(self, trials: Sequence[int]) -> bool:
        """Wait until checkpoints of these trials are where hosts cannot take them away; return whether."""
        ...

    def discard(self) -> None:
        """Have hosts remove all that they have of the study when it is closed: it has come to nothing."""
        ...


class LocalStudyWorkers(LocalWorkers):
    """Workers of this machine: all that they make is in the study's folder."""

    slots: Sequence[Slot]

    def hosts(self) -> str:
        """Say nothing."""
        return ""

    def prune(self, trial: int) -> None:
        """Do nothing."""

    def gather(self, trials: Sequence[int]) -> bool:
        """Return False: what only hosts have, from earlier runs, is there still."""
        return False

    def discard(self) -> None:
        """Do nothing."""


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
    remote: Hosts | Dask | None,
    target: Mapping[str, Any],
    options: RunOptions,
    counts: bool,
    trials: Path,
    note: RemoteRuns,
    say: Callable[[str], None],
) -> StudyWorkers:
    """Return workers that are to be launched.

    Parameters
    ----------
    remote : Hosts or Dask, optional
        Which other machines; None: this one.
    target : mapping
        Where the training function is, of `hbsim.executors.training_function.make_target`.
    options : RunOptions
        As `hbsim.run` was given them.
    counts : bool
        Whether a report without a resource is one more than the report before.
    trials : Path
        The folder of the trials' folders.
    note : RemoteRuns
        Of the study.
    say : callable
        Given lines for people.
    """
    setup = {
        "time_attr": options.time_attr,
        "metric": options.metric,
        "constants": options.constants,
        "counts": counts,
    }
    workers, resource, start, grace = options.workers, options.resource, options.start, options.grace
    if remote is None:
        slots = _slots(workers, resource)
        local = LocalStudyWorkers(target, slots, trials, setup, start or default_start(), grace, say=say)
        local.slots = slots
        return local
    from hbsim.executors.remote.workers import RemoteWorkers

    how = (trials, setup, start, grace, note.number(), say)
    return RemoteWorkers(remote, target, workers, resource, *how)


def _slots(workers: int | None, resource: Mapping[str, object] | None) -> list[Slot]:
    slots = make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if "num_cpus" in (resource or {}) or not asked.isdigit() or asked == "0":
        return slots
    # Nobody said how many cores a trial needs, but how many threads it should have.
    threads = thread_variables(int(asked))
    return [replace(slot, threads=int(asked), env={**slot.env, **threads}) for slot in slots]
