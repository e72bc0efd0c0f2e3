"""The median rule: stops a trial whose best value is worse than the median of others' running averages.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.
"""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Final

from hbsim.core.levels import Levels
from hbsim.core.options import Options
from hbsim.core.rungs import Quantile
from hbsim.core.scheduler import Scheduler
from hbsim.core.state import check_rungs, pack_rungs, unpack_rungs
from hbsim.core.types import COMPLETE, COMPLETED, CONTINUE, RETURNED, RUNNING, STOP, WAITING

UNIT: Final = 1074  # every float is a whole multiple of 2**-1074
HALF: Final = Fraction(2)  # the (1 - 1/2) quantile


class RunningAverages:
    """The running averages of an active trial's values at its milestones.

    Averages are the floats nearest to the exact ones, so that the average of equal values is that value. A
    NaN or infinite value is worse than any number and ends a curve; an average that includes it is -inf.
    """

    __slots__ = ("averages", "best", "total")

    def __init__(self) -> None:
        self.best = -inf
        self.total = 0  # in 2**-1074
        self.averages: list[float] = []  # up to each milestone

    def add(self, value: float) -> None:
        """Add the value at the next milestone."""
        if value == -inf:
            self.averages.append(-inf)
            return
        if value > self.best:
            self.best = value
        numerator, denominator = value.as_integer_ratio()
        self.total += numerator << (UNIT + 1 - denominator.bit_length())
        self.averages.append(self.total / ((len(self.averages) + 1) << UNIT))


class MedianRung:
    """The values recorded at one milestone, in order, and the running averages up to it."""

    __slots__ = ("averages", "trials", "values")

    def __init__(self) -> None:
        self.values: list[float] = []
        self.trials: list[int] = []
        self.averages = Quantile(HALF)


class Median(Scheduler):
    """Stops a trial whose best value so far is worse than the median of the running averages of others.

    Milestones are at `grace_period`, then every `interval`, and at R. Bests and averages are over the
    values at milestones, since the core sees no others. A milestone's population are the completed
    trials, including those whose training ended early, or with ``among="recorded"`` all other trials
    recorded there before. While it is smaller than `min_samples` no trial is stopped.
    The median of an even number lies halfway between the two in the middle.

    A trial whose value is not a finite number is stopped, whatever its best and `min_samples` are. An average
    that includes such a value is worse than any number. If the median depends on such an average there is no
    cutoff, and every trial with a finite value goes on.

    Cost: O(log n) a milestone, by two heaps; a completed trial costs that at each of its milestones.
    """

    def __init__(self, options: Options, geometry: Levels) -> None:
        super().__init__(options, geometry)
        self._rungs = [MedianRung() for _ in self.levels]
        self._curves: dict[int, RunningAverages] = {}  # of active trials
        self._least = options.min_samples
        self._of_recorded = options.among == "recorded"

    # Deciding

    def _decide(self, trial: int, at: int, value: float) -> int:
        rung = self._rungs[at]
        self.n_before = self._position[trial] = len(rung.values)
        rung.values.append(value)
        rung.trials.append(trial)
        curve = self._curves.get(trial)
        if curve is None:
            curve = self._curves[trial] = RunningAverages()
        curve.add(value)
        self.cutoff = None
        if at == self._top:
            self._complete(self._curves.pop(trial))
            return COMPLETE
        others = rung.averages
        code = CONTINUE if value > -inf else STOP
        if others.n >= self._least and (cutoff := others.value) is not None:
            self.cutoff = cutoff * self._sign + 0.0  # no -0.0
            if curve.best < cutoff:
                code = STOP
        if self._of_recorded:
            others.add(curve.averages[-1])
        if code == STOP:
            del self._curves[trial]
        return code

    def _complete(self, curve: RunningAverages) -> None:
        """Add the running averages of a trial that has completed to their milestones."""
        if not self._of_recorded:
            for rung, average in zip(self._rungs[:-1], curve.averages, strict=False):
                rung.averages.add(average)

    def _lose(self, trial: int, at: int) -> None:
        self._curves.pop(trial, None)

    def _leave(self, trial: int, at: int) -> None:
        curve = self._curves.pop(trial, None)
        if curve is not None:
            self._complete(curve)

    # Explanations and state

    def standing_since(self, trial: int) -> str:
        """Say what happened to a trial since its last milestone, and its best value if that decided there."""
        since = super().standing_since(trial)
        at = self._at[trial]
        if not 0 < at <= self._top:
            return since
        values = [rung.values[rung.trials.index(trial)] for rung in self._rungs[:at]]
        best = max(values)
        if values[-1] in (best, -inf):
            return since
        return f"What counted is its best value so far, {best * self._sign + 0.0:g}. {since}".rstrip()

    def _rung_values(self, trial: int) -> list[float]:
        return self._rungs[self._at[trial] - 1].values

    def _extra_state(self) -> dict[str, object]:
        return {"rungs": pack_rungs((rung.values, rung.trials) for rung in self._rungs)}

    def _load_extra(self, state: dict[str, object]) -> None:
        curves = [RunningAverages() for _ in range(self.started)]
        for rung, (values, trials) in zip(
            self._rungs, unpack_rungs(state["rungs"], self.started), strict=True
        ):
            rung.values, rung.trials = values, trials
            for value, trial in zip(values, trials, strict=True):
                curves[trial].add(value)
                if self._of_recorded:
                    rung.averages.add(curves[trial].averages[-1])
        for trial, curve in enumerate(curves):
            status = self._status[trial]
            if status in (COMPLETED, RETURNED):
                self._complete(curve)
            elif status in (RUNNING, WAITING) and curve.averages:
                self._curves[trial] = curve

    def _check_extra(self) -> None:
        check_rungs(self, ((0, at, rung.trials) for at, rung in enumerate(self._rungs)), lambda trial: 0)
