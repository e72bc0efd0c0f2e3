"""The command ``hbsim compare``: compares variants on one task, as a sweep without a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.groups import (
    CLUSTER,
    CURVES,
    LEVELS,
    STUDY,
    make_cluster,
    search_options,
)
from hbsim.cli.options import Given, Group, group
from hbsim.cli.sweep import RESULTS, SWEEP_MACHINES, carry_out, check_results
from hbsim.core.options import Options as SchedulerOptions
from hbsim.options import option

if TYPE_CHECKING:
    from hbsim.bench.sweep.plan import SweepPlan


@dataclass(frozen=True)
class VariantOptions:
    """The options for the schedulers that are compared."""

    variant: list[str] = option(
        takes="texts",
        metavar="TYPE[,OPTION=VALUE...]",
        help="stopping, promotion, sha, hyperband, pasha, median or fifo, with options; once for each. "
        "searcher=NAME is one too.",
    )
    vary: list[str] | None = option(
        None,
        takes="texts",
        metavar="OPTION=VALUE,VALUE...",
        help="Take each variant that has this option, and does not set it, with each of the values.",
    )


@dataclass(frozen=True)
class SeedOptions:
    """The options for the number of studies of each variant."""

    max_full_runs: float | None = option(
        None, takes="number", help="In place of --max-time: so many mean full runs."
    )
    seeds: int = option(100, takes="whole", help="Studies of each variant; paired by seed (default: 100).")
    seed: int = option(0, takes="whole", help="The first seed; the others follow.")
    halves: bool = option(
        True,
        takes="flag",
        help="Each study sees one half of a table's rows, where it has enough of them (default), or all.",
    )
    beyond: float = option(1, takes="number", help="Simulate on to so many times the budget (default: 1).")


ELSEWHERE: Final = ("seed", "max_reward")  # options that only single studies have
GRID: Final = Group(
    "Study",
    {
        **{name: one for name, one in STUDY.options.items() if name not in ELSEWHERE},
        **group("Study", SeedOptions).options,
    },
)


def compare(
    ctx: typer.Context,
    *,
    variants: Annotated[Given, group("Variants", VariantOptions)],
    levels: Annotated[Given, group("Scheduler", SchedulerOptions, only=LEVELS, max_t={"default": None})],
    grid: Annotated[Given, GRID],
    curves: Annotated[Given, CURVES],
    cluster: Annotated[Given, CLUSTER],
    machines: Annotated[Given, SWEEP_MACHINES],
    results: Annotated[Given, RESULTS],
) -> None:
    r"""Compare variants of schedulers on one task, over seeds.

    Every variant runs with the same seeds, which give trial i the same configuration, curve and luck; not the
    same configuration where searchers learn, or differ. The incumbent, the best value so far at any level, is
    scored by what it shows at R. The folder is a sweep's: more --seeds run only what is new, and hbsim report
    makes a page of it.

    For example:
      hbsim compare --variant stopping --variant promotion --vary brackets=1,3 --trials 500 --max-time 300 \
        --surrogate synthetic
      hbsim compare --variant promotion --vary searcher=random,sobol,gp --trials 100 --surrogate synthetic
      hbsim compare --variant promotion --variant fifo --vary reduction_factor=2,3,4 --max-t 81 --trials 500 \
        --surrogate digits --workers 32 --out comparison
    """
    remote = check_results(results, machines)
    carry_out(ctx, _plan(variants, levels, grid, curves, cluster), results, remote, is_shown=True)


def _plan(variants: Given, levels: Given, grid: Given, curves: Given, cluster: Given) -> SweepPlan:
    """Make the specification of a sweep from the options, and check it."""
    from hbsim.bench.comparison import specification
    from hbsim.bench.sweep.plan import make_plan

    defaults: dict[str, Any] = dict(levels)
    for name in ("num_trials", "max_time", "max_full_runs", "searcher", "replace"):
        if name in grid:
            defaults[name] = grid[name]
    if search := search_options(grid):
        defaults["search_options"] = search
    return make_plan(
        *specification(
            variants["variant"],
            variants.get("vary", []),
            {"surrogate": "digits", **curves},
            make_cluster(cluster),
            defaults,
            (grid.get("seed", 0), grid.get("seeds", 100)),
            {"halves": grid.get("halves", True), "beyond": grid.get("beyond", 1)},
        )
    )
