"""Levels, brackets, their probabilities and Hyperband's sizes, all in fractions."""

from __future__ import annotations

import math
from fractions import Fraction


def decimal(x: float) -> Fraction:
    """Return the decimal that x prints as."""
    return Fraction(repr(x))


class Grid:
    """The rung levels of one r, R, eta."""

    def __init__(self, r: float, R: float, eta: float, resource_type: str) -> None:
        self.R = decimal(R)
        self.eta = decimal(eta)
        self.resource_type = resource_type
        self.powers = [decimal(r)]
        while self.powers[-1] * self.eta <= self.R:
            self.powers.append(self.powers[-1] * self.eta)
        self.K = len(self.powers) - 1

    def printed(self, level: Fraction) -> float:
        if self.resource_type == "int":
            return math.floor(level + Fraction(1, 2))
        return float(level)

    def levels(self, b: int, *, synchronous: bool) -> list[float]:
        """Return the levels of bracket b, R last."""
        exact = self.powers[b:-1] if synchronous else self.powers[b:]
        levels: list[float] = []
        for level in [*exact, self.R]:
            if self.printed(level) not in levels:
                levels.append(self.printed(level))
        return levels


def probabilities(K: int, eta: Fraction, brackets: int, sampling: str) -> list[float]:
    """Return P(b) for b < brackets."""
    if sampling == "softmax":
        weights = [math.exp(-b) for b in range(brackets)]
    else:
        weights = [float(Fraction(K + 1, K + 1 - b) * eta ** (K - b)) for b in range(brackets)]
    return [w / sum(weights) for w in weights]


def bracket_of(u: float, probability: list[float]) -> int:
    """Return the first bracket whose cumulative probability is above u."""
    for b in range(len(probability)):
        if sum(probability[: b + 1]) > u:
            return b
    return len(probability) - 1


def hyperband_size(K: int, eta: Fraction, b: int, n_formula: str) -> int:
    """Return how many trials synchronous Hyperband starts in bracket b."""
    s = K - b
    if n_formula == "ceil":
        return math.ceil(Fraction(K + 1, s + 1) * eta**s)
    return math.floor(((K + 1) // (s + 1)) * eta**s)
