"""Plans of studies: `hbsim.plan` says what a budget buys, what to run, and what to avoid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hbsim.bench.pool import default_jobs
from hbsim.bench.variants import Variant
from hbsim.core.numbers import whole
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import ParameterError
from hbsim.options import declared, named_options
from hbsim.planning import forecast as forecasts
from hbsim.planning import recommend
from hbsim.planning.forecast import Forecast, Outcome, Range, Scenario, Study, group_weights, planned
from hbsim.planning.pilot import Correlation, Pilot, read_pilot
from hbsim.planning.recommend import Standing
from hbsim.planning.setting import Budget, PlanOptions, Setting, ladder, parse_what_if
from hbsim.study.simulate import cluster_of

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from hbsim.bench.chart_style import Chart
    from hbsim.core.types import Mode
    from hbsim.planning.library import Task
    from hbsim.simulation import Cluster

# Full runs of training of all simulations of a variant together: about 8 and 40 seconds of a core.
WORK: Final = 1_800.0
WORK_WITH_PILOT: Final = 12_000.0
WORK_TO_THE_END: Final = 1_200.0  # and of those of the recommended one that are not cut
# Trials that start in all simulations of a variant together: about 12 and 60 seconds of a core.
TRIALS: Final = 100_000.0
TRIALS_WITH_PILOT: Final = 500_000.0
MOST_STUDIES: Final = 240  # more would not narrow what tasks leave open
LEAST_STUDIES: Final = 5  # however long one takes
LONG: Final = 40_000.0  # trials of a variant in all, from which on a plan takes more than five seconds
A_TRIAL: Final = 1.2e-4  # seconds of a core for each of them, in all variants
SMALL: Final = 500.0  # full runs in all: no faster with several processes, which take a second to start


@dataclass(frozen=True)
class Plan:
    """A plan: forecasts of a shortlist of variants, and what is known of them.

    Attributes
    ----------
    setting : Setting
        What was asked for.
    pilot : Pilot or None
        What is known of the user's task.
    shortlist : list of Variant
        The default first.
    forecasts : list of Forecast
        One for each variant of the shortlist.
    what_if : list of Forecast
        Of the default, with other workers or budgets.
    standings : list of Standing
        One for each variant: how it did on the library's tasks.
    correlations : list of Correlation
        Of a pilot: how well each level's ranks foretell those at R.
    tasks, groups, studies : int
        How many tasks of the library were simulated, of how many groups, in how many studies.
    num_trials : int or None
        Where seconds are not known: with how many trials the whole recommended study trains no longer than
        the budget, in nine of ten simulated studies.
    trained : Range or None
        How long the whole study then trains, in full runs.
    what_if_studies : int
        How many of these were simulated with other workers or budgets.
    """

    setting: Setting
    pilot: Pilot | None
    shortlist: Sequence[Variant]
    forecasts: Sequence[Forecast]
    what_if: Sequence[Forecast]
    standings: Sequence[Standing]
    correlations: Sequence[Correlation]
    tasks: int
    groups: int
    studies: int
    num_trials: int | None = None
    trained: Range | None = None
    what_if_studies: int = 0

    @cached_property
    def forecast(self) -> pl.DataFrame:
        """A row for each variant, with three columns for each quantity.

        Columns: variant, workers, budget, max_time, any_full_result (the probability of one); and
        trials, completed, first_full_result, busy_share, checkpoints, disk (GB), machine_hours, money. Each
        is a median, and with ``_low`` and ``_high`` an end of the 80 % interval. It is null where
        nothing says it, and infinite for a first full result after the end. Times are seconds, or full runs
        without `unit_seconds`.
        """
        return forecasts.as_frame(self.forecasts)

    @cached_property
    def scenarios(self) -> pl.DataFrame:
        """A row for each other number of workers and budget, with the columns of `forecast`."""
        return forecasts.as_frame([self.forecasts[0], *self.what_if])

    @cached_property
    def comparison(self) -> pl.DataFrame:
        """A row for each variant, with the attributes of `Standing` as columns."""
        return recommend.as_frame(self.standings)

    @property
    def recommended(self) -> Variant:
        """The variant to run."""
        chances = [one.any_full_result for one in self.forecasts]
        return self.shortlist[recommend.recommended(self.standings, chances)]

    @property
    def recommended_forecast(self) -> Forecast:
        """The forecast of the variant to run."""
        return next(one for one in self.forecasts if one.variant == self.recommended.label)

    @property
    def grace_to_try(self) -> Correlation | None:
        """The level at which a pilot says to try to start; None without such a hint."""
        return recommend.grace_to_try(self.correlations)

    def run_options(self) -> dict[str, Any]:
        """Return the options of `hbsim run` for the recommended variant: of its scheduler and its end."""
        variant, setting = self.recommended, self.setting
        taken = variant.checked().as_dict()
        shown = {n: v for n, v in variant.options.items() if n in taken and (n, v) != ("grace_period", 1)}
        options: dict[str, Any] = {"type": variant.type, **shown, "workers": setting.cluster.workers}
        if setting.unit_seconds is None:  # seconds are not known, and a study needs an end
            options["num_trials"] = self.num_trials
        else:
            options["max_time"] = float(f"{setting.max_time:.6g}")
        if self.pilot is not None:
            options |= {"metric": self.pilot.metric, "mode": self.pilot.mode}
        return options

    def keep(self, folder: Path | str) -> None:
        """Keep the forecast in a study's folder to be, for `hbsim validate` after the study.

        Raises
        ------
        ParameterError
            The folder holds a study already, or other files.
        OutputError
            It cannot be written.
        """
        from hbsim.planning.check import keep

        keep(self, folder)

    def as_dict(self) -> dict[str, object]:
        """Return the plan in plain types, as ``hbsim plan --json`` prints it."""
        from hbsim.planning.report import as_dict

        return as_dict(self)

    def __repr__(self) -> str:
        setting = self.setting
        what = f"max_t={setting.max_t:g}, {setting.cluster.workers} workers, {setting.budget}"
        return f"<Plan: {what}, {self.recommended.label} of {len(self.shortlist)} variants>"

    def plot(self) -> Chart:
        """Return when results come and what the budget buys, by workers, as an Altair chart."""
        from hbsim.planning.report import chart

        return chart(self)

    def page(self, path: Path | str | None = None, commands: Sequence[str] = ()) -> str:
        """Return the plan as a page of HTML that needs no network.

        Parameters
        ----------
        path : path, optional
            A file to which the page is written as well; an existing file is replaced.
        commands : sequence of str
            Commands that start the study, which the page shows.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from pathlib import Path

        from hbsim.bench.html_page import write_page
        from hbsim.planning.report import page

        text = page(self, commands)
        if path is not None:
            write_page(text, Path(path))
        return text

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows: what matters most, and the forecast as a table."""
        from hbsim.planning.report import notebook

        return notebook(self)


@named_options
def plan(
    max_t: float,
    budget: str | float,
    workers: int | None = None,
    unit_seconds: float | None = None,
    pilot: Any = None,
    cluster: Cluster | None = None,
    what_if: Any = None,
    grace_period: float = 1,
    metric: str | None = None,
    mode: Mode | None = None,
    seed: int = 0,
) -> Plan:
    """Forecast what a budget buys, and recommend what to run.

    A shortlist of variants is simulated on the user's cluster, on the learning curves of a library of tasks.
    With a pilot, costs and diverged runs are those of the user's task.

    Parameters
    ----------
    max_t : float
        R, the units of training of a complete trial.
    budget : str or float
        What may be spent: ``"24h"`` (s, min, h, d; a number is seconds), ``"30runs"`` (the training time of
        so many full runs, on all workers together), or ``"500usd"`` by the cluster's price (or eur, gbp).
    workers : int, optional
        How many workers; by default the cluster's, or 32.
    unit_seconds : float, optional
        Seconds of training that a unit takes, the mean over configurations. Needed without a pilot, unless
        the budget is in runs: then times are full runs.
    pilot : path, str or object, optional
        Ten learning curves of the task or more: a study's folder or its `RunResult`, a file of recorded
        curves, what another tool logged. Curves that end early count for costs and diverged runs.
    cluster : Cluster, optional
        The simulated cluster, with its delays, failures and prices; by default only training takes time.
    what_if : mapping or sequence of str, optional
        Other settings of the default variant: ``{"workers": [4, 8], "budget": ["12h", "24h"]}``.
    grace_period : float
        The lowest rung level.
    metric, mode : str, optional
        The pilot's metric and what is better, where the pilot does not say it.
    seed : int
        Of all simulations: the same seed gives the same plan.

    Returns
    -------
    Plan

    Raises
    ------
    ParameterError
        An option breaks its rule, the budget buys not one full run, or the pilot has fewer than 10 curves.
    SurrogateError
        The pilot cannot be read.
    """
    made = prepare(
        max_t, budget, workers, unit_seconds, pilot, cluster, what_if, grace_period, metric, mode, seed
    )
    return made.carry_out()


@dataclass
class Preparation:
    """A plan whose request is checked, before its simulations.

    Attributes
    ----------
    setting : Setting
        What was asked for.
    pilot : Pilot or None
        The user's curves.
    others : list of Setting
        Of what-if.
    seed : int
        Of all simulations.
    tasks : sequence of Task
        The library.
    most : int
        The most studies to simulate.
    done : int
        How many studies are simulated.
    """

    setting: Setting
    pilot: Pilot | None
    others: Sequence[Setting]
    seed: int
    tasks: Sequence[Task]
    most: int = MOST_STUDIES
    done: int = 0
    studies: list[Study] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shortlist = self.setting.variants()
        self.studies = self._studies()

    def _studies(self) -> list[Study]:
        """Return the studies to simulate: each task, or as many of each group as there is time for."""
        setting = self.setting
        levels = ladder([*self.shortlist])
        chosen = self._chosen(self._count())
        scenarios = [
            Scenario(one, setting.cluster, setting.max_time, setting.horizon) for one in self.shortlist
        ]
        others = [Scenario(self.shortlist[0], one.cluster, one.max_time, one.horizon) for one in self.others]
        # What-if takes at most the time of the shortlist, and never a study from it.
        runs = sum(one.simulated_runs for one in self.others)
        share = len(self.shortlist) * setting.simulated_runs / max(runs, 1.0)
        with_others = max(LEAST_STUDIES, int(min(1.0, share) * len(chosen)))
        unit = setting.full_run / setting.max_t
        made = []
        for place, at in enumerate(chosen):
            seed = self.seed * 1_000_003 + place
            curves = planned(self.tasks[at], levels, unit, self.pilot, seed)
            wanted = [*scenarios, *others] if place < with_others else scenarios
            made.append(Study(at, self.tasks[at].group, curves, seed, wanted))
        return made

    def _count(self) -> int:
        """Return how many studies there is time for, of each group one if that takes about a minute."""
        runs, trials = max(1.0, self.setting.simulated_runs), self.setting.simulated_trials
        groups = len({task.group for task in self.tasks})
        work, most = (WORK, TRIALS) if self.pilot is None else (WORK_WITH_PILOT, TRIALS_WITH_PILOT)
        count = max(groups, int(min(self.most, work / runs, most / trials)))
        return min(count, max(LEAST_STUDIES, int(TRIALS_WITH_PILOT / trials)))

    @property
    def is_long(self) -> bool:
        """Whether the simulations take more than some seconds of a core."""
        return self.setting.simulated_trials * len(self.studies) > LONG

    @property
    def seconds(self) -> float:
        """About how many seconds of a core they take, in one digit."""
        return float(f"{self.setting.simulated_trials * len(self.studies) * A_TRIAL:.1g}")

    def _chosen(self, count: int) -> list[int]:
        """Return which task each study is of: groups in turn, and tasks of a group in turn.

        Without a pilot, seeds of a task differ little: each task comes at most twice.
        """
        groups: dict[str, list[int]] = {}
        for at, task in enumerate(self.tasks):
            groups.setdefault(task.group, []).append(at)
        most = 2 * len(self.tasks) if self.pilot is None else self.most
        count = min(count, most)
        turns = [
            np.random.default_rng([self.seed, 25, n]).permutation(at) for n, at in enumerate(groups.values())
        ]
        rounds = -(-count // len(groups))
        found = [int(turn[n % len(turn)]) for n in range(rounds) for turn in turns]
        if count >= len(groups):
            return found
        order = np.random.default_rng([self.seed, 26]).permutation(len(found))[:count]
        return [found[place] for place in sorted(order.tolist())]

    def carry_out(self, jobs: int | None = None) -> Plan:
        """Simulate all studies, and return the plan.

        Parameters
        ----------
        jobs : int, optional
            Processes; by default one a core, or this one alone for a small plan.
        """
        setting = self.setting
        if jobs is None:
            runs = setting.simulated_runs * len(self.studies)
            jobs = 1 if runs < SMALL else default_jobs(len(self.studies))

        def count() -> None:
            self.done += 1

        made = self.conclude(forecasts.run_all(self.studies, jobs, count))
        return made if setting.unit_seconds is not None else self._with_trials(made)

    def _with_trials(self, plan: Plan) -> Plan:
        """Return a plan with the number of trials whose whole study stays within the budget."""
        setting = self.setting
        at = self.shortlist.index(plan.recommended)
        longer = setting.max_time / setting.horizon
        few = max(2 * plan.groups, int(WORK_TO_THE_END / setting.simulated_runs))
        trials, trained = forecasts.trials_within(
            self.studies[:few],
            at,
            setting.simulated_runs * setting.full_run,
            plan.recommended_forecast.ranges["trials"].median / longer,
        )
        ends = (end * longer / setting.full_run for end in (trained.low, trained.median, trained.high))
        return replace(plan, num_trials=max(1, math.floor(trials * longer)), trained=Range(*ends))

    def conclude(self, outcomes: Sequence[Sequence[Outcome]]) -> Plan:
        """Return the plan that the outcomes of all studies make: for each study, those of its scenarios."""
        setting, k = self.setting, len(self.shortlist)
        weights = group_weights([study.group for study in self.studies])
        tail = forecasts.TAIL if self.pilot is None else forecasts.TAIL_WITH_PILOT
        names = [one.label for one in self.shortlist]
        made = [
            forecasts.forecast(setting, name, [one[at] for one in outcomes], weights, tail)
            for at, name in enumerate(names)
        ]
        with_others = [n for n, one in enumerate(outcomes) if len(one) > k]
        weights = group_weights([self.studies[n].group for n in with_others])
        others = [
            forecasts.forecast(other, names[0], [outcomes[n][k + at] for n in with_others], weights, tail)
            for at, other in enumerate(self.others)
        ]
        scores, groups = self._scores(np.array([forecasts.regrets(row[:k], setting) for row in outcomes]))
        correlations = [] if self.pilot is None else self.pilot.correlations(np.array(self._ladder()))
        return Plan(
            setting=setting,
            pilot=self.pilot,
            shortlist=self.shortlist,
            forecasts=made,
            what_if=others,
            standings=recommend.standings(scores, groups, names, self.seed),
            correlations=correlations,
            tasks=len({study.task for study in self.studies}),
            groups=len(set(groups)),
            studies=len(self.studies),
            what_if_studies=len(with_others),
        )

    def _ladder(self) -> Sequence[float]:
        return self.shortlist[0].make("max", 0).levels

    def _scores(self, regrets: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Any, list[str]]:
        """Return the normalised regrets of each task, means over its studies, and the tasks' groups."""
        tasks = sorted({study.task for study in self.studies})
        rows = [[n for n, study in enumerate(self.studies) if study.task == task] for task in tasks]
        means = np.array([regrets[row].mean(axis=0) for row in rows])
        worst = np.array([np.mean([self.studies[n].curves.regret(None) for n in row]) for row in rows])
        return recommend.normalised(means, worst), [self.tasks[task].group for task in tasks]


def prepare(
    max_t: float,
    budget: str | float,
    workers: int | None = None,
    unit_seconds: float | None = None,
    pilot: Any = None,
    cluster: Cluster | None = None,
    what_if: Any = None,
    grace_period: float = 1,
    metric: str | None = None,
    mode: Mode | None = None,
    seed: int = 0,
    tasks: Sequence[Task] | None = None,
    most: int = MOST_STUDIES,
    around: bool = False,
) -> Preparation:
    """Check the arguments of `plan`, and read the pilot; `tasks` replaces the library, `most` its limit.

    With `around`, and without `what_if`, half and twice the workers are forecast too.
    """
    from hbsim.planning.library import library

    checks = {**declared(SchedulerOptions), **declared(PlanOptions)}
    given = {"max_t": max_t, "grace_period": grace_period, "budget": budget, "unit_seconds": unit_seconds}
    checked = {name: checks[name].check(name, value) for name, value in given.items()}
    max_t, grace_period = checked["max_t"], checked["grace_period"]
    if grace_period >= max_t:
        raise ParameterError("max_t", max_t, f"must be above grace_period={grace_period:g}")
    seed = whole("seed", seed, 0)
    cluster = cluster_of(workers, cluster)
    cluster.check_time_to_work()
    wanted = parse_what_if(what_if)
    unit_seconds = checked["unit_seconds"]
    found = None
    if pilot is not None:
        found = read_pilot(pilot, max_t, unit_seconds, metric, mode)
        unit_seconds = float(found.unit_seconds.mean())
    elif metric is not None or mode is not None:
        name, value = ("metric", metric) if metric is not None else ("mode", mode)
        raise ParameterError(name, value, "is for a pilot, which is not given")
    setting = Setting(max_t, grace_period, cluster, Budget.parse(checked["budget"]), unit_seconds)
    setting.check()
    others = [
        setting.with_(count, money)
        for money in wanted.get("budget", [setting.budget])
        for count in wanted.get("workers", [cluster.workers])
    ]
    if not wanted:
        others = setting.around() if around else []
    return Preparation(setting, found, others, seed, tasks or library(), most)
