"""The options of surrogates: the keywords of `load`, declared once, and options in a text, ``key=value``."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from hbsim.errors import ParameterError, nearest
from hbsim.options import option

if TYPE_CHECKING:
    import os

    from hbsim.core.types import Mode

Censored: TypeAlias = Literal["fail", "exclude", "extrapolate", "final"]
Value: TypeAlias = str | int | float
Parsers: TypeAlias = Mapping[str, Callable[[str], Value]]

MODES: Final = ("max", "min")
CENSORED: Final = ("fail", "exclude", "extrapolate", "final")


def check_choice(field: str, value: object, choices: Sequence[str]) -> Any:
    """Return the value if it is one of `choices`, else raise a ParameterError."""
    if not isinstance(value, str) or value not in choices:
        rule = f"must be one of {', '.join(map(repr, choices))}.{nearest(value, choices)}"
        raise ParameterError(field, value, rule)
    return value


def check_text(field: str, value: object) -> str:
    """Return a text, or raise a ParameterError."""
    if not isinstance(value, str):
        raise ParameterError(field, value, "must be text")
    return value


def check_texts(given: Mapping[str, object]) -> None:
    """Raise a ParameterError unless all values that are given, not None, are text."""
    for field, value in given.items():
        if value is not None:
            check_text(field, value)


def check_number(
    field: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
    whole: bool = False,
) -> float:
    """Return a finite number as a float, or raise a ParameterError that names the rule it breaks."""
    kind = "a whole number" if whole else "a finite number"
    wanted = numbers.Integral if whole else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise ParameterError(field, value, f"must be {kind}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ParameterError(field, value, f"must be {kind}")
    if not number > above:
        raise ParameterError(field, value, f"must be above {above:g}")
    if not low <= number <= high:
        rule = f"must be at least {low:g}" if math.isinf(high) else f"must lie in [{low:g}, {high:.17g}]"
        raise ParameterError(field, value, rule)
    return number


def _check_level(field: str, value: object) -> int:
    return int(check_number(field, value, low=0, whole=True))


@dataclass(frozen=True, slots=True)
class SurrogateOptions:
    """Options of `load`: how learning curves are read, and the wrappers around them."""

    metric: str | None = option(
        None,
        metavar="NAME",
        help="Files, yahpo: the metric that decides.",
        panel="Learning curves",
        check=check_text,
    )
    mode: Mode | None = option(
        None,
        metavar="max|min",
        choices=MODES,
        help="Files: whether a higher or a lower value is better.",
        panel="Learning curves",
        check=partial(check_choice, choices=MODES),
    )
    time: str | None = option(
        None,
        metavar="NAME",
        help="Files: the column with the seconds.",
        panel="Learning curves",
        check=check_text,
    )
    seconds_per_unit: float | None = option(
        None,
        takes="number",
        help="Files: seconds that a unit of training takes, in place of the recorded ones.",
        panel="Learning curves",
        check=partial(check_number, above=0.0),
    )
    censored: Censored | None = option(
        None,
        choices=CENSORED,
        help="Files: what to do with curves that end early; needed if there are any.",
        panel="Learning curves",
        check=partial(check_choice, choices=CENSORED),
    )
    test_metric: str | None = option(
        None,
        metavar="NAME",
        help="Files: the metric that judges the best trial.",
        panel="Learning curves",
        check=check_text,
    )
    first_level: int | None = option(
        None,
        takes="whole",
        help="Files (.npz): the level of the first column, 0 or 1.",
        panel="Learning curves",
        check=_check_level,
    )
    wrap: str | Sequence[str] | None = option(
        None,
        takes="texts",
        metavar="NAME[:KEY=VALUE,...]",
        help="Change the curves by noise, negate, cost, corrupt or delay; may be given several times.",
        panel="Learning curves",
    )
    yahpo_data: str | os.PathLike[str] | None = option(
        None, metavar="DIR", help="yahpo: the folder of its files.", panel="Learning curves"
    )


def parse_options(name: str, text: str, parsers: Parsers) -> dict[str, Any]:
    """Parse the options ``key=value,...`` of `name`; `parsers` has a parser for each known option.

    Raises
    ------
    ParameterError
        An option is unknown or given twice (field ``surrogate``), or its value cannot be read.
    """
    options: dict[str, Value] = {}
    for item in text.split(",") if text else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        spec = f"{name}:{text}"
        if key not in parsers:
            known = ", ".join(parsers) or "it has none"
            rule = f"{key!r} is no option of {name}: {known}.{nearest(key, parsers)}"
            raise ParameterError("surrogate", spec, rule)
        if not equals or not value:
            raise ParameterError("surrogate", spec, f"{key} needs a value: {key}=...")
        if key in options:
            raise ParameterError("surrogate", spec, f"{key} must not be given twice")
        options[key] = _parsed(key, value, parsers[key])
    return options


def _parsed(key: str, text: str, parser: Callable[[str], Value]) -> Value:
    try:
        return parser(text)
    except ValueError:
        kind = "a whole number" if parser is int else "a number" if parser is float else "true or false"
        raise ParameterError(key, text, f"must be {kind}") from None
