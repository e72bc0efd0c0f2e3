"""Errors in the words of the command line, options made from declarations, progress."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
from rich.console import Console

from hbsim.cli import output
from hbsim.cli.command import command_line, in_options, make_command, spelled
from hbsim.cli.options import Given, Step, default_of, group, named_values
from hbsim.errors import OutputError, ParameterError, SurrogateError
from hbsim.options import option

SPELLING = {
    "max_t": "--max-t",
    "reduction_factor": "--eta",
    "num_trials": "--trials",
    "replace": "--replace",
    "mode": "--mode",
    "time": "--time",
    "surrogate": "",
    "search_options": "--search-option",
    "points": "--points",
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


def test_errors_about_a_searchers_options():
    def text(field, value):
        return spelled(ParameterError(field, value, "no"), SPELLING)

    assert text("search_options.size", 3) == "--search-option size=3: no"
    assert text("search_options.kind", "a b") == "--search-option 'kind=a b': no"
    assert text("search_options.constraints", None) == "--search-option constraints: no"
    assert text("search_options", "size") == "--search-option size: no"
    assert text("search_options.points_to_evaluate", [1]) == "--points '[1]': no"


@dataclass(frozen=True)
class Declared:
    """One of each kind of option."""

    whole: int = option(takes="whole", help="")
    number: float = option(1.5, takes="number", flags=("--number", "--nr"), help="")
    wholes: list = option(None, takes="wholes", help="")
    amount: object = option(0, takes="amount", can_be_none=True, help="")
    numbers: object = option(1, takes="numbers", help="")
    steps: object = option((), takes="steps", can_be_none=True, help="")
    text: str = option("", choices=("a", "b"), help="Which of them.")
    texts: list = option(None, takes="texts", help="")
    flag: bool = option(False, takes="flag", help="")
    is_on: bool = option(True, takes="flag", panel="Others", help="")
    tables: list = option((), takes="tables", help="")


GROUP = group("Group", Declared, leave_out=("texts",), flag={"parameter": "another", "flags": ("--other",)})


@pytest.fixture
def seen():
    """A command, and what its function is called with."""
    calls = []

    def command(*, first: int = 3, declared: Annotated[Given, GROUP]) -> None:
        calls.append((first, declared))

    return make_command("command", command), calls


def run(command, text):
    with command.make_context("command", text.split()) as ctx:
        command.invoke(ctx)
        return ctx


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("", {}),
        ("--nr 2", {"number": 2}),
        ("--number 2.5 --wholes 1 --wholes 2", {"number": 2.5, "wholes": [1, 2]}),
        ("--amount 2 --numbers 3", {"amount": 2, "numbers": 3}),
        (
            "--amount exponential:mean=3 --numbers 1,0.5",
            {"amount": "exponential:mean=3", "numbers": (1, 0.5)},
        ),
        ("--amount none --steps none", {"amount": 0, "steps": ()}),
        ("--steps 0:4,1.5:16", {"steps": (Step(0, 4), Step(1.5, 16))}),
        ("--text none --other --no-is-on", {"text": "none", "flag": True, "is_on": False}),
    ],
)
def test_a_command_gets_what_was_given_by_the_names_of_python(seen, text, given):
    command, calls = seen
    run(command, f"--whole 1 {text}")
    assert calls == [(3, {"whole": 1, **given})]


def test_a_group_has_defaults_and_help(seen):
    command, _ = seen
    assert default_of(GROUP, {"whole": 2, "flag": True}) == {
        "whole": 2,
        "number": 1.5,
        "wholes": None,
        "amount": 0,
        "numbers": 1,
        "steps": (),
        "text": "",
        "another": True,
        "is_on": True,
    }
    text = command.get_help(command.make_context("command", ["--whole", "1"]))
    assert "Group:" in text
    assert "--number, --nr NUMBER" in text
    assert "--text a|b" in text
    assert text.index("Others:") < text.index("--is-on / --no-is-on")
    assert "table" not in text


def test_a_command_line_is_spelled_as_it_was_typed(seen):
    command, _ = seen
    text = "--whole 1 --nr 2 --wholes 1 --wholes 2 --steps 0:4,9:1 --other --no-is-on"
    assert command_line(run(command, text)) == f"hbsim command {text}"
    typed = "--nr=2.5 --whole 1"
    assert command_line(run(command, typed), ("another",)) == "hbsim command --whole 1 --nr 2.5"


def test_values_of_names_are_json_or_text():
    texts = ["a=1", "b=text", "c=[1, null]", "a=2.5", "d=NaN", "e=x=y"]
    values = {"a": 2.5, "b": "text", "c": [1, None], "d": "NaN", "e": "x=y"}
    assert named_values("args", texts) == json.loads(json.dumps(values))
    for text in ("3=4", "=4", "a", "a b=3"):
        with pytest.raises(ParameterError, match="must be NAME=VALUE"):
            named_values("args", [text])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_after_a_while(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(output, "SILENT", -1.0)
    with output.progress(lambda: 1234, 5000, "trials"):
        pass
    assert "1,234 of 5,000 trials" in sys.stderr.getvalue()


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_no_progress_of_what_is_quick_or_on_no_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(output, "SILENT", 1e9 if stream is Terminal else -1.0)
    with output.progress(lambda: 1, 2, "trials"):
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
    console.print(output._progress_line(done, 100, "studies", seconds, first=10))
    assert console.file.getvalue().split()[-len(end) :] == end


def test_progress_without_a_known_end():
    console = Console(file=io.StringIO(), width=100)
    console.print(output._progress_line(7, None, "trials started", 65.4))
    assert console.file.getvalue().split()[-4:] == ["trials", "started,", "65", "s"]
