"""The console entry point ``hbsim``."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

import hbsim
from hbsim.cli.clusters import clusters
from hbsim.cli.command import Command, Group, say
from hbsim.cli.compare import compare
from hbsim.cli.record import record
from hbsim.cli.report import report
from hbsim.cli.run import run
from hbsim.cli.simulate import simulate
from hbsim.cli.surrogates import surrogates
from hbsim.cli.surrogates_import import WithImport
from hbsim.cli.sweep import sweep
from hbsim.cli.validate import validate
from hbsim.errors import nearest
from hbsim.terminal import print_out

__all__ = ["app", "main"]

# Old versions of Typer keep Click's errors elsewhere.
CLICK_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]

NOT_TAKEN: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

ELSEWHERE: Final = "hbsim run has it; compare and sweep use other machines by --hosts or --scheduler-address"

app = typer.Typer(
    name="hbsim",
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
app.command(cls=Command, short_help="Simulate one study.")(simulate)
app.command(cls=Command, short_help="Compare variants of schedulers over seeds.")(compare)
app.command(cls=Command, short_help="Run many studies from a file.")(sweep)
app.command(cls=Command, short_help="Say what came out of a sweep: a page, figures, tables.")(report)
app.command(cls=Command, short_help="Run a study for real.")(run)
app.command(cls=Command, short_help="Record learning curves for the simulator.")(record)
app.command(cls=Command, short_help="Hold the simulator against real runs.")(validate)
app.command(cls=WithImport, short_help="List learning curves, or import them.")(surrogates)
app.command(cls=Command, short_help="List simulated clusters.")(clusters)


def _version(wanted: bool) -> None:
    if wanted:
        print_out(f"hbsim {hbsim.__version__}")
        raise typer.Exit


@app.callback()
def hbsim_(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Simulate asynchronous Hyperband on learning curves, and compare its variants.

    Results go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 the work failed or
    was interrupted, 2 the request was wrong.

    For example:
      hbsim simulate --scheduler promotion --brackets 3 --workers 32 --trials 1000 --surrogate synthetic
    """


def main() -> None:
    """Run the command line; never returns."""
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("error", "interrupted: nothing was written")
        code = 1
    except OSError as error:
        if error.errno not in NOT_TAKEN or error.filename is not None:
            raise
        if error.errno != errno.EPIPE:  # else whoever read stdout has gone, as `head` does
            say("error", f"standard output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's last flush is quiet
        code = 1
    exec("")  # or Python would end by signal after an interrupt that came in an exec, as in dataclasses
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    try:
        code = get_command(app).main(arguments or ["--help"], prog_name="hbsim", standalone_mode=False)
    except CLICK_ERROR as error:
        say("error", _usage(error))
        return 2
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == 130:  # Typer's, for an interrupt outside a command
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> str:
    possible = getattr(error, "possibilities", None)
    if getattr(error, "option_name", "") == "--executor":
        return f"{error.message}: {ELSEWHERE}."
    near = nearest(error.option_name, possible) if possible else ""
    text = f"{error.message}.{near}" if near else error.format_message()
    ctx = getattr(error, "ctx", None)
    end = "" if text.endswith("?") else "."
    return f"{text.rstrip('.')}{end} See {ctx.command_path} --help." if ctx else text
