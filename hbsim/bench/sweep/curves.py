"""Learning curves: loaded once in each process, and what a sweep has to know of them before anything runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hbsim.bench.pool_dask import place
from hbsim.errors import SurrogateError
from hbsim.surrogates import Surrogate, check_levels, fingerprint, load
from hbsim.surrogates.describe import sample

__all__ = ["Known", "Levels", "at_level", "know", "load_curves"]

SAMPLE: Final = 1000  # configurations drawn at random
SEED: Final = 0


@dataclass(frozen=True)
class Known:
    """Learning curves, loaded, and what their content hashes to."""

    surrogate: Surrogate
    fingerprint: str


@dataclass(frozen=True)
class Levels:
    """What there is at R.

    Attributes
    ----------
    optimum : float or None
        The best of the space, None where it is unknown.
    guess : float
        The median of 1,000 configurations drawn at random, NaN among them counted as the worst.
    full_run : float
        Mean seconds that they take to get there.
    """

    optimum: float | None
    guess: float
    full_run: float


_kept: dict[str, Known] = {}  # of this process, by their descriptions


def know(description: Mapping[str, Any]) -> Known:
    """Load learning curves as they are now.

    Parameters
    ----------
    description : mapping
        Keywords of `hbsim.surrogates.load`, plain JSON types.

    Raises
    ------
    ParameterError, SurrogateError
        As `hbsim.surrogates.load`.
    """
    options = dict(description)
    surrogate = load(options.pop("surrogate"), **options)
    known = Known(surrogate, fingerprint(surrogate))
    _kept[_text(description)] = known
    return known


def load_curves(description: Mapping[str, Any], content: str) -> Surrogate:
    """Return learning curves that were checked before, here or elsewhere; loaded once in each process.

    Parameters
    ----------
    description : mapping
        As in `know`.
    content : str
        Their fingerprint.

    Raises
    ------
    SurrogateError
        They are others by now.
    """
    known = _kept.get(_text(description))
    if known is None or known.fingerprint != content:
        known = _know_there(description)
    if known.fingerprint != content:
        problem = "are not the curves that were checked: changed since, or others each time they are read"
        raise SurrogateError(f"{description['surrogate']}{place()}", problem)
    return known.surrogate


def _know_there(description: Mapping[str, Any]) -> Known:
    """Load learning curves, perhaps on another host; an error says on which."""
    try:
        return know(description)
    except SurrogateError as error:
        raise SurrogateError(f"{error.source}{place()}", error.problem) from None


def at_level(surrogate: Surrogate, max_t: float) -> Levels:
    """Return what there is at a level.

    Raises
    ------
    ParameterError
        The curves do not go there.
    """
    check_levels(surrogate, [max_t])
    values, seconds = surrogate.evaluate(sample(surrogate, SAMPLE, SEED), np.array([max_t], dtype=np.float64))
    sign = 1.0 if surrogate.mode == "min" else -1.0  # the mirror image: the same configuration
    losses = np.sort(np.where(np.isfinite(values[:, 0]), sign * values[:, 0], math.inf))
    finite = losses[np.isfinite(losses)]
    # Where most of them diverge, the worst that does not.
    middle = min((len(losses) - 1) // 2, len(finite) - 1)
    guess = sign * float(finite[middle]) if finite.size else math.nan
    reached = seconds[:, 0][np.isfinite(seconds[:, 0])]
    return Levels(surrogate.optimum(max_t), guess, math.fsum(reached) / max(1, len(reached)))


def _text(description: Mapping[str, Any]) -> str:
    return json.dumps(description, sort_keys=True)
