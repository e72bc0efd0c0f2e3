"""Shipped surrogates from text: ``synthetic:family=exponential,noise=0.1``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, cast

from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.simple import Ideal
from hbsim.surrogates.synthetic import Family, Synthetic

__all__ = ["Parsers", "ideal", "parse_options", "synthetic"]

Value: TypeAlias = str | int | float
Parsers: TypeAlias = Mapping[str, Callable[[str], Value]]

_SYNTHETIC: Final[Parsers] = {
    "family": str,
    "max_resource": float,
    "noise": float,
    "early_rank": float,
    "divergence": float,
    "cost_spread": float,
    "seconds": float,
    "mode": str,
    "seed": int,
}
_IDEAL: Final[Parsers] = {"max_resource": float, "mode": str, "seconds": float}


def synthetic(text: str) -> Synthetic:
    """Return the synthetic curves of options ``key=value,...``, those of `Synthetic`.

    Raises
    ------
    ParameterError
        An option is unknown, given twice, or breaks its rule.
    """
    o = parse_options("synthetic", text, _SYNTHETIC)
    d = Synthetic()  # its defaults stand for what the text leaves out
    return Synthetic(
        family=cast(Family, o.get("family", d.family)),
        max_resource=cast(float, o.get("max_resource", d.max_resource)),
        noise=cast(float, o.get("noise", d.noise)),
        early_rank=cast(float, o.get("early_rank", d.early_rank)),
        divergence=cast(float, o.get("divergence", d.divergence)),
        cost_spread=cast(float, o.get("cost_spread", d.cost_spread)),
        seconds=cast(float, o.get("seconds", d.seconds)),
        mode=cast(Mode, o.get("mode", d.mode)),
        seed=cast(int, o.get("seed", d.seed)),
    )


def ideal(text: str) -> Ideal:
    """Return the flat curves of options ``key=value,...``: max_resource, mode, seconds.

    Raises
    ------
    ParameterError
        An option is unknown, given twice, or breaks its rule.
    """
    o, d = parse_options("ideal", text, _IDEAL), Ideal()
    return Ideal(
        cast(float, o.get("max_resource", d.max_resource)),
        mode=cast(Mode, o.get("mode", d.mode)),
        seconds=cast(float, o.get("seconds", d.seconds)),
    )


def parse_options(name: str, text: str, parsers: Parsers) -> dict[str, Value]:
    """Read the options ``key=value,...`` of what is called `name`; `parsers` says which there are.

    Raises
    ------
    ParameterError
        An option is unknown or given twice (field ``surrogate``), or its value cannot be read.
    """
    options: dict[str, Value] = {}
    for item in text.split(",") if text else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        spec = f"{name}:{text}"
        if key not in parsers:
            known = ", ".join(parsers) or "it has none"
            rule = f"{key!r} is no option of {name}: {known}.{nearest(key, parsers)}"
            raise ParameterError("surrogate", spec, rule)
        if not equals or not value:
            raise ParameterError("surrogate", spec, f"{key} needs a value: {key}=...")
        if key in options:
            raise ParameterError("surrogate", spec, f"{key} must not be given twice")
        options[key] = _number(key, value, parsers[key])
    return options


def _number(key: str, text: str, parser: Callable[[str], Value]) -> Value:
    try:
        return parser(text)
    except ValueError:
        kind = "a whole number" if parser is int else "a number" if parser is float else "true or false"
        raise ParameterError(key, text, f"must be {kind}") from None
