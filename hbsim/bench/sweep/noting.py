"""Gathers warnings, each with what it is about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from hbsim.errors import HbsimWarning

__all__ = ["Notes"]

NAMED = 3  # at most, in one line


class Notes:
    """What is to be said before a sweep runs, each text once."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, None]] = {}  # names, in their order

    def add(self, text: str, name: str | None = None) -> None:
        """Note a text; `name` is what it is about, if it does not say so itself."""
        self._said.setdefault(text, {}).update({} if name is None else {name: None})

    @contextmanager
    def about(self, name: str) -> Iterator[None]:
        """Note what hbsim warns of within the block; other warnings of libraries are dropped."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", HbsimWarning)
            yield
        for warning in caught:
            self.add(str(warning.message), name)

    def lines(self) -> tuple[str, ...]:
        """Return the texts, each with the names of what it is about."""
        return tuple(_line(text, list(names)) for text, names in self._said.items())


def _line(text: str, names: list[str]) -> str:
    if not names:
        return text
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{'; '.join(names[:NAMED])}{more}: {text}"
