"""From options to a client of a Dask cluster: one that runs already, or one that is started by SSH."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hbsim.bench.pool_fit import PATIENCE
from hbsim.bench.pool_loop import Loop
from hbsim.bench.pool_remote import Remote
from hbsim.executors.dask.connect import start_cluster

__all__ = ["Where", "await_workers", "connected", "started"]


@dataclass(frozen=True)
class Where:
    """A scheduler.

    Attributes
    ----------
    remote : Remote
        What was asked for.
    address : str
        Its own.
    security : distributed.Security or None
        What connections to it need.
    expected : int
        How many workers it will have; 0 if nobody knows.
    """

    remote: Remote
    address: str
    security: Any = None
    expected: int = 0


@contextmanager
def started(remote: Remote, loop: Loop) -> Iterator[Where]:
    """Give the scheduler that is asked for; what is started for it ends with the block.

    Raises
    ------
    ParameterError
        Dask is not installed, or the cluster cannot be started.
    """

    async def start(stack: AsyncExitStack) -> Where:
        found = await start_cluster(remote.options, stack, remote.say, remote.processes, threads=1)
        return Where(remote, found.address, found.security, found.expected or 0)

    with loop.keeping(start) as where:
        yield where


@contextmanager
def connected(where: Where, loop: Loop) -> Iterator[Any]:
    """Give a client of a scheduler.

    Raises
    ------
    ParameterError
        No scheduler answers there.
    """
    dask: Any = importlib.import_module("distributed")
    try:
        loop.wait(_knock(where), PATIENCE + 1.0)
    except Exception as error:  # whatever another kind of server says is decoded
        said = " ".join(str(error).split()) or type(error).__name__
        rule = f"no Dask scheduler answers there within {PATIENCE:g} s, as in tls://HOST:8786 ({said})"
        raise where.remote.wrong(rule) from None
    with warnings.catch_warnings():
        # A table of versions, of which ours are looked at afterwards.
        warnings.simplefilter("ignore", dask.versions.VersionMismatchWarning)
        client = dask.Client(
            where.address, security=where.security, timeout=PATIENCE, set_as_default=False, loop=loop.tornado
        )
    try:
        yield client
    finally:
        client.close()


def await_workers(where: Where, loop: Loop) -> None:
    """Wait a while for all workers that were started; those that are slow are used once they come."""

    async def all_there(client: Any) -> None:
        while len(await client.nthreads(asynchronous=True)) < where.expected:
            await asyncio.sleep(0.05)

    with connected(where, loop) as client, suppress(OSError):  # a timeout is one
        loop.wait(all_there(client), PATIENCE)


async def _knock(where: Where) -> None:
    """See if somebody answers: a client that fails to connect leaves much noise behind."""
    comms: Any = importlib.import_module("distributed.comm")
    given = {} if where.security is None else where.security.get_connection_args("client")
    comm = await comms.connect(where.address, timeout=PATIENCE, **given)
    await comm.close()
