"""Conditions to and from ConfigSpace's. Needs ConfigSpace."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Final

from hbsim.core.space.parameters import Bool, Choice, Int, Parameter
from hbsim.core.space.when import Conditions
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace
    from ConfigSpace.conditions import Condition, ConditionLike

__all__ = ["condition_on", "parents_first", "read_condition"]

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
