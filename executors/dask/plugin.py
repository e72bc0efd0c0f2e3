"""What a study puts into each Dask worker: a pipe to its agent, and a way for checkpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeAlias

from distributed import Worker, WorkerPlugin
from distributed.comm.core import connect
from distributed.core import send_recv

from hbsim.errors import HbsimError
from hbsim.executors.dask.plugin_agent import AgentProcess, Keeper
from hbsim.executors.dask.plugin_files import Files
from hbsim.executors.dask.plugin_start import agent_command, agent_environment

__all__ = ["AgentPlugin"]

Answer: TypeAlias = dict[str, Any]

LOOK: Final = 5.0  # seconds between two looks at what is left over
SILENT: Final = 60.0  # seconds without an order after which the study counts as gone; two leases, if longer
CONNECT: Final = 5.0  # seconds until another worker must answer
PATIENCE: Final = 60.0  # seconds for a part of a checkpoint
_FILES: Final = ("holds", "fetch", "pack", "read", "write", "store", "load")


class AgentPlugin(WorkerPlugin):
    """Starts an agent beside a Dask worker, and passes on what it and the controller say to each other.

    What the controller asks for comes as a call of the handler that is named like the plugin, ``op_`` being
    one of lines, wake, ping, holds, fetch, pack, read, write, store, load, close. The answer holds ``ok``, or
    ``error`` with a text, and ``away`` if it is that another worker cannot be reached. What the agent says is
    logged in the topic of the same name.

    When the controller has not been heard for long, the plugin takes itself off the worker, which may be one
    that gets no trials. If no other worker has heard of the controller, that was killed, and the plugin is
    taken off the whole cluster: nobody else would do it.

    Parameters
    ----------
    config : str
        What the agent is told first: a JSON object.

    Attributes
    ----------
    name : str
        ``hbsim-SESSION``: of the plugin, of the handler and of the topic.
    command : sequence of str
        What starts an agent, if it is not the usual one.
    """

    command: ClassVar[Sequence[str]] = ()

    def __init__(self, config: str) -> None:
        self.name: str = f"hbsim-{json.loads(config)['session']}"
        self._config = config

    async def setup(self, worker: Worker) -> None:
        """Begin, without waiting for the agent."""
        self._desk = Desk(worker, self.name, self._config, self.command or agent_command())

    async def teardown(self, worker: Worker) -> None:
        """End the agent."""
        await self._desk.close(clean=False)


class Desk:
    """The plugin at work in a Dask worker."""

    def __init__(self, worker: Worker, name: str, config: str, command: Sequence[str]) -> None:
        self._worker, self._name = worker, name
        self._address: str = worker.contact_address or worker.address
        self._config = json.loads(config)
        self._command = command
        self._files = Files(self._config, self._ask)
        self._keeper = Keeper(self._start, self._address, self._say, self._wanted)
        self._ops: dict[str, Callable[..., Awaitable[Answer]]] = {
            "lines": self._lines,
            "wake": self._wake,
            "ping": self._ping,
            "close": self._end,
            **{op: getattr(self._files, op) for op in _FILES},
        }
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._heard = loop.time()
        self._closing: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._tasks = [
            loop.create_task(work()) for work in (self._files.settle, self._keeper.run, self._watch)
        ]
        worker.handlers[name] = self.handle

    async def handle(self, comm: object = None, op_: str = "", **given: Any) -> Answer:
        """Do what the controller, or another worker's plugin, asks for; nothing gets out of here.

        Parameters
        ----------
        comm
            Dask's connection; not used.
        op_ : str
            What is asked for.
        **given
            What goes with it.
        """
        if op_ not in self._ops:
            return {"error": f"there is no {op_!r}"}
        try:
            return await self._ops[op_](**given)
        except (HbsimError, OSError) as error:
            return {"error": str(error)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def close(self, clean: bool) -> None:
        """End the agent and everything else. May be called twice, even at once."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)
        if clean:
            await self._files.clean()

    async def _close(self) -> None:
        if self._worker.handlers.get(self._name) == self.handle:
            del self._worker.handlers[self._name]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._files.close()

    # What is asked for

    async def _lines(self, agent: str, lines: Sequence[str]) -> Answer:
        self._heard = self._clock()
        self._keeper.wake()
        running = self._keeper.agent
        if running is None or running.name != agent:
            return {"error": "no such agent"}
        return {"ok": True} if running.write(lines) else {"error": "the agent does not read"}

    async def _wake(self) -> Answer:
        self._heard = self._clock()
        self._keeper.wake()
        return await self._ping()

    async def _ping(self) -> Answer:
        running = self._keeper.agent
        silent = self._clock() - self._heard
        return {"ok": True, "agent": None if running is None else running.name, "silent": silent}

    async def _end(self, clean: bool = False) -> Answer:
        await self.close(clean)
        return {"ok": True}

    # What it does

    async def _start(self, name: str) -> AgentProcess:
        first = await asyncio.to_thread(json.dumps, {**self._config, "agent": name})
        environment = agent_environment(nanny=bool(self._worker.nanny))

        def hear(line: str) -> None:
            self._say({"agent": name, "worker": self._address, "line": line})

        return await AgentProcess.start(name, self._command, environment, first, hear)

    def _say(self, event: Answer) -> None:
        with suppress(OSError):  # the scheduler is gone, and this worker goes, too
            self._worker.log_event(self._name, event)

    def _wanted(self) -> bool:
        return self._clock() - self._heard <= float(self._config["lease"])

    async def _ask(self, holder: str, question: Answer) -> Answer:
        """Ask the plugin of another worker."""
        if holder == self._address:
            return await self.handle(**question)
        arguments = self._worker.connection_args
        try:
            async with asyncio.timeout(PATIENCE):
                comm = await connect(  # type: ignore[no-untyped-call]
                    holder, timeout=CONNECT, deserialize=False, **arguments
                )
                answer = await send_recv(comm, op=self._name, close=True, **question)
        except OSError as error:
            return {"error": f"{holder} does not answer: {error or type(error).__name__}", "away": True}
        return answer if isinstance(answer, dict) else {"error": f"{holder} does not take part"}

    async def _watch(self) -> None:
        """Look now and then for what is left over, of packs and of the whole study."""
        silent = max(SILENT, 2 * float(self._config["lease"]))
        while self._clock() - self._heard <= silent:
            await asyncio.sleep(LOOK)
            self._files.sweep()
        self._leaving = asyncio.get_running_loop().create_task(self._leave(silent))

    async def _leave(self, silent: float) -> None:
        """Take the plugin off this worker, and off the cluster if no other has heard of the controller."""
        await self.close(clean=False)
        with suppress(Exception):  # the scheduler is gone or hangs, or another worker has been quicker
            async with asyncio.timeout(PATIENCE):
                if not await self._is_heard_elsewhere(silent):
                    await self._worker.scheduler.unregister_worker_plugin(name=self._name)
                    return
        with suppress(Exception):
            await self._worker.plugin_remove(name=self._name)

    async def _is_heard_elsewhere(self, silent: float) -> bool:
        ping = {"op": self._name, "op_": "ping"}
        answers = await self._worker.scheduler.broadcast(msg=ping, on_error="ignore")
        found = [answer for answer in answers.values() if isinstance(answer, dict)]
        return any(answer.get("silent", silent) < silent for answer in found)
