"""Studies for the tests of clusters, and what they left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

import hbsim
from hbsim.core.scheduler import Scheduler
from hbsim.history.journal import read_journal
from hbsim.live.result import RunResult

from . import training

TRAINING = Path(training.__file__)


def scheduler(kind: str = "promotion", **options: Any) -> Scheduler:
    """Return a small scheduler."""
    given = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "num_trials": 12, "seed": 3, **options}
    return hbsim.make_scheduler(kind, **given)


def study(folder: Path, executor: Any = "dask", name: str = "steady", **options: Any) -> RunResult:
    """Run a study in this process."""
    core = options.pop("core", None) or scheduler()
    options = {"folder": folder, "executor": executor, "progress": "none", **options}
    return hbsim.run(f"{TRAINING}:{name}", core, **options)


def records(folder: Path) -> list[dict[str, Any]]:
    """Return a study's journal."""
    return list(read_journal(folder / "journal.jsonl"))


def told(folder: Path) -> list[Any]:
    """Return what was decided, in order, without times and workers."""
    names = ("trial", "at", "value", "verdict")
    trials: dict[int, int] = {}
    found = []
    for record in records(folder):
        if record["e"] in ("start", "restart"):
            trials[record["job"]] = record["trial"]
        if record["e"] == "reach":
            about = {"trial": trials[record["job"]], **record}
            found.append(tuple(about[name] for name in names))
    return found


def traces(folder: Path) -> Iterator[dict[str, Any]]:
    """Return what trials wrote down, in the order of time."""
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    yield from sorted(lines, key=lambda line: line["at"])


def never_twice_at_once(folder: Path, woken: Mapping[int, float] | None = None) -> None:
    """No two processes of one trial have trained at the same time.

    `woken` are processes that had been stopped for longer than their lease, and when they went on: they may
    come to their next checkpoint before they see that their time is over, but make none.
    """
    spans: dict[int, dict[int, list[float]]] = {}
    for line in traces(folder):
        if woken is not None and line["at"] >= woken.get(line["pid"], inf):
            assert line["what"] == "trains"
            continue
        span = spans.setdefault(line["trial"], {}).setdefault(line["pid"], [line["at"], line["at"]])
        span[1] = line["at"]
    for trial, processes in spans.items():
        for one, other in combinations(processes.values(), 2):
            assert one[1] < other[0] or other[1] < one[0], f"trial {trial} ran twice at once"
