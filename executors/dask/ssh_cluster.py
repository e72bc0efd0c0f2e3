"""A Dask cluster on hosts that are reached by SSH; it ends with this process, however that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from importlib import import_module
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.certificates import security_of, temporary
from hbsim.executors.dask.options import Dask
from hbsim.executors.dask.quiet import Kept, quiet
from hbsim.executors.dask.servers import PATIENCE, config, server_options, worker_options
from hbsim.executors.dask.ssh import Hosts
from hbsim.executors.dask.ssh_connect import brief, connect_options, limit, python_word, too_slow
from hbsim.executors.dask.where import is_loopback

__all__ = ["start_ssh_cluster"]

CLOSING: Final = 3.0  # seconds for Dask to close in good order
_LAST: Final = 12  # lines of what was said, for an error


async def start_ssh_cluster(
    options: Dask,
    stack: AsyncExitStack,
    say: Callable[[str], None],
    processes: int | None,
    threads: int | None,
) -> tuple[str, Any, int]:
    """Start a scheduler on the first host, and workers on all.

    Parameters
    ----------
    options : Dask
        With hosts.
    stack : AsyncExitStack
        Ends what is started, also where the start fails.
    say : callable
        Given a line on each step.
    processes : int or None
        Workers a host; None: one a core there.
    threads : int or None
        As in `config`.

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
    made = None if options.tls is False else temporary(names)
    hosts = Hosts(names, options)
    stack.push_async_callback(hosts.close)
    await hosts.open({} if made is None else made.files(), say)
    others = len(set(names)) - 1
    workers = f" and workers there and on {others} more host{'s' * (others > 1)}" if others else ""
    say(f"starting a Dask scheduler on {names[0]}{workers}")
    dask: Any = import_module("distributed")
    security = dask.Security(require_encryption=False) if made is None else security_of(made)
    cluster = _Cluster(options, hosts, security, processes, threads, say)
    stack.push_async_callback(cluster.close)
    seconds = limit(options, PATIENCE)
    try:
        async with asyncio.timeout(seconds):
            await cluster.start()
    except Exception as error:
        raise _failure(error, kept, names, cluster.waiting, seconds) from None
    say(f"{cluster.expected} Dask worker{' has' if cluster.expected == 1 else 's have'} started")
    return cluster.address, security, cluster.expected


class _Cluster:
    """Dask's own SSH cluster, with what it needs to fail early and to leave nothing behind."""

    def __init__(
        self,
        options: Dask,
        hosts: Hosts,
        security: Any,
        processes: int | None,
        threads: int | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        names = [options.hosts[0], *options.hosts]
        encrypted = bool(security.require_encryption)
        local = all(map(is_loopback, names))
        servers = {
            name: server_options(encrypted, "127.0.0.1" if local else hosts[name].address) for name in names
        }
        python = f"{python_word(options)} -P -m hbsim.executors.dask.tether run"
        dask: Any = import_module("distributed")
        self._cluster = dask.SSHCluster(
            names,
            connect_options=[connect_options(options, name) for name in names],
            scheduler_options={**servers[names[0]], "port": 0},
            remote_python=[f"{python} {hosts[name].folder} {name}" for name in names],
            asynchronous=True,
            security=security,
        )
        self._starts = _Starts(say)
        self._config = config(threads)
        worker = worker_options(limit(options, PATIENCE))
        self.expected = 0
        self._cluster.scheduler_spec = self._tracked(self._cluster.scheduler_spec)
        for number, name in enumerate(options.hosts):
            count = hosts[name].cores if processes is None else processes
            spec = self._cluster.worker_spec[number] = self._tracked(self._cluster.worker_spec[number])
            spec["options"]["kwargs"] = {**servers[name], **worker, "n_workers": count}
            self.expected += count

    def _tracked(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {"cls": self._starts.tracked(spec["cls"]), "options": dict(spec["options"])}

    @property
    def address(self) -> str:
        """The scheduler's address."""
        address: str = self._cluster.scheduler_address
        return address

    @property
    def waiting(self) -> list[tuple[str, str]]:
        """What is being started and is not up yet: scheduler or worker, and the host."""
        return self._starts.waiting()

    async def start(self) -> None:
        """Start the scheduler, then the workers; raise as soon as one cannot be started."""
        dask: Any = import_module("dask")

        async def all_of_it() -> None:
            await self._cluster

        with dask.config.set(self._config):  # the hosts get it
            await self._starts.until_done(all_of_it())

    async def close(self) -> None:
        """Close in good order as far as that goes, then the connections: with them all ends there."""
        await self._starts.cancel()
        try:
            with suppress(Exception):
                await asyncio.wait_for(self._cluster.close(), CLOSING)
        finally:
            await self._starts.disconnect()
            self._cluster.status = import_module("distributed.core").Status.closed


class _Starts:
    """The starts of Dask's processes on hosts, and their connections."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._all: asyncio.Task[Any] | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._processes: list[Any] = []
        self._waiting: dict[Any, tuple[str, str]] = {}

    def waiting(self) -> list[tuple[str, str]]:
        """Return what is not up yet: its kind, and the host."""
        return list(self._waiting.values())

    async def until_done(self, start: Coroutine[Any, Any, None]) -> None:
        """Wait until all have started; raise what the first raises, and leave the others to `cancel`."""
        self._all = asyncio.create_task(start)
        both: list[asyncio.Future[Any]] = [self._all, self._failed]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            raise self._failed.result()
        self._all.result()

    def tracked(self, kind: Any) -> Any:
        """Return a kind of Dask's processes that is known here."""
        starts = self
        status = import_module("distributed.core").Status

        class Tracked(kind):  # type: ignore[misc]
            async def start(self) -> None:
                starts._processes.append(self)
                starts._waiting[self] = (kind.__name__.lower(), str(self.address))
                if (task := asyncio.current_task()) not in (None, starts._all):
                    starts._tasks.append(task)
                try:
                    await super().start()
                    started, host = starts._waiting.pop(self)
                    if started == "scheduler":
                        starts._say(f"the Dask scheduler on {host} has started: now its workers")
                except Exception as error:
                    if not starts._failed.done():
                        starts._failed.set_result(error)
                    raise

            async def close(self) -> None:
                with suppress(OSError):  # the connection is lost
                    await super().close()
                self.status = status.closed

        return Tracked

    async def cancel(self) -> None:
        """Cancel what is not done yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._all is not None:
            if self._failed.done():  # then it closes by itself
                await asyncio.wait([self._all], timeout=CLOSING)
            self._all.cancel()
            await asyncio.gather(self._all, return_exceptions=True)

    async def disconnect(self) -> None:
        """Close all connections."""
        open_ones = [process.connection for process in self._processes if process.connection is not None]
        for connection in open_ones:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in open_ones))


def _failure(
    error: Exception, kept: Kept, names: Sequence[str], waiting: Sequence[tuple[str, str]], seconds: float
) -> ParameterError:
    said = list(dict.fromkeys(" ".join(line.split()) for line in kept.lines if line.strip()))[-_LAST:]
    if isinstance(error, TimeoutError) and waiting:
        kind = waiting[0][0]
        late = dict.fromkeys(host for one, host in waiting if one == kind)
        found = too_slow(",".join(late), f"the Dask {kind} there has not started", seconds)
        return ParameterError("hosts", found.value, "; ".join([found.rule, *said]))
    what = f"it took more than {seconds:g} s" if isinstance(error, TimeoutError) else brief(error)
    rule = "; ".join([f"the Dask cluster cannot be started there: {what}", *said])
    return ParameterError("hosts", ",".join(names), rule)
