"""Functions that read and write TOML files, and describe their errors in a line."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from hbsim.errors import ParameterError, nearest

Place: TypeAlias = tuple[int | str, ...]  # the keys that lead to a value

TYPE_NAMES: Final = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": "a text",
}


class TomlTable(BaseModel):
    """The base of models of tables, which refuse unknown fields and values of other types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def read_text(field: str, name: str) -> str:
    """Return the text of a file.

    Raises
    ------
    ParameterError
        The file cannot be read, or is no UTF-8; the error names `field`.
    """
    try:
        with open(name, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise ParameterError(field, name, "is no TOML: it is not UTF-8") from None
    except OSError as error:
        raise ParameterError(field, name, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise ParameterError(field, name, f"cannot be read: {error}") from None


def parse_toml(field: str, name: str, text: str) -> dict[str, Any]:
    """Return the content of a file's text.

    Raises
    ------
    ParameterError
        The text is no TOML; the error names `field`, and the line.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        last = text.count("\n") + (not text.endswith("\n"))
        problem = str(error).replace("(at end of document)", f"(at the end, line {last})")
        raise ParameterError(field, name, f"is no TOML: {problem}") from None


def first_problem(
    error: ValidationError, content: Mapping[str, object], names: Callable[[Place], list[str]]
) -> tuple[Place, str]:
    """Return the place of the first error in a file's content, and a line with field, value and rule.

    Unknown fields come first, since a misspelled field is also reported as missing.

    Parameters
    ----------
    error : ValidationError
        The error from pydantic.
    content : mapping
        The file's content.
    names : callable
        Returns the fields of the table at a place.
    """
    errors = error.errors(include_url=False)
    errors.sort(key=lambda one: one["type"] != "extra_forbidden")
    first = errors[0]
    place, value = _found(first["loc"], content)
    if first["type"] == "missing":
        return place, f"{dotted((*place, first['loc'][-1]))} is missing"
    if first["type"] == "extra_forbidden":
        near = nearest(str(place[-1]), names(place[:-1]))
        return place, f"{dotted(place)} = {shown(value)}: is no field here.{near}"
    types = [TYPE_NAMES.get(one["type"]) for one in errors if _found(one["loc"], content)[0] == place]
    wanted = " or ".join(dict.fromkeys(name for name in types if name)) or "of another type"
    given = str(value) if isinstance(value, float) and math.isfinite(value) else shown(value)  # 10.0 as such
    return place, f"{dotted(place)} = {given}: must be {wanted}"


def _found(loc: Place, content: object) -> tuple[Place, object]:
    """Return the part of an error's place that is in the file, and the value there.

    The rest of the place is a member of a union, or a missing field.
    """
    for count, part in enumerate(loc):
        entries = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(entries, Mapping) or part not in entries:
            return loc[:count], content
        content = entries[part]
    return loc, content


def dotted(place: Place) -> str:
    """Return a place as text for errors: ``variants.0.brackets``."""
    return ".".join(map(str, place))


def shown(value: object) -> str:
    """Return a value as text for errors, close to TOML."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)


def to_toml(content: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Return `content` as the text of a TOML file.

    Parameters
    ----------
    content : mapping
        Plain objects by their names. Mappings, and lists of mappings, become tables at the end of the file.
        None and empty mappings are left out.
    comments : mapping, optional
        By field: a comment for the line above it.
    """
    lines: list[str] = []
    tables: list[str] = []
    for name, value in content.items():
        if value is None or value == {}:
            continue
        if isinstance(value, Mapping):
            tables += ["", f"[{_key(name)}]", *_pairs(value)]
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for table in value:
                tables += ["", f"[[{_key(name)}]]", *_pairs(table)]
        else:
            lines += [f"# {comments[name]}"] if comments and name in comments else []
            lines += _pairs({name: value})
    return "\n".join([*lines, *tables]).lstrip("\n") + "\n"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items() if value is not None]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, str):  # as JSON writes it, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(_pairs(value)) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
