"""The formatting of numbers, times and names, shared by sentences, tables, figures and the page."""

from __future__ import annotations

import itertools
import math
import re
import statistics
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from hbsim.bench.conclusions import Interval

NONE: Final = "–"
MOST: Final = 6  # the most decimals; smaller numbers are written with an exponent
UNITS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))
MEASURES: Final = {"score": "normalised regret", "area": "area under the curve"}
LONGEST_SLUG: Final = 60  # characters
LONGEST_NAME: Final = 44
GAIN: Final = 8  # the shortest common beginning that an ellipsis replaces, in characters
LISTED: Final = 4  # the most names that a sentence lists


# Numbers


def decimals(intervals: Iterable[Interval]) -> int:
    """Return how many decimals show two digits of the (lower) median width of intervals.

    Without widths, return how many show three digits of the means.
    """
    found = list(intervals)
    widths = [one.high - one.low for one in found if one.high > one.low]
    if widths:
        return max(0, 1 - _exponent(statistics.median_low(widths)))
    sizes = [abs(one.mean) for one in found if math.isfinite(one.mean) and one.mean]
    return max(0, 2 - _exponent(statistics.median(sizes))) if sizes else 3


def _exponent(size: float) -> int:
    return math.floor(math.log10(size)) if math.isfinite(size) else 0


def number(value: float, digits: int, *, sign: bool = False) -> str:
    """Return `value` with `digits` decimals; NaN as a dash, and no minus before what is shown as 0."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    plus = "+" if sign else ""
    text = f"{value:{plus}.1e}" if digits > MOST else f"{value:{plus},.{digits}f}"
    return text.lstrip("+-") if not any(c in "123456789" for c in text.split("e")[0]) else text


def interval(value: Interval, digits: int, *, sign: bool = False) -> str:
    """Return a mean and its interval, ``0.123 [0.110, 0.140]``; the mean only where there is none."""
    mean = number(value.mean, digits, sign=sign)
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return mean
    ends = f"{number(value.low, digits, sign=sign)}, {number(value.high, digits, sign=sign)}"
    return f"{mean} [{ends}]"


def intervals(values: Sequence[Interval]) -> list[str]:
    """Return means and their intervals, with as many decimals as suit their widths."""
    digits = decimals(values)
    return [interval(value, digits) for value in values]


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
    if 0 < abs(share) < 0.0005:
        return "<0.1%"
    return f"{share:.1%}" if 0 < abs(share) < 0.0995 else f"{share:.0%}"


def count(value: float) -> str:
    """Format a mean count: whole from 10 on, else with two digits."""
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
    """Return the unit that suits a time, and its length in seconds."""
    return next(((name, length) for name, length in UNITS if seconds >= 2 * length), ("s", 1.0))


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them: ``1.5 h``."""
    if math.isnan(seconds):
        return NONE
    unit, length = time_unit(seconds)
    return f"{seconds / length:,.3g} {unit}"


def last_if_nan(number: float) -> float:
    """Return a sort key for ascending numbers with NaN last."""
    return math.inf if math.isnan(number) else number


# Names


def quoted(name: str) -> str:
    """Quote a user's name for use in a sentence."""
    return f"“{name}”"


def listed(names: Sequence[str], quote: bool = True) -> str:
    """Join names into a list for a sentence; only the first four of many."""
    shown = [quoted(name) if quote else name for name in names[:LISTED]]
    if len(names) > LISTED:
        return f"{', '.join(shown)} and {len(names) - LISTED} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def is_or_are(names: Sequence[str]) -> str:
    """Return the verb that goes with names."""
    return "is" if len(names) == 1 else "are"


def clean(text: str) -> str:
    """Return `text` in one line, without control characters."""
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())


def shortened(text: str, longest: int) -> str:
    """Return `text` in one line of at most `longest` characters; the middle is left out."""
    text = clean(text)
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 3
    return f"{text[: longest - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def labels(names: Sequence[str]) -> dict[str, str]:
    """Return a label of about 44 characters for each name, no two the same."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        made[name] = _untaken(shortened(name, LONGEST_NAME) or "(no name)", taken, " #")
        taken.add(made[name])
    return made


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return a label of at most about 44 characters for each name, no two the same.

    Parts between commas that every name has are left out, and so is a common beginning; the reduction factor
    is called η. Where that would make two names the same, they are not shortened.
    """
    if not names:
        return {}
    for tried in (_symbols(_without_beginning(_without_common(names))), _symbols(names)):
        if len({clean(name) for name in tried}) == len(set(names)) and all(map(clean, tried)):
            # `labels` keeps them apart where they are cut.
            cut = labels(tried)
            return {name: cut[short] for name, short in zip(names, tried, strict=True)}
    return labels(names)


def _without_common(names: Sequence[str]) -> list[str]:
    """Remove the parts between commas that all names share; unchanged if a name has no other part."""
    parts = [name.split(",") for name in names]
    common = set(parts[0]).intersection(*parts[1:]) if len(set(names)) > 1 else set()
    kept = [",".join(part for part in mine if part not in common) for mine in parts]
    return kept if all(kept) else list(names)


def _without_beginning(names: Sequence[str]) -> list[str]:
    """Return names with an ellipsis for a common beginning of whole words."""
    pairs = zip(min(names), max(names), strict=False)
    start = "".join(letter for letter, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = re.sub(r"[^\W_]*$", "", start)
    if len(start) < GAIN or any("=" in name or name == start for name in names):
        return list(names)
    return [f"…{name[len(start) :]}" for name in names]


def _symbols(names: Sequence[str]) -> list[str]:
    return [re.sub(r"(?<!\w)reduction_factor=", "η=", name) for name in names]


def slug(text: str) -> str:
    """Return `text` in lower-case letters, digits and hyphens, at most 60; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-")


class FileNames:
    """A maker of file names, no two the same, from any texts."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, kind: str, texts: Iterable[str] = (), number: int | None = None) -> str:
        """Return a name without a suffix: `kind`, slugs of `texts`, `number`; with a count if it is taken."""
        parts = [kind, *(slug(text) for text in texts), *([] if number is None else [str(number)])]
        name = _untaken("-".join(part for part in parts if part), self._taken, "-v")
        self._taken.add(name)
        return name


def _untaken(wanted: str, taken: set[str], mark: str) -> str:
    """Return `wanted` if it is not in `taken`, else `wanted`, `mark` and the first free count."""
    name, counted = wanted, 1
    while name in taken:
        counted += 1
        name = f"{wanted}{mark}{counted}"
    return name
