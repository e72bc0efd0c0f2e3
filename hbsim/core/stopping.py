"""The stopping type, and fifo, which never stops a trial.

A trial trains until it is stopped at a milestone: Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020 (arXiv 1810.05934), as AutoTorch and Ray Tune implement it.
"""

from __future__ import annotations

from math import inf, nan
from typing import cast

from hbsim.core.levels import Levels
from hbsim.core.options import Options
from hbsim.core.rungs import RULES, StoppingRule
from hbsim.core.scheduler import ENDED, Scheduler
from hbsim.core.state import pack_values, unpack_values
from hbsim.core.types import COMPLETE, CONTINUE, STOP


class StoppingRung:
    """The values recorded at one level, in order, and the rule that stops trials there; none at R."""

    __slots__ = ("cut", "values")

    def __init__(self, cut: StoppingRule | None) -> None:
        self.values: list[float] = []
        self.cut = cut


class Stopping(Scheduler):
    """Stops a trial at a milestone if it is worse than most trials recorded there before."""

    def __init__(self, options: Options, geometry: Levels, brackets: int = 1) -> None:
        super().__init__(options, geometry, brackets)
        shared = self._make_rungs()
        self._rungs = [shared if options.shared_rungs else self._make_rungs() for _ in range(brackets)]

    def _make_rungs(self) -> list[StoppingRung]:
        cuts = [RULES[self.options.rule](self.geometry.eta) for _ in self.levels[:-1]]
        return [StoppingRung(cut) for cut in (*cuts, None)]

    def reach(self, trial: int, value: float) -> int:
        """Record that a running trial stands at its next milestone; see `Scheduler.reach`."""
        # This does not call `_decide`, to save a call at every milestone.
        value *= self._sign
        if not -inf < value < inf:
            value = -inf
        at = self._at[trial]
        self._at[trial] = at + 1
        rung = self._rungs[self._bracket[trial]][at]
        values, cut = rung.values, rung.cut
        self.n_before = self._position[trial] = len(values)
        values.append(value)
        self.cutoff = None
        self._cutoff[trial] = nan
        code = COMPLETE
        if cut is not None:
            code = CONTINUE if cut.decide(value) else STOP
            cutoff = cut.cutoff
            if cutoff is not None:
                self.cutoff = self._cutoff[trial] = cutoff * self._sign + 0.0  # no -0.0
        self._code[trial] = code
        if code:
            self._status[trial] = ENDED[code]
            self.running -= 1
            if self._reported:
                self._reported.pop(trial, None)
        return code

    def _decide(self, trial: int, at: int, value: float) -> int:
        raise NotImplementedError("`reach` does it")

    def _rung_values(self, trial: int) -> list[float]:
        return self._rungs[self._bracket[trial]][self._at[trial] - 1].values

    def _extra_state(self) -> dict[str, object]:
        return {"rungs": [pack_values(rung.values) for rung in self._unique_rungs()]}

    def _load_extra(self, state: dict[str, object]) -> None:
        packed = cast(list[object], state["rungs"])
        for rung, values in zip(self._unique_rungs(), map(unpack_values, packed), strict=True):
            rung.values = values
            if rung.cut is not None:
                rung.cut = RULES[self.options.rule](self.geometry.eta)
                for value in values:
                    rung.cut.decide(value)

    def _check_extra(self) -> None:
        first = self.geometry.first
        lengths: dict[int, int] = {}
        places: dict[int, set[int]] = {}
        for trial in range(self.started):
            bracket, at = self._bracket[trial], self._at[trial]
            passed = self._rungs[bracket][first[bracket] : at]
            for rung in passed:
                lengths[id(rung)] = lengths.get(id(rung), 0) + 1
            if passed:
                taken = places.setdefault(id(passed[-1]), set())
                if self._position[trial] in taken or self._position[trial] >= len(passed[-1].values):
                    raise ValueError(f"trial {trial} is not at its position")
                taken.add(self._position[trial])
        if any(len(rung.values) != lengths.get(id(rung), 0) for rung in self._unique_rungs()):
            raise ValueError("a rung does not have a value for each trial that has passed it")

    def _unique_rungs(self) -> list[StoppingRung]:
        lists = self._rungs[:1] if self.options.shared_rungs else self._rungs
        return [rung for rungs in lists for rung in rungs]


class Fifo(Stopping):
    """Every trial trains to R: the baseline. Its only level is R, and nothing is decided there."""
