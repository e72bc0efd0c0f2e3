"""``hbsim sweep``: many studies from a file."""

from __future__ import annotations

from typing import Annotated

import typer

from hbsim.cli.command import grouped
from hbsim.cli.pipeline import RunOptions, carry_out
from hbsim.errors import ParameterError

__all__ = ["sweep"]


@grouped
def sweep(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="Variants, curves, clusters, seeds.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DIR", help="Where relative paths of curves start (default: the file's)."
        ),
    ] = None,
    run: RunOptions,
) -> None:
    r"""Run variants on learning curves, clusters, numbers of workers and seeds, as a TOML file says.

    All is checked before anything runs. A cell that is finished is never run again: the same command goes on
    after Ctrl-C or a crash, and runs only what is new when the file has grown. A cell that fails is kept with
    its error, and the exit code is 1. docs/reference/sweep.md says what stands in the file.

    For example:
      hbsim sweep study.toml --dry-run
      hbsim sweep study.toml --out study
      hbsim report study --out study.html
    """
    from hbsim.bench.sweep import read_sweep

    if data == "":
        raise ParameterError("data", data, "must name a folder")
    remote = run.check()
    carry_out(ctx, read_sweep(file, data), run, remote, is_shown=False)
