"""The workers of a real study: on this machine, on hosts, or of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

from hbsim.core.numbers import whole
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest, needs
from hbsim.executors.devices import cpu_limit, cpus, gpus
from hbsim.executors.local import LocalWorkers
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.slots import Slot, make_slots, read_resource, thread_variables
from hbsim.executors.training_function import FunctionDescription, default_start
from hbsim.runner.workers import WorkerBackend
from hbsim.study.folder import RemoteRuns
from hbsim.study.options import RunOptions

Executor: TypeAlias = Literal["local", "dask", "sim"] | Sequence[str] | Hosts | Dask
EXECUTORS: Final = ("local", "sim", "dask")


class StudyWorkers(WorkerBackend, Protocol):
    """The interface of a study's workers, on this machine or others."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots of all workers so far, by number."""
        ...

    def launch(self) -> None:
        """Start the workers, without waiting for them."""
        ...

    def prepare(self) -> None:
        """Wait until the workers have loaded the training function."""
        ...

    def describe(self) -> FunctionDescription:
        """Return the description of the training function; load it if needed."""
        ...

    def hosts(self) -> str:
        """Return the hosts in a text; empty if there is only this machine."""
        ...

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files outside the study's folder."""
        ...

    def gather(self, trials: Sequence[int]) -> bool:
        """Wait until these trials' checkpoints are stored outside the hosts; return whether all are."""
        ...

    def discard(self) -> None:
        """On close, remove all files of the study from hosts, as it has no results."""
        ...


class LocalStudyWorkers(LocalWorkers):
    """The workers of this machine, with all their files in the study's folder."""

    slots: Sequence[Slot]

    def hosts(self) -> str:
        """Return an empty text."""
        return ""

    def prune(self, trial: int) -> None:
        """Do nothing."""

    def gather(self, trials: Sequence[int]) -> bool:
        """Return False: hosts may still have checkpoints of earlier runs."""
        return False

    def discard(self) -> None:
        """Do nothing."""


def check_executor(executor: object) -> Hosts | Dask | None:
    """Return the options of other machines; None for this machine.

    Raises
    ------
    ParameterError
        If `executor` is not valid, or Dask is not installed.
    """
    if executor == "local":
        return None
    if isinstance(executor, (list, tuple)):
        return Hosts(executor)
    if isinstance(executor, Hosts):
        return executor
    if not isinstance(executor, Dask) and executor != "dask":
        near = nearest(executor, EXECUTORS)
        rule = f"must be local, sim, dask, a list of hosts, hbsim.Hosts or hbsim.Dask.{near}"
        raise ParameterError("executor", executor, rule)
    if not _has_dask():
        raise ParameterError("executor", "dask", needs("Dask", "dask"))
    return executor if isinstance(executor, Dask) else Dask()


def _has_dask() -> bool:
    try:
        return find_spec("distributed") is not None
    except ImportError:  # raised by an import hook
        return False


def check_share(
    remote: Hosts | Dask | None, workers: int | None, resource: Mapping[str, object] | None
) -> None:
    """Check `workers` and `resource` as far as possible without knowing the hosts.

    Raises
    ------
    ParameterError
        If a value is not possible, or more than this machine has when it runs the trials.
    """
    if remote is None:
        make_slots(workers, resource, cpus(), gpus(os.environ), cpu_limit())
        return
    if workers is not None:
        whole("workers", workers, 1)
    read_resource(resource)


def count_workers(workers: int | None, resource: Mapping[str, object] | None) -> int:
    """Return how many workers a study has: as given, else as many as `resource` allows on this machine.

    Raises
    ------
    ParameterError
        A value is not possible; or nothing is given, and the need of a trial does not fit on this machine.
    """
    if workers is not None:
        read_resource(resource)
        return whole("workers", workers, 1)
    try:
        return len(_slots(None, resource))
    except ParameterError as error:
        rule = f"{error.rule}; with workers=N the machine of the simulation is another one"
        raise ParameterError(error.field, error.value, rule) from None


def make_workers(
    remote: Hosts | Dask | None,
    target: Mapping[str, Any],
    options: RunOptions,
    counts: bool,
    mode: Mode,
    trials: Path,
    note: RemoteRuns,
    say: Callable[[str], None],
) -> StudyWorkers:
    """Make the workers of a study, which are not launched yet.

    Parameters
    ----------
    remote : Hosts or Dask, optional
        The other machines; None for this machine.
    target : mapping
        The location of the training function, by `hbsim.executors.training_function.make_target`.
    options : RunOptions
        The options of `hbsim.run`.
    counts : bool
        Whether a report without a resource is at one more than the report before.
    mode : "max" or "min"
        What is better.
    trials : Path
        The folder of the trials' folders.
    note : RemoteRuns
        The study's file about remote runs.
    say : callable
        Shows a line to the user.
    """
    setup = {
        "time_attr": options.time_attr,
        "metric": options.metric,
        "constants": options.constants,
        "counts": counts,
        "saves": True,
        "keeps_best": None if options.keep == "none" else mode,
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
    # The user gave no number of cores for a trial, but a number of threads.
    threads = thread_variables(int(asked))
    return [replace(slot, threads=int(asked), env={**slot.env, **threads}) for slot in slots]
