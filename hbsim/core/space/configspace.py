"""Search spaces to and from ConfigSpace, an optional package."""

from __future__ import annotations

import importlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hbsim.core.space.parameters import Bool, Choice, Conditions, Int, Parameter, Real, plain
from hbsim.core.space.space import Space
from hbsim.errors import ParameterError, needs

if TYPE_CHECKING:
    from ConfigSpace import CategoricalHyperparameter as Categorical
    from ConfigSpace import ConfigurationSpace
    from ConfigSpace import UniformFloatHyperparameter as UniformFloat
    from ConfigSpace import UniformIntegerHyperparameter as UniformInteger
    from ConfigSpace.conditions import Condition, ConditionLike

# ConfigSpace sorts by name; ours is the order of the coordinates, so it travels along.
_ORDER: Final = "hbsim.order"
_TOLERANCE: Final = 1e-6  # relative; ConfigSpace rounds floats to 13 decimals


def to_configspace(space: Space) -> ConfigurationSpace:
    """Make a ConfigSpace ``ConfigurationSpace`` of a space.

    Parameters
    ----------
    space : Space
        Any. `Choice` and `Bool` become categorical. ConfigSpace rounds floats to 13 decimals.

    Raises
    ------
    ParameterError
        ConfigSpace is not installed, or a parameter is one that it cannot hold.
    """
    _need_configspace()
    from ConfigSpace import ConfigurationSpace

    made = ConfigurationSpace(meta={_ORDER: list(space.names)})
    for name, parameter in space.parameters.items():
        made.add(_to_hyperparameter(name, parameter))
    for name, parameter in space.parameters.items():
        if parameter.conditions:
            made.add(_to_condition(made, name, parameter))
    return made


def from_configspace(configspace: ConfigurationSpace) -> Space:
    """Make a space of a ConfigSpace ``ConfigurationSpace``.

    Parameters
    ----------
    configspace : ConfigSpace.ConfigurationSpace
        Uniform float and integer, categorical, ordinal and constant hyperparameters. An ordinal one
        becomes a `Choice`, a constant one a `Choice` of one, False and True in this order a `Bool`.
        Conditions, on hyperparameters with at most 1,000 values, become `when`; joined by and, or by or where
        they are about one hyperparameter.

    Returns
    -------
    space : Space
        In the order of the space that `to_configspace` was given, or else in ConfigSpace's own, but parents
        come before those that depend on them.

    Raises
    ------
    ParameterError
        ConfigSpace is not installed; there are other conditions, forbidden clauses, weights or other kinds
        of hyperparameters, which a space cannot hold.
    """
    _need_configspace()
    _refuse("forbidden_clauses", configspace.forbidden_clauses)
    names = list(configspace)
    order = [name for name in (configspace.meta or {}).get(_ORDER, []) if name in names]
    names = order + [name for name in names if name not in order]
    parameters = {name: _from_hyperparameter(name, configspace[name]) for name in names}
    when = {one.child.name: read_condition(one, parameters) for one in configspace.conditions}
    for name, conditions in when.items():
        parameters[name] = parameters[name].under(conditions)
    return Space({name: parameters[name] for name in parents_first(names, when)})


def _need_configspace() -> None:
    try:
        importlib.import_module("ConfigSpace")
    except ImportError:
        rule = f"a ConfigurationSpace {needs('ConfigSpace', 'search')}"
        raise ParameterError("ConfigSpace", "not installed", rule) from None


def _refuse(field: str, found: Sequence[object]) -> None:
    if found:
        rule = "a Space cannot hold these; make each valid combination a Choice, or leave them out"
        raise ParameterError(field, [str(one) for one in found], rule)


def _to_hyperparameter(name: str, parameter: Parameter) -> UniformFloat | UniformInteger | Categorical:
    import ConfigSpace

    try:
        match parameter:
            case Real(low, high, log, default):
                made = ConfigSpace.UniformFloatHyperparameter(name, low, high, default, log)
                _check_rounding(name, low, made.lower)
                _check_rounding(name, high, made.upper)
                return made
            case Int(low, high, log, default):
                return ConfigSpace.UniformIntegerHyperparameter(name, low, high, default, log)
            case Choice(choices, default):
                return ConfigSpace.CategoricalHyperparameter(name, choices, default_value=default)
            case Bool(default):
                return ConfigSpace.CategoricalHyperparameter(name, [False, True], default_value=default)
    except ParameterError:
        raise
    except ValueError as error:
        raise ParameterError(name, parameter, f"ConfigSpace cannot hold it: {error}") from error
    raise ParameterError(name, parameter, "ConfigSpace has no such parameter")


def _to_condition(made: ConfigurationSpace, name: str, parameter: Parameter) -> ConditionLike:
    try:
        return condition_on(made, name, parameter.conditions)
    except ValueError as error:
        raise ParameterError(name, parameter, f"ConfigSpace cannot hold it: {error}") from error


def _check_rounding(name: str, ours: float, theirs: float) -> None:
    if not math.isclose(ours, theirs, rel_tol=_TOLERANCE):
        raise ParameterError(name, ours, f"ConfigSpace rounds it to 13 decimals, to {theirs!r}")


def _from_hyperparameter(name: str, hyperparameter: object) -> Parameter:
    import ConfigSpace

    try:
        match hyperparameter:
            case ConfigSpace.UniformFloatHyperparameter(
                lower=low, upper=high, log=log, default_value=default
            ):
                return Real(low, high, log, default=default)
            case ConfigSpace.UniformIntegerHyperparameter(
                lower=low, upper=high, log=log, default_value=default
            ):
                return Int(low, high, log, default=default)
            case ConfigSpace.OrdinalHyperparameter(sequence=choices, default_value=default):
                return _choice(choices, default)
            case ConfigSpace.Constant(value=value):
                return _choice([value], value)
            case ConfigSpace.CategoricalHyperparameter(
                choices=choices, weights=weights, default_value=default
            ):
                if weights is not None and len(set(weights)) > 1:
                    raise ParameterError("weights", list(weights), "a Choice has no weights")
                return _choice(choices, default)
    except ParameterError as error:
        raise ParameterError(f"{name}.{error.field}", error.value, error.rule) from None
    rule = "a Space holds uniform, categorical, ordinal and constant hyperparameters only"
    raise ParameterError(name, type(hyperparameter).__name__, rule)


def _choice(choices: Sequence[object], default: object) -> Parameter:
    values = [plain(choice) for choice in choices]
    if len(values) == 2 and values[0] is False and values[1] is True:
        return Bool(default=bool(default))
    return Choice(values, default=plain(default))


_MOST: Final = 1000  # values of an Int that a condition is tried on


def condition_on(made: ConfigurationSpace, name: str, conditions: Conditions) -> ConditionLike:
    """Return one condition of ConfigSpace's for all of a parameter's."""
    from ConfigSpace import AndConjunction, EqualsCondition, InCondition

    parts: list[Condition] = []
    for parent, values in conditions:
        child, on = made[name], made[parent]
        is_one = len(values) == 1
        parts.append(
            EqualsCondition(child, on, values[0]) if is_one else InCondition(child, on, list(values))
        )
    return parts[0] if len(parts) == 1 else AndConjunction(*parts)


def read_condition(
    condition: ConditionLike, parameters: Mapping[str, Parameter]
) -> dict[str, tuple[Hashable, ...]]:
    """Return `when` for a condition of ConfigSpace's.

    Parameters
    ----------
    condition : Condition or Conjunction
        On hyperparameters with few values; an OrConjunction on one of them only.
    parameters : mapping of str to Parameter
        Ours of all hyperparameters, without conditions.

    Raises
    ------
    ParameterError
        A `Space` cannot hold it.
    """
    from ConfigSpace import OrConjunction
    from ConfigSpace.conditions import Conjunction

    if not isinstance(condition, Conjunction):
        return {condition.parent.name: _holding(condition, parameters[condition.parent.name])}
    found: dict[str, tuple[Hashable, ...]] = {}
    parts = [read_condition(part, parameters) for part in condition.components]
    if isinstance(condition, OrConjunction):
        if len({name for part in parts for name in part}) > 1:
            rule = "a Space cannot hold an or of several hyperparameters: make the combinations a Choice"
            raise ParameterError("conditions", str(condition), rule)
        (name,) = parts[0]
        return {name: tuple(dict.fromkeys(value for part in parts for value in part[name]))}
    for part in parts:
        for name, values in part.items():
            found[name] = tuple(value for value in found.get(name, values) if value in values)
    return found


def parents_first(names: list[str], when: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return names so that what a parameter depends on comes before it; else in the order given."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        for parent in when.get(name, {}):
            place(parent)
        placed[name] = None

    for name in names:
        place(name)
    return list(placed)


def _holding(condition: Condition, parent: Parameter) -> tuple[Hashable, ...]:
    """Return for which values of the parent a condition holds."""
    from ConfigSpace import EqualsCondition, InCondition

    if isinstance(condition, EqualsCondition):
        return (condition.value,)
    if isinstance(condition, InCondition):
        return tuple(condition.values)
    values: list[Hashable] | range
    match parent:
        case Choice():
            values = list(parent.choices)
        case Bool():
            values = [False, True]
        case Int() if parent.high - parent.low < _MOST:
            values = range(parent.low, parent.high + 1)
        case _:
            rule = (
                f"is tried on each value of a Choice, a Bool, or an Int of at most {_MOST} values: list them"
            )
            raise ParameterError("conditions", str(condition), rule)
    return tuple(value for value in values if condition.satisfied_by_value({condition.parent.name: value}))
