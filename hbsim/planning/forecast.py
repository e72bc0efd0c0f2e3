"""Forecasts: a setting simulated on the learning curves of many tasks, and the spread of what came out."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.bench.variants import Variant
from hbsim.errors import HbsimWarning
from hbsim.surrogates.protocol import Floats, Ints, SurrogateBase, check_rows, level_places

if TYPE_CHECKING:
    import polars as pl

    from hbsim.core.types import Mode
    from hbsim.planning.library import Task
    from hbsim.planning.pilot import Pilot
    from hbsim.planning.setting import Setting
    from hbsim.simulation import Cluster, Result

GRID: Final = 48  # points of time at which what has come by then is noted
TAIL: Final = 0.1  # outside of each end of an 80 % interval
# The same with a pilot. What is drawn of the user's task comes on top of how the library's tasks differ,
# which counts some of it twice: with 0.1 the intervals held 87 % of studies of tasks that were left out.
TAIL_WITH_PILOT: Final = 0.14
TOLERANCE: Final = 0.01  # without it, intervals of costs that never differ would be single numbers
LEAST_COMPARED: Final = 2.0  # full runs, one after the other
WORST: Final = 0.95  # quantile of the configurations beyond which one regret is as bad as another
TRIES: Final = 16  # the most numbers of trials for which whole studies are simulated
CLOSE: Final = 0.97  # how close a number of trials that fits is to the first that does not
# The quantities of a forecast, in the order of the tables.
QUANTITIES: Final = (
    "trials", "completed", "first_full_result", "busy_share", "checkpoints", "disk", "machine_hours", "money",
)  # fmt: skip
COUNTS: Final = ("trials", "completed", "checkpoints")


class PlannedCurves(SurrogateBase):
    """The curves of a task at the levels of a plan, with its units.

    Parameters
    ----------
    name : str
        The task's.
    mode : "max" or "min"
        Which values are better.
    levels : array, shape (k,)
        In units of max_t.
    values, seconds : array, shape (n, k)
        The metric, and cumulative seconds of training.
    """

    def __init__(self, name: str, mode: Mode, levels: Floats, values: Floats, seconds: Floats) -> None:
        self.name, self.metric, self.mode = name, "value", mode
        self.levels, self.values, self.seconds = levels, values, seconds
        self.resources = tuple(levels.tolist())
        self.max_resource = self.resources[-1]
        self.rows = len(values)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return values and seconds of rows, shapes (n, m)."""
        rows = check_rows(configurations, len(self.values))[:, None]
        places = level_places(self.name, self.levels, levels)
        return self.values[rows, places], self.seconds[rows, places]

    def regret(self, row: int | None) -> float:
        """Return how far a row is from the best at the last level; the worst that counts without one."""
        final = self.values[:, -1] * (1.0 if self.mode == "min" else -1.0)
        known = final[np.isfinite(final)]
        if not len(known):
            return 0.0
        worst = float(np.quantile(known, WORST) - known.min())
        if row is None or not math.isfinite(final[row]):
            return worst
        return min(worst, float(final[row] - known.min()))


def planned(task: Task, levels: Floats, unit_seconds: float, pilot: Pilot | None, seed: int) -> PlannedCurves:
    """Return the curves of a task as a user's task may have them.

    Without a pilot costs and diverged runs are the task's. With one, its costs and its share of diverged runs
    are drawn from what it says of them; only the values stay the task's.

    Parameters
    ----------
    task : Task
        The task.
    levels : array
        The levels of all variants, the last one max_t.
    unit_seconds : float
        Mean seconds of a unit; not used with a pilot.
    pilot : Pilot, optional
        Curves of the user's task.
    seed : int
        Of the draws.
    """
    table = task.table(levels.tolist(), unit_seconds)
    values, seconds = table.evaluate(np.arange(len(task.values)), levels)
    if pilot is not None:
        random = np.random.default_rng([seed, 22])
        draw = pilot.draw(random)
        rows = draw.rows(np.isfinite(values[:, -1]), random)
        values, seconds = values[rows], seconds[rows]
        values[draw.onsets(len(rows), random)[:, None] <= levels / levels[-1]] = np.nan
        seconds = draw.unit_seconds(seconds[:, -1], random)[:, None] * draw.time_to(levels)
    return PlannedCurves(task.name, task.mode, levels, values, seconds)


# One simulated study


@dataclass(frozen=True)
class Scenario:
    """A variant on a cluster, for `max_time` seconds, of which those up to the `horizon` are simulated."""

    variant: Variant
    cluster: Cluster
    max_time: float
    horizon: float


@dataclass(frozen=True)
class Outcome:
    """What came of one simulated study.

    Attributes
    ----------
    numbers : dict
        By the names of `QUANTITIES`; NaN where there is none, infinite for a first full result after the end.
    times, regrets : array, shape (n,)
        When the incumbent changed, from 0 on, and how far it is then from the task's best at max_t.
    exhausted : float
        When all configurations of the task had been tried once; infinite if they were not.
    started, completed : array, shape (GRID,)
        How many trials had started, and were complete, at evenly spread times up to the end.
    """

    numbers: dict[str, float]
    times: Floats
    regrets: Floats
    exhausted: float
    started: Floats
    completed: Floats

    def regret_at(self, time: float) -> float:
        """Return how far the incumbent is from the best at a time."""
        return float(self.regrets[np.searchsorted(self.times, time, side="right") - 1])


def outcome(curves: PlannedCurves, scenario: Scenario, seed: int) -> Outcome:
    """Simulate a study, and note what came of it."""
    from hbsim.study.simulate import simulate

    scheduler = scenario.variant.make(curves.mode, seed)
    cluster, counts = _counting(scenario.cluster)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        result = simulate(
            scheduler, curves, seed=seed, cluster=cluster, max_time=scenario.horizon, replace=True
        )
    return _noted(result, curves, scenario, counts)


def whole_study(study: Study, at: int, trials: int) -> float:
    """Return how long a study of so many trials trains in all, in its scenario `at`.

    It has no other end: the trials that started last are promoted after that.
    """
    from hbsim.study.simulate import simulate

    scenario, curves = study.scenarios[at], study.curves
    variant = scenario.variant
    scheduler = dataclasses.replace(variant, shared={**variant.shared, "num_trials": trials}).make(
        curves.mode, study.seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        result = simulate(scheduler, curves, seed=study.seed, cluster=scenario.cluster, replace=True)
    return math.fsum(result.job_rows()["trained"])


def trials_within(studies: Sequence[Study], at: int, budget: float, trials: float) -> tuple[int, Range]:
    """Return with how many trials nine in ten studies train no longer than the budget; one at least.

    Parameters
    ----------
    studies : sequence of Study
        All groups weigh the same.
    at : int
        Which of their scenarios.
    budget : float
        Seconds of training on all workers together.
    trials : float
        Where the search starts.

    Returns
    -------
    tuple
        How many trials, and how long such studies train.
    """
    weights = group_weights([study.group for study in studies])
    fits, breaks = 0, max(2, round(trials)) + 1
    wanted, found = breaks - 1, Range(math.nan, math.nan, math.nan)
    for tried in range(TRIES):
        trained = np.array([whole_study(study, at, wanted) for study in studies])
        its = spread(trained, weights)
        rate = its.high / budget
        if rate <= 1.0 or wanted == 1:
            fits, found = wanted, its
        else:
            breaks = wanted
        # Training grows about in proportion to the trials.
        guess = wanted / rate * (1.0 if fits else CLOSE if tried < TRIES // 2 else 0.5)
        wanted = max(1, min(max(int(guess), fits + 1), breaks - 1))
        if fits and (wanted <= fits or fits >= CLOSE * (breaks - 1)):
            break
    return fits, found


def _counting(cluster: Cluster) -> tuple[Cluster, bool]:
    """Return a cluster that follows checkpoints; whether one takes 1 GB, as the user's have no size."""
    if cluster.checkpoint_size:
        return cluster, False
    sizes = {"save_bandwidth": None, "load_bandwidth": None, "store_bandwidth": None}
    return dataclasses.replace(cluster, checkpoint_size=1.0, **sizes), True  # type: ignore[arg-type]


def _noted(result: Result, curves: PlannedCurves, scenario: Scenario, counts: bool) -> Outcome:
    from hbsim.core.types import VERDICTS, Verdict

    summary, rows, jobs = result.summary(), result.simulated.decisions.rows(), result.job_rows()
    done = np.sort(rows["time"][rows["verdict"] == VERDICTS.index(Verdict.COMPLETE)])
    began = np.sort(jobs["start_time"][np.unique(jobs["trial"], return_index=True)[1]])
    started, completed = (_by_time(times, scenario) for times in (began, done))
    longer = scenario.max_time / scenario.horizon
    disk = float(summary["disk_peak_collected"] or 0.0)  # type: ignore[arg-type]
    disk *= started[-1] / max(1, len(began))  # nearly all are of trials that are paused for good
    size = 1.0 if counts else _mean_size(scenario.cluster)
    cost = summary["cost"]
    present = 1.0 - float(summary["absent_share"])  # type: ignore[arg-type]
    numbers = {
        "trials": started[-1],
        "completed": completed[-1],
        "first_full_result": float(done[0]) if len(done) else math.inf,
        "busy_share": float(summary["busy_share"]),  # type: ignore[arg-type]
        "checkpoints": disk / size,
        "disk": math.nan if counts else disk,
        "machine_hours": scenario.cluster.count_machines * scenario.max_time / 3600.0 * present,
        "money": math.nan if cost is None else float(cost) * longer,  # type: ignore[arg-type]
    }
    incumbents = result.incumbent()
    chosen = result.curves.configurations()[incumbents["trial"].to_numpy()].tolist()
    regrets = np.array([curves.regret(row) for row in (None, *chosen)])
    times = np.concatenate([[0.0], incumbents["time"].to_numpy()])
    known = len(curves.values)
    again = began[known] if len(began) > known else math.inf
    return Outcome(numbers, times, regrets, float(again), started, completed)


def _by_time(times: Floats, scenario: Scenario) -> Floats:
    """Return how many of `times` have come by each point of the grid.

    After the horizon they come at the rate of the second half before it.
    """
    grid, horizon = np.linspace(0.0, scenario.max_time, GRID), scenario.horizon
    counts = np.searchsorted(times, np.minimum(grid, horizon), side="right").astype(np.float64)
    rate = (len(times) - np.searchsorted(times, horizon / 2, side="right")) / (horizon / 2)
    more: Floats = np.rint(rate * np.maximum(grid - horizon, 0.0))
    return counts + more


def _mean_size(cluster: Cluster) -> float:
    size = cluster.checkpoint_size
    if isinstance(size, int | float):
        return float(size)
    return float(size.quantile((np.arange(1000) + 0.5) / 1000).mean())  # type: ignore[union-attr]


def regrets(outcomes: Sequence[Outcome], setting: Setting) -> list[float]:
    """Return the regret of each variant, the default first, when they are compared.

    That is when the default has tried all configurations of the task once: later its new trials are the same
    ones again, as the user's would not be. But two full runs have time to train.
    """
    least = LEAST_COMPARED * setting.full_run / max(setting.cluster.speeds)
    time = max(outcomes[0].exhausted, least)
    return [one.regret_at(time) for one in outcomes]


# Many studies


@dataclass(frozen=True)
class Study:
    """A simulated study to be: a task's curves, a seed, and the scenarios it is simulated in."""

    task: int
    group: str
    curves: PlannedCurves
    seed: int
    scenarios: Sequence[Scenario]


def run_study(study: Study) -> list[Outcome]:
    """Simulate a study in all its scenarios."""
    return [outcome(study.curves, scenario, study.seed) for scenario in study.scenarios]


def run_all(
    studies: Sequence[Study], jobs: int, done: Callable[[], None] = lambda: None
) -> list[list[Outcome]]:
    """Simulate studies, in parallel if `jobs` is above 1; `done` is called after each.

    Returns
    -------
    list
        In the order of `studies`: the outcomes, in the order of the scenarios.
    """
    from hbsim.bench.pool import open_pool

    found: dict[int, list[Outcome]] = {}
    with open_pool(jobs) as pool:
        for (place, _), got in pool.imap(_run_numbered, list(enumerate(studies))):
            if isinstance(got, BaseException):
                raise got
            found[place] = got
            done()
    return [found[place] for place in range(len(studies))]


def _run_numbered(item: tuple[int, Study]) -> list[Outcome]:
    return run_study(item[1])


# The spread


@dataclass(frozen=True)
class Range:
    """A median, and the ends of an 80 % interval; infinite: after the budget."""

    low: float
    median: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def group_weights(groups: Sequence[str]) -> Floats:
    """Return a weight for each study, so that all groups weigh the same; they add up to 1."""
    names, places, counts = np.unique(list(groups), return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / (counts[places] * len(names))
    return weights


def spread(values: Floats, weights: Floats, tail: float = TAIL, tolerance: float = TOLERANCE) -> Range:
    """Return the median and the 80 % interval of weighted values, which may be infinite; NaN for none.

    The ends are values that occurred, wider by the tolerance: equal costs would make them single numbers.
    """
    if np.isnan(values).any():
        return Range(math.nan, math.nan, math.nan)
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    below, above = np.cumsum(weights[order]), np.cumsum(weights[order[::-1]])
    tail = tail * (1 + 1 / len(values)) + 1e-9  # so that of few values the interval is not too narrow
    low = ascending[max(0, int((below <= tail * below[-1]).sum()) - 1)]
    high = ascending[::-1][max(0, int((above <= tail * above[-1]).sum()) - 1)]
    median = ascending[min(int(np.searchsorted(below, 0.5 * below[-1] - 1e-9)), len(values) - 1)]
    return Range(float(low) * (1 - tolerance), float(median), float(high) * (1 + tolerance))


@dataclass(frozen=True)
class Forecast:
    """The forecast of one variant in one setting.

    Attributes
    ----------
    variant : str
        The variant's label.
    workers : int
        How many there are.
    budget : str
        As it was given.
    max_time : float
        The study's end, seconds.
    ranges : dict
        By the names of `QUANTITIES`: medians and 80 % intervals; NaN for what the setting does not say.
    any_full_result : float
        The probability that a trial is complete by the end.
    times : array, shape (GRID,)
        Seconds.
    started, completed : array, shape (3, GRID)
        Low end, median and high end of how many trials have started, and are complete, by each of `times`.
    horizon : float
        Until when it is simulated, seconds; later its counts go on at the same rate.
    """

    variant: str
    workers: int
    budget: str
    max_time: float
    ranges: dict[str, Range]
    any_full_result: float
    times: Floats
    started: Floats
    completed: Floats
    horizon: float = math.inf


def forecast(
    setting: Setting, variant: str, outcomes: Sequence[Outcome], weights: Floats, tail: float = TAIL
) -> Forecast:
    """Return the forecast that the outcomes of one scenario make, weighted; `tail` as in `spread`."""
    columns = {name: np.array([one.numbers[name] for one in outcomes]) for name in QUANTITIES}
    ranges = {name: spread(column, weights, tail) for name, column in columns.items()}
    # The tolerance is for what is counted or timed. No machine works, or is paid, for longer than the study.
    hours = setting.cluster.count_machines * setting.max_time / 3600.0
    money = math.fsum(setting.cluster.prices) * setting.max_time / 3600.0
    for name, most in (("busy_share", 1.0), ("machine_hours", hours), ("money", money)):
        if name in ("machine_hours", "money") and not setting.cluster.has_absences:
            ranges[name] = spread(columns[name], weights, tail, tolerance=0.0)
        if not math.isnan(ranges[name].median):
            ends = (ranges[name].low, ranges[name].median, ranges[name].high)
            ranges[name] = Range(*(min(most, end) for end in ends))
    curves = {}
    for name in ("started", "completed"):
        table = np.stack([getattr(one, name) for one in outcomes])
        found = [spread(column, weights, tail) for column in table.T]
        curves[name] = np.array([[one.low, one.median, one.high] for one in found]).T
    return Forecast(
        variant=variant,
        workers=setting.cluster.workers,
        budget=str(setting.budget),
        max_time=setting.max_time,
        ranges=ranges,
        any_full_result=min(1.0, round(float(weights[np.isfinite(columns["first_full_result"])].sum()), 9)),
        times=np.linspace(0.0, setting.max_time, GRID),
        started=curves["started"],
        completed=curves["completed"],
        horizon=setting.horizon,
    )


def as_frame(forecasts: Sequence[Forecast]) -> pl.DataFrame:
    """Return a row for each forecast, with three columns for each quantity: its low end, median, high end."""
    import polars as pl

    rows = []
    for one in forecasts:
        row: dict[str, object] = {
            "variant": one.variant,
            "workers": one.workers,
            "budget": one.budget,
            "max_time": one.max_time,
            "any_full_result": one.any_full_result,
        }
        for name, found in one.ranges.items():
            for end, value in (("_low", found.low), ("", found.median), ("_high", found.high)):
                row[name + end] = None if math.isnan(value) else value
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
