"""The model of a report, in numbers and words: the one object behind all that is shown or written.

Scores are *normalised regrets*: the regret at R of the incumbent over that of the median configuration, so
that 0 is the best there is and 1 is no better than a configuration drawn at random. NaN stands for
a missing number. ``--json`` is this object, with its fields as keys and null for NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hbsim.bench.conclusions import ALPHA, Interval

ALL: Final = "all settings"  # the setting of comparisons over all settings
BEST: Final = "best"
OPEN: Final = "not told apart"  # from the best
WORSE: Final = "worse"
NO_SCORE: Final = "no score"


@dataclass(frozen=True)
class VariantInfo:
    """A variant in the report.

    Attributes
    ----------
    name : str
        As the sweep's file calls it: any text.
    type : str
        The type of its scheduler.
    options : mapping
        The options that were set, for this variant or for all.
    """

    name: str
    type: str
    options: Mapping[str, object]


@dataclass(frozen=True)
class Line:
    """A curve in steps: `mean[i]` holds from `x[i]` until `x[i + 1]`; with a pointwise 95 % band.

    All have the same length, at most 200. `low` and `high` are empty where there is no band.
    """

    variant: str
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class VariantStanding:
    """How a variant stands against the best one of its task; see `hbsim.bench.conclusions`.

    Attributes
    ----------
    rank : int
        1 is the best; variants that are not told apart from it share the rank.
    call : str
        "best" (the least mean), "not told apart" (from it), "worse" or "no score".
    difference : Interval
        The mean paired difference from the best, and its simultaneous 95 % interval.
    p : float
        Of that difference, adjusted for all variants; NaN for the best.
    seeds_needed : int or None
        Where the variant is not told apart: about how many studies a variant would show a true difference of
        this size with probability 0.8; None where no number of them would.
    rows_factor : float
        Likewise, on another draw: how many times as many rows would; NaN on these curves.
    better, same, worse : float
        The probabilities that the variant is better or worse than the best by more than what matters, or the
        same; NaN unless the smallest difference that matters is given.
    """

    rank: int
    call: str
    difference: Interval
    p: float
    seeds_needed: int | None = None
    rows_factor: float = float("nan")
    better: float = float("nan")
    same: float = float("nan")
    worse: float = float("nan")


@dataclass(frozen=True)
class TaskRow:
    """A variant on one task, over the seeds.

    Attributes
    ----------
    variant : str
        Its name.
    rank, call : int, str
        The rank and call of `draw` where there is one, else of `curves`.
    score : Interval
        Normalised regret at equal time: mean over seeds, 95 % interval.
    curves, draw : VariantStanding, VariantStanding or None
        On these curves (seeds only), and on another draw of configurations of this task (seeds and rows);
        None where all studies saw the same rows.
    regret : Interval
        The score in the metric's unit.
    picked, value : Interval
        The incumbent's value when it was picked, and its value at R, in the metric's unit.
    test : Interval
        The incumbent's held-out metric at R.
    test_standing : VariantStanding or None
        The standing by the held-out metric; on another draw, where the studies saw different rows.
    resource : Interval
        Normalised regret at equal resource.
    resource_standing : VariantStanding
        The standing by `resource`, likewise.
    area : Interval
        Normalised regret averaged over the time until the budget (area under the anytime curve).
    to_target : Interval
        Mean simulated seconds without the target, of the whole time until the budget at most: those that
        do not reach it count as all of it (restricted mean time).
    median_time : Interval
        Simulated seconds until half of the seeds have reached the target (as `mean`), with an interval;
        infinite where it comes after the budget, NaN ends where there are too few seeds.
    reached : float
        The share of seeds that reached the target.
    missing : int
        Seeds without a score.
    trials, completed, failed, busy_share, simulated_seconds, cost : float
        Means over seeds of what `Result.summary` calls so; cost NaN where nothing has a price.
    """

    variant: str
    rank: int
    call: str
    score: Interval
    curves: VariantStanding
    draw: VariantStanding | None
    regret: Interval
    picked: Interval
    value: Interval
    test: Interval
    test_standing: VariantStanding | None
    resource: Interval
    resource_standing: VariantStanding
    area: Interval
    to_target: Interval
    median_time: Interval
    reached: float
    missing: int
    trials: float
    completed: float
    failed: float
    busy_share: float
    simulated_seconds: float
    cost: float

    @property
    def standing(self) -> VariantStanding:
        """The standing that gives the rank."""
        return self.curves if self.draw is None else self.draw


@dataclass(frozen=True)
class Lead:
    """The leading variants at a time.

    Attributes
    ----------
    share, time : float
        The share of the budget, above 1 beyond it, and simulated seconds.
    best : str
        The variant with the least mean score; empty where none has a score.
    leaders, worse : tuple of str
        The best and those not told apart from it, by mean; and those that are worse.
    running : float
        The share of studies that still ran then.
    """

    share: float
    time: float
    best: str
    leaders: tuple[str, ...]
    worse: tuple[str, ...]
    running: float


@dataclass(frozen=True)
class RungRow:
    """The decisions at a rung, summed over seeds; docs/reference/diagnosis.md defines the terms.

    Attributes
    ----------
    variant : str
        Whose.
    bracket : int
        The bracket; 0 starts at the lowest level.
    level : float
        The rung's level.
    recorded, stopped : int
        Trials that had a value there, and those of them that did not go on.
    better : int
        Of those that did not go on, how many would have ended better at R than the best that did.
    false_promotions : int
        Those that went on without being among as many of the rung's best at R.
    loss : float
        Mean over seeds of the normalised regret that this rung's decisions cost: the best of those recorded
        against the best of those that went on.
    """

    variant: str
    bracket: int
    level: float
    recorded: int
    stopped: int
    better: int
    false_promotions: int
    loss: float


@dataclass(frozen=True)
class Regrets:
    """Where the final regret of a variant came from: four parts, means over seeds, normalised.

    Attributes
    ----------
    variant : str
        Whose.
    sampling : float
        The best of the space against the best trial that was started.
    decisions : float
        The best started trial against the best that early decisions let through.
    unfinished : float
        The further cost of failures and of the end of the study.
    choice : float
        The best trial that was left against the incumbent that was chosen; can be negative, where a stopped
        trial is the incumbent.
    """

    variant: str
    sampling: float
    decisions: float
    unfinished: float
    choice: float


@dataclass(frozen=True)
class BracketRow:
    """A bracket of a variant: its share of trials, of trained resource, and of the winners, over seeds."""

    variant: str
    bracket: int
    trials: float
    resource: float
    winners: float


@dataclass(frozen=True)
class Shares:
    """How the workers of a variant spent their time: shares of their total time, means over seeds.

    `training` (for the first time) and `retrained`, `overhead` (start-up, checkpoints, waits), `idle` and
    `absent` sum to 1. `saved` is the training that resuming saved, relative to the training that was done.
    """

    variant: str
    training: float
    retrained: float
    overhead: float
    idle: float
    absent: float
    saved: float


@dataclass(frozen=True)
class Segment:
    """A stretch of time on a worker; `level` is what was trained towards, None for start-up, checkpoints."""

    worker: int
    start: float
    end: float
    level: float | None


@dataclass(frozen=True)
class Timeline:
    """The timeline of the first `workers` workers in one study of a variant: that of the first seed.

    `segments` are ordered by worker and start. `cut` is the time at which all of them are cut off
    because there are too many, None where the timeline is whole.
    """

    variant: str
    seed: int
    workers: int
    levels: tuple[float, ...]
    segments: tuple[Segment, ...]
    cut: float | None = None


@dataclass(frozen=True)
class View:
    """A unit of the diagnosis: a task, or, where there are many tasks, the mean of those in a setting.

    Means are over the tasks of a group, then over groups; counts of rungs are sums.

    Attributes
    ----------
    title : str
        The task or setting.
    texts : tuple of str
        The texts that file names are made from.
    ranked : tuple of str
        The variants, best first: by score on the task, or by mean rank in the setting.
    rungs, regrets, brackets, shares : tuples
        As in `TaskReport`.
    """

    title: str
    texts: tuple[str, ...]
    ranked: tuple[str, ...]
    rungs: tuple[RungRow, ...]
    regrets: tuple[Regrets, ...]
    brackets: tuple[BracketRow, ...]
    shares: tuple[Shares, ...]

    def order(self, names: Iterable[str]) -> list[str]:
        """Return `names`, once each, best first; those without a rank come last, as they stand."""
        place = {name: index for index, name in enumerate(self.ranked)}
        return sorted(dict.fromkeys(names), key=lambda name: place.get(name, len(place)))


@dataclass(frozen=True)
class TaskReport:
    """The report of a task, a surrogate on a cluster with a number of workers, in which seeds are paired.

    Attributes
    ----------
    surrogate, cluster : str
        Their names in the sweep's file.
    workers : int
        How many.
    group : str
        Tasks of one group are not independent of each other; the surrogate's name, unless the file says so.
    metric, mode : str
        The metric that decides, and whether it is maximised.
    max_t : float
        R.
    seeds : int
        How many seeds are finished for all variants.
    splits : int
        Into how many different pairs of halves the rows of the table were split; 0 where all studies saw all
        configurations.
    configurations : int or None
        The rows of the table; None where they are not known, or where configurations are unlimited.
    budget : float
        Simulated seconds at which the variants are scored.
    budget_text : str
        The origin of the budget: "as given", or the study that ended first.
    resource : float
        The budget in resource: the median of what studies trained until `budget`.
    optimum : float
        The best there is at R, or the best that was seen.
    is_optimum_known : bool
        Whether `optimum` is the best there is.
    median : float
        The value of the median configuration at R.
    target : float
        The normalised regret that counts as the target.
    matters : float or None
        The smallest difference that matters, as normalised regret.
    rows : tuple of TaskRow
        By rank, then by mean score.
    leads : tuple of Lead
        The leads at a quarter, half, three quarters and all of the budget, and beyond it, where studies ran
        longer.
    chances : tuple of Line
        The probability of being best over simulated seconds, a line a variant, no band; on another draw where
        there is one.
    anytime : tuple of Line
        Normalised regret over simulated seconds.
    reached : tuple of Line
        The share of seeds that have reached the target (Kaplan-Meier), no band.
    rungs, regrets, brackets, shares, timelines : tuples
        The diagnosis, a row or more a variant.
    notes : tuple of str
        Remarks for the reader.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    metric: str
    mode: str
    max_t: float
    seeds: int
    splits: int
    configurations: int | None
    budget: float
    budget_text: str
    resource: float
    optimum: float
    is_optimum_known: bool
    median: float
    target: float
    matters: float | None
    rows: tuple[TaskRow, ...]
    leads: tuple[Lead, ...] = ()
    chances: tuple[Line, ...] = ()
    anytime: tuple[Line, ...] = ()
    reached: tuple[Line, ...] = ()
    rungs: tuple[RungRow, ...] = ()
    regrets: tuple[Regrets, ...] = ()
    brackets: tuple[BracketRow, ...] = ()
    shares: tuple[Shares, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the task."""
        return f"{self.surrogate} · {self.setting}"

    @property
    def setting(self) -> str:
        """The cluster and number of workers."""
        return setting_of(self.cluster, self.workers)

    @property
    def has_draws(self) -> bool:
        """Whether there are standings on another draw of configurations."""
        return any(row.draw is not None for row in self.rows)

    @property
    def best(self) -> TaskRow | None:
        """The variant with the least mean score; None where none has a score."""
        return next((row for row in self.rows if row.call == BEST), None)

    @property
    def view(self) -> View:
        """The diagnosis of the task."""
        ranked = tuple(row.variant for row in self.rows)
        texts = (self.surrogate, self.setting)
        return View(self.name, texts, ranked, self.rungs, self.regrets, self.brackets, self.shares)


def setting_of(cluster: str, workers: int) -> str:
    """Return the name of a cluster with a number of workers."""
    return f"{cluster}, {workers} worker{'' if workers == 1 else 's'}"


@dataclass(frozen=True)
class Pairwise:
    """Two variants over groups of tasks: in how many the first is better, tied and worse.

    `p` is Wilcoxon's, Holm-corrected over all pairs, NaN where there are too few groups for so many pairs;
    `p_nemenyi` Nemenyi's. `improvement` is the probability that a study of the first is better than one of
    the second, mean over tasks, with a stratified bootstrap interval. `call` says how the first stands by
    `p`: "better", "worse" or "not told apart".
    """

    first: str
    second: str
    wins: int
    ties: int
    losses: int
    p: float
    p_nemenyi: float
    improvement: Interval
    call: str = "not told apart"


@dataclass(frozen=True)
class Across:
    """All variants in one setting, over its independent groups of tasks.

    Attributes
    ----------
    setting : str
        A cluster and a number of workers, or `ALL`.
    measure : str
        "score" or "area", as in `TaskRow`.
    groups : tuple of str
        The g groups of tasks, the blocks of the tests.
    variants : tuple of str
        The k variants, by mean rank.
    scores : tuple of tuples, (g, k)
        Means over seeds, then over the tasks of a group; NaN for none.
    means : tuple of Interval
        A variant each: mean over groups, and its interval over groups; NaN for a variant that has
        no score in some group, since the mean of the others would not compare.
    iqm : tuple of Interval
        A variant each: the interquartile mean over all studies of all tasks, and its stratified bootstrap
        interval.
    ranks : tuple of float
        Mean rank of each variant.
    p_friedman : float
        The p-value of the hypothesis that all variants are equal (Iman and Davenport's F; permutations below
        10 groups); NaN for fewer than 6 groups, which can tell no pair apart.
    critical_difference : float
        Nemenyi's: mean ranks closer than that are not told apart; NaN likewise.
    cliques : tuple of tuples of str
        Variants that are not told apart, for the diagram.
    pairs : tuple of Pairwise
        Every pair.
    """

    setting: str
    measure: str
    groups: tuple[str, ...]
    variants: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    means: tuple[Interval, ...]
    iqm: tuple[Interval, ...]
    ranks: tuple[float, ...]
    p_friedman: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    pairs: tuple[Pairwise, ...]

    @property
    def has_differences(self) -> bool:
        """Whether Friedman's test tells variants apart at all."""
        return self.p_friedman < ALPHA

    @property
    def is_tested(self) -> bool:
        """Whether pairs were tested at all: with too few groups for so many pairs they are not."""
        return any(math.isfinite(pair.p) for pair in self.pairs)

    @property
    def calls(self) -> dict[str, str]:
        """The call on each variant; without a test only that of the best mean rank, if there is one.

        By Wilcoxon's test of each against the first. Where Friedman's test does not tell the variants apart,
        none is worse.
        """
        ranks = zip(self.variants, self.ranks, strict=True)
        calls = {name: BEST for name, rank in ranks if rank == self.ranks[0]}
        if not calls or not self.is_tested:
            return calls
        first = self.variants[0]
        worse = {pair.second for pair in self.pairs if (pair.first, pair.call) == (first, "better")}
        worse |= {pair.first for pair in self.pairs if (pair.second, pair.call) == (first, "worse")}
        worse &= set(self.variants if self.has_differences else ())
        return {name: WORSE if name in worse else OPEN for name in self.variants} | calls


@dataclass(frozen=True)
class Heatmap:
    """Mean normalised regret over two options: `values[row][column]`, rows are `brackets`; NaN for none.

    There are at least two values of each option.
    """

    title: str
    setting: str
    brackets: tuple[float, ...]
    etas: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Missing:
    """Cells without a result for the same reason: the reason, how many, and one of them."""

    reason: str
    cells: int
    example: str


@dataclass(frozen=True)
class SweepReport:
    """A whole report.

    Attributes
    ----------
    title, description : str
        As in the sweep's file.
    answer : str
        The result, in one sentence.
    summary : tuple of str
        Further results, in plain sentences.
    notes : tuple of str
        Remarks to keep in mind.
    cells, finished : int
        How many studies were planned, and how many are finished.
    variants : tuple of VariantInfo
        In the file's order, which gives each its colour.
    tasks : tuple of TaskReport
        In the file's order.
    across : tuple of Across
        A setting with at least two groups of tasks each, and both measures.
    heatmaps : tuple of Heatmap
        Where variants differ in brackets and reduction factor.
    confirmed : tuple of TaskReport
        The variants that led on each task, judged again on fresh seeds alone; empty if there are none.
    missing : tuple of Missing
        The cells without a result.
    commands : mapping
        The commands by their purpose.
    versions : mapping
        The versions of Python, hbsim and the libraries that results depend on.
    spec : str
        The sweep's file.
    """

    title: str
    description: str
    answer: str
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    cells: int
    finished: int
    variants: tuple[VariantInfo, ...]
    tasks: tuple[TaskReport, ...]
    across: tuple[Across, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    confirmed: tuple[TaskReport, ...] = ()
    missing: tuple[Missing, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    spec: str = ""

    @property
    def overall(self) -> Across | None:
        """The comparison by score over all settings, or the only one; None if tasks are all of one group."""
        scores = [across for across in self.across if across.measure == "score"]
        return next((across for across in scores if across.setting == ALL), scores[0] if scores else None)
