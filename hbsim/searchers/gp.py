"""Bayesian optimisation by Gaussian processes: the searchers `gp` and `mobster`.

The model itself, with PyTorch, GPyTorch and BoTorch, is in `hbsim.searchers.gp_model`. MOBSTER is Klein et
al., "Model-based Asynchronous Hyperparameter and Neural Architecture Search" (2020), arXiv 2003.10865.
"""

from __future__ import annotations

import importlib
import warnings
from abc import abstractmethod
from math import log
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hbsim.core.numbers import exact, whole
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, needs
from hbsim.searchers.encoding import Encoding
from hbsim.searchers.model_based import ModelBased, Observed, filled, one_thread
from hbsim.searchers.protocol import Floats, Ints
from hbsim.searchers.task import SearchTask

if TYPE_CHECKING:
    from hbsim.searchers.gp_model import ExpectedImprovement, Fit

FENCE: Final = 1.5  # interquartile ranges; Tukey's
GROWTH: Final = 1.3


def standardize(values: Floats) -> Floats:
    """Return values, larger is better, with mean 0 and standard deviation 1, bad outliers clipped.

    Values more than 1.5 interquartile ranges below the lower quartile (Tukey's fence) are clipped to that
    bound: the exact value of a diverged trial is irrelevant to the good ones. Good values are never clipped.
    Equal values are all 0.

    Parameters
    ----------
    values : array, shape (n,)
        Finite, of any size.
    """
    largest = np.abs(values).max(initial=0.0)
    if largest == 0.0:
        return np.zeros(len(values))
    scaled = values / largest  # squares of huge values have no room in a float
    low, high = np.quantile(scaled, [0.25, 0.75])
    fenced = np.maximum(scaled, low - FENCE * (high - low)) if high > low else scaled
    centred = fenced - fenced.mean()
    size = float(np.abs(centred).max())
    if size == 0.0:
        return np.zeros(len(values))
    centred = centred / size  # nor have those of tiny ones, and beside an outlier all may be tiny
    spread = float(np.sqrt(np.square(centred).mean()))
    if spread * size <= 1e-12 * np.abs(fenced).max():
        return np.zeros(len(values))
    return np.asarray(centred / spread)


def keep(levels: Floats, values: Floats, limit: int) -> Ints:
    """Choose the at most `limit` observations for a model; return their indices, ascending.

    Each level has the same share; what a level does not use goes to the others. Of a level with
    more than its share half are the best, half others, evenly spread over the order in which they came, so
    that bad regions stay known.

    Parameters
    ----------
    levels, values : array, shape (n,)
        Where each was observed, and its value, larger is better, in the order in which they came.
    limit : int
        1 or more.
    """
    if len(values) <= limit:
        return np.arange(len(values))
    kept: list[Ints] = []
    found, counts = np.unique(levels, return_counts=True)
    room, rarest = limit, np.argsort(counts, kind="stable")
    for left, level in zip(range(len(found), 0, -1), found[rarest], strict=True):
        places = np.flatnonzero(levels == level)
        share = room // left
        kept.append(places if len(places) <= share else _some(places, values[places], share))
        room -= len(kept[-1])
    return np.sort(np.concatenate(kept))


def _some(places: Ints, values: Floats, room: int) -> Ints:
    """Return `room` of these places: half of them the best."""
    order = np.argsort(-values, kind="stable")
    best = places[order[: (room + 1) // 2]]
    rest = np.setdiff1d(places, best)
    spread = (np.arange(room - len(best)) * len(rest)) // max(1, room - len(best))
    return np.concatenate([best, rest[spread]])


def stage(observations: int) -> int:
    """Return on how many of so many observations hyperparameters are fitted.

    It is the largest that is not above them of 1, 3, 5, 7, 9, 11, 14, 18, 23, 29, ...: each is three tenths
    more than the one before, rounded down, and at least two more. So 1,000 observations need 23 fits, and
    which one is in use depends on how many there are and on nothing else.
    """
    found, after = min(observations, 1), 1
    while after <= observations:
        found, after = after, max(after + 2, int(after * GROWTH))
    return found


FITTED: Final = 256  # observations that hyperparameters are fitted on
STARTS: Final = 4  # candidates that are climbed from


class Observations(NamedTuple):
    """The observations of a model, in the order in which they arrived.

    Attributes
    ----------
    trials : array of int64, shape (n,)
        The trial of each observation.
    levels : array, shape (n,)
        The point of each observation.
    values : array, shape (n,)
        Finite values, larger is better.
    """

    trials: Ints
    levels: Floats
    values: Floats

    def some(self, which: Ints) -> Observations:
        """Return the observations with these indices."""
        return Observations(self.trials[which], self.levels[which], self.values[which])


class GaussianSearch(ModelBased):
    """A searcher that models values by a Gaussian process, and takes what it expects to improve most.

    With `kappa` it takes what has the highest upper confidence bound.

    Improvement is over the values that all configurations may have that were tried or run, at the level that
    counts (`gp_model.ExpectedImprovement`), whatever level a trial runs to.

    Hyperparameters are fitted on a first part of what was reported (`stage`), so that a study that is
    resumed needs one fit to go on. After a numerical error the trial is that of random search.

    Parameters
    ----------
    task : SearchTask
        As for `ModelBased`.
    num_init : int, optional
        How many trials are random; by default twice the dimension, from 8 to 20. 1 or more.
    max_observations : int
        Of how many observations the model is at most made, 10 or more; see `keep`.
    kappa : float, optional
        If given, the upper confidence bound counts, the mean plus so many deviations, and not the expected
        improvement. 0 or more.

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
        task: SearchTask,
        *,
        num_init: int | None = None,
        max_observations: int = 1000,
        kappa: float | None = None,
    ) -> None:
        checked = _check_init(num_init, task)
        self._kappa = None if kappa is None else float(exact("search_options.kappa", kappa))
        if self._kappa is not None and self._kappa < 0:
            raise ParameterError("search_options.kappa", kappa, "must be 0 or more")
        self._limit = _whole("max_observations", max_observations, 10)
        super().__init__(task, checked)
        _need_botorch(self.name)
        self._encoding = Encoding(self.space)
        self._reports: list[tuple[int, float, float | None]] = []
        self._fitted: tuple[int, Fit] | None = None
        self.fits = 0

    def observe(self, trial: int, level: float, value: float | None) -> None:
        """Record a value of a trial at a level; None for no number."""
        super().observe(trial, level, value)
        self._reports.append((trial, level, value))

    # Methods of a kind of searcher

    @abstractmethod
    def observations(self, known: Observed) -> Observations:
        """Select the observations that the model is fitted to."""

    @abstractmethod
    def target_level(self) -> tuple[float, ...]:
        """Return the columns of the level at which a value counts; none where the model has no levels."""

    def columns(self, trials: Ints, levels: Floats) -> Floats:
        """Return the model's input columns for trials at levels, shape (n, width)."""
        return self._encoding.columns(self._points(trials))

    # Internals

    def _points(self, trials: Ints) -> Floats:
        points = [self.known.points[trial] for trial in trials]
        return np.array(points, dtype=np.float64).reshape(len(trials), self.space.dimension)

    def _propose(self, trial: int) -> Floats | None:
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

    def _target(self, draws: np.random.Generator) -> tuple[ExpectedImprovement, Floats]:
        """Return the function to maximise, and the model's configurations, the best first, shape (n, d)."""
        from hbsim.searchers.gp_model import ConfidenceBound, ExpectedImprovement, Predictor, at_level

        seen = self.observations(self.known)
        seen = seen.some(keep(seen.levels, seen.values, self._limit))
        predictor = Predictor(self._fit(), self.columns(seen.trials, seen.levels), standardize(seen.values))
        pending = np.array(list(self.known.pending), dtype=np.int64)
        points = self._points(np.unique(np.concatenate([seen.trials, pending])))
        columns, level = self._encoding.columns(points), self.target_level()
        means = predictor.means(at_level(columns, level))
        if not np.isfinite(means).all():
            raise ArithmeticError("the model predicts no numbers")
        best_first = points[np.argsort(-means, kind="stable")]
        if self._kappa is not None:
            return ConfidenceBound(predictor, columns, level, draws, self._kappa), best_first
        return ExpectedImprovement(predictor, columns, level, draws), best_first

    def _fit(self) -> Fit:
        """Return the hyperparameters in use; fitted unless they are at hand."""
        from hbsim.searchers.gp_model import fit

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

    def _best_row(self, target: ExpectedImprovement) -> Floats:
        """Return the row that is left and promises most, as a point; the lowest of equals."""
        assert self.task.points is not None
        left = np.flatnonzero(self.left())
        scores = target(self._encoding.columns(self.task.points[left]))
        return np.asarray(self.task.points[left[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))]])

    def _best_point(
        self, target: ExpectedImprovement, good: Floats, draws: np.random.Generator
    ) -> Floats | None:
        """Return the candidate with the largest expected improvement; None if there is no new one."""
        from hbsim.searchers.gp_model import candidates, is_new, refine

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


def _check_init(num_init: int | None, task: SearchTask) -> int:
    if num_init is not None:
        return _whole("num_init", num_init, 1)
    return 0 if task.space is None else min(20, max(8, 2 * task.space.dimension))


def _need_botorch(name: str) -> None:
    """Import GPyTorch and BoTorch, without their warnings about PyTorch."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("botorch")
            importlib.import_module("hbsim.searchers.gp_model")
    except ImportError:
        raise ParameterError("searcher", name, needs("BoTorch", "search")) from None


class GaussianProcess(GaussianSearch):
    """Models each trial by its value at the highest level that it reached.

    Values of different levels are taken as they are: those of trials that were let go on are better for being
    trained longer, too. Where every trial trains to the same level (fifo) nothing is lost by that; elsewhere
    `Mobster` keeps levels apart. Standardising by level would be wrong: what reaches a high level was
    selected, so that a mean value there would count for as little as a mean value at the first.

    Parameters
    ----------
    As for `GaussianSearch`.
    """

    name = "gp"
    levelled = False

    def observations(self, known: Observed) -> Observations:
        """Return the value of each trial at its highest level; all count as of one level."""
        trials, values = known.latest()
        return Observations(np.array(trials, dtype=np.int64), np.zeros(len(trials)), values)

    def target_level(self) -> tuple[float, ...]:
        """Return none: the model has no levels."""
        return ()


UNIT: Final = log(81)  # a step of 1 in a level's column is a factor of 81


class Mobster(GaussianSearch):
    """Models all values of all trials at all levels, and looks for the best value at R.

    Parameters
    ----------
    task : SearchTask
        Its `max_t` is R; where it has none, R is the highest level so far, and the early
        effect (`gp_model.terms`) is left out.
    others
        As for `GaussianSearch`.
    """

    name = "mobster"
    levelled = True

    def observations(self, known: Observed) -> Observations:
        """Return all values; one that is not a number becomes the worst at its level, or of all."""
        found = [(t, level, v) for t, levels in known.values.items() for level, v in levels.items()]
        trials, levels = [t for t, _, _ in found], [level for _, level, _ in found]
        values = filled(levels, [v for _, _, v in found])
        return Observations(np.array(trials, dtype=np.int64), np.array(levels, dtype=np.float64), values)

    def target_level(self) -> tuple[float, ...]:
        """Return the columns of R."""
        return (log(self._last()) / UNIT, 0.0)

    def columns(self, trials: Ints, levels: Floats) -> Floats:
        """Return the columns of trials, and those of levels after them; see `gp_model.fit`."""
        end = self.task.max_t
        early = np.zeros(len(levels)) if end is None else np.sqrt(np.maximum(end / levels - 1.0, 0.0))
        return np.column_stack([super().columns(trials, levels), np.log(levels) / UNIT, early])

    def _last(self) -> float:
        """Return R."""
        if self.task.max_t is not None:
            return float(self.task.max_t)
        seen = [level for levels in self.known.values.values() for level in levels]
        pending = [level for levels in self.known.pending.values() for level in levels if level is not None]
        return max([*seen, *pending], default=1.0)
