"""Many studies in parallel processes, here or on a Dask cluster; the same numbers for any number of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeAlias, TypeVar

from hbsim.bench.pool_local import AHEAD, Places, Processes, ThisProcess, Useless
from hbsim.bench.pool_remote import Remote

__all__ = ["MakeExecutor", "chunks_of", "default_jobs", "executors", "make_executor", "run_in_turn"]

Item = TypeVar("Item")
Found = TypeVar("Found")
MakeExecutor: TypeAlias = Callable[[], AbstractContextManager[Places]]

_CHUNKS: Final = 8  # a process: few enough to send little, enough that all end at about the same time
_LARGEST: Final = 8  # cells in a chunk, so that progress is seen
_GLANCE: Final = 0.1  # seconds between two looks for Ctrl-C


def default_jobs(cells: int) -> int:
    """Return how many processes serve `cells` studies: one a core, and no more than studies."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cells))


@contextmanager
def make_executor(jobs: int, is_apart: bool = False) -> Iterator[Places]:
    """Give an executor for functions of a module, whose arguments and results can be pickled.

    Nothing that it runs outlives it: if the block is left by an exception, its processes are ended.

    Parameters
    ----------
    jobs : int
        How many processes of this machine; 1 runs everything in this one, while it is submitted.
    is_apart : bool
        Whether 1 too is a process of its own, which may die.
    """
    if jobs == 1 and not is_apart:
        yield ThisProcess()
        return
    pool = Processes(jobs)
    try:
        yield pool
    except BaseException:
        pool.end()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def executors(
    jobs: int,
    remote: Remote | None = None,
    is_apart: bool = False,
) -> Iterator[MakeExecutor]:
    """Give what makes an executor, again and again: of this machine, or of a Dask cluster.

    Parameters
    ----------
    jobs, is_apart
        As for `make_executor`.
    remote : Remote, optional
        The cluster whose workers run all in place of this machine; if it is started for this, it ends with
        the block. Of what runs on a cluster only the results are dropped when an executor is left.

    Raises
    ------
    ParameterError
        Dask is not installed, or the cluster cannot be started. When an executor is made: no scheduler
        answers in 10 seconds, or the cluster has other versions, or lacks a file.
    """
    if remote is None:
        yield partial(make_executor, jobs, is_apart)
        return
    from hbsim.bench.pool_dask import cluster

    with cluster(remote) as make:
        yield make


def chunks_of(items: Sequence[Item], make: MakeExecutor) -> list[tuple[Item, ...]]:
    """Cut items into chunks to be handed out, for as many as run at once now.

    Parameters
    ----------
    items : sequence
        All.
    make : callable
        Makes an executor.
    """
    if not items:
        return []
    with make() as executor:
        places = max(1, executor.ahead() // (1 if isinstance(executor, ThisProcess) else AHEAD))
    size = max(1, min(_LARGEST, len(items) // (places * _CHUNKS)))
    return [tuple(items[at : at + size]) for at in range(0, len(items), size)]


def run_in_turn(
    make: MakeExecutor,
    function: Callable[[Item], Found],
    items: Iterable[Item],
    ahead: int | None = None,
) -> Iterator[tuple[Item, Found | BaseException]]:
    """Call a function with every item.

    When a process dies, all that had been handed out is run again, each item alone; so an item that takes
    its process with it costs the others nothing but time.

    Parameters
    ----------
    make : callable
        Makes an executor, as `executors` gives it; again after a process has died.
    function : callable
        Called with one item; a function of a module, or a `partial` of one.
    items : iterable
        Read as they are handed out.
    ahead : int, optional
        How many are handed out at a time, at most; by default three for each that can run.

    Yields
    ------
    item, found
        As they are finished: what the function returned, or the exception that it raised; for an item
        whose process died though it ran alone, a BrokenProcessPool that says how.

    Raises
    ------
    ParameterError
        As `executors`; also later, when the Dask scheduler is gone, or a worker that came has other versions.
    """
    rest = iter(items)
    while broken := (yield from _until_broken(make, function, rest, ahead)):
        rest = chain(broken.not_begun, rest)
        alone = iter(broken.in_flight)
        while broken := (yield from _until_broken(make, function, alone, 1)):
            yield from ((item, broken.error) for item in broken.in_flight)
            alone = chain(broken.not_begun, alone)


@dataclass
class _Broken(Generic[Item]):
    """A process has died: what had been handed out then, what was about to be, and how it was."""

    in_flight: list[Item] = field(default_factory=list)
    not_begun: list[Item] = field(default_factory=list)
    cause: BrokenExecutor = field(default_factory=BrokenExecutor)
    how: str = ""

    @property
    def error(self) -> BrokenProcessPool:
        """What is told of an item that was alone."""
        return BrokenProcessPool("its process ended without a result" + (self.how and f" ({self.how})"))


def _until_broken(
    make: MakeExecutor, function: Callable[[Item], Found], items: Iterator[Item], ahead: int | None
) -> Generator[tuple[Item, Found | BaseException], None, _Broken[Item] | None]:
    """Give what `run_in_turn` gives; return None when all is done, or what is not when a process has died."""
    broken: _Broken[Item] = _Broken()
    is_broken = False
    with make() as executor:
        handed = _Handed(executor, function)
        while True:
            if not is_broken:
                broken.not_begun = handed.fill(items, _most(executor, ahead))
                is_broken = bool(broken.not_begun)
            if not handed.running:
                break
            item, found = handed.next()
            if isinstance(found, BrokenExecutor):
                is_broken, broken.cause = True, found
                broken.in_flight.append(item)
            elif isinstance(found, Useless):
                raise found.error
            else:
                yield item, found
    broken.how = executor.ending(broken.cause)
    return broken if is_broken else None


def _most(executor: Places, ahead: int | None) -> int:
    # In this process all that is handed out is done before any of it is seen.
    return executor.ahead() if ahead is None or isinstance(executor, ThisProcess) else ahead


class _Handed(Generic[Item, Found]):
    """What an executor has been given and has not given back."""

    def __init__(self, executor: Places, function: Callable[[Item], Found]) -> None:
        self.running: dict[Future[Found], Item] = {}
        self._executor, self._function = executor, function
        self._done: SimpleQueue[Future[Found]] = SimpleQueue()

    def fill(self, items: Iterator[Item], most: int) -> list[Item]:
        """Hand out items while there are fewer than `most`; return what a broken executor refused."""
        for item in islice(items, max(0, most - len(self.running))):
            try:
                future = self._executor.submit(self._function, item)
            except BrokenExecutor:
                return [item]
            self.running[future] = item
            future.add_done_callback(self._done.put)
        return []

    def next(self) -> tuple[Item, Found | BaseException]:
        """Wait for the next one to be finished; those that are finished come in that order."""
        while True:
            future = self._finished()
            if future in self.running:
                error = future.exception()
                return self.running.pop(future), future.result() if error is None else error
            if future is None and self._executor.is_gone():
                return self.running.popitem()[1], BrokenExecutor()
            self._executor.glance()

    def _finished(self) -> Future[Found] | None:
        # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
        with suppress(Empty):
            return self._done.get(timeout=_GLANCE)
        return None
