"""The page of public names, made from the code by ``python -m tests.names_page``; a test holds it equal."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import hbsim
from hbsim.cli.main import list_options
from hbsim.core.options import Options
from hbsim.options import declared
from hbsim.study.options import RecordOptions, RunOptions

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "names.md"
FUNCTIONS = ("make_scheduler", "simulate", "run", "record", "compare", "sweep", "load", "load_sweep")
CLASSES = ("Cluster", "Command", "FIFOScheduler", "HyperbandScheduler", "Hosts", "Dask")
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


def meanings(owner: object) -> dict[tuple[str, ...], str]:
    """Return the first sentence of a docstring about each parameter, or about several together."""
    text = inspect.getdoc(owner) or ""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", text, re.M | re.S)
    entries = re.findall(
        r"^(\S[^:\n]*?)(?: : [^\n]*)?\n((?:    [^\n]*\n?|\n)*)", section[1] if section else "", re.M
    )
    return {
        tuple(name.strip() for name in names.split(",")): re.split(r"[.;](?:\s|$)", " ".join(words.split()))[
            0
        ]
        for names, words in entries
        if not words.lstrip().startswith("See ")
    }


def option_table() -> list[str]:
    """Return a table of all parameters of functions and classes."""
    together: dict[str, str] = {}
    alone: dict[str, str] = {}
    for owner in reversed((*FUNCTIONS, *CLASSES)):
        for names, text in meanings(getattr(hbsim, owner)).items():
            (alone if len(names) == 1 else together).update(dict.fromkeys(names, text))
    for group in (RecordOptions, RunOptions, Options, hbsim.Hosts, hbsim.Dask):
        together |= {name: one.help for name, one in declared(group).items() if one.help}
    helps = together | alone
    rows = ["| parameter | taken by | what it means |", "| --- | --- | --- |"]
    for name, owners in sorted(parameters().items()):
        meaning = helps.get(name, "").replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{name}` | {', '.join(owners)} | {meaning} |")
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
