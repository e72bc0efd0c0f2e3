"""The command ``hbsim compare``: compares variants on one task, as a sweep without a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.groups import (
    CLUSTER,
    CURVES,
    LEVELS,
    SCHEDULER,
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


COMMON: Final = (
    *("variant", "vary", "max_t", "num_trials", "max_time", "seeds"),
    *("surrogate", "workers", "cluster", "folder"),
)


@dataclass(frozen=True)
class VariantOptions:
    """The options for the schedulers that are compared."""

    variant: list[str] = option(
        takes="texts",
        metavar="TYPE[,OPTION=VALUE...]",
        help="A scheduler with its options, such as promotion,brackets=3; may be given several times.",
    )
    vary: list[str] | None = option(
        None,
        takes="texts",
        metavar="OPTION=VALUE,VALUE...",
        help="Compare each variant with each of these values, such as brackets=1,3; may be given several "
        "times.",
    )


@dataclass(frozen=True)
class SeedOptions:
    """The options for the number of studies of each variant."""

    max_full_runs: float | None = option(
        None, takes="number", help="Time for so many mean full runs, in place of --max-time."
    )
    seeds: int = option(100, takes="whole", help="How many seeds: studies of each variant (default: 100).")
    seed: int = option(0, takes="whole", help="The first seed; the others follow it (default: 0).")
    halves: bool = option(
        True,
        takes="flag",
        help="Each study sees one half of a table's rows (default, where there are enough), or all of them.",
    )
    beyond: float = option(1, takes="number", help="How many times the budget is simulated (default: 1).")


ELSEWHERE: Final = ("seed", "max_reward")  # options that only single studies have
LEVEL_OPTIONS: Final = group(
    "Scheduler",
    SchedulerOptions,
    only=LEVELS,
    max_t={"default": None, "help": SCHEDULER.options["max_t"].help},
)
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
    variants: Annotated[Given, group("Study", VariantOptions)],
    levels: Annotated[Given, LEVEL_OPTIONS],
    grid: Annotated[Given, GRID],
    curves: Annotated[Given, CURVES],
    cluster: Annotated[Given, CLUSTER],
    machines: Annotated[Given, SWEEP_MACHINES],
    results: Annotated[Given, RESULTS],
) -> None:
    r"""Compare variants of schedulers on one task, over many seeds.

    Every variant runs with the same seeds. They give trial i the same configuration, curve and luck, unless
    the searchers differ or learn from results. The incumbent, the best value so far at any level, is scored
    by its value at R. The folder is that of a sweep: with more `--seeds` only what is new is run, and `hbsim
    report` makes a page of it.

    For example:
      hbsim compare --variant stopping --variant promotion --num-trials 100 \
        --seeds 10 --surrogate synthetic
      hbsim compare --variant promotion --vary brackets=1,3 --num-trials 100 \
        --seeds 10 --folder comparison
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
