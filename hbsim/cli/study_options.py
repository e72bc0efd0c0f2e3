"""The options that commands share, in groups: each group is a dataclass, each field an option.

None stands for "not given", so that the core can tell an option of another scheduler from its default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from hbsim.cli.cluster_options import ClusterOptions
from hbsim.cli.fields import flag, given, number, whole, word
from hbsim.cli.scheduler_options import LevelOptions, SchedulerOptions
from hbsim.cli.search_options import search_options

if TYPE_CHECKING:
    from hbsim.surrogates import Surrogate

__all__ = [
    "STUDY",
    "BudgetOptions",
    "ClusterOptions",
    "FileOptions",
    "LevelOptions",
    "SchedulerOptions",
    "StudyOptions",
    "SurrogateName",
]

CURVES: Final = "Learning curves"
STUDY: Final = "Study"


SurrogateName: TypeAlias = Annotated[
    str,
    word(
        "--surrogate",
        panel=CURVES,
        metavar="NAME|FILE|fit:FILE|FILE.py:NAME",
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
            metavar="fail|exclude|extrapolate|final",
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
class SearchOptions:
    """Who chooses configurations, and how."""

    searcher: Annotated[
        str | None,
        word(
            "--searcher",
            panel=STUDY,
            metavar="NAME",
            help="Chooses configurations: random (default), grid, sobol, lhs, tpe, bohb, gp, mobster, "
            "optuna:NAME.",
        ),
    ] = None
    search_option: Annotated[
        list[str] | None,
        typer.Option(
            "--search-option",
            metavar="NAME=VALUE",
            rich_help_panel=STUDY,
            help="An option of the searcher, as JSON, or else text; once for each: points=3, "
            "constraints=FILE.py:NAME.",
        ),
    ] = None
    points: Annotated[
        str | None,
        word(
            "--points",
            panel=STUDY,
            metavar="FILE.json",
            help="A list of configurations, each an object by name, that come first.",
        ),
    ] = None

    def search_options(self) -> dict[str, object]:
        """Return the options of the searcher.

        Raises
        ------
        ParameterError
            As `hbsim.cli.search_options.search_options`.
        """
        return search_options(self.search_option, self.points)


@dataclass(frozen=True, slots=True)
class BudgetOptions(SearchOptions):
    """The same, how many trials, and until when."""

    trials: Annotated[
        int | None,
        whole("--trials", panel=STUDY, help="Trials of a study; needed unless something else ends it."),
    ] = None
    max_time: Annotated[
        float | None,
        number("--max-time", panel=STUDY, help="Simulated seconds at which running jobs are cut."),
    ] = None
    replace: Annotated[
        bool, flag("--replace", panel=STUDY, help="Rows of a table may come again, in a seeded order.")
    ] = False


@dataclass(frozen=True, slots=True)
class StudyOptions(BudgetOptions):
    """The same, the seed, and a value that is good enough."""

    seed: Annotated[
        int, whole("--seed", panel=STUDY, help="Of brackets, configurations, slowness and failures.")
    ] = 0
    max_reward: Annotated[
        float | None,
        number("--max-reward", panel=STUDY, help="The study ends at a value at least as good."),
    ] = None
