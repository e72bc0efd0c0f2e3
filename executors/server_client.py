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

__all__ = ["ENTRY", "Server"]

ENTRY: Final = "hbsim.executors.trial:run"
_CHUNK: Final = 1 << 16
_CLOSE_SECONDS: Final = 1.0  # in which the server ends all; else it is done from here
_KILL_SECONDS: Final = 10.0  # in which what was sent SIGKILL is gone, if it ever will be
_SEND_SECONDS: Final = 30.0  # in which a server takes an order, with more than a hundred before it
_POLL: Final = 0.01
_LOOK: Final = 0.2
_A_WHILE: Final = 1.0  # seconds after which people are told what is being waited for
_PING: Final = 1.0  # seconds between an answer and the next question
STOPPED: Final = 5.0
SILENT: Final = 60.0
_SOON: Final = 1.0  # seconds in which a process ends that has closed the line
_SERVER: Final = "hbsim.executors.server"


class Server:
    """A process that has loaded a training function and starts a process a job.

    It is asked once a second whether it is there. One that a signal has stopped is given up after `STOPPED`
    seconds: however busy a machine is, it stops nobody. One that runs is given up only after `SILENT`
    seconds without an answer, for the trials are lost with it, and a machine that is out of memory, or whose
    disk hangs, keeps a sound one waiting. Only seconds count in which the controller itself has run: of a
    machine that was suspended, or a study that was stopped as a whole, neither knows.

    Parameters
    ----------
    train : mapping
        Of `hbsim.executors.training_function.make_target`.
    start : "fork" or "spawn"
        Whether jobs are forked from the server, or load everything themselves.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    env : mapping, optional
        Environment variables of the server and of all jobs, beside this process's own; None removes one.
    entry : str, optional
        What a job's process calls, ``module:function``, with the function and its socket.
    lease : Path, optional
        The file of a `Lease`: when that is over, the server kills all jobs and ends.

    Attributes
    ----------
    pid : int
        The server's process id.
    ready : float or None
        How many seconds it took to load the function; None as long as it has not.
    about : FunctionDescription or None
        The function's, as soon as it is ready.
    dead : bool
        Whether the server has closed the line: it has ended.

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
        env: Mapping[str, str | None] | None = None,
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
        self._asked = False  # and has not answered
        self._silent = self._stopped = 0.0  # seconds
        environment, unset = _environment(env or {})
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

        To be called before anything is run.

        Parameters
        ----------
        say : callable, optional
            Told what is being waited for, where it takes a while.

        Raises
        ------
        ParameterError
            It cannot be loaded.
        """
        said_at = time.monotonic() + _A_WHILE
        while self.ready is None and not self.dead:
            if say is not None and time.monotonic() >= said_at:
                say(f"loading {self._label}")
                say = None
            # A look now and then: not every library lets Ctrl-C end a system call that waits.
            if select.select([self._socket], [], [], _LOOK)[0]:
                self._socket.settimeout(None)
                self._take()
            elif self.look() is not None:
                break
        if self.ready is None:
            raise self.failure()
        return self.ready

    def failure(self) -> ParameterError:
        """Return why a server that is dead or lost has never been ready."""
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
            Its number.
        child_socket : socket.socket
            The process's own connection. It is passed on: close it here.
        env : mapping
            Environment variables; None removes one.
        cpus : sequence of int or None
            The cores that it may run on; None for all.
        threads : int
            How many threads numerical libraries may compute with.
        log : str
            The file to which what it prints is appended.
        """
        order = {"run": job, "env": dict(env), "threads": threads, "log": os.path.abspath(log)}
        order["cpus"] = None if cpus is None else list(cpus)
        self._send(order, child_socket)

    def kill(self, job: int) -> None:
        """Send a job's process group SIGTERM, and SIGKILL after the grace."""
        self._send({"kill": job})

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come whole by now, ``forked`` and ``exited``; sets `dead` at the end.

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
        """Return why the server counts as lost, None as long as it does not; to be called all the time."""
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

        For a server that has died, or does not answer. If it has died, what left its job's session may stay
        behind.
        """
        deadline, self._killed = time.monotonic() + patience, True
        if self._process.poll() is None:
            # As long as it is there it adopts orphans, and if it is stopped it starts nothing more.
            processes.kill(self.pid, signal.SIGSTOP)
            while (left := processes.descendants(self.pid)) and time.monotonic() < deadline:
                for pid in left:
                    processes.kill(pid)
                time.sleep(_POLL)
        processes.kill_group(self.pid)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # the kernel may not let it go
            self._process.wait(max(_POLL, deadline - time.monotonic()))
        if not self._closed:
            with suppress(ParameterError):
                self.receive()  # there may be processes that are not known yet
        leaders, self._pids = set(self._pids.values()), {}
        for leader in leaders:
            processes.kill_group(leader)
        while leaders and time.monotonic() < deadline and (left := processes.in_session(leaders)):
            for pid in left:
                processes.kill(pid)
            time.sleep(_POLL)

    def close(self, patience: float | None = None) -> None:
        """End the server, and with it all that it has started. May be called twice.

        Parameters
        ----------
        patience : float, optional
            Seconds after which it is killed; by default as many as it needs on any day.
        """
        if self._closed:
            return
        try:
            if self.ready is not None and not self._killed:  # else it does not listen
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_CLOSE_SECONDS if patience is None else patience)
        finally:  # Ctrl-C may have ended the wait
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
        """Return the lines of one reading."""
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


def _environment(changes: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[str]]:
    """Return the server's environment, and the variables that are not for its jobs."""
    given = {**os.environ, **changes}
    # Libraries must start no threads before the fork.
    variables: dict[str, str | None] = {**given, **thread_variables(1)}
    # Where a file asks for CUDA at its top, PyTorch then asks the driver alone: CUDA survives no fork.
    ours = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    unset = [name for name in ours if given.get(name) is None]
    return {**variables, **{name: ours[name] for name in unset}}, unset
