"""A trial's process: what it is given before the training function runs, and how it ends."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import Any, Final, NoReturn, TextIO, cast

from hbsim.executors import proc
from hbsim.executors.threads import limit_threads, thread_variables

__all__ = ["Entry", "Order", "find_entry", "live", "open_log"]

_AT_ONCE: Final = 1e-3  # a timer of 0 seconds never rings
Entry = Callable[[Callable[..., object], socket.socket], int]


@dataclass(frozen=True, slots=True)
class Order:
    """A job as the server is asked to run it.

    Attributes
    ----------
    job : int
        Its number.
    env : dict
        Environment variables; None removes one.
    cpus : list of int or None
        The cores that it may run on; None: those of the server.
    threads : int
        How many threads numerical libraries may compute with.
    log : str
        The file that takes what it prints.
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
    """Return what a trial's process calls, written ``module:function``."""
    module, _, function = name.partition(":")
    return cast(Entry, getattr(import_module(module), function))


def open_log(path: str) -> int:
    """Open a trial's log to append to it; return the file descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def live(
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
        To the controller.
    load : callable
        Returns what to call, and the training function; called when everything is set up.
    grace : float
        Seconds that threads and processes of the job may go on after its function.
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
    finally:  # nothing gets out of here
        _end(code, grace)


def _settle(order: Order, parent: int) -> None:
    proc.die_with_parent(parent)
    proc.adopt_orphans()  # what it leaves behind is then known for its own
    _redirect(order.log)
    _change_environment(order.environment())
    if order.cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cpus)
    limit_threads(order.threads)
    # What was registered before belongs to the server.
    atexit._clear()
    if (processes := sys.modules.get("multiprocessing.util")) is not None:
        atexit.register(processes._exit_function)


def _redirect(log: str) -> None:
    """Let what the trial prints go to its log, line by line."""
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
    """End this process as Python does, but for the server's objects, which stay untouched."""

    def insist(number: int, frame: FrameType | None) -> None:
        os.write(2, b"hbsim: what the trial left running was ended\n")
        os._exit(code)

    with suppress(BaseException):
        signal.signal(signal.SIGALRM, insist)
        signal.setitimer(signal.ITIMER_REAL, max(grace, _AT_ONCE))
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, but for daemons
        atexit._run_exitfuncs()  # waits for what multiprocessing has started, but for daemons
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(code & 0xFF)
