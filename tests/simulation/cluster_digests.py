"""Prints the SHA-256 of what a few studies on clusters with every part write, a line a study.

Run as a script, in a process of its own, it takes the studies in the opposite order.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any

import hbsim
from hbsim.core import make_scheduler

EVERYTHING: dict[str, Any] = {
    "startup": "lognormal:mean=4,std=3",
    "report_delay": "exponential:mean=0.3",
    "decision_delay": "gamma:mean=0.2,std=0.1",
    "save": 0.1,
    "load": 0.2,
    "straggler_std": 0.56,
    "drop_rate": 0.001,
    "mtbf": 400,
    "mttr": "weibull:mean=20,shape=0.7",
    "preempted_every": "uniform:low=50,high=400",
    "preempted_for": 9,
    "notice": 2.5,
    "schedule": [(0, 2), (30, 6), (200, 3), (300, 6)],
    "checkpoint_size": "lognormal:mean=1,std=0.5",
    "save_bandwidth": 0.7,
    "store_bandwidth": 1.1,
    "workers": 6,
    "price": 2.5,
}
SCHEDULERS = (("promotion", {"straight_on": False}), ("hyperband", {}), ("stopping", {"brackets": 2}))


def tables(result: hbsim.Result) -> str:
    """Return the digest of all tables' bytes."""
    digest = hashlib.sha256()
    for table in (result.jobs, result.decisions, result.failures, result.trials, result.disk()):
        table.write_parquet(buffer := io.BytesIO())
        digest.update(buffer.getvalue())
    return digest.hexdigest()


def digests(step: int = 1) -> list[str]:
    """Run the studies in this order."""
    found = []
    for type, options in SCHEDULERS[::step]:
        for report, retry_from in (("blocking", "milestone"), ("async", "checkpoint"))[::step]:
            cluster = hbsim.Cluster(**EVERYTHING, report=report, retry_from=retry_from)
            scheduler = make_scheduler(type, max_t=27, num_trials=40, retries=4, **options)
            found.append(tables(hbsim.simulate(scheduler, "synthetic", seed=3, cluster=cluster)))
    return found


if __name__ == "__main__":
    print("\n".join(digests(-1)))
