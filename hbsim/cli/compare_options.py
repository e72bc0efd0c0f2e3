"""The options of ``hbsim compare`` that no other command has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from hbsim.cli.fields import flag, number, whole, word
from hbsim.cli.options import POINTS, SEARCH_OPTION, SEARCHER

__all__ = ["GridOptions", "SearchOptions", "SharedOptions"]

VARIANTS: Final = "Variants"
STUDIES: Final = "Studies"


@dataclass(frozen=True, slots=True)
class SharedOptions:
    """Variants, and the scheduler's options that all of them share; fields as in `hbsim.make_scheduler`."""

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
    max_t: Annotated[
        float | None,
        number(
            "--max-t",
            panel=VARIANTS,
            help="R, where a trial is complete and scored (default: where curves end).",
        ),
    ] = None
    grace_period: Annotated[
        float | None, number("--grace-period", panel=VARIANTS, help="r, the lowest rung level (default: 1).")
    ] = None
    reduction_factor: Annotated[
        float | None,
        number("--eta", "--reduction-factor", panel=VARIANTS, help="One in eta goes on (default: 3)."),
    ] = None
    retries: Annotated[
        int | None,
        whole("--retries", panel=VARIANTS, help="How often a trial may fail and go on (default: 0)."),
    ] = None
    resource_type: Annotated[
        str | None,
        word(
            "--resource-type",
            panel=VARIANTS,
            metavar="int|float",
            help="Whole units of the resource, or any (default: int).",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """The searcher of all variants that do not name one, and options of those that take them."""

    searcher: Annotated[str | None, word("--searcher", panel=VARIANTS, metavar="NAME", help=SEARCHER)] = None
    search_option: Annotated[
        list[str] | None,
        typer.Option("--search-option", metavar="NAME=VALUE", rich_help_panel=VARIANTS, help=SEARCH_OPTION),
    ] = None
    points: Annotated[str | None, word("--points", panel=VARIANTS, metavar="FILE.json", help=POINTS)] = None


@dataclass(frozen=True, slots=True)
class GridOptions:
    """The studies that each variant has."""

    seeds: Annotated[
        int, whole("--seeds", panel=STUDIES, help="Studies of each variant; their seeds are paired.")
    ] = 20
    seed: Annotated[int, whole("--seed", panel=STUDIES, help="The first seed; the others follow.")] = 0
    trials: Annotated[
        int | None,
        whole("--trials", panel=STUDIES, help="Trials of a study; needed unless --max-time ends it."),
    ] = None
    max_time: Annotated[
        float | None,
        number(
            "--max-time",
            panel=STUDIES,
            help="Simulated seconds at which each study is cut and scored (default: at the earliest end).",
        ),
    ] = None
    replace: Annotated[
        bool, flag("--replace", panel=STUDIES, help="Rows of a table may come again, in a seeded order.")
    ] = False
    jobs: Annotated[
        int | None,
        whole(
            "--jobs",
            panel=STUDIES,
            help="Processes; 1 starts none (default: one a core). With --hosts: on each.",
        ),
    ] = None
