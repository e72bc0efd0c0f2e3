"""Workers on other machines: each job is a process of its own on some host."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from hbsim.errors import HbsimWarning, counted
from hbsim.executors.remote.allocation import WorkerAllocator, named
from hbsim.executors.remote.code import make_bundle
from hbsim.executors.remote.controller import Controller, News
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.loop_thread import LoopThread
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.remote.protocol import Carrier
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import FunctionDescription, describe, load_target
from hbsim.runner.workers import Assignment, Message

MUCH: Final = 256 << 10  # bytes that are processed before they are acknowledged to hosts
T = TypeVar("T")


class RemoteWorkers:
    """Runs each job in a process of its own on other machines (see `hbsim.runner.workers.Workers`).

    All communication with hosts happens in an event loop, in a thread of its own, so that hosts do not end
    their trials when the runner is delayed by its searcher, a disk or a terminal. The runner's calls are
    passed to the loop, and messages come back in a queue.

    Parameters
    ----------
    options : Hosts or Dask
        The machines and their options.
    target : mapping
        The training function, as `hbsim.executors.training_function.make_target` describes it.
    workers : int or None
        The largest number of trials that run at the same time; None: as many as fit on the hosts.
    resource : mapping or None
        The need of a trial, as in `make_slots`.
    trials : Path
        The folder of the trials' folders.
    setup : mapping
        The setup of every trial's reporter: time_attr, metric, constants, counts.
    start : "fork", "spawn" or None
        How trials' processes are started; None: by each host's default.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    study : str
        The study's id: 16 hexadecimal digits, the same when it is resumed.
    say : callable
        Called, in the loop's thread, with lines on what the study waits for.

    Raises
    ------
    ParameterError
        `resource` or the code to be sent breaks a rule.
    """

    count = 0  # all workers open later

    def __init__(
        self,
        options: Hosts | Dask,
        target: Mapping[str, Any],
        workers: int | None,
        resource: Mapping[str, object] | None,
        trials: Path,
        setup: Mapping[str, object],
        start: str | None,
        grace: float,
        study: str,
        say: Callable[[str], None],
    ) -> None:
        self._target = target
        # Other processes cannot see storage in memory: checkpoints have to be copied.
        storage = "pull" if options.storage.startswith("memory://") else options.storage
        how = {"start": start, "grace": grace, "lease": float(options.lease), "storage": storage}
        what = {"study": study, "bundle": make_bundle(target, options.send), "setup": dict(setup)}
        carrier, machines = make_carrier(options, say), WorkerAllocator(workers, resource)
        self._news: SimpleQueue[News] = SimpleQueue()  # signal handlers may use a SimpleQueue
        self._controller = Controller(carrier, machines, {**what, **how}, trials, say, self._news.put)
        self._loop = LoopThread()
        self._messages: list[Message] = []
        self._notes: list[str] = []
        self._taken = 0  # bytes
        self._is_closed = False

    def launch(self) -> None:
        """Do nothing: agents start in `prepare`, which waits for them."""

    def prepare(self) -> None:
        """Start agents on all hosts, and wait until they can take jobs.

        Raises
        ------
        ParameterError
            Hosts cannot be reached, run other versions, cannot load the training function, or do not satisfy
            the need of a trial.
        """
        self._run(self._controller.open())
        self._warn()

    def describe(self) -> FunctionDescription:
        """Return the training function's description, as this process loads the function."""
        return describe(load_target(self._target))

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots of all workers, also of those that are gone, by number."""
        shares = dict(self._controller.slots)  # a copy: workers may be added meanwhile
        return [shares[worker] for worker in sorted(shares)]

    def hosts(self) -> str:
        """Return the hosts as text: ``"3 hosts: a, b, c"``, ``"64 hosts: a, b, c, d, e and 59 more"``."""
        names = self._controller.hosts
        return f"{counted(len(names), 'host')}: {named(names)}"

    # Methods that the runner calls

    def start(self, worker: int, task: Assignment) -> None:
        """Start a job on the worker's host."""
        self._order(lambda fleet: fleet.start(worker, task, time.monotonic()))

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return the messages since the last call; see `Workers.wait`.

        Raises
        ------
        ExecutorError
            Hosts cannot be reached any more, or none can run trials.
        ParameterError
            The training function cannot be run.
        """
        self._take(0.0 if self._messages else timeout)
        self._controller.check()
        self._warn()
        messages, self._messages = self._messages, []
        return messages

    def wake(self) -> None:
        """Let `wait` return at once."""
        self._news.put(([], [], 0))

    def go_on(self, job: int, stop: float) -> None:
        """Let a job that waits at a milestone train to `stop`."""
        self._order(lambda fleet: fleet.jobs.go_on(job, stop))

    def leave(self, job: int, save: bool) -> None:
        """Make a job leave its function; with `save` it makes a checkpoint first."""
        self._order(lambda fleet: fleet.jobs.leave(job, save))

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's processes by SIGTERM, and after the grace by SIGKILL."""
        self._order(lambda fleet: fleet.jobs.kill(job, reason or "it was killed"))

    def cut(self, reason: str) -> None:
        """Do nothing: the hosts' agents end killed jobs, at the latest when their lease is over."""

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints from hosts and the store."""
        self._loop.call(self._controller.prune, trial)

    def gather(self, trials: Sequence[int]) -> bool:
        """Wait for these trials' checkpoints in the study's folder or the store; return whether all came."""
        gathered = self._run(self._controller.gather(trials))
        self._warn()
        return gathered

    def discard(self) -> None:
        """Make hosts remove all files of the study at the end, since it has no results."""
        self._controller.discards = True

    def close(self) -> None:
        """End all jobs and agents. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            with self._loop:
                self._run(self._controller.close())

    # The event loop

    def _order(self, act: Callable[[Fleet], None]) -> None:
        self._loop.call(self._controller.order, act)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and return its result."""
        try:
            return self._loop.run(work)
        finally:
            self._take(0.0)

    def _take(self, timeout: float | None) -> None:
        """Take the loop's messages; if there are none, wait for some seconds, or without limit for None."""
        with suppress(Empty):
            for _ in range(max(1, self._news.qsize())):
                messages, notes, size = self._news.get(timeout=timeout)
                self._messages += messages
                self._notes += notes
                self._taken += size
        if self._taken >= MUCH:
            size, self._taken = self._taken, 0
            self._order(lambda fleet: fleet.taken(size))

    def _warn(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            warnings.warn(HbsimWarning(note), stacklevel=3)


def make_carrier(options: Hosts | Dask, say: Callable[[str], None]) -> Carrier:
    """Return the carrier of lines and files for these options."""
    if isinstance(options, Hosts):
        from hbsim.executors.remote.ssh import SshCarrier

        return SshCarrier(options, say)
    from hbsim.executors.remote.dask import DaskCarrier

    return DaskCarrier(options, say)
