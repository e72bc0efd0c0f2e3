"""The page of public names, made from the code by ``python -m tests.names_page``; a test holds it equal."""

from __future__ import annotations

import inspect
from pathlib import Path

import hbsim
from hbsim.cli.main import list_options
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
    """Return a table of all options of commands, with the aliases of each."""
    flags: dict[str, dict[str, None]] = {}
    commands: dict[str, dict[str, None]] = {}
    for one in list_options():
        if one.names and "--help" not in one.names:
            flags.setdefault(one.names[0], {}).update(dict.fromkeys(one.names))
            commands.setdefault(one.names[0], {})[one.command] = None
    rows = ["| option | commands |", "| --- | --- |"]
    for name in sorted(flags):
        shown = ", ".join(f"`{flag}`" for flag in flags[name])
        rows.append(f"| {shown} | {', '.join(commands[name])} |")
    return rows


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, "## `import hbsim`\n", *names(), "\n## Parameters in Python\n", *option_table()]
    return "\n".join([*parts, "\n## Options of commands\n", *command_table()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
