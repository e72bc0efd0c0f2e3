"""The rows of a table as points of its search space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbsim.core.space import Space
from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.protocol import Floats

if TYPE_CHECKING:
    import polars

__all__ = ["row_points"]


def row_points(source: str, configurations: polars.DataFrame, space: Space | None) -> Floats | None:
    """Return the configurations as points of the unit cube, shape (rows, d); None without a space.

    Raises
    ------
    SurrogateError
        A hyperparameter is missing, or a value is none of the space's.
    """
    if space is None:
        return None
    if missing := [name for name in space if name not in configurations.columns]:
        raise SurrogateError(source, f"its rows have no {missing[0]!r}, which its search space has")
    if not space.dimension:
        return None
    columns = {name: configurations[name].to_list() for name in space}
    try:
        return space.encode(columns)
    except ParameterError as error:
        row = _row_of(space, columns, error)
        problem = f"{error.field}={error.value!r} is outside of its search space, in row {row}: {error.rule}"
        raise SurrogateError(source, problem) from None


def _row_of(space: Space, columns: dict[str, list[object]], error: ParameterError) -> int:
    """Return the first row that is outside of the space by this field."""
    if error.field not in space.conditional:
        columns = {error.field: columns[error.field]}
        space = Space({error.field: space[error.field]})
    for row, values in enumerate(zip(*columns.values(), strict=True)):
        try:
            space.encode(dict(zip(columns, values, strict=True)))
        except ParameterError as found:
            if found.field == error.field:
                return row
    return 0
