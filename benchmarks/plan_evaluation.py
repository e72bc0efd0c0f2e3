"""Plans held against tasks that their library does not have: what `benchmarks.plan` publishes.

A task is held out with its whole group. Plans are made from the other groups: without a pilot, and with
pilots drawn from the task. What came of studies of the task itself is then held against their forecasts and
recommendations. A pilot is complete, or what a small promotion study left: most of its curves end early.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import hbsim.planning.plan as planning
import numpy as np
import polars as pl
from hbsim.planning.forecast import Outcome, Scenario, Study, planned, run_all
from hbsim.planning.plan import Plan, prepare
from hbsim.planning.recommend import FAR, normalised
from hbsim.planning.setting import ladder

from hbsim.planning.library import SECONDS, Task
from hbsim.surrogates.table import Table
from hbsim.surrogates.table_files import RecordedCurves

MAX_T: Final = 81
SEEDS: Final = 6  # studies of a held-out task, with other configurations each
PILOTS: Final = tuple((size, kind) for size in (10, 30) for kind in ("complete", "censored"))
QUANTITIES: Final = ("trials", "completed", "first_full_result")
# Full runs of training that the simulations of a plan with a pilot may have together; hbsim.plan takes more.
WORK: Final = 3_000.0


@dataclass(frozen=True)
class Where:
    """Workers, and the budget as so many times of a mean full run."""

    workers: int
    full_runs: float

    def prepare(
        self, tasks: Sequence[Task], pilot: Table | None = None, seed: int = 0
    ) -> planning.Preparation:
        """Return the plan to be carried out; a unit takes a second on average."""
        unit = {"unit_seconds": 1.0} if pilot is None else {"pilot": pilot}
        budget = f"{self.full_runs * MAX_T:g}s"
        return prepare(MAX_T, budget, workers=self.workers, seed=seed, tasks=tasks, **unit)


SETTINGS: Final = (Where(8, 3.0), Where(4, 1.5), Where(32, 3.0))


def pilot_of(task: Task, size: int, kind: str, seed: int) -> Table:
    """Return curves of random configurations of a task.

    Those of a censored pilot end as in promotion with eta 3: two of three at level 1, and so on; one at least
    is complete.
    """
    random = np.random.default_rng([seed, size, 77])
    levels = np.arange(1.0, MAX_T + 1.0)
    whole = task.table(levels.tolist(), 1.0)
    rows = random.permutation(len(task.values))[:size]
    values, seconds = whole.evaluate(rows, levels)
    if kind == "censored":
        ends = np.minimum(3.0 ** random.geometric(2 / 3, size=size) / 3.0, MAX_T)
        ends[0] = MAX_T
        after = levels > ends[:, None]
        values[after] = seconds[after] = np.nan
    recorded = RecordedCurves(
        task.name,
        levels,
        {"value": values, SECONDS: seconds},
        pl.DataFrame({"config": rows}),
        {},
        None,
        SECONDS,
    )
    return Table(recorded, metric="value", mode=task.mode, censored="extrapolate")


def truth(task: Task, made: planning.Preparation, jobs: int, seeds: int = SEEDS) -> list[list[Outcome]]:
    """Return the outcomes of studies of a task: a row a seed, a column a variant."""
    levels = ladder([*made.shortlist])
    setting = made.setting
    scenarios = [Scenario(one, setting.cluster, setting.max_time) for one in made.shortlist]
    curves = planned(task, levels, 1.0, None, 0)
    studies = [Study(0, task.group, curves, 1_000 + seed, scenarios) for seed in range(seeds)]
    return run_all(studies, jobs)


def rows_of(plan: Plan, outcomes: list[list[Outcome]], about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row for each variant and quantity: how often the interval held the truth, and its width."""
    for at, forecast in enumerate(plan.forecasts):
        for name in QUANTITIES:
            found = forecast.ranges[name]
            true = [row[at].numbers[name] for row in outcomes]
            yield {
                **about,
                "variant": forecast.variant,
                "quantity": name,
                "covered": float(np.mean([one in found for one in true])),
                "below": float(np.mean([one < found.low for one in true])),
                "above": float(np.mean([one > found.high for one in true])),
                "width": _width(name, found.low, found.high, forecast.max_time),
                "said": forecast.any_full_result if name == "first_full_result" else math.nan,
                "true": float(np.mean(np.isfinite(true))) if name == "first_full_result" else math.nan,
            }


def _width(name: str, low: float, high: float, end: float) -> float:
    """Return the width of an interval: a factor, from 1 on at least; of a time, in full runs."""
    if name == "first_full_result":
        return (min(high, end) - min(low, end)) / MAX_T
    return max(high, 1.0) / max(low, 1.0)


def recommended(plan: Plan, outcomes: list[list[Outcome]], curves: Any) -> dict[str, Any]:
    """Return the normalised regret of what a plan recommends, and of the default."""
    regrets = np.array([[one.regret for one in row] for row in outcomes]).mean(axis=0)
    scores = normalised(regrets[None], np.array([curves.regret(None)]))[0]
    labels = [one.label for one in plan.shortlist]
    at = labels.index(plan.recommended.label)
    return {
        "recommended": labels[at],
        "regret": float(scores[at]),
        "default_regret": float(scores[0]),
        "difference": float(scores[at] - scores[0]),
        "abstains": at == 0,
        "far_off": bool(scores[at] > FAR),
        "default_far_off": bool(scores[0] > FAR),
        **{f"regret of {label}": float(score) for label, score in zip(labels, scores, strict=True)},
    }


@dataclass
class Evaluation:
    """What was measured: rows of forecasts, of recommendations, and of seconds."""

    forecasts: list[dict[str, Any]]
    recommendations: list[dict[str, Any]]
    seconds: list[dict[str, Any]]

    def add(
        self,
        where: Where,
        task: Task,
        others: Sequence[Task],
        jobs: int,
        pilots: Sequence[tuple[int, str]],
        plan: Plan,
    ) -> None:
        """Hold plans against studies of one task; `plan` is the one without a pilot."""
        made = where.prepare(others)
        outcomes = truth(task, made, jobs)
        curves = planned(task, ladder([*made.shortlist]), 1.0, None, 0)
        about = {
            "workers": where.workers,
            "full_runs": where.full_runs,
            "group": task.group,
            "task": task.name,
        }
        plans = [("none", plan)]
        for size, kind in pilots:
            made = where.prepare(others, pilot_of(task, size, kind, len(self.seconds)))
            plans.append((f"{size} {kind}", self._timed(made, jobs, f"{size} {kind}")))
        for name, one in plans:
            self.forecasts += rows_of(one, outcomes, {**about, "pilot": name})
            self.recommendations.append({**about, "pilot": name, **recommended(one, outcomes, curves)})

    def _timed(self, made: planning.Preparation, jobs: int, pilot: str) -> Plan:
        start = time.perf_counter()
        plan = made.carry_out(jobs)
        took = time.perf_counter() - start
        self.seconds.append({"pilot": pilot, "seconds": took, "studies": plan.studies})
        return plan


def evaluate(
    tasks: Sequence[Task],
    settings: Sequence[Where] = SETTINGS,
    pilots: Sequence[tuple[int, str]] = PILOTS,
    a_group: int = 3,
    jobs: int = 1,
    apart: Sequence[Task] = (),
    say: Any = print,
) -> Evaluation:
    """Evaluate plans, each group left out in turn; and on tasks kept apart, with the whole library.

    Parameters
    ----------
    tasks, apart : sequence of Task
        The library, and tasks that are none of it.
    settings : sequence of Where
        Pilots are tried in the first one only.
    pilots : sequence of (int, str)
        Sizes and kinds.
    a_group : int
        How many tasks of a group are held out at most.
    jobs : int
        Processes.
    """
    found = Evaluation([], [], [])
    planning.WORK_WITH_PILOT = WORK
    groups = list(dict.fromkeys(task.group for task in tasks))
    for where in settings:
        used = pilots if where is settings[0] else ()
        for group in [*groups, None]:
            others = [task for task in tasks if task.group != group]
            held = _spread([task for task in tasks if task.group == group], a_group) if group else list(apart)
            if not held:
                continue
            plan = found._timed(where.prepare(others), jobs, "none")
            for task in held:
                found.add(where, task, others, jobs, used, plan)
            say(f"{where.workers} workers, {group or 'kept apart'}: {len(held)} tasks")
    return found


def _spread(tasks: list[Task], most: int) -> list[Task]:
    """Return at most so many tasks, evenly spread."""
    if len(tasks) <= most:
        return tasks
    return [tasks[round(place)] for place in np.linspace(0, len(tasks) - 1, most)]


def summary(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return coverage and widths by pilot and quantity: means over groups, each a mean over its tasks."""
    frame = pl.DataFrame(rows)
    keys = ["workers", "full_runs", "pilot", "quantity"]
    by_group = frame.group_by([*keys, "group"], maintain_order=True).agg(
        pl.col("covered", "below", "above").mean(),
        pl.col("width").log().mean().exp().alias("factor"),
        pl.col("width").mean(),
    )
    return by_group.group_by(keys, maintain_order=True).agg(
        pl.col("covered").mean(),
        pl.col("covered").min().alias("least"),
        pl.col("group").sort_by("covered").first().alias("least_group"),
        pl.col("below", "above").mean(),
        pl.when(pl.col("quantity").first() == "first_full_result")
        .then(pl.col("width").mean())
        .otherwise(pl.col("factor").log().mean().exp())
        .first()
        .alias("width"),
        pl.len().alias("groups"),
    )
