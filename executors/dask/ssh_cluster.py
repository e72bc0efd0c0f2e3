"""A Dask cluster on hosts that are reached by SSH; it ends with this process, however that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.certificates import security_of, temporary
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.quiet import Kept, quiet
from hbsim.executors.dask.servers import PATIENCE, WORKER, config, server_options
from hbsim.executors.dask.ssh import Hosts, connect_options, python_word
from hbsim.executors.dask.where import is_loopback

__all__ = ["start_ssh_cluster"]

CLOSING: Final = 10.0  # seconds for Dask to close in good order
_LAST: Final = 12  # lines of what was said, for an error


async def start_ssh_cluster(
    options: Dask, stack: AsyncExitStack, say: Callable[[str], None], processes: int | None
) -> tuple[str, Any, int]:
    """Start a scheduler on the first host, and workers on all.

    Parameters
    ----------
    options : Dask
        With hosts.
    stack : AsyncExitStack
        Ends what is started, also where the start fails.
    say : callable
        Given a line on what is done.
    processes : int or None
        Workers a host; None: one a core there.

    Returns
    -------
    address : str
        The scheduler's.
    security : distributed.Security
        What connections need.
    expected : int
        How many workers there will be.

    Raises
    ------
    ParameterError
        A host cannot be reached or has not what it needs, or Dask does not start there.
    """
    kept = stack.enter_context(quiet())
    names = list(options.hosts)
    encrypted = options.tls is not False
    made = temporary(names) if encrypted else None
    hosts = Hosts(names, options)
    stack.push_async_callback(hosts.close)
    others = "" if len(set(names)) == 1 else f", workers on {len(set(names))} hosts"
    say(f"starting a Dask scheduler on {names[0]}{others} by SSH")
    await hosts.open({} if made is None else made.files())
    security = _no_tls() if made is None else security_of(made)
    cluster = _Cluster(options, hosts, security, processes)
    stack.push_async_callback(cluster.close)
    try:
        async with asyncio.timeout(PATIENCE):
            await cluster.start()
    except (Exception, TimeoutError) as error:
        raise ParameterError("hosts", ",".join(names), _failure(error, kept)) from None
    return cluster.address, security, cluster.expected


class _Cluster:
    """Dask's own SSH cluster, and the connections that it does not always close."""

    def __init__(self, options: Dask, hosts: Hosts, security: Any, processes: int | None) -> None:
        from distributed import SSHCluster

        names = [options.hosts[0], *options.hosts]
        local = all(map(is_loopback, names))
        encrypted = bool(security.require_encryption)
        self._connections: list[Any] = []
        self._configured = config(processes)
        python = python_word(options)
        self._cluster = SSHCluster(
            names,
            connect_options=[self._connecting(options, name) for name in names],
            worker_options=server_options(encrypted, local) | WORKER,
            scheduler_options=server_options(encrypted, local) | {"port": 0},
            remote_python=[
                f"{python} -P -m hbsim.executors.dask.tether run {hosts[name].folder} {name}"
                for name in names
            ],
            asynchronous=True,
            security=security,
        )
        self.expected = 0
        for number, name in enumerate(options.hosts):
            count = hosts[name].cores if processes is None else processes
            self.expected += count
            given = self._cluster.worker_spec[number]["options"]
            given["kwargs"] = {**given["kwargs"], "n_workers": count}

    def _connecting(self, options: Dask, name: str) -> dict[str, Any]:
        import asyncssh

        connections = self._connections

        class Client(asyncssh.SSHClient):  # type: ignore[misc]
            def connection_made(self, conn: Any) -> None:
                connections.append(conn)

        return {**connect_options(options, name), "client_factory": Client}

    @property
    def address(self) -> str:
        """The scheduler's address."""
        address: str = self._cluster.scheduler_address
        return address

    async def start(self) -> None:
        """Start the scheduler, then the workers."""
        import dask

        with dask.config.set(self._configured):  # the hosts get it
            await self._cluster

    async def close(self) -> None:
        """Close in good order as far as that goes, and then the connections, with which all ends there."""
        try:
            with suppress(Exception):
                await asyncio.wait_for(self._cluster.close(), CLOSING)
        finally:
            for connection in self._connections:
                connection.close()
            await asyncio.gather(*(connection.wait_closed() for connection in self._connections))


def _no_tls() -> Any:
    from distributed import Security

    return Security(require_encryption=False)


def _failure(error: BaseException, kept: Kept) -> str:
    said: Mapping[str, None] = dict.fromkeys(" ".join(line.split()) for line in kept.lines if line.strip())
    text = "it took too long" if isinstance(error, TimeoutError) else " ".join(str(error).split())
    return "; ".join([f"the Dask cluster cannot be started there: {text}", *list(said)[-_LAST:]])
