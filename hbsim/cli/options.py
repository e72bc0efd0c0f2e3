"""Groups of command-line options, made from declarations, and the parsing of their values.

A command asks for a group by an annotation, and gets the values that were given, by their Python names::

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
from hbsim.options import NONE, Option, Takes, declared, parse_duration

Given: TypeAlias = Mapping[str, Any]  # values of a group's options that were given


@dataclass(frozen=True, slots=True)
class Group:
    """A group of options of a command.

    Attributes
    ----------
    heading : str
        The heading above the options in the help.
    options : dict
        The options' declarations, by the names of the command's parameters.
    """

    heading: str
    options: Mapping[str, Option]

    def changed(self, **changes: Mapping[str, Any]) -> Group:
        """Return a copy of the group with changes of some options.

        Parameters
        ----------
        **changes : mapping
            By the name of a parameter: new values of the option's ``help``, ``flags``, ``default``,
            ``metavar`` or ``panel``; and as ``parameter`` a new name, if the command uses this one already.
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
        The heading above the options in the help.
    *declarations : type
        Dataclasses as for `hbsim.options.declared`.
    only, leave_out : collection of str, optional
        The names of the options in the group, in their order; or of the options that are not in it.
    **changes : mapping
        As for `Group.changed`.
    """
    found = {name: option for one in declarations for name, option in declared(one).items()}
    names = found if only is None else only
    taken = [name for name in names if name not in leave_out and found[name].takes != "tables"]
    return Group(heading, {name: found[name] for name in taken}).changed(**changes)


def default_of(group: Group, given: Given) -> dict[str, Any]:
    """Return the values of all options of a group, by their parameters' names: as given, else defaults."""
    return {
        name: given.get(option.name, None if option.default is MISSING else option.default)
        for name, option in group.options.items()
    }


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its groups as options of the command line."""
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
    """Return an option as a parameter for Typer, with the default None."""
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
    """Remove the values of a group from those of a command, and return the given ones."""
    found = {}
    for parameter, option in group.options.items():
        value = values.pop(parameter)
        if option.can_be_none and value == NONE:
            found[option.name] = option.default
        elif value is not None:
            found[option.name] = value
    return found


# Parsing


class Step(NamedTuple):
    """A step of a schedule, whose text is the one that the user wrote."""

    time: float
    number: int

    def __str__(self) -> str:
        """Return ``TIME:NUMBER``."""
        return f"{self.time:.15g}:{self.number}"


def parse_number(text: str) -> float:
    """Parse a number: whole numbers become int, and look the same in messages and files."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is not a number.")


def _parse_duration(text: str) -> float:
    """Parse seconds, or a text as in ``30m``; whole seconds become int."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no duration, as 90, 30m, 1.5h or 2d are.") from None
    return int(seconds) if seconds.is_integer() else seconds


def parse_whole(text: str) -> int:
    """Parse a whole number."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number.") from None


def _parse_amount(text: str) -> float | str:
    """Parse a number, or return the text of a distribution unchanged."""
    try:
        return parse_number(text)
    except typer.BadParameter:
        return text


def _parse_numbers(text: str) -> float | tuple[float, ...]:
    """Parse one number, or several: ``1,1,0.5``."""
    numbers = tuple(parse_number(part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _parse_steps(text: str) -> tuple[Step, ...]:
    """Parse ``TIME:NUMBER,...``."""
    steps = [part.split(":") for part in text.split(",")]
    if any(len(step) != 2 for step in steps):
        raise typer.BadParameter(f"{text!r} is no schedule, which is TIME:MACHINES,... as in 0:4,3600:16.")
    return tuple(Step(parse_number(time), parse_whole(number)) for time, number in steps)


PARSERS: Final[Mapping[Takes, Callable[[str], Any]]] = {
    "number": parse_number,
    "duration": _parse_duration,
    "whole": parse_whole,
    "wholes": parse_whole,
    "amount": _parse_amount,
    "numbers": _parse_numbers,
    "steps": _parse_steps,
}


def named_values(option: str, texts: Sequence[str]) -> dict[str, object]:
    """Parse texts ``NAME=VALUE``, each value as JSON or else as text; the last value of a name is used.

    Raises
    ------
    ParameterError
        A text has no name, or no ``=``; the error names `option`.
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
