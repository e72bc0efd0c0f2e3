"""Where work runs on this machine: in this process, or in processes of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final, ParamSpec, TypeVar

from hbsim.errors import HbsimError

__all__ = ["AHEAD", "Places", "Processes", "ThisProcess", "Useless"]

P = ParamSpec("P")
Found = TypeVar("Found")

# Each process has one thread: the processes are the parallelism.
_THREADS: Final = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
AHEAD: Final = 3  # calls for each that can run
_CLOSING: Final = 5.0  # seconds for what is to take none


class Useless(Exception):
    """What a call gets whose place cannot run any: the fault is not the item's.

    Parameters
    ----------
    error : HbsimError
        What to tell.
    """

    def __init__(self, error: HbsimError) -> None:
        super().__init__(str(error))
        self.error = error


class Places(Executor):
    """An executor that says how much it can do, whether it is there, and how it broke."""

    def is_gone(self) -> bool:
        """Return whether nothing will come back from it anymore, not even an error."""
        return False

    def glance(self) -> None:
        """See to what has to be seen to while nothing comes back; called some times a second."""

    @abstractmethod
    def ahead(self) -> int:
        """Return how many calls are to be handed out, so that nobody waits for the next one."""

    @abstractmethod
    def ending(self, cause: BaseException) -> str:
        """Return how a process ended, in a few words, none if nobody knows; for after the shutdown.

        Parameters
        ----------
        cause : BrokenExecutor
            What a call of it got.
        """


class ThisProcess(Places):
    """Runs what it is given at once; Ctrl-C goes on to the caller."""

    def ahead(self) -> int:
        """Return 1: it is done before the next could be handed out."""
        return 1

    def ending(self, cause: BaseException) -> str:
        """Return what was raised: some other pool broke."""
        return str(cause)

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Return a future that is done."""
        future: Future[Found] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ProcessPoolExecutor, Places):
    """New processes, started as they are needed, which leave Ctrl-C to this one.

    Parameters
    ----------
    jobs : int
        How many at most.
    """

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, multiprocessing.get_context("spawn"), initializer=_leave_with_parent)
        self._jobs = jobs
        self._children: set[BaseProcess] = set()

    def is_gone(self) -> bool:
        """Return whether a process has died: the pool itself sees a new one's death at the next result."""
        return any(process.exitcode is not None for process in self._children)

    def ahead(self) -> int:
        """Return three for each process."""
        return AHEAD * self._jobs

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        """Hand something out, and start a process for it if none is idle."""
        before = set(multiprocessing.active_children())
        try:
            with _for_children():
                return super().submit(function, *args, **kwargs)
        finally:
            self._children |= set(multiprocessing.active_children()) - before

    def end(self) -> None:
        """End all processes, whatever they are doing."""
        thread: threading.Thread | None = getattr(self, "_executor_manager_thread", None)
        self.shutdown(wait=False, cancel_futures=True)
        for process in self._children:
            process.terminate()
        for process in self._children:
            process.join()
        if thread is not None:  # or Python, as it ends, writes into a pipe that the pool's thread closes then
            thread.join(_CLOSING)

    def ending(self, cause: BaseException) -> str:
        """Return the first process's signal or exit code that the pool itself has not caused."""
        codes = [process.exitcode for process in self._children]
        own = [code for code in codes if code not in (None, 0, -signal.SIGTERM)]
        if own:
            return _how(own[0])
        if cause.__cause__ is not None:  # the last line of a traceback
            return str(cause.__cause__).strip().removesuffix("'''").strip().rpartition("\n")[2]
        return _how(-signal.SIGTERM) if -signal.SIGTERM in codes else ""


def _leave_with_parent() -> None:
    """End this process when its parent has died, of ``kill -9`` say, and could not end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    names = {member.value: f", {member.name}" for member in signal.Signals}
    return f"signal {-code}{names.get(-code, '')}"


@contextmanager
def _for_children() -> Iterator[None]:
    """Start processes that have one thread each, and leave Ctrl-C to this one."""
    kept = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    blockable = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blockable else set()
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if blockable:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
