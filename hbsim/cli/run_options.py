"""The options of ``hbsim run``: those of ``hbsim simulate``, and those that only a real study has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.cluster_options import CHECKPOINTS
from hbsim.cli.fields import flag, given, number, whole, word
from hbsim.cli.remote_options import RunRemoteOptions
from hbsim.cli.run_local_options import FUNCTION, RunLocalOptions
from hbsim.cli.simulate import OutputOptions
from hbsim.cli.study_options import ClusterOptions, FileOptions, SchedulerOptions, StudyOptions
from hbsim.errors import ParameterError, nearest

if TYPE_CHECKING:
    from hbsim.surrogates import Surrogate

__all__ = [
    "EXECUTORS",
    "RunClusterOptions",
    "RunCurveOptions",
    "RunOutputOptions",
    "RunSchedulerOptions",
    "RunStudyOptions",
    "check_executor",
    "check_words",
]

EXECUTORS: Final = ("local", "hosts", "dask", "sim")

SCHEDULER: Final = "Scheduler"
STUDY: Final = "Study"
CURVES: Final = "Learning curves"

WORDS: Final = {
    "executor": EXECUTORS,
    "keep": ("best", "completed", "all", "none"),
    "fsync": ("second", "always", "never"),
    "start": ("fork", "spawn"),
    "visualizer": ("none", "tensorboard"),
    "progress": ("auto", "table", "lines", "none"),
}


@dataclass(frozen=True, slots=True)
class RunSchedulerOptions(SchedulerOptions):
    """The same; a study that goes on has its scheduler, so it need not be named again."""

    type: Annotated[
        str,
        typer.Option(
            "--scheduler",
            metavar="stopping|promotion|sha|hyperband|pasha|median|fifo",
            rich_help_panel=SCHEDULER,
            help="Which scheduler decides. Needed, unless with --resume.",
            show_default=False,
        ),
    ] = ""
    max_t: Annotated[
        float | None,
        number(
            "--max-t",
            panel=SCHEDULER,
            help="R, where a trial is complete. Needed but for fifo; with sim by default where curves end.",
        ),
    ] = None

    def chosen(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in given(self).items() if value != ""}


@dataclass(frozen=True, slots=True)
class RunStudyOptions(StudyOptions):
    """The same, in seconds of the study or simulated ones."""

    seed: Annotated[
        int,
        whole("--seed", panel=STUDY, help="Of brackets, configurations and the seeds that trials are given."),
    ] = 0
    max_time: Annotated[
        float | None,
        number("--max-time", panel=STUDY, help="Seconds of the study at which running jobs are cut."),
    ] = None
    replace: Annotated[
        bool, flag("--replace", panel=STUDY, help="sim: rows of a table may come again, in a seeded order.")
    ] = False


@dataclass(frozen=True, slots=True)
class RunCurveOptions(FileOptions):
    """What the training function reports; and how files of recorded curves are read."""

    metric: Annotated[
        str | None,
        word(
            "--metric",
            panel=FUNCTION,
            metavar="NAME",
            help="The reported metric that decides (default: accuracy; with sim that of the curves).",
        ),
    ] = None
    mode: Annotated[
        str | None,
        word(
            "--mode",
            panel=FUNCTION,
            metavar="max|min",
            help="What is better (default: max; with sim as the curves have it).",
        ),
    ] = None

    def load(self, surrogate: str) -> Surrogate:
        """Load learning curves: a file's decide as asked; those of a name have to agree, before any wrapper.

        Raises
        ------
        ParameterError, SurrogateError
            As `hbsim.surrogates.load`, and where the curves decide on something else.
        """
        from hbsim.surrogates import load
        from hbsim.surrogates.fitted import PREFIX as FITTED
        from hbsim.surrogates.table import SUFFIXES
        from hbsim.surrogates.yahpo import PREFIX

        file = Path(surrogate).suffix in SUFFIXES or surrogate.startswith(FITTED)
        if file or (self.metric or self.mode) is None:
            return load(surrogate, **given(self))
        curves = load(surrogate, **given(replace(self, metric=None, mode=None, wrap=None)))
        several = surrogate == "digits" or surrogate.startswith(PREFIX)
        if several and self.metric not in (None, curves.metric):
            return load(surrogate, **given(self))  # it has other metrics
        for name in ("metric", "mode"):
            asked, has = getattr(self, name), getattr(curves, name)
            if asked not in (None, has):
                rule = f"{surrogate} decides on {curves.metric}, where {curves.mode} is better"
                raise ParameterError(name, asked, rule)
        return load(curves, wrap=self.wrap)


@dataclass(frozen=True, slots=True)
class RunClusterOptions(ClusterOptions):
    """The same; --resume is another thing here."""

    workers: Annotated[
        int | None,
        whole(
            "--workers",
            panel=STUDY,
            help="How many trials run at the same time (default: as many as fit; with sim 32).",
        ),
    ] = None
    resume: Annotated[
        bool | None,
        flag(
            "--checkpoints/--no-checkpoints",
            panel=CHECKPOINTS,
            help="Go on from checkpoints (default), or train from zero.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RunOutputOptions(OutputOptions):
    """The same; a real study always has a folder."""

    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The study's folder (default: exp). With sim: for tables, if wanted."
        ),
    ] = None
    plot: Annotated[
        bool, typer.Option("--plot", rich_help_panel=CURVES, help="Draw the study: PNG files in --out.")
    ] = False
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=CURVES, help="Replace earlier results in --out.")
    ] = False


def _names(group: type[Any]) -> frozenset[str]:
    return frozenset(field.name for field in fields(group))


# What not every executor takes. sim knows the resource by its curves: --time-attr is no mistake there.
ONLY: Final = {
    ("local", "hosts", "dask"): _names(RunLocalOptions) - {"time_attr"},
    ("hosts", "dask"): _names(RunRemoteOptions),
    ("sim",): (_names(RunCurveOptions) - {"metric", "mode"})
    | (_names(RunClusterOptions) - {"workers"})
    | {"surrogate", "replace", "plot", "force"},
}


def check_executor(executor: str, asked: Collection[str], values: Mapping[str, object]) -> None:
    """Check that there is such an executor, and that it takes the options that were asked for.

    Raises
    ------
    ParameterError
        Names the first option that only others take.
    """
    check_words({"executor": executor})
    for name in asked:
        for executors, names in ONLY.items():
            if name in names and executor not in executors:
                value = values[name]
                takers = " or ".join(executors).replace(" or ", ", ", len(executors) - 2)
                rule = f"is for --executor {takers}; --executor {executor} does not take it"
                raise ParameterError(name, None if isinstance(value, bool) else value, rule)


def check_words(values: Mapping[str, object]) -> None:
    """Raise a `ParameterError` for a word that is none of those that its option takes."""
    for name, words in WORDS.items():
        value = values.get(name)
        if value is not None and value not in words:
            raise ParameterError(
                name, value, f"must be one of {', '.join(words)}.{nearest(str(value), words)}"
            )
