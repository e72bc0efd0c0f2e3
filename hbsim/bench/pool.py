"""Many studies in parallel processes, here or on a Dask cluster; the same numbers for any number of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, islice
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeAlias, TypeVar

from hbsim.bench.cells import Cell, run_cell
from hbsim.bench.plan import Plan
from hbsim.bench.pool_local import Places, Processes, ThisProcess
from hbsim.errors import HbsimWarning
from hbsim.surrogates import Surrogate

__all__ = ["MakeExecutor", "default_jobs", "make_executor", "run_cells", "run_in_turn"]

Item = TypeVar("Item")
Found = TypeVar("Found")
MakeExecutor: TypeAlias = Callable[[], AbstractContextManager[Places]]

_CHUNKS: Final = 8  # a process: few enough to send little, enough that all end at about the same time
_LARGEST: Final = 8  # cells in a chunk, so that progress is seen
_GLANCE: Final = 0.1  # seconds between two looks for Ctrl-C

_numbers = count()
_kept: tuple[str, Surrogate] | None = None  # the curves of the run that this process works for


def default_jobs(cells: int) -> int:
    """Return how many processes serve `cells` studies: one a core, and no more than studies."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cells))


@contextmanager
def make_executor(jobs: int, scheduler_address: str | None = None) -> Iterator[Places]:
    """Give an executor for functions of a module, whose arguments and results can be pickled.

    Nothing that it runs outlives it: if the block is left by an exception, its processes are ended. Of
    what runs on a Dask cluster only the results are dropped.

    Parameters
    ----------
    jobs : int
        How many processes of this machine; 1 runs everything in this one, while it is submitted.
    scheduler_address : str, optional
        Of a Dask scheduler, ``tcp://HOST:8786``, whose workers run it in place of these. They need hbsim;
        one thread each (``--nthreads 1``) is best.

    Raises
    ------
    ParameterError
        Field ``scheduler_address``: Dask is not installed, or no scheduler answers there in 10 seconds.
    """
    if scheduler_address is not None:
        from hbsim.bench.pool_dask import connected

        with connected(scheduler_address) as cluster:
            yield cluster
        return
    if jobs == 1:
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
        Makes an executor, as ``partial(make_executor, jobs)``; again after a process has died.
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
        As `make_executor`; also later, when the Dask scheduler is gone.
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

    def _finished(self) -> Future[Found] | None:
        # Not one wait without end: it would not see Ctrl-C, whose handler is Polars' (with SA_RESTART).
        with suppress(Empty):
            return self._done.get(timeout=_GLANCE)
        return None


def run_cells(plan: Plan, surrogate: Surrogate, jobs: int) -> Iterator[Cell]:
    """Simulate every cell of a plan, in any order.

    Parameters
    ----------
    plan : Plan
        What to run.
    surrogate : Surrogate
        Its learning curves, for this process.
    jobs : int
        How many processes; 1 runs them in this one.

    Yields
    ------
    Cell
        As they are finished. If the iteration is ended early, so are the processes.

    Raises
    ------
    BrokenProcessPool
        A process died, and another one of the same studies when nothing ran beside it.
    """
    cells = plan.cells
    size = 1 if jobs == 1 else max(1, min(_LARGEST, len(cells) // (jobs * _CHUNKS)))
    chunks = [cells[at : at + size] for at in range(0, len(cells), size)]
    run = f"{os.getpid()}.{next(_numbers)}"
    work = partial(_run_here, plan, surrogate) if jobs == 1 else partial(_run_there, plan, run)
    for _, found in run_in_turn(partial(make_executor, jobs), work, chunks):
        if isinstance(found, BaseException):
            raise found
        yield from found


def _run_there(plan: Plan, run: str, cells: Sequence[tuple[int, int]]) -> list[Cell]:
    """Run cells in a process that makes the curves once for all the cells of a run that it is given."""
    global _kept
    if _kept is None or _kept[0] != run:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # the first process has shown them
            _kept = (run, plan.surrogate())
    return _run_here(plan, _kept[1], cells)


def _run_here(plan: Plan, surrogate: Surrogate, cells: Sequence[tuple[int, int]]) -> list[Cell]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # the check of the plan has shown them once
        return [run_cell(plan, surrogate, variant, seed) for variant, seed in cells]
