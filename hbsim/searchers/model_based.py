"""The base of model-based searchers: observations, first random trials, rows of tables."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, isfinite, prod
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hbsim.core.numbers import whole
from hbsim.core.space import Bool, Choice, Int, Parameter, Space
from hbsim.core.streams import Purpose, block_generator
from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.searchers.protocol import Configurations, Floats
from hbsim.searchers.random import RandomSearcher, RowSearcher, allowed_rows
from hbsim.searchers.task import SearchTask


class Observed:
    """The observations of a model-based searcher: configurations, pending evaluations, values.

    Trials are in the order of their numbers; larger values are better, whatever the mode.

    Parameters
    ----------
    mode : "max" or "min"
        Whether the study's metric is maximised or minimised.

    Attributes
    ----------
    points : list of array, shape (d,)
        The configuration of each trial so far, a point of the unit cube.
    values : dict
        By trial, by level: the value, signed so that larger is better; None if it is not finite. In the order
        of arrival; a level that is observed again has its last value.
    pending : dict
        By trial, the levels at which it is pending. A trial that was suggested and has not started yet
        has None among its levels: it is not known how far it will train.
    """

    def __init__(self, mode: Mode) -> None:
        self._sign = 1.0 if mode == "max" else -1.0
        self.points: list[Floats] = []
        self.values: dict[int, dict[float, float | None]] = {}
        self.pending: dict[int, set[float | None]] = {}

    def suggested(self, point: Floats) -> None:
        """Record the configuration of the next trial."""
        self.pending[len(self.points)] = {None}
        self.points.append(point)

    def register_pending(self, trial: int, level: float) -> None:
        """Record that a trial trains towards a level."""
        levels = self.pending.setdefault(trial, set())
        levels.discard(None)
        levels.add(level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Record a value of a trial at a level; None for no number."""
        levels = self.pending.get(trial)
        if levels is not None:
            levels -= {level, None}
            if not levels:
                del self.pending[trial]
        number = None if value is None or not isfinite(value) else self._sign * float(value)
        self.values.setdefault(trial, {})[level] = number

    def forget(self, trial: int) -> None:
        """Record that a trial no longer runs."""
        self.pending.pop(trial, None)

    def at(self, level: float) -> tuple[list[int], Floats]:
        """Return the trials that have a value at a level, and the values, as `filled` returns them."""
        trials = [trial for trial, levels in self.values.items() if level in levels]
        return trials, filled([level] * len(trials), [self.values[trial][level] for trial in trials])

    def latest(self) -> tuple[list[int], Floats]:
        """Return the trials that have values, and each one's value at its highest level, by `filled`."""
        trials = list(self.values)
        tops = [max(self.values[trial]) for trial in trials]
        raw = [self.values[trial][top] for trial, top in zip(trials, tops, strict=True)]
        return trials, filled(tops, raw)


def filled(levels: list[float], values: list[float | None]) -> Floats:
    """Return values as an array; a value that is not a number becomes the worst at its level, or of all.

    Without any number they are 0.
    """
    worst: dict[float, float] = {}
    for level, value in zip(levels, values, strict=True):
        if value is not None:
            worst[level] = min(value, worst.get(level, value))
    overall = min(worst.values(), default=0.0)
    pairs = zip(levels, values, strict=True)
    return np.array([worst.get(level, overall) if v is None else v for level, v in pairs], dtype=np.float64)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit the BLAS, and PyTorch if it is loaded, to one thread; restore the settings afterwards."""
    torch = sys.modules.get("torch")
    threads = 0 if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads)


RANDOM_TRIES: Final = 100  # random draws for a trial until one is new and allowed


class ModelBased(ABC):
    """A searcher that learns from observed values.

    A suggestion is a function of the task, the number of the trial and the observations of earlier trials,
    never of the size of requests, of an earlier fit, or of a clock. So a resumed study goes on as if it had
    not been interrupted.

    The first trials are those of random search with the same seed. One that was tried before is replaced by
    a new random one, a hundred times at most.

    Parameters
    ----------
    task : SearchTask
        With a space; of a table also with the points of its rows.
    num_init : int
        How many trials are random at first.

    Raises
    ------
    ParameterError
        The task has no space, or it has rows without points.
    """

    model_based: bool = True
    listens: bool = True
    name: str

    def __init__(self, task: SearchTask, num_init: int) -> None:
        if task.space is None or (task.rows is not None and task.points is None):
            rule = f"{self.name} needs to know the hyperparameters: the learning curves have no search space"
            raise ParameterError("searcher", self.name, rule)
        if task.space.dimension == 0:
            raise ParameterError("searcher", self.name, "the search space has no parameter to search over")
        self.task = task
        self.space: Space = task.space
        self.num_init = num_init
        self.known = Observed(task.mode)
        self._random = RandomSearcher(task.space, task.seed, task.constraint)
        self._in_order = None if task.rows is None else RowSearcher(task.rows, task.seed, replace=True)
        self._size = prod(_size(parameter) for parameter in self.space.parameters.values())
        self._tried: set[tuple[tuple[str, object], ...]] = set()
        self._used: dict[int, int] = {}  # how often each row was suggested
        self._allowed = np.ones(0, dtype=np.bool_) if task.rows is None else allowed_rows(task)

    @property
    def remaining(self) -> int | None:
        """How many more configurations there are; None: any number."""
        if self.task.rows is None or self.task.replace:
            return None
        return int(self._allowed.sum()) - len(self.known.points)

    # Methods that the driver calls

    def suggest(self, n: int) -> Configurations:
        """Return the next n configurations; one is pending while the next is chosen."""
        left, n = self.remaining, whole("n", n, 0)
        if left is not None and n > left:
            needed = len(self.known.points) + n
            rule = f"the table has {needed - n + left} rows for as many trials: run fewer, "
            rule += "set replace=True (rows again), or use a fitted surrogate"
            raise ParameterError("num_trials", needed, rule)
        chosen = [self._next() for _ in range(n)]
        if self.task.rows is not None:
            return np.array(chosen, dtype=np.int64)
        return np.array(chosen, dtype=np.float64).reshape(n, self.space.dimension)

    def resume(self, configurations: Configurations) -> None:
        """Use these as the configurations of the next trials."""
        for configuration in configurations:
            self._take(configuration)

    def register_pending(self, trial: int, level: float) -> None:
        """Record that a trial trains towards a level."""
        self.known.register_pending(trial, level)

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Record a value of a trial at a level; None for no number."""
        self.known.observe(trial, level, value)

    def forget(self, trial: int) -> None:
        """Record that a trial no longer runs."""
        self.known.forget(trial)

    # Methods of a kind of model

    def is_new(self, point: Floats) -> bool:
        """Return whether a point, shape (d,), was not tried before, or all were."""
        if len(self._tried) >= self._size:
            return True
        return tuple(self.space.mapping(point).items()) not in self._tried

    @abstractmethod
    def _propose(self, trial: int) -> Floats | None:
        """Return a point of the unit cube for a trial, shape (d,), that the constraint allows.

        None if there are too few observations, or no new point. For a table the nearest row left is used.
        """

    # Internals

    def _next(self) -> Floats | int:
        trial = len(self.known.points)
        point = None if trial < self.num_init else self._propose(trial)
        if self.task.rows is not None:
            chosen: Floats | int = (
                self._first_row(trial) if point is None else self.task.nearest_row(point, self.left())
            )
        else:
            chosen = self._random_point(trial) if point is None else point
        self._take(chosen)
        return chosen

    def _random_point(self, trial: int) -> Floats:
        """Return the point of random search for a trial, or a new one if that was tried before."""
        own: Floats = self._random.points(trial, 1)[0]
        if not self.is_new(own):
            draws = block_generator(self.task.seed, Purpose.REDRAWS, trial)
            for point in self.space.sample(RANDOM_TRIES, draws):
                if self.is_new(point) and self.task.allows(point[np.newaxis])[0]:
                    return np.asarray(point)
        return own

    def _take(self, configuration: Floats | int) -> None:
        if self.task.rows is None:
            point = np.asarray(configuration, dtype=np.float64)
        else:
            assert self.task.points is not None
            row = int(configuration)
            self._used[row] = self._used.get(row, 0) + 1
            point = self.task.points[row]
        self.known.suggested(point)
        self._tried.add(tuple(self.space.mapping(point).items()))

    def left(self) -> NDArray[np.bool_]:
        """Return which rows may be suggested, shape (rows,): of those allowed the least often used."""
        assert self.task.rows is not None
        counts = np.zeros(self.task.rows, dtype=np.int64)
        for row, count in self._used.items():
            counts[row] = count
        allowed = self._allowed
        return np.asarray(allowed & (counts == counts[allowed].min()))

    def _first_row(self, trial: int) -> int:
        """Return the row of this trial in the order of random search, or the next one that is left."""
        assert self._in_order is not None
        left = self.left()
        while not left[row := int(self._in_order.rows_of(trial, 1)[0])]:
            trial += 1
        return row


def _size(parameter: Parameter) -> float:
    """Return how many values a parameter has."""
    match parameter:
        case Int():
            return parameter.high - parameter.low + 1
        case Choice():
            return len(parameter.choices)
        case Bool():
            return 2
        case _:
            return inf
