"""Processes of a host that run studies for another machine.

``python -P -m hbsim.bench.pool_host``: a line of configuration and lines of calls come on the standard input,
and lines of results go to the standard output. All ends when the input does.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pickle  # noqa: TID251 (from the machine that has started this process by SSH)
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from hbsim.bench.pool import POLL, Processes, default_jobs
from hbsim.bench.remote import look, work_for_another

__all__ = ["decode", "encode", "main"]

LONGEST: Final = 64 << 20  # bytes of a line
MANY: Final = 10**9


def encode(found: object) -> str:
    """Return what a call has returned as JSON, with data frames as polars writes them."""
    return json.dumps(found, default=_frame_text)


def decode(text: str) -> Any:
    """Return what `encode` was given. Whatever the text is, none of it is run.

    Raises
    ------
    ValueError, polars.exceptions.PolarsError
        It is not of `encode`.
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
    work_for_another(host)
    function, item = pickle.loads(base64.b64decode(data))
    return encode(function(item))


class Service:
    """Runs calls in processes, and answers them on a stream.

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
        self._say(m="hello", places=self._jobs, **look(self._files))
        tasks = {asyncio.create_task(self._watch())}
        while line := await orders.readline():
            tasks.add(task := asyncio.create_task(self._answer(**json.loads(line))))
            task.add_done_callback(tasks.discard)
        self._pool.end()

    async def _answer(self, call: int, host: str, data: str) -> None:
        pool = self._pool
        try:
            found = await asyncio.wrap_future(pool.call(partial(run, host), data))
            self._say(m="found", call=call, found=found)
        except (BrokenExecutor, asyncio.CancelledError) as error:
            await self._end(pool)
            self._say(m="died", call=call, text=pool.ending(error))
        except Exception as error:
            self._say(m="raised", call=call, text=f"{type(error).__name__}: {error}")

    async def _watch(self) -> None:
        """Look for processes that have died; the pool itself may see that late."""
        while True:
            await asyncio.sleep(POLL)
            pool = self._pool
            try:
                pool.poll()
            except BrokenExecutor:
                await self._end(pool)

    async def _end(self, pool: Processes) -> None:
        """End a pool one of whose processes has died; calls that come later get another one."""
        if self._pool is pool:
            self._pool = Processes(self._jobs)
            self._ending[pool] = asyncio.create_task(asyncio.to_thread(pool.end))
        await self._ending[pool]

    def _say(self, **message: object) -> None:
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
    source, sink = os.dup(0), os.dup(1)  # not inherited; whatever else is printed goes to stderr
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    with suppress(BrokenPipeError, KeyboardInterrupt):
        asyncio.run(_serve(source, sink))
    os._exit(0)


if __name__ == "__main__":
    from hbsim.bench import pool_host  # under the name by which its processes find it

    pool_host.main()
