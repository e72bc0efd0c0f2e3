"""Search spaces in Optuna's words, and Optuna kept quiet. Needs Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
import optuna
from optuna import Trial
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning

from hbsim.core.space import Bool, Choice, Int, Parameter, Real, Space
from hbsim.searchers.protocol import Floats

__all__ = ["OptunaSpace", "Params", "quiet"]

Params: TypeAlias = dict[str, object]

_TAKEN: Final = (type(None), bool, int, float, str)  # choices that Optuna takes as they are


class OptunaSpace:
    """A search space in Optuna's words, and its configurations there and back.

    `Real` and `Int` keep their bounds and their scale, `Bool` is a choice of False and True. Of a `Choice`
    with values of other types than text, numbers, bools and None, Optuna sees the places 0, 1, 2, ... A
    choice of one value is a constant, which Optuna does not sample. Params have what is active, and no more.

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
def quiet() -> Iterator[None]:
    """Keep Optuna's log below errors and its word that a part is experimental to itself, meanwhile."""
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
