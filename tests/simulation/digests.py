"""Prints the SHA-256 of what a few studies write to Parquet and CSV, a line a file.

Run as a script, in a process of its own: `python digests.py [every] [offset]`.
"""

from __future__ import annotations

import hashlib
import io
import sys

import hbsim
from hbsim.core import make_scheduler

STUDIES = (
    ("stopping", {"brackets": 3}, "synthetic:noise=0.1", {}),
    ("promotion", {"straight_on": False}, "synthetic", {"save": 0.5, "load": 1.5, "startup": 2.0}),
    ("promotion", {"brackets": 2, "retries": 2}, "synthetic", {"drop_rate": 0.003, "resume": False}),
    ("hyperband", {"overlap": True}, "ideal", {"straggler_std": 0.56, "speed": [1, 2, 0.7, 1, 1]}),
    ("pasha", {"retries": 1}, "synthetic:noise=0.1", {"drop_rate": 0.002, "save": 0.5}),
    ("median", {"interval": 7}, "synthetic:noise=0.1", {"report": "async", "report_delay": 3.0}),
    ("fifo", {}, "ideal", {"report": "async", "report_delay": 3.0}),
)


def digests(which: slice) -> dict[str, str]:
    """Run some of the studies; return the digest of each table, in each format."""
    found = {}
    for number in range(len(STUDIES))[which]:
        type, options, surrogate, costs = STUDIES[number]
        result = hbsim.simulate(
            make_scheduler(type, max_t=81, num_trials=150, seed=1, **options),
            surrogate,
            seed=number,
            cluster=hbsim.Cluster(workers=5, **costs),
        )
        for table in ("jobs", "trials", "decisions"):
            for format in ("parquet", "csv"):
                buffer = io.BytesIO()
                getattr(getattr(result, table), f"write_{format}")(buffer)
                name = f"{number}.{table}.{format}"
                found[name] = hashlib.sha256(buffer.getvalue()).hexdigest()
    return found


if __name__ == "__main__":
    every, offset = (int(text) for text in sys.argv[1:3])
    for name, digest in digests(slice(offset, None, every)).items():
        print(name, digest)
