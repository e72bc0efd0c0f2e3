"""Tree-structured Parzen estimators, by Optuna: `tpe`, and `bohb`, which is one of them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hbsim.core.numbers import exact, whole
from hbsim.core.streams import Purpose, block_generator
from hbsim.errors import ParameterError, needs
from hbsim.searchers.model_based import RANDOM_TRIES, ModelBased
from hbsim.searchers.protocol import Floats
from hbsim.searchers.task import SearchTask

if TYPE_CHECKING:
    from optuna.samplers import TPESampler

    from hbsim.searchers.optuna_study import OptunaRow, Params

TRIES: Final = 8  # draws from a model for a trial until one is new and allowed


@dataclass(frozen=True, slots=True)
class Parzen:
    """The settings of a Parzen estimator.

    Attributes
    ----------
    enough : int
        How many numbers a level needs to be modelled.
    candidates : int
        How many are drawn from the density of the good ones, of which the best ratio is taken.
    top : float or None
        The share of observations that are good, at least ``enough - 2`` of them; all have the same weight.
        None: Optuna's own, a tenth and 25 at most, and of many observations the oldest count for less.
    random_fraction : float
        The share of trials that are random.
    """

    enough: int
    candidates: int
    top: float | None
    random_fraction: float


class TPE(ModelBased):
    """Fits two densities to one level's observations, good and bad, and tries where their ratio is high.

    Both are over all parameters together, or over those that are active together. Bergstra, Bardenet, Bengio
    and Kegl, NeurIPS 2011, section 4. The level is the highest that has numbers of enough trials (Falkner,
    Klein and Hutter, ICML 2018, section 3): values of different levels are never in one model. Until there
    is such a level trials are random. A trial that was observed at the level with no number counts as bad as
    the worst. One that is pending, towards whatever level, and has no value at this one counts as bad:
    Optuna's constant liar.

    Configurations that were suggested before, or that the constraint rejects, are drawn again, eight times
    from the model, then a hundred times at random; if none of these is new the first one that is allowed is
    taken. Of a table the row that is left and nearest to what was drawn is taken.

    Parameters
    ----------
    name : str
        Of the searcher.
    task : SearchTask
        With a space.
    num_init : int
        How many trials are random, whatever is known.
    parzen : Parzen
        The settings of the estimator.

    Raises
    ------
    ParameterError
        Optuna is not installed, or the task has no space.
    """

    def __init__(self, name: str, task: SearchTask, num_init: int, parzen: Parzen) -> None:
        self.name = name
        need_optuna(name)
        super().__init__(task, num_init)
        from hbsim.searchers.optuna_study import OptunaSpace

        self.parzen = parzen
        self._optuna = OptunaSpace(self.space)
        self._params: list[Params] = []  # of each trial so far

    def _propose(self, trial: int) -> Floats | None:
        level = self._level()
        if level is None:
            return None
        generator = block_generator(self.task.seed, Purpose.MODEL, trial)
        if generator.random() < self.parzen.random_fraction:
            return None
        first = None
        for point in self._draws(level, generator):
            is_new = self.is_new(point)
            if (is_new or first is None) and self._is_allowed(point):
                if is_new:
                    return point
                first = point
        return first

    def _level(self) -> float | None:
        """Return the highest level with enough numbers; None if there is none."""
        numbers: dict[float, int] = {}
        for levels in self.known.values.values():
            for level, value in levels.items():
                numbers[level] = numbers.get(level, 0) + (value is not None)
        return max((level for level, n in numbers.items() if n >= self.parzen.enough), default=None)

    def _draws(self, level: float, generator: np.random.Generator) -> Iterator[Floats]:
        """Yield points, shape (d,), by a model of one level, then random ones."""
        from hbsim.searchers.optuna_study import draws

        self._note_params()
        seed, conditional = int(generator.integers(2**32)), bool(self.space.conditional)
        sampler = _sampler(self.parzen, seed, conditional)
        for params in draws(self._rows(level), self._optuna, sampler, TRIES):
            yield self._optuna.point(params)
        yield from self.space.sample(RANDOM_TRIES, generator)

    def _is_allowed(self, point: Floats) -> bool:
        """Return whether the constraint allows a point; of a table it is asked about rows."""
        return self.task.rows is not None or bool(self.task.allows(point[np.newaxis])[0])

    def _rows(self, level: float) -> list[OptunaRow]:
        """Return the trials that are observed at a level or pending, in the order of their numbers."""
        from hbsim.searchers.optuna_study import OptunaRow

        trials, values = self.known.at(level)
        rows: dict[int, float | None] = dict.fromkeys(self.known.pending)
        rows.update(zip(trials, values.tolist(), strict=True))
        return [OptunaRow(self._params[trial], value) for trial, value in sorted(rows.items())]

    def _note_params(self) -> None:
        points = self.known.points[len(self._params) :]
        if points:
            self._params += self._optuna.params(np.array(points))


def make_tpe(task: SearchTask, *, num_init: int = 10, candidates: int = 24) -> TPE:
    """Make TPE, with Optuna's settings.

    Parameters
    ----------
    task : SearchTask
        With a space.
    num_init : int
        How many trials are random, whatever is known, and how many numbers a level needs; 1 or more.
    candidates : int
        How many are drawn from the density of the good, 1 or more.

    Raises
    ------
    ParameterError
        Optuna is not installed, an option breaks its rule, or the task has no space.
    """
    need_optuna("tpe")
    checked = _whole("num_init", num_init, 1)
    return TPE("tpe", task, checked, Parzen(checked, _whole("candidates", candidates, 1), None, 0.0))


def make_bohb(
    task: SearchTask,
    *,
    num_init: int = 0,
    min_points: int | None = None,
    candidates: int = 64,
    top: float = 0.15,
    random_fraction: float = 1 / 3,
) -> TPE:
    """Make BOHB's model, with every third trial random.

    Falkner, Klein and Hutter, ICML 2018, section 3.2; the defaults are the paper's. Kernels, their widths and
    the prior in both densities are Optuna's, and no observation is good and bad at once.

    Parameters
    ----------
    task : SearchTask
        With a space.
    num_init : int
        How many trials are random, whatever is known; 0 or more. Until a level has ``min_points + 2``
        numbers they are anyway.
    min_points : int, optional
        N_min, 1 or more; d + 1 of a space with d parameters unless given.
    candidates : int
        How many are drawn from the density of the good, 1 or more.
    top : float
        The share of observations that are good, above 0 and below 1; at least `min_points` are.
    random_fraction : float
        The share of trials that are random, from 0 to 1.

    Raises
    ------
    ParameterError
        Optuna is not installed, an option breaks its rule, or the task has no space.
    """
    need_optuna("bohb")
    dimension = 0 if task.space is None else task.space.dimension
    least = dimension + 1 if min_points is None else _whole("min_points", min_points, 1)
    top, random_fraction = _number("top", top), _number("random_fraction", random_fraction)
    if not 0 < top < 1:
        raise ParameterError("search_options.top", top, "must be above 0 and below 1")
    if not 0 <= random_fraction <= 1:
        raise ParameterError("search_options.random_fraction", random_fraction, "must be from 0 to 1")
    parzen = Parzen(least + 2, _whole("candidates", candidates, 1), top, random_fraction)
    return TPE("bohb", task, _whole("num_init", num_init, 0), parzen)


def need_optuna(name: str) -> None:
    """Check that Optuna is installed.

    Raises
    ------
    ParameterError
        It is not; `name` is the searcher that needs it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ParameterError("searcher", name, needs("Optuna", "search"))


def _sampler(parzen: Parzen, seed: int, conditional: bool) -> TPESampler:
    from optuna.samplers import TPESampler

    from hbsim.searchers.optuna_study import without_optuna_logs

    least, top = parzen.enough - 2, parzen.top
    with without_optuna_logs(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # `gamma` and `weights` are to go with Optuna 6
        return TPESampler(
            n_startup_trials=0,
            n_ei_candidates=parzen.candidates,
            seed=seed,
            multivariate=True,
            group=conditional,
            constant_liar=True,
            gamma=None if top is None else lambda n: max(least, int(top * n)),
            weights=None if top is None else np.ones,
        )


def _whole(name: str, value: object, least: int) -> int:
    return whole(f"search_options.{name}", value, least)


def _number(name: str, value: object) -> float:
    return float(exact(f"search_options.{name}", value))
