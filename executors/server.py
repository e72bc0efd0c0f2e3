"""The warm server: imports the training function once, then starts, watches and ends a process for each job.

It exchanges JSON lines over a socket. It receives ``run``, with the socket of the job's process, ``kill`` and
``ping``; it sends ``ready`` or ``fatal`` once, ``forked`` and ``exited`` once for each job, and ``pong``. At
the end of file, and when its lease (if any) is over, it kills all processes that it has started.

Before it forks, it loads the libraries that trials will need, and moves its memory into huge pages: a fork
takes time mostly for the copying of page tables.
"""

from __future__ import annotations

import ast
import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NoReturn

from hbsim.errors import ParameterError
from hbsim.executors import processes
from hbsim.executors.job_process import Order, find_entry, run_job, spawn
from hbsim.executors.json_lines import SocketLines, fatal
from hbsim.executors.processes import JobProcesses, Lease
from hbsim.executors.slots import limit_threads
from hbsim.executors.training_function import describe, label_of, load_target, source_of

_HANDLED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_LOOK: Final = 1.0  # seconds between two checks of the lease
_COLLAPSE: Final = 25  # MADV_COLLAPSE, from Linux 6.1 on
_HUGE: Final = 2 << 20  # bytes of a huge page on x86-64 and most ARM systems
_CHUNK: Final = 32 * _HUGE
_LIMIT_SECONDS: Final = 2.0


def main(given: Mapping[str, Any]) -> NoReturn:
    """Serve the controller until the controller has ended.

    Parameters
    ----------
    given : mapping
        From `start_python`, with ``setup`` from `hbsim.executors.server_client.Server`.
    """
    processes.die_with_parent(given["parent"])  # it reads no messages while it imports
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.close(nothing)
    with suppress(OSError):
        os.dup2(2, 1)  # stdout is for the controller's results
    _Server(SocketLines(socket.socket(fileno=given["connection"])), given["setup"], given["parent"]).serve()


class _Server:
    def __init__(self, lines: SocketLines, setup: dict[str, Any], parent: int) -> None:
        self._lines = lines
        self._setup = setup
        self._parent = parent
        self._selector = selectors.DefaultSelector()
        self._descriptors: list[int] = []
        self._processes = JobProcesses()
        self._pid = os.getpid()
        self._lease: Lease | None = None

    def serve(self) -> NoReturn:
        """Load the function, and run jobs until the controller has ended."""
        processes.adopt_orphans()
        status = 0
        # The controller handles Ctrl-C. Handlers, since ignored signals stay ignored in child processes.
        for number in _HANDLED:
            signal.signal(number, _wake)
        try:
            if self._setup["lease"] is not None:
                self._lease = Lease(self._setup["lease"])
            if self._load():
                self._processes.keep_children()
                self._listen()
                self._forget_lease()
        except BaseException:
            traceback.print_exc()
            status = 1
        self._processes.kill_all()
        os._exit(status)

    def _load(self) -> bool:
        before = time.monotonic()
        try:
            about = self._load_function()
        except ParameterError as error:
            self._lines.send(fatal(error))
            return False
        except (Exception, SystemExit) as error:  # a broken library may raise anything
            traceback.print_exc()
            rule = f"must load in a process of its own; {_describe_error(error)}"
            self._lines.send(fatal(ParameterError("train", label_of(self._setup["train"]), rule)))
            return False
        for name in self._setup["unset"]:  # they were only for the import
            os.environ.pop(name, None)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else every trial would print the buffer again
        processes.outlive_parent()
        self._lines.send({"ready": time.monotonic() - before, "about": about})
        return True

    def _load_function(self) -> dict[str, Any]:
        """Load the function before any fork; return its description."""
        target = self._setup["train"]
        self._entry = find_entry(self._setup["entry"])
        self._function = load_target(target)
        about = describe(self._function).as_dict()
        if self._setup["start"] == "fork":
            self._warm_up(target)
        return about

    def _warm_up(self, target: Mapping[str, Any]) -> None:
        warm_up(self._function, source_of(target))
        problem = fork_obstacle()
        if problem is not None:
            text = f'hbsim: importing {label_of(target)} {problem}; if trials hang or fail, use start="spawn"'
            print(text, file=sys.stderr)

    def _listen(self) -> None:
        out, into = os.pipe()
        os.set_blocking(into, False)
        self._descriptors += [out, into]
        signal.signal(signal.SIGCHLD, _wake)  # the function's file may have changed it
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        self._selector.register(self._lines.connection, selectors.EVENT_READ, self._follow_orders)
        self._selector.register(out, selectors.EVENT_READ, lambda: os.read(out, 1 << 12))
        self._watch_parent()
        while not self._lines.closed and not (self._lease is not None and self._lease.expired()):
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._processes.kill_overdue()
            for job, status in self._processes.reap():
                self._lines.send({"exited": job, "status": status})

    def _timeout(self) -> float | None:
        timeout = self._processes.timeout()
        if self._lease is None:
            return timeout
        return _LOOK if timeout is None else min(_LOOK, timeout)

    def _forget_lease(self) -> None:
        if self._lease is not None:  # the process that made the file may have ended
            with suppress(OSError):
                os.unlink(self._setup["lease"])

    def _watch_parent(self) -> None:
        """End when the controller has died, even if a process that it forked keeps the socket open."""
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                descriptor = os.pidfd_open(self._parent)
                self._descriptors.append(descriptor)
                self._selector.register(descriptor, selectors.EVENT_READ, self._lines.close)
        if os.getppid() != self._parent:
            self._lines.close()

    def _follow_orders(self) -> None:
        for line in self._lines.receive():
            if "run" in line:
                order = Order(line["run"], line["env"], line["cpus"], line["threads"], line["log"])
                self._run(order)
            elif "ping" in line:
                self._lines.send({"pong": line["ping"]})
            else:
                self._processes.kill(line["kill"], self._setup["grace"])

    def _run(self, order: Order) -> None:
        start = self._fork if self._setup["start"] == "fork" else partial(spawn, self._setup)
        with socket.socket(fileno=self._lines.descriptor()) as connection:
            try:
                pid = start(order, connection)
            except OSError as error:
                print(f"hbsim: a trial's process cannot be started: {error}", file=sys.stderr)
                self._lines.send({"exited": order.job, "status": 1})
                return
        self._processes.add(order.job, pid)
        self._lines.send({"forked": order.job, "pid": pid})

    def _fork(self, order: Order, connection: socket.socket) -> int:
        # A signal that comes early is kept until the child can take it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if not pid:
            self._become_trial(order, connection, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _become_trial(
        self, order: Order, connection: socket.socket, mask: set[int | signal.Signals]
    ) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in _HANDLED:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            self._lines.connection.close()
            for descriptor in self._descriptors:
                os.close(descriptor)

            def load() -> tuple[Any, Any]:
                limit_threads(order.threads)
                return self._entry, self._function

            run_job(order, self._pid, connection, load, self._setup["grace"])
        except BaseException:
            traceback.print_exc()
        os._exit(1)


def _describe_error(error: BaseException) -> str:
    """Return an error and the place where it was raised, in one line."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text


def _wake(number: int, frame: FrameType | None) -> None:
    """Do nothing: a signal only wakes the server."""


def warm_up(function: Callable[..., object], source: Path | None) -> None:
    """Load the libraries that trials will need, and exclude all objects from garbage collection.

    PyTorch is loaded if the function's file imports it anywhere. There is no backward pass and no CUDA call:
    neither works across a fork.

    Parameters
    ----------
    function : callable
        The training function.
    source : Path, optional
        The function's file.
    """
    if "torch" in sys.modules or uses("torch", function, source):
        with suppress(ImportError):
            _warm_torch()
    gc.collect()
    gc.freeze()  # collections in a trial would touch, and so copy, every page
    use_huge_pages()


def uses(library: str, function: Callable[..., object], source: Path | None) -> bool:
    """Return whether the function, or anything in its file, imports a library."""
    names = set(_imported_by_code(getattr(function, "__code__", None)))
    if source is not None:
        with suppress(OSError, SyntaxError, ValueError):
            names.update(_imported_by_file(source))
    return any(name.partition(".")[0] == library for name in names)


def fork_obstacle() -> str | None:
    """Return why this process should not be forked; None if it may be."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return "has started CUDA, which no forked process can use"
    threads = processes.thread_count()
    if threads > 1:
        return f"has started threads ({threads - 1}), whose locks a forked process may wait for without end"
    return None


def _warm_torch() -> None:
    import torch

    torch.set_num_threads(1)
    # The first optimizer of a process imports torch._dynamo and sympy, which takes most of a second.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).zero_grad()


def _imported_by_file(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _imported_by_code(code: CodeType | None) -> Iterator[str]:
    """Yield the names in the code, which include its imports."""
    if code is not None:
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _imported_by_code(constant)


def use_huge_pages() -> int:
    """Move this process's private memory into huge pages, as far as the system supports it.

    A process with PyTorch loaded is then forked in a third of the time, and its children end faster. Pages to
    which a child writes are copied in small pages as before. Takes about 2 ms a MB, and at most two seconds.

    Returns
    -------
    asked : int
        The bytes that the system was asked to move into huge pages; 0 where it is not Linux.
    """
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(None).madvise
    deadline = time.monotonic() + _LIMIT_SECONDS
    asked = 0
    for start, length in _chunks():
        # An error does no harm: the kernel is older, or there is no free memory in one piece.
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _COLLAPSE)
        asked += length
        if time.monotonic() > deadline:
            break
    return asked


def _chunks() -> Iterator[tuple[int, int]]:
    """Yield addresses and lengths of whole huge pages in anonymous memory."""
    for start, end in _anonymous():
        first, last = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
        for address in range(first, last, _CHUNK):
            yield address, min(_CHUNK, last - address)


def _anonymous() -> list[tuple[int, int]]:
    """Return the begin and end addresses of the private, writable mappings without a file."""
    found = []
    try:
        with open("/proc/self/maps") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    for line in lines:
        span, access, _, _, inode, *name = line.split()
        if access == "rw-p" and inode == "0" and not (name and name[0].startswith("[stack")):
            start, _, end = span.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
