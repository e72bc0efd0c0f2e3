"""The option `points_to_evaluate`: given configurations come before those of a searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.protocol import Configurations, Floats, Ints, Searcher
from hbsim.searchers.random import allowed_rows
from hbsim.searchers.task import SearchTask


class FirstPoints:
    """Another searcher, behind a queue.

    A model-based searcher takes what the queue hands out for configurations of its own (by `queued` where it
    has that, else by `Searcher.resume`). Any other one comes after the queue as if there had been none.

    Parameters
    ----------
    searcher : Searcher
        Asked once the queue is empty.
    configurations : array
        The queue: points of the unit cube, shape (n, d), or rows, shape (n,). It may be empty.
    maxt_pending : bool, optional
        Whether new trials are pending at R, too; the searcher's own unless given.
    after : int
        How many configurations the searcher gives before the queue.

    Attributes
    ----------
    searcher : Searcher
        The one behind.
    stands_for : tuple of (object, mapping or None), or None
        A searcher, by name or made, and its options: a study's description has these in place of the queue.
    """

    stands_for: tuple[object, Mapping[str, object] | None] | None = None

    def __init__(
        self,
        searcher: Searcher,
        configurations: Configurations,
        maxt_pending: bool | None = None,
        after: int = 0,
    ) -> None:
        self.model_based = searcher.model_based
        self.listens = getattr(searcher, "listens", True)
        own: bool = getattr(searcher, "maxt_pending", False)
        self.maxt_pending = own if maxt_pending is None else maxt_pending
        self.name = getattr(searcher, "name", type(searcher).__name__)
        self.searcher = searcher
        self._queue = configurations
        self._given = len(configurations)
        self._after = after

    @property
    def limit(self) -> int | None:
        """How many configurations there are in all, where the searcher says so."""
        limit: int | None = getattr(self.searcher, "limit", None)
        return None if limit is None else limit + self._given

    @property
    def remaining(self) -> int | None:
        """How many more there are; None: any number."""
        left: int | None = getattr(self.searcher, "remaining", None)
        return None if left is None else left + len(self._queue)

    def suggest(self, n: int) -> Configurations:
        """Return the next n configurations, queued ones first."""
        before = min(n, self._after)
        if before:
            self._after -= before
            first = self.searcher.suggest(before)
            return first if before == n else np.concatenate([first, self.suggest(n - before)])
        queued, self._queue = self._queue[:n], self._queue[n:]
        if not len(queued):
            return self.searcher.suggest(n)
        self._hand_out(queued)
        if len(queued) == n:
            return queued
        joined: Configurations = np.concatenate([queued, self.searcher.suggest(n - len(queued))])
        return joined

    def resume(self, configurations: Configurations) -> None:
        """Go on after these configurations: the first of them were queued."""
        before = min(self._after, len(configurations))
        if before:
            self._after -= before
            self.searcher.resume(configurations[:before])
            configurations = configurations[before:]
        queued = min(len(self._queue), len(configurations))
        self._queue = self._queue[queued:]
        self._hand_out(configurations[:queued])
        self.searcher.resume(configurations[queued:])

    def _hand_out(self, queued: Configurations) -> None:
        """Tell the searcher, if it learns, of configurations from the queue."""
        if self.model_based and len(queued):
            getattr(self.searcher, "queued", self.searcher.resume)(queued)

    def register_pending(self, trial: int, level: float) -> None:
        """Pass it on to the searcher behind."""
        self.searcher.register_pending(trial, level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Pass it on to the searcher behind."""
        self.searcher.observe(trial, level, value)

    def forget(self, trial: int) -> None:
        """Pass it on to the searcher behind."""
        self.searcher.forget(trial)


FIELD: Final = "search_options.points_to_evaluate"
REJECTED: Final = "the constraint rejects it"


def first_points(
    searcher: Searcher, task: SearchTask, given: object, maxt_pending: bool | None = None
) -> Searcher:
    """Put configurations before those of a searcher.

    Parameters
    ----------
    searcher : Searcher
        The searcher for all later configurations.
    task : SearchTask
        Its task. Of a table the row of that number is taken, or the nearest in the unit cube that is left.
    given : sequence
        Configurations by name, each a mapping; what one leaves out has its default. Or row numbers. A row
        that is given does not come again, unless the task says so.
    maxt_pending : bool, optional
        As for `FirstPoints`.

    Raises
    ------
    ParameterError
        It is no such list, a name is unknown, a value is outside the space, the constraint rejects one, or a
        table has too few rows.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ParameterError(FIELD, given, "must be a list of configurations, each a dict by name")
    if not given:
        return searcher if maxt_pending is None else FirstPoints(searcher, np.empty(0), maxt_pending)
    if task.rows is not None:
        rows = _rows(task, given)
        if not searcher.model_based and hasattr(searcher, "leave_out"):
            searcher.leave_out(rows)
        return FirstPoints(searcher, rows, maxt_pending)
    if task.space is None:
        raise ParameterError(FIELD, given, "needs names: the learning curves have no search space")
    points = np.array([_point(task, task.space, one) for one in given], dtype=np.float64)
    return FirstPoints(searcher, points, maxt_pending)


def _point(task: SearchTask, space: Space, given: object) -> Floats:
    if not isinstance(given, Mapping):
        raise ParameterError(FIELD, given, "each configuration must be a dict by name")
    for name in given:
        if name not in space:
            known = f"has a name that is no parameter of the space ({', '.join(space)})."
            raise ParameterError(FIELD, given, f"{known}{nearest(str(name), space)}")
    for name, value in given.items():
        if isinstance(value, list | np.ndarray):
            raise ParameterError(FIELD, given, f"{name}={value!r}: must be one value, not several")
    try:
        point = space.encode({**space.defaults, **given})
    except ParameterError as error:
        raise ParameterError(FIELD, given, f"{error.field}={error.value!r}: {error.rule}") from None
    if not task.allows(point[np.newaxis])[0]:
        raise ParameterError(FIELD, given, REJECTED)
    return point


def _rows(task: SearchTask, given: Sequence[object]) -> Ints:
    """Return a row for each given configuration, shape (n,); without `replace` each row once."""
    left = allowed_rows(task)
    if not task.replace and len(given) > left.sum():
        rule = f"must be at most {left.sum()} configurations: the table has no more rows"
        raise ParameterError(FIELD, f"{len(given)} configurations", rule)
    rows: list[int] = []
    for one in given:
        is_number = isinstance(one, int | np.integer) and not isinstance(one, bool)
        row = _row(task, int(one), left, rows) if is_number else _nearest(task, one, left)  # type: ignore[call-overload]
        rows.append(row)
        if not task.replace:
            left[row] = False
    return np.array(rows, dtype=np.int64)


def _row(task: SearchTask, row: int, left: NDArray[np.bool_], rows: Sequence[int]) -> int:
    assert task.rows is not None
    if not 0 <= row < task.rows:
        raise ParameterError(FIELD, row, f"rows are numbered from 0 to {task.rows - 1}")
    if not left[row]:
        rule = "comes twice: each row is tried once, unless replace=True" if row in rows else REJECTED
        raise ParameterError(FIELD, row, rule)
    return row


def _nearest(task: SearchTask, given: object, left: NDArray[np.bool_]) -> int:
    if task.space is None or task.points is None:
        raise ParameterError(FIELD, given, "must be the number of a row: the table has no search space")
    return task.nearest_row(_point(task, task.space, given), left)
