"""Options of commands, made in groups from the declarations of the rooms below; and how their texts are read.

A command asks for a group by an annotation, and gets what its user gave, by the names that Python has::

    def simulate(ctx: typer.Context, *, scheduler: Annotated[Given, group("Scheduler", Options)]) -> None:
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, get_type_hints

import typer

from hbsim.errors import ParameterError
from hbsim.options import NONE, Option, Takes, declared

__all__ = [
    "Given",
    "Group",
    "Step",
    "default_of",
    "group",
    "named_values",
    "parse_number",
    "parse_whole",
    "with_groups",
]

Given: TypeAlias = Mapping[str, Any]  # the options of a group that were given


@dataclass(frozen=True, slots=True)
class Group:
    """Options that a command gets together.

    Attributes
    ----------
    heading : str
        What stands above them in the help.
    options : dict
        Their declarations, by the names of the command's parameters.
    """

    heading: str
    options: Mapping[str, Option]

    def changed(self, **changes: Mapping[str, Any]) -> Group:
        """Return the group with some options as another command has them.

        Parameters
        ----------
        **changes : mapping
            By the name of a parameter, what the command has in place of the option's ``help``, ``flags``,
            ``default``, ``metavar`` or ``panel``; and as ``parameter`` another name, where the command has
            this one already.
        """
        options = {}
        for name, option in self.options.items():
            change = dict(changes.get(name, {}))
            parameter = change.pop("parameter", name)
            options[parameter] = replace(option, **change)
        return Group(self.heading, options)


def group(
    heading: str,
    *declarations: type,
    only: Collection[str] | None = None,
    leave_out: Collection[str] = (),
    **changes: Mapping[str, Any],
) -> Group:
    """Make a group of declared options.

    Parameters
    ----------
    heading : str
        What stands above them in the help.
    *declarations : type
        Dataclasses as for `hbsim.options.declared`.
    only, leave_out : collection of str, optional
        The names of those that the command takes, in its order; or of those that it does not take.
    **changes : mapping
        As for `Group.changed`.
    """
    found = {name: option for one in declarations for name, option in declared(one).items()}
    names = found if only is None else only
    taken = [name for name in names if name not in leave_out and found[name].takes != "tables"]
    return Group(heading, {name: found[name] for name in taken}).changed(**changes)


def default_of(group: Group, given: Given) -> dict[str, Any]:
    """Return all options of a group by the names of their parameters: as given, else their defaults."""
    return {
        name: given.get(option.name, None if option.default is MISSING else option.default)
        for name, option in group.options.items()
    }


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command take groups: each of their options becomes an option of the command line."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Group] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        found = [one for one in getattr(hints[name], "__metadata__", ()) if isinstance(one, Group)]
        if found:
            groups[name] = found[0]
            parameters += [_parameter(key, option, found[0]) for key, option in found[0].options.items()]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(function)
    def command(**values: Any) -> None:
        given = {name: _given(one, values) for name, one in groups.items()}
        function(**values, **given)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _parameter(name: str, option: Option, group: Group) -> inspect.Parameter:
    """Return an option as Typer reads it from a signature; what is not given is None."""
    is_flag, is_list = option.takes == "flag", option.takes in ("texts", "wholes")
    kind: Any = bool if is_flag else list[str] if is_list else str
    made = typer.Option(
        *option.flags,
        metavar=None if is_flag else option.metavar,
        parser=_parser(option),
        help=option.help,
        rich_help_panel=option.panel or group.heading,
    )
    is_needed = option.default is MISSING
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if is_needed else None,
        annotation=Annotated[kind if is_needed else kind | None, made],
    )


def _parser(option: Option) -> Callable[[str], Any] | None:
    parse = PARSERS.get(option.takes)
    if parse is None or not option.can_be_none:
        return parse
    return lambda text: text if text == NONE else parse(text)


def _given(group: Group, values: dict[str, Any]) -> Given:
    """Take the values of a group out of those of a command, and return what was given."""
    found = {}
    for parameter, option in group.options.items():
        value = values.pop(parameter)
        if option.can_be_none and value == NONE:
            found[option.name] = option.default
        elif value is not None:
            found[option.name] = value
    return found


# How texts are read


class Step(NamedTuple):
    """A step of a schedule, which prints as its user wrote it."""

    time: float
    number: int

    def __str__(self) -> str:
        """Return ``TIME:NUMBER``."""
        return f"{self.time:.15g}:{self.number}"


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


def _parse_amount(text: str) -> float | str:
    """Read a number, or leave the text of a distribution as it is."""
    try:
        return parse_number(text)
    except typer.BadParameter:
        return text


def _parse_numbers(text: str) -> float | tuple[float, ...]:
    """Read one number, or several: ``1,1,0.5``."""
    numbers = tuple(parse_number(part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _parse_steps(text: str) -> tuple[Step, ...]:
    """Read ``TIME:NUMBER,...``."""
    steps = [part.split(":") for part in text.split(",")]
    if any(len(step) != 2 for step in steps):
        raise typer.BadParameter(f"{text!r} is no schedule, which is TIME:MACHINES,... as in 0:4,3600:16.")
    return tuple(Step(parse_number(time), parse_whole(number)) for time, number in steps)


PARSERS: Final[Mapping[Takes, Callable[[str], Any]]] = {
    "number": parse_number,
    "whole": parse_whole,
    "wholes": parse_whole,
    "amount": _parse_amount,
    "numbers": _parse_numbers,
    "steps": _parse_steps,
}


def named_values(option: str, texts: Sequence[str]) -> dict[str, object]:
    """Read texts as ``NAME=VALUE``, each value as JSON, or else as text; the last of a name counts.

    Raises
    ------
    ParameterError
        A text has no name, or no ``=``; it names `option`.
    """
    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError(option, text, "must be NAME=VALUE")
        try:
            values[name] = json.loads(value, parse_constant=_no_number)
        except ValueError:
            values[name] = value
    return values


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no JSON")
