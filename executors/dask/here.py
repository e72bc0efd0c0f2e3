"""A Dask cluster on this machine: the scheduler in this process, workers in others.

Not Dask's own local cluster: that starts workers by `multiprocessing`, which runs the user's script again.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from hbsim.errors import ParameterError
from hbsim.executors.dask.certificates import security_of, temporary
from hbsim.executors.dask.quiet import quiet
from hbsim.executors.dask.servers import PATIENCE, config, server_options, worker_options
from hbsim.executors.dask.tether import KEEPS

__all__ = ["start_here"]


async def start_here(
    stack: AsyncExitStack, say: Callable[[str], None], processes: int | None, threads: int | None
) -> tuple[str, Any, int]:
    """Start a scheduler and workers on the loopback, with certificates of their own.

    Parameters
    ----------
    stack : AsyncExitStack
        Ends what is started, also where the start fails.
    say : callable
        Given a line on what is done.
    processes : int or None
        Workers; None: one a core.
    threads : int or None
        As in `config`.

    Returns
    -------
    address : str
        The scheduler's.
    security : distributed.Security
        What connections need.
    expected : int
        How many workers there will be.

    Raises
    ------
    ParameterError
        Dask does not start.
    """
    import dask
    from distributed import Scheduler

    stack.enter_context(quiet())
    say("starting a Dask cluster on this machine")
    made = temporary()
    security = security_of(made)
    folder = await _keep(stack, made.files())
    server = server_options(encrypted=True, host="127.0.0.1")
    ours = {"security": security, "local_directory": folder, "port": 0}
    count = processes if processes is not None else _cores()
    with dask.config.set(config(threads)):
        scheduler = Scheduler(**server | ours)
        inherited = dask.config.serialize(dask.config.global_config)
    stack.push_async_callback(scheduler.close)
    await scheduler
    worker = {"cls": "distributed.Nanny", "opts": server | worker_options()}
    spec = json.dumps({str(number): worker for number in range(count)})
    words = ["run", folder, "here", "-m", "distributed.cli.dask_spec", scheduler.address, "--spec", spec]
    child = await _start(stack, words, {"DASK_INTERNAL_INHERIT_CONFIG": inherited})
    await _addresses(child, count)
    return scheduler.address, security, count


class _Child:
    """A tether, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], said: asyncio.StreamReader) -> None:
        self.process = process
        self.said = said

    def write(self, text: str) -> None:
        """Write what fits into a pipe."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    async def close(self) -> None:
        """Let it end, with all that it has started."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        while await self.said.read(65536):
            pass
        self.process.wait()  # it says nothing more, for it has ended


async def _start(stack: AsyncExitStack, words: Sequence[str], variables: Mapping[str, str]) -> _Child:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hbsim.executors.dask.tether", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **variables},
        start_new_session=True,  # Ctrl-C is this process's
    )
    said = asyncio.StreamReader()
    child = _Child(process, said)
    stack.push_async_callback(child.close)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(said), process.stdout)
    return child


async def _keep(stack: AsyncExitStack, files: Mapping[str, str]) -> str:
    child = await _start(stack, ["keep"], {})
    child.write(json.dumps(dict(files)) + "\n")
    said = (await child.said.readline()).decode()
    if not said.startswith(KEEPS):
        raise _wrong(["a folder for temporary files cannot be made", said])
    return said.removeprefix(KEEPS).rstrip("\n")


async def _addresses(child: _Child, count: int) -> None:
    """Wait until all workers have said their addresses."""
    said: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while count:
                line = (await child.said.readline()).decode(errors="replace")
                if not line:
                    raise _wrong(said)
                said.append(line)
                count -= "worker at:" in line
    except TimeoutError:
        raise _wrong([f"they have not started within {PATIENCE:g} s"]) from None


def _wrong(said: Sequence[str]) -> ParameterError:
    text = "; ".join(" ".join(line.split()) for line in said[-12:])
    return ParameterError("executor", "dask", f"Dask's workers cannot be started: {text or 'no reason'}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
