"""Rung levels, brackets, their sizes, and the random choice of a trial's bracket; in exact arithmetic.

Hyperband is Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization",
JMLR 18(185), 2018, algorithm 1. That paper numbers brackets in reverse: its s is K - b in this module.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import ceil, exp, floor, fsum
from typing import Final

from numpy.random import PCG64, Generator

from hbsim.core.numbers import exact
from hbsim.errors import ParameterError

MOST_DIGITS: Final = 10**15
MOST_LEVELS: Final = 5000


@dataclass(frozen=True, slots=True)
class Levels:
    """The rung levels of all brackets.

    Attributes
    ----------
    eta : Fraction
        The reduction factor p/q in lowest terms.
    k : int
        The largest k with r * eta^k <= R. Brackets are numbered 0 ... k.
    levels : tuple of float
        The levels of bracket 0, ascending, without repetition; the last is R.
    first : tuple of int
        For each bracket the index in `levels` at which its trials start.
    """

    eta: Fraction
    k: int
    levels: tuple[float, ...]
    first: tuple[int, ...]

    def of_bracket(self, bracket: int) -> tuple[float, ...]:
        """Return the levels of one bracket, ascending."""
        return self.levels[self.first[bracket] :]


def make_levels(
    grace_period: object, max_t: object, reduction_factor: object, resource_type: str, *, synchronous: bool
) -> Levels:
    """Compute the levels r * eta^b, ..., r * eta^K, and R itself, for every bracket b.

    Parameters
    ----------
    grace_period, max_t, reduction_factor : numbers
        r, R and eta; each counts as the decimal that it prints as.
    resource_type : "int" or "float"
        Whether levels are whole (rounded, halves up) or any numbers.
    synchronous : bool
        Whether R replaces r * eta^K instead of coming after it.

    Raises
    ------
    ParameterError
        If r <= 0, r > R, eta <= 1, a value is not finite, or not whole where it has to be.
    """
    least, most = _resources(grace_period, max_t, resource_type)
    eta = exact("reduction_factor", reduction_factor)
    if eta <= 1:
        raise ParameterError("reduction_factor", reduction_factor, "must be greater than 1")
    if eta.numerator > MOST_DIGITS:
        raise ParameterError("reduction_factor", reduction_factor, "must have at most 15 digits")
    steps = [least]
    while steps[-1] * eta <= most:
        steps.append(steps[-1] * eta)
        if len(steps) > MOST_LEVELS:
            rule = f"is so close to 1 that there are more than {MOST_LEVELS} levels up to max_t={max_t}"
            raise ParameterError("reduction_factor", reduction_factor, rule)
    k = len(steps) - 1
    targets = [*steps[:-1], most] if synchronous else [*steps, most]
    rounded = [_round(step, resource_type) for step in targets]
    levels = tuple(sorted(set(rounded)))
    place = {level: at for at, level in enumerate(levels)}
    return Levels(eta, k, levels, tuple(place[rounded[b]] for b in range(k + 1)))


def make_even_levels(grace_period: object, interval: object, max_t: object, resource_type: str) -> Levels:
    """Compute the levels r, r + interval, r + 2 * interval, ..., R of one bracket; no reduction factor.

    Parameters
    ----------
    grace_period, interval, max_t : numbers
        r, the distance and R; each counts as the decimal that it prints as.
    resource_type : "int" or "float"
        Whether levels are whole or any numbers.

    Raises
    ------
    ParameterError
        If r or the interval is not above 0, r > R, a value is not finite, or not whole where it has to be.
    """
    least, most = _resources(grace_period, max_t, resource_type)
    step = _resource("interval", interval, resource_type)
    steps = ceil((most - least) / step)
    if steps >= MOST_LEVELS:
        rule = f"is so small that there are more than {MOST_LEVELS} milestones up to max_t={max_t}"
        raise ParameterError("interval", interval, rule)
    exactly = [*(least + number * step for number in range(steps)), most]
    levels = tuple(sorted({_round(level, resource_type) for level in exactly}))
    return Levels(Fraction(2), 0, levels, (0,))


def _resources(grace_period: object, max_t: object, resource_type: str) -> tuple[Fraction, Fraction]:
    if resource_type not in ("int", "float"):
        raise ParameterError("resource_type", resource_type, "must be 'int' or 'float'")
    most = _resource("max_t", max_t, resource_type)
    least = _resource("grace_period", grace_period, resource_type)
    if least > most:
        raise ParameterError("grace_period", grace_period, f"must not be above max_t={max_t}")
    return least, most


def _resource(field: str, value: object, resource_type: str) -> Fraction:
    number = exact(field, value)
    if number <= 0:
        raise ParameterError(field, value, "must be greater than 0")
    if resource_type == "int" and number.denominator != 1:
        raise ParameterError(field, value, "must be whole, unless resource_type='float'")
    return number


def _round(level: Fraction, resource_type: str) -> float:
    return floor(level + Fraction(1, 2)) if resource_type == "int" else float(level)


def hyperband_size(k: int, bracket: int, eta: Fraction, n_formula: str) -> int:
    """Return how many trials synchronous Hyperband starts in `bracket`.

    ``"ceil"`` is the paper's algorithm 1, ceil((K+1) * eta^s / (s+1)) with s = K - bracket;
    ``"floor"`` is its printed table, floor(floor((K+1) / (s+1)) * eta^s).
    """
    s = k - bracket
    if n_formula == "ceil":
        return ceil(Fraction(k + 1, s + 1) * eta**s)
    return floor(((k + 1) // (s + 1)) * eta**s)


SAMPLINGS: Final = ("softmax", "hyperband")
BLOCK: Final = 1024
JSON = dict[str, object]


def bracket_probabilities(k: int, brackets: int, eta: Fraction, sampling: str) -> list[float]:
    """Return P(b) for b = 0 ... brackets - 1.

    ``"softmax"`` is P(b) ~ exp(K + 1 - b). ``"hyperband"`` is in proportion to the trials that
    synchronous Hyperband starts in each, P(b) ~ (K+1) / (K+1-b) * eta^(K-b), unrounded.
    """
    if sampling not in SAMPLINGS:
        raise ParameterError("bracket_sampling", sampling, f"must be one of {', '.join(SAMPLINGS)}")
    if sampling == "softmax":
        weights = [exp(-b) for b in range(brackets)]
    else:
        # Relative to the largest, so that no power overflows a float.
        weights = [float(Fraction(k + 1, k + 1 - b) / eta**b) for b in range(brackets)]
    total = fsum(weights)
    return [weight / total for weight in weights]


class BracketSampler:
    """Chooses brackets at random: the k-th choice uses the k-th number of its own generator.

    Parameters
    ----------
    probabilities : sequence of float
        P(b), summing to 1.
    seed : int
        The scheduler's seed.
    """

    def __init__(self, probabilities: Sequence[float], seed: int) -> None:
        self._cumulative = list(accumulate(probabilities))
        self._last = len(self._cumulative) - 1
        self._bits = PCG64(seed)
        self._drawn = 0
        self._buffer: list[int] = []

    def peek(self) -> int:
        """Return the next choice without moving on."""
        if not self._last:
            return 0
        if not self._buffer:
            ahead = PCG64()
            ahead.state = self._bits.state
            uniforms = Generator(ahead).random(BLOCK).tolist()
            self._buffer = [min(bisect_right(self._cumulative, u), self._last) for u in reversed(uniforms)]
        return self._buffer[-1]

    def take(self) -> None:
        """Move on from the choice that `peek` returned to the next one."""
        if not self._last:
            return
        self._buffer.pop()
        self._drawn += 1
        if not self._buffer:
            self._settle()

    def _settle(self) -> None:
        self._bits.advance(self._drawn)
        self._drawn = 0

    def state_dict(self) -> JSON:
        """Return the generator's state in plain JSON types."""
        position = PCG64()
        position.state = self._bits.state
        position.advance(self._drawn)
        inner = position.state["state"]
        return {"state": str(inner["state"]), "inc": str(inner["inc"])}

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Restore a state that `state_dict` returned."""
        whole = self._bits.state
        whole["state"] = {"state": int(state["state"]), "inc": int(state["inc"])}
        self._bits.state = whole
        self._drawn = 0
        self._buffer = []
