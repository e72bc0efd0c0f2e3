"""A sweep's file: its text, its content, and errors that name the line."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from typing import Final

from hbsim.bench.sweep.lines import line_of
from hbsim.bench.sweep.schema import SweepTable, fields_at
from hbsim.errors import HbsimError, ParameterError
from hbsim.simulation.cluster_schema import Place, first_problem, shown

__all__ = ["FIELD", "Source", "read_source"]

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
    table : SweepTable
        Its content; numbers and texts in their places, not yet what they mean.
    data : str
        The folder from which relative paths of learning curves start.
    """

    name: str
    text: str
    table: SweepTable
    data: str

    @property
    def folder(self) -> str:
        """The file's folder, from which paths of clusters start."""
        return os.path.dirname(self.name)

    def wrong(self, place: Place, problem: str) -> ParameterError:
        """Return an error about a place in the file."""
        return _wrong(self.name, self.text, place, problem)

    def of(self, place: Place, error: HbsimError) -> ParameterError:
        """Return an error of something that was made from the file, as one about the place."""
        said = str(error)
        if isinstance(error, ParameterError):
            said = f"{error.field} = {shown(error.value)}: {error.rule}"
        return self.wrong(place, f"{'.'.join(map(str, place))}: {said}")


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
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise ParameterError(FIELD, name, "is no TOML: it is not UTF-8") from None
    except OSError as error:
        raise ParameterError(FIELD, name, f"cannot be read: {error.strerror}") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ParameterError(FIELD, name, f"is no TOML: {error}") from None
    try:
        table = SweepTable.model_validate(content)
    except ValidationError as error:
        place, problem = first_problem(error, content, fields_at)
        raise _wrong(name, text, place, problem) from None
    return Source(name, text, table, os.fspath(data) if data is not None else os.path.dirname(name))


def _wrong(name: str, text: str, place: Place, problem: str) -> ParameterError:
    line = line_of(text, place) if place else None
    return ParameterError(FIELD, name, problem if line is None else f"line {line}: {problem}")
