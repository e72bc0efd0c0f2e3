"""Parameters to and from plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hbsim.core.space.parameters import Bool, Choice, Int, Parameter, Real
from hbsim.errors import ParameterError, nearest

__all__ = ["parameter_from_json", "parameter_to_json"]

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "real": ("low", "high", "log", "default"),
    "int": ("low", "high", "log", "default"),
    "choice": ("choices", "default"),
    "bool": ("default",),
}


def parameter_to_json(name: str, parameter: Parameter) -> dict[str, object]:
    """Return a parameter and its name as one JSON object."""
    kind = type(parameter).__name__.lower()
    if kind == "choice":
        _check_scalars(name, parameter)
    entry = {"name": name, "type": kind} | {
        field: list(value) if isinstance(value := getattr(parameter, field), tuple) else value
        for field in _FIELDS[kind]
    }
    if parameter.conditions:
        entry["when"] = {other: list(values) for other, values in parameter.conditions}
    return entry


def parameter_from_json(entry: object) -> tuple[str, Parameter]:
    """Return name and parameter from one JSON object."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ParameterError("parameters", entry, "each must be an object with a name")
    name, kind = str(entry["name"]), entry.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        rule = f"must be one of {', '.join(_FIELDS)}."
        raise ParameterError(f"{name}.type", kind, rule + nearest(str(kind), _FIELDS))
    fields = {field: value for field, value in entry.items() if field not in ("name", "type")}
    if set(fields) - {"when"} != set(_FIELDS[kind]):
        rule = f"a {kind} has the fields {', '.join(_FIELDS[kind])}, and may have when"
        raise ParameterError(name, fields, rule)
    try:
        return name, _build(kind, fields, _when(fields.get("when", {})))
    except ParameterError as error:
        raise ParameterError(f"{name}.{error.field}", error.value, error.rule) from None


def _when(given: object) -> Mapping[str, object]:
    if not isinstance(given, Mapping) or not all(isinstance(values, list) for values in given.values()):
        raise ParameterError("when", given, "must be an object with a list of values for each name")
    return given


def _build(kind: str, fields: Mapping[str, object], when: Mapping[str, object]) -> Parameter:
    default = fields["default"]
    if kind == "bool":
        return Bool(default=_bool("default", default), when=when)
    if kind == "choice":
        choices = fields["choices"]
        if not isinstance(choices, list):
            raise ParameterError("choices", choices, "must be a list")
        return Choice(choices, default=default, when=when)
    low, high, log = _number("low", fields), _number("high", fields), _bool("log", fields["log"])
    if kind == "real":
        return Real(low, high, log, default=_number("default", fields), when=when)
    return Int(low, high, log, default=_number("default", fields), when=when)  # type: ignore[arg-type]


def _number(field: str, fields: Mapping[str, object]) -> float:
    value = fields[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(field, value, "must be a number")
    return value


def _bool(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ParameterError(field, value, "must be true or false")
    return value


def _check_scalars(name: str, parameter: Parameter) -> None:
    assert isinstance(parameter, Choice)
    for choice in parameter.choices:
        finite = not isinstance(choice, float) or math.isfinite(choice)
        if not finite or type(choice) not in (str, int, float, bool, type(None)):
            rule = "cannot be written as JSON: a choice must be text, a finite number, a bool or None"
            raise ParameterError(name, choice, rule)
