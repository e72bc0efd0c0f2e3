"""A sweep's file: its text, its content, and errors that name the line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hbsim.bench.sweep.lines import line_of
from hbsim.bench.sweep.schema import LISTS, TABLES, SweepTable, fields_at
from hbsim.bench.sweep.words import CALLED, in_words
from hbsim.errors import HbsimError, ParameterError, nearest
from hbsim.simulation.cluster_schema import Place, first_problem, shown

__all__ = ["FIELD", "Source", "dotted", "read_source"]

FIELD: Final = "file"  # what errors name


@dataclass(frozen=True)
class Source:
    """What was read.

    Attributes
    ----------
    name : str
        The file.
    text : str
        All of it.
    content : mapping
        As TOML has it.
    table : SweepTable
        Its content; numbers and texts in their places, not yet what they mean.
    data : str
        The folder from which relative paths of learning curves start.
    """

    name: str
    text: str
    content: Mapping[str, Any]
    table: SweepTable
    data: str

    @property
    def folder(self) -> str:
        """The file's folder, from which paths of clusters start."""
        return os.path.dirname(self.name)

    def wrong(self, place: Place, problem: str) -> ParameterError:
        """Return an error about a place in the file."""
        return _wrong(self.name, self.text, place, problem)

    def broken(self, place: Place, rule: str, value: object = None) -> ParameterError:
        """Return an error about a field: its name, its value and the rule that it breaks.

        Parameters
        ----------
        place : sequence of str and int
            Where the field is, or would be.
        rule : str
            What it has to satisfy.
        value : object, optional
            What to show if the file itself has no plain value there.
        """
        there = self.at(place)
        given = value if there is None or isinstance(there, dict) else there
        text = dotted(place) if given is None else f"{dotted(place)} = {_as_given(given)}"
        return self.wrong(place, f"{text}: {in_words(rule)}")

    def of(
        self, place: Place, error: HbsimError, places: Mapping[str, Place] | None = None, about: str = ""
    ) -> ParameterError:
        """Return an error of something that was made from the file, as one about the file.

        Parameters
        ----------
        place : sequence of str and int
            The table that it was made from.
        error : HbsimError
            What was wrong with it.
        places : mapping, optional
            Where the fields are that come from other tables.
        about : str
            What of the table, where it makes several things.
        """
        end = f" ({about})" if about else ""
        if not isinstance(error, ParameterError):
            return self.wrong(place, f"{dotted(place)}: {error}{end}")
        field = CALLED.get(error.field, error.field)
        for at in _places(place, field, places or {}):
            if at and self.at(at) is not None:
                # Of several values the one that is wrong.
                value = error.value if isinstance(self.at(at), list) else None
                shown_ = f"{dotted(at)} = {shown(self.at(at) if value is None else value)}"
                return self.wrong(at, f"{shown_}: {in_words(error.rule)}{end}")
        value = "" if error.value is None else f" = {shown(error.value)}"
        start = f"{dotted(place)}: " if place else ""
        return self.wrong(place, f"{start}{field}{value}: {in_words(error.rule)}{end}")

    def at(self, place: Place) -> Any:
        """Return what stands at a place in the file, None if nothing does."""
        return _at(self.content, place)


def read_source(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Source:
    """Read a sweep's file.

    Raises
    ------
    ParameterError
        It cannot be read, is no TOML, or has a field that is unknown, missing or of another type: names
        the line, the field, its value and the rule (field ``file``). Or `data` is no folder.
    """
    from pydantic import ValidationError

    if data is not None and not os.path.isdir(data):
        raise ParameterError("data", os.fspath(data), "there is no such folder")
    name = os.fspath(path)
    text = _text(name)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        last = text.count("\n") + (not text.endswith("\n"))
        said = str(error).replace("(at end of document)", f"(at the end, line {last})")
        raise ParameterError(FIELD, name, f"is no TOML: {said}") from None
    try:
        table = SweepTable.model_validate(content)
    except ValidationError as error:
        found = first_problem(error, content, fields_at)
        place, problem = _brackets(content, *found) or _misspelt(content, *found) or found
        raise _wrong(name, text, place, problem) from None
    return Source(name, text, content, table, os.fspath(data) if data is not None else os.path.dirname(name))


def _places(place: Place, field: str, places: Mapping[str, Place]) -> list[Place]:
    """Return where a field may stand: in a table or among what it varies, or elsewhere."""
    first, *inner = field.split(".")  # search_options.points
    other = places.get(first, ())
    return [(*place, first, *inner), (*place, "vary", field), (*other, *inner) if other else ()]


def dotted(place: Place) -> str:
    """Return a place as errors name it: ``variants.0.brackets``."""
    return ".".join(map(str, place))


def _text(name: str) -> str:
    try:
        with open(name, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise ParameterError(FIELD, name, "is no TOML: it is not UTF-8") from None
    except OSError as error:
        raise ParameterError(FIELD, name, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise ParameterError(FIELD, name, f"cannot be read: {error}") from None


def _as_given(value: object) -> str:
    """Return a value as the file has it, with 1.0 for 1.0: how it is written may be the fault."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_as_given, value))}]"
    return str(value) if isinstance(value, float) and value.is_integer() else shown(value)


def _at(content: Any, place: Place) -> Any:
    """Return what stands at a place, None if nothing does."""
    for part in place:
        entries = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(entries, dict) or part not in entries:
            return None
        content = entries[part]
    return content


def _brackets(content: Mapping[str, Any], place: Place, problem: str) -> tuple[Place, str] | None:
    """Say how to write a table that has one pair of brackets where it needs two, or the other way round."""
    top = place[:1]
    found = _at(content, top)
    if len(place) == 1 and top[0] in LISTS and isinstance(found, dict):
        return top, f"[{top[0]}] is a list of tables: write [[{top[0]}]]"
    is_list = isinstance(found, list) and all(isinstance(one, dict) for one in found)
    if len(place) == 1 and top[0] in TABLES and found and is_list:
        return top, f"[[{top[0]}]] is one table: write [{top[0]}]"
    return None


def _misspelt(content: Mapping[str, Any], place: Place, problem: str) -> tuple[Place, str] | None:
    """Say which field was probably meant by one that a table does not know, where it lacks another."""
    lacking = problem.removesuffix(" is missing").rpartition(".")[2]
    table = _at(content, place)
    if not problem.endswith(" is missing") or not isinstance(table, dict):
        return None
    known = fields_at(place)
    others = [name for name in table if name not in known and nearest(name, [lacking])]
    if not others:
        return None
    at = (*place, others[0])
    text = f"{dotted(at)} = {shown(table[others[0]])}: is no field here. Did you mean {lacking!r}?"
    return at, text


def _wrong(name: str, text: str, place: Place, problem: str) -> ParameterError:
    line = line_of(text, place) if place else None
    return ParameterError(FIELD, name, problem if line is None else f"line {line}: {problem}")
