"""The options of a scheduler, and which type takes which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Final, Literal, TypeAlias

import numpy as np

from hbsim.core.cuts import RULES
from hbsim.core.exact import exact, whole
from hbsim.core.sampling import SAMPLINGS
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest

__all__ = ["TYPES", "UNSET", "Options", "Unset", "completed", "make_options", "meant"]


class Unset(Enum):
    """The type of `UNSET`: an option that was not given, whatever its default."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<default>"


UNSET: Final = Unset.UNSET
Given: TypeAlias = object

MOST_RETRIES: Final = 65_535  # an attempt's number is kept in two bytes
COMMON: Final = ("max_t", "mode", "num_trials", "retries", "loss_retries", "seed", "resource_type")
RUNGS: Final = (*COMMON, "grace_period", "reduction_factor")
BRACKETS: Final = (*RUNGS, "brackets", "bracket_sampling", "shared_rungs")
TYPES: Final[dict[str, tuple[str, ...]]] = {
    "stopping": (*BRACKETS, "rule"),
    "promotion": (*BRACKETS, "straight_on", "keep_size_ratios", "failed_places"),
    "sha": (*RUNGS, "n", "quota", "overlap"),
    "hyperband": (*RUNGS, "n_formula", "quota", "overlap"),
    "pasha": (*RUNGS, "epsilon", "straight_on", "keep_size_ratios", "failed_places"),
    "median": (*COMMON, "grace_period", "interval", "among", "min_samples"),
    "fifo": COMMON,
}
POPULATIONS: Final = ("completed", "recorded")
LATER: Final[dict[str, Given]] = {"failed_places": "passed-on"}  # not in what 0.1 kept: what it did


@dataclass(frozen=True, slots=True)
class Options:
    """All options, checked; those that a type does not take stand at their defaults.

    `make_scheduler` says what each means.
    """

    type: str
    max_t: float
    mode: Mode = "max"
    num_trials: int | None = None
    retries: int = 0
    loss_retries: int | None = None
    seed: int = 0
    resource_type: Literal["int", "float"] = "int"
    grace_period: float = 1
    reduction_factor: float = 3
    brackets: int = 1
    bracket_sampling: str = "softmax"
    shared_rungs: bool = False
    rule: str = "quantile"
    straight_on: bool = True
    keep_size_ratios: bool = False
    failed_places: str = "passed-on"
    n: int = 0
    quota: str = "actual"
    overlap: bool = False
    n_formula: str = "ceil"
    epsilon: float | None = None
    interval: float = 0
    among: str = "completed"
    min_samples: int = 1

    def as_dict(self) -> dict[str, object]:
        """Return the options that this type takes, plain JSON types; `loss_retries` only if it was given.

        So schedulers from before there was that option are called as they were.
        """
        taken = {"type", *TYPES[self.type]}
        if self.loss_retries is None:
            taken.remove("loss_retries")
        return {name: value for name, value in asdict(self).items() if name in taken}


def make_options(type: str, given: Mapping[str, Given]) -> Options:
    """Check the options that were given for a type of scheduler.

    Raises
    ------
    ParameterError
        For an unknown type, an option of another type whatever its value, or a value out of range.
    """
    if not isinstance(type, str) or type not in TYPES:
        raise ParameterError("type", type, f"must be one of {', '.join(TYPES)}.{meant(type)}")
    given = {name: value for name, value in given.items() if value is not UNSET}
    for name, value in given.items():
        if name not in TYPES[type]:
            raise ParameterError(name, value, _not_taken(name, type))
    for name in ("max_t", "n"):
        if name in TYPES[type] and name not in given:
            raise ParameterError(name, None, f"is required for type {type!r}")
    checked = {name: CHECKS[name](name, value) for name, value in given.items()}
    if "interval" in TYPES[type]:
        checked.setdefault("interval", checked.get("grace_period", 1))
    options = Options(type=type, **checked)  # type: ignore[arg-type]
    if options.retries + (options.loss_retries or 0) > MOST_RETRIES:
        rule = f"must be at most {MOST_RETRIES:,}, together with retries"
        raise ParameterError("loss_retries", options.loss_retries, rule)
    return options


def completed(kept: Mapping[str, Given]) -> dict[str, Given]:
    """Return options as `Options.as_dict` gave them, with those at their defaults that came later.

    So what an older version kept, which lacks them, still names the same scheduler.
    """
    options = dict(kept)
    taken = TYPES.get(str(options.get("type")), ())
    return {**{name: value for name, value in LATER.items() if name in taken}, **options}


def meant(type: object) -> str:
    """Say which type was probably meant."""
    if isinstance(type, str) and type.lower() == "asha":
        return " ASHA is 'promotion'; 'stopping' is its variant that never pauses."
    return nearest(str(type), TYPES)


def _not_taken(name: str, type: str) -> str:
    takers = [repr(other) for other, names in TYPES.items() if name in names]
    if takers:
        return f"is not an option of type {type!r}, but of {', '.join(takers)}"
    return f"is no option of type {type!r}.{nearest(name, TYPES[type])}"


def _plain(field: str, value: Given) -> float:
    number = exact(field, value)
    if number.denominator == 1:
        return int(number)
    if exact(field, float(number)) != number:
        raise ParameterError(field, value, "must be a decimal that a float can print, such as 2.2")
    return float(number)


def _at_least(least: int) -> Callable[[str, Given], int]:
    return lambda field, value: whole(field, value, least)


def _epsilon(field: str, value: Given) -> float | None:
    if value is None:
        return None
    number = exact(field, value)
    if number < 0:
        raise ParameterError(field, value, "must be at least 0; None estimates it")
    return float(number)


def _retries(field: str, value: Given) -> int:
    checked = whole(field, value, 0)
    if checked > MOST_RETRIES:
        raise ParameterError(field, value, f"must be at most {MOST_RETRIES:,}")
    return checked


def _loss_retries(field: str, value: Given) -> int | None:
    return None if value is None else _retries(field, value)


def _num_trials(field: str, value: Given) -> int | None:
    return None if value is None else whole(field, value, 1)


def _one_of(*names: str) -> Callable[[str, Given], str]:
    def check(field: str, value: Given) -> str:
        if not isinstance(value, str) or value not in names:
            raise ParameterError(
                field, value, f"must be one of {', '.join(names)}.{nearest(str(value), names)}"
            )
        return value

    return check


def _flag(field: str, value: Given) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterError(field, value, "must be True or False")
    return bool(value)


CHECKS: Final[dict[str, Callable[[str, Given], object]]] = {
    "max_t": _plain,
    "mode": _one_of("max", "min"),
    "num_trials": _num_trials,
    "retries": _retries,
    "loss_retries": _loss_retries,
    "seed": _at_least(0),
    "resource_type": _one_of("int", "float"),
    "grace_period": _plain,
    "reduction_factor": _plain,
    "brackets": _at_least(1),
    "bracket_sampling": _one_of(*SAMPLINGS),
    "shared_rungs": _flag,
    "rule": _one_of(*RULES),
    "straight_on": _flag,
    "keep_size_ratios": _flag,
    "failed_places": _one_of("passed-on", "held"),
    "n": _at_least(1),
    "quota": _one_of("actual", "nominal"),
    "overlap": _flag,
    "n_formula": _one_of("ceil", "floor"),
    "epsilon": _epsilon,
    "interval": _plain,
    "among": _one_of(*POPULATIONS),
    "min_samples": _at_least(1),
}

assert set(CHECKS) == {field.name for field in fields(Options)} - {"type"}
