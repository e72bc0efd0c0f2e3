"""Where work runs on a Dask cluster; imported only for one, since `distributed` is an extra."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from hbsim.bench.pool_connect import Where, await_workers, connected, started
from hbsim.bench.pool_fit import PATIENCE, Fit
from hbsim.bench.pool_local import AHEAD, Places, Useless
from hbsim.bench.pool_loop import Loop, running_loop
from hbsim.bench.pool_remote import Remote
from hbsim.bench.pool_there import Unfit, call
from hbsim.errors import HbsimWarning
from hbsim.executors.dask.quiet import quiet

__all__ = ["Cluster", "cluster"]

P = ParamSpec("P")
Found = TypeVar("Found")

EMPTY: Final = 30.0  # seconds without a worker, until that is said
LOOK: Final = 1.0  # seconds between two looks at which workers there are
_GONE: Final = "the Dask scheduler has gone"


class Cluster(Places):
    """The workers of a scheduler, as an executor; each of their threads is a place.

    A worker that dies is replaced by Dask, and what it ran is run by others; when Dask has given up a
    call, or the scheduler is gone, the call gets a BrokenExecutor, as of a pool of processes. While there is
    no worker all waits, and after half a minute that is said.

    Parameters
    ----------
    client : distributed.Client
        Its connection.
    where : Where
        What it is connected to.
    loop : Loop
        The client's.

    Raises
    ------
    ParameterError
        Workers have other versions than this process, or lack a file.
    """

    def __init__(self, client: Any, where: Where, loop: Loop) -> None:
        self._client, self._where, self._loop = client, where, loop
        # Not pure: what is asked for twice, after a death, is to be run twice.
        self._executor = client.get_executor(pure=False)
        self._fit = Fit(client, where.remote, loop)
        self._threads: dict[str, int] = {}
        self._fit.check_scheduler()
        self._looked = self._seen = time.monotonic()
        self._has_said = not self._look(PATIENCE)
        if self._has_said:
            warn = f"the Dask scheduler at {where.address} has no workers yet; all waits for the first one"
            warnings.warn(HbsimWarning(warn), stacklevel=2)

    def is_gone(self) -> bool:
        """Return whether the scheduler has gone; Dask then cancels what it can, and forgets the rest."""
        is_here: bool = self._client.status == "running"
        return not is_here

    def ahead(self) -> int:
        """Return three for each thread that the workers have now."""
        self.glance()
        return AHEAD * max(1, sum(self._threads.values()))

    def glance(self) -> None:
        """Look once a second which workers there are, and hold new ones against this process.

        Raises
        ------
        ParameterError
            As for the class.
        """
        now = time.monotonic()
        if now - self._looked < LOOK or self.is_gone():
            return
        self._looked = now
        if self._look():
            self._seen, self._has_said = time.monotonic(), False
        elif not self._has_said and now - self._seen > EMPTY:
            self._has_said = True
            text = f"no worker has been at the Dask scheduler {self._where.address} for {EMPTY:g} s"
            warnings.warn(HbsimWarning(f"{text}; all waits for one"), stacklevel=2)

    def ending(self, cause: BaseException) -> str:
        """Return what is known of it."""
        return str(cause)

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Hand out a call with one item; raise a BrokenExecutor if the scheduler has gone."""
        if self.is_gone():
            raise BrokenExecutor(_GONE)
        (item,) = args
        files = self._where.remote.files
        theirs: Future[Found] = self._executor.submit(call, self._fit.versions, files, function, item)
        ours: Future[Found] = Future()
        theirs.add_done_callback(lambda done: self._pass_on(done, ours))
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was handed out, or cancel it: what runs already goes on, and is not looked at."""
        if not self.is_gone():
            self._executor.shutdown(wait=wait and not cancel_futures)

    def _look(self, seconds: float = 0.0) -> bool:
        """Ask who is there; return whether anybody is. Wait a while for what new ones say of themselves."""
        with suppress(OSError):
            self._threads = self._loop.wait(self._client.nthreads(asynchronous=True), PATIENCE)
            self._fit.check(self._threads, seconds)
        return bool(self._threads)

    def _pass_on(self, theirs: Future[Found], ours: Future[Found]) -> None:
        from distributed.scheduler import KilledWorker

        if theirs.cancelled():  # by no one here: what is cancelled at the end is not looked at
            ours.set_exception(BrokenExecutor(_GONE))
        elif (error := theirs.exception()) is None:
            ours.set_result(theirs.result())
        elif isinstance(error, KilledWorker):
            ours.set_exception(BrokenExecutor(f"workers that Dask tried: {error.allowed_failures + 1}"))
        elif isinstance(error, Unfit):
            ours.set_exception(Useless(self._where.remote.wrong(str(error))))
        else:
            ours.set_exception(error)


@contextmanager
def cluster(remote: Remote) -> Iterator[Callable[[], AbstractContextManager[Cluster]]]:
    """Give what connects to a cluster, again and again; what is started for it ends with the block.

    Parameters
    ----------
    remote : Remote
        Which one.

    Raises
    ------
    ParameterError
        Fields ``hosts`` or ``scheduler_address``: Dask is not installed, the cluster cannot be started, or
        no scheduler answers there.
    """
    try:
        importlib.import_module("distributed")
    except ImportError:
        raise remote.wrong('needs Dask: pip install "hbsim[dask]"') from None
    with quiet(), running_loop() as loop, started(remote, loop) as where:
        if where.expected:
            await_workers(where, loop)
        yield partial(_workers, where, loop)


@contextmanager
def _workers(where: Where, loop: Loop) -> Iterator[Cluster]:
    with connected(where, loop) as client:
        found = Cluster(client, where, loop)
        try:
            yield found
        finally:
            found.shutdown(cancel_futures=True)
