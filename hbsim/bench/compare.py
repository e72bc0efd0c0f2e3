"""Run a comparison."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from hbsim.bench.cells import Cell
from hbsim.bench.comparison import Comparison
from hbsim.bench.plan import Plan
from hbsim.bench.pool import default_jobs
from hbsim.bench.pool_cells import run_cells
from hbsim.bench.pool_dask import Remote
from hbsim.core.exact import whole
from hbsim.errors import HbsimWarning
from hbsim.surrogates import Surrogate

__all__ = ["compare", "run"]


def compare(plan: Plan, jobs: int | None = None, remote: Remote | None = None) -> Comparison:
    """Simulate every variant of a plan with every seed.

    Trial i has the same configuration, curve, slowness and failures under every variant of the same seed,
    unless the searcher of one learns, or variants have different searchers: a note says so then.
    The numbers do not depend on `jobs`.

    Parameters
    ----------
    plan : Plan
        What to compare.
    jobs : int, optional
        How many processes; by default one a core. With more than one, a script that calls this needs
        its ``if __name__ == "__main__":``.
    remote : Remote, optional
        The Dask cluster that runs the studies instead. Its workers call `Plan.surrogate` themselves.

    Returns
    -------
    Comparison
        As `run`.

    Raises
    ------
    ParameterError
        Options do not fit together, or there is no such cluster, or it has other versions; before any work
        starts.
    SurrogateError
        The learning curves cannot be used.
    """
    surrogate = plan.surrogate()
    for text in plan.check(surrogate):
        warnings.warn(HbsimWarning(text), stacklevel=2)
    return run(plan, surrogate, jobs, remote=remote)


def run(
    plan: Plan,
    surrogate: Surrogate,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
    remote: Remote | None = None,
) -> Comparison:
    """Simulate what `Plan.check` has passed.

    Parameters
    ----------
    plan : Plan
        What to compare.
    surrogate : Surrogate
        Its learning curves.
    jobs, remote : optional
        As in `compare`.
    progress : callable, optional
        Called with the number of finished studies.

    Returns
    -------
    Comparison
        After Ctrl-C (KeyboardInterrupt), of the seeds that are finished for all variants:
        `Comparison.complete` is False then. If there are none, the interrupt goes on.
    """
    jobs = default_jobs(len(plan.cells)) if jobs is None else whole("jobs", jobs, 1)
    cells: list[Cell] = []
    try:
        for cell in run_cells(plan, surrogate, jobs, remote):
            cells.append(cell)
            if progress is not None:
                progress(len(cells))
    except KeyboardInterrupt:
        seeds = [cell.seed for cell in cells]
        if not any(seeds.count(seed) == len(plan.variants) for seed in set(seeds)):
            raise
    return Comparison(plan, surrogate, cells)
