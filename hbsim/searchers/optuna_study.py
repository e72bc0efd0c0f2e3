"""Optuna studies that mirror ours: their spaces, trials and options. Needs Optuna."""

from __future__ import annotations

import copy
import inspect
import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, get_type_hints

import numpy as np
import optuna
from optuna import Study, Trial, create_study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hbsim.core.space import Bool, Choice, Int, Parameter, Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers.model_based import one_thread
from hbsim.searchers.protocol import Floats

Params: TypeAlias = dict[str, object]

_TAKEN: Final = (type(None), bool, int, float, str)  # choices that Optuna takes as they are


class OptunaSpace:
    """The conversion of a search space and its configurations to Optuna and back.

    `Real` and `Int` keep their bounds and their scale, `Bool` is a choice of False and True. Of a `Choice`
    with values of other types than text, numbers, bools and None, Optuna sees the places 0, 1, 2, ... A
    choice of one value is a constant, which Optuna does not sample. Params hold active parameters only.

    Parameters
    ----------
    space : Space
        Any.

    Attributes
    ----------
    distributions : dict
        Optuna's distribution by name.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.distributions = {name: _distribution(p) for name, p in space.parameters.items()}
        self._by_place = {
            name: parameter.choices
            for name, parameter in space.parameters.items()
            if isinstance(parameter, Choice) and not _taken(parameter)
        }

    def params(self, points: Floats) -> list[Params]:
        """Return what Optuna calls the params of points of the unit cube, shape (n, d)."""
        return [
            {
                name: self._by_place[name].index(value) if name in self._by_place else value
                for name, value in one.items()
            }
            for one in self.space.mappings(points)
        ]

    def of(self, params: Iterable[str]) -> dict[str, BaseDistribution]:
        """Return the distributions of these names."""
        return {name: self.distributions[name] for name in params}

    def suggest(self, trial: Trial) -> Params:
        """Ask a trial for all parameters that are active, one after the other, and return them."""
        values: dict[str, object] = {}
        for name, distribution in self.distributions.items():
            if self.space.is_active(name, values):
                values[name] = self._value(name, _suggest(trial, name, distribution))
        return trial.params

    def point(self, params: Mapping[str, object]) -> Floats:
        """Return the point of the unit cube, shape (d,), for params.

        Of `Int`, `Choice` and `Bool` it decodes to the same value again, of `Real` within float error.
        Numbers beyond the bounds by a float error are put on them.
        """
        return self.space.encode({name: self._value(name, value) for name, value in params.items()})

    def _value(self, name: str, value: object) -> object:
        if name in self._by_place:
            assert isinstance(value, int)
            return self._by_place[name][value]
        parameter = self.space[name]
        if isinstance(parameter, Real | Int):
            assert isinstance(value, int | float | np.number)
            return min(max(value, parameter.low), parameter.high)
        return value


@contextmanager
def without_optuna_logs() -> Iterator[None]:
    """Silence Optuna's log below errors, and its warnings about experimental parts."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> object:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case _:
            assert isinstance(distribution, CategoricalDistribution)
            return trial.suggest_categorical(name, distribution.choices)


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Real():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
        case Int():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log)
        case Choice() if _taken(parameter):
            return CategoricalDistribution(parameter.choices)  # type: ignore[arg-type]
        case Choice():
            return CategoricalDistribution(range(len(parameter.choices)))
        case _:
            assert isinstance(parameter, Bool)
            return CategoricalDistribution((False, True))


def _taken(choice: Choice) -> bool:
    return all(type(value) in _TAKEN for value in choice.choices)


_NAME: Final = "hbsim"
_FIXED: Final = "fixed_params"  # an attribute that Optuna gives to queued trials


class OptunaStudy:
    """The Optuna trials that mirror ours, kept by ask and tell.

    The end of a trial is passed to Optuna late, before the next question, as `end` gets no reason:

    - it has a number at R: COMPLETE, with this value;
    - it has values: PRUNED, stopped or paused; Optuna has no word for a pause;
    - it has none, or at R no number: FAIL.

    A trial that goes on before the next question stays RUNNING. A trial that goes on after its
    end was passed on gets a new RUNNING trial in Optuna, with the same params, values and attributes.

    Parameters
    ----------
    sampler : BaseSampler
        Optuna's sampler.
    space : OptunaSpace
        The search space.
    maximize : bool
        Whether larger is better.
    max_t : float or None
        R; None if unknown, and the last value of a trial counts as that of R.
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
        with without_optuna_logs():
            self.study = create_study(
                storage=self._storage,
                sampler=sampler,
                direction="maximize" if maximize else "minimize",
                study_name=_NAME,
            )
        self._trials: dict[int, Trial] = {}  # Optuna's of each of ours
        self._values: dict[int, dict[float, float]] = {}  # by level; NaN: no number
        self._ended: dict[int, None] = {}  # trials that Optuna does not know to have ended yet, in this order
        self._reported: set[int] = set()
        self._asked: Trial | None = None

    def ask(self) -> Params:
        """Return params for the next trial, by the sampler."""
        self._settle()
        with without_optuna_logs(), one_thread():
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
        with without_optuna_logs():
            for names in spaces:
                for _ in range(used):
                    sampler.sample_relative(self.study, trials[-1], self._space.of(names))

    def reject(self) -> None:
        """End the trial of the last params as FAIL: they are not used."""
        if self._asked is not None:
            with without_optuna_logs():
                self.study.tell(self._asked, state=TrialState.FAIL)
        self._asked = None

    def begin(self, trial: int, params: Params | None = None) -> None:
        """Start our trial `trial` with the last params that `ask` returned, or with `params` instead.

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
        """Record that a trial runs, perhaps again."""
        self._ended.pop(trial, None)
        if trial in self._reported:
            self._revive(trial)

    def report(self, trial: int, level: float, value: float | None) -> None:
        """Report a value; Optuna's steps are whole, so a level is rounded up to one."""
        self.go_on(trial)
        number = math.nan if value is None or not math.isfinite(value) else float(value)
        self._values.setdefault(trial, {})[level] = number
        self._storage.set_trial_intermediate_value(self._id(self._trials[trial]), math.ceil(level), number)

    def end(self, trial: int) -> None:
        """Record that a trial runs no more."""
        if trial not in self._reported:
            self._ended[trial] = None

    def _settle(self) -> None:
        """Pass the ends of trials to Optuna."""
        for trial in self._ended:
            state, value = self._outcome(trial)
            with without_optuna_logs():
                self.study.tell(self._trials[trial], value, state)
        self._reported.update(self._ended)
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
        self._reported.discard(trial)

    def _queued(self, params: Params) -> Trial:
        with without_optuna_logs():
            self.study.enqueue_trial(params)
            return self.study.ask(self._space.of(params))

    def _set(self, asked: Trial, name: str, value: object) -> None:
        distribution = self._space.distributions[name]
        internal = distribution.to_internal_repr(value)
        self._storage.set_trial_param(self._id(asked), name, internal, distribution)

    def _id(self, trial: Trial) -> int:
        study = self._storage.get_study_id_from_name(_NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)


_WHEN: Final = datetime(2000, 1, 1)  # Optuna wants a time; no sampler looks at it


class OptunaRow(NamedTuple):
    """A configuration, and its value, larger is better; None: it is under way."""

    params: Params
    value: float | None


def draws(rows: Sequence[OptunaRow], space: OptunaSpace, sampler: BaseSampler, n: int) -> Iterator[Params]:
    """Ask a sampler for up to n configurations that go on from these rows.

    A draw counts as under way for the next one.

    Parameters
    ----------
    rows : sequence of OptunaRow
        In the order in which Optuna numbers them.
    space : OptunaSpace
        The space of the rows' params.
    sampler : BaseSampler
        New: its random numbers are used up from here on.
    n : int
        How many at most.
    """
    with without_optuna_logs():
        study = _study(rows, space, sampler)
    for _ in range(n):
        with without_optuna_logs():
            params = space.suggest(study.ask())
        yield params


def _study(rows: Sequence[OptunaRow], space: OptunaSpace, sampler: BaseSampler) -> Study:
    storage = InMemoryStorage()
    study = create_study(storage=storage, sampler=sampler, direction="maximize", study_name="hbsim")
    number = storage.get_study_id_from_name("hbsim")
    for row in rows:  # not by `add_trial`: its checks take most of the time
        storage.create_new_trial(number, _frozen(row, space.of(row.params)))
    return study


class _Frozen(FrozenTrial):
    """A trial whose copies share its params: storages copy deeply what is given to them."""

    def __deepcopy__(self, memo: dict[int, object]) -> _Frozen:
        return copy.copy(self)


def _frozen(row: OptunaRow, distributions: dict[str, BaseDistribution]) -> _Frozen:
    state = TrialState.RUNNING if row.value is None else TrialState.COMPLETE
    end = None if row.value is None else _WHEN
    return _Frozen(-1, state, row.value, _WHEN, end, row.params, distributions, {}, {}, {}, -1)


MOST: Final = 200  # trials of a try-out
KEPT: Final = 64  # try-outs that went well
CONFIG: Final = ConfigDict(strict=True, arbitrary_types_allowed=True)


def check_types(sampler: type[BaseSampler], options: Mapping[str, object]) -> None:
    """Check options against the annotations of a sampler's constructor, as far as these can be read.

    Raises
    ------
    ParameterError
        One is of another type.
    """
    parameters = inspect.signature(sampler).parameters
    for name, value in _plain(options).items():
        try:
            _adapter(sampler, parameters[name].annotation).validate_python(value)
        except ValidationError as error:
            rule = f"{sampler.__name__} does not take it: {error.errors()[0]['msg']}"
            raise ParameterError(f"search_options.{name}", options[name], rule) from None
        except (NameError, TypeError, PydanticUserError):
            continue  # imported for type checkers only, or no type that can be checked


def _plain(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}


def _adapter(sampler: type[BaseSampler], annotation: object) -> TypeAdapter[Any]:
    def one() -> None: ...

    one.__annotations__ = {"value": annotation}
    found = get_type_hints(one, vars(sys.modules[sampler.__module__]))["value"]
    return TypeAdapter(Any if annotation is inspect.Parameter.empty else found, config=CONFIG)


def try_out(sampler: type[BaseSampler], space: Space, options: Mapping[str, object]) -> None:
    """Play a study with a sampler until it has learned; what went well is not played again.

    Raises
    ------
    ParameterError
        It fails.
    """
    plain = _plain(options)
    try:
        words = json.dumps(plain)
    except (TypeError, ValueError):  # an object, that may have a state of its own
        _play(sampler, space, copy.deepcopy(plain))
    else:
        _play_once(sampler, space, words)


@lru_cache(maxsize=KEPT)
def _play_once(sampler: type[BaseSampler], space: Space, words: str) -> None:
    _play(sampler, space, json.loads(words))


def _play(sampler: type[BaseSampler], space: Space, options: dict[str, Any]) -> None:
    seed = {"seed": 0} if "seed" in inspect.signature(sampler).parameters else {}
    try:
        with without_optuna_logs():
            study = OptunaStudy(sampler(**options, **seed), OptunaSpace(space), maximize=True, max_t=1.0)
        for trial in range(_trials(sampler, options)):
            study.ask()
            study.begin(trial)
            study.report(trial, 1.0, float(trial))
            study.end(trial)
    except Exception as error:  # whatever Optuna does with what it was given
        rule = f"{sampler.__name__} fails with them: {type(error).__name__}: {error}"
        raise ParameterError("search_options", options, rule) from None


def _trials(sampler: type[BaseSampler], options: Mapping[str, object]) -> int:
    """Return how many trials it takes until a sampler has learned, and two more."""
    known = inspect.signature(sampler).parameters
    random = [
        options.get(name, known[name].default)
        for name in ("n_startup_trials", "population_size")
        if name in known
    ]
    return min(MOST, 2 + max([0, *(count for count in random if isinstance(count, int))]))


def importances(space: Space, points: Floats, values: Floats, mode: str) -> dict[str, float]:
    """Return the importance of each hyperparameter, by PED-ANOVA; they sum to 1.

    Parameters
    ----------
    space : Space
        The search space.
    points : array of shape (n, d)
        Configurations in the unit cube.
    values : array of shape (n,)
        Their values; finite numbers.
    mode : "max" or "min"
        What is better.

    Returns
    -------
    dict
        By name; empty where Optuna cannot tell.
    """
    from optuna.importance import get_param_importances
    from optuna.trial import create_trial

    made = OptunaSpace(space)
    with without_optuna_logs():
        study = create_study(direction="maximize" if mode == "max" else "minimize")
        for params, value in zip(made.params(points), values.tolist(), strict=True):
            study.add_trial(create_trial(params=params, distributions=made.of(params), value=value))
        try:
            return get_param_importances(study)
        except (RuntimeError, ValueError):  # for example, all of the best have the same configuration
            return {}
