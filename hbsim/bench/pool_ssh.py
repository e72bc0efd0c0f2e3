"""A pool of processes on hosts by SSH: the part on this machine, and the service on each host."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pickle  # noqa: TID251 (from the machine that has started this process by SSH)
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from hbsim.bench.pool import POLL, Processes, Workers, default_jobs
from hbsim.bench.remote import Remote, inspect_process, work_for
from hbsim.errors import ParameterError
from hbsim.executors.remote.loop_thread import LoopThread
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.protocol import AgentEnded, AgentLine, CarrierEvent, HostFailed, Joined
from hbsim.executors.remote.ssh import SshCarrier

LONGEST: Final = 64 << 20  # the most bytes in a line
MANY: Final = 10**9


def encode(found: object) -> str:
    """Encode the result of a call as JSON, with data frames as polars writes them."""
    return json.dumps(found, default=_frame_text)


def decode(text: str) -> Any:
    """Decode the result that `encode` has encoded. No text can make this run code.

    Raises
    ------
    ValueError, polars.exceptions.PolarsError
        The text was not made by `encode`.
    """
    return json.loads(text, object_hook=_frame)


def _frame_text(frame: Any) -> dict[str, str]:
    data = io.BytesIO()
    frame.write_ipc(data)
    return {"frame": base64.b64encode(data.getvalue()).decode()}


def _frame(found: dict[str, Any]) -> Any:
    import polars as pl

    if set(found) != {"frame"}:
        return found
    return pl.read_ipc(base64.b64decode(found["frame"]), use_pyarrow=False)


def run(host: str, data: str) -> str:
    """Run a call in a process of the pool."""
    work_for(host)
    function, item = pickle.loads(base64.b64decode(data))
    return encode(function(item))


class Service:
    """A service that runs calls in processes, and writes the answers to a stream.

    Parameters
    ----------
    config : mapping
        ``processes``, how many or None for one a core; ``files`` that they need.
    sink : int
        The descriptor for answers.
    """

    def __init__(self, config: dict[str, Any], sink: int) -> None:
        self._jobs = config["processes"] or default_jobs(MANY)
        self._files = config["files"]
        self._sink = sink
        self._pool = Processes(self._jobs)
        self._ending: dict[Processes, asyncio.Task[None]] = {}

    async def serve(self, orders: asyncio.StreamReader) -> None:
        """Answer calls until there are no more."""
        self._send(m="hello", places=self._jobs, **inspect_process(self._files))
        tasks = {asyncio.create_task(self._watch())}
        while line := await orders.readline():
            tasks.add(task := asyncio.create_task(self._answer(**json.loads(line))))
            task.add_done_callback(tasks.discard)
        self._pool.end()

    async def _answer(self, call: int, host: str, data: str) -> None:
        pool = self._pool
        try:
            found = await asyncio.wrap_future(pool.call(partial(run, host), data))
            self._send(m="found", call=call, found=found)
        except (BrokenExecutor, asyncio.CancelledError) as error:
            await self._end(pool)
            self._send(m="died", call=call, text=pool.ending(error))
        except Exception as error:
            self._send(m="raised", call=call, text=f"{type(error).__name__}: {error}")

    async def _watch(self) -> None:
        """Check for processes that have died, which the executor itself may notice late."""
        while True:
            await asyncio.sleep(POLL)
            pool = self._pool
            try:
                pool.poll()
            except BrokenExecutor:
                await self._end(pool)

    async def _end(self, pool: Processes) -> None:
        """End an executor one of whose processes has died; later calls get a new one."""
        if self._pool is pool:
            self._pool = Processes(self._jobs)
            self._ending[pool] = asyncio.create_task(asyncio.to_thread(pool.end))
        await self._ending[pool]

    def _send(self, **message: object) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            data = data[os.write(self._sink, data) :]


async def _serve(source: int, sink: int) -> None:
    orders = asyncio.StreamReader(LONGEST)
    protocol = asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(source, "rb", 0))
    await Service(json.loads(await orders.readline()), sink).serve(orders)


def main() -> None:
    """Serve the machine at the other end of standard input and output."""
    source, sink = os.dup(0), os.dup(1)  # not inherited; all other output goes to stderr
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with suppress(BrokenPipeError, KeyboardInterrupt):
        asyncio.run(_serve(source, sink))
    os._exit(0)


Item = TypeVar("Item")
Found = TypeVar("Found")

MODULE: Final = "hbsim.bench.pool_ssh"
AHEAD: Final = 2  # calls sent to a host for each of its processes
LOSSES: Final = 3  # how many hosts may be lost while they run one call, which may have killed them
EMPTY: Final = 60.0  # seconds without a host before an error


@contextmanager
def open_hosts(remote: Remote) -> Iterator[Callable[[], AbstractContextManager[Workers]]]:
    """Yield a function that opens workers on hosts and can be called again; all end with the block.

    Raises
    ------
    ParameterError
        asyncssh is missing, no host can be used, or one has other versions or lacks a file.
    """
    assert isinstance(remote.options, Hosts)
    with LoopThread() as thread:
        carrier = SshCarrier(remote.options, remote.say, MODULE)
        workers = _Hosts(remote, carrier, thread)
        try:
            workers.open()
            yield workers.use
        finally:
            thread.run(workers.close())


@dataclass(eq=False)
class _Call:
    """A call: its message, the future that waits for its result, and how many hosts were lost with it."""

    number: int
    data: str
    future: Future[Any]
    losses: int = 0


@dataclass(eq=False)
class _Host:
    """A host that has joined: its name, how many calls it runs at once, and the calls sent to it."""

    name: str
    places: int = 0
    calls: dict[int, _Call] = field(default_factory=dict)


class _Hosts(Workers):
    """The workers on hosts. When a host is lost, other hosts run its calls.

    Parameters
    ----------
    remote : Remote
        The hosts and their options.
    carrier : SshCarrier
        The carrier that runs processes on hosts.
    thread : LoopThread
        The event loop of the carrier.
    """

    pause = 0.0  # `poll` waits

    def __init__(self, remote: Remote, carrier: SshCarrier, thread: LoopThread) -> None:
        self._remote, self._carrier, self._thread = remote, carrier, thread
        self._events: SimpleQueue[CarrierEvent] = SimpleQueue()
        self._hosts: dict[str, _Host] = {}  # by agent
        self._failed: dict[str, str] = {}  # why a host could not be used at the last attempt
        self._waiting: deque[_Call] = deque()
        self._number = 0
        self._empty_since = time.monotonic()
        self._listening: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start processes on all hosts; wait until each is ready or cannot be used."""
        config = {"processes": self._remote.processes, "files": self._remote.files}
        expected = self._thread.run(self._carrier.open(json.dumps(config)))
        self._thread.run(self._start_listening())
        while len(self._failed) + sum(host.places > 0 for host in self._hosts.values()) < expected:
            self.poll()

    @contextmanager
    def use(self) -> Iterator[Workers]:
        """Yield the workers; calls that are unfinished when the block ends are dropped."""
        while not any(host.places for host in self._hosts.values()):
            self.poll()
        try:
            yield self
        finally:
            self._waiting.clear()

    def places(self) -> int:
        """Return how many processes the hosts have, 1 or more."""
        return max(1, sum(host.places for host in self._hosts.values()))

    def call(self, function: Callable[[Item], Found], item: Item) -> Future[Found]:
        """Hand out a call with one item."""
        future: Future[Found] = Future()
        self._number += 1
        data = base64.b64encode(pickle.dumps((function, item))).decode()
        self._waiting.append(_Call(self._number, data, future))
        self._assign()
        return future

    def poll(self) -> None:
        """Read the answers of hosts, and hand out waiting calls."""
        with suppress(Empty):
            self._handle(self._events.get(timeout=POLL))
            while True:
                self._handle(self._events.get_nowait())
        self._assign()
        if any(host.places for host in self._hosts.values()):
            self._empty_since = time.monotonic()
        elif time.monotonic() - self._empty_since > EMPTY:
            reasons = "; ".join(f"{host}: {reason}" for host, reason in self._failed.items())
            raise self._remote.wrong(f"none of them can be used any more: {reasons}")

    async def close(self) -> None:
        """End all processes."""
        if self._listening is not None:
            self._listening.cancel()
        await self._carrier.close()

    async def _start_listening(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            self._events.put(await self._carrier.events.get())

    def _handle(self, event: CarrierEvent) -> None:
        match event:
            case Joined(agent, name, _):
                self._hosts[agent] = _Host(name)
            case AgentLine(agent, text):
                self._read(self._hosts[agent], text)
            case AgentEnded(agent, reason, _):
                host = self._hosts.pop(agent)
                self._failed[host.name] = reason
                self._remote.say(f"{host.name} is lost: {reason}; what it ran, others run")
                for call in reversed(host.calls.values()):
                    call.losses += 1
                    if call.losses < LOSSES:
                        self._waiting.appendleft(call)
                    else:
                        call.future.set_exception(BrokenExecutor(f"hosts that were lost with it: {LOSSES}"))
            case HostFailed(name, _, reason):
                if self._failed.get(name) != reason:  # it is tried again and again
                    self._remote.say(f"{name} cannot be used: {reason}")
                self._failed[name] = reason

    def _read(self, host: _Host, text: str) -> None:
        try:
            message = json.loads(text)
            if message["m"] == "hello":
                theirs, places = message, int(message["places"])
            else:
                call = host.calls.pop(int(message["call"]))
                found = decode(message["found"]) if message["m"] == "found" else str(message["text"])
        except Exception as error:  # an answer that the same hbsim would not send
            rule = f"has sent what is no answer ({error!r})"
            raise ParameterError("hosts", host.name, rule) from None
        match message["m"]:
            case "hello":
                self._remote.check(host.name, theirs)
                host.places = places
                self._failed.pop(host.name, None)
                self._remote.say(f"{host.name} is ready: {places} process{'es' * (places != 1)}")
            case "found":
                call.future.set_result(found)
            case "died":
                call.future.set_exception(BrokenExecutor(found))
            case _:
                call.future.set_exception(RuntimeError(found))

    def _assign(self) -> None:
        """Hand out waiting calls, each to the host with the most room."""
        while self._waiting and self._hosts:
            room = {agent: host.places * AHEAD - len(host.calls) for agent, host in self._hosts.items()}
            agent = max(room, key=lambda agent: room[agent])
            if room[agent] <= 0:
                break
            call, host = self._waiting.popleft(), self._hosts[agent]
            host.calls[call.number] = call
            order = json.dumps({"call": call.number, "host": host.name, "data": call.data})
            self._thread.call(self._carrier.send, agent, order)


if __name__ == "__main__":
    from hbsim.bench import pool_ssh  # under the name by which its processes find it

    pool_ssh.main()
