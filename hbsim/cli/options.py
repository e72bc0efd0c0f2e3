"""The options that commands share, in groups: each group is a dataclass, each field an option.

None stands for "not given", so that the core can tell an option of another scheduler from its default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from hbsim.cli.fields import flag, given, number, parse_speeds, whole, word
from hbsim.cli.scheduler_options import SchedulerOptions

if TYPE_CHECKING:
    from hbsim.simulation import Cluster
    from hbsim.surrogates import Surrogate

__all__ = ["ClusterOptions", "FileOptions", "SchedulerOptions", "StudyOptions", "SurrogateName"]

CURVES: Final = "Learning curves"
STUDY: Final = "Study"
CLUSTER: Final = "Simulated cluster, in simulated seconds"


SurrogateName: TypeAlias = Annotated[
    str,
    word(
        "--surrogate",
        panel=CURVES,
        metavar="NAME|FILE|FILE.py:NAME",
        help="Learning curves; `hbsim surrogates` lists the names. Or yahpo:lcbench/167168.",
    ),
]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are read, and what is put around curves; the fields are those of `hbsim.surrogates.load`."""

    metric: Annotated[
        str | None,
        word("--metric", panel=CURVES, metavar="NAME", help="Files, yahpo: the metric that decides."),
    ] = None
    mode: Annotated[
        str | None, word("--mode", panel=CURVES, metavar="max|min", help="Files: what is better.")
    ] = None
    time: Annotated[
        str | None, word("--time", panel=CURVES, metavar="NAME", help="Files: the column of seconds.")
    ] = None
    seconds_per_unit: Annotated[
        float | None,
        number(
            "--seconds-per-unit", panel=CURVES, help="Files: seconds of a unit, in place of recorded ones."
        ),
    ] = None
    censored: Annotated[
        str | None,
        word(
            "--censored",
            panel=CURVES,
            metavar="fail|exclude|extrapolate",
            help="Files: what becomes of curves that end early.",
        ),
    ] = None
    test_metric: Annotated[
        str | None,
        word(
            "--test-metric",
            panel=CURVES,
            metavar="NAME",
            help="Files: the metric to judge the best trial by.",
        ),
    ] = None
    first_level: Annotated[
        int | None,
        whole("--first-level", panel=CURVES, help="Files (.npz): the level of the first column, 0 or 1."),
    ] = None
    wrap: Annotated[
        list[str] | None,
        typer.Option(
            "--wrap",
            metavar="NAME[:KEY=VALUE,...]",
            rich_help_panel=CURVES,
            help="noise, negate, cost, corrupt or delay the curves; once for each wrapper, in this order.",
        ),
    ] = None
    yahpo_data: Annotated[
        str | None,
        word("--yahpo-data", panel=CURVES, metavar="DIR", help="yahpo: the folder of its files."),
    ] = None

    def load(self, surrogate: str) -> Surrogate:
        """Load a surrogate by its name or path.

        Raises
        ------
        ParameterError, SurrogateError
            As `hbsim.surrogates.load`.
        """
        from hbsim.surrogates import load

        return load(surrogate, **given(self))


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How many trials, until when, and the seed."""

    trials: Annotated[
        int | None,
        whole(
            "--trials", panel=STUDY, help="Trials; needed unless --max-time or --max-reward ends the study."
        ),
    ] = None
    seed: Annotated[
        int, whole("--seed", panel=STUDY, help="Of brackets, configurations, slowness and failures.")
    ] = 0
    max_time: Annotated[
        float | None,
        number("--max-time", panel=STUDY, help="Simulated seconds at which running jobs are cut."),
    ] = None
    max_reward: Annotated[
        float | None,
        number("--max-reward", panel=STUDY, help="The study ends at a value at least as good."),
    ] = None
    replace: Annotated[
        bool, flag("--replace", panel=STUDY, help="Rows of a table may come again, in a seeded order.")
    ] = False
    searcher: Annotated[
        str | None,
        word("--searcher", panel=STUDY, metavar="NAME", help="Chooses configurations (default: random)."),
    ] = None


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """The simulated cluster; the fields are the parameters of `hbsim.Cluster`."""

    workers: Annotated[
        int | None, whole("--workers", panel=CLUSTER, help="How many workers (default: 32).")
    ] = None
    speed: Annotated[
        Any,
        typer.Option(
            "--speed",
            parser=parse_speeds,
            metavar="NUMBER[,NUMBER...]",
            rich_help_panel=CLUSTER,
            help="Training speed of all workers, or of each (default: 1).",
        ),
    ] = None
    startup: Annotated[
        float | None,
        number("--startup", panel=CLUSTER, help="From a job's start until it trains or loads."),
    ] = None
    report_delay: Annotated[
        float | None,
        number("--report-delay", panel=CLUSTER, help="From a milestone until its decision arrives."),
    ] = None
    save: Annotated[
        float | None, number("--save", panel=CLUSTER, help="Saving a checkpoint when a trial pauses.")
    ] = None
    load: Annotated[
        float | None, number("--load", panel=CLUSTER, help="Loading it when the trial goes on.")
    ] = None
    straggler_std: Annotated[
        float | None,
        number("--straggler-std", panel=CLUSTER, help="Stretches take 1 + |z| times as long, z ~ N(0, std)."),
    ] = None
    drop_rate: Annotated[
        float | None,
        number("--drop-rate", panel=CLUSTER, help="Probability a second that a job is lost."),
    ] = None
    resume: Annotated[
        bool | None,
        flag(
            "--resume/--no-resume",
            panel=CLUSTER,
            help="Go on from checkpoints (default), or train from zero.",
        ),
    ] = None
    report: Annotated[
        str | None,
        word(
            "--report",
            panel=CLUSTER,
            metavar="blocking|async",
            help="Training waits for decisions, or runs on until a stop arrives (default: blocking).",
        ),
    ] = None

    def make(self) -> Cluster:
        """Make the cluster.

        Raises
        ------
        ParameterError
            As `hbsim.Cluster`.
        """
        from hbsim.simulation import Cluster

        return replace(Cluster(), **given(self))
