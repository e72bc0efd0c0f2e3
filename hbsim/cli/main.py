"""The console entry point ``hbsim``."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

import hbsim
from hbsim.cli.command import Command, say
from hbsim.cli.compare import compare
from hbsim.cli.record import record
from hbsim.cli.simulate import simulate
from hbsim.cli.surrogates import surrogates
from hbsim.errors import nearest

__all__ = ["app", "main"]

# Old versions of Typer keep Click's errors elsewhere.
CLICK_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="hbsim",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)
for function in (simulate, compare, record, surrogates):
    app.command(cls=Command)(function)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hbsim {hbsim.__version__}")
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

    Example:
      hbsim simulate --scheduler promotion --brackets 3 --workers 32 --trials 1000 --surrogate synthetic
    """


def main() -> None:
    """Run the command line; never returns."""
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read stdout has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        say("error", "interrupted: nothing was written")
        code = 1
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command; return its exit code."""
    try:
        code = get_command(app).main(arguments or ["--help"], prog_name="hbsim", standalone_mode=False)
    except CLICK_ERROR as error:
        say("error", _usage(error))
        return 2
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> str:
    possible = getattr(error, "possibilities", None)
    near = nearest(error.option_name, possible) if possible else ""
    text = f"{error.message}.{near}" if near else error.format_message()
    ctx = getattr(error, "ctx", None)
    return f"{text} See {ctx.command_path} --help." if ctx else text
