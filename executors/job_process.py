"""A job's process, forked or started anew: its setup before the training function, and its end."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NoReturn, TextIO, cast

from hbsim.errors import ParameterError
from hbsim.executors import processes
from hbsim.executors.json_lines import dump_line, fatal
from hbsim.executors.slots import limit_threads, thread_variables
from hbsim.executors.training_function import load_target

_AT_ONCE: Final = 1e-3  # a timer of 0 seconds never rings
Entry = Callable[[Callable[..., object], socket.socket], int]
_ROOT: Final = str(Path(str(sys.modules["hbsim"].__file__)).parents[1])
# Isolated from the working directory and from the script's folder, whose files may be named like modules of
# the standard library: hbsim is loaded first, then `load_target` sets the script's module path.
_CODE: Final = (
    "import json, sys; given = json.load(sys.stdin); sys.path.insert(0, given['home']); import hbsim;"
    " del sys.path[0]; sys.path += [entry for entry in given['path'] if entry not in sys.path];"
    " from importlib import import_module; import_module(given['module']).main(given)"
)


@dataclass(frozen=True, slots=True)
class Order:
    """A job that the server has to run.

    Attributes
    ----------
    job : int
        The job's number.
    env : dict
        Environment variables; None removes one.
    cpus : list of int or None
        The cores on which it may run; None: those of the server.
    threads : int
        The number of threads with which numerical libraries may compute.
    log : str
        The file that takes the job's output.
    """

    job: int
    env: dict[str, str | None]
    cpus: list[int] | None
    threads: int
    log: str

    def environment(self) -> dict[str, str | None]:
        """Return the environment variables to change; None removes one."""
        return {**thread_variables(self.threads), **self.env}


def find_entry(name: str) -> Entry:
    """Return the function that a trial's process calls, given as ``module:function``."""
    module, _, function = name.partition(":")
    return cast(Entry, getattr(import_module(module), function))


def open_log(path: str) -> int:
    """Open a trial's log to append to it; return the file descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def run_job(
    order: Order, parent: int, connection: socket.socket, load: Callable[[], tuple[Entry, Any]], grace: float
) -> NoReturn:
    """Run a job in this process, which is new, and end the process.

    Parameters
    ----------
    order : Order
        The job.
    parent : int
        The server's process id.
    connection : socket.socket
        The connection to the controller.
    load : callable
        Returns the function to call, and the training function; called when everything is set up.
    grace : float
        Seconds for which threads and processes of the job may go on after its function.
    """
    code = 1
    try:
        _settle(order, parent)
        entry, function = load()
        code = entry(function, connection)
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException:
        traceback.print_exc()
    finally:  # no exception leaves this function
        _end(code, grace)


def _settle(order: Order, parent: int) -> None:
    processes.die_with_parent(parent)
    processes.adopt_orphans()  # the processes that it leaves behind can then be attributed to it
    _redirect(order.log)
    _change_environment(order.environment())
    if order.cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cpus)
    limit_threads(order.threads)
    # Functions that were registered before belong to the server.
    atexit._clear()
    if (utilities := sys.modules.get("multiprocessing.util")) is not None:
        atexit.register(utilities._exit_function)


def _redirect(log: str) -> None:
    """Redirect the trial's output to its log, line by line."""
    descriptor = open_log(log)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, source in ((0, nothing), (1, descriptor), (2, descriptor)):
        os.dup2(source, number)
    os.close(descriptor)
    os.close(nothing)
    sys.stdout = _line_by_line(sys.__stdout__, 1)
    sys.stderr = _line_by_line(sys.__stderr__, 2)


def _line_by_line(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:  # the server was started without
        stream = open(number, "w", closefd=False)  # noqa: SIM115 (open as long as the process)
    stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[attr-defined]
    return stream


def _change_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _end(code: int, grace: float) -> NoReturn:
    """End this process as Python does, but without touching the server's objects."""

    def insist(number: int, frame: FrameType | None) -> None:
        os.write(2, b"hbsim: what the trial left running was ended\n")
        os._exit(code)

    with suppress(BaseException):
        signal.signal(signal.SIGALRM, insist)
        signal.setitimer(signal.ITIMER_REAL, max(grace, _AT_ONCE))
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, but for daemons
        atexit._run_exitfuncs()  # waits for processes of multiprocessing, except daemons
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(code & 0xFF)


def start_python(
    module: str,
    given: Mapping[str, object],
    path: Sequence[str],
    connection: socket.socket,
    environment: Mapping[str, str | None],
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a Python process in a session of its own; it calls ``main`` of a module of hbsim.

    Parameters
    ----------
    module : str
        The module.
    given : mapping
        The argument of ``main``, in plain JSON types; ``parent``, this process's id, and ``connection``, the
        connection's file descriptor, are added.
    path : sequence of str
        The module path for modules that belong neither to Python nor to hbsim.
    connection : socket.socket
        Passed on to the process.
    environment : mapping
        The process's environment variables; None leaves one out.
    output : int, optional
        The file for its output and errors; by default that of this process.

    Raises
    ------
    OSError
        The process cannot be started.
    """
    sent = {**given, "module": module, "home": _ROOT, "path": list(path)}
    sent |= {"parent": os.getpid(), "connection": connection.fileno()}
    with tempfile.TemporaryFile("w+") as file:  # a pickled function may be larger than a pipe
        json.dump(sent, file)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, module],  # its name shows among processes
            stdin=file,
            stdout=output,
            stderr=output,
            env={name: value for name, value in environment.items() if value is not None},
            pass_fds=[connection.fileno()],
            start_new_session=True,  # Ctrl-C is the controller's
        )


def spawn(setup: Mapping[str, Any], order: Order, connection: socket.socket) -> int:
    """Start a job's process; return the process's id. The caller waits for the process's end.

    Parameters
    ----------
    setup : mapping
        The server's setup: ``train``, ``entry`` and ``grace``.
    order : Order
        The job.
    connection : socket.socket
        Passed on to the process.
    """
    given = {"setup": setup, "order": asdict(order)}
    environment = {**os.environ, **order.environment()}
    log = open_log(order.log)
    try:
        path = setup["train"]["path"]
        process = start_python(__name__, given, path, connection, environment, log)
    finally:
        os.close(log)
    process.returncode = 0  # the server waits for all its children in the same way
    return process.pid


def main(given: Mapping[str, Any]) -> NoReturn:
    """Run the job that `spawn` has described, in the process that `spawn` has started."""
    connection = socket.socket(fileno=given["connection"])
    connection.set_inheritable(False)

    def load() -> tuple[Entry, Any]:
        setup = given["setup"]
        try:
            return find_entry(setup["entry"]), load_target(setup["train"])
        except ParameterError as error:
            connection.sendall(dump_line(fatal(error)))
            raise

    run_job(Order(**given["order"]), given["parent"], connection, load, given["setup"]["grace"])
