"""What a report says, in numbers and words: one object that the page, the figures and the tables all read.

Scores are *normalised regrets*: the regret at R of the incumbent over that of a configuration drawn at random
(their median), so that 0 is the best there is and 1 is no better than a guess; see
docs/explanation/statistics.md. NaN stands for what there is none of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hbsim.bench.report.model_across import Across, Duel, Heatmap
from hbsim.bench.report.model_diagnosis import (
    BracketRow,
    Regrets,
    RungRow,
    Segment,
    Shares,
    Timeline,
)
from hbsim.bench.statistics import Interval

__all__ = [
    "Across",
    "BracketRow",
    "Duel",
    "Heatmap",
    "Line",
    "Missing",
    "Regrets",
    "Report",
    "RungRow",
    "Segment",
    "Shares",
    "Task",
    "TaskRow",
    "Timeline",
    "VariantInfo",
]


@dataclass(frozen=True)
class VariantInfo:
    """A variant.

    Attributes
    ----------
    name : str
        As the sweep's file calls it: any text.
    type : str
        Of its scheduler.
    options : mapping
        What was set, for it or for all.
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
class TaskRow:
    """A variant on one task, over the seeds.

    Attributes
    ----------
    variant : str
        Its name.
    rank : int
        1 is the best: fewest seeds without a score, then the least mean score.
    score : Interval
        Normalised regret at equal time: mean over seeds, 95 % bootstrap interval.
    regret : Interval
        The same in the metric's unit.
    area : Interval
        Normalised regret averaged over the time until then (area under the anytime curve).
    to_target : Interval
        Mean simulated seconds without the target, of the whole time until the budget at most: those that
        do not reach it count as all of it (restricted mean time).
    median_time : Interval
        Simulated seconds until half of the seeds have reached the target (as `mean`) and the interval of
        that; infinite where it comes after the budget, NaN ends where there are too few seeds.
    p_target : float
        Wilcoxon's test of the restricted times against those of the best variant, corrected as `p` is.
    reached : float
        The share of seeds that reached the target.
    missing : int
        Seeds without a score.
    difference : Interval
        This score less the best variant's with the same seed.
    p : float
        Wilcoxon's signed-rank test of that, Holm-corrected over all pairs of the task's variants; NaN for the
        best.
    effect : float
        Matched-pairs rank-biserial correlation with the best, in [-1, 1]; above 0: worse than it.
    superiority : float
        The share of seeds in which it is better than the best variant, ties counted half; NaN for the best.
    call : str
        "best", "worse", "too close to call" or "no score".
    seeds_needed : int or None
        With about so many new seeds a difference of this size is found in four of five cases, where it is
        too close to call; None where no number would do.
    completed, busy_share, simulated_seconds, cost : float
        Means over seeds of what `Result.summary` calls so; cost NaN where nothing has a price.
    """

    variant: str
    rank: int
    score: Interval
    regret: Interval
    area: Interval
    to_target: Interval
    median_time: Interval
    p_target: float
    reached: float
    missing: int
    difference: Interval
    p: float
    effect: float
    superiority: float
    call: str
    seeds_needed: int | None
    completed: float
    busy_share: float
    simulated_seconds: float
    cost: float


@dataclass(frozen=True)
class Task:
    """A surrogate on a cluster with a number of workers: what seeds are paired within.

    Attributes
    ----------
    surrogate, cluster : str
        Their names in the sweep's file.
    workers : int
        How many.
    group : str
        Tasks of one group are not independent of each other; the surrogate's name, unless the file says so.
    metric, mode : str
        What decides.
    max_t : float
        R.
    seeds : int
        Those finished for all variants.
    budget : float
        Simulated seconds at which the variants are scored.
    budget_text : str
        Who set it: "as given", or the study that ended first.
    optimum : float
        The best there is at R, or the best that was seen.
    is_optimum_known : bool
        Which of them.
    guess : float
        What a configuration drawn at random shows at R: the median.
    target : float
        The normalised regret that counts as the target.
    rows : tuple of TaskRow
        By rank.
    anytime : tuple of Line
        Normalised regret over simulated seconds.
    reached : tuple of Line
        The share of seeds that have reached the target (Kaplan-Meier), no band.
    rungs, regrets, brackets, shares, timelines : tuples
        The diagnosis, a row or more a variant.
    notes : tuple of str
        What a reader should know.
    """

    surrogate: str
    cluster: str
    workers: int
    group: str
    metric: str
    mode: str
    max_t: float
    seeds: int
    budget: float
    budget_text: str
    optimum: float
    is_optimum_known: bool
    guess: float
    target: float
    rows: tuple[TaskRow, ...]
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
        """What it is called on the page."""
        return f"{self.surrogate} · {self.setting}"

    @property
    def setting(self) -> str:
        """Its cluster and number of workers."""
        return f"{self.cluster}, {self.workers} worker{'' if self.workers == 1 else 's'}"


@dataclass(frozen=True)
class Missing:
    """Cells without a result: why, how many, and one of them."""

    reason: str
    cells: int
    example: str


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes
    ----------
    title, description : str
        As in the sweep's file.
    summary : tuple of str
        What came out, in plain sentences.
    notes : tuple of str
        What to keep in mind.
    cells, finished : int
        How many studies there were to be, and are.
    variants : tuple of VariantInfo
        In the file's order, which gives each its colour.
    tasks : tuple of Task
        In the file's order.
    across : tuple of Across
        A setting with at least two groups of tasks each, and both measures.
    heatmaps : tuple of Heatmap
        Where variants differ in brackets and reduction factor.
    missing : tuple of Missing
        What failed.
    commands : mapping
        From what it does to the command that does it.
    versions : mapping
        Of Python, hbsim and the libraries that decide about bytes.
    spec : str
        The sweep's file.
    """

    title: str
    description: str
    summary: tuple[str, ...]
    notes: tuple[str, ...]
    cells: int
    finished: int
    variants: tuple[VariantInfo, ...]
    tasks: tuple[Task, ...]
    across: tuple[Across, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    missing: tuple[Missing, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    spec: str = ""
