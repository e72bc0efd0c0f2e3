"""From options to a client of a Dask cluster: one that runs already, or one that is started by SSH."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from hbsim.bench.pool_fit import PATIENCE
from hbsim.bench.pool_loop import Loop
from hbsim.bench.pool_remote import Remote
from hbsim.errors import ParameterError
from hbsim.executors.dask.options import Dask

__all__ = ["Where", "connected", "started"]


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
def started(remote: Remote, loop: Loop, say: Callable[[str], None]) -> Iterator[Where]:
    """Give the scheduler that is asked for; what is started for it ends with the block.

    Raises
    ------
    ParameterError
        Dask is not installed, or the cluster cannot be started.
    """
    address = remote.options.scheduler_address
    if address is not None:
        yield Where(remote, address, _security(remote.options))
        return
    from hbsim.executors.dask.connect import start_cluster

    async def start(stack: AsyncExitStack) -> Where:
        found = await start_cluster(remote.options, stack, say)
        return Where(remote, found.address, found.security, found.expected or 0)

    with loop.keeping(start) as where:
        yield where


def _security(options: Dask) -> Any:
    """Return what a tls:// scheduler asks of its clients; if not given, as Dask's configuration has it."""
    if not (options.scheduler_address or "").startswith("tls://"):
        return None
    dask: Any = importlib.import_module("distributed")
    names = {
        "tls_ca_file": options.tls_ca,
        "tls_client_cert": options.tls_cert,
        "tls_client_key": options.tls_key,
    }
    given = {name: os.path.expanduser(path) for name, path in names.items() if path is not None}
    security = dask.Security(require_encryption=True, **given)
    if not security.get_connection_args("client").get("ssl_context"):
        rule = "needs certificates: tls_ca, tls_cert and tls_key, or Dask's configuration of them"
        raise ParameterError("scheduler_address", options.scheduler_address, rule)
    return security


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


async def _knock(where: Where) -> None:
    """See if somebody answers: a client that fails to connect leaves much noise behind."""
    comms: Any = importlib.import_module("distributed.comm")
    given = {} if where.security is None else where.security.get_connection_args("client")
    comm = await comms.connect(where.address, timeout=PATIENCE, **given)
    await comm.close()
