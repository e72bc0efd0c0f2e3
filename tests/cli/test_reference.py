"""The tables of options in docs/reference, and of the journal's records, made from the declarations.

``python -m tests.cli.test_reference`` writes them anew.
"""

from __future__ import annotations

import dataclasses
import html
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from hbsim.cli.main import COMMANDS, list_commands, list_options
from hbsim.cli.study_file import FIELDS
from hbsim.options import PANELS, declared
from hbsim.runner.records import KINDS
from hbsim.simulation import Cluster, Machines

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = REFERENCE / "cli.md"
CLUSTER_PAGE = REFERENCE / "cluster.md"
STUDY_FILE_PAGE = REFERENCE / "study-file.md"
JOURNAL_PAGE = REFERENCE / "journal.md"
RECORDS = re.compile(r"(?<=<!-- records: made from their declarations -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)
OWN = ("Arguments", "Options", "Training function", "Study", "Learning curves", "Output")
COMMAND = re.compile(r"(?<=<!-- command: made from its docstring -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(?<=<!-- options: made from their declarations -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def code(text: str) -> str:
    """Return text as code in a table's cell, where some readers of Markdown show the backslash of ``\\|``."""
    escaped = html.escape(text, quote=False).replace("|", "&#124;")
    return f"<code>{escaped}</code>" if "|" in text else f"`{text}`"


def groups_of_options() -> dict[str, dict[tuple[str, str], list[str]]]:
    """Return by headings the rows of options, each a name and a meaning, with the commands that have it."""
    groups: dict[str, dict[tuple[str, str], list[str]]] = {name: {} for name in ("Arguments", *PANELS)}
    for one in list_options():
        metavar = one.metavar if one.names else one.metavar.strip("[]")
        words = [", ".join(f"`{name}`" for name in one.names), code(metavar) if metavar else ""]
        row = (" ".join(filter(None, words)), one.help)
        groups[one.panel].setdefault(row, []).append(one.command)
    return groups


def table_of(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return the lines of a table with a row for each option."""
    cells = [[text.strip().replace("|", "\\|") for text in row] for row in rows]
    return ["| option | meaning |", "| --- | --- |", *(f"| {name} | {meaning} |" for name, meaning in cells)]


def is_own(heading: str, commands: list[str]) -> bool:
    """Return whether an option stands with its command: it is in no group that several commands share."""
    return len(commands) == 1 and heading in OWN


def make_table() -> str:
    """Return the tables of the groups of options, with the commands that have them in the headings.

    A row says of which commands its option is, if these are not all of the heading.
    """
    lines = []
    for heading, every in groups_of_options().items():
        rows = {row: commands for row, commands in every.items() if not is_own(heading, commands)}
        if rows:
            all_ = list(dict.fromkeys(command for commands in rows.values() for command in commands))
            lines += ["", f"### {heading}: {', '.join(all_)}", ""]
            lines += table_of(
                (name, help if set(commands) == set(all_) else f"*{', '.join(commands)}:* {help}")
                for (name, help), commands in rows.items()
            )
    return "\n".join(lines) + "\n\n"


def command_part(name: str, about: str) -> str:
    """Return a command's description in Markdown: its text, its examples as code, its own options."""
    *paragraphs, shown = about.split("\n\n")
    code = "\n".join(line.removeprefix("  ") for line in shown.splitlines()[1:])
    text = [textwrap.fill(" ".join(one.split()), 120, break_on_hyphens=False) for one in paragraphs]
    rows = [
        row
        for heading, found in groups_of_options().items()
        for row, commands in found.items()
        if is_own(heading, commands) and commands == [name]
    ]
    table = ["\n".join(table_of(rows))] if rows else []
    return "\n" + "\n\n".join([*text, f"```sh\n{code}\n```", *table]) + "\n\n"


def command_parts() -> dict[str, str]:
    return {name: command_part(name, command.about) for name, command in list_commands()}


def make_cluster_table(group: type) -> str:
    """Return a table of the parameters of a class of the cluster: a row each."""
    lines = ["", "| parameter | default | meaning |", "| --- | --- | --- |"]
    for one in declared(group).values():
        default = "" if one.default is dataclasses.MISSING else f"`{one.default!r}`"
        meaning = re.sub(r" \(default: [^)]*\)\.$", ".", one.help).replace("|", "\\|")
        lines.append(f"| `{one.name}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n\n"


def cluster_tables() -> list[str]:
    return [make_cluster_table(Cluster), make_cluster_table(Machines)]


def study_file_table() -> str:
    """Return the tables of a study's file: a heading a table, a row a field."""
    lines = []
    for table, fields in FIELDS.items():
        lines += ["", f"**`[{table}]`**" if table else "**Above all tables**", ""]
        if fields is None:
            if table == "space":
                lines.append("Fields are names of parameters, their values texts as of `--param`.")
            else:
                lines.append(
                    "Fields are names of the training function's arguments, or of options of the searcher."
                )
            continue
        lines += ["| field | value | meaning |", "| --- | --- | --- |"]
        for one in fields.values():
            value = code(one.metavar) if one.metavar else "true, false"
            meaning = one.help.replace("|", "\\|")
            lines.append(f"| `{one.name}` | {value} | {meaning} |")
    return "\n".join(lines) + "\n\n"


def journal_table() -> str:
    """Return a table of the kinds of records, each with its fields in their order."""
    lines = ["", "| `e` | meaning | fields |", "| --- | --- | --- |"]
    for tag, kind in KINDS.items():
        meaning = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
        names = [
            f"`{key}`" if default is dataclasses.MISSING else f"`{key}`*"
            for name, key, default in kind.line
            if name != "time"
        ]
        lines.append(f"| `{tag}` | {meaning} | {', '.join(names)} |")
    return "\n".join(lines) + "\n\n"


def test_the_page_of_the_journal_has_all_records():
    assert RECORDS.findall(JOURNAL_PAGE.read_text("utf-8")) == [journal_table()], f"python -m {__name__}"


def test_the_page_describes_all_commands():
    page = PAGE.read_text("utf-8")
    assert COMMAND.findall(page) == list(command_parts().values()), f"python -m {__name__} writes it"
    assert re.findall(r"^## hbsim (.*)$", page, flags=re.MULTILINE) == list(command_parts())


def test_the_pages_have_all_options():
    assert TABLE.findall(PAGE.read_text("utf-8")) == [make_table()], f"python -m {__name__} writes it"
    found = TABLE.findall(CLUSTER_PAGE.read_text("utf-8"))
    assert found == cluster_tables(), f"python -m {__name__} writes them"
    assert TABLE.findall(STUDY_FILE_PAGE.read_text("utf-8")) == [study_file_table()]


def test_options_are_listed_by_command_with_their_names_and_aliases():
    options = list(list_options())
    commands = list(dict.fromkeys(one.command for one in options))
    assert [name for name in commands if " " not in name] == list(COMMANDS)
    assert "surrogates import" in commands
    names = {one.names for one in options if one.command == "simulate"}
    assert ("--num-trials", "--trials") in names
    assert ("--reduction-factor", "--eta") in names
    assert ("--resume", "--no-resume") in names
    assert all(one.help for one in options)
    assert all(one.names[0].startswith("--") for one in options if one.heading != "Arguments" and one.names)


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    parts = iter(command_parts().values())
    text = COMMAND.sub(lambda match: next(parts), text)
    PAGE.write_text(TABLE.sub(lambda match: make_table(), text), "utf-8")
    text, tables = CLUSTER_PAGE.read_text("utf-8"), iter(cluster_tables())
    CLUSTER_PAGE.write_text(TABLE.sub(lambda match: next(tables), text), "utf-8")
    text = STUDY_FILE_PAGE.read_text("utf-8")
    STUDY_FILE_PAGE.write_text(TABLE.sub(lambda match: study_file_table(), text), "utf-8")
    text = JOURNAL_PAGE.read_text("utf-8")
    JOURNAL_PAGE.write_text(RECORDS.sub(lambda match: journal_table(), text), "utf-8")
