"""The four stopping rules on plain lists; a score is a number to maximise, None if it is none."""

from __future__ import annotations

import math
from fractions import Fraction

Score = float | None


def score_of(value: float | None, mode: str) -> Score:
    """Return the value as something to maximise; None for everything that is no number."""
    if value is None or not math.isfinite(value):
        return None
    return value if mode == "max" else -value


def badness(score: Score) -> tuple[bool, float]:
    """Sort key: best first, non-numbers last and equal."""
    return (score is None, 0.0 if score is None else -score)


def quantile(scores: list[Score], eta: Fraction) -> float | None:
    """Return the (1 - 1/eta) quantile, None if a non-number has weight in it.

    The position is exact; the interpolation is the float that people are shown, exact where floats overflow.
    """
    if not scores:
        return None
    ascending = sorted(scores, key=badness)[::-1]
    p, q = eta.numerator, eta.denominator
    whole, rest = divmod((len(scores) - 1) * (p - q), p)
    low = ascending[whole]
    if low is None:
        return None
    if rest == 0:
        return low
    high = ascending[whole + 1]
    assert high is not None
    cut = low + (high - low) * rest / p
    return cut if math.isfinite(cut) else float(Fraction(low) + (Fraction(high) - Fraction(low)) * rest / p)


def cutoff(rule: str, before: list[Score], new: Score, eta: Fraction) -> float | None:
    """Return the quantile that the two quantile rules hold the new value against."""
    if rule == "quantile":
        return quantile(before, eta)
    return quantile([*before, new], eta) if before else None


def goes_on(rule: str, before: list[Score], new: Score, eta: Fraction) -> bool:
    """Say whether a trial with the score `new` goes on, the scores `before` being recorded already."""
    if new is None:
        return False
    if not before:
        return True
    if rule in ("quantile", "quantile-inclusive"):
        cut = cutoff(rule, before, new, eta)
        return cut is None or new >= cut
    n = len(before) + 1
    if rule == "rank":
        better = sum(score is not None and score > new for score in before)
        return Fraction(better, n) <= 1 / eta
    assert rule == "top-k"
    kth = sorted([*before, new], key=badness)[max(1, math.floor(n / eta)) - 1]
    return badness(new) <= badness(kth)
