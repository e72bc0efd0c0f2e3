"""An event loop in a thread of its own: to wait for other machines while the caller does something else."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, Final, TypeVar

from hbsim.executors.remote.protocol import cancel_tasks

POLL: Final = 0.1  # seconds between two checks for Ctrl-C
T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, since the caller's may already run one, as in a notebook.

    The thread starts with the first coroutine. As a context manager it is closed at the end of the block.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="hbsim-remote", daemon=True)

    def __enter__(self) -> LoopThread:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, function: Callable[..., object], *given: object) -> None:
        """Call a function in the loop, in the order of calls to this method; not once the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *given)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the loop."""
        if not self._thread.is_alive():
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and return its result; Ctrl-C cancels it."""
        future = self.start(work)
        try:
            # Many short waits: one endless wait would miss Ctrl-C, as Polars' handler has SA_RESTART.
            while not future.done():
                concurrent.futures.wait([future], timeout=POLL)
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def close(self) -> None:
        """End all tasks of the loop, and its thread. May be called twice."""
        if self._loop.is_closed():
            return
        with suppress(KeyboardInterrupt):  # a second interrupt ends this wait
            self.start(_end_tasks()).result()
        self.call(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_tasks() -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    await cancel_tasks([task for task in asyncio.all_tasks() if task is not me])
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
