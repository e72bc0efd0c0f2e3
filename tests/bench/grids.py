"""Small comparisons, and cells by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
from hbsim.bench.cells import SUMMARY

from hbsim.bench import Cell, Plan, make_variants
from hbsim.simulation import Cluster
from hbsim.surrogates import Surrogate, load


def plan_of(
    *variants: str,
    surrogate: str = "synthetic:mode=min,max_resource=9",
    seeds: int = 3,
    trials: int = 40,
    max_time: float | None = None,
    vary: tuple[str, ...] = (),
    cluster: Cluster | None = None,
) -> tuple[Plan, Surrogate]:
    made = make_variants(variants, vary, {"max_t": 9, "num_trials": trials})
    plan = Plan(made, partial(load, surrogate), range(seeds), cluster or Cluster(workers=4), max_time)
    return plan, plan.surrogate()


def cell(seed: int, times: list[float], regrets: list[float], *, variant: int = 0, end: float = 10.0) -> Cell:
    """Return a cell whose incumbents come at `times`; two units of resource are trained each second."""
    summary = dict.fromkeys(SUMMARY, 1.0)
    summary.update(simulated_seconds=end, trained_resource=2 * end)
    time, regret = np.array(times, dtype=float), np.array(regrets, dtype=float)
    return Cell(
        variant,
        seed,
        summary,
        time,
        2 * time,
        np.arange(len(times)),
        regret + 0.5,
        regret,
        np.full(len(times), np.nan),
    )
