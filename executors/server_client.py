"""The controller's handle on the warm server."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import processes
from hbsim.executors.job_process import start_python
from hbsim.executors.json_lines import LineReader, dump_line
from hbsim.executors.slots import thread_variables
from hbsim.executors.training_function import FunctionDescription, label_of

ENTRY: Final = "hbsim.executors.trial:run"
_CHUNK: Final = 1 << 16
_CLOSE_SECONDS: Final = 1.0  # seconds for the server to end all jobs; then the controller kills them
_KILL_SECONDS: Final = 10.0  # seconds to wait for processes after SIGKILL
_SEND_SECONDS: Final = 30.0  # seconds for a server to accept an order, after more than a hundred others
_POLL: Final = 0.01
_LOOK: Final = 0.2
_A_WHILE: Final = 1.0  # seconds before a message says what the study waits for
_PING: Final = 1.0  # seconds between a ``pong`` and the next ``ping``
STOPPED: Final = 5.0
SILENT: Final = 60.0
_SOON: Final = 1.0  # seconds for a process to end after it has closed the connection
_SERVER: Final = "hbsim.executors.server"


class Server:
    """A warm server: a process that loads a training function and starts a process for each job.

    The server is pinged once a second. If a signal has stopped it, it counts as lost after `STOPPED` seconds:
    load alone stops no process. If it runs, it counts as lost only after `SILENT` seconds without an answer,
    since its trials are lost with it, and a lack of memory or a hung disk can delay a sound server. Only
    seconds in which the controller itself has run count, so that a suspended machine or a stopped study loses
    no server.

    Parameters
    ----------
    train : mapping
        From `hbsim.executors.training_function.make_target`.
    start : "fork" or "spawn"
        Whether jobs are forked from the server, or load everything themselves.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    entry : str, optional
        The ``module:function`` that a job's process calls with the training function and its socket.
    lease : Path, optional
        The file of a `Lease`: when the lease is over, the server kills all jobs and ends.

    Attributes
    ----------
    pid : int
        The server's process id.
    ready : float or None
        The seconds that it took to load the function; None before the function is loaded.
    about : FunctionDescription or None
        The function's description, once the server is ready.
    dead : bool
        Whether the server has closed the connection, which means that it has ended.

    Raises
    ------
    OutputError
        The server cannot be started.
    """

    def __init__(
        self,
        train: Mapping[str, Any],
        start: str,
        grace: float,
        entry: str = ENTRY,
        lease: Path | None = None,
    ) -> None:
        self.dead = False
        self.ready: float | None = None
        self.about: FunctionDescription | None = None
        self._label = label_of(train)
        self._pids: dict[int, int] = {}
        self._reader = LineReader()
        self._closed = self._killed = False
        self._problem: str | None = None
        self._looked, self._asked_at = time.monotonic(), -inf
        self._asked = False  # a ``ping`` has no answer yet
        self._silent = self._stopped = 0.0  # seconds
        environment, unset = _environment()
        setup = {"train": train, "start": start, "grace": grace, "entry": entry, "unset": unset}
        setup["lease"] = None if lease is None else str(lease)
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = start_python(_SERVER, {"setup": setup}, train["path"], theirs, environment)
        except OSError as error:
            self._socket.close()
            raise OutputError(sys.executable, f"a process cannot be started: {error}") from error
        self.pid = self._process.pid

    def fileno(self) -> int:
        """Return the file descriptor that is readable when `receive` has something."""
        return self._socket.fileno()

    def wait_ready(self, say: Callable[[str], None] | None = None) -> float:
        """Wait until the server has loaded the function; return the seconds that it took.

        Must be called before any job is run.

        Parameters
        ----------
        say : callable, optional
            Called with a line on what the study waits for, if it takes a while.

        Raises
        ------
        ParameterError
            The function cannot be loaded.
        """
        said_at = time.monotonic() + _A_WHILE
        while self.ready is None and not self.dead:
            if say is not None and time.monotonic() >= said_at:
                say(f"loading {self._label}")
                say = None
            # With a time limit: not every library lets Ctrl-C interrupt a system call that waits.
            if select.select([self._socket], [], [], _LOOK)[0]:
                self._socket.settimeout(None)
                self._take()
            elif self.look() is not None:
                break
        if self.ready is None:
            raise self.failure()
        return self.ready

    def failure(self) -> ParameterError:
        """Return the error for a server that has ended, or is lost, before it was ready."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SOON if self._problem is None else 0)
        self.close()
        code = self._process.poll() or 0
        how = self._problem or f"ended with {f'signal {-code}' if code < 0 else f'exit status {code}'}"
        return ParameterError("train", self._label, f"must load in a process of its own; that {how}")

    def run(
        self,
        job: int,
        child_socket: socket.socket,
        env: Mapping[str, str | None],
        cpus: Sequence[int] | None,
        threads: int,
        log: str,
    ) -> None:
        """Start a job's process.

        Parameters
        ----------
        job : int
            The job's number.
        child_socket : socket.socket
            The process's own end of its connection. The server gets a copy: the caller closes this one.
        env : mapping
            Environment variables; None removes one.
        cpus : sequence of int or None
            The cores on which it may run; None for all.
        threads : int
            The number of threads with which numerical libraries may compute.
        log : str
            The file to which the job's output is appended.
        """
        order = {"run": job, "env": dict(env), "threads": threads, "log": os.path.abspath(log)}
        order["cpus"] = None if cpus is None else list(cpus)
        self._send(order, child_socket)

    def kill(self, job: int) -> None:
        """Send a job's process group SIGTERM, and SIGKILL after the grace."""
        self._send({"kill": job})

    def receive(self) -> list[dict[str, Any]]:
        """Return the complete messages ``forked`` and ``exited``; set `dead` at the end of file.

        Raises
        ------
        ParameterError
            The function cannot be loaded.
        """
        self._socket.settimeout(0)
        messages: list[dict[str, Any]] = []
        while more := self._take():
            messages += more
        return messages

    def look(self) -> str | None:
        """Return why the server counts as lost, None if it does not. Must be called regularly."""
        now = time.monotonic()
        if self.dead or self._problem is not None or now < self._looked + _LOOK:
            return self._problem
        passed, self._looked = min(now - self._looked, _PING), now
        self._stopped = self._stopped + passed if processes.is_stopped(self.pid) else 0.0
        if self._stopped > STOPPED:
            self._problem = f"was stopped by a signal, and did not go on for {STOPPED:g} s"
        elif self._asked:
            self._silent += passed
            if self._silent > SILENT:
                self._problem = f"has not answered for {SILENT:g} s"
        elif self.ready is not None and now >= self._asked_at + _PING:
            self._asked, self._asked_at, self._silent = True, now, 0.0
            self._send({"ping": 1})
        return self._problem

    def kill_all(self, patience: float = _KILL_SECONDS) -> None:
        """Kill the server and the processes of all jobs, and wait some seconds until they are gone.

        For a server that has died, or does not answer. If it has died, processes that left their job's
        session may survive.
        """
        deadline, self._killed = time.monotonic() + patience, True
        if self._process.poll() is None:
            # A stopped server still adopts orphans, but starts no more processes.
            processes.kill(self.pid, signal.SIGSTOP)
            while (left := processes.descendants(self.pid)) and time.monotonic() < deadline:
                for pid in left:
                    processes.kill(pid)
                time.sleep(_POLL)
        processes.kill_group(self.pid)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # it may hang in a system call
            self._process.wait(max(_POLL, deadline - time.monotonic()))
        if not self._closed:
            with suppress(ParameterError):
                self.receive()  # it may have started processes whose ids were not read yet
        leaders, self._pids = set(self._pids.values()), {}
        for leader in leaders:
            processes.kill_group(leader)
        while leaders and time.monotonic() < deadline and (left := processes.in_session(leaders)):
            for pid in left:
                processes.kill(pid)
            time.sleep(_POLL)

    def close(self, patience: float | None = None) -> None:
        """End the server and all processes that it has started. May be called twice.

        Parameters
        ----------
        patience : float, optional
            Seconds after which the server is killed; by default enough for the slowest regular end.
        """
        if self._closed:
            return
        try:
            if self.ready is not None and not self._killed:  # else it reads no messages
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_CLOSE_SECONDS if patience is None else patience)
        finally:  # also where Ctrl-C has ended the wait
            if self._process.poll() is None and not self._killed:
                self.kill_all(_CLOSE_SECONDS)
            self._closed = True
            self._socket.close()

    def _send(self, message: Mapping[str, object], passed: socket.socket | None = None) -> None:
        data = dump_line(message)
        self._socket.settimeout(_SEND_SECONDS)
        try:
            if passed is not None:
                sent = socket.send_fds(self._socket, [data], [passed.fileno()])
                data = data[sent:]
            self._socket.sendall(data)
        except TimeoutError:
            self._problem = f"has taken no order for {_SEND_SECONDS:g} s"
        except (BrokenPipeError, ConnectionResetError):  # `receive` says so
            pass

    def _take(self) -> list[dict[str, Any]]:
        """Return the messages that one read from the socket completes."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.dead = self.dead or not data
        messages = self._reader.messages(data)
        if self._reader.garbage is not None:
            self.dead, self._problem = True, f"has said what is no message: {self._reader.garbage}"
        for message in messages:
            self._note(message)
        return messages

    def _note(self, message: Mapping[str, Any]) -> None:
        if "fatal" in message:
            raise ParameterError(*message["fatal"])
        if "forked" in message:
            self._pids[message["forked"]] = message["pid"]
        elif "exited" in message:
            self._pids.pop(message["exited"], None)
        elif "pong" in message:
            self._asked = False
        elif "ready" in message:
            self.ready, self.about = float(message["ready"]), FunctionDescription.from_dict(message["about"])


def _environment() -> tuple[dict[str, str], list[str]]:
    """Return the server's environment, and the names of the variables that its jobs do not get."""
    # Libraries must start no threads before the fork.
    variables = {**os.environ, **thread_variables(1)}
    # If a file asks for CUDA when it is imported, PyTorch only asks the driver: CUDA does not survive a fork.
    ours = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    unset = [name for name in ours if name not in os.environ]
    return {**variables, **{name: ours[name] for name in unset}}, unset
