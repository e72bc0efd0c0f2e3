"""Columns of values: what users give for many configurations at once, and what they get."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space.checks import Floats, Given, plain
from hbsim.core.space.parameter import Column, Parameter
from hbsim.core.space.when import words
from hbsim.errors import ParameterError

__all__ = ["encode_active", "is_column", "length", "one_column", "with_default"]


def encode_active(name: str, parameter: Parameter, column: Given | None, active: NDArray[np.bool_]) -> Floats:
    """Return the coordinates of a column's values where a parameter is active; None: the column was left out.

    Raises
    ------
    ParameterError
        A value is missing or none of the parameter's, or one is given where it is not active.
    """
    when, places = words(parameter.conditions), np.flatnonzero(active).tolist()
    if column is None:
        if places:
            raise ParameterError(name, None, f"is missing: it is active with {when}")
        return np.empty(0)
    for place in np.flatnonzero(~active).tolist():
        value = plain(column[place])
        if not (value is None or value != value or value == parameter.initial):
            rule = f"is not active here, only with {when}: leave it out, or give its default"
            raise ParameterError(name, value, f"{rule}, {parameter.initial!r}")
    return parameter.encode([plain(column[place]) for place in places], name)


def with_default(column: Column, active: NDArray[np.bool_], default: object) -> Column:
    """Return a column with a default where a parameter is not active."""
    if isinstance(column, list):
        return [value if kept else default for value, kept in zip(column, active.tolist(), strict=True)]
    changed: Column = np.where(active, column, np.array(default, dtype=column.dtype))
    return changed


def is_column(value: object) -> bool:
    """Return whether it is a column of values, not one value."""
    # A list is never a value: choices are hashable. A tuple may be one.
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def one_column(name: str, value: object) -> Given:
    """Return a column as values to encode."""
    if isinstance(value, list):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return value if value.dtype.kind in "fiu" else list(value.tolist())
    raise ParameterError(name, value, "must be a list or an array of shape (n,), like the other columns")


def length(columns: Mapping[str, Given]) -> int:
    """Return how many values each column has; 1 of no columns."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ParameterError("columns", lengths, "must have the same number of values")
    return next(iter(lengths.values()), 1)
