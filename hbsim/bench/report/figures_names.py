"""Names that people chose, as labels of limited length and as names of files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["FileNames", "clean", "labels", "shortened", "slug"]

LONGEST: Final = 60  # characters of a slug


def clean(text: str) -> str:
    """Return `text` in one line, without control characters."""
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())


def shortened(text: str, longest: int) -> str:
    """Return `text` in one line of at most `longest` characters; what is left out is in the middle."""
    text = clean(text)
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 3
    return f"{text[: longest - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def labels(names: Sequence[str], longest: int) -> dict[str, str]:
    """Return a label of about `longest` characters for each name, no two the same."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        label = shortened(name, longest) or "(no name)"
        made[name] = _untaken(label, taken, " #")
        taken.add(made[name])
    return made


def slug(text: str) -> str:
    """Return `text` in lower-case letters, digits and hyphens, at most 60; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST].strip("-")


class FileNames:
    """Names of files, no two the same, whatever the texts they are made from."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, kind: str, texts: Iterable[str] = (), number: int | None = None) -> str:
        """Return a name without a suffix: `kind`, slugs of `texts`, `number`; with a count if it is taken."""
        parts = [kind, *(slug(text) for text in texts), *([] if number is None else [str(number)])]
        name = _untaken("-".join(part for part in parts if part), self._taken, "-v")
        self._taken.add(name)
        return name


def _untaken(wanted: str, taken: set[str], mark: str) -> str:
    """Return `wanted`, or with a count behind `mark` what is not in `taken`."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}{mark}{count}"
    return name
