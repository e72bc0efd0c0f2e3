"""``hbsim compare``: variants against each other on one task, a sweep without a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.command import grouped
from hbsim.cli.fields import flag, given, number, whole
from hbsim.cli.pipeline import RunOptions, carry_out
from hbsim.cli.study_options import (
    STUDY,
    BudgetOptions,
    ClusterOptions,
    FileOptions,
    LevelOptions,
    SurrogateName,
)

if TYPE_CHECKING:
    from hbsim.bench.sweep import SweepPlan

__all__ = ["compare"]

VARIANTS: Final = "Variants"


@dataclass(frozen=True, slots=True)
class VariantOptions:
    """Which schedulers."""

    variant: Annotated[
        list[str],
        typer.Option(
            "--variant",
            metavar="TYPE[,OPTION=VALUE...]",
            rich_help_panel=VARIANTS,
            help="stopping, promotion, sha, hyperband, pasha, median or fifo, with options; once for each. "
            "searcher=NAME is one too.",
        ),
    ]
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="OPTION=VALUE,VALUE...",
            rich_help_panel=VARIANTS,
            help="Take each variant that has this option, and does not set it, with each of the values.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class GridOptions(BudgetOptions):
    """The studies that each variant has; `trials`, `max_time` and `replace` as elsewhere."""

    max_full_runs: Annotated[
        float | None,
        number("--max-full-runs", panel=STUDY, help="In place of --max-time: so many mean full runs."),
    ] = None
    seeds: Annotated[int, whole("--seeds", panel=STUDY, help="Studies of each variant; paired by seed.")] = (
        100
    )
    seed: Annotated[int, whole("--seed", panel=STUDY, help="The first seed; the others follow.")] = 0
    halves: Annotated[
        bool,
        flag(
            "--halves/--no-halves",
            panel=STUDY,
            help="Each study sees one half of a table's rows, where it has enough of them, or all.",
        ),
    ] = True
    beyond: Annotated[
        float, number("--beyond", panel=STUDY, help="Simulate on to so many times the budget.")
    ] = 1.0


@grouped
def compare(
    ctx: typer.Context,
    *,
    variants: VariantOptions,
    levels: LevelOptions,
    grid: GridOptions,
    surrogate: SurrogateName = "digits",
    files: FileOptions,
    cluster: ClusterOptions,
    run: RunOptions,
) -> None:
    r"""Compare variants of schedulers on one task, over seeds.

    Every variant runs with the same seeds, which give trial i the same configuration, curve and luck; not the
    same configuration where searchers learn, or differ. The incumbent, the best value so far at any level, is
    scored by what it shows at R. The folder --out is a sweep's: more --seeds run only what is new, and hbsim
    report makes a page of it.

    For example:
      hbsim compare --variant stopping --variant promotion --vary brackets=1,3 --trials 500 --max-time 300 \
        --surrogate synthetic
      hbsim compare --variant promotion --vary searcher=random,sobol,gp --trials 100 --surrogate synthetic
      hbsim compare --variant promotion --variant fifo --vary reduction_factor=2,3,4 --max-t 81 --trials 500 \
        --surrogate digits --workers 32 --out comparison
    """
    remote = run.check()
    plan = _plan(variants, levels, grid, surrogate, files, cluster)
    carry_out(ctx, plan, run, remote, is_shown=True)


def _plan(
    variants: VariantOptions,
    levels: LevelOptions,
    grid: GridOptions,
    surrogate: str,
    files: FileOptions,
    cluster: ClusterOptions,
) -> SweepPlan:
    """Make the specification that the options stand for, and check it."""
    from hbsim.bench.comparison import specification
    from hbsim.bench.sweep import make_plan

    defaults: dict[str, Any] = given(levels)
    if grid.trials is not None:
        defaults["num_trials"] = grid.trials
    for name in ("max_time", "max_full_runs", "searcher"):
        if (value := getattr(grid, name)) is not None:
            defaults[name] = value
    if grid.replace:
        defaults["replace"] = True
    if search := grid.search_options():
        defaults["search_options"] = search
    return make_plan(
        *specification(
            variants.variant,
            variants.vary or [],
            {"surrogate": surrogate, **given(files)},
            cluster.make(),
            defaults,
            (grid.seed, grid.seeds),
            {"halves": grid.halves, "beyond": grid.beyond},
        )
    )
