"""The pages of public names, made from the code by ``python -m tests.names_page``; a test holds them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import hbsim
from hbsim.core.options import Options
from hbsim.options import declared
from hbsim.study.options import RecordOptions, RunOptions

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "names.md"
API_PAGE = PAGE.with_name("api.md")
FUNCTIONS = ("make_scheduler", "simulate", "run", "record", "compare", "sweep", "load", "load_sweep")
CLASSES = ("Cluster", "Command", "FIFOScheduler", "HyperbandScheduler", "Hosts", "Dask")
# The sections of the API's page; a name that is in none comes last.
SECTIONS = {
    "Plan, simulate and compare": (
        *("plan", "make_scheduler", "simulate", "compare", "sweep", "load_sweep"),
        *("Cluster", "Result", "Sweep"),
    ),
    "Run for real": (
        *("run", "record", "load", "RunResult", "SimulatedResult", "Callback", "Hosts", "Dask", "Command"),
    ),
    "In a training function or a script": ("args", "report", "checkpoint_dir"),
    "Search spaces": ("Space", "Real", "Int", "Choice", "Bool", "List", "Dict", "obj", "func"),
    "AutoTorch's classes": ("HyperbandScheduler", "FIFOScheduler", "Task", "save", "done"),
}
NO_MEMBERS = (
    "Command",
    "Real",
    "Int",
    "Choice",
    "Bool",
    "FIFOScheduler",
)  # of use to hbsim itself, or inherited
MEMBERS = {"Cluster": "[from_file, as_dict]", **dict.fromkeys(NO_MEMBERS, "false")}
API_HEAD = """# Python API: `import hbsim`

What `import hbsim` gives you, with signatures and docstrings. The site shows them below. Where code is hosted
you see the names only; the [index](names.md) has a line about each. [The parts](api-parts.md) has the
names of `hbsim.core`, `hbsim.surrogates`, `hbsim.searchers`, `hbsim.validation` and `hbsim.errors`.
"""
HEAD = """# Public names

What is listed here stays; everything else may change from one version to the next. Each name links to its
signature and docstring. Options of commands are in [the command line](cli.md).
"""


def first_line(thing: object) -> str:
    """Return the first sentence of a docstring, in a line."""
    text = inspect.getdoc(thing) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def names() -> list[str]:
    """Return a table of what ``import hbsim`` has."""
    rows = ["| name | what it is |", "| --- | --- |"]
    for name in sorted(hbsim.__all__, key=str.lower):
        link = f"[`hbsim.{name}`](api.md#hbsim.{name})"
        rows.append(f"| {link} | {first_line(getattr(hbsim, name))} |")
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


def api_page() -> str:
    """Return the page from which the site makes the reference of the API."""
    left = sorted(set(hbsim.__all__) - {name for names in SECTIONS.values() for name in names})
    parts = [API_HEAD]
    for title, names in {**SECTIONS, "Further names": left}.items():
        if found := [name for name in names if name in hbsim.__all__]:
            parts.append(f"## {title}\n")
        for name in found:
            options = f"    options:\n      members: {MEMBERS[name]}\n" if name in MEMBERS else ""
            parts.append(f"::: hbsim.{name}\n{options}")
    return "\n".join(parts)


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([HEAD, "## `import hbsim`\n", *names(), "\n## Parameters\n", *option_table()]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    API_PAGE.write_text(api_page(), "utf-8")
