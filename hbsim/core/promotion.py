"""The promotion type, ASHA: a trial pauses at a milestone until it is among the best there.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020 (arXiv 1810.05934),
algorithm 2.
"""

from __future__ import annotations

from math import inf

from hbsim.core.drops import DroppedTrialFinder
from hbsim.core.levels import Levels
from hbsim.core.options import Options
from hbsim.core.rungs import TopRung
from hbsim.core.scheduler import Scheduler
from hbsim.core.state import check_rungs, integers, pack_rungs, unpack_rungs
from hbsim.core.types import COMPLETE, CONTINUE, FAILED, PAUSE, PAUSED, RETURNED, RUNNING, WAITING, Job


class Promotion(Scheduler):
    """Promotes a trial as soon as it is among the best floor(n / eta) of its rung."""

    def __init__(self, options: Options, geometry: Levels, brackets: int = 1) -> None:
        super().__init__(options, geometry, brackets)
        groups = 1 if options.shared_rungs else brackets
        self._groups = [[TopRung(geometry.eta) for _ in self.levels] for _ in range(groups)]
        self._rungs = [self._groups[self._group(bracket)] for bracket in range(brackets)]
        self._cap = self._top  # the index of the highest level that trials may reach
        self._straight_on = options.straight_on
        self._ratios = options.keep_size_ratios
        self._passes_on = options.failed_places == "passed-on"
        self._drops: DroppedTrialFinder | None = None
        self._named: set[int] = set()
        self._without_number: list[int] = []  # paused without a finite value: never promoted
        self._changes = 0  # asks, milestones and failures so far
        self._none_lost_until = 0  # before this many changes no paused trial can be lost

    def _group(self, bracket: int) -> int:
        return 0 if self.options.shared_rungs else bracket

    # Choosing

    def _has_work(self) -> bool:
        return self.started < self._limit or any(self._find(b) for b in range(self.brackets))

    def _choose(self) -> int:
        self._changes += 1
        bracket = self._sampler.peek()
        found = self._find(bracket)
        if found is None:
            if self.started < self._limit:
                self._sampler.take()
                return self._start(bracket)
            found = next(filter(None, map(self._find, range(self.brackets))), None)
            if found is None:
                return -1
        self._sampler.take()
        return self._take(found)

    def _start(self, bracket: int) -> int:
        trial = super()._start(bracket)
        self._rungs[bracket][self._at[trial]].targeted += 1
        return trial

    def _take(self, found: tuple[int, TopRung, TopRung]) -> int:
        trial, rung, above = found
        rung.paused -= 1
        above.targeted += 1
        return trial

    def promote(self, bracket: int) -> Job | None:
        """Return the job of the paused trial that goes on next in a bracket, or None."""
        self._changes += 1
        found = self._find(bracket)
        return None if found is None else self._begin(self._take(found))

    def rung_counts(self, bracket: int) -> dict[float, int]:
        """Return by level how many trials have reached it, or are on their way there, in a bracket."""
        first = self.geometry.first[bracket]
        rungs = self._rungs[bracket][first:]
        return {level: rung.targeted for level, rung in zip(self.levels[first:], rungs, strict=True)}

    def _find(self, bracket: int) -> tuple[int, TopRung, TopRung] | None:
        """Find the trial that is promoted next in a bracket; return it, its rung and the next rung."""
        rungs = self._rungs[bracket]
        for at in range(self._cap - 1, self.geometry.first[bracket] - 1, -1):
            rung = rungs[at]
            if rung.eligible and self._ratio_allows(rung, rungs[at + 1]):
                trial = self._best_eligible(rung, at)
                if trial >= 0:
                    return trial, rung, rungs[at + 1]
        return None

    def _best_eligible(self, rung: TopRung, at: int) -> int:
        """Return the best paused trial among the best of the rung, or -1."""
        while rung.eligible:
            trial = rung.first_eligible()
            if rung.is_top(trial) and self._is_paused(trial, at):
                return trial
            rung.drop_eligible()
        return -1

    def _is_paused(self, trial: int, at: int) -> bool:
        return self._status[trial] == PAUSED and self._at[trial] == at + 1

    def _ratio_allows(self, rung: TopRung, above: TopRung) -> bool:
        return not self._ratios or above.targeted * rung.p <= rung.targeted * rung.q

    # Deciding

    def _decide(self, trial: int, at: int, value: float) -> int:
        self._changes += 1
        rungs = self._rungs[self._bracket[trial]]
        rung = rungs[at]
        self.n_before = self._position[trial] = len(rung.values)
        if at == self._top:
            rung.append(trial, value)
            self.cutoff = None
            return COMPLETE
        is_top = rung.record(trial, value)
        cutoff = rung.cutoff()
        self.cutoff = None if cutoff is None else cutoff * self._sign + 0.0  # no -0.0
        if is_top:
            if self._straight_on and at < self._cap and self._ratio_allows(rung, rungs[at + 1]):
                rungs[at + 1].targeted += 1
                return CONTINUE
            rung.enter(self.n_before)
        rung.paused += 1
        if value == -inf:
            self._without_number.append(trial)
        return PAUSE

    def _lose(self, trial: int, at: int) -> None:
        self._changes += 1
        bracket = self._bracket[trial]
        rungs = self._rungs[bracket]
        rungs[at].targeted -= 1
        if self._passes_on:
            for rung in rungs[self.geometry.first[bracket] : at]:
                rung.pass_over(trial)

    # Dropped trials

    def dropped(self) -> list[int]:
        """Return the paused trials that can never go on and were not returned before, in ascending order.

        These are trials without a finite value; with `num_trials` trials that no free place can reach any
        more (see `hbsim.core.drops`); and when the scheduler is done all paused trials.
        """
        if self.done:
            paused = sum(rung.paused for rungs in self._groups for rung in rungs)
            return self._name(self._all_paused()) if paused else []
        lost = self._name(self._without_number) if self._without_number else []
        if self._limit == inf or (not lost and self._changes < self._none_lost_until):
            return lost
        if self._drops is None:
            self._drops = DroppedTrialFinder(self._groups, self.geometry.eta, self._passes_on)
            known = sorted(self._named)
        else:
            known = lost
        for trial in known:
            self._drops.hold(trial, self._at[trial] - 1, self._group(self._bracket[trial]))
        to_start = int(self._limit) - self.started
        slack = self._drops.slack(to_start, len(self._named))
        while slack <= 0 and (found := self._drops.update(to_start, self._is_waiting)):
            lost += self._name(found)
        # A change removes or fills at most one place.
        self._none_lost_until = self._changes + max(0, slack // 2)
        return sorted(lost)

    def _is_waiting(self, trial: int, at: int) -> bool:
        return self._is_paused(trial, at) and trial not in self._named

    def _all_paused(self) -> list[int]:
        return [t for t, status in enumerate(self._status) if status == PAUSED and t not in self._named]

    def _name(self, trials: list[int]) -> list[int]:
        """Mark paused trials as returned by `dropped`; they no longer wait in their rungs."""
        for trial in trials:
            self._rungs[self._bracket[trial]][self._at[trial] - 1].paused -= 1
        self._named.update(trials)
        self._without_number = []
        return sorted(trials)

    def _extend(self) -> None:
        self._drops = None
        self._none_lost_until = 0
        for trial in sorted(self._named):
            rung, order = self._rungs[self._bracket[trial]][self._at[trial] - 1], self._position[trial]
            if rung.values[order] > -inf:
                self._named.remove(trial)
                rung.paused += 1
                rung.enter(order)

    # Explanations and state

    def _rung_values(self, trial: int) -> list[float]:
        return self._rungs[self._bracket[trial]][self._at[trial] - 1].values

    def standing_since(self, trial: int) -> str:
        """Say what happened to a trial since its last milestone; see `Scheduler.standing_since`."""
        if self._status[trial] == FAILED and self._position[trial] >= 0 and not self._passes_on:
            return "It has failed for good since, and keeps its rank."
        return super().standing_since(trial)

    def _since(self, trial: int) -> str:
        if self._status[trial] != PAUSED:
            return "It was promoted later."
        rungs, at = self._rungs[self._bracket[trial]], self._at[trial] - 1
        rung = rungs[at]
        if rung.values[self._position[trial]] == -inf:
            return ""
        rank, n, places = rung.rank(self._position[trial]), len(rung.values), rung.places()
        if not places:
            return f"Now it is rank {rank} of {n}, too few for any to go on."
        text = f"Now it is rank {rank} of {n}, and the best {places} go on"
        failed = sum(rung.is_top(other) and self._status[other] == FAILED for other in rung.trials)
        if failed:
            text += f", with {failed} of these places kept by trials that failed for good"
        if rung.is_top(trial) and not self._ratio_allows(rung, rungs[at + 1]):
            return f"{text}; it waits for keep_size_ratios, since {rungs[at + 1].targeted} went up already."
        return f"{text}."

    def _extra_state(self) -> dict[str, object]:
        rungs = [rung for group in self._groups for rung in group]
        return {
            "rungs": pack_rungs((rung.values, rung.trials) for rung in rungs),
            "targeted": [rung.targeted for rung in rungs],
            "named": sorted(self._named),
            "hopeless": list(self._without_number),
        }

    def _load_extra(self, state: dict[str, object]) -> None:
        self._drops = None
        self._none_lost_until = 0
        named = integers(state["named"])
        self._named = set(named)
        if len(self._named) < len(named):
            raise ValueError("a trial is named twice")
        self._without_number = integers(state["hopeless"])
        packed = iter(
            zip(unpack_rungs(state["rungs"], self.started), integers(state["targeted"]), strict=True)
        )
        for group in self._groups:
            for at in range(len(group)):
                (values, trials), targeted = next(packed)
                group[at] = self._restored(at, values, trials)
                group[at].targeted = targeted

    def _check_extra(self) -> None:
        rungs = [(number, at, rung) for number, g in enumerate(self._groups) for at, rung in enumerate(g)]
        check_rungs(
            self, ((n, at, rung.trials) for n, at, rung in rungs), lambda t: self._group(self._bracket[t])
        )
        targeted = {(n, at): len(rung.trials) for n, at, rung in rungs}
        for trial in range(self.started):
            if self._status[trial] in (RUNNING, WAITING, RETURNED):
                targeted[self._group(self._bracket[trial]), self._at[trial]] += 1
        if any(rung.targeted != targeted[n, at] for n, at, rung in rungs):
            raise ValueError("targeted does not count the trials on their way")
        paused = {trial for trial, status in enumerate(self._status) if status == PAUSED}
        without = set()
        for _, at, rung in rungs:
            for trial, value in zip(rung.trials, rung.values, strict=True):
                if value == -inf and at < self._top:
                    if trial not in paused or self._at[trial] > at + 1:
                        raise ValueError(f"trial {trial} went on without a number")
                    without.add(trial)
        if not self._named <= paused:
            raise ValueError("named must be trials that are paused")
        if sorted(self._without_number) != sorted(without - self._named):
            raise ValueError("hopeless must be the paused trials without a number")

    def _restored(self, at: int, values: list[float], trials: list[int]) -> TopRung:
        rung = TopRung(self.geometry.eta)
        for trial, value in zip(trials, values, strict=True):
            if at == self._top:
                rung.append(trial, value)
            else:
                rung.record(trial, value)
        for order, trial in enumerate(trials):
            if self._status[trial] == FAILED and self._passes_on:
                rung.pass_over(trial)
            elif self._is_waiting(trial, at):
                rung.paused += 1
                rung.enter(order)
        return rung
