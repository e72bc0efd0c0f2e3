"""Text of others on a terminal: it is shown, and steers nothing, whatever command prints it."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from hbsim import terminal
from hbsim.cli.command import _warnings_as_lines
from hbsim.cli.study_output import show_run
from hbsim.errors import HbsimWarning, OutputError, SurrogateError
from hbsim.terminal import STEERS, shown
from tests.cli.conftest import Ran
from tests.study.made import Made

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "clear": "\x1b[2J\x1b[H",
    "link": "\x1b]8;;http://example.org\x1b\\text\x1b]8;;\x1b\\",
    "title": "\x1b]0;title\x07",
    "return": "good\rbad",
    "backspace": "bad\b\b\bgood",
    "c1": "\x9b2J\x9d0;t\x9c",
    "delete": "\x7f",
    "bidi": "abc\u202egnp.exe\u2066x\u2069",
    "hidden": "a\u200bb\ufeffc\u00add",
    "lines": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "half": "\udc80",
    "tags": "\U000e0041",
}
HARMLESS = [
    "naïve — ≈ 1 µs",
    "日本語",
    "a\tb\nc",
    "no\u00a0break",
    "[bold]x[/bold] :smile:",
    r"\x1b[2J",
    "🙂",
]
ALL = "".join(HOSTILE.values())
FILE = "".join(HOSTILE[name] for name in ("clear", "title", "return", "c1", "bidi", "half"))
SWEEP = """\
title = %s
seeds = 1
workers = [2]
[[variants]]
type = "stopping"
name = %s
[[variants]]
type = "fifo"
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=9"
num_trials = 6
name = %s
"""


def check(text: str) -> None:
    """Nothing in it steers a terminal, apart from what Rich writes: colours."""
    assert STEERS.findall(re.sub(r"\x1b\[[0-9;]*m", "", text)) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_what_steers_is_shown(name):
    text = shown(HOSTILE[name])
    check(text)
    assert text.isprintable()
    assert shown(text) == text
    assert re.sub(r"\\(x..|u....|U.{8}|r)", "", text) == STEERS.sub("", HOSTILE[name])


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_not_steer_stays(text):
    assert shown(text) == text


def test_errors_and_warnings_wherever_they_are_printed():
    for error in (OutputError(ALL, ALL), SurrogateError(ALL, ALL), HbsimWarning(ALL)):
        check(str(error))
    assert OutputError(ALL, "x").path == ALL  # for programs it is exact


def test_rich_text_and_tables(capsys, monkeypatch):
    from rich.table import Table
    from rich.text import Text

    monkeypatch.setenv("FORCE_COLOR", "1")
    console = terminal.console(width=200)
    table = Table(title=ALL)
    table.add_column(ALL)
    for cell in (ALL, Text(ALL, "bold red"), "[bold]x[/bold]"):
        table.add_row(cell)
    console.print(ALL, style="bold")
    console.print(Text(ALL))
    console.print(table)
    out = capsys.readouterr().out
    check(out)
    assert "\x1b[1m" in out
    assert out.count(r"\x1b[2J") >= 5
    assert "[bold]x[/bold]" in out


def test_other_warnings(capsys):
    with _warnings_as_lines({}):
        warnings.simplefilter("always")
        warnings.warn(ALL, UserWarning, stacklevel=1)
        warnings.warn(HbsimWarning(ALL), stacklevel=1)
    err = capsys.readouterr().err
    check(err)
    assert err.count(r"\x1b[2J") == 2


COMMANDS = {
    "simulate": ["simulate", "--scheduler", "stopping", "--trials", "9", "--surrogate", f"{FILE}.csv"],
    "word": ["simulate", "--scheduler", ALL, "--surrogate", "synthetic"],
    "option": ["simulate", f"--{ALL}"],
    "command": [ALL],
    "compare": ["compare", "--surrogate", f"{FILE}.npz", "--trials", "9", "--variant", "fifo"],
    "sweep": ["sweep", f"{FILE}.toml", "--out", "x"],
    "report": ["report", FILE],
    "run": ["run", f"{FILE}.py:train", "--scheduler", "stopping", "--max-t", "9", "--trials", "3"],
    "resume": ["run", "--resume", "--out", FILE],
    "record": ["record", f"{FILE}.py:train", "--trials", "3", "--out", "x.parquet", "--max-t", "3"],
    "validate": ["validate", FILE],
    "surrogates": ["surrogates", f"{FILE}.parquet"],
    "import": ["surrogates", "import", f"{FILE}.db", "--out", "x.parquet"],
    "clusters": ["clusters", f"{FILE}.toml"],
    "cluster": ["simulate", "--scheduler", "fifo", "--surrogate", "synthetic", "--cluster", f"{FILE}.toml"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_names_of_what_is_missing(call: Callable[..., Ran], name: str):
    ran = call(*COMMANDS[name])
    assert ran.code == 2 or name in ("validate",)
    check(ran.out + ran.err)
    assert r"\x1b[2J" in ran.err


COMPARED = ("--trials", "3", "--variant", "fifo", "--seeds", "2", "--jobs", "1", "--surrogate")


def test_a_table_of_others(call: Callable[..., Ran], tmp_path: Path):
    """Names of columns, of the folder, and of what is in it."""
    path = tmp_path / "curves.csv"
    names = ["trial", ALL.replace("\r", "").replace("\udc80", ""), "epoch", "loss"]
    rows = [f"{row},{row / 10},{epoch},{row + 1 / epoch}" for row in range(4) for epoch in (1, 2, 3)]
    header = ",".join(f'"{name}"' for name in names)
    path.write_text("\n".join([header, *rows]), "utf-8")
    words = ["--metric", "loss", "--mode", "min", "--seconds-per-unit", "1"]
    for command in (
        ["surrogates", str(path), *words],
        ["simulate", "--scheduler", "stopping", "--trials", "3", "--surrogate", str(path), *words],
        ["compare", *COMPARED, str(path), *words],
    ):
        ran = call(*command)
        check(ran.out + ran.err)
        assert ran.code == 0
        ran = call(*command, "--json")
        check(ran.out + ran.err)
        assert isinstance(json.loads(ran.out), dict)


def test_a_sweep_and_its_report(call: Callable[..., Ran], tmp_path: Path):
    text = "".join(f"\\U{ord(character):08x}" for character in ALL.replace("\udc80", ""))
    (tmp_path / "sweep.toml").write_text(SWEEP % ((f'"{text}"',) * 3), "utf-8")
    for command in (
        ["sweep", "sweep.toml", "--out", "out", "--dry-run"],
        ["sweep", "sweep.toml", "--out", "out", "--jobs", "1"],
        ["report", "out"],
        ["report", "out", "--out", "page.html"],
    ):
        ran = call(*command)
        check(ran.out + ran.err)
        assert ran.code == 0, ran.err
        assert r"\x1b[2J" in ran.out or command[0] == "report"


def test_a_real_study(tmp_path: Path, capsys):
    """The function's name, metrics, reasons of failures, and a folder's files."""
    made = Made(tmp_path / "exp", reward=f"accuracy{ALL.replace(chr(0xDC80), '')}")
    object.__setattr__(made.spec, "train", f"{FILE}.py:train")
    one, two = made.start(0, 0.0), made.start(1, 0.0)
    made.rows(one, [(1, 0.5)], 1.0)
    made.fail(two, f"ValueError: {ALL}", 2.0)
    made.close("interrupted", 3.0)
    result = made.result()
    (result.folder / FILE).write_text("")
    show_run(result, [0], result.folder)
    out = capsys.readouterr().out
    check(out)
    assert out.count(r"\x1b[2J") >= 3


def test_there_is_no_other_way_to_a_terminal():
    """In what people call: no print, no echo and no console but those of `hbsim.terminal`."""
    ways = ("print", "typer.echo", "typer.secho", "Console", "sys.stdout.write", "sys.stderr.write")
    found = []
    for path in (ROOT / "hbsim").rglob("*.py"):
        if path.is_relative_to(ROOT / "hbsim" / "executors") or path.name == "terminal.py":
            continue
        if path.name in ("script.py", "ranks.py"):  # in users' scripts, whose texts are hbsim's or their own
            continue
        text = path.read_text("utf-8")
        if not any(f"{way}(" in text for way in ways):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ways:
                found.append(f"{path}:{node.lineno}")
    assert found == []
