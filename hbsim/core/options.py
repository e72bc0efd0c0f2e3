"""The options of a scheduler, and which scheduler type takes which of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Final, Literal

from hbsim.core.levels import SAMPLINGS
from hbsim.core.numbers import exact, whole
from hbsim.core.rungs import RULES
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.options import check_options, option, unknown_option


class Unset(Enum):
    """The type of `UNSET`: an option that was not given, whatever its default."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<default>"


UNSET: Final = Unset.UNSET

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
# Options that version 0.1 did not have, with the values that describe what it did.
DEFAULTS_OF_LATER_OPTIONS: Final[dict[str, object]] = {"failed_places": "passed-on"}


def suggest_type(type: object) -> str:
    """Suggest the type with the most similar name, as text that follows an error message."""
    if isinstance(type, str) and type.lower() == "asha":
        return " ASHA is 'promotion'; 'stopping' is its variant that never pauses."
    return nearest(str(type), TYPES)


def _type(field: str, value: object) -> str:
    if not isinstance(value, str) or value not in TYPES:
        raise ParameterError(field, value, f"must be one of {', '.join(TYPES)}.{suggest_type(value)}")
    return value


def _plain(field: str, value: object) -> float:
    number = exact(field, value)
    if number.denominator == 1:
        return int(number)
    if exact(field, float(number)) != number:
        raise ParameterError(field, value, "must be a decimal that a float can print, such as 2.2")
    return float(number)


def _at_least(least: int) -> Callable[[str, object], int]:
    return lambda field, value: whole(field, value, least)


def _epsilon(field: str, value: object) -> float | None:
    if value is None:
        return None
    number = exact(field, value)
    if number < 0:
        raise ParameterError(field, value, "must be at least 0; None estimates it")
    return float(number)


def _retries(field: str, value: object) -> int:
    checked = whole(field, value, 0)
    if checked > MOST_RETRIES:
        raise ParameterError(field, value, f"must be at most {MOST_RETRIES:,}")
    return checked


def _loss_retries(field: str, value: object) -> int | None:
    return None if value is None else _retries(field, value)


def _num_trials(field: str, value: object) -> int | None:
    return None if value is None else whole(field, value, 1)


@dataclass(frozen=True, slots=True)
class Options:
    """All scheduler options, checked; options that a type does not take have their defaults.

    This is their only declaration: the command line, sweep files and `make_scheduler` use it.
    """

    type: str = option(
        help="Which scheduler decides: stopping, promotion (ASHA), sha, hyperband, pasha, median or fifo.",
        choices=tuple(TYPES),
        metavar="TYPE",
        check=_type,
        flags=("--scheduler",),
    )
    max_t: float = option(
        help="R, the resource at which a trial is complete, such as 81 epochs.", takes="number", check=_plain
    )
    mode: Mode = option(
        "max", help="Whether a higher or a lower value is better (default: max).", choices=("max", "min")
    )
    num_trials: int | None = option(
        None,
        help="How many trials the study starts.",
        takes="whole",
        check=_num_trials,
        flags=("--num-trials", "--trials"),
    )
    retries: int = option(
        0,
        help="How often a trial that failed is tried again (default: 0).",
        panel="Retries and time limits",
        takes="whole",
        check=_retries,
    )
    loss_retries: int | None = option(
        None,
        help="How often a trial that was lost or preempted is tried again (default: counts as a retry).",
        panel="Retries and time limits",
        takes="whole",
        check=_loss_retries,
    )
    seed: int = option(0, help="Seed of the bracket draws (default: 0).", takes="whole", check=_at_least(0))
    resource_type: Literal["int", "float"] = option(
        "int",
        help="Whether levels are whole numbers or any numbers (default: int).",
        choices=("int", "float"),
    )
    grace_period: float = option(
        1, help="r, the resource at the lowest rung (default: 1).", takes="number", check=_plain
    )
    reduction_factor: float = option(
        3,
        help="eta: about one in eta trials of a rung goes on (default: 3).",
        takes="number",
        check=_plain,
        flags=("--reduction-factor", "--eta"),
    )
    brackets: int = option(
        1,
        help="stopping, promotion: number of brackets; each starts one rung higher (default: 1).",
        takes="whole",
        check=_at_least(1),
    )
    bracket_sampling: str = option(
        "softmax",
        help="stopping, promotion: how the bracket of a trial is drawn (default: softmax).",
        panel="Scheduler: stopping, promotion, pasha",
        choices=SAMPLINGS,
    )
    shared_rungs: bool = option(
        False,
        help="stopping, promotion: all brackets share their rungs.",
        panel="Scheduler: stopping, promotion, pasha",
        takes="flag",
    )
    rule: str = option(
        "quantile",
        help="stopping: the rule by which a rung decides (default: quantile).",
        panel="Scheduler: stopping, promotion, pasha",
        choices=tuple(RULES),
    )
    straight_on: bool = option(
        True,
        help="promotion, pasha: a trial that can be promoted at once goes on in the same job (default).",
        panel="Scheduler: stopping, promotion, pasha",
        takes="flag",
    )
    keep_size_ratios: bool = option(
        False,
        help="promotion, pasha: promote no trial while the next rung has more than 1/eta of the jobs.",
        panel="Scheduler: stopping, promotion, pasha",
        takes="flag",
    )
    failed_places: str = option(
        "passed-on",
        help="promotion, pasha: the place of a failed trial goes to the next best, or stays taken "
        "(default: passed-on).",
        panel="Scheduler: stopping, promotion, pasha",
        choices=("passed-on", "held"),
    )
    n: int = option(
        0,
        help="sha: how many trials start in the lowest rung.",
        panel="Scheduler: sha, hyperband",
        takes="whole",
        check=_at_least(1),
    )
    quota: str = option(
        "actual",
        help="sha, hyperband: promote 1/eta of the actual results, or of the planned ones (default: actual).",
        panel="Scheduler: sha, hyperband",
        choices=("actual", "nominal"),
    )
    overlap: bool = option(
        False,
        help="sha, hyperband: an idle worker starts the next bracket.",
        panel="Scheduler: sha, hyperband",
        takes="flag",
    )
    n_formula: str = option(
        "ceil",
        help="hyperband: bracket sizes by the paper's algorithm (ceil) or its printed table (floor) "
        "(default: ceil).",
        panel="Scheduler: sha, hyperband",
        choices=("ceil", "floor"),
    )
    epsilon: float | None = option(
        None,
        help="pasha: values that differ by at most this much rank as equal (default: estimated).",
        panel="Scheduler: stopping, promotion, pasha",
        takes="number",
        check=_epsilon,
    )
    interval: float = option(
        0,
        help="median: resource from one decision to the next (default: the grace period).",
        panel="Scheduler: median",
        takes="number",
        check=_plain,
    )
    among: str = option(
        "completed",
        help="median: compare with completed trials, or with all that reached the level (default: "
        "completed).",
        panel="Scheduler: median",
        choices=("completed", "recorded"),
    )
    min_samples: int = option(
        1,
        help="median: how many trials to compare with before one is stopped (default: 1).",
        panel="Scheduler: median",
        takes="whole",
        check=_at_least(1),
    )

    def as_dict(self) -> dict[str, object]:
        """Return the options that this type takes in plain JSON types; `loss_retries` only if it was given.

        So the options of schedulers from before `loss_retries` existed stay the same.
        """
        taken = {"type", *TYPES[self.type]}
        if self.loss_retries is None:
            taken.remove("loss_retries")
        return {name: value for name, value in asdict(self).items() if name in taken}


def make_options(type: str, given: Mapping[str, object]) -> Options:
    """Check the options that were given for a type of scheduler.

    Raises
    ------
    ParameterError
        For an unknown type, an option of another type whatever its value, or a value out of range.
    """
    _type("type", type)
    given = {name: value for name, value in given.items() if value is not UNSET}
    for name, value in given.items():
        if name not in TYPES[type]:
            raise ParameterError(name, value, _not_taken(name, type))
    for name in ("max_t", "n"):
        if name in TYPES[type] and name not in given:
            raise ParameterError(name, None, f"is required for type {type!r}")
    checked = check_options(Options, given)
    if "interval" in TYPES[type]:
        checked.setdefault("interval", checked.get("grace_period", 1))
    options = Options(type=type, **checked)  # type: ignore[arg-type]
    if options.retries + (options.loss_retries or 0) > MOST_RETRIES:
        rule = f"must be at most {MOST_RETRIES:,}, together with retries"
        raise ParameterError("loss_retries", options.loss_retries, rule)
    return options


def with_later_options(kept: Mapping[str, object]) -> dict[str, object]:
    """Add to options saved by an older version the defaults of options that were introduced later.

    So saved options that lack them still describe the same scheduler.
    """
    options = dict(kept)
    taken = TYPES.get(str(options.get("type")), ())
    return {**{name: value for name, value in DEFAULTS_OF_LATER_OPTIONS.items() if name in taken}, **options}


def _not_taken(name: str, type: str) -> str:
    takers = [repr(other) for other, names in TYPES.items() if name in names]
    if takers:
        return f"is not an option of type {type!r}, but of {', '.join(takers)}"
    return unknown_option(name, TYPES[type], f" of type {type!r}")
