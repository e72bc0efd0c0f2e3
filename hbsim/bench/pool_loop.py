"""Dask's event loop: waits for it that see Ctrl-C, and what it keeps until a block is left."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, TypeVar

__all__ = ["Loop", "is_done", "running_loop"]

Made = TypeVar("Made")

_GLANCE: Final = 0.1  # seconds between two looks for Ctrl-C


class Loop:
    """An event loop in the thread that Dask has for it.

    Parameters
    ----------
    tornado : tornado.ioloop.IOLoop
        Running.
    """

    def __init__(self, tornado: Any) -> None:
        self.tornado = tornado
        self._loop: asyncio.AbstractEventLoop = tornado.asyncio_loop

    def wait(self, work: Coroutine[Any, Any, Made], seconds: float | None = None) -> Made:
        """Return what a coroutine returns; it is cancelled if the wait is interrupted.

        Raises
        ------
        TimeoutError
            It takes longer.
        """
        future = self.start(asyncio.wait_for(work, seconds))
        try:
            return _result(future)
        except BaseException:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, Made]) -> Future[Made]:
        """Return what will have a coroutine's result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @contextmanager
    def keeping(self, start: Callable[[AsyncExitStack], Awaitable[Made]]) -> Iterator[Made]:
        """Give what a coroutine makes, and close its stack when the block is left.

        One task of the loop does both. A start that is interrupted is cancelled.

        Parameters
        ----------
        start : callable
            Called with the stack.
        """
        ready: Future[Made] = Future()
        over: Future[None] = Future()
        leave = asyncio.Event()

        async def serve() -> None:
            async with AsyncExitStack() as stack:
                ready.set_result(await start(stack))
                await leave.wait()

        async def told() -> None:
            try:
                await serve()
            except BaseException as error:
                (over if ready.done() else ready).set_exception(error)
            finally:
                if not over.done():
                    over.set_result(None)

        task = asyncio.run_coroutine_threadsafe(told(), self._loop)
        try:
            yield _result(ready)
        finally:
            if ready.done():
                self._loop.call_soon_threadsafe(leave.set)
            else:
                task.cancel()
            _result(over)


@contextmanager
def running_loop() -> Iterator[Loop]:
    """Give a loop that runs until the block is left."""
    utils: Any = importlib.import_module("distributed.utils")
    runner = utils.LoopRunner()
    runner.start()
    try:
        yield Loop(runner.loop)
    finally:
        runner.stop()


def is_done(future: Future[Any], seconds: float = math.inf) -> bool:
    """Wait for a result, but not for longer than some seconds; return whether there is one."""
    until = time.monotonic() + seconds
    # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
    while not future.done() and time.monotonic() < until:
        concurrent.futures.wait([future], timeout=_GLANCE)
    return future.done()


def _result(future: Future[Made]) -> Made:
    is_done(future)
    return future.result()
