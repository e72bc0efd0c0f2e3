"""The cells of a comparison, in parallel; the same numbers for any number of processes, here or elsewhere."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Sequence
from functools import partial

from hbsim.bench.cells import Cell, run_cell
from hbsim.bench.plan import Plan
from hbsim.bench.pool import open_pool
from hbsim.bench.pool_dask import Remote
from hbsim.errors import HbsimWarning
from hbsim.surrogates import Surrogate

__all__ = ["run_cells"]

_kept: tuple[str, Surrogate] | None = None  # the curves of the run that this process works for


def run_cells(plan: Plan, surrogate: Surrogate, jobs: int, remote: Remote | None = None) -> Iterator[Cell]:
    """Simulate every cell of a plan, in any order.

    Parameters
    ----------
    plan : Plan
        What to run.
    surrogate : Surrogate
        Its learning curves, for this process.
    jobs : int
        How many processes; 1 runs them in this one.
    remote : Remote, optional
        The Dask cluster that runs them instead.

    Yields
    ------
    Cell
        As they are finished. If the iteration is ended early, so are the processes.

    Raises
    ------
    ParameterError
        As `hbsim.bench.pool.open_pool`.
    BrokenExecutor
        A process died, and another one of the same studies when nothing ran beside it.
    """
    is_here = jobs == 1 and remote is None
    # Processes may live longer than this run, and see several.
    work = partial(_run_here, plan, surrogate) if is_here else partial(_run_there, plan, uuid.uuid4().hex)
    with open_pool(jobs, remote) as pool:
        chunks = [(cell,) for cell in plan.cells] if is_here else pool.chunks(plan.cells)
        for _, found in pool.imap(work, chunks):
            if isinstance(found, BaseException):
                raise found
            yield from found


def _run_there(plan: Plan, run: str, cells: Sequence[tuple[int, int]]) -> list[Cell]:
    """Run cells in a process that makes the curves once for all the cells of a run that it is given."""
    global _kept
    kept = _kept
    if kept is None or kept[0] != run:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)  # the first process has shown them
            kept = _kept = (run, plan.surrogate())
    return _run_here(plan, kept[1], cells)


def _run_here(plan: Plan, surrogate: Surrogate, cells: Sequence[tuple[int, int]]) -> list[Cell]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # the check of the plan has shown them once
        return [run_cell(plan, surrogate, variant, seed) for variant, seed in cells]
