"""The console entry point ``hbsim`` and the list of its commands, which are loaded when they are called."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

import hbsim
from hbsim.cli.command import SETTINGS, lines_kept, make_command, say
from hbsim.errors import nearest
from hbsim.terminal import print_out

# Each command is the function NAME in the module hbsim.cli.NAME.
COMMANDS: Final = {
    "plan": "Forecast what a budget buys, and which scheduler to run.",
    "simulate": "Simulate one study.",
    "compare": "Compare variants of schedulers.",
    "run": "Run a study for real.",
    "show": "Show how a study stands, while it runs and after it.",
    "best": "Show the best trial of a study, and its model.",
    "record": "Record learning curves for the simulator.",
    "validate": "Compare the simulator with real runs.",
    "sweep": "Run many simulated studies from a file.",
    "report": "Report the results of a sweep or comparison.",
    "surrogates": "List learning curves, or import them.",
    "clusters": "List simulated clusters.",
}
# Old versions of Typer have Click's errors in another module.
CLICK_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]
NOT_TAKEN: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
ELSEWHERE: Final = "hbsim run has it; compare and sweep use other machines by --hosts or --scheduler-address"


class Commands(TyperGroup):
    """The group of all commands; its help keeps the lines of examples."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = lines_kept(self.help)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, name: str) -> Any:
        """Load a command."""
        if name not in COMMANDS:
            ctx.fail(f"No such command {name!r}.{nearest(name, COMMANDS)}")
        module = import_module(f".{name}", "hbsim.cli")
        kind, common = getattr(module, "COMMAND", None), getattr(module, "COMMON", ())
        return make_command(name, getattr(module, name), kind, common)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="hbsim",
    cls=Commands,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
)


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
    """Plan, simulate, compare and run hyperparameter tuning by asynchronous Hyperband.

    `hbsim COMMAND --help` has the options and two examples of each command.
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
        if error.errno != errno.EPIPE:  # else the reader of stdout has ended, such as `head`
            say("error", f"standard output: {error.strerror}")
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that Python's last flush is silent
        code = 1
    exec("")  # else Python would end by a signal after an interrupt in an exec, as in dataclasses
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
    if code == 130:  # Typer's code for an interrupt outside of a command
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


class CommandOption(NamedTuple):
    """An option of a command, as in the command's help.

    Attributes
    ----------
    command : str
        The command: ``"simulate"``, ``"surrogates import"``.
    heading : str
        The heading above it; ``"Arguments"`` for positional arguments.
    panel : str
        The heading of its group, which is another one where it is among the common options.
    names : tuple of str
        Its first name, followed by the aliases.
    metavar : str
        The placeholder of its value; empty for a flag.
    help : str
        Its meaning.
    """

    command: str
    heading: str
    panel: str
    names: tuple[str, ...]
    metavar: str
    help: str


def list_commands() -> Iterator[tuple[str, Any]]:
    """Yield all commands, in the order of the help, each before its subcommands."""
    group: Any = get_command(app)
    ctx = group.make_context("hbsim", [], resilient_parsing=True)
    for name in COMMANDS:
        command = group.get_command(ctx, name)
        yield name, command
        yield from ((f"{name} {more.name}", more) for more in getattr(command, "more", ()))


def list_options() -> Iterator[CommandOption]:
    """Yield the options of all commands, in the order of their help."""
    for name, command in list_commands():
        for heading, parameters in command.sections().items():
            for one in parameters:
                names = (*one.opts, *one.secondary_opts) if one.opts[0].startswith("-") else ()
                metavar = "" if getattr(one, "is_flag", False) else one.metavar or ""
                panel = command.panel_of(one)
                yield CommandOption(name, heading, panel, names, metavar, one.help or "")
