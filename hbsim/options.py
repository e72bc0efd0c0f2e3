"""Declarations of options: what each is called, takes and means, said once.

A group of options is a dataclass, each of whose fields is made by `option`. Python checks what it is given
against these declarations; the command line, TOML files and the tables of the docs are made from them.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar

from hbsim.errors import ParameterError, nearest

__all__ = [
    "NONE",
    "Check",
    "Option",
    "Takes",
    "check_options",
    "declared",
    "flag",
    "named_options",
    "one_of",
    "option",
    "unknown_option",
]

P = ParamSpec("P")
T = TypeVar("T")
Check: TypeAlias = Callable[[str, object], Any]
Takes: TypeAlias = Literal[
    "number", "whole", "wholes", "amount", "numbers", "steps", "text", "texts", "flag", "tables"
]
METAVARS: Final[dict[Takes, str]] = {
    "number": "NUMBER",
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
NONE: Final = "none"  # the word that stands for the default, where a file has another value
# What other tools, and hbsim before, call an option.
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
        Its name in Python and in files.
    help : str
        A sentence on what it means, for the command line and the docs.
    takes : str
        How a text is read as its value: ``"number"``, ``"whole"`` (a whole number), ``"amount"`` (a number or
        the text of a distribution), ``"numbers"`` (one number, or several as in ``1,1,0.5``), ``"steps"``
        (pairs of a time and a whole number, as in ``0:4,3600:16``), ``"text"``, ``"flag"``; ``"wholes"`` and
        ``"texts"`` may be given several times; ``"tables"`` are only in files.
    choices : tuple of str
        The words that it takes; empty if it takes others.
    metavar : str
        What stands for its value in the help.
    flags : tuple of str
        Its names on the command line, the first one before its aliases. By default ``--name``, and
        ``--name/--no-name`` for a flag whose default is True.
    panel : str
        The heading under which the help and the docs have it; empty where that is its group's.
    can_be_none : bool
        Whether the command line takes the word ``none`` for the default, in place of what a file has.
    default : object
        Its value if it is not given.
    check : callable
        Takes the name and a value, and returns the checked value or raises `ParameterError`.
    """

    name: str
    help: str
    takes: Takes
    choices: tuple[str, ...]
    metavar: str
    flags: tuple[str, ...]
    panel: str
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
    panel: str = "",
    can_be_none: bool = False,
) -> Any:
    """Return a field of a dataclass that declares an option; `Option` says what the parameters mean.

    Without `check`, a word of `choices` or a flag is checked as such, and any other value is taken as it is.
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
    """Return the rule that an unknown name breaks: what it is called, or the one that was probably meant."""
    names = list(names)
    if OTHER_WORDS.get(name) in names:
        return f"is called {OTHER_WORDS[name]}"
    return f"is no option{of}.{nearest(name, names)}"


def named_options(function: Callable[P, T]) -> Callable[P, T]:
    """Make an unknown keyword a `ParameterError` that suggests the near name, not a TypeError."""
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    of = f" of {function.__qualname__.removesuffix('.__init__')}"

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, value in kwargs.items():
            if name not in names:
                rule = unknown_option(name, names, of)
                if rule.endswith("."):  # none is near
                    rule += f" It takes {', '.join(names)}."
                raise ParameterError(name, value, rule)
        return function(*args, **kwargs)

    return checked


def one_of(*words: str) -> Check:
    """Return a check that a value is one of some words."""

    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            near = nearest(str(value), words)
            raise ParameterError(name, value, f"must be one of {', '.join(words)}.{near}")
        return value

    return check


def flag(name: str, value: object) -> bool:
    """Check that a value is True or False; NumPy's count too."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # NumPy 2, and 1
        return bool(value)
    raise ParameterError(name, value, "must be True or False")


def _as_it_is(name: str, value: object) -> object:
    return value
