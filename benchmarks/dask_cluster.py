"""A Dask scheduler and workers on this machine, as processes of their own, for `benchmarks.dask_speed`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import ROOT

__all__ = ["Cluster", "cluster"]

PATIENCE: Final = 120.0  # seconds until it counts as failed
NAMES: Final = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What runs.

    Attributes
    ----------
    address : str
        The scheduler's.
    files : dict of str to str
        Certificates, by the names of `hbsim.Dask`; empty without TLS.
    scheduler : int
        Its process.
    workers : tuple of int
        Theirs.
    """

    address: str
    files: dict[str, str]
    scheduler: int
    workers: tuple[int, ...]

    @property
    def executor(self) -> dict[str, Any]:
        """Return the options of `hbsim.Dask`."""
        return {"scheduler_address": self.address, **self.files}


@contextmanager
def cluster(folder: Path, workers: int, *, tls: bool = True) -> Iterator[Cluster]:
    """Give a scheduler and so many workers of one thread on the loopback; end them afterwards.

    Raises
    ------
    RuntimeError
        They do not start.
    """
    processes: list[subprocess.Popen[bytes]] = []
    folder.mkdir(parents=True, exist_ok=True)
    files = _certificates(folder) if tls else {}
    where = folder / "scheduler.json"
    host = ["--host", "127.0.0.1", "--no-dashboard", *_tls_options(files)]
    try:
        protocol = "tls" if tls else "tcp"
        options = [*host, "--protocol", protocol, "--port", "0", "--scheduler-file", str(where)]
        processes.append(_start(folder, "scheduler", options))
        address = _until(where, "address", 0)
        options = [*host, address, "--nthreads", "1", "--no-nanny"]
        processes += [_start(folder, "worker", options) for _ in range(workers)]
        for process in processes[1:]:
            _until(folder / f"{process.pid}", "Registered to:", process.pid)
        first, *others = (process.pid for process in processes)
        yield Cluster(address, files, first, tuple(others))
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def _certificates(folder: Path) -> dict[str, str]:
    made = folder / "certificates"
    subprocess.run(
        [sys.executable, "-m", "hbsim", "certificates", str(made)], check=True, stdout=subprocess.DEVNULL
    )
    return {f"tls_{name}": str(made / f"{name}.pem") for name in NAMES}


def _tls_options(files: dict[str, str]) -> list[str]:
    words = [(f"--tls-{name}{'-file' if name == 'ca' else ''}", files.get(f"tls_{name}")) for name in NAMES]
    return [word for option, file in words if file for word in (option, file)]


def _start(folder: Path, kind: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
    log = folder / f"{kind}-{time.monotonic_ns()}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    environment["HBSIM_WORK"] = str(folder / "work")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=folder,
        )
    log.rename(folder / f"{process.pid}")
    return process


def _until(file: Path, what: str, pid: int) -> str:
    """Wait for a file that says something; return the value, if it is JSON."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(FileNotFoundError, ValueError):
            text = file.read_text()
            if what in text:
                return "" if pid else str(json.loads(text)[what])
        time.sleep(0.05)
    raise RuntimeError(f"a Dask process does not start: {file.read_text() if file.exists() else file}")
