"""An Optuna study that lives as long as ours: what its trials are told, and when. Needs Optuna."""

from __future__ import annotations

import math
from typing import Final

from optuna import Trial, create_study
from optuna.samplers import BaseSampler, QMCSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from hbsim.searchers.one_thread import one_thread
from hbsim.searchers.optuna_space import OptunaSpace, Params, quiet

__all__ = ["OptunaStudy"]

_NAME: Final = "hbsim"
_FIXED: Final = "fixed_params"  # an attribute that Optuna gives to queued trials


class OptunaStudy:
    """Optuna's trials of our trials, by ask and tell.

    What ends is told late, before the next question, since whoever ends a trial does not say why:

    - it has a number at R: COMPLETE, with this value;
    - it has values: PRUNED, stopped or paused; Optuna has no word for a pause;
    - it has none, or at R no number: FAIL.

    A trial that goes on before the next question stays RUNNING. For one that was told and goes on, another
    trial of Optuna's stands from then on, RUNNING, with the same params, values and attributes.

    Parameters
    ----------
    sampler : BaseSampler
        Who is asked.
    space : OptunaSpace
        What is searched over.
    maximize : bool
        Whether larger is better.
    max_t : float or None
        R; None: nobody said, and the last value of a trial is that of R.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        space: OptunaSpace,
        maximize: bool,
        max_t: float | None,
    ) -> None:
        self._space = space
        self._max_t = max_t
        self._storage = InMemoryStorage()
        with quiet():
            self.study = create_study(
                storage=self._storage,
                sampler=sampler,
                direction="maximize" if maximize else "minimize",
                study_name=_NAME,
            )
        self._trials: dict[int, Trial] = {}  # Optuna's of each of ours
        self._values: dict[int, dict[float, float]] = {}  # by level; NaN: no number
        self._ended: dict[int, None] = {}  # and not told yet, in this order
        self._told: set[int] = set()
        self._asked: Trial | None = None

    def ask(self) -> Params:
        """Return params for the next trial, by the sampler."""
        self._settle()
        with quiet(), one_thread():
            self._asked = self.study.ask()
            return self._space.suggest(self._asked)

    def go_on_with(self, sampler: BaseSampler, used: int) -> None:
        """Have another sampler go on; of the sequence of a `QMCSampler` so many points are used up."""
        self.study.sampler = sampler
        trials = self.study.get_trials(deepcopy=False)
        if not isinstance(sampler, QMCSampler) or not trials or used <= 0:
            return
        # It has a sequence for each set of names that it met: of one trial, or of all that ran together.
        spaces = {frozenset(trial.params) for trial in trials}
        spaces |= {frozenset().union(*spaces)}
        with quiet():
            for names in spaces:
                for _ in range(used):
                    sampler.sample_relative(self.study, trials[-1], self._space.of(names))

    def reject(self) -> None:
        """Have the params that were asked for last be no trial of ours: FAIL."""
        if self._asked is not None:
            with quiet():
                self.study.tell(self._asked, state=TrialState.FAIL)
        self._asked = None

    def begin(self, trial: int, params: Params | None = None) -> None:
        """Have our trial `trial` run with the params that were asked for last, or with these in their place.

        Where nothing was asked for, or these are params of other names, Optuna gets these in its queue.
        """
        if self._asked is not None and params is not None and self._asked.params.keys() != params.keys():
            self.reject()
        asked, self._asked = self._asked, None
        if asked is None:
            assert params is not None
            asked = self._queued(params)
        elif params is not None:
            for name, value in params.items():
                self._set(asked, name, value)
        self._trials[trial] = asked

    def go_on(self, trial: int) -> None:
        """Take note that a trial runs, perhaps again."""
        self._ended.pop(trial, None)
        if trial in self._told:
            self._revive(trial)

    def report(self, trial: int, level: float, value: float | None) -> None:
        """Report a value; Optuna's steps are whole, so a level is rounded up to one."""
        self.go_on(trial)
        number = math.nan if value is None or not math.isfinite(value) else float(value)
        self._values.setdefault(trial, {})[level] = number
        self._storage.set_trial_intermediate_value(self._id(self._trials[trial]), math.ceil(level), number)

    def end(self, trial: int) -> None:
        """Take note that a trial runs no more."""
        if trial not in self._told:
            self._ended[trial] = None

    def _settle(self) -> None:
        """Tell Optuna of the trials that ended."""
        for trial in self._ended:
            state, value = self._outcome(trial)
            with quiet():
                self.study.tell(self._trials[trial], value, state)
        self._told.update(self._ended)
        self._ended.clear()

    def _outcome(self, trial: int) -> tuple[TrialState, float | None]:
        values = self._values.get(trial)
        if not values:
            return TrialState.FAIL, None
        top = max(values)
        if self._max_t is not None and top < self._max_t:
            return TrialState.PRUNED, None
        return (TrialState.FAIL, None) if math.isnan(values[top]) else (TrialState.COMPLETE, values[top])

    def _revive(self, trial: int) -> None:
        old = self._storage.get_trial(self._id(self._trials[trial]))
        new = self._queued(old.params)
        for name, value in old.system_attrs.items():  # to which generation it belongs, for example
            if name != _FIXED:
                self._storage.set_trial_system_attr(self._id(new), name, value)
        for step, number in old.intermediate_values.items():
            self._storage.set_trial_intermediate_value(self._id(new), step, number)
        self._trials[trial] = new
        self._told.discard(trial)

    def _queued(self, params: Params) -> Trial:
        with quiet():
            self.study.enqueue_trial(params)
            return self.study.ask(self._space.of(params))

    def _set(self, asked: Trial, name: str, value: object) -> None:
        distribution = self._space.distributions[name]
        internal = distribution.to_internal_repr(value)
        self._storage.set_trial_param(self._id(asked), name, internal, distribution)

    def _id(self, trial: Trial) -> int:
        study = self._storage.get_study_id_from_name(_NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
