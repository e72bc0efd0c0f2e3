"""The controller's handle on the warm server."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import proc
from hbsim.executors.spawned import start_python
from hbsim.executors.target import Description, label_of
from hbsim.executors.threads import thread_variables

__all__ = ["ENTRY", "NotLoaded", "Server"]

ENTRY: Final = "hbsim.executors.trial:run"
_CHUNK: Final = 1 << 16
_CLOSE_SECONDS: Final = 10.0  # longer than the server takes to give up
_POLL: Final = 0.01
_LOOK: Final = 0.2
_SOON: Final = 1.0  # seconds in which a process ends that has closed the line
_SERVER: Final = "hbsim.executors.server"


class NotLoaded(ParameterError):
    """The server has ended while it loaded the training function.

    Attributes
    ----------
    killed : bool
        Whether something else has ended it, as a system that has run out of memory does.
    """

    killed = False


class Server:
    """A process that has loaded a training function and starts a process a job.

    Parameters
    ----------
    train : mapping
        Of `hbsim.executors.target.make_target`.
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
    about : Description or None
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
        self.about: Description | None = None
        self._label = label_of(train)
        self._pids: dict[int, int] = {}
        self._buffer = b""
        self._closed = False
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

    def wait_ready(self) -> float:
        """Wait until the server has loaded the function; return the seconds that it took.

        To be called before anything is run.

        Raises
        ------
        ParameterError
            It cannot be loaded.
        """
        while self.ready is None and not self.dead:
            # A look now and then: not every library lets Ctrl-C end a system call that waits.
            if not select.select([self._socket], [], [], _LOOK)[0]:
                continue
            self._socket.settimeout(None)
            self._take()
        if self.ready is None:
            raise self.failure()
        return self.ready

    def failure(self) -> NotLoaded:
        """Return why a server that is dead has never been ready."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SOON)
        self.close()
        code = self._process.returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        error = NotLoaded("train", self._label, f"must load in a process of its own; that ended with {how}")
        error.killed = -code in (signal.SIGKILL, signal.SIGTERM)
        return error

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

    def kill_all(self) -> None:
        """Kill the server and the processes of all jobs, and wait until they are gone.

        For a server that has died, or does not answer. Only what left its job's session may stay behind.
        """
        proc.kill_group(self.pid)
        self._process.kill()
        self._process.wait()
        if not self._closed:
            with suppress(ParameterError):
                self.receive()  # there may be processes that are not known yet
        leaders, self._pids = set(self._pids.values()), {}
        deadline = time.monotonic() + _CLOSE_SECONDS
        for leader in leaders:
            proc.kill_group(leader)
        while leaders and time.monotonic() < deadline and (left := proc.in_session(leaders)):
            for pid in left:
                proc.kill(pid)
            time.sleep(_POLL)

    def close(self, patience: float | None = None) -> None:
        """End the server, and with it all that it has started. May be called twice.

        Parameters
        ----------
        patience : float, optional
            Seconds after which it is killed; by default longer than it takes to give up.
        """
        if self._closed:
            return
        try:
            if self.ready is not None:  # else it does not listen yet
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_CLOSE_SECONDS if patience is None else patience)
        finally:  # Ctrl-C may have ended the wait
            if self._process.poll() is None:
                self.kill_all()
            self._closed = True
            self._socket.close()

    def _send(self, message: Mapping[str, object], passed: socket.socket | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        self._socket.settimeout(None)
        with suppress(BrokenPipeError, ConnectionResetError):  # `receive` says so
            if passed is not None:
                sent = socket.send_fds(self._socket, [data], [passed.fileno()])
                data = data[sent:]
            self._socket.sendall(data)

    def _take(self) -> list[dict[str, Any]]:
        """Return the lines of one reading."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.dead = self.dead or not data
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        messages: list[dict[str, Any]] = [json.loads(line) for line in lines]
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
        elif "ready" in message:
            self.ready, self.about = float(message["ready"]), Description.from_dict(message["about"])


def _environment(changes: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[str]]:
    """Return the server's environment, and the variables that are not for its jobs."""
    given = {**os.environ, **changes}
    # Libraries must start no threads before the fork.
    variables: dict[str, str | None] = {**given, **thread_variables(1)}
    # Where a file asks for CUDA at its top, PyTorch then asks the driver alone: CUDA survives no fork.
    ours = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    unset = [name for name in ours if given.get(name) is None]
    return {**variables, **{name: ours[name] for name in unset}}, unset
