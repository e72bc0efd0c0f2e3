"""The stream on which a Dask scheduler tells what happens: what workers log, who comes and who goes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from hbsim.executors.dask.link_requests import LinkError, Requests
from hbsim.executors.dask.link_stream import Stream, Where

__all__ = ["Event", "Line", "said"]

Event: TypeAlias = tuple[Any, ...]

PATIENCE: Final = 10.0  # seconds for an answer
_CONFIRM: Final = 0.05
_ALL: Final = "all"  # Dask's topic of what happens to the cluster


class Line:
    """A client's stream, and what is known by it; it may be connected again after it broke.

    Parameters
    ----------
    where : Where
        The scheduler.
    name : str
        The client's name.
    requests : Requests
        For what cannot be asked on the stream.

    Attributes
    ----------
    events : asyncio.Queue
        What happened; see `Link`.
    topics : list of str
        What is subscribed, again after each connection.
    workers : set of str
        The addresses of the scheduler's workers.
    """

    def __init__(self, where: Where, name: str, requests: Requests) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.topics: list[str] = []
        self.workers: set[str] = set()
        self._where, self._name, self._requests = where, name, requests
        self._stream: Stream | None = None
        self._reading: asyncio.Task[str] | None = None
        self._times = 0  # that it has been opened
        self._changes: list[tuple[str, bool]] = []  # workers since they were asked for, and whether they came
        self._tokens: dict[str, asyncio.Future[None]] = {}

    @property
    def up(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._stream is not None

    async def connect(self) -> None:
        """Open the stream, subscribe, and learn which workers there are.

        Raises
        ------
        OSError, LinkError
            It fails; then all is as before.
        """
        from distributed.versions import get_versions

        stream = await Stream.open(self._where)
        try:
            self._times += 1
            about = {"client": self._client, "reply": False, "versions": get_versions()}
            await stream.write({"op": "register-client", **about})
            started = await stream.read()
            if not (isinstance(started, list) and started and started[0].get("op") == "stream-start"):
                raise OSError("what answers is no Dask scheduler")
            self._stream = stream
            self._reading = asyncio.get_running_loop().create_task(self._read(stream))
            await self.subscribe([*self.topics, _ALL])
            await self._count()
        except BaseException:
            self._stream = None
            stream.abort()
            await self._stop_reading()
            raise

    async def broken(self) -> str:
        """Wait until the stream breaks; return how."""
        assert self._reading is not None
        reason = await asyncio.shield(self._reading)
        self._stream = None
        return reason

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe, and wait until that is done: the scheduler does it some time."""
        stream = self._stream
        if stream is None:
            raise LinkError("the connection to the Dask scheduler is down")
        token = secrets.token_hex(8)
        seen = self._tokens[token] = asyncio.get_running_loop().create_future()
        asked = {"op": "log_event", "topic": self._client, "msg": {"token": token}}
        try:
            for topic in (*topics, self._client):
                await stream.write({"op": "subscribe-topic", "topic": topic})
            while not seen.done():
                if self._reading is None or self._reading.done():
                    raise LinkError("the connection to the Dask scheduler is down")
                await self._requests.ask(asked, PATIENCE)
                await asyncio.wait({seen}, timeout=_CONFIRM)
        except OSError as error:
            raise LinkError(f"the Dask scheduler cannot be asked: {error}") from error
        finally:
            del self._tokens[token]

    async def identity(self) -> dict[str, Any]:
        """Return what the scheduler says of itself and its workers.

        Raises
        ------
        LinkError
            It does not answer, or is none.
        """
        found = await self._requests.ask({"op": "identity"}, PATIENCE)
        if not isinstance(found, dict) or found.get("type") != "Scheduler":
            raise LinkError("what answers is no Dask scheduler")
        return found

    async def close(self) -> None:
        """Say goodbye, and close the stream."""
        stream, self._stream = self._stream, None
        await self._stop_reading()
        if stream is not None:
            with suppress(OSError):
                for topic in (*self.topics, _ALL, self._client):
                    await stream.write({"op": "unsubscribe-topic", "topic": topic})
                await stream.write({"op": "close-stream"})
            await stream.close()

    @property
    def _client(self) -> str:
        """The name of this client; another one each time, for the scheduler may not have missed the last."""
        return self._name if self._times <= 1 else f"{self._name}-{self._times}"

    async def _count(self) -> None:
        """Learn which workers there are, and say what is new since the last time."""
        self._changes = []
        there = set((await self.identity())["workers"])
        for worker, came in self._changes:  # the answer may be older or younger than these
            there = there | {worker} if came else there - {worker}
        gone, new, self.workers = self.workers - there, there - self.workers, there
        if self._times > 1:
            for worker in sorted(gone):
                self._lose(worker)
            for worker in sorted(new):
                self.events.put_nowait(("worker-added", worker))

    async def _read(self, stream: Stream) -> str:
        """Take what the scheduler says; return why that has ended."""
        try:
            while True:
                messages = await stream.read()
                for message in messages if isinstance(messages, list) else [messages]:
                    if message["op"] == "event":
                        self._hear(message["topic"], message["event"][1])
        except OSError as error:
            return said(error)
        except (KeyError, IndexError, TypeError) as error:
            return f"what was said is not Dask's protocol: {error}"
        finally:
            if self._reading is asyncio.current_task():
                stream.abort()

    async def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})

    def _hear(self, topic: str, event: Any) -> None:
        if not isinstance(event, dict):
            return
        if topic == _ALL:
            self._hear_of_worker(event)
        elif topic == self._client and event.get("token") in self._tokens:
            seen = self._tokens[event["token"]]
            if not seen.done():
                seen.set_result(None)
        elif topic in self.topics and "agent" in event:
            self.events.put_nowait(("event", event))

    def _hear_of_worker(self, event: Mapping[str, Any]) -> None:
        action, worker = event.get("action"), event.get("worker")
        if action == "add-worker" and isinstance(worker, str):
            self._changes.append((worker, True))
            self.workers.add(worker)
            self.events.put_nowait(("worker-added", worker))
        elif action == "remove-worker" and isinstance(worker, str):
            self._changes.append((worker, False))
            self.workers.discard(worker)
            self._lose(worker)

    def _lose(self, worker: str) -> None:
        self._requests.drop(worker)
        self.events.put_nowait(("worker-removed", worker))


def said(error: object) -> str:
    """Return what an error says, in a line."""
    text = " ".join(str(error).split())
    return text or (type(error).__name__ if isinstance(error, Exception) else "")
