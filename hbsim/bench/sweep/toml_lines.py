"""Where in a TOML file a value stands: `tomllib` reads values, and says no lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Place", "line_of", "lines_of"]

Place: TypeAlias = tuple[str | int, ...]

# What a document falls into. A string of several lines may end in five quotes, two of them its own.
_TOKENS: Final = re.compile(
    r"""
    (?P<space>   [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<text>    \"{3} (?s:\\.|[^\\])*? (?:\"{3,5}|\Z) | '{3} (?s:.)*? (?:'{3,5}|\Z)
               | "(?:\\.|[^"\\\n])*"? | '[^'\n]*'? )
  | (?P<mark>    [\[\]{},=] )
  | (?P<bare>    [^\s\#\[\]{},="']+ | . )
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the text: its kind, as `_TOKENS` names it, and the line at which it begins."""

    kind: str
    text: str
    line: int


_END: Final = Token("end", "", 0)


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line at which a value stands.

    Parameters
    ----------
    text : str
        A TOML document that `tomllib` accepts; of any other the lines of what could be made out.
    place : sequence of str and int
        What leads to the value: keys of tables, and indices of arrays, from 0.

    Returns
    -------
    int or None
        Counted from 1: where the value begins, of a table its header or the first line that makes it. If
        there is no such value, the line of the nearest one around it; None if there is none of these.
    """
    lines = lines_of(text)
    places = (tuple(place[:depth]) for depth in range(len(place), 0, -1))
    return next((lines[found] for found in places if found in lines), None)


def lines_of(text: str) -> dict[Place, int]:
    """Return the line of every value in a document, by its place; both as in `line_of`."""
    return _Scan(text).lines()


class _Scan:
    """Reads a document once, and notes where everything in it begins."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._ahead = next(self._tokens, _END)
        self._found: dict[Place, int] = {}
        self._stated: set[Place] = set()
        self._counts: dict[Place, int] = {}  # of the tables of each array of tables, so far

    def lines(self) -> dict[Place, int]:
        table: Place = ()
        while self._ahead is not _END:
            if self._ahead.kind == "newline":
                self._next()
            elif self._ahead.text == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _next(self) -> Token:
        token, self._ahead = self._ahead, next(self._tokens, _END)
        return token

    def _header(self) -> Place:
        """Read ``[a.b]`` or ``[[a.b]]``; return the place of the table that follows."""
        line = self._next().line
        is_array = self._ahead.text == "["
        if is_array:
            self._next()
        place = self._inside((), self._key("]"), line)
        self._note(place, line)
        if is_array:
            self._counts[place] = self._counts.get(place, 0) + 1
            place = (*place, self._counts[place] - 1)
            self._note(place, line)
        while self._ahead.kind not in ("newline", "end"):
            self._next()
        return place

    def _pair(self, table: Place) -> None:
        """Read ``a.b = value``."""
        line = self._ahead.line
        place = self._inside(table, self._key("="), line)
        if self._ahead.text == "=":
            self._next()
            self._value(place)
        else:  # what `tomllib` refuses
            self._next()

    def _key(self, end: str) -> list[str]:
        """Read a dotted key, up to the mark behind it."""
        parts: list[str] = []
        while self._ahead.kind in ("bare", "text"):
            token = self._next()
            parts += [_unquoted(token.text)] if token.kind == "text" else filter(None, token.text.split("."))
        while self._ahead.text != end and self._ahead.kind not in ("newline", "end"):
            self._next()
        return parts

    def _inside(self, place: Place, key: list[str], line: int) -> Place:
        """Return the place of a key in a table; what it leads through is a table, or an array's last one."""
        for depth, part in enumerate(key):
            place = (*place, part)
            self._found.setdefault(place, line)
            if depth < len(key) - 1 and place in self._counts:
                place = (*place, self._counts[place] - 1)
        return place

    def _note(self, place: Place, line: int) -> None:
        """Note a place that is stated as such; the first such line counts."""
        if place not in self._stated:
            self._stated.add(place)
            self._found[place] = line

    def _value(self, place: Place) -> None:
        """Read a value and all that is in it; one call deep for each array or table around a value."""
        if self._ahead is _END:  # what `tomllib` refuses
            return
        self._note(place, self._ahead.line)
        opening = self._next()
        if opening.text not in ("[", "{") or opening.kind != "mark":
            while self._ahead.kind == "bare":  # a date and a time
                self._next()
            return
        count = 0
        while self._ahead is not _END and self._ahead.text not in ("]", "}"):
            if self._ahead.kind == "newline" or self._ahead.text == ",":
                self._next()
            elif opening.text == "[":
                self._value((*place, count))
                count += 1
            else:
                self._pair(place)
        self._next()


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKENS.finditer(text):
        kind = str(match.lastgroup)
        if kind != "space":
            yield Token(kind, match[0], line)
        line += match[0].count("\n")


def _unquoted(text: str) -> str:
    """Return what a quoted key says."""
    try:
        return str(tomllib.loads(f"key = {text}")["key"])
    except tomllib.TOMLDecodeError:
        return text
