"""Where work runs on a Dask cluster; imported only for one, since `distributed` is an extra."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

from hbsim.bench.pool_local import AHEAD, Places
from hbsim.errors import HbsimWarning, ParameterError

__all__ = ["Cluster", "connected"]

P = ParamSpec("P")
Found = TypeVar("Found")

PATIENCE: Final = 10.0  # seconds for an answer
_GONE: Final = "the Dask scheduler has gone"


class Cluster(Places):
    """The workers of a scheduler, as an executor; each of their threads is a place.

    A worker that dies is replaced by Dask, and what it ran is run by others; when Dask has given up a
    call, or the scheduler is gone, the call gets a BrokenExecutor, as of a pool of processes.

    Parameters
    ----------
    client : distributed.Client
        Its connection.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # Not pure: what is asked for twice, after a death, is to be run twice.
        self._executor = client.get_executor(pure=False)

    def is_gone(self) -> bool:
        """Return whether the scheduler has gone; Dask then cancels what it can, and forgets the rest."""
        is_here: bool = self._client.status == "running"
        return not is_here

    def ahead(self) -> int:
        """Return three for each thread that the workers have now."""
        if self.is_gone():
            return AHEAD
        threads: int = sum(self._client.nthreads().values())
        return AHEAD * max(1, threads)

    def ending(self, cause: BaseException) -> str:
        """Return what is known of it."""
        return str(cause)

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Hand something out; raise a BrokenExecutor if the scheduler has gone."""
        if self.is_gone():
            raise BrokenExecutor(_GONE)
        theirs: Future[Found] = self._executor.submit(function, *args, **kwargs)
        ours: Future[Found] = Future()
        theirs.add_done_callback(lambda done: _pass_on(done, ours))
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was handed out, or cancel it: what runs already goes on, and is not looked at."""
        if not self.is_gone():
            self._executor.shutdown(wait=wait and not cancel_futures)


def _pass_on(theirs: Future[Found], ours: Future[Found]) -> None:
    from distributed.scheduler import KilledWorker

    if theirs.cancelled():  # by no one here: what is cancelled at the end is not looked at
        ours.set_exception(BrokenExecutor(_GONE))
    elif (error := theirs.exception()) is None:
        ours.set_result(theirs.result())
    elif isinstance(error, KilledWorker):
        ours.set_exception(BrokenExecutor(f"workers that Dask tried: {error.allowed_failures + 1}"))
    else:
        ours.set_exception(error)


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Give the workers of the scheduler at an address.

    Raises
    ------
    ParameterError
        Field ``scheduler_address``: Dask is not installed, or no scheduler answers there.
    """
    try:
        dask: Any = importlib.import_module("distributed")
    except ImportError:
        rule = 'needs Dask: pip install "hbsim[dask]"'
        raise ParameterError("scheduler_address", address, rule) from None
    _knock(address)
    client = dask.Client(address, timeout=PATIENCE, set_as_default=False)
    try:
        if not client.nthreads():
            text = f"the Dask scheduler at {address} has no workers yet; all waits for the first one"
            warnings.warn(HbsimWarning(text), stacklevel=2)
        cluster = Cluster(client)
        try:
            yield cluster
        finally:
            cluster.shutdown(cancel_futures=True)
    finally:
        client.close()


def _knock(address: str) -> None:
    """See if somebody answers: a client that fails to connect leaves much noise behind."""
    comms: Any = importlib.import_module("distributed.comm")
    utils: Any = importlib.import_module("distributed.utils")

    async def knock() -> None:
        comm = await asyncio.wait_for(comms.connect(address, timeout=PATIENCE), PATIENCE + 1.0)
        await comm.close()

    try:
        utils.LoopRunner().run_sync(knock)
    except Exception as error:  # whatever another kind of server says is decoded
        said = " ".join(str(error).split()) or type(error).__name__
        rule = f"no Dask scheduler answers there within {PATIENCE:g} s, as in tcp://HOST:8786 ({said})"
        raise ParameterError("scheduler_address", address, rule) from None
