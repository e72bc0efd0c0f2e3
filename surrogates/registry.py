"""From a name, a path or an object to a surrogate."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias, cast

from hbsim.core.types import Mode
from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.checked import Checked
from hbsim.surrogates.protocol import Surrogate
from hbsim.surrogates.simple import Ideal
from hbsim.surrogates.synthetic import Family, Synthetic
from hbsim.surrogates.userfile import load_file

__all__ = ["available", "load"]

Options: TypeAlias = dict[str, str | int | float]

_SHIPPED: Final = ("digits", "ideal", "synthetic")
_SYNTHETIC: Final[dict[str, Callable[[str], str | int | float]]] = {
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
_IDEAL: Final[dict[str, Callable[[str], str | int | float]]] = {
    "max_resource": float,
    "seconds": float,
    "mode": str,
}


def available() -> list[str]:
    """Return the names of the surrogates that ship with hbsim."""
    return list(_SHIPPED)


def load(surrogate: str | os.PathLike[str] | object) -> Surrogate:
    """Return a surrogate."""
    if isinstance(surrogate, os.PathLike):
        surrogate = os.fspath(surrogate)
    if not isinstance(surrogate, str):
        return surrogate if isinstance(surrogate, Synthetic | Ideal | Checked) else Checked(surrogate)
    name, _, text = surrogate.partition(":")
    if name == "synthetic":
        return _synthetic(_options(surrogate, text, _SYNTHETIC))
    if name == "ideal":
        return _ideal(_options(surrogate, text, _IDEAL))
    if Path(name).suffix == ".py":
        return load_file(surrogate)
    rule = f"is no surrogate: one of {', '.join(_SHIPPED)}, a .npz, .csv or .parquet file, or FILE.py:NAME."
    raise ParameterError("surrogate", surrogate, rule + nearest(name, _SHIPPED))


def _synthetic(o: Options) -> Synthetic:
    base = Synthetic()
    return Synthetic(
        family=cast(Family, o.get("family", base.family)),
        max_resource=cast(float, o.get("max_resource", base.max_resource)),
        noise=cast(float, o.get("noise", base.noise)),
        early_rank=cast(float, o.get("early_rank", base.early_rank)),
        divergence=cast(float, o.get("divergence", base.divergence)),
        cost_spread=cast(float, o.get("cost_spread", base.cost_spread)),
        seconds=cast(float, o.get("seconds", base.seconds)),
        mode=cast(Mode, o.get("mode", base.mode)),
        seed=cast(int, o.get("seed", base.seed)),
    )


def _ideal(o: Options) -> Ideal:
    return Ideal(
        cast(float, o.get("max_resource", 81.0)),
        mode=cast(Mode, o.get("mode", "max")),
        seconds=cast(float, o.get("seconds", 1.0)),
    )


def _options(spec: str, text: str, parsers: dict[str, Callable[[str], str | int | float]]) -> Options:
    """Parse ``key=value,key=value``."""
    options: Options = {}
    for item in text.split(",") if text else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if key not in parsers:
            rule = f"{key!r} is no option: {', '.join(parsers)}.{nearest(key, parsers)}"
            raise ParameterError("surrogate", spec, rule)
        if not equals or not value:
            raise ParameterError("surrogate", spec, f"{key} needs a value: {key}=...")
        if key in options:
            raise ParameterError("surrogate", spec, f"{key} must not be given twice")
        try:
            options[key] = parsers[key](value)
        except ValueError:
            kind = "a whole number" if parsers[key] is int else "a number"
            raise ParameterError(key, value, f"must be {kind}") from None
    return options
