"""Random search, over a space or over the rows of a table."""

from __future__ import annotations

from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher
from hbsim.searchers.rows import RowSearcher, allowed_rows
from hbsim.searchers.task import Task

__all__ = ["make_random"]


def make_random(task: Task) -> Searcher:
    """Make a random searcher: of rows where the task has rows.

    Raises
    ------
    ParameterError
        There are neither rows nor a space, or the constraint allows no row.
    """
    if task.rows is not None:
        allowed = None if task.constraint is None else allowed_rows(task)
        return RowSearcher(task.rows, task.seed, task.replace, allowed)
    if task.space is None:
        raise ParameterError("space", None, "a search space is needed where a surrogate has no rows")
    return RandomSearcher(task.space, task.seed, task.constraint)
