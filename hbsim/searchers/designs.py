"""Searchers that take points one after the other from a sequence that fills the space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.streams import check_count
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Floats, Ints, Searcher
from hbsim.searchers.rows import allowed_rows, too_few_rows
from hbsim.searchers.task import Task
from hbsim.searchers.untold import Untold

if TYPE_CHECKING:
    from hbsim.searchers.qmc import Sequence

__all__ = ["PointDesign", "RowDesign", "make_designed"]

TRIES: Final = 1000  # points in a row until it is held that the constraint allows nothing
ASKED: Final = 64  # points that a constraint is asked about at a time


class PointDesign(Untold):
    """The points of a sequence, without those that the constraint rejects.

    The i-th configuration depends on the sequence, on i and on the constraint, and on nothing else.

    Parameters
    ----------
    name : str
        Of the searcher.
    task : Task
        With a space.
    sequence : Sequence
        Of as many coordinates.
    """

    def __init__(self, name: str, task: Task, sequence: Sequence) -> None:
        self.name = name
        self.space: Space = _space(name, task)
        self._task, self._sequence = task, sequence
        self._next = 0
        self._number = -1  # of the block at hand
        self._block: Floats = np.empty((0, 0))
        self._places: list[int] = []  # of those allowed, in the sequence
        self._asked = 0
        self._rejected = 0  # in a row, until there

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are: None, any number."""
        return None

    def suggest(self, n: int) -> Floats:
        """Return the next n configurations, points of the unit cube in [0, 1), shape (n, d).

        Raises
        ------
        ParameterError
            The constraint rejects a thousand in a row, or does not answer with True or False.
        """
        first, n = self._next, check_count(n)
        if self._task.constraint is None:
            points = self._between(first, n)
        else:
            places = self._allowed(first + n)[first:]
            points = np.array([self._between(place, 1)[0] for place in places]).reshape(
                n, self.space.dimension
            )
        self._next += n
        return points

    def resume(self, configurations: Configurations) -> None:
        """Go on after configurations that were suggested before a restart."""
        self._next += len(configurations)

    def _between(self, first: int, n: int) -> Floats:
        """Return n points of the sequence from `first` on, shape (n, d)."""
        points = np.empty((n, self.space.dimension))
        done, size = 0, self._sequence.size
        while done < n:
            number, start = divmod(first + done, size)
            if number != self._number:
                self._block, self._number = self._sequence.block(number), number
            count = min(size - start, n - done)
            points[done : done + count] = self._block[start : start + count]
            done += count
        return self.space.settled(points)

    def _allowed(self, n: int) -> list[int]:
        """Return where the first n points are that the constraint allows."""
        while len(self._places) < n and self._rejected < TRIES:
            for is_allowed in self._task.allows(self._between(self._asked, ASKED)):
                if is_allowed:
                    self._places.append(self._asked)
                self._rejected = 0 if is_allowed else self._rejected + 1
                self._asked += 1
                if self._rejected == TRIES:
                    break
        if len(self._places) < n:
            rule = f"rejected {TRIES} points of {self.name} in a row; is there any that it allows?"
            raise ParameterError("search_options.constraints", self._task.rule, rule)
        return self._places[:n]


class RowDesign(Untold):
    """For each point of a sequence, in turn, the nearest row of a table that is left.

    Each row comes once; with `replace` all of them come before any comes again. Rows that the constraint
    rejects are left out. The i-th row depends on the sequence, the table, i and the constraint.

    Parameters
    ----------
    name : str
        Of the searcher.
    task : Task
        With a space, and rows with points.
    sequence : Sequence
        Of as many coordinates as the points.
    """

    def __init__(self, name: str, task: Task, sequence: Sequence) -> None:
        if task.points is None or not len(task.points):
            rule = f"{name} needs the hyperparameters of the rows: the learning curves have no search space"
            raise ParameterError("searcher", name, rule)
        self.name = name
        _space(name, task)
        self._task, self._points = task, task.points
        self._sequence = PointDesign(name, Task(task.space, task.seed), sequence)
        self._allowed = allowed_rows(task)
        self._used: Ints = np.zeros(len(self._points), dtype=np.int64)

    @property
    def remaining(self) -> int | None:
        """How many more rows there are; None: any number."""
        return None if self._task.replace else int((self._allowed & (self._used == 0)).sum())

    def suggest(self, n: int) -> Ints:
        """Return the next n rows, shape (n,).

        Raises
        ------
        ParameterError
            Not so many rows are left, and none may come again. Nothing was handed out then.
        """
        left, n = self.remaining, check_count(n)
        if left is not None and n > left:
            raise too_few_rows(int(self._allowed.sum()), int(self._used.sum()) + n)
        return np.array([self._nearest(point) for point in self._sequence.suggest(n)], dtype=np.int64)

    def resume(self, configurations: Configurations) -> None:
        """Go on after rows that were suggested before a restart."""
        self._sequence.resume(configurations)
        np.add.at(self._used, np.asarray(configurations, dtype=np.int64), 1)

    def leave_out(self, rows: Ints) -> None:
        """Take no notice of rows that come before all others, but for not trying them again."""
        if not self._task.replace:
            self._used[rows] += 1

    def _nearest(self, point: Floats) -> int:
        """Return the row that is left and nearest in the unit cube; the lowest of equals."""
        left = self._allowed & (self._used == self._used[self._allowed].min())
        distances = np.square(self._points - point).sum(axis=1)
        distances[~left] = np.inf
        row = int(np.argmin(distances))
        self._used[row] += 1
        return row


def make_designed(name: str, task: Task, sequence: Sequence) -> Searcher:
    """Make the searcher that takes a sequence: of rows where the task has rows.

    Raises
    ------
    ParameterError
        The task has no space, or rows without points.
    """
    return PointDesign(name, task, sequence) if task.rows is None else RowDesign(name, task, sequence)


def _space(name: str, task: Task) -> Space:
    if task.space is None or not task.space.dimension:
        raise ParameterError("searcher", name, "needs a search space with a parameter")
    return task.space
