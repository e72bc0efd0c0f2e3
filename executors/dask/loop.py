"""An event loop that turns in a thread of its own, whatever the rest of the process is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

__all__ = ["Loop"]

Found = TypeVar("Found")


class Loop:
    """Runs what may not wait for who uses it: for a searcher, a disk, a terminal that is held.

    It begins with the first `start`; what was called before is done then.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._turn, name="hbsim-dask", daemon=True)

    def start(self, work: Coroutine[Any, Any, Found]) -> Future[Found]:
        """Run a coroutine; the future may be waited for elsewhere."""
        if not self._thread.is_alive():
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[..., object], *given: object) -> None:
        """Have a function called soon, in the order of calls; not at all once it is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *given)

    def close(self) -> None:
        """Cancel what still runs, and end the thread. Ctrl-C does not wait for what is cancelled."""
        if self._thread.is_alive():
            with suppress(KeyboardInterrupt):
                self.start(_end()).result()
            self.call(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


async def _end() -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not me]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
