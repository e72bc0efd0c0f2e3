"""The page of public names, made from the code by ``python -m tests.names_page``; a test holds it equal."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

import hbsim
from hbsim.cli.main import app
from hbsim.core.options import Options
from hbsim.options import declared
from hbsim.study.options import RecordOptions, RunOptions

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "names.md"
FUNCTIONS = ("make_scheduler", "simulate", "run", "record", "compare", "sweep", "load", "load_sweep")
CLASSES = ("Cluster", "FIFOScheduler", "HyperbandScheduler", "Hosts", "Dask")
HEAD = """# Public names

This page is made from the code (`python -m tests.names_page`). What is listed here stays; everything else may
change from one version to the next.
"""


def first_line(thing: object) -> str:
    """Return the first sentence of a docstring, in a line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def names() -> list[str]:
    """Return a table of what ``import hbsim`` has."""
    rows = ["| name | what it is |", "| --- | --- |"]
    for name in sorted(hbsim.__all__, key=str.lower):
        rows.append(f"| `hbsim.{name}` | {first_line(getattr(hbsim, name))} |")
    return rows


def parameters() -> dict[str, list[str]]:
    """Return which functions and classes take a parameter."""
    found: dict[str, list[str]] = {}
    for owner in (*FUNCTIONS, *CLASSES):
        for name in inspect.signature(getattr(hbsim, owner)).parameters:
            found.setdefault(name, []).append(f"`{owner}`")
    return found


def commands() -> dict[str, list[tuple[str, list[str]]]]:
    """Return by the Python name of each option the commands that take it, with its flags there."""
    root: Any = typer.main.get_command(app)
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for title, command in sorted(root.commands.items()):
        for parameter in command.params:
            flags = [*parameter.opts, *parameter.secondary_opts]
            if parameter.param_type_name == "option" and "--help" not in flags:
                found.setdefault(flags[0].removeprefix("--").replace("-", "_"), []).append((title, flags))
    return found


def option_table() -> list[str]:
    """Return a table of all parameters of functions and classes."""
    helps = {
        name: one.help
        for group in (RecordOptions, RunOptions, Options)
        for name, one in declared(group).items()
    }
    rows = ["| parameter | taken by | what it means |", "| --- | --- | --- |"]
    for name, owners in sorted(parameters().items()):
        rows.append(f"| `{name}` | {', '.join(owners)} | {helps.get(name, '').replace('|', chr(92) + '|')} |")
    return rows


def command_table() -> list[str]:
    """Return a table of all options of commands."""
    rows = ["| option | commands |", "| --- | --- |"]
    for _, takers in sorted(commands().items()):
        flags = dict.fromkeys(flag for _, group in takers for flag in group)
        shown = ", ".join(f"`{flag}`" for flag in flags)
        rows.append(f"| {shown} | {', '.join(title for title, _ in takers)} |")
    return rows


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "## `import hbsim`\n", *names(), "\n## Parameters in Python\n", *option_table()]
    return "\n".join([*parts, "\n## Options of commands\n", *command_table()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
