"""A study as a process on a cluster of processes, of which a test may stop or kill any."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.doubles.dask_processes import ROOT, DaskProcesses, dask_processes, eventually

from . import training
from .studies import records

TRAINING = Path(training.__file__)
MARK = "HBSIM_TEST_FOLDER"
AGENT, SERVER = "hbsim.executors.dask.agent", "hbsim.executors.server"
LONG = 120.0  # seconds until a study must have ended


@dataclass
class Study:
    """``hbsim run`` on a cluster, in the folder ``exp`` of the test's folder; traces go to ``traces``."""

    cluster: DaskProcesses
    folder: Path
    lease: float = 3.0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traces.mkdir(parents=True)

    @property
    def exp(self) -> Path:
        return self.folder / "exp"

    @property
    def traces(self) -> Path:
        return self.folder / "traces"

    @property
    def log(self) -> str:
        """What the last process has printed."""
        return (self.folder / f"study-{len(self.processes) - 1}.log").read_text()

    def start(
        self,
        name: str = "saving",
        type_: str = "promotion",
        trials: int = 9,
        seconds: float = 0.05,
        options: Sequence[str] = (),
        **constants: object,
    ) -> None:
        """Begin."""
        given = {"traces": self.traces, "seconds": seconds, **constants}
        what = ["--scheduler", type_, "--max-t", "9", "--trials", str(trials), "--retries", "50"]
        what += ["--workers", "2"]  # on whatever machine; options may say something else
        sets = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
        self._run(name if ":" in name else f"{TRAINING}:{name}", "--executor", "dask", *what, *sets, *options)

    def resume(self, *options: str) -> None:
        """Go on, on the cluster that is there now."""
        self._run("--resume", *options)

    def resume_here(self) -> None:
        """Go on without a cluster."""
        self._start("--resume", "--executor", "local", "--workers", "2")

    def wait(self) -> int:
        """Wait for the end; return the exit status."""
        return self.processes[-1].wait(LONG)

    def done(self) -> None:
        """Wait for a good end."""
        assert self.wait() == 0, self.log

    def hurry(self) -> None:
        """Have all that is trained from now on take no time: there was enough of it to be disturbed."""
        (self.traces / training.HURRY).touch()

    def finish(self) -> None:
        """Wait for a good end, which comes soon."""
        self.hurry()
        self.done()

    def clear(self) -> None:
        """Forget it; another one may begin."""
        shutil.rmtree(self.exp)
        for trace in self.traces.iterdir():
            trace.unlink()

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """Return what the journal has of these kinds by now; all without any."""
        journal = self.exp / "journal.jsonl"
        if not journal.exists() or not journal.stat().st_size:
            return []
        return [record for record in records(self.exp) if not kinds or record["e"] in kinds]

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Wait until there is something true."""

        def looked() -> Any:
            found = look()
            assert found or self.processes[-1].poll() is None, f"it ends before there is {what}:\n{self.log}"
            return found

        return eventually(looked, what)

    def reach(self, count: int) -> None:
        """Wait for so many more decisions."""
        wanted = len(self.records("reach")) + count
        self.until(lambda: len(self.records("reach")) >= wanted, f"{count} decisions")

    def _run(self, *words: str) -> None:
        self._start(*words, "--scheduler-address", self.cluster.address, "--lease", str(self.lease))

    def _start(self, *words: str) -> None:
        command = [sys.executable, "-m", "hbsim", "run", *words, "--out", str(self.exp)]
        with (self.folder / f"study-{len(self.processes)}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--progress", "lines"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.cluster.environment},
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)

    # Who is there

    def controller(self) -> psutil.Process:
        return psutil.Process(self.processes[-1].pid)

    def worker(self, number: int) -> psutil.Process:
        """A Dask worker's own process; with a nanny that below it."""
        process = self.started(number)
        below = [child for child in children(process) if "multiprocessing.spawn" in command(child)]
        return below[0] if below else process

    def started(self, number: int) -> psutil.Process:
        """The process that was started for a Dask worker: itself, or its nanny."""
        return psutil.Process(self.cluster.workers[number].pid)

    def running(self, role: str) -> list[psutil.Process]:
        """All agents, warm servers or trials."""
        words, below = {"agent": (AGENT, ""), "server": (SERVER, AGENT), "trial": (SERVER, SERVER)}[role]
        return [
            process
            for process in marked(self.folder)
            if words in command(process) and below in command(parent(process))
        ]

    def agent_of(self, number: int) -> psutil.Process:
        """The agent of a Dask worker, once it runs."""
        return eventually(lambda: self._agents(number), f"an agent of worker {number}")[0]

    def server_of(self, number: int) -> psutil.Process:
        """The warm server of a Dask worker's agent, once it runs."""
        return eventually(lambda: self._servers(number), f"a warm server of worker {number}")[0]

    def trials_of(self, number: int) -> list[psutil.Process]:
        """The trials that run there, once there is one."""
        return self.until(lambda: self._trials(number), f"a trial on worker {number}")

    # Each looks anew from the Dask worker on: anything may have been replaced meanwhile.

    def _agents(self, number: int) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [child for child in children(self.worker(number)) if AGENT in command(child)]
        return []

    def _servers(self, number: int) -> list[psutil.Process]:
        agents = self._agents(number)
        return [child for agent in agents for child in children(agent) if SERVER in command(child)]

    def _trials(self, number: int) -> list[psutil.Process]:
        return [child for server in self._servers(number) for child in children(server)]

    def host(self, number: int) -> list[psutil.Process]:
        """All that runs for a Dask worker, itself the first."""
        worker = self.worker(number)
        return [worker, *children(worker, recursive=True)]


def marked(folder: Path) -> list[psutil.Process]:
    """Return the processes of a test that have not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(folder) and not is_over(process):
                found.append(process)
    return found


def left(folder: Path) -> list[str]:
    """Return what still runs of studies: agents, servers, trials, controllers."""
    words = (AGENT, SERVER, "-m hbsim run")
    return [line for process in marked(folder) if any(word in (line := command(process)) for word in words)]


def is_over(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that nobody has asked how."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    """Return what a process has started and has not ended; nothing if it has ended itself."""
    with suppress(psutil.NoSuchProcess):
        return [child for child in process.children(recursive) if not is_over(child)]
    return []


def parent(process: psutil.Process) -> psutil.Process | None:
    """Return a process's parent; None if it has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.parent()
    return None


def command(process: psutil.Process | None) -> str:
    """Return a process's command line; nothing if it has ended."""
    if process is not None:
        with suppress(psutil.Error):
            return " ".join(process.cmdline())
    return ""


def send(number: int, *processes: psutil.Process) -> None:
    """Send a signal to processes that may be gone."""
    for process in processes:
        with suppress(psutil.Error, ProcessLookupError):
            process.send_signal(number)


def kill(*processes: psutil.Process) -> None:
    """Kill -9, and wait until they are dead."""
    send(signal.SIGKILL, *processes)
    eventually(lambda: all(is_over(process) for process in processes), "an end of what was killed")


@contextmanager
def studying(
    folder: Path, workers: int = 2, *, nanny: bool = False, lease: float = 3.0, **environment: str
) -> Iterator[Study]:
    """Give a study that is to be started, on so many Dask workers; end everything afterwards."""
    marks = {MARK: str(folder), "PYTHONPATH": str(ROOT), **environment}
    with dask_processes(folder, workers, nanny=nanny, environment=marks) as cluster:
        study = Study(cluster, folder, lease)
        try:
            yield study
        finally:
            for process in study.processes:
                process.kill()
                process.wait()
            send(signal.SIGCONT, *marked(folder))
