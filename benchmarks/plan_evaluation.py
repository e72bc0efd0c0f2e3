"""Plans held against tasks that their library does not have: what `benchmarks.plan` publishes.

A task is held out with its whole group. Plans are made from the other groups: without a pilot, and with
pilots drawn from the task. What came of studies of the task itself is then held against their forecasts and
recommendations. A pilot is complete, or what a small promotion study left: most of its curves end early.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Final

import numpy as np
import polars as pl

from hbsim.planning.forecast import Outcome, Study, planned, regrets, run_all
from hbsim.planning.library import SECONDS, Task
from hbsim.planning.plan import Plan, Preparation, prepare
from hbsim.planning.recommend import FAR, normalised
from hbsim.planning.setting import ladder
from hbsim.surrogates.table import Table
from hbsim.surrogates.table_files import RecordedCurves

MAX_T: Final = 81
SEEDS: Final = 2  # studies of each task
PILOTS: Final = tuple((size, kind) for size in (10, 30) for kind in ("complete", "censored"))
QUANTITIES: Final = ("trials", "completed", "first_full_result")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Where:
    """Workers, and the budget as so many times of a mean full run, in which a unit takes a second.

    Only the first `variants` of the shortlist are simulated, the default first. A plan with a pilot is made
    from `studies`, where hbsim.plan takes up to 240.
    """

    workers: int
    full_runs: float
    variants: int = 99
    studies: int = 40

    def prepare(self, tasks: Sequence[Task], pilot: Table | None = None, seed: int = 0) -> Preparation:
        """Return a plan that is not carried out yet."""
        unit = {"unit_seconds": 1.0} if pilot is None else {"pilot": pilot}
        budget = f"{self.full_runs * MAX_T:g}s"
        made = prepare(MAX_T, budget, workers=self.workers, seed=seed, tasks=tasks, most=self.studies, **unit)
        made.shortlist = made.shortlist[: self.variants]
        made.studies = [replace(one, scenarios=one.scenarios[: self.variants]) for one in made.studies]
        return made


SETTINGS: Final = (Where(8, 3.0), Where(4, 1.5), Where(32, 3.0))


def pilot_of(task: Task, size: int, kind: str, seed: int) -> Table:
    """Return curves of random configurations of a task.

    Those of a censored pilot end as in promotion with eta 3: two of three at level 1, two of three of the
    others at level 3, and so on; one at least is complete.
    """
    random = np.random.default_rng([seed, size, 77])
    levels = np.arange(1.0, MAX_T + 1.0)
    rows = random.permutation(len(task.values))[:size]
    values, seconds = task.table(levels.tolist(), 1.0).evaluate(rows, levels)
    if kind == "censored":
        ends = np.minimum(3.0 ** (random.geometric(2 / 3, size=size) - 1), MAX_T)
        ends[0] = MAX_T
        after = levels > ends[:, None]
        values[after] = seconds[after] = np.nan
    columns = {"value": values, SECONDS: seconds}
    configurations = pl.DataFrame({"config": rows})
    recorded = RecordedCurves(task.name, levels, columns, configurations, {}, None, SECONDS)
    return Table(recorded, metric="value", mode=task.mode, censored="extrapolate")


@dataclass
class Evaluation:
    """What was measured: rows of forecasts, of recommendations, and of seconds."""

    forecasts: Rows = field(default_factory=list)
    recommendations: Rows = field(default_factory=list)
    seconds: Rows = field(default_factory=list)

    def hold(self, plan: Plan, truth: list[list[Outcome]], about: dict[str, Any], worst: float) -> None:
        """Hold a plan against studies of its task: rows seeds, columns variants."""
        self.forecasts += [{**about, **row} for row in rows_of(plan, truth)]
        self.recommendations.append({**about, **recommended(plan, truth, worst)})


def rows_of(plan: Plan, truth: list[list[Outcome]]) -> Iterator[dict[str, Any]]:
    """Yield a row for each variant and quantity: how often the interval held the truth, and its width."""
    for at, one in enumerate(plan.forecasts):
        for name in QUANTITIES:
            found, numbers = one.ranges[name], [row[at].numbers[name] for row in truth]
            is_first = name == "first_full_result"
            yield {
                "variant": one.variant,
                "quantity": name,
                "covered": float(np.mean([number in found for number in numbers])),
                "below": float(np.mean([number < found.low for number in numbers])),
                "above": float(np.mean([number > found.high for number in numbers])),
                "width": _width(name, found.low, found.high, one.max_time),
                "said": one.any_full_result if is_first else math.nan,
                "true": float(np.mean(np.isfinite(numbers))) if is_first else math.nan,
            }


def _width(name: str, low: float, high: float, end: float) -> float:
    """Return the width of an interval: a factor, of counts of 1 at least; of a time, in full runs."""
    if name == "first_full_result":
        return (min(high, end) - min(low, end)) / MAX_T
    return max(high, 1.0) / max(low, 1.0)


def recommended(plan: Plan, truth: list[list[Outcome]], worst: float) -> dict[str, Any]:
    """Return the normalised regret of what a plan recommends, of the default, and of each variant."""
    found = np.array([regrets(row, plan.setting) for row in truth]).mean(axis=0)
    scores = normalised(found[None], np.array([worst]))[0]
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
        "regrets": dict(zip(labels, scores.tolist(), strict=True)),
    }


def evaluate(
    tasks: Sequence[Task],
    settings: Sequence[Where] = SETTINGS,
    pilots: Sequence[tuple[int, str]] = PILOTS,
    a_group: int = 2,
    jobs: int = 1,
    apart: Sequence[Task] = (),
    say: Callable[[str], object] = lambda line: None,
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
        How many pilots of each size and kind are tried of a group: of its tasks in turn.
    jobs : int
        Processes.
    """
    found = Evaluation()
    for where in settings:
        everything = [*tasks, *apart]
        made = where.prepare(everything)
        levels, scenarios = ladder(made.shortlist), made.studies[0].scenarios
        studies = [
            Study(at, task.group, planned(task, levels, 1.0, None, 0), seed, scenarios)
            for at, task in enumerate(everything)
            for seed in range(SEEDS)
        ]
        outcomes = run_all(studies, jobs)
        for group in dict.fromkeys(task.group for task in everything):
            library = [at for at, task in enumerate(tasks) if task.group != group]
            held = [at for at, task in enumerate(everything) if task.group == group]
            kept = [n for n, study in enumerate(studies) if study.task in library]
            made.studies = [studies[n] for n in kept]
            plan = made.conclude([outcomes[n] for n in kept])
            turns = (
                [held[turn * len(held) // a_group] for turn in range(a_group)] if where is settings[0] else []
            )
            for at in held:
                task = everything[at]
                truth = [outcomes[n] for n, study in enumerate(studies) if study.task == at]
                worst = next(study.curves.regret(None) for study in studies if study.task == at)
                about = {
                    "apart": at >= len(tasks),
                    "workers": where.workers,
                    "full_runs": where.full_runs,
                    "group": group,
                    "task": task.name,
                }
                found.hold(plan, truth, {**about, "pilot": "none"}, worst)
                chosen = [turn for turn, one in enumerate(turns) if one == at]
                for turn, (size, kind) in product(chosen, pilots):
                    start = time.perf_counter()
                    one = where.prepare([tasks[n] for n in library], pilot_of(task, size, kind, turn))
                    said = one.carry_out(jobs)
                    took = time.perf_counter() - start
                    found.seconds.append({"pilot": f"{size} {kind}", "seconds": took})
                    found.hold(said, truth, {**about, "pilot": f"{size} {kind}"}, worst)
            say(f"{where}: {group}")
    return found


KEYS: Final = ("apart", "workers", "full_runs", "pilot", "quantity")


def by_group(rows: Rows) -> pl.DataFrame:
    """Return coverage and widths of each group, by pilot and quantity: means over its tasks and variants."""
    return (
        pl.DataFrame(rows)
        .group_by([*KEYS, "group"], maintain_order=True)
        .agg(
            pl.col("covered", "below", "above").mean(),
            pl.col("width").log().mean().exp().alias("factor"),
            pl.col("width").mean(),
        )
    )


def summary(rows: Rows) -> pl.DataFrame:
    """Return coverage and widths by pilot and quantity: means over groups."""
    is_first = pl.col("quantity").first() == "first_full_result"
    return (
        by_group(rows)
        .group_by(KEYS, maintain_order=True)
        .agg(
            pl.len().alias("groups"),
            pl.col("covered").mean(),
            pl.col("covered").min().alias("least"),
            pl.col("group").sort_by("covered").first().alias("least_group"),
            pl.col("below", "above").mean(),
            pl.when(is_first)
            .then(pl.col("width").mean())
            .otherwise(pl.col("factor").log().mean().exp())
            .first(),
        )
    )
