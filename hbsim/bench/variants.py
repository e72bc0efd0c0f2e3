"""Variants: schedulers with options, read from text such as promotion,brackets=3, and their searchers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from hbsim.core.factory import build
from hbsim.core.levels import make_levels
from hbsim.core.options import TYPES, Options, make_options, suggest_type
from hbsim.core.scheduler import Scheduler
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.searchers import learns, takes
from hbsim.searchers.factory import plain_options

SEARCHER: Final = "searcher"  # an option that variants of all types have
RANDOM: Final = "random"
MANY: Final = 3  # the most variants that a note lists by name


def taken(searcher: str | None, options: Mapping[str, object]) -> dict[str, object]:
    """Select the options that a searcher takes."""
    known = takes(searcher)
    return {name: value for name, value in options.items() if name in known}


def search_named(searcher: str | None, options: Mapping[str, object]) -> dict[str, int | float | bool | str]:
    """Return a searcher and its options as options of a variant; empty for random search without options."""
    named: dict[str, int | float | bool | str] = {}
    if searcher not in (None, RANDOM):
        named[SEARCHER] = str(searcher)
    for name, value in plain_options(options).items():
        is_plain = isinstance(value, int | float | str)
        named[f"search_options.{name}"] = value if is_plain else json.dumps(value)  # type: ignore[assignment]
    return named


def check_taken(searchers: Iterable[str | None], options: Mapping[str, object]) -> None:
    """Check that each option is taken by one of the searchers.

    Raises
    ------
    ParameterError
        No searcher takes an option.
    """
    names = list(dict.fromkeys(name or RANDOM for name in searchers))
    known = dict.fromkeys(option for name in names for option in takes(name))
    for option, value in options.items():
        if option not in known:
            rule = f"is no option of {' or '.join(names)}: the options are {', '.join(known)}."
            raise ParameterError(f"search_options.{option}", value, rule + nearest(option, known))


class Searching(NamedTuple):
    """How a variant finds its configurations: its name, its searcher, and the searcher's options."""

    label: str
    searcher: str | None
    options: Mapping[str, object]


def pairing(variants: Sequence[Searching]) -> list[str]:
    """Describe where trial i has different configurations under some variants, in a line each.

    Parameters
    ----------
    variants : sequence of Searching
        The variants that are compared.
    """
    if len(variants) < 2:
        return []
    learners = [one.label for one in variants if learns(one.searcher)]
    if learners:
        which = _listed(learners, len(variants))
        learn = "the searcher learns" if len(learners) == 1 else "the searchers learn"
        return [
            f"{which}: {learn} from what is observed, so trials are not paired: trial i has not the "
            "configuration that it has under the other variants, and differences vary more from seed to seed"
        ]
    first = variants[0]
    same = [
        one
        for one in variants
        if (one.searcher or RANDOM, one.options) == (first.searcher or RANDOM, first.options)
    ]
    if len(same) == len(variants):
        return []
    names = ", ".join(dict.fromkeys(one.searcher or RANDOM for one in variants))
    return [
        f"variants find their configurations in different ways ({names}), so trials are not paired: trial i "
        "has not the same configuration under all of them"
    ]


def _listed(labels: Sequence[str], variants: int) -> str:
    if len(labels) > MANY:
        return f"{len(labels)} of the {variants} variants"
    return labels[0] if len(labels) == 1 else f"{'; '.join(labels[:-1])} and {labels[-1]}"


Value: TypeAlias = int | float | bool | str


@dataclass(frozen=True)
class Variant:
    """A type of scheduler with options.

    Attributes
    ----------
    label : str
        The name: the type and the options that were set for it, as they are written.
    type : str
        One of the types of `hbsim.make_scheduler`.
    own : mapping
        The options that were set for this variant, without mode and seed.
    shared : mapping
        Further options, which several variants share.
    notes : tuple of str
        The choices that hbsim made for the user, in a line each.
    """

    label: str
    type: str
    own: Mapping[str, Value] = field(default_factory=dict)
    shared: Mapping[str, Value] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Value]:
        """All options that were set."""
        return {**self.shared, **self.own}

    def checked(self, mode: Mode = "min", seed: int = 0) -> Options:
        """Return all options, with defaults for those that were not set.

        Raises
        ------
        ParameterError
            An option, of the variant or shared, is unknown or breaks its rule.
        """
        try:
            return make_options(self.type, {**self.options, "mode": mode, "seed": seed})
        except ParameterError as error:
            raise self._as_mine(error) from None

    def make(self, mode: Mode, seed: int) -> Scheduler:
        """Make a new scheduler.

        Raises
        ------
        ParameterError
            As `checked`.
        """
        options = self.checked(mode, seed)
        try:
            return build(options)
        except ParameterError as error:
            raise self._as_mine(error) from None

    def _as_mine(self, error: ParameterError) -> ParameterError:
        if error.field in self.shared:
            return error
        return ParameterError("variant", self.label, f"{error.field} {error.rule}")


def variant_tables(variants: Sequence[str], vary: Sequence[str] = ()) -> list[dict[str, object]]:
    """Read variants from text, as tables of a sweep's specification.

    Parameters
    ----------
    variants : sequence of str
        Each ``TYPE[,OPTION=VALUE...]``; ``searcher`` is an option of all types.
    vary : sequence of str
        Each ``OPTION=VALUE,VALUE,...``. Every variant whose type has the option, and that does not
        set it itself, is taken once with each value; with several, once with each combination.

    Returns
    -------
    list of dict
        A table each, in the order given; at least one.

    Raises
    ------
    ParameterError
        A text does not describe a variant, or a name is given twice (field ``variant`` or ``vary``). Values
        are checked later, with the specification.
    """
    if not variants:
        raise ParameterError("variant", None, "at least one is needed: TYPE[,OPTION=VALUE...]")
    grid, tables, open_ = _parse_grid(vary), list[dict[str, object]](), set[str]()
    for type, own in map(_parse_variant, variants):
        known = (SEARCHER, *TYPES[type])
        varied = {name: values for name, values in grid.items() if name in known and name not in own}
        named = {"name": label(type, own)} if SEARCHER in own else {}
        tables.append({"type": type, **named, **own, **({"vary": varied} if varied else {})})
        open_.update(varied)
    for name, values in grid.items():
        if name not in open_:
            every = {SEARCHER, *(option for options in TYPES.values() for option in options)}
            near = "" if name in every else f".{nearest(name, every)}"
            text = f"{name}={','.join(map(value_text, values))}"
            raise ParameterError("vary", text, f"no variant takes {name} and leaves it open{near}")
    return tables


def _parse_variant(text: str) -> tuple[str, dict[str, Value]]:
    type, *items = (part.strip() for part in text.split(","))
    if type not in TYPES:
        rule = f"must start with a type of scheduler: {', '.join(TYPES)}.{suggest_type(type)}"
        raise ParameterError("variant", text, rule)
    options: dict[str, Value] = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name or not value:
            raise ParameterError("variant", text, f"{item!r} must be OPTION=VALUE")
        name = _spelled(name)
        if name in options:
            raise ParameterError("variant", text, f"{name} must not be given twice")
        known = (SEARCHER, *TYPES[type])
        if name not in known:
            rule = f"{name!r} is no option of type {type!r}.{nearest(name, known)}"
            raise ParameterError("variant", text, rule)
        options[name] = _typed(value)
    return type, options


def _parse_grid(vary: Iterable[str]) -> dict[str, list[Value]]:
    grid: dict[str, list[Value]] = {}
    for text in vary:
        name, equals, values = (part.strip() for part in text.partition("="))
        parts = [part.strip() for part in values.split(",")]
        if not equals or not name or not all(parts):
            raise ParameterError("vary", text, "must be OPTION=VALUE,VALUE,...")
        name = _spelled(name)
        if name in grid:
            raise ParameterError("vary", text, f"{name} must not be given twice")
        if len(set(parts)) < len(parts):
            raise ParameterError("vary", text, "a value must not be given twice")
        grid[name] = [_typed(part) for part in parts]
    return grid


def _spelled(name: str) -> str:
    """Translate the command line's spellings: ``eta``, and hyphens."""
    return "reduction_factor" if name == "eta" else name.replace("-", "_")


def _typed(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def label(first: str, own: Mapping[str, Value]) -> str:
    """Return the label of a variant: its type or another name, and its options."""
    return ",".join([first, *(f"{name}={value_text(value)}" for name, value in own.items())])


def complete(label: str, type: str, own: Mapping[str, Value], given: Mapping[str, Value]) -> Variant:
    """Make a variant from its own options, and the options in `given` that its type takes and `own` lacks.

    Successive halving without `n` gets a default, and a note that says so.

    Raises
    ------
    ParameterError
        An option breaks its rule.
    """
    shared = {name: value for name, value in given.items() if name in TYPES[type] and name not in own}
    variant = Variant(label, type, own, shared)
    if type == "sha" and "n" not in own:
        variant = _with_size(variant)
    variant.checked()
    return variant


def _with_size(variant: Variant) -> Variant:
    """Set the number of trials of successive halving so that one is left at the top: eta^K, rounded up."""
    o = replace(variant, shared={**variant.shared, "n": 1}).checked()
    levels = make_levels(o.grace_period, o.max_t, o.reduction_factor, o.resource_type, synchronous=True)
    n = math.ceil(levels.eta**levels.k)
    note = f"{variant.label}: no n was given; n={n}, the reduction factor to the power of {levels.k}"
    return replace(variant, shared={**variant.shared, "n": n}, notes=(note,))


def value_text(value: Value) -> str:
    """Return a value as the command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
