"""Many studies in parallel processes; the same numbers for any number of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Final

from hbsim.bench.cells import Cell, run_cell
from hbsim.bench.plan import Plan
from hbsim.errors import HbsimWarning
from hbsim.surrogates import Surrogate

__all__ = ["default_jobs", "run_cells"]

# Each process has one thread: the processes are the parallelism.
_THREADS: Final = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_CHUNKS: Final = 8  # a process: few enough to send little, enough that all end at about the same time
_LARGEST: Final = 8  # cells in a chunk, so that progress is seen
_AHEAD: Final = 3  # chunks a process that are handed out, so that none waits for its next one

_work: tuple[Plan, Surrogate] | None = None  # what a worker process works on


def default_jobs(cells: int) -> int:
    """Return how many processes serve `cells` studies: one a core, and no more than studies."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cells))


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
    """
    cells = plan.cells
    if jobs == 1:
        yield from _run_chunk(plan, surrogate, cells)
        return
    size = max(1, min(_LARGEST, len(cells) // (jobs * _CHUNKS)))
    chunks = [cells[at : at + size] for at in range(0, len(cells), size)]
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(chunks)), context, initializer=_prepare, initargs=(plan,))
    try:
        for found in _in_turn(pool, iter(chunks), jobs * _AHEAD):
            yield from found
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_turn(
    pool: ProcessPoolExecutor, chunks: Iterator[Sequence[tuple[int, int]]], ahead: int
) -> Iterator[list[Cell]]:
    """Give each chunk's cells as it is finished; no more than `ahead` are handed out at a time."""
    pending: set[Future[list[Cell]]] = set()
    more = ahead
    while True:
        with _for_children():
            pending.update(pool.submit(_run_here, chunk) for chunk in islice(chunks, more))
        if not pending:
            return
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        more = len(done)
        for future in done:
            yield future.result()


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


def _prepare(plan: Plan) -> None:
    global _work
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # the first process has shown them
        _work = (plan, plan.surrogate())


def _run_here(cells: Sequence[tuple[int, int]]) -> list[Cell]:
    assert _work is not None
    return list(_run_chunk(*_work, cells))


def _run_chunk(plan: Plan, surrogate: Surrogate, cells: Sequence[tuple[int, int]]) -> Iterator[Cell]:
    for variant, seed in cells:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # the check of the plan has shown them once
            cell = run_cell(plan, surrogate, variant, seed)
        yield cell
