"""Whether a sampler of Optuna can do with options: they are tried before anything runs. Needs Optuna."""

from __future__ import annotations

import copy
import inspect
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, get_type_hints

import numpy as np
from optuna.samplers import BaseSampler
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hbsim.core.space import Space
from hbsim.errors import ParameterError
from hbsim.searchers.optuna_space import OptunaSpace, quiet
from hbsim.searchers.optuna_study import OptunaStudy

__all__ = ["check_types", "try_out"]

MOST: Final = 200  # trials of a try-out
KEPT: Final = 64  # try-outs that went well
CONFIG: Final = ConfigDict(strict=True, arbitrary_types_allowed=True)


def check_types(sampler: type[BaseSampler], options: Mapping[str, object]) -> None:
    """Hold options against the annotations of a sampler's constructor, those that can be read.

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
        with quiet():
            told = OptunaStudy(sampler(**options, **seed), OptunaSpace(space), maximize=True, max_t=1.0)
        for trial in range(_trials(sampler, options)):
            told.ask()
            told.begin(trial)
            told.report(trial, 1.0, float(trial))
            told.end(trial)
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
