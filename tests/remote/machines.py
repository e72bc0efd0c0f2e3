"""Machines that a test may kill: hosts by SSH, each an sshd on a port of its own, or Dask workers."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from tests.doubles.dask_processes import ROOT, DaskProcesses, dask_processes, eventually
from tests.doubles.sshd import Host, sshd

FOLDER, NUMBER = "HBSIM_TEST_FOLDER", "HBSIM_TEST_NUMBER"  # in the environment of all that runs on a machine
GPUS = "HBSIM_TEST_GPUS"  # likewise: the UUIDs of its GPUs
NVML = """
import os
from tests.doubles.nvml import FakeGpu, FakeNvml

there = FakeNvml([FakeGpu(uuid) for uuid in os.environ["HBSIM_TEST_GPUS"].split(",") if uuid])
for name in dir(there):
    if name.startswith("nvml") or name == "NVMLError":
        globals()[name] = getattr(there, name)
"""


class Machines(Protocol):
    """Machines by number; each has a folder of its own for hbsim."""

    count: int

    def options(self) -> list[str]:
        """Return what ``hbsim run`` is told."""
        ...

    def kill(self, number: int) -> None:
        """Kill a machine with all that runs on it."""
        ...

    def start(self, number: int) -> None:
        """Start a machine that was killed."""
        ...


def processes(folder: Path, number: int | None = None) -> list[psutil.Process]:
    """Return what runs of a test, on one of its machines or anywhere, and has not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            ours = environment.get(FOLDER) == str(folder)
            if ours and (number is None or environment.get(NUMBER) == str(number)) and not is_over(process):
                found.append(process)
    return found


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that nobody has asked how."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def send(number: int, *found: psutil.Process) -> None:
    """Send a signal to processes that may be gone."""
    for process in found:
        with suppress(psutil.Error, ProcessLookupError):
            process.send_signal(number)


def kill(*found: psutil.Process) -> None:
    """Kill -9, and wait until they are dead."""
    send(signal.SIGKILL, *found)
    eventually(lambda: all(is_over(process) for process in found), "an end of what was killed")


def command(process: psutil.Process | None) -> str:
    """Return a process's command line; nothing if it has ended."""
    if process is not None:
        with suppress(psutil.Error):
            return " ".join(process.cmdline())
    return ""


def parent(process: psutil.Process) -> psutil.Process | None:
    """Return a process's parent; None if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.parent()
    return None


def environment(folder: Path, number: int) -> dict[str, str]:
    """Return what every process on a machine finds in its environment.

    Each machine has a GPU of its own, so that each gets trials however few cores they all share.
    """
    fake = folder / "fake"
    fake.mkdir(exist_ok=True)
    (fake / "pynvml.py").write_text(NVML)
    return {
        FOLDER: str(folder),
        NUMBER: str(number),
        GPUS: f"GPU-{number}",
        "HBSIM_WORK": str(folder / f"host-{number}" / "work"),
        "PYTHONPATH": f"{fake}:{ROOT}",
        "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
    }


@dataclass
class SshMachines:
    """Hosts that are reached by SSH: an sshd each, on 127.0.0.1."""

    hosts: list[Host]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.hosts)

    def options(self) -> list[str]:
        """Return what ``hbsim run`` is told."""
        names = ",".join(self.name(number) for number in range(self.count))
        return ["--hosts", names, "--ssh-key", str(self.hosts[0].key)]

    def name(self, number: int) -> str:
        """Return a host as the user calls it."""
        return f"127.0.0.1:{self.hosts[number].port}"

    def sessions(self, number: int) -> list[psutil.Process]:
        """Return the processes of sshd that serve connections."""
        server = psutil.Process(self.hosts[number].pid)
        return [one for one in server.children(recursive=True) if command(one).startswith("sshd")]

    def kill(self, number: int) -> None:
        """Kill a host: its sshd, connections and all that runs there."""
        self.hosts[number].kill()

    def start(self, number: int) -> None:
        """Start a host's sshd, on the port of before."""
        self.hosts[number].start()


@contextmanager
def ssh_machines(
    folder: Path, count: int = 2, environments: Sequence[Mapping[str, str]] | None = None
) -> Iterator[SshMachines]:
    """Give so many hosts that are reached by SSH, with one key; end them afterwards."""
    with ExitStack() as stack:
        hosts: list[Host] = []
        for number, more in enumerate(environments or [{}] * count):
            given = {**environment(folder, number), **more}
            key = hosts[0].key if hosts else None
            hosts.append(stack.enter_context(sshd(folder / f"host-{number}", given, key)))
        yield SshMachines(hosts)


@dataclass
class DaskMachines:
    """Workers of a Dask scheduler that a test has started."""

    folder: Path
    cluster: DaskProcesses
    nanny: bool
    environments: Sequence[Mapping[str, str]]
    numbers: dict[int, int] = field(default_factory=dict)  # of the cluster's, by machine

    @property
    def count(self) -> int:
        """How many there are to be."""
        return len(self.environments)

    def options(self) -> list[str]:
        """Return what ``hbsim run`` is told."""
        return ["--scheduler-address", self.cluster.address]

    def scheduler(self) -> psutil.Process:
        """Return the scheduler's process."""
        assert self.cluster.scheduler is not None
        return psutil.Process(self.cluster.scheduler.pid)

    def started(self, number: int) -> psutil.Process:
        """Return the process that was started for a worker: itself, or its nanny."""
        return psutil.Process(self.cluster.workers[self.numbers[number]].pid)

    def worker(self, number: int) -> psutil.Process:
        """Return a worker's own process; with a nanny that below it."""
        process = self.started(number)
        below = [child for child in process.children() if "multiprocessing.spawn" in command(child)]
        return below[0] if below else process

    def kill(self, number: int) -> None:
        """Kill a worker with all that runs for it."""
        process = self.cluster.workers[self.numbers.pop(number)]
        kill(*processes(self.folder, number))
        process.wait()

    def start(self, number: int) -> None:
        """Start a worker in place of one that has gone."""
        given = {**environment(self.folder, number), **self.environments[number]}
        name = ("--name", f"host-{number}")
        self.numbers[number] = self.cluster.start_worker(*name, nanny=self.nanny, **given)


@contextmanager
def dask_machines(
    folder: Path,
    count: int = 2,
    environments: Sequence[Mapping[str, str]] | None = None,
    *,
    nanny: bool = False,
) -> Iterator[DaskMachines]:
    """Give a Dask scheduler and so many workers; end them afterwards."""
    marks = {FOLDER: str(folder), "PYTHONPATH": str(ROOT)}
    with dask_processes(folder, 0, environment=marks) as cluster:
        machines = DaskMachines(folder, cluster, nanny, environments or [{}] * count)
        for number in range(count):
            machines.start(number)
        for number in range(count):
            cluster.worker_address(machines.numbers[number])
        try:
            yield machines
        finally:
            send(signal.SIGCONT, *processes(folder))
            time.sleep(0)
