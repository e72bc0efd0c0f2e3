"""Configurations that people give: `points_to_evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hbsim.core.space import Space
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.first import FirstPoints
from hbsim.searchers.protocol import Configurations, Floats, Searcher
from hbsim.searchers.task import Task

__all__ = ["first_points"]

FIELD = "search_options.points_to_evaluate"


def first_points(searcher: Searcher, task: Task, given: object) -> Searcher:
    """Put configurations before those of a searcher.

    Parameters
    ----------
    searcher : Searcher
        Whose configurations come after.
    task : Task
        Its task. Of a table the nearest row in the unit cube is taken, or the row of that number.
    given : sequence
        Configurations by name, each a mapping; what one leaves out has its default. Or row numbers.

    Raises
    ------
    ParameterError
        It is no such list, a name is unknown, a value is outside the space, or the constraint rejects one.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ParameterError(FIELD, given, "must be a list of configurations, each a dict by name")
    if not given:
        return searcher
    if task.rows is not None:
        rows: Configurations = np.array([_row(task, one) for one in given], dtype=np.int64)
        return FirstPoints(searcher, rows)
    if task.space is None:
        raise ParameterError(FIELD, given, "needs names: the learning curves have no search space")
    return FirstPoints(searcher, np.array([_point(task, task.space, one) for one in given], dtype=np.float64))


def _point(task: Task, space: Space, given: object) -> Floats:
    if not isinstance(given, Mapping):
        raise ParameterError(FIELD, given, "each configuration must be a dict by name")
    for name in given:
        if name not in space:
            known = f"has a name that is no parameter of the space ({', '.join(space)})."
            raise ParameterError(FIELD, given, f"{known}{nearest(str(name), space)}")
    try:
        point = space.encode({**space.defaults, **given})
    except ParameterError as error:
        raise ParameterError(FIELD, given, f"{error.field}={error.value!r}: {error.rule}") from None
    if not task.allows(point[np.newaxis])[0]:
        raise ParameterError(FIELD, given, "the constraint rejects it")
    return point


def _row(task: Task, given: object) -> int:
    assert task.rows is not None
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        if not 0 <= given < task.rows:
            raise ParameterError(FIELD, given, f"rows are numbered from 0 to {task.rows - 1}")
        return int(given)
    if task.space is None or task.points is None:
        raise ParameterError(FIELD, given, "must be the number of a row: the table has no search space")
    distances = np.square(task.points - _point(task, task.space, given)).sum(axis=1)
    return int(np.argmin(distances))
