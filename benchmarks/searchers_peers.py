"""Other tools' searchers on the same curves; see `benchmarks/peers/searching_loop.py`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import ROOT, run, say
from benchmarks.peers.environments import environment, versions
from benchmarks.searchers_figures import summary_of
from benchmarks.searchers_sweep import FOLDER, LAST, Wanted
from hbsim.bench.sweep import SweepResults
from hbsim.bench.sweep.scores import Steps

__all__ = ["measure_peers", "scored"]

HERE: Final = ROOT / "benchmarks" / "peers"
SYNE: Final = "searching-syne"
MOBSTER: Final = "searching-mobster"
FEW: Final = 5  # seeds of MOBSTER, which is slow
Row = dict[str, Any]


def measure_peers(results: SweepResults, wanted: Wanted, tasks: Sequence[str], envs: Path, work: Path) -> Row:
    """Run the peers' studies that are not in a folder yet, and score all by the sweep's own scales.

    Parameters
    ----------
    results : SweepResults
        With the same tasks.
    wanted : Wanted
        How many seeds and workers.
    tasks : sequence of str
        The curves.
    envs, work : Path
        Where environments and finished studies are kept.
    """
    syne, mobster = environment(SYNE, envs), environment(MOBSTER, envs)
    tools = [("Optuna", Path(sys.executable), "optuna"), ("Syne Tune", syne, "syne")]
    tools.append(("Syne Tune", mobster, "mobster"))
    rows = []
    for task in results.manifest["tasks"]:
        if task["surrogate"] in tasks:
            for peer, python, name in tools:
                rows += scored(results, task, peer, _studies(task, wanted, python, name, work))
    found = {
        "Optuna": versions(sys.executable, ("optuna",))["optuna"],
        "Syne Tune": versions(syne, ("syne-tune",))["syne-tune"],
        "Syne Tune with MOBSTER": versions(mobster, ("syne-tune",))["syne-tune"],
    }
    return {"versions": found, "rows": rows}


def _studies(task: Row, wanted: Wanted, python: Path, name: str, work: Path) -> list[Row]:
    """Return what a driver prints, a dict a study, seeds 0 to `wanted.seeds` - 1."""
    kept = work / f"{name}-{task['surrogate'].replace(':', '-').replace('/', '-')}.jsonl"
    seeds = min(wanted.seeds, FEW) if name == "mobster" else wanted.seeds
    words = ["--task", task["surrogate"], "--seeds", str(seeds), "--workers", str(wanted.workers)]
    words += ["--max-time", repr(task["max_time"]), "--max-t", str(LAST)]
    if task["surrogate"].startswith("yahpo:"):
        assert wanted.data is not None
        words += ["--yahpo-data", str(wanted.data / FOLDER)]
    key = json.dumps(words)
    if not (kept.is_file() and kept.read_text("utf-8").startswith(key + "\n")):
        say(f"{name}, {task['surrogate']}")
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [str(python), "-W", "ignore", str(HERE / f"searching_{name}.py"), *words]
        kept.write_text(key + "\n" + run(command, surroundings).output, "utf-8")
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines() if line.startswith("{")]


def scored(results: SweepResults, task: Row, peer: str, studies: Sequence[Row]) -> list[Row]:
    """Return a dict a searcher: its mean scores, as hbsim's own have them."""
    scale = results.scales[task["surrogate"], task["cluster"], task["workers"]]
    rows = []
    for name in dict.fromkeys(study["searcher"] for study in studies):
        of = [study for study in studies if study["searcher"] == name]
        steps = [Steps(np.array(s["time"], dtype=float), np.array(s["value"], dtype=float)) for s in of]
        rows.append(
            {
                "task": task["surrogate"],
                "peer": peer,
                "searcher": name,
                "seeds": len(of),
                "trials": float(np.mean([study["trials"][0] for study in of])),
                "cpu": float(np.mean([study["cpu"][0] for study in of])),
                **summary_of(steps, scale, task["max_time"]),
            }
        )
    return rows
