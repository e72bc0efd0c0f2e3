"""From other tools' search spaces to one of hbsim's; None where a part has no counterpart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.core.space.parameters import Parameter
from hbsim.errors import ParameterError

__all__ = ["fitting", "optuna_space", "syne_tune_space"]


def syne_tune_space(text: object) -> Space | None:
    """Return the space of the ``config_space`` in Syne Tune's metadata, a JSON text.

    Constants of the space are no parameters.
    """
    try:
        domains = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(domains, dict):
        return None
    varied = {name: domain for name, domain in domains.items() if isinstance(domain, dict)}
    return _space(varied, _syne_tune_parameter)


def _syne_tune_parameter(domain: Mapping[str, Any]) -> Parameter:
    kind, options = domain["domain_cls"], domain["domain_kwargs"]
    sampler = domain.get("sampler_cls", "Uniform")
    if kind == "Categorical":
        return _choice(options["categories"])
    if kind not in ("Float", "Integer") or sampler not in ("Uniform", "LogUniform"):
        raise ValueError(kind)
    made: Callable[..., Parameter] = Real if kind == "Float" else Int
    return made(options["lower"], options["upper"], log=sampler == "LogUniform")


def optuna_space(distributions: Mapping[str, Mapping[str, Any]]) -> Space | None:
    """Return the space of Optuna's distributions, by name, as their JSON has them."""
    return _space(distributions, _optuna_parameter)


def _optuna_parameter(distribution: Mapping[str, Any]) -> Parameter:
    kind, options = distribution["name"], distribution["attributes"]
    if kind == "CategoricalDistribution":
        return _choice(options["choices"])
    step, log = options.get("step"), options.get("log", "Log" in kind)
    if kind in ("FloatDistribution", "UniformDistribution", "LogUniformDistribution") and step is None:
        return Real(options["low"], options["high"], log=log)
    if kind in ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution") and step in (
        None,
        1,
    ):
        return Int(options["low"], options["high"], log=log)
    raise ValueError(kind)  # a grid


def _choice(choices: Iterable[Any]) -> Parameter:
    choices = list(choices)
    if sorted(map(repr, choices)) == ["False", "True"]:
        return Bool()
    return Choice(choices)


def _space(parts: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Parameter]) -> Space | None:
    try:
        return Space({name: make(part) for name, part in parts.items()}) if parts else None
    except (ParameterError, ValueError, KeyError, TypeError, AttributeError):
        return None


def fitting(space: Space | None, columns: Mapping[str, list[object]]) -> dict[str, object] | None:
    """Return a space as JSON, if it holds all configurations; else None.

    Parameters
    ----------
    space : Space or None
        As the tool says it.
    columns : mapping of str to list
        By hyperparameter, a value for each trial.
    """
    if space is None or not set(space.names) <= set(columns):
        return None
    try:
        space.encode({name: columns[name] for name in space.names})
        return space.to_json()
    except (ParameterError, TypeError, ValueError):
        return None
