"""The Dask executor's workers: each job is a process of its own on some host of a Dask cluster."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from hbsim.errors import HbsimWarning
from hbsim.executors.dask.code import make_bundle
from hbsim.executors.dask.controller import Controller
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.slots import Slot
from hbsim.runner.workers import Message, Task

__all__ = ["DaskWorkers"]

SHOWN: Final = 5  # hosts that are named
Found = TypeVar("Found")


class DaskWorkers:
    """Runs each job in a process of its own on a Dask cluster (see `hbsim.runner.workers.Workers`).

    It has an event loop, which runs while somebody waits here, and no threads but those in which files are
    read and written.

    Parameters
    ----------
    options : Dask
        Which cluster, and how.
    target : mapping
        Where the training function is, of `hbsim.executors.target.make_target`.
    workers : int or None
        How many trials run at the same time at most; None: as many as hosts have room for.
    resource : mapping or None
        What a trial needs, as in `make_slots`.
    trials : Path
        The folder of the trials' folders.
    setup : mapping
        What every trial's reporter has to know: time_attr, reward_attr, constants.
    start : "fork", "spawn" or None
        How trials' processes are started; None: as is usual on each host.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    study : str
        The study's id: 16 hexadecimal digits, the same whenever it goes on.
    say : callable
        Given lines for people while the cluster starts.

    Raises
    ------
    ParameterError
        `resource` or the code to be sent breaks a rule.
    """

    count = 0  # all of them open later

    def __init__(
        self,
        options: Dask,
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
        self._pools = Pools(workers, resource)
        plan = Plan(options, make_bundle(target, options.send), trials, setup, start, grace, study)
        self._loop = asyncio.new_event_loop()
        self._controller = Controller(plan, self._pools, say, self._loop.stop)
        self._closed = False

    def launch(self) -> None:
        """Do nothing yet: the cluster starts in `prepare`, where somebody waits for it."""

    def prepare(self) -> None:
        """Start or find the cluster, and wait until its workers can take jobs.

        Raises
        ------
        ParameterError
            It cannot be started or reached, runs other versions, cannot load the training function, or has
            not what a trial needs.
        """
        self._run(self._controller.open())
        self._warn()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The shares of all workers that there have been, by number."""
        return self._pools.slots

    def hosts(self) -> str:
        """Say which hosts there are: ``"3 hosts: a, b, c"``, ``"64 hosts: a, b, c, d, e and 59 more"``."""
        names = sorted({agent.host for agent in self._controller.fleet.agents.values()})
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        return f"{len(names)} host{'' if len(names) == 1 else 's'}: {shown}"

    # What the runner calls

    def start(self, worker: int, task: Task) -> None:
        """Start a job on one of the hosts' agents that the worker belongs to."""
        self._controller.fleet.start(worker, task, time.monotonic())

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what has been said since the last time; see `Workers.wait`.

        Raises
        ------
        ExecutorError
            The scheduler is gone.
        ParameterError
            The training function cannot be run.
        """
        controller = self._controller
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon(controller.flush)
            if controller.fleet.todo.messages:
                timeout = 0.0
            timer = None if timeout is None else self._loop.call_later(timeout, self._loop.stop)
            try:
                with _other_loop_waits():
                    self._loop.run_forever()
            finally:
                if timer is not None:
                    timer.cancel()
        controller.check()
        self._warn()
        messages, controller.fleet.todo.messages = controller.fleet.todo.messages, []
        return messages

    def wake(self) -> None:
        """Let `wait` return at once."""
        with suppress(RuntimeError):  # a signal may come late
            self._loop.call_soon_threadsafe(self._loop.stop)

    def go_on(self, job: int, stop: float) -> None:
        """Answer a job that waits at a milestone: train to `stop`."""
        self._controller.fleet.go_on(job, stop, time.monotonic())

    def leave(self, job: int, save: bool) -> None:
        """Have a job leave its function; with `save` it makes a checkpoint first."""
        self._controller.fleet.leave(job, save, time.monotonic())

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's processes: SIGTERM, and after the grace SIGKILL."""
        self._controller.fleet.kill(job, reason or "it was killed", time.monotonic())

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints where hosts and the store keep them."""
        self._controller.fleet.prune(trial, time.monotonic())

    def gather(self, trials: Sequence[int]) -> bool:
        """Bring these trials' checkpoints home, where only hosts have them; return whether that is done."""
        brought = self._run(self._controller.bring(trials))
        self._warn()
        return brought

    def close(self) -> None:
        """End what runs, and the cluster if it was started here. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._run(self._controller.close())
        finally:
            self._end_loop()

    def _run(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Run the loop until something is done; `news` may stop it before."""
        with _other_loop_waits():
            asyncio.set_event_loop(self._loop)
            task = self._loop.create_task(work)
            try:
                while not task.done():
                    task.add_done_callback(self._stop)
                    self._loop.run_forever()
                    task.remove_done_callback(self._stop)
            except BaseException:
                task.cancel()
                raise
            return task.result()

    def _stop(self, task: asyncio.Task[Any]) -> None:
        self._loop.stop()

    def _end_loop(self) -> None:
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        with _other_loop_waits(), suppress(KeyboardInterrupt):
            if left:
                self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        asyncio.set_event_loop(asyncio._get_running_loop())
        self._loop.close()

    def _warn(self) -> None:
        notes, self._controller.fleet.todo.notes = self._controller.fleet.todo.notes, []
        for note in notes:
            warnings.warn(HbsimWarning(note), stacklevel=3)


@contextmanager
def _other_loop_waits() -> Iterator[None]:
    """Let a loop run here though this may be called from another one: that of a notebook, which waits."""
    other = asyncio._get_running_loop()
    if other is None:
        yield
        return
    swap = getattr(asyncio.tasks, "_swap_current_task", None)  # before Python 3.12 it is not in the way
    task = None if swap is None else swap(other, None)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(other)
        if swap is not None:
            swap(other, task)
        asyncio.set_event_loop(other)
