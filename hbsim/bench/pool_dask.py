"""Studies on a Dask cluster: which one, whether it gives what this machine does, and calls on its workers.

`distributed` is an extra, and is imported only when a cluster is used.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import socket
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from hbsim.bench.pool import Places, Useless
from hbsim.bench.remote import PACKAGES, SAME, Remote, absence, look, versions, work_for_another
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.dask_cluster import (
    brief,
    check_scheduler,
    client_of,
    logs_off_terminal,
    security_of,
)
from hbsim.executors.remote.options import Dask
from hbsim.executors.remote.versions import differences

__all__ = ["cluster"]

P = ParamSpec("P")
Item = TypeVar("Item")
Found = TypeVar("Found")

PATIENCE: Final = 10.0  # seconds for an answer
EMPTY: Final = 30.0  # seconds without a worker, until that is said
LOOK: Final = 1.0  # seconds between two looks at which workers there are
POLL: Final = 0.1  # seconds between two looks for Ctrl-C
GONE: Final = "the Dask scheduler has gone"


# What a cluster's processes run


class Unfit(Exception):
    """A process that cannot be given anything to do; the text says why, and where it is."""


_passed: list[tuple[Mapping[str, str], tuple[str, ...]]] = []  # what this process was held against


def call(
    wanted: Mapping[str, str], files: tuple[str, ...], function: Callable[[Item], Found], item: Item
) -> Found:
    """Call a function with an item; raise `Unfit` if this process has other versions, or lacks a file."""
    work_for_another(socket.gethostname())
    if (wanted, files) not in _passed:
        own = look(files)
        if problem := differences(wanted, own["versions"])[0]:
            raise Unfit(f"a worker on {own['host']} has {problem}: {SAME}")
        if own["absent"]:
            raise Unfit(absence(own["absent"][0], [own["host"]]))
        _passed.append((wanted, files))
    return function(item)


# What this process does


@contextmanager
def cluster(remote: Remote) -> Iterator[Callable[[], AbstractContextManager[Workers]]]:
    """Give what connects to a cluster, again and again.

    Raises
    ------
    ParameterError
        Dask is not installed, the certificates cannot be used, or no scheduler answers.
    """
    assert isinstance(remote.options, Dask)
    address, security = remote.options.scheduler_address or "", security_of(remote.options)
    with logs_off_terminal():
        utils: Any = importlib.import_module("distributed.utils")
        runner = utils.LoopRunner()
        runner.start()
        try:
            yield partial(_workers, remote, address, security, runner.loop)
        finally:
            runner.stop()


class Workers(Places):
    """The workers of a scheduler, as an executor; each of their threads is a place.

    A worker that dies is replaced by Dask, and what it ran is run by others. When Dask has given up a
    call, or the scheduler has gone, the call gets a BrokenExecutor, as of a pool of processes. While there is
    no worker all waits, and after half a minute that is said.

    Parameters
    ----------
    client : distributed.Client
        Its connection.
    address : str
        The scheduler's.
    remote : Remote
        What was asked for.
    """

    def __init__(self, client: Any, address: str, remote: Remote) -> None:
        self._client, self._address, self._remote = client, address, remote
        self._versions = versions()
        # Not pure: what is asked for twice, after a death, is to be run twice.
        self._executor = client.get_executor(pure=False)
        self._threads: dict[str, int] = {}
        self._looked = self._seen = time.monotonic()
        self._has_said = False

    def check(self) -> None:
        """Hold the scheduler, and all workers that are there, against this process.

        Workers that come later check themselves (`call`).

        Raises
        ------
        ParameterError
            One has another version of hbsim or Python, or lacks a file.
        """
        try:
            found = self._ask(self._client.run_on_scheduler(look, asynchronous=True))
        except Exception as error:
            raise self._wrong(f"the scheduler cannot run hbsim ({brief(error)})") from None
        if problem := differences(self._versions, found["versions"])[0]:
            raise self._wrong(f"the scheduler has {problem}")
        asking = self._client.run(look, self._remote.files, on_error="return", asynchronous=True)
        answers: dict[str, Any] = {}
        with suppress(TimeoutError):  # a worker that is slow checks itself
            answers = self._ask(asking)
        self._compare(answers)
        self._look()
        if not self._threads:
            text = f"the Dask scheduler at {self._address} has no workers yet"
            self._say(f"{text}; all waits for the first one")

    def _compare(self, answers: Mapping[str, Any]) -> None:
        lacking: dict[str, list[str]] = {}
        warned: set[tuple[str, str]] = set()
        for address, facts in answers.items():
            if isinstance(facts, OSError):  # it has gone meanwhile
                continue
            if isinstance(facts, BaseException):
                raise self._wrong(f"the worker {address} cannot run hbsim ({brief(facts)})")
            where = f"the worker {address} on {facts['host']}"
            if problem := differences(self._versions, facts["versions"])[0]:
                raise self._wrong(f"{where} has {problem}")
            for name, consequence in PACKAGES.items():
                ours, theirs = self._versions[name], facts["versions"].get(name, "none")
                if ours != theirs and (name, theirs) not in warned:
                    warned.add((name, theirs))
                    text = f"{where} has {name} {theirs}, and here it is {ours}: {consequence}"
                    warnings.warn(HbsimWarning(text), stacklevel=2)
            for file in facts["absent"]:
                lacking.setdefault(file, []).append(facts["host"])
        for file, hosts in lacking.items():
            raise self._remote.wrong(absence(file, hosts))

    def places(self) -> int:
        """Return how many threads the workers have, 1 or more."""
        self._look_again()
        return max(1, sum(self._threads.values()))

    def poll(self) -> None:
        """Look once a second which workers there are."""
        if self._client.status != "running":
            raise BrokenExecutor(GONE)
        self._look_again()

    def _look_again(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        self._look()
        if self._threads:
            self._seen, self._has_said = time.monotonic(), False
        elif not self._has_said and now - self._seen > EMPTY:
            self._say(
                f"no worker has been at the Dask scheduler {self._address} for {EMPTY:g} s; all waits for one"
            )

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Hand out a call with one item; raise a BrokenExecutor if the scheduler has gone."""
        if self._client.status != "running":
            raise BrokenExecutor(GONE)
        (item,) = args
        theirs: Future[Found] = self._executor.submit(
            call, self._versions, self._remote.files, function, item
        )
        ours: Future[Found] = Future()
        theirs.add_done_callback(lambda done: self._pass_on(done, ours))
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was handed out, or cancel it: what runs already goes on, and is not looked at."""
        if self._client.status == "running":
            self._executor.shutdown(wait=wait and not cancel_futures)

    def _look(self) -> None:
        with suppress(OSError):
            self._threads = self._ask(self._client.nthreads(asynchronous=True))

    def _ask(self, asking: Coroutine[Any, Any, Found]) -> Found:
        return _wait(self._client.loop, asking)

    def _say(self, text: str) -> None:
        self._has_said = True
        warnings.warn(HbsimWarning(text), stacklevel=2)

    def _wrong(self, problem: str) -> ParameterError:
        return self._remote.wrong(f"{problem}: {SAME}")

    def _pass_on(self, theirs: Future[Found], ours: Future[Found]) -> None:
        from distributed.scheduler import KilledWorker

        if theirs.cancelled():  # by no one here: what is cancelled at the end is not looked at
            ours.set_exception(BrokenExecutor(GONE))
        elif (error := theirs.exception()) is None:
            ours.set_result(theirs.result())
        elif isinstance(error, KilledWorker):
            ours.set_exception(BrokenExecutor(f"workers that Dask tried: {error.allowed_failures + 1}"))
        elif isinstance(error, Unfit):
            ours.set_exception(Useless(self._remote.wrong(str(error))))
        elif isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "hbsim":
            ours.set_exception(Useless(self._wrong(f"a worker cannot run hbsim ({brief(error)})")))
        else:
            ours.set_exception(error)


@contextmanager
def _workers(remote: Remote, address: str, security: Any, loop: Any) -> Iterator[Workers]:
    """Give the workers of a scheduler, once it has answered and they were checked."""
    _wait(loop, check_scheduler(address, security, PATIENCE), PATIENCE + 1.0)
    client = client_of(address, security, PATIENCE, loop=loop)
    try:
        workers = Workers(client, address, remote)
        workers.check()
        try:
            yield workers
        finally:
            workers.shutdown(cancel_futures=True)
    finally:
        client.close()


def _wait(loop: Any, work: Coroutine[Any, Any, Found], seconds: float | None = None) -> Found:
    """Return what a coroutine returns; it is cancelled after a while (TimeoutError), or by Ctrl-C."""
    limited = asyncio.wait_for(work, PATIENCE if seconds is None else seconds)
    future = asyncio.run_coroutine_threadsafe(limited, loop.asyncio_loop)
    try:
        # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
        while not future.done():
            concurrent.futures.wait([future], timeout=POLL)
        return future.result()
    except BaseException:
        future.cancel()
        raise
