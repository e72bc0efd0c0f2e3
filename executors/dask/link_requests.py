"""Questions to a Dask scheduler, each over a connection of its own while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from hbsim.executors.dask.link_stream import Stream, Where

__all__ = ["LinkError", "Requests"]

_IDLE: Final = 256  # connections that are kept for the next questions; with TLS a new one costs several
SCHEDULER: Final = ""  # whom a question is for, that is for no worker


class LinkError(Exception):
    """A question that was not answered: what it was for is gone, failed, or took too long."""


class Requests:
    """Asks, any number of questions at once, and keeps a few connections for the next ones.

    Parameters
    ----------
    where : Where
        The scheduler.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._idle: list[Stream] = []
        self._asking: dict[str, set[asyncio.Task[Any]]] = {}

    async def ask(self, message: Mapping[str, Any], timeout: float, worker: str = SCHEDULER) -> Any:
        """Return the answer to a question.

        Parameters
        ----------
        message : mapping
            Its ``op``, and what goes with it.
        timeout : float
            Seconds.
        worker : str
            The worker that it is for, if it is for one: when that goes, `drop` ends the question.

        Raises
        ------
        LinkError
            There is no answer, or it is an error.
        """
        task = asyncio.get_running_loop().create_task(self._exchange(message))
        asking = self._asking.setdefault(worker, set())
        asking.add(task)
        try:
            await asyncio.wait({task}, timeout=timeout)
            if not task.done():
                raise LinkError(f"no answer within {timeout:g} s")
            if task.cancelled():
                raise LinkError(f"the Dask worker at {worker} is gone" if worker else "the link is closed")
            answer = task.result()
        except OSError as error:
            raise LinkError(f"the Dask scheduler cannot be asked: {error}") from error
        finally:
            asking.discard(task)
            if not asking:
                self._asking.pop(worker, None)
            await _end(task)
        if isinstance(answer, dict) and "exception_text" in answer:
            raise LinkError(str(answer["exception_text"]))
        return answer

    def drop(self, worker: str = SCHEDULER) -> None:
        """End the questions for a worker that has gone."""
        for task in self._asking.get(worker, ()):
            task.cancel()

    async def close(self) -> None:
        """End all questions, and close all connections."""
        self.rest()
        for worker in list(self._asking):
            self.drop(worker)
        await asyncio.sleep(0)

    def rest(self) -> None:
        """Close the connections that are kept: the scheduler was gone meanwhile."""
        while self._idle:
            self._idle.pop().abort()

    async def _exchange(self, message: Mapping[str, Any]) -> Any:
        stream = self._kept() or await Stream.open(self._where)
        done = False
        try:
            await stream.write({**message, "reply": True})
            answer = await stream.read()
            done = len(self._idle) < _IDLE
        finally:
            if done:
                self._idle.append(stream)
            else:
                stream.abort()
        return answer

    def _kept(self) -> Stream | None:
        while self._idle:
            stream = self._idle.pop()
            if not stream.broken:
                return stream
            stream.abort()
        return None


async def _end(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # so that nobody misses it
