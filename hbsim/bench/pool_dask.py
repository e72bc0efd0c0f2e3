"""A pool that runs its calls on the workers of a Dask cluster.

`distributed` is an extra, and is imported only when a cluster is used.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

from hbsim.bench.pool import Workers
from hbsim.bench.remote import SAME, Remote, find_problem, inspect_process, versions, work_for
from hbsim.errors import HbsimWarning
from hbsim.executors.remote.dask import (
    check_scheduler,
    client_of,
    error_line,
    logs_off_terminal,
    security_of,
)
from hbsim.executors.remote.loop_thread import LoopThread
from hbsim.executors.remote.options import Dask

Item = TypeVar("Item")
Found = TypeVar("Found")

PATIENCE: Final = 10.0  # seconds to wait for the scheduler's answer
EMPTY: Final = 30.0  # seconds without a worker before a warning
LOOK: Final = 1.0  # seconds between two checks of which workers there are
GONE: Final = "the Dask scheduler has gone"

_passed: list[tuple[Mapping[str, str], tuple[str, ...]]] = []  # the checks this process has passed


class Unfit(Exception):
    """An error: a worker's process cannot run calls; the text says why, and which process."""


def run(
    wanted: Mapping[str, str], files: tuple[str, ...], function: Callable[[Item], Found], item: Item
) -> Found:
    """Run a call on a worker; raise `Unfit` if this process has other versions, or lacks a file."""
    work_for(socket.gethostname())
    if (wanted, files) not in _passed:
        if problem := find_problem(wanted, inspect_process(files), f"a worker on {socket.gethostname()}"):
            raise Unfit(problem)
        _passed.append((wanted, files))
    return function(item)


@contextmanager
def open_cluster(remote: Remote) -> Iterator[Callable[[], AbstractContextManager[Workers]]]:
    """Yield a function that connects to a cluster and can be called again.

    Raises
    ------
    ParameterError
        Dask is not installed, or the certificates cannot be used.
    """
    assert isinstance(remote.options, Dask)
    security = security_of(remote.options)
    with logs_off_terminal(), LoopThread() as thread:
        yield partial(_connect, remote, remote.options.scheduler_address or "", security, thread)


@contextmanager
def _connect(remote: Remote, address: str, security: Any, thread: LoopThread) -> Iterator[Workers]:
    """Yield the workers of a scheduler, once it has answered and its workers were checked."""
    thread.run(check_scheduler(address, security, PATIENCE))
    with client_of(address, security, PATIENCE) as client:
        workers = _Cluster(client, address, remote)
        workers.check()
        yield workers


class _Cluster(Workers):
    """The workers of a scheduler; each of their threads is a place.

    Dask replaces a worker that dies, and others run its calls again. While there is no worker all calls
    wait, and after half a minute a warning says so.

    Parameters
    ----------
    client : distributed.Client
        The connection to the scheduler.
    address : str
        The address of the scheduler.
    remote : Remote
        The options of the cluster.
    """

    def __init__(self, client: Any, address: str, remote: Remote) -> None:
        self._client, self._address, self._remote = client, address, remote
        self._versions = versions()
        # Not pure: a call that is repeated after a worker's death must run again.
        self._executor = client.get_executor(pure=False)
        self._threads: dict[str, int] = client.nthreads()
        self._looked = self._seen = time.monotonic()

    def check(self) -> None:
        """Check that all present workers match this process; workers that join later check themselves.

        Raises
        ------
        ParameterError
            A worker has another version of hbsim or Python, or lacks a file.
        """
        try:
            self._remote.check("the scheduler", self._client.run_on_scheduler(inspect_process))
        except (ImportError, AttributeError) as error:
            raise self._no_hbsim("the scheduler", error) from None
        for address, found in self._client.run(
            inspect_process, self._remote.files, on_error="return"
        ).items():
            if isinstance(found, OSError):  # the worker has gone meanwhile
                continue
            if isinstance(found, BaseException):
                raise self._no_hbsim(f"the worker {address}", found)
            self._remote.check(f"the worker {address} on {found['host']}", found)
        if not self._threads:
            self._warn(
                f"the Dask scheduler at {self._address} has no workers yet; all waits for the first one"
            )

    def places(self) -> int:
        """Return how many threads the workers have, 1 or more."""
        return max(1, sum(self._threads.values()))

    def poll(self) -> None:
        """Check once a second which workers there are."""
        if self._client.status != "running":
            raise BrokenExecutor(GONE)
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        with suppress(OSError):
            self._threads = self._client.nthreads()
        if self._threads:
            self._seen = now
        elif now - self._seen > EMPTY:
            self._seen = float("inf")  # one warning is enough
            text = f"no worker has been at the Dask scheduler {self._address} for {EMPTY:g} s"
            self._warn(f"{text}; all waits for one")

    def call(self, function: Callable[[Item], Found], item: Item) -> Future[Found]:
        """Hand out a call with one item; raise a BrokenExecutor if the scheduler has gone."""
        self.poll()
        future: Future[Found] = self._executor.submit(run, self._versions, self._remote.files, function, item)
        return future

    def error(self, done: Future[Any]) -> BaseException | None:
        """Return the exception of a call; a BrokenExecutor if Dask has given the call up."""
        from distributed.scheduler import KilledWorker

        try:
            error = done.exception()
        except CancelledError:
            return BrokenExecutor(GONE)
        if isinstance(error, KilledWorker):
            return BrokenExecutor(f"workers that Dask tried: {error.allowed_failures + 1}")
        if isinstance(error, Unfit):
            raise self._remote.wrong(str(error))
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "hbsim":
            raise self._no_hbsim("a worker", error)
        return error

    def _no_hbsim(self, name: str, error: BaseException) -> Exception:
        return self._remote.wrong(f"{name} cannot run hbsim ({error_line(error)}): {SAME}")

    def _warn(self, text: str) -> None:
        warnings.warn(HbsimWarning(text), stacklevel=2)
