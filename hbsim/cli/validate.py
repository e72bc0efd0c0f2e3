"""The command ``hbsim validate``: compares simulations with real runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.output import output_folder, print_json, table, wide_console

if TYPE_CHECKING:
    from hbsim.planning.check import ForecastCheck
    from hbsim.validation import Validation

WIDTH: Final = 200  # columns, where stdout is no terminal


def validate(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of studies of hbsim run.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            "--out",
            metavar="DIR",
            help="Write the cluster, tables and timelines into this folder.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results in --folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the simulator with real runs, and measure the cluster from them.

    The trials of each run are simulated again on a cluster that was measured elsewhere: in every other run,
    or, of a single run, in the first half of its jobs. If `hbsim plan` kept a forecast in the folder, it is
    compared with what happened. The written `cluster.toml` is a file for `--cluster`.

    For example:
      hbsim validate exp
      hbsim validate exp --folder validation
    """
    from hbsim.planning.check import check_forecast
    from hbsim.validation import validate as hold
    from hbsim.validation.report import as_dict, write

    command = shlex.join(["hbsim", "validate", *map(str, folders)])
    if folder is None:
        validation = hold(folders)
    else:
        with output_folder(folder, force) as temporary:
            validation = hold(folders)
            write(validation, temporary, {"command": command})
    forecasts = [found for one in folders if (found := check_forecast(one)) is not None]
    files = [] if folder is None else sorted(path.name for path in folder.iterdir())
    if as_json:
        out = None if folder is None else str(folder)
        checked = [one.as_dict() for one in forecasts]
        print_json(
            {"command": command, **as_dict(validation), "forecasts": checked, "out": out, "files": files}
        )
    else:
        _show(validation, forecasts)
        if folder is not None:
            wide_console(WIDTH).print(f"\n{folder}: {', '.join(files)}", soft_wrap=True)


def _show(validation: Validation, forecasts: Sequence[ForecastCheck]) -> None:
    from hbsim.validation.report import cluster_call, order_lines, tables

    console = wide_console(WIDTH)
    for line in order_lines(validation):
        console.print(line, soft_wrap=True)
    for one in tables(validation):
        console.print(f"\n{one.title}", style="bold")
        console.print(table(one.columns, one.rows, one.columns[: one.texts]))
    for found in forecasts:
        console.print(f"\nThe forecast in {found.folder}, and what came", style="bold")
        console.print(table(("", "forecast, 80 %", "came", "interval"), found.rows(), ("", "interval")))
        for note in found.notes:
            console.print(note, soft_wrap=True)
    console.print(f"\n{cluster_call(validation)}", soft_wrap=True)
