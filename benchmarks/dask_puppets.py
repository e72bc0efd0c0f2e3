"""Many hosts in one process: real Dask workers and plugins, whose agents and trials are only played.

``python -m benchmarks.dask_puppets JSON``: connects so many workers to a scheduler, prints a line when all
are there, and ends with its standard input. What the controller and the scheduler do is what they would do
for as many hosts. A trial reaches its next milestone a given time after its verdict, and trains nothing. They
are out of step from the start, as those of a study soon are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Security, Worker

from hbsim.executors.dask import plugin, wire
from hbsim.executors.dask.hello import Place, hello
from hbsim.executors.lease import lease_clock
from hbsim.runner.workers import Ended, Row, Said

__all__ = ["Puppet"]

GOLDEN: Final = 0.6180339887  # its multiples are spread evenly over a unit
QUIET: Final = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.worker.memory.terminate": False,
}


class Puppet:
    """An agent that has no process, as the plugin sees it.

    Parameters
    ----------
    name : str
        Its id.
    hear : callable
        Given its lines.
    about : mapping
        What it says of its host.
    seconds : float
        Between two milestones of a trial.
    """

    def __init__(self, name: str, hear: Callable[[str], None], about: wire.Body, seconds: float) -> None:
        self.name, self._hear, self._seconds = name, hear, seconds
        self._loop = asyncio.get_running_loop()
        self._outbox, self._inbox = wire.Outbox(), wire.Inbox()
        self._jobs: dict[int, int] = {}  # and how many milestones they have reached
        self._asked: dict[int, float] = {}  # by job, when it reached the last one,
        self._trips: dict[int, float] = {}  # and how long it waited for the verdict of the one before
        self._over = asyncio.Event()
        self._say(about)
        self._say({"m": "ready", "seconds": 0.0})

    def write(self, lines: Sequence[str]) -> bool:
        """Do what the controller says."""
        for body in self._inbox.take(lines):
            self._obey(body)
        return True

    async def ended(self) -> tuple[str, bool]:
        """Wait until it is closed."""
        await self._over.wait()
        return "", True

    async def close(self) -> tuple[str, bool]:
        """End."""
        self._jobs.clear()
        self._over.set()
        return "", True

    def _say(self, body: Mapping[str, Any]) -> None:
        self._hear(self._outbox.put(body, time.monotonic()))

    def _obey(self, body: wire.Body) -> None:
        kind = body["o"]
        if kind == "beat":
            self._outbox.acknowledge(body["ack"], time.monotonic())
            clocks = {"clock": round(lease_clock(), 6), "time": round(time.monotonic(), 6)}
            beat = {"m": "beat", "id": body["id"], **clocks, "ack": self._inbox.heard}
            self._hear(wire.aside(beat))
        elif kind == "heard":
            self._outbox.acknowledge(body["ack"], time.monotonic())
        elif kind == "start":
            job = body["task"]["job"]
            self._jobs[job] = 0
            self._train(job, self._seconds * (job * GOLDEN % 1.0))
        elif kind == "go":
            self._trips[body["job"]] = time.monotonic() - self._asked[body["job"]]
            self._train(body["job"], self._seconds)
        elif kind in ("leave", "kill") and self._jobs.pop(body["job"], None) is not None:
            begun = time.monotonic()
            self._say(wire.ended_from(Ended(body["job"], begun=begun, left=True), None, None))

    def _train(self, job: int, seconds: float) -> None:
        self._loop.call_later(seconds, self._reach, job)

    def _reach(self, job: int) -> None:
        if job in self._jobs:
            number = self._jobs[job]
            self._jobs[job] += 1
            self._asked[job] = now = time.monotonic()
            metrics = {"accuracy": 0.5, "trip": self._trips.get(job, 0.0)}
            row = Row(now, self._seconds, 2.0**number, metrics)
            self._say(wire.said_from(Said(job, [row], number, True)))


async def play(asked: Mapping[str, Any]) -> None:
    """Be these hosts until nobody wants them any more."""
    with tempfile.TemporaryDirectory() as folder:
        about = hello(Place(Path(folder), Path(folder), True))
        numbers = iter(range(asked["hosts"]))
        addresses: dict[str, int] = {}

        async def start(self: plugin.Desk, name: str) -> Puppet:
            number = addresses.setdefault(self._address, len(addresses))
            own = {"host": f"host{number}", "boot": f"boot{number}", "cpus": list(range(asked["cpus"]))}
            hear = partial(_log, self, name)
            return Puppet(name, hear, {**about, **own, "cpu_limit": None}, asked["seconds"])

        plugin.Desk._start = start  # type: ignore[assignment, method-assign]
        security = Security(require_encryption=True, **asked["security"]) if asked["security"] else None
        options = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False, "memory_limit": 0}
        options |= {"local_directory": folder, "security": security}
        workers = [Worker(asked["address"], name=f"host{number}", **options) for number in numbers]
        await asyncio.gather(*workers)
        print("all there", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await asyncio.gather(*(worker.close() for worker in workers))


def _log(desk: plugin.Desk, name: str, line: str) -> None:
    desk._say({"agent": name, "worker": desk._address, "line": line})


if __name__ == "__main__":
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set(QUIET):
        asyncio.run(play(json.loads(sys.argv[1])))
