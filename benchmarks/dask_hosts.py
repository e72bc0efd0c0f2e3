"""Many hosts, played by one process: what they cost the controller and the scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.dask_cluster import Cluster, cluster
from benchmarks.dask_figures import trips
from benchmarks.dask_study import Outcome, ask
from benchmarks.measure import ROOT, say

__all__ = ["hosts"]

TRIALS: Final = 10  # at a time on a host
MILESTONES: Final = 4  # of a trial
RATE: Final = 400  # decisions a second that hosts ask for at most
LEAST: Final = 2.0  # seconds between two milestones of a trial


def hosts(folder: Path, number: int, rate: float = RATE, milestones: int = MILESTONES) -> Outcome:
    """Run a study on so many played hosts; return what each process took.

    Parameters
    ----------
    folder : Path
        For files.
    number : int
        Of hosts.
    rate : float
        Decisions a second that they ask for together; less where they are few. If it is more than can be
        had, it shows how many those are.
    milestones : int
        Of a trial.
    """
    trials = number * TRIALS
    seconds = trials / rate if rate > RATE else max(LEAST, trials / rate)
    scheduler = {"type": "stopping", "reduction_factor": 2, "num_trials": trials}
    scheduler["max_t"] = 2 ** (milestones - 1)
    with cluster(folder / f"hosts-{number}-{milestones}", 0) as there:
        asked = {"address": there.address, "hosts": number, "cpus": TRIALS, "seconds": seconds}
        asked["security"] = _security(there)
        puppets = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.dask_puppets", json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        assert puppets.stdin is not None
        assert puppets.stdout is not None
        try:
            if not puppets.stdout.readline():
                raise RuntimeError("played hosts do not connect")
            pids = {"scheduler": there.scheduler, "workers": [puppets.pid]}
            outcome = ask("hops", scheduler, executor=there.executor, workers=trials, pids=pids)
        finally:
            puppets.stdin.close()
            puppets.wait()
    found = _figures(outcome, number, seconds)
    say(f"{number} hosts: {found['rate']:.0f} of {found['limit']:.0f} decisions a second")
    return found


def _figures(outcome: Outcome, number: int, seconds: float) -> Outcome:
    reached = [record["t"] for record in outcome["records"] if record["e"] == "reach"]
    few = len(reached) // 10
    counts, took = outcome["counts"], outcome["seconds"]
    return {
        "hosts": number,
        "trials": number * TRIALS,
        "seconds": seconds,
        "decisions": len(reached),
        "rate": (len(reached) - 2 * few) / (reached[-few - 1] - reached[few]),
        "limit": number * TRIALS / seconds,
        "lost": sum(record["e"] == "fail" for record in outcome["records"]),
        "shut": sum(record["e"] == "shut" for record in outcome["records"]) // TRIALS,
        "study": took,
        "cores": {kind: outcome["cpu"][kind] / took for kind in ("controller", "scheduler", "workers")},
        "a_second": {
            "beats": counts["up beat"] / took,
            "milestones": counts["up milestones"] / took,
            "starts": counts["down start"] / took,
            "calls": counts["calls lines"] / took,
        },
        "ready": outcome["ready"] - outcome["called"],
        "close": outcome["ended"] - outcome["ready"] - took,
        "join": outcome["join"],
        **trips(outcome["records"]),
        "load": os.getloadavg()[0],
    }


def _security(there: Cluster) -> dict[str, str]:
    files = there.files
    found = {"tls_ca_file": files["tls_ca"]}
    for role in ("client", "scheduler", "worker"):
        found |= {f"tls_{role}_cert": files["tls_cert"], f"tls_{role}_key": files["tls_key"]}
    return found
