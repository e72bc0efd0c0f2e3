"""The options of a scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from hbsim.cli.fields import flag, given, number, whole, word

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.surrogates import Surrogate

__all__ = ["LevelOptions", "SchedulerOptions"]

SCHEDULER: Final = "Scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelOptions:
    """Options that nearly all schedulers have; the fields are parameters of `hbsim.make_scheduler`."""

    max_t: Annotated[
        float | None,
        number("--max-t", panel=SCHEDULER, help="R, where a trial is complete (default: where curves end)."),
    ] = None
    grace_period: Annotated[
        float | None,
        number("--grace-period", panel=SCHEDULER, help="r, the lowest rung level (default: 1)."),
    ] = None
    reduction_factor: Annotated[
        float | None,
        number("--eta", "--reduction-factor", panel=SCHEDULER, help="One in eta goes on (default: 3)."),
    ] = None
    retries: Annotated[
        int | None,
        whole("--retries", panel=SCHEDULER, help="How often a trial may fail and go on (default: 0)."),
    ] = None
    loss_retries: Annotated[
        int | None,
        whole(
            "--loss-retries",
            panel=SCHEDULER,
            help="How often it may be lost or preempted, in a count of its own (default: in --retries).",
        ),
    ] = None
    resource_type: Annotated[
        str | None,
        word(
            "--resource-type",
            panel=SCHEDULER,
            metavar="int|float",
            help="Whole units of the resource, or any (default: int).",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions(LevelOptions):
    """Which scheduler; the fields are the parameters of `hbsim.make_scheduler`."""

    type: Annotated[
        str,
        word(
            "--scheduler",
            panel=SCHEDULER,
            metavar="stopping|promotion|sha|hyperband|pasha|median|fifo",
            help="Which scheduler decides.",
        ),
    ]
    brackets: Annotated[
        int | None,
        whole("--brackets", panel=SCHEDULER, help="stopping, promotion: how many (default: 1)."),
    ] = None
    bracket_sampling: Annotated[
        str | None,
        word(
            "--bracket-sampling",
            panel=SCHEDULER,
            metavar="softmax|hyperband",
            help="stopping, promotion: how a trial's bracket is drawn (default: softmax).",
        ),
    ] = None
    shared_rungs: Annotated[
        bool | None,
        flag(
            "--shared-rungs", panel=SCHEDULER, help="stopping, promotion: one set of rungs for all brackets."
        ),
    ] = None
    rule: Annotated[
        str | None,
        word(
            "--rule",
            panel=SCHEDULER,
            metavar="quantile|quantile-inclusive|rank|top-k",
            help="stopping: how a rung decides (default: quantile).",
        ),
    ] = None
    straight_on: Annotated[
        bool | None,
        flag(
            "--straight-on/--no-straight-on",
            panel=SCHEDULER,
            help="promotion, pasha: a trial that is promotable at once goes on in the same job (default).",
        ),
    ] = None
    keep_size_ratios: Annotated[
        bool | None,
        flag(
            "--keep-size-ratios",
            panel=SCHEDULER,
            help="promotion, pasha: none while the next rung has more than 1/eta of the jobs.",
        ),
    ] = None
    failed_places: Annotated[
        str | None,
        word(
            "--failed-places",
            panel=SCHEDULER,
            metavar="passed-on|held",
            help="promotion, pasha: places of failed trials go to the next best (default), or stay taken.",
        ),
    ] = None
    n: Annotated[int | None, whole("--n", panel=SCHEDULER, help="sha: trials in the lowest rung.")] = None
    quota: Annotated[
        str | None,
        word(
            "--quota",
            panel=SCHEDULER,
            metavar="actual|nominal",
            help="sha, hyperband: 1/eta of the results that are in, or n divided down (default: actual).",
        ),
    ] = None
    overlap: Annotated[
        bool | None,
        flag("--overlap", panel=SCHEDULER, help="sha, hyperband: an idle worker opens the next bracket."),
    ] = None
    n_formula: Annotated[
        str | None,
        word(
            "--n-formula",
            panel=SCHEDULER,
            metavar="ceil|floor",
            help="hyperband: sizes of the paper's algorithm, or of its printed table (default: ceil).",
        ),
    ] = None
    epsilon: Annotated[
        float | None,
        number(
            "--epsilon",
            panel=SCHEDULER,
            help="pasha: values that differ by at most this much rank as equal (default: estimated).",
        ),
    ] = None
    interval: Annotated[
        float | None,
        number(
            "--interval",
            panel=SCHEDULER,
            help="median: from one milestone to the next (default: the grace period).",
        ),
    ] = None
    among: Annotated[
        str | None,
        word(
            "--among",
            panel=SCHEDULER,
            metavar="completed|recorded",
            help="median: of completed trials, or of all recorded at the milestone (default: completed).",
        ),
    ] = None
    min_samples: Annotated[
        int | None,
        whole(
            "--min-samples",
            panel=SCHEDULER,
            help="median: running averages that there must be before a trial is stopped (default: 1).",
        ),
    ] = None

    def make(self, surrogate: Surrogate, num_trials: int | None, seed: int) -> Scheduler:
        """Make the scheduler; its mode, and max_t unless given, are the surrogate's.

        Raises
        ------
        ParameterError
            As `hbsim.make_scheduler`.
        """
        from hbsim.core.factory import build
        from hbsim.core.options import make_options

        options = {"max_t": surrogate.max_resource, **given(self)}
        type_ = options.pop("type")
        study = {"num_trials": num_trials, "seed": seed, "mode": surrogate.mode}
        return build(make_options(type_, {**options, **study}))
