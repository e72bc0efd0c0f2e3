"""The options of ``hbsim run`` that only a real study takes, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import typer

from hbsim.cli.fields import flag, number, whole, word

__all__ = ["FUNCTION", "RunLocalOptions"]

FUNCTION: Final = "Training function"
REAL: Final = "Real study (not --executor sim)"


@dataclass(frozen=True, slots=True)
class RunLocalOptions:
    """What only a real study takes. None stands for "not given": `hbsim.run` has the defaults."""

    time_attr: Annotated[
        str | None,
        word(
            "--time-attr",
            panel=FUNCTION,
            metavar="NAME",
            help="The reported resource, the unit of --max-t (default: epoch).",
        ),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            rich_help_panel=FUNCTION,
            help="Set a constant of its decorator: JSON, or text. May be given several times.",
        ),
    ] = None
    go_on: Annotated[
        bool,
        flag("--resume", panel=REAL, help="Go on with the study in --out; other options are known then."),
    ] = False
    num_cpus: Annotated[
        int | None, whole("--num-cpus", panel=REAL, help="CPU cores of a trial (default: a fair share).")
    ] = None
    num_gpus: Annotated[
        float | None,
        number("--num-gpus", panel=REAL, help="GPUs of a trial; 0.5: two share one (default: fair share)."),
    ] = None
    hang_timeout: Annotated[
        float | None,
        number("--hang-timeout", panel=REAL, help="Seconds without a report after which a trial has hung."),
    ] = None
    grace: Annotated[
        float | None,
        number("--grace", panel=REAL, help="Seconds that a trial has to end before it is killed (5)."),
    ] = None
    keep: Annotated[
        str | None,
        word(
            "--keep",
            panel=REAL,
            metavar="best|completed|all|none",
            help="Whose checkpoints stay when a trial is over (default: best).",
        ),
    ] = None
    fsync: Annotated[
        str | None,
        word(
            "--fsync",
            panel=REAL,
            metavar="second|always|never",
            help="When the journal is forced to the disk (default: at most once a second).",
        ),
    ] = None
    start: Annotated[
        str | None,
        word(
            "--start",
            panel=REAL,
            metavar="fork|spawn",
            help="How a trial's process is made (default: fork on Linux).",
        ),
    ] = None
    visualizer: Annotated[
        str | None,
        word(
            "--visualizer",
            panel=REAL,
            metavar="none|tensorboard",
            help="tensorboard writes event files into the folder.",
        ),
    ] = None
    progress: Annotated[
        str | None,
        word(
            "--progress",
            panel=REAL,
            metavar="auto|table|lines|none",
            help="What stderr shows: a live table, lines, nothing (default: a table on a terminal).",
        ),
    ] = None
