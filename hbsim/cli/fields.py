"""What options are made of: how a field of a group is read, and under which heading its help stands."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "NONE",
    "Step",
    "amount",
    "flag",
    "given",
    "json_or_text",
    "number",
    "parse_amount",
    "parse_number",
    "parse_schedule",
    "parse_speeds",
    "parse_whole",
    "whole",
    "word",
]

NONE: Final = "none"  # what an option is given to take away what a file has


class Step(NamedTuple):
    """A step of a schedule, which prints as its user wrote it."""

    time: float
    machines: int

    def __str__(self) -> str:
        """Return ``TIME:MACHINES``."""
        return f"{self.time:.15g}:{self.machines}"


def json_or_text(text: str) -> object:
    """Read a JSON value; what is none is a text."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def parse_number(text: str) -> float:
    """Read a number as its user wrote it: whole numbers stay whole in messages and files."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is not a number.")


def parse_whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number.") from None


def parse_speeds(text: str) -> float | tuple[float, ...]:
    """Read one number, or one for each worker: ``1,1,0.5``."""
    numbers = tuple(parse_number(part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def parse_amount(text: str) -> float | str:
    """Read a number, or leave the text of a distribution as it is."""
    try:
        return parse_number(text)
    except typer.BadParameter:
        return text


def parse_schedule(text: str) -> tuple[Step, ...] | str:
    """Read ``TIME:MACHINES,...``."""
    if text == NONE:
        return text
    steps = [part.split(":") for part in text.split(",")]
    if any(len(step) != 2 for step in steps):
        raise typer.BadParameter(f"{text!r} is no schedule, which is TIME:MACHINES,... as in 0:4,3600:16.")
    return tuple(Step(parse_number(time), parse_whole(machines)) for time, machines in steps)


def amount(*names: str, panel: str, help: str, unit: str = "DIST") -> Any:
    """Return an option that takes a number, or a text that stands for one."""
    return typer.Option(*names, parser=parse_amount, metavar=unit, rich_help_panel=panel, help=help)


def number(*names: str, panel: str, help: str) -> Any:
    """Return an option that takes a number."""
    return typer.Option(*names, parser=parse_number, metavar="NUMBER", rich_help_panel=panel, help=help)


def whole(*names: str, panel: str, help: str) -> Any:
    """Return an option that takes a whole number."""
    return typer.Option(*names, parser=parse_whole, metavar="N", rich_help_panel=panel, help=help)


def flag(*names: str, panel: str, help: str) -> Any:
    """Return an option that takes no value."""
    return typer.Option(*names, rich_help_panel=panel, help=help)


def word(*names: str, panel: str, metavar: str, help: str) -> Any:
    """Return an option that takes a word; `metavar` says which."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, help=help)


def given(group: DataclassInstance) -> dict[str, Any]:
    """Return the options of a group that were given; None stands for the others."""
    values = {field.name: getattr(group, field.name) for field in fields(group)}
    return {name: value for name, value in values.items() if value is not None}
