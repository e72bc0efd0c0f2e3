"""A pool that runs many calls in parallel, on this machine or on others, with the same results."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hbsim.executors.slots import THREAD_VARIABLES

if TYPE_CHECKING:
    from hbsim.bench.remote import Remote

Item = TypeVar("Item")
Found = TypeVar("Found")

AHEAD: Final = 3  # calls handed out for each place, so that no process waits for its next call
CHUNKS: Final = 8  # chunks a process: few, to send little, but enough that all end at about the same time
LARGEST: Final = 8  # the most items in a chunk, so that progress is shown often
POLL: Final = 0.1  # seconds between two checks for Ctrl-C
CLOSING: Final = 5.0  # seconds to wait for things that should take no time

# There is a process for each core: threads that libraries start beside it would only wait for each other.
THREADS: Final = ("POLARS_MAX_THREADS", *THREAD_VARIABLES)


def default_jobs(items: int) -> int:
    """Return the number of processes for this many items: one a core, and no more than items."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, items))


class Workers:
    """The interface of whatever runs a pool's calls: this process, other processes, hosts or a cluster."""

    pause = POLL  # the most seconds between two calls of `poll` while no result arrives

    def places(self) -> int:
        """Return how many calls run at once now; 0 if they run while they are handed out."""
        return 0

    def call(self, function: Callable[[Item], Found], item: Item) -> Future[Found]:
        """Hand out a call; raise a BrokenExecutor if that cannot be done any more."""
        raise NotImplementedError

    def poll(self) -> None:
        """Check the state of the workers.

        Raises
        ------
        BrokenExecutor
            No result will arrive any more, not even an error.
        ParameterError
            Hosts or a cluster cannot be used.
        """

    def error(self, done: Future[Any]) -> BaseException | None:
        """Return the exception of a call; raise a ParameterError if the call was not at fault."""
        return done.exception()

    def ending(self, cause: BaseException) -> str:
        """Return how a process ended, in a few words, after a call got `cause`; empty if it is unknown."""
        return str(cause)


class Pool:
    """A caller of functions on many items, whose workers are replaced when a process has died.

    Parameters
    ----------
    open_workers : callable
        Returns a context manager that gives `Workers`.
    """

    def __init__(self, open_workers: Callable[[], AbstractContextManager[Workers]]) -> None:
        self._open = open_workers

    def chunks(self, items: Sequence[Item]) -> list[tuple[Item, ...]]:
        """Cut items into chunks of a size that suits the number of calls that can run at once."""
        if not items:
            return []
        with self._open() as workers:
            places = max(1, workers.places())
        size = max(1, min(LARGEST, len(items) // (places * CHUNKS)))
        return [tuple(items[at : at + size]) for at in range(0, len(items), size)]

    def imap(
        self, function: Callable[[Item], Found], items: Iterable[Item], ahead: int | None = None
    ) -> Iterator[tuple[Item, Found | BaseException]]:
        """Call a function with every item.

        When a process dies, all items that had been handed out run again, one at a time. So an item that
        kills its process costs the others nothing but time.

        Parameters
        ----------
        function : callable
            Called with one item: a function of a module, or a `partial` of one.
        items : iterable
            The items, which are read as they are handed out.
        ahead : int, optional
            The most items handed out at a time; by default three for each call that can run.

        Yields
        ------
        item, found
            Each item once it is finished, with what the function returned or the exception it raised. For an
            item whose process died though it ran alone, a BrokenProcessPool that says how.

        Raises
        ------
        ParameterError
            All hosts or the Dask scheduler have gone, or one has other versions or lacks a file.
        """
        rest = iter(items)
        while lost := (yield from self._run(function, rest, ahead)):
            alone = iter([item for item, _ in lost])
            while died := (yield from self._run(function, alone, 1)):
                yield from died

    def _run(
        self, function: Callable[[Item], Found], items: Iterator[Item], ahead: int | None
    ) -> Generator[tuple[Item, Found | BaseException], None, list[tuple[Item, BrokenProcessPool]]]:
        """Yield what `imap` yields, until all is done or a process has died; return the lost items."""
        running: dict[Future[Found], Item] = {}
        done: SimpleQueue[Future[Found]] = SimpleQueue()
        lost: list[Item] = []
        cause: BrokenExecutor | None = None
        with self._open() as workers:
            while True:
                most = AHEAD * workers.places() or 1
                free = 0 if cause else max(0, (most if ahead is None else min(ahead, most)) - len(running))
                for item in islice(items, free):
                    try:
                        future = workers.call(function, item)
                    except BrokenExecutor as problem:
                        cause = problem
                        lost.append(item)
                        break
                    running[future] = item
                    future.add_done_callback(done.put)
                if not running:
                    break
                try:
                    finished = _next(done, workers)
                except BrokenExecutor as problem:
                    cause = cause or problem
                    lost += running.values()
                    break
                item, raised = running.pop(finished), workers.error(finished)
                if isinstance(raised, BrokenExecutor):
                    cause = cause or raised
                    lost.append(item)
                else:
                    yield item, finished.result() if raised is None else raised
        if cause is None:
            return []
        how = workers.ending(cause)  # known once its processes have ended
        error = BrokenProcessPool(f"its process ended without a result{f' ({how})' if how else ''}")
        return [(item, error) for item in lost]


def _next(done: SimpleQueue[Future[Found]], workers: Workers) -> Future[Found]:
    # Many short waits: one endless wait would miss Ctrl-C, as Polars' handler has SA_RESTART.
    while True:
        with suppress(Empty):
            return done.get(timeout=workers.pause)
        try:
            workers.poll()
        except BrokenExecutor:
            with suppress(Empty):
                return done.get_nowait()
            raise


@contextmanager
def open_pool(jobs: int, remote: Remote | None = None, isolated: bool = False) -> Iterator[Pool]:
    """Open a pool. Its calls end with the block, also if the block is left by an exception.

    Parameters
    ----------
    jobs : int
        How many processes of this machine; 1 runs everything in this process.
    remote : Remote, optional
        The hosts, or the Dask cluster, that run all calls in place of this machine. Processes that are
        started on hosts end with the block.
    isolated : bool
        Whether even a single job runs in a separate process, which may die.

    Raises
    ------
    ParameterError
        A package is missing, or no host can be used. When the pool is used: no scheduler answers in 10
        seconds, or a host or the cluster has other versions, or lacks a file.
    """
    if remote is not None:
        from hbsim.executors.remote.options import Hosts

        if isinstance(remote.options, Hosts):
            from hbsim.bench.pool_ssh import open_hosts as open_others
        else:
            from hbsim.bench.pool_dask import open_cluster as open_others
        with open_others(remote) as open_workers:
            yield Pool(open_workers)
    elif jobs == 1 and not isolated:
        yield Pool(lambda: nullcontext(_ThisProcess()))
    else:
        yield Pool(partial(_processes, jobs))


class _ThisProcess(Workers):
    """Workers that run each call at once in this process; Ctrl-C reaches the caller."""

    def call(self, function: Callable[[Item], Found], item: Item) -> Future[Found]:
        future: Future[Found] = Future()
        try:
            future.set_result(function(item))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _processes(jobs: int) -> Iterator[Processes]:
    pool = Processes(jobs)
    try:
        yield pool
    except BaseException:
        pool.end()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Processes(ProcessPoolExecutor, Workers):
    """Workers in new processes, which are started when needed and leave Ctrl-C to this process."""

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, multiprocessing.get_context("spawn"), initializer=_leave_with_parent)
        self._jobs = jobs
        self._children: set[BaseProcess] = set()

    def places(self) -> int:
        """Return how many processes there are."""
        return self._jobs

    def poll(self) -> None:
        """Raise a BrokenExecutor if a process has died."""
        # The executor notices that a process it has just started died only at the next result.
        if any(process.exitcode is not None for process in self._children):
            raise BrokenExecutor

    def call(self, function: Callable[[Item], Found], item: Item) -> Future[Found]:
        """Hand out a call."""
        before = set(multiprocessing.active_children())
        try:
            with _for_children():
                return self.submit(function, item)
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
        if thread is not None:  # else Python writes at exit into a pipe that the pool's thread closes then
            thread.join(CLOSING)

    def ending(self, cause: BaseException) -> str:
        """Return how a process ended."""
        # The first signal or exit code that the executor did not cause itself.
        codes = [process.exitcode for process in self._children]
        own = [code for code in codes if code not in (None, 0, -signal.SIGTERM)]
        if own:
            return _how(own[0])
        if cause.__cause__ is not None:  # the last line of a traceback
            return str(cause.__cause__).strip().removesuffix("'''").strip().rpartition("\n")[2]
        return _how(-signal.SIGTERM) if -signal.SIGTERM in codes else ""


def _leave_with_parent() -> None:
    """End this process when its parent has died without ending it, for example by ``kill -9``."""
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
    """Set up the start of processes that have one thread each, ignore Ctrl-C, and do not run this script."""
    main = sys.modules["__main__"].__dict__
    hidden: dict[str, object] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    kept = {name: os.environ[name] for name in THREADS if name in os.environ}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        main.update(hidden)
        for name in THREADS:
            del os.environ[name]
        os.environ.update(kept)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
