"""Machines that a test may kill: hosts by SSH, each an sshd on a port of its own, or Dask workers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from tests.doubles.dask_processes import ROOT, DaskProcesses, dask_processes, eventually

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
SSHD = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd")


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

    folder: Path
    count: int
    environments: Sequence[Mapping[str, str]]
    ports: list[int] = field(default_factory=list)
    daemons: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def options(self) -> list[str]:
        """Return what ``hbsim run`` is told."""
        hosts = ",".join(self.name(number) for number in range(self.count))
        return ["--hosts", hosts, "--ssh-key", str(self.folder / "user_key")]

    def name(self, number: int) -> str:
        """Return a host as the user calls it."""
        return f"127.0.0.1:{self.ports[number]}"

    def daemon(self, number: int) -> psutil.Process:
        """Return the sshd of a host."""
        return psutil.Process(self.daemons[number].pid)

    def sessions(self, number: int) -> list[psutil.Process]:
        """Return the processes of sshd that serve connections."""
        return [
            one for one in self.daemon(number).children(recursive=True) if command(one).startswith("sshd")
        ]

    def kill(self, number: int) -> None:
        """Kill a host: its sshd, connections and all that runs there."""
        sessions = self.sessions(number)
        daemon = self.daemons.pop(number)
        with suppress(psutil.NoSuchProcess):
            kill(psutil.Process(daemon.pid), *sessions)
        daemon.wait()
        kill(*processes(self.folder, number))

    def start(self, number: int) -> None:
        """Start a host's sshd, on the port of before."""
        home = self.folder / f"host-{number}"
        home.mkdir(exist_ok=True)
        config = home / "sshd_config"
        config.write_text(self._config(number, home))
        log = home / "sshd.log"
        size = log.stat().st_size if log.exists() else 0
        command = [_sshd(), "-D", "-f", str(config), "-E", str(log)]
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self.daemons[number] = daemon
        eventually(lambda: log.exists() and b"Server listening" in log.read_bytes()[size:], "an sshd")

    def end(self) -> None:
        """Kill all."""
        for number in list(self.daemons):
            self.kill(number)

    def _config(self, number: int, home: Path) -> str:
        variables = {"HOME": home, **environment(self.folder, number), **self.environments[number]}
        setting = " ".join(f'"{name}={value}"' for name, value in variables.items())
        return f"""
ListenAddress 127.0.0.1
Port {self.ports[number]}
HostKey {self.folder / "host_key"}
AuthorizedKeysFile {self.folder / "user_key.pub"}
AuthenticationMethods publickey
StrictModes no
UsePAM no
PermitRootLogin yes
PermitUserRC no
PidFile none
PrintMotd no
MaxStartups 100
LogLevel VERBOSE
Subsystem sftp internal-sftp
SetEnv {setting}
"""


def _sshd() -> str:
    for place in (*SSHD, shutil.which("sshd") or ""):
        if place and Path(place).exists() and shutil.which("ssh-keygen"):
            return place
    pytest.skip("needs an SSH server: apt-get install openssh-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ssh_machines(
    folder: Path, count: int = 2, environments: Sequence[Mapping[str, str]] | None = None
) -> Iterator[SshMachines]:
    """Give so many hosts that are reached by SSH; end them afterwards."""
    _sshd()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # else it does not start
    for name in ("host_key", "user_key"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / name)]
        subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    machines = SshMachines(folder, count, environments or [{}] * count)
    machines.ports += [_free_port() for _ in range(count)]
    try:
        for number in range(count):
            machines.start(number)
        yield machines
    finally:
        machines.end()


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
