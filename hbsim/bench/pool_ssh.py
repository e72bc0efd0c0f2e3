"""Studies on hosts that are reached by SSH: processes there, as an executor."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle  # noqa: TID251 (for hosts that trust this machine; nothing of theirs is unpickled)
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar

from hbsim.bench.pool import POLL, Places, Useless
from hbsim.bench.pool_host import decode
from hbsim.bench.remote import PACKAGES, SAME, Remote, absence, versions
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.executors.remote.carrier import AgentEnded, Event, HostFailed, Joined, Line
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.ssh import SshCarrier
from hbsim.executors.remote.versions import differences

__all__ = ["processes_of_hosts"]

P = ParamSpec("P")
Found = TypeVar("Found")

MODULE: Final = "hbsim.bench.pool_host"
AHEAD: Final = 2  # calls that a host has for each of its processes
LOSSES: Final = 3  # hosts that may be lost with a call: it may be what ends them
EMPTY: Final = 60.0  # seconds without a host until there is an error


@contextmanager
def processes_of_hosts(remote: Remote) -> Iterator[Callable[[], AbstractContextManager[Places]]]:
    """Give what gives an executor, again and again: processes on hosts, which end with the block.

    Raises
    ------
    ParameterError
        asyncssh is missing, no host can be used, or one has other versions or lacks a file.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="hbsim hosts", daemon=True)
    thread.start()
    pool = _Hosts(remote, loop)
    try:
        _ask(loop, pool.open())
        yield pool.use
    finally:
        _ask(loop, pool.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(eq=False)
class _Call:
    """A call: what is sent of it, who waits for it, and how many hosts were lost with it."""

    number: int
    data: str
    future: Future[Any]
    losses: int = 0


@dataclass(eq=False)
class _Host:
    """A host that has joined: its name, how many calls run at once there, and what it has been given."""

    name: str
    agent: str
    places: int = 0
    calls: dict[int, _Call] = field(default_factory=dict)


class _Hosts(Places):
    """The processes of hosts, as an executor.

    What a host was given when it is lost, others run. A call whose process dies gets a BrokenExecutor, as of
    a pool of processes on this machine. All but the methods of `Places` runs on the loop.

    Parameters
    ----------
    remote : Remote
        What was asked for.
    loop : asyncio.AbstractEventLoop
        Runs in another thread.
    """

    def __init__(self, remote: Remote, loop: asyncio.AbstractEventLoop) -> None:
        assert isinstance(remote.options, Hosts)
        self._remote, self._loop = remote, loop
        self._carrier = SshCarrier(remote.options, remote.say, MODULE)
        self._versions = versions()
        self._hosts: dict[str, _Host] = {}  # by agent
        self._failed: dict[str, str] = {}  # why a host could not be used when that was last tried
        self._waiting: deque[_Call] = deque()
        self._number = 0
        self._empty_since = time.monotonic()
        self._error: ParameterError | None = None
        self._warned: set[tuple[str, str]] = set()
        self._warnings: deque[str] = deque()  # for the thread that hands out calls
        self._tasks: list[asyncio.Task[None]] = []

    # For the thread that hands out calls

    def places(self) -> int:
        """Return how many processes the hosts have, 1 or more."""
        return max(1, sum(host.places for host in list(self._hosts.values())))

    def poll(self) -> None:
        """Raise what ends all: a host that does not go together with this machine, or that there is none."""
        while self._warnings:
            warnings.warn(HbsimWarning(self._warnings.popleft()), stacklevel=2)
        if self._error is not None:
            raise self._error
        if not self._is_any_ready() and time.monotonic() - self._empty_since > EMPTY:
            raise BrokenExecutor("all hosts are lost")

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Hand out a call with one item."""
        (item,) = args
        future: Future[Found] = Future()
        data = base64.b64encode(pickle.dumps((function, item))).decode()
        self._loop.call_soon_threadsafe(self._take, data, future)
        return future

    @contextmanager
    def use(self) -> Iterator[Places]:
        """Give the executor; what was handed out and is not done when the block ends is forgotten."""
        try:
            while not self._is_any_ready():
                self.poll()
                time.sleep(POLL)
        except BrokenExecutor:
            reasons = "; ".join(f"{host}: {reason}" for host, reason in self._failed.items())
            raise self._remote.wrong(f"none of them can be used any more: {reasons}") from None
        self.poll()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._waiting.clear)

    def _is_any_ready(self) -> bool:
        return any(host.places for host in list(self._hosts.values()))

    # On the loop

    async def open(self) -> None:
        """Start processes on all hosts; wait until each is ready or cannot be used."""
        config = {"processes": self._remote.processes, "files": self._remote.files}
        expected = await self._carrier.open(json.dumps(config))
        while (
            len(self._failed.keys() | {host.name for host in self._hosts.values() if host.places}) < expected
        ):
            self._hear(await self._carrier.events.get())
            if self._error is not None:
                raise self._error
        self._tasks.append(asyncio.create_task(self._listen()))

    async def close(self) -> None:
        """End all processes."""
        for task in self._tasks:
            task.cancel()
        await self._carrier.close()

    async def _listen(self) -> None:
        while True:
            self._hear(await self._carrier.events.get())
            self._give()

    def _hear(self, event: Event) -> None:
        match event:
            case Joined(agent, name, _):
                self._hosts[agent] = _Host(name, agent)
            case Line(agent, text):
                host = self._hosts[agent]
                try:
                    self._read(host, json.loads(text))
                except Exception as error:  # whatever it is, it is not from the same hbsim
                    self._end(ParameterError("hosts", host.name, f"has sent what is no answer ({error!r})"))
            case AgentEnded(agent, reason, _):
                host = self._hosts.pop(agent)
                self._failed[host.name] = reason
                self._empty_since = time.monotonic()
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

    def _read(self, host: _Host, message: dict[str, Any]) -> None:
        if message["m"] == "hello":
            self._check(host, message)
            return
        if message["m"] == "note":
            self._remote.say(message["text"])
            return
        call = host.calls.pop(int(message["call"]))
        if message["m"] == "found":
            call.future.set_result(decode(message["found"]))
        elif message["m"] == "died":
            call.future.set_exception(BrokenExecutor(str(message["how"])))
        else:
            call.future.set_exception(RuntimeError(f"{message['kind']}: {message['text']}"))

    def _check(self, host: _Host, found: dict[str, Any]) -> None:
        theirs = found["versions"]
        if problem := differences(self._versions, theirs)[0]:
            self._end(ParameterError("hosts", host.name, f"has {problem}: {SAME}"))
        elif found["absent"]:
            self._end(self._remote.wrong(absence(str(found["absent"][0]), [host.name])))
        else:
            for name, consequence in PACKAGES.items():
                there = str(theirs.get(name, "none"))
                if there != self._versions[name] and (name, there) not in self._warned:
                    self._warned.add((name, there))
                    ours = self._versions[name]
                    text = f"{host.name} has {name} {there}, and here it is {ours}: {consequence}"
                    self._warnings.append(text)
            host.places = int(found["places"])
            self._failed.pop(host.name, None)
            self._remote.say(f"{host.name} is ready: {host.places} process{'es' * (host.places != 1)}")

    def _end(self, error: ParameterError) -> None:
        self._error = error
        for host in self._hosts.values():
            self._waiting += host.calls.values()
            host.calls.clear()
        while self._waiting:
            self._waiting.popleft().future.set_exception(Useless(error))

    def _take(self, data: str, future: Future[Any]) -> None:
        self._number += 1
        self._waiting.append(_Call(self._number, data, future))
        self._give()

    def _give(self) -> None:
        """Hand out what waits, to the host with the most room."""
        while self._waiting and self._hosts:
            host = max(self._hosts.values(), key=lambda host: host.places * AHEAD - len(host.calls))
            if len(host.calls) >= host.places * AHEAD:
                break
            call = self._waiting.popleft()
            host.calls[call.number] = call
            order = {"call": call.number, "host": host.name, "data": call.data}
            self._carrier.send(host.agent, json.dumps(order))


def _ask(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Found]) -> Found:
    """Return what a coroutine returns on the loop; it is cancelled by Ctrl-C."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
        while not future.done():
            wait_for([future], timeout=POLL)
    except BaseException:
        future.cancel()
        raise
    return future.result()
