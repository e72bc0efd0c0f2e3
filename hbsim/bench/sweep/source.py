"""A sweep's file: its text, its content, and errors that name the line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hbsim.bench.sweep.lines import line_of
from hbsim.bench.sweep.schema import SweepTable, fields_at
from hbsim.errors import HbsimError, ParameterError
from hbsim.simulation.cluster_schema import Place, first_problem, shown

__all__ = ["FIELD", "Source", "dotted", "read_source"]

FIELD: Final = "file"  # what errors name
# Fields that the file calls otherwise than the parameters that they are for.
CALLED: Final = {"num_trials": "trials"}
WORDS: Final = {
    "give num_trials, max_time or max_reward": "give trials, max_time or max_full_runs",
    "num_trials": "trials",
    "replace=True": "replace = true",
    "True or False": "true or false",
}


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
        text = dotted(place) if given is None else f"{dotted(place)} = {shown(given)}"
        return self.wrong(place, f"{text}: {_in_words(rule)}")

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
        for at in ((*place, field), (*place, "vary", field), (places or {}).get(field, ())):
            if at and self.at(at) is not None:
                # Of several values the one that is wrong.
                value = error.value if isinstance(self.at(at), list) else None
                shown_ = f"{dotted(at)} = {shown(self.at(at) if value is None else value)}"
                return self.wrong(at, f"{shown_}: {_in_words(error.rule)}{end}")
        value = "" if error.value is None else f" = {shown(error.value)}"
        start = f"{dotted(place)}: " if place else ""
        return self.wrong(place, f"{start}{field}{value}: {_in_words(error.rule)}{end}")

    def at(self, place: Place) -> Any:
        """Return what stands at a place in the file, None if nothing does."""
        found: Any = self.content
        for part in place:
            entries = dict(enumerate(found)) if isinstance(found, list) else found
            if not isinstance(entries, dict) or part not in entries:
                return None
            found = entries[part]
        return found


def read_source(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Source:
    """Read a sweep's file.

    Raises
    ------
    ParameterError
        It cannot be read, is no TOML, or has a field that is unknown, missing or of another type: names
        the line, the field, its value and the rule (field ``file``).
    """
    from pydantic import ValidationError

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
        place, problem = first_problem(error, content, fields_at)
        raise _wrong(name, text, place, problem) from None
    return Source(name, text, content, table, os.fspath(data) if data is not None else os.path.dirname(name))


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


def _wrong(name: str, text: str, place: Place, problem: str) -> ParameterError:
    line = line_of(text, place) if place else None
    return ParameterError(FIELD, name, problem if line is None else f"line {line}: {problem}")


def _in_words(rule: str) -> str:
    """Return a rule in the words of the file."""
    for word, own in WORDS.items():
        rule = rule.replace(word, own)
    return rule
