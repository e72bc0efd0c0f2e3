"""The construction of a scheduler from its options."""

from __future__ import annotations

import warnings
from typing import Any, Literal

from hbsim.core.levels import Levels, make_even_levels, make_levels
from hbsim.core.median import Median
from hbsim.core.options import UNSET, Options, Unset, make_options
from hbsim.core.pasha import Pasha
from hbsim.core.promotion import Promotion
from hbsim.core.scheduler import Scheduler
from hbsim.core.stopping import Fifo, Stopping
from hbsim.core.synchronous import Synchronous
from hbsim.core.types import Mode
from hbsim.errors import HbsimWarning
from hbsim.options import named_options


@named_options
def make_scheduler(
    type: str,
    *,
    max_t: float | Unset = UNSET,
    grace_period: float | Unset = UNSET,
    reduction_factor: float | Unset = UNSET,
    brackets: int | Unset = UNSET,
    mode: Mode | Unset = UNSET,
    num_trials: int | Unset | None = UNSET,
    retries: int | Unset = UNSET,
    loss_retries: int | Unset | None = UNSET,
    seed: int | Unset = UNSET,
    resource_type: Literal["int", "float"] | Unset = UNSET,
    bracket_sampling: Literal["softmax", "hyperband"] | Unset = UNSET,
    shared_rungs: bool | Unset = UNSET,
    rule: Literal["quantile", "quantile-inclusive", "rank", "top-k"] | Unset = UNSET,
    straight_on: bool | Unset = UNSET,
    keep_size_ratios: bool | Unset = UNSET,
    failed_places: Literal["passed-on", "held"] | Unset = UNSET,
    n: int | Unset = UNSET,
    quota: Literal["actual", "nominal"] | Unset = UNSET,
    overlap: bool | Unset = UNSET,
    n_formula: Literal["ceil", "floor"] | Unset = UNSET,
    epsilon: float | Unset | None = UNSET,
    interval: float | Unset = UNSET,
    among: Literal["completed", "recorded"] | Unset = UNSET,
    min_samples: int | Unset = UNSET,
) -> Scheduler:
    """Make a scheduler.

    Parameters
    ----------
    type : str
        ``"stopping"``, ``"promotion"``, ``"sha"``, ``"hyperband"``, ``"pasha"``, ``"median"`` or
        ``"fifo"``.
    max_t : float
        R, the resource of a completed trial, in the unit of the reports. Required.
    grace_period : float
        r, the lowest rung level; default 1. Not for fifo.
    reduction_factor : float
        eta, greater than 1; default 3. Not for median and fifo.
    brackets : int
        How many brackets; default 1. At most one for each level. For stopping and promotion.
    mode : "max" or "min"
        Whether the metric is maximised (default) or minimised.
    num_trials : int, optional
        How many trials are started in all; by default there is no limit.
    retries : int
        How often a failed trial is tried again; default 0.
    loss_retries : int, optional
        How often a trial that was lost or preempted, with its host for example, is tried again. These
        failures then do not count against `retries`. By default all kinds of failure do.
    seed : int
        Seed of the random choice of brackets; default 0.
    resource_type : "int" or "float"
        Whether resources are whole numbers (default) or any numbers.
    bracket_sampling : "softmax" or "hyperband"
        How a new trial's bracket is drawn: each bracket e times as likely as the next (default), or in
        proportion to the sizes of Hyperband's brackets.
    shared_rungs : bool
        Whether trials of all brackets compete in the same rungs; default False.
    rule : str
        How a rung of the stopping type decides: ``"quantile"`` (default), ``"quantile-inclusive"``,
        ``"rank"`` or ``"top-k"``.
    straight_on : bool
        Promotion, pasha: whether a trial that may be promoted at once goes on in the same job, without a
        pause; default True.
    keep_size_ratios : bool
        Promotion, pasha: whether promotions wait while the next rung has more than 1/eta of the jobs of this
        one; default False.
    failed_places : "passed-on" or "held"
        Promotion, pasha: a trial that failed for good leaves its place among the best floor(n / eta) to the
        next best (default), or keeps it, as in AutoTorch, where a failed promotion is lost.
    n : int
        Successive halving: trials in the lowest rung. Required there.
    quota : "actual" or "nominal"
        sha, hyperband: promote floor(m / eta) of the m results that arrived (default), or floor(n / eta) of
        the n planned ones.
    overlap : bool
        sha, hyperband: whether an idle worker starts the next bracket before this one has ended; default
        False.
    n_formula : "ceil" or "floor"
        Hyperband's sizes: the paper's algorithm (default), or its printed table.
    epsilon : float, optional
        Pasha: values of the metric that differ by at most this much rank as equal; 0 for plain ranks. By
        default it is estimated from trials whose learning curves cross and cross back.
    interval : float
        Median: the distance between milestones, from `grace_period` on; by default `grace_period`.
    among : "completed" or "recorded"
        Median: whose running averages a trial is compared with: those of completed trials (default), or of
        all trials recorded at the milestone before.
    min_samples : int
        Median: how many running averages there must be before a trial is stopped; default 1.

    Raises
    ------
    ParameterError
        If an option is out of range, or belongs to another type; it names the option, its value and the rule.
    """
    given: dict[str, Any] = dict(locals())  # all parameters: no other local is defined yet
    return build(make_options(given.pop("type"), given))


def build(options: Options) -> Scheduler:
    """Make a scheduler from checked options."""
    if options.type == "fifo":
        least = options.max_t
        return Fifo(options, make_levels(least, options.max_t, 2, options.resource_type, synchronous=True))
    if options.type == "median":
        even = make_even_levels(options.grace_period, options.interval, options.max_t, options.resource_type)
        return Median(options, even)
    synchronous = options.type in ("sha", "hyperband")
    geometry = make_levels(
        options.grace_period,
        options.max_t,
        options.reduction_factor,
        options.resource_type,
        synchronous=synchronous,
    )
    if synchronous:
        return Synchronous(options, geometry)
    if options.type == "pasha":
        return Pasha(options, geometry)
    kind = Stopping if options.type == "stopping" else Promotion
    return kind(options, geometry, _clipped(options.brackets, geometry))


def _clipped(brackets: int, geometry: Levels) -> int:
    most = geometry.k + 1
    if brackets > most:
        text = f"brackets={brackets} is clipped to {most}: that many fit between grace_period and max_t"
        warnings.warn(HbsimWarning(text), stacklevel=5)
    return min(brackets, most)
