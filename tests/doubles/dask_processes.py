"""A Dask scheduler and its workers on this machine, as processes of their own that a test may kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until a test gives up
Found = TypeVar("Found")


@dataclass
class DaskProcesses:
    """What runs; `address` is the scheduler's.

    All write into `folder`: their logs are ``scheduler.log``, ``worker-0.log`` and so on.
    """

    folder: Path
    environment: Mapping[str, str]
    scheduler_options: Sequence[str] = ()
    worker_options: Sequence[str] = ()
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_scheduler(self, port: int = 0) -> None:
        """Start the scheduler (again), and wait until it listens."""
        where = self.folder / "scheduler.json"
        where.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", str(port), "--scheduler-file", str(where)]
        self.scheduler = self._start("scheduler", "scheduler", *options, *self.scheduler_options)
        self.address = eventually(lambda: _address_in(where), "a scheduler")

    def start_worker(self, *options: str, nanny: bool = False, **environment: str) -> int:
        """Start one more worker, of one thread; return its number; `worker_address` waits for it."""
        if not nanny:
            options = ("--no-nanny", *options)
        given = [self.address, "--host", "127.0.0.1", "--nthreads", "1", *self.worker_options, *options]
        name = f"worker-{len(self.workers)}"
        self.workers.append(self._start("worker", name, *given, **environment))
        return len(self.workers) - 1

    def worker_address(self, number: int) -> str:
        """Return a worker's address, once it has registered; with a nanny, that of the last one."""
        return eventually(lambda: self._worker_addresses(number), f"worker {number}")[-1]

    def log(self, name: str) -> str:
        """Return what a process has written: ``scheduler``, ``worker-0``."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill_worker(self, number: int) -> None:
        """Kill -9: no teardown, no goodbye."""
        self.workers[number].kill()
        self.workers[number].wait()

    def kill_scheduler(self) -> None:
        """Kill -9."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def end(self) -> None:
        """End all, the workers first; what does not end within a while is killed, with what it started."""
        for processes in (self.workers, [self.scheduler] if self.scheduler else []):
            for process in processes:
                process.terminate()
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _worker_addresses(self, number: int) -> list[str]:
        text = self.log(f"worker-{number}")
        if self.workers[number].poll() is not None:
            raise AssertionError(f"a worker has ended:\n{text}")
        started = re.findall(r"Start worker at:\s+(\S+)", text)
        return started if 0 < len(started) <= text.count("Registered to:") else []

    def _start(self, kind: str, name: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment, **environment},
                cwd=self.folder,
                start_new_session=True,
            )


@contextmanager
def dask_processes(
    folder: Path,
    workers: int = 1,
    *,
    nanny: bool = False,
    environment: Mapping[str, str] | None = None,
    scheduler_options: Sequence[str] = (),
    worker_options: Sequence[str] = (),
) -> Iterator[DaskProcesses]:
    """Give a scheduler and so many workers, all registered, on 127.0.0.1; end them afterwards.

    `environment` is added to this process's; ``HBSIM_WORK`` is ``folder/work`` unless given there.
    """
    pytest.importorskip("distributed")
    given = {
        "PYTHONPATH": str(ROOT),
        "DASK_TEMPORARY_DIRECTORY": str(folder),
        "HBSIM_WORK": str(folder / "work"),
        **(environment or {}),
    }
    processes = DaskProcesses(folder, given, tuple(scheduler_options), tuple(worker_options))
    try:
        processes.start_scheduler()
        numbers = [processes.start_worker(nanny=nanny) for _ in range(workers)]
        for number in numbers:
            processes.worker_address(number)
        yield processes
    finally:
        processes.end()


def eventually(look: Callable[[], Found], what: str, patience: float = PATIENCE) -> Found:
    """Look until there is something true; fail after a long while."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"there is never {what}")


def _address_in(file: Path) -> str:
    with suppress(FileNotFoundError, ValueError):  # not there, or not written yet
        address: str = json.loads(file.read_text())["address"]
        return address
    return ""
