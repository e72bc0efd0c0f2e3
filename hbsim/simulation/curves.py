"""The curves of trials at the levels, with their slowness and failures; a block of trials at a time.

Trial i has the same configuration, curve, slowness and failures under every scheduler: everything is
drawn by (purpose, block of trials), never in the order of events (common random numbers).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from hbsim.core.streams import BLOCK, Purpose, block_generator
from hbsim.errors import ParameterError, SurrogateError
from hbsim.searchers import Searcher
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.random_effects import keep_block
from hbsim.surrogates.protocol import Floats, Ints, Surrogate


class TrialCurves:
    """Values, seconds and slowness of all trials so far, a row a trial and a column a level.

    Parameters
    ----------
    surrogate : Surrogate
        The learning curves.
    searcher : Searcher
        Asked once for each trial, in the order of trial numbers.
    levels : sequence of float
        The m levels.
    cluster : Cluster
        Its noise and its failures.
    seed : int
        Of the study.
    num_trials : int, optional
        No more configurations than these are asked for.
    high_brackets : bool
        Whether there are trials whose first stretch leads beyond the first level.

    Attributes
    ----------
    searcher : Searcher
        As it stands.
    values, seconds : array of float
        Flat, trial * m + level: the metric; the seconds of the stretch that ends at the level.
    from_zero : array of float
        Likewise: the seconds of a stretch from zero to the level; empty without `high_brackets`, since
        the first stretch is the same in both.
    first_budgets : array of float
        The exposed seconds after which the first attempt of each trial is lost; empty if none is.
    count : int
        Trials known so far.
    """

    def __init__(
        self,
        surrogate: Surrogate,
        searcher: Searcher,
        levels: Sequence[float],
        cluster: Cluster,
        seed: int,
        num_trials: int | None = None,
        high_brackets: bool = True,
    ) -> None:
        self.levels = np.array(levels, dtype=np.float64)
        self.surrogate = surrogate
        self.searcher = searcher
        self._cluster = cluster
        self._seed = seed
        self._limit = num_trials
        self.high_brackets = high_brackets
        self._factors: Floats = np.empty((0, len(levels)))
        self._kept: dict[int, Floats] = {}
        self._budgets: dict[tuple[int, int], array[float]] = {}
        self._configurations: list[Floats | Ints] = []
        self.values = array("d")
        self.seconds = array("d")
        self.from_zero = array("d")
        self.first_budgets = array("d")
        self.count = 0

    def grow(self) -> None:
        """Ask for the configurations of more trials: a block, or one if they depend on what is observed."""
        first = self.count
        count = 1 if self.searcher.model_based else BLOCK - first % BLOCK
        if self._limit is not None:
            count = max(1, min(count, self._limit - first))
        remaining = getattr(self.searcher, "remaining", None)
        if remaining is not None:
            count = max(1, min(count, remaining))
        configurations = self.searcher.suggest(count)
        self._check(configurations, count)
        values, seconds = self.surrogate.evaluate(configurations, self.levels)
        if self._limit is None and not seconds.any():
            problem = "all trials take no time at all: a study without num_trials would never end"
            raise SurrogateError(self.surrogate.name, problem)
        self._configurations.append(configurations)
        self._extend(values, seconds, first)
        if self._cluster.drop_rate:
            self.first_budgets.extend(self.budget(trial, 0) for trial in range(first, first + count))
        self.count += count

    def _check(self, configurations: Floats | Ints, count: int) -> None:
        """Check what a searcher returned: it may be anybody's."""
        rule = ""
        if len(configurations) != count:
            rule = f"suggest({count}) must return {count} configurations, not {len(configurations)}"
        elif (points := np.asarray(configurations)).dtype.kind == "f":
            outside = ~((points >= 0.0) & (points <= 1.0))  # True for NaN
            if outside.any():
                rule = f"suggest({count}) must return points of the unit cube, not {points[outside][0]}"
        if rule:
            raise ParameterError("searcher", type(self.searcher).__name__, rule)

    def _extend(self, values: Floats, seconds: Floats, first: int) -> None:
        values = np.where(np.isfinite(values), values, np.nan)  # an infinity is no number either
        steps = np.diff(seconds, axis=1, prepend=0.0)
        if self._cluster.straggler_std:
            factors = self._slow_factors(first, len(values))
            steps = steps * factors
            seconds = seconds * factors
        columns = [(self.values, values), (self.seconds, steps)]
        if self.high_brackets:
            columns.append((self.from_zero, seconds))
        for column, block in columns:
            column.frombytes(np.ascontiguousarray(block, dtype=np.float64).tobytes())

    def _slow_factors(self, first: int, count: int) -> Floats:
        """Return 1 + |z| for each stretch of these trials, shape (count, m)."""
        block, start = divmod(first, BLOCK)
        if not start:
            self._factors = self._draw_factors(block)
        return self._factors[start : start + count]

    def _draw_factors(self, block: int) -> Floats:
        parts = [
            block_generator(self._seed, Purpose.SLOWNESS, block, level).standard_normal(BLOCK)
            for level in range(len(self.levels))
        ]
        return 1.0 + self._cluster.straggler_std * np.abs(np.stack(parts, axis=1))

    def slowness(self, trial: int, at: int) -> float:
        """Return how many times as long as in its curve a trial takes for the stretch to level `at`."""
        if not self._cluster.straggler_std:
            return 1.0
        block, place = divmod(trial, BLOCK)
        if block not in self._kept:
            self._kept[block] = self._draw_factors(block)
        return float(self._kept[block][place, at])

    def budget(self, trial: int, attempt: int) -> float:
        """Return the exposed seconds after which an attempt of a trial is lost."""
        block, place = divmod(trial, BLOCK)
        budgets = self._budgets.get((block, attempt))
        if budgets is None:
            draws = block_generator(self._seed, Purpose.FAILURE, block, attempt).standard_exponential(BLOCK)
            budgets = array("d", (draws / self._cluster.hazard).tobytes())
            keep_block(self._budgets, (block, attempt), budgets)
        return budgets[place]

    def configurations(self) -> Floats | Ints:
        """Return the configurations of all trials so far, shape (n, d) or (n,)."""
        blocks = self._configurations
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)  # type: ignore[return-value]
