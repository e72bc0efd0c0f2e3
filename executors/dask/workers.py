"""The Dask executor's workers: each job is a process of its own on some host of a Dask cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from hbsim.errors import HbsimWarning
from hbsim.executors.dask.code import make_bundle
from hbsim.executors.dask.controller import Controller, News
from hbsim.executors.dask.loop import Loop
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.slots import Slot
from hbsim.runner.workers import Message, Task

__all__ = ["DaskWorkers"]

SHOWN: Final = 5  # hosts that are named
MUCH: Final = 256 << 10  # bytes that are taken before hosts are told
Found = TypeVar("Found")


class DaskWorkers:
    """Runs each job in a process of its own on a Dask cluster (see `hbsim.runner.workers.Workers`).

    All that has to do with hosts happens in an event loop, in a thread of its own: a runner that is held up,
    by its searcher, a disk or a terminal, is no reason for hosts to end their trials. The runner's calls are
    passed on to it, and what it has heard comes by a queue.

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
        What every trial's reporter has to know: time_attr, reward_attr, constants, counts.
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
        self._news: SimpleQueue[News] = SimpleQueue()  # one that a signal handler may put something into
        self._loop = Loop()
        self._controller = Controller(plan, self._pools, say, self._news.put)
        self._messages: list[Message] = []
        self._notes: list[str] = []
        self._taken = 0  # bytes
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
        agents = list(self._controller.fleet.agents.values())  # at once: others may come meanwhile
        names = sorted({agent.host for agent in agents})
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        return f"{len(names)} host{'' if len(names) == 1 else 's'}: {shown}"

    # What the runner calls

    def start(self, worker: int, task: Task) -> None:
        """Start a job on one of the hosts' agents that the worker belongs to."""
        self._order(self._controller.fleet.start, worker, task)

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what has been said since the last time; see `Workers.wait`.

        Raises
        ------
        ExecutorError
            The scheduler is gone.
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
        """Answer a job that waits at a milestone: train to `stop`."""
        self._order(self._controller.fleet.go_on, job, stop)

    def leave(self, job: int, save: bool) -> None:
        """Have a job leave its function; with `save` it makes a checkpoint first."""
        self._order(self._controller.fleet.leave, job, save)

    def kill(self, job: int, reason: str = "") -> None:
        """End a job's processes: SIGTERM, and after the grace SIGKILL."""
        self._order(self._controller.fleet.kill, job, reason or "it was killed")

    def cut(self, reason: str) -> None:
        """Do nothing: what was killed is ended by the hosts' agents, or with their lease."""

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints where hosts and the store keep them."""
        self._order(self._controller.fleet.prune, trial)

    def gather(self, trials: Sequence[int]) -> bool:
        """Bring these trials' checkpoints home, where only hosts have them; return whether that is done."""
        brought = self._run(self._controller.bring(trials))
        self._warn()
        return brought

    def discard(self) -> None:
        """Have hosts remove all that they have of the study at the end: it has come to nothing."""
        self._controller.discards = True

    def close(self) -> None:
        """End what runs, and the cluster if it was started here. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._run(self._controller.close())
        finally:
            self._loop.close()

    def _order(self, act: Callable[..., None], *what: object) -> None:
        self._loop.call(self._controller.order, act, *what)

    def _run(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Return what a coroutine does in the loop."""
        future = self._loop.start(work)
        future.add_done_callback(lambda _: self.wake())
        try:
            while not future.done():
                self._take(None)
        except BaseException:
            future.cancel()
            raise
        self._take(0.0)
        return future.result()

    def _take(self, timeout: float | None) -> None:
        """Take what the loop has handed over; if that is nothing, wait so many seconds, None for ever."""
        with suppress(Empty):
            for _ in range(max(1, self._news.qsize())):
                messages, notes, size = self._news.get(timeout=timeout)
                self._messages += messages
                self._notes += notes
                self._taken += size
        if self._taken >= MUCH:
            self._order(self._controller.fleet.taken, self._taken)
            self._taken = 0

    def _warn(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            warnings.warn(HbsimWarning(note), stacklevel=3)
