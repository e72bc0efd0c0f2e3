"""What the searchers `gp` and `mobster` share: what was reported, fits, and the choice of a point."""

from __future__ import annotations

import importlib
import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hbsim.core.exact import whole
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, needs
from hbsim.searchers.encoding import Encoding
from hbsim.searchers.gp_data import keep, stage, standardize
from hbsim.searchers.model_based import ModelBased
from hbsim.searchers.observed import Observed
from hbsim.searchers.protocol import Floats, Ints
from hbsim.searchers.task import Task

if TYPE_CHECKING:
    from hbsim.searchers.gp_acquire import Target
    from hbsim.searchers.gp_fit import Fit

__all__ = ["GaussianSearch", "Observations"]

FITTED: Final = 256  # observations that hyperparameters are fitted on
STARTS: Final = 4  # candidates that are climbed from


class Observations(NamedTuple):
    """What a model is given, in the order in which it came.

    Attributes
    ----------
    trials : array of int64, shape (n,)
        Whose each observation is.
    levels : array, shape (n,)
        Where it is.
    values : array, shape (n,)
        Larger is better; nothing but numbers.
    """

    trials: Ints
    levels: Floats
    values: Floats

    def some(self, which: Ints) -> Observations:
        """Return those of these places."""
        return Observations(self.trials[which], self.levels[which], self.values[which])


class GaussianSearch(ModelBased):
    """A searcher that models values by a Gaussian process, and takes what it expects to improve most.

    Improvement is over the values that all configurations may have that were tried or run, at the level that
    counts (`gp_model.Improvement`), whatever level a trial runs to.

    Hyperparameters are fitted on a first part of what was reported (`gp_data.stage`), so that a study that is
    resumed needs one fit to go on. Whatever goes wrong in the numbers, the trial is random search's.

    Parameters
    ----------
    task : Task
        As for `ModelBased`.
    num_init : int, optional
        How many trials are random; by default twice the dimension, from 8 to 20. 1 or more.
    max_observations : int
        Of how many observations the model is at most made, 10 or more; see `gp_data.keep`.

    Attributes
    ----------
    fits : int
        How many fits there were.

    Raises
    ------
    ParameterError
        An option breaks its rule, the task has no space, or BoTorch is not installed.
    """

    levelled: bool  # whether the model sees levels

    def __init__(
        self,
        task: Task,
        *,
        num_init: int | None = None,
        max_observations: int = 1000,
    ) -> None:
        checked = _check_init(num_init, task)
        self._limit = _whole("max_observations", max_observations, 10)
        super().__init__(task, checked)
        _need_botorch(self.name)
        self._encoding = Encoding(self.space)
        self._reports: list[tuple[int, float, float | None]] = []
        self._fitted: tuple[int, Fit] | None = None
        self.fits = 0

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Take note of a value."""
        super().observe(trial, level, value)
        self._reports.append((trial, level, value))

    # What a kind says

    @abstractmethod
    def observations(self, known: Observed) -> Observations:
        """Return what the model is given of what is known."""

    @abstractmethod
    def target_level(self) -> tuple[float, ...]:
        """Return the columns of the level at which a value counts; none where the model has no levels."""

    def columns(self, trials: Ints, levels: Floats) -> Floats:
        """Return what the model sees of trials at levels, shape (n, width)."""
        return self._encoding.columns(self._points(trials))

    # How it is done

    def _points(self, trials: Ints) -> Floats:
        points = [self.known.points[trial] for trial in trials]
        return np.array(points, dtype=np.float64).reshape(len(trials), self.space.dimension)

    def _propose(self, trial: int) -> Floats | None:
        from hbsim.searchers.one_thread import one_thread

        if not self._encoding.width or not self._reports:
            return None
        draws = block_generator(self.task.seed, Purpose.MODEL, trial)
        with one_thread():
            try:
                target, good = self._target(draws)
            except (RuntimeError, ArithmeticError):
                return None
            if self.task.rows is not None:
                return self._best_row(target)
            return self._best_point(target, good, draws)

    def _target(self, draws: np.random.Generator) -> tuple[Target, Floats]:
        """Return what to maximise, and the configurations of the model, the best first, shape (n, d)."""
        from hbsim.searchers.gp_acquire import Target, at_level
        from hbsim.searchers.gp_model import Predictor

        seen = self.observations(self.known)
        seen = seen.some(keep(seen.levels, seen.values, self._limit))
        predictor = Predictor(self._fit(), self.columns(seen.trials, seen.levels), standardize(seen.values))
        pending = np.array(list(self.known.pending), dtype=np.int64)
        points = self._points(np.unique(np.concatenate([seen.trials, pending])))
        columns, level = self._encoding.columns(points), self.target_level()
        means = predictor.means(at_level(columns, level))
        if not np.isfinite(means).all():
            raise ArithmeticError("the model predicts no numbers")
        return Target(predictor, columns, level, draws), points[np.argsort(-means, kind="stable")]

    def _fit(self) -> Fit:
        """Return the hyperparameters in use; fitted unless they are at hand."""
        from hbsim.searchers.gp_fit import fit

        count = stage(len(self._reports))
        if self._fitted is None or self._fitted[0] != count:
            first = Observed(self.task.mode)
            for report in self._reports[:count]:
                first.observe(*report)
            seen = self.observations(first)
            seen = seen.some(keep(seen.levels, seen.values, FITTED))
            columns = self.columns(seen.trials, seen.levels)
            self._fitted = count, fit(columns, standardize(seen.values), self.levelled)
            self.fits += 1
        return self._fitted[1]

    def _best_row(self, target: Target) -> Floats:
        """Return the row that is left and promises most, as a point; the lowest of equals."""
        assert self.task.points is not None
        left = np.flatnonzero(self.left())
        scores = target(self._encoding.columns(self.task.points[left]))
        return np.asarray(self.task.points[left[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))]])

    def _best_point(self, target: Target, good: Floats, draws: np.random.Generator) -> Floats | None:
        """Return the new point that promises most of those looked at; None if there is none."""
        from hbsim.searchers.gp_acquire import candidates, is_new, refine

        points = candidates(self._encoding, self.space.dimension, good, draws)
        tried = self._encoding.snap(self._points(np.arange(len(self.known.points))))
        points = points[is_new(points, tried)]
        starts = self._allowed_best(points, target(self._encoding.columns(points)), STARTS)
        if not len(starts):
            return None
        climbed = refine(self._encoding, starts, target)
        both = np.concatenate([climbed[is_new(climbed, tried)], starts])
        best: Floats = self._allowed_best(both, target(self._encoding.columns(both)), 1)[0]
        return best

    def _allowed_best(self, points: Floats, scores: Floats, most: int) -> Floats:
        """Return the best `most` of the points that the constraint allows; it is asked when needed only."""
        found: list[int] = []
        for place in np.argsort(-scores, kind="stable"):
            if len(found) == most:
                break
            if np.isfinite(scores[place]) and self.task.allows(points[place : place + 1])[0]:
                found.append(int(place))
        return points[found]


def _whole(name: str, value: object, least: int) -> int:
    return whole(f"search_options.{name}", value, least)


def _check_init(num_init: int | None, task: Task) -> int:
    if num_init is not None:
        return _whole("num_init", num_init, 1)
    return 0 if task.space is None else min(20, max(8, 2 * task.space.dimension))


def _need_botorch(name: str) -> None:
    """Import it, and what is built on it; what it says about PyTorch meanwhile is no business of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("botorch")
            importlib.import_module("hbsim.searchers.gp_acquire")
    except ImportError:
        raise ParameterError("searcher", name, needs("BoTorch", "search")) from None
