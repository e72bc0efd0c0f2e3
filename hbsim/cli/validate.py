"""``hbsim validate``: whether the simulator is true."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim import terminal

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from hbsim.validation import Validation
    from hbsim.validation.report import TextTable

__all__ = ["validate"]

WIDE: Final = 200  # columns where lines need not be broken


def validate(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of studies that hbsim run has run.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the cluster, tables and timelines here."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold the simulator against real runs, and measure the cluster's parameters from them.

    Each run's trials are simulated again, with parameters measured elsewhere: with several folders in every
    other one of them, with one in the first half of its jobs.

    For example:
      hbsim run train.py:train_fn --scheduler promotion --max-t 27 --trials 50 --workers 2 --out real
      hbsim validate real --out validation
      hbsim simulate --scheduler promotion --max-t 27 --trials 500 --cluster validation/cluster.toml
    """
    from hbsim.cli.output import output_folder
    from hbsim.validation import validate as hold
    from hbsim.validation.report import write

    command = shlex.join(["hbsim", "validate", *map(str, folders)])
    if out is None:
        validation = hold(folders)
    else:
        with output_folder(out, force) as temporary:
            validation = hold(folders)
            write(validation, temporary, {"command": command})
    if as_json:
        _print_json(validation, command, out)
    else:
        _show(validation, out)


def _print_json(validation: Validation, command: str, out: Path | None) -> None:
    from hbsim.cli.output import print_json
    from hbsim.validation.report import as_dict

    files = [] if out is None else sorted(path.name for path in out.iterdir())
    where = None if out is None else str(out)
    print_json({"command": command, **as_dict(validation), "out": where, "files": files})


def _show(validation: Validation, out: Path | None) -> None:

    from hbsim.validation.report import cluster_call, order_lines, tables

    console = terminal.console()
    if not console.is_terminal:
        console.width = WIDE
    for line in order_lines(validation):
        console.print(line, soft_wrap=True)
    for table in tables(validation):
        console.print(f"\n{table.title}", style="bold")
        console.print(_rich(table))
    console.print(f"\n{cluster_call(validation)}", soft_wrap=True)
    if out is not None:
        names = ", ".join(sorted(path.name for path in out.iterdir()))
        console.print(f"\n{out}: {names}", soft_wrap=True)


def _rich(table: TextTable) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, column in enumerate(table.columns):
        made.add_column(column, justify="left" if place < table.texts else "right")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
