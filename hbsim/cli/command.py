"""How commands are made: options in groups, help by group, and errors and warnings as one line."""

from __future__ import annotations

import functools
import inspect
import json
import re
import shlex
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from hbsim.cli.fields import Step
from hbsim.errors import ExecutorError, HbsimError, HbsimWarning, OutputError, ParameterError
from hbsim.terminal import print_err, shown

if TYPE_CHECKING:
    from typing import Protocol

    class Formatter(Protocol):
        """What Click writes help with."""

        def section(self, name: str) -> Any: ...
        def write_dl(self, rows: list[tuple[str, str]]) -> None: ...


__all__ = ["Command", "Group", "command_line", "exit_code", "grouped", "say"]


def say(kind: str, text: str) -> None:
    """Write one line to stderr: ``hbsim: error: ...``."""
    print_err(f"hbsim: {kind}: {' '.join(shown(text).split())}")


def exit_code(error: HbsimError) -> int:
    """Return 1 where the work failed, 2 where the request was wrong."""
    return 1 if isinstance(error, OutputError | ExecutorError) else 2


# Options in groups


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses: each of their fields becomes an option of its own."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        parameters += (
            _fields_of(groups[name]) if name in groups else [parameter.replace(annotation=hints[name])]
        )

    @functools.wraps(function)
    def command(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**made, **values)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _fields_of(group: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(group).parameters
    hints = get_type_hints(group, include_extras=True)
    needed = sorted(parameters, key=lambda name: parameters[name].default is not inspect.Parameter.empty)
    return [parameters[name].replace(annotation=hints[name]) for name in needed]


# Errors and warnings


class Command(TyperCommand):
    """A command whose expected errors are one line on stderr and an exit code, in its own options' words."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = _lines_kept(self.help)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        spelling = {str(p.name): p.opts[0] if p.opts[0].startswith("-") else "" for p in self.params}
        try:
            with _warnings_as_lines(spelling):
                return super().invoke(ctx)
        except HbsimError as error:
            say("error", spelled(error, spelling))
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            say("error", "interrupted: nothing was written")
            raise typer.Exit(1) from None
        except typer.Exit as end:  # 130, for what a command stopped itself, would be a fourth exit code
            raise typer.Exit(1 if end.exit_code == 130 else end.exit_code) from None

    def format_options(self, ctx: Any, formatter: Formatter) -> None:
        """Write the options under the headings of their groups."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            heading = getattr(parameter, "rich_help_panel", None) or "Options"
            if record is not None:
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class Group(TyperGroup):
    """The commands; examples in its help stand line by line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = _lines_kept(self.help)


def _lines_kept(text: str | None) -> str:
    """Have Click leave examples as they were written; its mark for that is a backspace."""
    return re.sub(r"(?m)^(?=Example:|For example:)", "\b\n", text or "")


@contextmanager
def _warnings_as_lines(spelling: Mapping[str, str]) -> Iterator[None]:
    """Show each `HbsimWarning` once, as one line; other warnings as ever."""
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", HbsimWarning)

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: object = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, HbsimWarning):
                print_err(warnings.formatwarning(message, category, filename, lineno, line), end="")
            elif str(message) not in seen:
                seen.add(str(message))
                say("warning", in_options(str(message), spelling))

        warnings.showwarning = show
        yield


ALIASES: Final = {"num_trials": "trials"}


def spelled(error: HbsimError, spelling: Mapping[str, str]) -> str:
    """Return an error's text with the names of options as they are on the command line.

    `spelling` has an empty text for what is an argument, given without a name.
    """
    if isinstance(error, ParameterError) and "search_option" in spelling:
        error = _as_option(error)
    option = spelling.get(ALIASES.get(getattr(error, "field", ""), getattr(error, "field", "")))
    if not isinstance(error, ParameterError) or option is None:
        return in_options(str(error), spelling)
    value = "" if error.value is None or error.value is True else _shown(error.value)
    # A cluster's file has no options, but fields.
    rule = error.rule if error.field == "cluster" else in_options(error.rule, spelling)
    return f"{f'{option} {value}'.strip()}: {rule}"


def _as_option(error: ParameterError) -> ParameterError:
    """Return an error about an option of a searcher as one about ``--search-option``, or ``--points``."""
    table, _, name = error.field.partition(".")
    if table != "search_options":
        return error
    if name == "points_to_evaluate":
        return ParameterError("points", json.dumps(error.value, default=str), error.rule)
    value = error.value if isinstance(error.value, str) else json.dumps(error.value, default=str)
    given = f"{name}={value}" if name and error.value is not None else name or value
    return ParameterError("search_option", given, error.rule)


def in_options(text: str, spelling: Mapping[str, str]) -> str:
    """Spell parameters in a text as options: ``grace_period``, ``replace=True``, ``brackets=3``."""

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        found = spelling.get(ALIASES.get(name, name))
        if not found or (value is None and "_" not in name):
            return match[0]  # without a value, only a name such as max_t is surely no plain word
        return found if value in (None, "True") else f"{found} {value}".replace("'", "")

    return PARAMETER.sub(option, text)


# Not within a path, a quoted name or the options of a surrogate: a/max_t.csv, 'max_t', synthetic:seed=3.
PARAMETER: Final = re.compile(
    r"(?<![\w.'/:,\\-])(?P<name>[a-z]+(_[a-z]+)*)(=(?P<value>'[^']*'|\w+(\.\w+)?))?(?!\w|[.:]\w|[(/=])"
)


def _shown(value: object) -> str:
    if isinstance(value, tuple | list) and not isinstance(value, Step):
        return ",".join(map(str, value))
    return shlex.quote(value) if isinstance(value, str) else str(value)


# What was asked for


def command_line(ctx: typer.Context, leave_out: Collection[str] = ()) -> str:
    """Return a command that asks for the same: the options that were given, in the order of the help."""
    words = ["hbsim", str(ctx.info_name)]
    for parameter in ctx.command.params:
        value = ctx.params.get(str(parameter.name))
        source = ctx.get_parameter_source(str(parameter.name))
        if parameter.name not in leave_out and source is not None and source.name == "COMMANDLINE":
            words += _words(parameter, value)
    return shlex.join(words)


def _words(parameter: Any, value: object) -> list[str]:
    if not parameter.opts[0].startswith("-"):
        return [str(value)]
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    if isinstance(value, list):
        return [word for one in value for word in (parameter.opts[0], str(one))]
    return [parameter.opts[0], _shown(value) if isinstance(value, tuple) else str(value)]
