"""Declarations of options: the name, values and meaning of each, in one place.

A group of options is a dataclass, each of whose fields is made by `option`. Python functions check arguments
by these declarations; the command line, TOML files and the tables of the docs are made from them.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar, get_args

from hbsim.errors import ParameterError, nearest

P = ParamSpec("P")
T = TypeVar("T")
Check: TypeAlias = Callable[[str, object], Any]
Takes: TypeAlias = Literal[
    "number", "duration", "whole", "wholes", "amount", "numbers", "steps", "text", "texts", "flag", "tables"
]
# The headings above options in the help and the docs, in their order there.
Panel: TypeAlias = Literal[
    "",
    "Options",
    "Training function",
    "Script in place of a function",
    "Study",
    "Searcher",
    "Scheduler",
    "Scheduler: stopping, promotion, pasha",
    "Scheduler: sha, hyperband",
    "Scheduler: median",
    "Retries and time limits",
    "Checkpoints and processes",
    "Hosts by SSH",
    "Dask cluster",
    "Hosts and Dask clusters",
    "Learning curves",
    "Simulated machines",
    "Simulated delays",
    "Simulated checkpoints",
    "Simulated failures and absences",
    "Output",
]
PANELS: Final[tuple[Panel, ...]] = get_args(Panel)
METAVARS: Final[dict[Takes, str]] = {
    "number": "NUMBER",
    "duration": "TIME",
    "whole": "N",
    "wholes": "N",
    "amount": "DIST",
    "numbers": "NUMBER[,NUMBER...]",
    "steps": "TIME:NUMBER,...",
    "text": "TEXT",
    "texts": "TEXT",
    "flag": "",
    "tables": "",
}
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # of durations, in seconds
_DURATION: Final = re.compile(r"(\d+\.?\d*|\.\d+)\s*([smhd])\s*")
NONE: Final = "none"  # the word that stands for the default, where a file has another value
# Names of options in other tools and earlier versions of hbsim.
OTHER_WORDS: Final = {
    "eta": "reduction_factor",
    "reward_attr": "metric",
    "time_out": "max_time",
    "trials": "num_trials",
}


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of one option.

    Attributes
    ----------
    name : str
        The option's name in Python and in files.
    help : str
        A sentence on its meaning, for the command line and the docs.
    takes : str
        How a text is read as its value: ``"number"``, ``"duration"`` (seconds, or a text as in ``30m``, see
        `parse_duration`), ``"whole"`` (a whole number), ``"amount"`` (a number or
        the text of a distribution), ``"numbers"`` (one number, or several as in ``1,1,0.5``), ``"steps"``
        (pairs of a time and a whole number, as in ``0:4,3600:16``), ``"text"``, ``"flag"``; ``"wholes"`` and
        ``"texts"`` may be given several times; ``"tables"`` are only in files.
    choices : tuple of str
        The words that are its values; empty if it has other values.
    metavar : str
        The placeholder of its value in the help.
    flags : tuple of str
        Its names on the command line, the first one before its aliases. By default ``--name``, and
        ``--name/--no-name`` for a flag whose default is True.
    panel : str
        The heading above it in the help and the docs, one of `PANELS`; empty if that is its group's heading.
    can_be_none : bool
        Whether the word ``none`` on the command line means the default, in place of the value in a file.
    default : object
        The value if the option is not given.
    check : callable
        Called with the name and a value; returns the checked value or raises `ParameterError`.
    """

    name: str
    help: str
    takes: Takes
    choices: tuple[str, ...]
    metavar: str
    flags: tuple[str, ...]
    panel: Panel
    can_be_none: bool
    default: object
    check: Check


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    takes: Takes = "text",
    check: Check | None = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
    flags: tuple[str, ...] = (),
    panel: Panel = "",
    can_be_none: bool = False,
) -> Any:
    """Return a field of a dataclass that declares an option; `Option` describes the parameters.

    Without `check`, words of `choices` and flags are checked as such, and other values are not checked.
    """
    if check is None:
        check = one_of(*choices) if choices else flag if takes == "flag" else _as_it_is
    shown = metavar if metavar is not None else "|".join(choices) or METAVARS[takes]
    if can_be_none:
        shown = f"{shown}|{NONE}"
    parts = {
        "help": help,
        "takes": takes,
        "choices": choices,
        "metavar": shown,
        "flags": flags,
        "panel": panel,
        "can_be_none": can_be_none,
        "check": check,
    }
    return field(default=default, metadata={"option": parts})


def declared(group: type) -> dict[str, Option]:
    """Return the options that a dataclass declares, by name, in their order."""
    found = {}
    for one in dataclasses.fields(group):
        if "option" in one.metadata:
            parts = dict(one.metadata["option"])
            flags = parts.pop("flags") or _flags(one.name, parts["takes"] == "flag" and one.default is True)
            found[one.name] = Option(name=one.name, default=one.default, flags=flags, **parts)
    return found


def _flags(name: str, is_on: bool) -> tuple[str, ...]:
    words = name.replace("_", "-")
    return (f"--{words}/--no-{words}" if is_on else f"--{words}",)


def check_options(group: type, given: Mapping[str, object]) -> dict[str, object]:
    """Check values by the declarations of a group, and return them.

    Raises
    ------
    ParameterError
        A name that the group does not have, or a value that breaks its rule.
    """
    options = declared(group)
    for name, value in given.items():
        if name not in options:
            raise ParameterError(name, value, unknown_option(name, options))
    return {name: options[name].check(name, value) for name, value in given.items()}


def unknown_option(name: str, names: Iterable[str], of: str = "") -> str:
    """Return the rule that an unknown name breaks, with the right name, or a suggestion of a similar one."""
    names = list(names)
    if OTHER_WORDS.get(name) in names:
        return f"is called {OTHER_WORDS[name]}"
    return f"is no option{of}.{nearest(name, names)}"


def named_options(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function raise, for an unknown keyword, a `ParameterError` that suggests a similar name."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    of = f" of {function.__qualname__.removesuffix('.__init__')}"

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, value in kwargs.items():
            if name not in names:
                rule = unknown_option(name, names, of)
                if rule.endswith("."):  # no name is similar
                    rule += f" It takes {', '.join(names)}."
                raise ParameterError(name, value, rule)
        return function(*args, **kwargs)

    return checked


def one_of(*words: str) -> Check:
    """Return a check that a value is one of these words."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            near = nearest(str(value), words)
            raise ParameterError(name, value, f"must be one of {', '.join(words)}.{near}")
        return value

    return check


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90``, ``90s``, ``30m``, ``1.5h``, ``1h 30m`` or ``2d``.

    Raises
    ------
    ValueError
        The text is none.
    """
    words = text.strip().lower()
    parts = _DURATION.findall(words)
    if not parts or _DURATION.sub("", words):
        return float(words)
    return float(sum(float(number) * UNITS[unit] for number, unit in parts))


def flag(name: str, value: object) -> bool:
    """Check that a value is True or False; NumPy's bool is accepted, too."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # NumPy 2, and 1
        return bool(value)
    raise ParameterError(name, value, "must be True or False")


def _as_it_is(name: str, value: object) -> object:
    return value
