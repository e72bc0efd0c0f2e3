"""The simulated workloads of the ASHA paper: what is varied, and one cell of it.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (arXiv 1810.05934),
appendix A.1: eta=4, r=1, R=256, 256 trials a bracket of successive halving, 25 workers. Training takes
as long as the resource that it trains, times 1 + |z| with z ~ Normal(0, std), and a job is dropped with
probability p a time unit. A promoted trial trains from zero.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import hbsim
from hbsim.core import make_scheduler

R: Final = 256
WORKERS: Final = 25
LIMIT: Final = 2000.0  # time units
SEEDS: Final = 25
STDS: Final = (0.0, 0.10, 0.24, 0.56, 1.33)
# The paper's standard deviations, and none; the steps up to 0.001 are this page's own.
DROPS: Final = (0.0, 0.00025, 0.0005, 0.00075, 0.001)

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "pausing": {"type": "promotion", "straight_on": False},
    "straight on": {"type": "promotion", "straight_on": True},
    "overlapping": {"type": "sha", "n": 256, "overlap": True},
    "waiting": {"type": "sha", "n": 256, "overlap": False},
}
# What becomes of a dropped job, by type of scheduler; the n-th of both types belong together.
POLICIES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "promotion": {
        "lost, place passed on": {"failed_places": "passed-on"},
        "lost, place held": {"failed_places": "held"},
        "retried once": {"retries": 1},
        "retried 3 times": {"retries": 3},
    },
    "sha": {
        "lost, 1/4 of the results": {"quota": "actual"},
        "lost, nominal quota": {"quota": "nominal"},
        "retried once": {"retries": 1},
        "retried 3 times": {"retries": 3},
    },
}
UNDROPPED: Final = "nothing dropped"  # the policy where p is 0: they are all the same there


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant under one policy, at one std and p; run for all seeds."""

    variant: str
    policy: str
    std: float
    p: float

    @property
    def type(self) -> str:
        """The type of scheduler."""
        return str(VARIANTS[self.variant]["type"])

    @property
    def options(self) -> dict[str, Any]:
        """Those of `make_scheduler`."""
        policy = {} if self.policy == UNDROPPED else POLICIES[self.type][self.policy]
        return {**VARIANTS[self.variant], **policy, "max_t": R, "grace_period": 1, "reduction_factor": 4}

    def run(self, seeds: Iterable[int]) -> dict[str, Any]:
        """Return for each seed how many trials were trained to R, and when the first was; None: not one."""
        trained: list[int] = []
        first: list[float | None] = []
        for seed in seeds:
            result = self._simulate(seed)
            trained.append(int(str(result.summary()["completed"])))
            times = result.incumbent(at="max_t")["time"]
            first.append(round(float(times[0]), 3) if len(times) else None)
        place = {"variant": self.variant, "policy": self.policy, "std": self.std, "p": self.p}
        return {**place, "trained": trained, "first": first}

    def _simulate(self, seed: int) -> hbsim.Result:
        """Run one study: trial i has the same quality, slowness and failures in every cell of this seed."""
        cluster = hbsim.Cluster(workers=WORKERS, resume=False, straggler_std=self.std, drop_rate=self.p)
        surrogate = f"ideal:max_resource={R}"
        scheduler = make_scheduler(**self.options)
        return hbsim.simulate(scheduler, surrogate, seed=seed, cluster=cluster, max_time=LIMIT)


def cells() -> Iterator[Cell]:
    """Give all cells: by variant, std, p and policy."""
    for name, options in VARIANTS.items():
        for std in STDS:
            for p in DROPS:
                for policy in POLICIES[str(options["type"])] if p else (UNDROPPED,):
                    yield Cell(name, policy, std, p)


def run_cells(cells: Iterable[Cell], seeds: int, jobs: int) -> Iterator[Mapping[str, Any]]:
    """Run cells in `jobs` processes; give their figures in the order of the cells."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # of the processes that are to start
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        yield from pool.map(_run, [(cell, seeds) for cell in cells])


def _run(work: tuple[Cell, int]) -> dict[str, Any]:
    cell, seeds = work
    found = cell.run(range(seeds))
    gc.collect()  # studies run without the collector, and leave their engines to it
    return found
