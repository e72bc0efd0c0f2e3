"""Which bracket a job is drawn from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import exp, fsum
from typing import Final

from numpy.random import PCG64, Generator

from hbsim.errors import ParameterError

__all__ = ["SAMPLINGS", "BracketSampler", "bracket_probabilities"]

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
    """Bracket draws: the k-th draw is the k-th number of a generator of its own.

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
        """Return the next draw without using it up."""
        if not self._last:
            return 0
        if not self._buffer:
            ahead = PCG64()
            ahead.state = self._bits.state
            uniforms = Generator(ahead).random(BLOCK).tolist()
            self._buffer = [min(bisect_right(self._cumulative, u), self._last) for u in reversed(uniforms)]
        return self._buffer[-1]

    def take(self) -> None:
        """Use the draw up that `peek` returned."""
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
        """Return the generator's state, plain JSON types."""
        here = PCG64()
        here.state = self._bits.state
        here.advance(self._drawn)
        inner = here.state["state"]
        return {"state": str(inner["state"]), "inc": str(inner["inc"])}

    def load_state_dict(self, state: dict[str, str]) -> None:
        """Go on from what `state_dict` returned."""
        whole = self._bits.state
        whole["state"] = {"state": int(state["state"]), "inc": int(state["inc"])}
        self._bits.state = whole
        self._drawn = 0
        self._buffer = []
