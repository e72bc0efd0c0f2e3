"""A link of a controller to Dask workers that are answered for here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hbsim.executors.dask.link import LinkError

Answer = Callable[..., Awaitable[Mapping[str, Any]]]


class FakeLink:
    """Notes what is asked; `answer(address, op, **given)` says what the plugins of workers say.

    Parameters
    ----------
    *workers : str
        The addresses of the Dask workers that there are.
    answer : callable, optional
        By default all that is asked goes well.
    """

    def __init__(self, *workers: str, answer: Answer | None = None) -> None:
        self.there = list(workers)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._answer = answer

    async def workers(self) -> dict[str, dict[str, Any]]:
        return {address: {} for address in self.there}

    async def call(
        self, worker: str, handler: str, *, op_: str, timeout: float, **given: Any
    ) -> Mapping[str, Any]:
        self.asked.append((worker, op_, given))
        if worker not in self.there:
            raise LinkError(f"the Dask worker at {worker} is gone")
        return {"ok": True} if self._answer is None else await self._answer(worker, op_, **given)

    async def unregister(self, name: str) -> None:
        self.there.clear()

    async def close(self) -> None:
        pass
