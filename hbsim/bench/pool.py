"""Many studies at once, in processes of this machine or of others, with the same results."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote

__all__ = ["AHEAD", "Places", "Pool", "default_jobs", "open_pool"]

P = ParamSpec("P")
Item = TypeVar("Item")
Found = TypeVar("Found")

AHEAD: Final = 3  # calls handed out for each that can run, so that no process waits for the next one
CHUNKS: Final = 8  # for each process: few enough to send little, enough that all end at about the same time
LARGEST: Final = 8  # items in a chunk, so that progress is seen
POLL: Final = 0.1  # seconds between two looks for Ctrl-C
CLOSING: Final = 5.0  # seconds for what is to take none

# There is a process for each core: threads that libraries start beside it would only wait for each other.
THREADS: Final = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def default_jobs(items: int) -> int:
    """Return how many processes serve this many items: one a core, and no more than items."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, items))


class Places(Executor):
    """An executor that says how much it can do at once, and how it broke."""

    @abstractmethod
    def places(self) -> int:
        """Return how many calls run at once now; 0 if they run while they are submitted."""

    def poll(self) -> None:
        """Look after the executor; called some times a second while nothing comes back.

        Raises
        ------
        BrokenExecutor
            Nothing will come back any more, not even an error.
        """

    def ending(self, cause: BaseException) -> str:
        """Return how a process ended, in a few words, after a call got `cause`; empty if it is unknown."""
        return str(cause)


class _Broken(NamedTuple, Generic[Item]):
    """What an executor that broke had been given and has not done, and why it broke."""

    items: list[Item]
    error: BrokenProcessPool


class Pool:
    """Calls functions with many items, on executors that are made anew when a process has died.

    Parameters
    ----------
    open_executor : callable
        Returns a context manager that gives an executor.
    """

    def __init__(self, open_executor: Callable[[], AbstractContextManager[Places]]) -> None:
        self._open = open_executor

    def chunks(self, items: Sequence[Item]) -> list[tuple[Item, ...]]:
        """Cut items into chunks of a size that suits what can run at once now."""
        if not items:
            return []
        with self._open() as executor:
            places = max(1, executor.places())
        size = max(1, min(LARGEST, len(items) // (places * CHUNKS)))
        return [tuple(items[at : at + size]) for at in range(0, len(items), size)]

    def imap(
        self, function: Callable[[Item], Found], items: Iterable[Item], ahead: int | None = None
    ) -> Iterator[tuple[Item, Found | BaseException]]:
        """Call a function with every item.

        When a process dies, all that had been handed out runs again, each item alone. So an item that takes
        its process with it costs the others nothing but time.

        Parameters
        ----------
        function : callable
            Called with one item: a function of a module, or a `partial` of one.
        items : iterable
            Read as they are handed out.
        ahead : int, optional
            How many are handed out at a time, at most; by default three for each that can run.

        Yields
        ------
        item, found
            As they are finished: what the function returned, or the exception that it raised. For an item
            whose process died though it ran alone, a BrokenProcessPool that says how.

        Raises
        ------
        ParameterError
            All hosts or the Dask scheduler have gone, or one has other versions or lacks a file.
        """
        rest = iter(items)
        while broken := (yield from self._run(function, rest, ahead)):
            alone = iter(broken.items)
            while died := (yield from self._run(function, alone, 1)):
                yield from ((item, died.error) for item in died.items)

    def _run(
        self, function: Callable[[Item], Found], items: Iterator[Item], ahead: int | None
    ) -> Generator[tuple[Item, Found | BaseException], None, _Broken[Item] | None]:
        """Give what `imap` gives, until all is done (None) or a process has died."""
        running: dict[Future[Found], Item] = {}
        done: SimpleQueue[Future[Found]] = SimpleQueue()
        lost: list[Item] = []
        cause: BrokenExecutor | None = None
        with self._open() as executor:
            while True:
                most = AHEAD * executor.places() or 1
                free = 0 if cause else max(0, (most if ahead is None else min(ahead, most)) - len(running))
                for item in islice(items, free):
                    try:
                        future = executor.submit(function, item)
                    except BrokenExecutor as error:
                        cause = error
                        lost.append(item)
                        break
                    running[future] = item
                    future.add_done_callback(done.put)
                if not running:
                    break
                try:
                    finished = _next(done, executor)
                except BrokenExecutor as error:
                    cause = cause or error
                    lost += running.values()
                    break
                item, raised = running.pop(finished), finished.exception()
                if isinstance(raised, BrokenExecutor):
                    cause = cause or raised
                    lost.append(item)
                elif isinstance(raised, Useless):
                    raise raised.error
                else:
                    yield item, finished.result() if raised is None else raised
        if cause is None:
            return None
        how = executor.ending(cause)  # known once its processes have ended
        text = f"its process ended without a result{f' ({how})' if how else ''}"
        return _Broken(lost, BrokenProcessPool(text))


def _next(done: SimpleQueue[Future[Found]], executor: Places) -> Future[Found]:
    # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
    while True:
        with suppress(Empty):
            return done.get(timeout=POLL)
        try:
            executor.poll()
        except BrokenExecutor:
            with suppress(Empty):
                return done.get_nowait()
            raise


class Useless(Exception):
    """What a call gets whose place cannot run anything: the fault is not the item's.

    Parameters
    ----------
    error : HbsimError
        What the user is told.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def open_pool(jobs: int, remote: Remote | None = None, isolated: bool = False) -> Iterator[Pool]:
    """Give a pool. What it runs ends with the block, also if the block is left by an exception.

    Parameters
    ----------
    jobs : int
        How many processes of this machine; 1 runs everything in this process.
    remote : Remote, optional
        The hosts, or the Dask cluster, that run all in place of this machine. Processes that are started on
        hosts end with the block.
    isolated : bool
        Whether 1 job is a process of its own, too, which may die.

    Raises
    ------
    ParameterError
        A package is missing, or no host can be used. When the pool is used: no scheduler answers in 10
        seconds, or a host or the cluster has other versions, or lacks a file.
    """
    if remote is not None:
        from hbsim.executors.remote.options import Hosts

        if isinstance(remote.options, Hosts):
            from hbsim.bench.pool_ssh import processes_of_hosts as others
        else:
            from hbsim.bench.pool_dask import cluster as others
        with others(remote) as open_executor:
            yield Pool(open_executor)
    elif jobs == 1 and not isolated:
        yield Pool(lambda: nullcontext(_ThisProcess()))
    else:
        yield Pool(partial(_processes, jobs))


class _ThisProcess(Places):
    """Runs what it is given at once; Ctrl-C goes on to the caller."""

    def places(self) -> int:
        return 0

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
        future: Future[Found] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _processes(jobs: int) -> Iterator[_Processes]:
    pool = _Processes(jobs)
    try:
        yield pool
    except BaseException:
        pool.end()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Processes(ProcessPoolExecutor, Places):
    """New processes, started as they are needed, which leave Ctrl-C to this one."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, multiprocessing.get_context("spawn"), initializer=_leave_with_parent)
        self._jobs = jobs
        self._children: set[BaseProcess] = set()

    def places(self) -> int:
        return self._jobs

    def poll(self) -> None:
        # The pool itself sees the death of a process that it has just started only at the next result.
        if any(process.exitcode is not None for process in self._children):
            raise BrokenExecutor

    def submit(self, function: Callable[P, Found], /, *args: P.args, **kwargs: P.kwargs) -> Future[Found]:
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
            thread.join(CLOSING)

    def ending(self, cause: BaseException) -> str:
        # The first signal or exit code that the pool itself has not caused.
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
    """Start processes that have one thread each, leave Ctrl-C to this one, and do not run its script."""
    main = sys.modules["__main__"].__dict__
    hidden: dict[str, object] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    kept = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    blockable = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blockable else set()
    try:
        yield
    finally:
        main.update(hidden)
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if blockable:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
