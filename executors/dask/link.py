"""The controller's connection to a Dask scheduler, and through it to the workers."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import ssl
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from hbsim.errors import ParameterError
from hbsim.executors.dask.link_line import Event, Line, said
from hbsim.executors.dask.link_requests import LinkError, Requests
from hbsim.executors.dask.link_stream import Where

if TYPE_CHECKING:
    from distributed import Security

    from hbsim.executors.dask.plugin import AgentPlugin

__all__ = ["Link", "LinkError"]

PATIENCE: Final = 10.0  # seconds for an answer
PLUGIN: Final = 60.0  # seconds in which workers import hbsim
RETRY: Final = 0.5  # seconds between two attempts to connect
_MISSING: Final = re.compile(r"No module named \\*'(\w+)")
HEAL: Final = 30.0  # seconds until a worker that has lost the plugin is given it again


class Link:
    """A connection to a scheduler, of an event loop; made by `Link.open`.

    It is no `distributed.Client`: it runs no tasks and unpickles nothing of what it receives. It calls
    handlers of workers by the scheduler's ``proxy``, and hears what workers say by the scheduler's events.

    Attributes
    ----------
    address : str
        The scheduler's.
    events : asyncio.Queue
        What happened, in order: ``("event", dict)`` that a worker's plugin logged in a topic;
        ``("worker-added", address)``; ``("worker-removed", address)``; ``("down", reason)`` when the
        connection broke; ``("up",)`` when it is there again, with what was subscribed and registered. What
        was logged in between is lost. Who is gone or new since is said before ``("up",)``.
    """

    def __init__(self, where: Where, name: str) -> None:
        self.address = where.address
        self._requests = Requests(where)
        self._line = Line(where, name, self._requests)
        self.events: asyncio.Queue[Event] = self._line.events
        self._plugins: dict[str, bytes] = {}
        self._healed: dict[str, float] = {}  # by worker, when it was given a plugin again
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls,
        address: str,
        security: Security | None = None,
        timeout: float = PATIENCE,
        *,
        name: str | None = None,
    ) -> Link:
        """Connect to a scheduler.

        Parameters
        ----------
        address : str
            ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
        security : distributed.Security, optional
            Certificates; by default as Dask's configuration has them.
        timeout : float
            Seconds in which it must answer.
        name : str, optional
            What the scheduler knows this client by. The scheduler forgets what was logged in a topic of that
            name some time after the client has gone.

        Raises
        ------
        ParameterError
            Field ``scheduler_address``: it is none, nobody answers, it is no scheduler, or TLS fails.
        """
        link = cls(Where.of(address, security), name or f"hbsim-{secrets.token_hex(8)}")
        try:
            await link._open_within(timeout)
        except BaseException:
            await link._requests.close()
            raise
        link._spawn(link._follow())
        return link

    async def workers(self) -> dict[str, dict[str, Any]]:
        """Return the scheduler's workers by address: their ``name``, ``host`` and ``nthreads``.

        Raises
        ------
        LinkError
            The scheduler does not answer.
        """
        self._check_up()
        found = (await self._line.identity())["workers"]
        names = ("name", "host", "nthreads")
        return {address: {name: about.get(name) for name in names} for address, about in found.items()}

    async def subscribe(self, topic: str) -> None:
        """Hear what is logged in a topic from now on.

        Raises
        ------
        LinkError
            The scheduler does not answer.
        """
        self._line.topics.append(topic)
        await self._line.subscribe([topic])

    async def register(self, plugin: AgentPlugin) -> dict[str, str]:
        """Have all workers, those that come later too, set up a plugin.

        Returns
        -------
        problems : dict of str to str
            Of workers that could not, by address: what was wrong, as that hbsim is not installed there.

        Raises
        ------
        LinkError
            The scheduler does not answer, or does not take it.
        """
        from distributed.protocol.pickle import dumps

        data: bytes = dumps(plugin)  # type: ignore[no-untyped-call]
        self._plugins[plugin.name] = data
        try:
            answers = await self._register(plugin.name, data)
        except LinkError as error:  # of one worker, perhaps; the scheduler does not say of which
            workers = sorted(self._line.workers)
            problems = await asyncio.gather(*(self._look(worker, plugin.name) for worker in workers))
            found = {worker: text for worker, text in zip(workers, problems, strict=True) if text}
            if not found:
                raise LinkError(str(error)) from None
            return found
        return {worker: text for worker, answer in answers.items() if (text := _problem(answer))}

    async def unregister(self, name: str) -> None:
        """Have all workers tear a plugin down.

        Raises
        ------
        LinkError
            The scheduler does not answer, or does not know it.
        """
        self._plugins.pop(name, None)
        await self._ask({"op": "unregister_worker_plugin", "name": name}, PLUGIN)

    async def call(
        self, worker: str, handler: str, *, timeout: float = PATIENCE, **given: Any
    ) -> dict[str, Any]:
        """Call a handler of a worker, and return what it answers.

        Parameters
        ----------
        worker : str
            Its address.
        handler : str
            The handler's name there.
        timeout : float
            Seconds. What the worker has begun then goes on there.
        **given
            Its arguments, of plain data: what msgpack takes.

        Raises
        ------
        LinkError
            The worker is gone, has no such handler, or failed; or there is no answer in time.
        """
        self._check_up()
        if worker not in self._line.workers:
            raise LinkError(f"the Dask worker at {worker} is gone")
        answer = await self._tell(worker, {"op": handler, **given}, timeout)
        if not isinstance(answer, dict):
            self._heal(worker, handler)
            raise LinkError(f"the Dask worker at {worker} has no handler {handler}")
        return answer

    async def close(self) -> None:
        """Part from the scheduler. May be called twice."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._requests.close()
        await self._line.close()
        await asyncio.sleep(0)  # so that transports see their ends

    # Connecting

    async def _open_within(self, timeout: float) -> None:
        problem: object = ""
        clock = asyncio.get_running_loop().time
        end = clock() + timeout
        while True:
            try:
                async with asyncio.timeout_at(end):
                    return await self._line.connect()
            except ssl.SSLError as error:
                rule = f"answers, but not with TLS that both sides accept ({said(error)})"
                raise ParameterError("scheduler_address", self.address, rule) from None
            except TimeoutError as error:
                problem = problem or error
            except (OSError, LinkError) as error:
                problem = error
            if clock() + RETRY >= end:
                break
            await asyncio.sleep(RETRY)
        rule = f"no Dask scheduler answers there within {timeout:g} s, as in tcp://HOST:8786"
        rule = f"{rule} ({said(problem)}){_may_want_tls(self.address, problem)}"
        raise ParameterError("scheduler_address", self.address, rule)

    async def _follow(self) -> None:
        """Connect again whenever the stream has broken."""
        while True:
            self.events.put_nowait(("down", await self._line.broken()))
            self._requests.rest()
            while not self._line.up:
                await asyncio.sleep(RETRY)
                with suppress(OSError, LinkError):
                    await self._reconnect()
            self.events.put_nowait(("up",))

    async def _reconnect(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._line.connect()
        for name, data in self._plugins.items():  # it may be another scheduler
            await self._register(name, data)

    # Asking

    def _check_up(self) -> None:
        if not self._line.up:
            raise LinkError("the connection to the Dask scheduler is down")

    async def _ask(self, message: Mapping[str, Any], timeout: float, worker: str = "") -> Any:
        self._check_up()
        return await self._requests.ask(message, timeout, worker)

    async def _tell(self, worker: str, message: Mapping[str, Any], timeout: float) -> Any:
        """Ask a worker."""
        return await self._ask({"op": "proxy", "worker": worker, "msg": message}, timeout, worker)

    # Plugins

    async def _register(self, name: str, data: bytes) -> dict[str, Any]:
        """Register a plugin, if the scheduler does not know it already."""
        message = {"op": "register_worker_plugin", "name": name, "plugin": data, "idempotent": True}
        answers: dict[str, Any] = await self._ask(message, PLUGIN)
        return answers

    async def _look(self, worker: str, name: str) -> str:
        """Have a worker set up a plugin if it has not; return why it could not, or an empty text."""
        with suppress(LinkError):
            if isinstance(await self._tell(worker, {"op": name, "op_": "ping"}, PATIENCE), dict):
                return ""
        message = {"op": "plugin-add", "name": name, "plugin": self._plugins[name]}
        try:
            return _problem(await self._tell(worker, message, PLUGIN))
        except LinkError as error:
            return _with_cure(str(error))

    def _heal(self, worker: str, name: str) -> None:
        """Give a worker the plugin again that it has lost, now and then."""
        now = asyncio.get_running_loop().time()
        if name in self._plugins and now - self._healed.get(worker, -HEAL) >= HEAL:
            self._healed[worker] = now
            self._spawn(self._mend(worker, name))

    async def _mend(self, worker: str, name: str) -> None:
        with suppress(LinkError, KeyError):
            await self._register(name, self._plugins[name])
        with suppress(KeyError):
            await self._look(worker, name)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _problem(answer: Any) -> str:
    """Return what a worker said of a plugin that it could not set up."""
    if not isinstance(answer, dict):
        return f"it answered {answer!r}"
    return _with_cure(str(answer.get("exception_text", "")))


def _with_cure(text: str) -> str:
    """Return what a worker said; what to install instead, if that is it."""
    missing = _MISSING.search(text)
    if missing is None:
        return text
    return (
        f"there is no {missing[1]}: install hbsim with its extra dask in the environment of the Dask workers"
    )


def _may_want_tls(address: str, problem: object) -> str:
    """Return what to try where something listens that has broken off at once."""
    nobody = isinstance(problem, ConnectionRefusedError | TimeoutError | socket.gaierror)
    if nobody or not address.startswith("tcp://"):
        return ""
    return "; if it has TLS, try tls:// with tls_ca, tls_cert and tls_key"
