"""Wrappers from text: ``noise:std=0.02``, ``corrupt:share=0.1,seed=3``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hbsim.errors import ParameterError, nearest
from hbsim.surrogates.options import Parsers, parse_options
from hbsim.surrogates.protocol import Surrogate
from hbsim.surrogates.wrap_corrupted import Corrupted
from hbsim.surrogates.wrap_cost import ScaledCost
from hbsim.surrogates.wrap_delayed import Delayed
from hbsim.surrogates.wrap_half import Half
from hbsim.surrogates.wrap_negated import Negated
from hbsim.surrogates.wrap_noise import Noisy
from hbsim.surrogates.wrapper import Wrapper

__all__ = ["wrap_all"]


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_WRAPPERS: Final[Mapping[str, tuple[Callable[..., Wrapper], Parsers]]] = {
    "noise": (Noisy, {"std": float, "fade": _truth, "seed": int}),
    "negate": (Negated, {}),
    "cost": (ScaledCost, {"factor": float, "spread": float, "parameter": str, "seed": int}),
    "corrupt": (
        Corrupted,
        {"share": float, "from_level": float, "parameter": str, "end": str, "seed": int},
    ),
    "delay": (Delayed, {"units": float}),
    "half": (Half, {"split": int, "part": int}),
}
_SHORT: Final = re.compile(r"^\s*half\s*=([^,]*),([^,]*)$")


def wrap_all(surrogate: Surrogate, texts: str | Sequence[str]) -> Surrogate:
    """Return a surrogate in wrappers, the first one innermost.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    texts : sequence of str
        A wrapper each: its name, or ``NAME:key=value,...``. One text is one wrapper. ``half=3,1`` is short
        for ``half:split=3,part=1``.

    Raises
    ------
    ParameterError
        There is no such wrapper or option, or a value breaks its rule (field ``wrap``).
    """
    for text in [texts] if isinstance(texts, str) else texts:
        surrogate = _wrapped(surrogate, text)
    return surrogate


def _wrapped(surrogate: Surrogate, text: str) -> Wrapper:
    if not isinstance(text, str):
        raise ParameterError("wrap", text, "must be text: NAME, or NAME:key=value,...")
    name, _, rest = (part.strip() for part in _SHORT.sub(r"half:split=\1,part=\2", text).partition(":"))
    if name not in _WRAPPERS:
        rule = f"is no wrapper: one of {', '.join(_WRAPPERS)}.{nearest(name, _WRAPPERS)}"
        raise ParameterError("wrap", text, rule)
    make, parsers = _WRAPPERS[name]
    try:
        return make(surrogate, **parse_options(name, rest, parsers))
    except ParameterError as error:
        # Named by the whole text: a command may have a --seed of its own.
        rule = error.rule if error.field == "surrogate" else f"{error.field} {error.rule}"
        raise ParameterError("wrap", text, rule) from None
