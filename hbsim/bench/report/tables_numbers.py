"""Numbers as people write them: the interval decides how many digits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final

from hbsim.bench.statistics import Interval

__all__ = [
    "MEASURES",
    "NONE",
    "PRECISION",
    "count",
    "decimals",
    "half_up",
    "interval",
    "number",
    "p_value",
    "percent",
    "plural",
    "reach",
    "time_unit",
]

NONE: Final = "–"
PRECISION: Final = 12  # digits of a number on the page
MOST: Final = 6  # decimals; what needs more is written with an exponent
UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))
MEASURES: Final = {"score": "normalised regret", "area": "area under the curve"}


def decimals(intervals: Iterable[Interval]) -> int:
    """Return how many decimals show two digits of the widths that intervals have in the middle.

    Without widths, how many show three digits of the means.
    """
    found = list(intervals)
    widths = [one.high - one.low for one in found if one.high > one.low]
    if widths:
        return max(0, 1 - _exponent(statistics.median(widths)))
    sizes = [abs(one.mean) for one in found if math.isfinite(one.mean) and one.mean]
    return max(0, 2 - _exponent(statistics.median(sizes))) if sizes else 3


def _exponent(size: float) -> int:
    return math.floor(math.log10(size)) if math.isfinite(size) else 0


def half_up(value: float, digits: int) -> Decimal:
    """Return a finite `value` with `digits` decimals, as the page's script rounds it.

    To `PRECISION` digits first, as it stands in the page, then from its binary value; halves away from zero.
    """
    near = Decimal(float(f"{value:.{PRECISION}g}"))
    with localcontext(prec=400):
        return near.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return `value` with `digits` decimals; NaN as a dash, and no minus before what is shown as 0."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    plus = "+" if sign else ""
    text = f"{value:{plus}.1e}" if digits > MOST else f"{half_up(value, digits):{plus},f}"
    return text.lstrip("+-") if not any(c in "123456789" for c in text.split("e")[0]) else text


def interval(value: Interval, digits: int, *, sign: bool = False) -> str:
    """Return a mean and its interval, ``0.123 [0.110, 0.140]``; the mean only where there is none."""
    mean = number(value.mean, digits, sign=sign)
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return mean
    ends = f"{number(value.low, digits, sign=sign)}, {number(value.high, digits, sign=sign)}"
    return f"{mean} [{ends}]"


def p_value(p: float, *, sign: bool = False) -> str:
    """Return p with two digits, ``0.03``; below 0.001 as ``<0.001``; with `sign`, ``= 0.03``."""
    if math.isnan(p):
        return NONE
    if p < 0.001:
        return "< 0.001" if sign else "<0.001"
    text = f"{p:.2f}" if p >= 0.095 else f"{p:.2g}"
    return f"= {text}" if sign else text


def percent(share: float) -> str:
    """Return a share in percent, with a decimal where it is small."""
    if math.isnan(share):
        return NONE
    return f"{share:.1%}" if 0 < abs(share) < 0.0995 else f"{share:.0%}"


def count(value: float) -> str:
    """Return a mean count: whole from 10 on, else with two digits."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def plural(number: int, noun: str) -> str:
    """Return ``1 group``, ``2 groups``, ``3 studies``."""
    if number == 1:
        return f"1 {noun}"
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {many}"


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that suits a time, and how many seconds it has."""
    return next(((name, length) for name, length in UNITS if seconds >= 5 * length), ("s", 1.0))


def reach(median: Interval, length: float) -> str:
    """Return the median time to a target in units of `length` seconds; infinite is after the budget."""
    if math.isnan(median.mean):
        return NONE
    if math.isinf(median.mean):
        return "not by half"
    scaled = Interval(median.mean / length, median.low / length, median.high / length)
    if math.isnan(scaled.low) or math.isnan(scaled.high):
        return count(scaled.mean)
    return f"{count(scaled.mean)} [{count(scaled.low)}, {count(scaled.high)}]"
