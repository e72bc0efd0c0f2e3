"""Whether a sampler of Optuna can do with options: they are tried before anything runs. Needs Optuna."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, get_type_hints

import numpy as np
from optuna.samplers import BaseSampler
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from hbsim.core.space import Space
from hbsim.errors import ParameterError
from hbsim.searchers.optuna_ask import Row, draws
from hbsim.searchers.optuna_space import OptunaSpace

__all__ = ["check_types", "try_out"]

STARTUP: Final = "n_startup_trials"  # what samplers call the trials that are random
TRIALS: Final = 12  # more than their defaults of it
MOST: Final = 200
CONFIG: Final = ConfigDict(strict=True, arbitrary_types_allowed=True)


def check_types(sampler: type[BaseSampler], options: Mapping[str, object]) -> None:
    """Hold options against the annotations of a sampler's constructor, those that can be read.

    Raises
    ------
    ParameterError
        One is of another type.
    """
    parameters = inspect.signature(sampler).parameters
    for name, value in options.items():
        plain = value.item() if isinstance(value, np.generic) else value
        try:
            _adapter(sampler, parameters[name].annotation).validate_python(plain)
        except ValidationError as error:
            rule = f"{sampler.__name__} does not take it: {error.errors()[0]['msg']}"
            raise ParameterError(f"search_options.{name}", value, rule) from None
        except (NameError, TypeError, PydanticUserError):
            continue  # imported for type checkers only, or no type that can be checked


def _adapter(sampler: type[BaseSampler], annotation: object) -> TypeAdapter[Any]:
    def one() -> None: ...

    one.__annotations__ = {"value": annotation}
    found = get_type_hints(one, vars(sys.modules[sampler.__module__]))["value"]
    return TypeAdapter(Any if annotation is inspect.Parameter.empty else found, config=CONFIG)


def try_out(make: Callable[[], BaseSampler], space: Space, options: Mapping[str, object]) -> None:
    """Ask a sampler twice about a study that is made up, with enough trials for it to have learned.

    Raises
    ------
    ParameterError
        It fails.
    """
    startup = options.get(STARTUP)
    trials = min(startup + 2, MOST) if isinstance(startup, int) else TRIALS
    optuna = OptunaSpace(space)
    points = space.sample(max(trials, 0), np.random.default_rng(0))
    rows = [Row(params, float(i)) for i, params in enumerate(optuna.params(points))]
    sampler = make()
    try:
        list(draws(rows, optuna, sampler, 2))
    except Exception as error:  # whatever Optuna does with what it was given
        rule = f"{type(sampler).__name__} fails with them: {type(error).__name__}: {error}"
        raise ParameterError("search_options", dict(options), rule) from None
