"""Errors in the words of the command line, options in groups, progress."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from rich.console import Console

from hbsim.cli import progress as module
from hbsim.cli.command import grouped, in_options, spelled
from hbsim.errors import OutputError, ParameterError, SurrogateError

SPELLING = {
    "max_t": "--max-t",
    "reduction_factor": "--eta",
    "trials": "--trials",
    "replace": "--replace",
    "mode": "--mode",
    "time": "--time",
    "surrogate": "",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set replace=True, or not", "set --replace, or not"),
        ("replace it, at any time", "replace it, at any time"),
        ("between max_t and reduction_factor", "between --max-t and --eta"),
        ("decides, mode='min'", "decides, --mode min"),
        ("num_trials=5 is few", "--trials 5 is few"),
        ("brackets=5, x_max_t, max_t_2", "brackets=5, x_max_t, max_t_2"),
        ("a/max_t.csv: no such file", "a/max_t.csv: no such file"),
        ("max_t.csv: no such file", "max_t.csv: no such file"),
        ("is no option of x:time=3,mode=max, sir", "is no option of x:time=3,mode=max, sir"),
        ("max_t is needed. max_t.", "--max-t is needed. --max-t."),
        ("give max_t: it is needed", "give --max-t: it is needed"),
    ],
)
def test_parameters_in_a_text(text, expected):
    assert in_options(text, SPELLING) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ParameterError("max_t", 0, "must be above 0"), "--max-t 0: must be above 0"),
        (ParameterError("num_trials", None, "is needed"), "--trials: is needed"),
        (ParameterError("reduction_factor", (1, 2.5), "one"), "--eta 1,2.5: one"),
        (ParameterError("surrogate", "a b", "no"), "'a b': no"),
        (ParameterError("n", 3, "below max_t"), "n=3: below --max-t"),
        (SurrogateError("x.csv", "no column"), "x.csv: no column"),
        (OutputError("x", "is full"), "x: is full"),
    ],
)
def test_errors_as_options(error, expected):
    assert spelled(error, SPELLING) == expected


@dataclass(frozen=True)
class Pair:
    left: Annotated[int, typer.Option("--left")]
    right: Annotated[str, typer.Option("--right")] = "r"


def test_groups_become_options_and_groups_again():
    seen = []

    @grouped
    def command(*, first: Annotated[bool, typer.Option("--first")] = False, pair: Pair) -> None:
        seen.append((first, pair))

    app = typer.Typer()
    app.command()(command)
    typer.main.get_command(app).main(["--left", "3", "--first"], standalone_mode=False)
    assert seen == [(True, Pair(3, "r"))]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_after_a_while(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(module, "QUIET", -1.0)
    with module.progress(lambda: 1234, 5000, "trials"):
        pass
    assert "1,234 of 5,000 trials" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_no_progress_of_what_is_quick_or_on_no_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(module, "QUIET", 1e9 if stream is Terminal else -1.0)
    with module.progress(lambda: 1, 2, "trials"):
        pass
    assert "trials" not in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("done", "seconds", "end"),
    [
        (30, 10.0, ["10", "s,", "about", "35", "s", "left"]),  # 20 in 10 s, and 70 are left
        (30, 4.0, ["studies,", "4", "s"]),
        (12, 10.0, ["studies,", "10", "s"]),
        (100, 10.0, ["studies,", "10", "s"]),
    ],
)
def test_the_rest_is_told_from_what_was_done_meanwhile(done, seconds, end):
    console = Console(file=io.StringIO(), width=120)
    console.print(module._line(done, 100, "studies", seconds, first=10))
    assert console.file.getvalue().split()[-len(end) :] == end


def test_progress_without_a_known_end():
    console = Console(file=io.StringIO(), width=100)
    console.print(module._line(7, None, "trials started", 65.4))
    assert console.file.getvalue().split()[-4:] == ["trials", "started,", "65", "s"]
