"""The base of all commands: help by groups, and errors and warnings in one line, in the user's spelling."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command

from hbsim.cli.options import Step, with_groups
from hbsim.errors import ExecutorError, HbsimError, HbsimWarning, OutputError, ParameterError
from hbsim.options import PANELS
from hbsim.study.page import PAGES
from hbsim.terminal import print_err, shown

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS: Final = {"max_content_width": 110}
OPTIONS_PANEL: Final = PANELS[1]  # the heading above common options, and those without another one
ARGUMENTS_PANEL: Final = "Arguments"  # the heading above positional arguments
ARGUMENTS: Final = "hbsim.arguments"  # key in a context: the words after the command's name


def say(kind: str, text: str) -> None:
    """Write one line to stderr: ``hbsim: error: ...``."""
    print_err(f"hbsim: {kind}: {' '.join(shown(text).split())}")


INTERRUPTED: Final = 75  # EX_TEMPFAIL: the work was interrupted, and can go on where it was


def exit_code(error: HbsimError) -> int:
    """Return the exit code of an error: 1 if the work failed, 2 if the request was wrong."""
    return 1 if isinstance(error, OutputError | ExecutorError) else 2


def make_command(
    name: str,
    function: Callable[..., None],
    kind: type[TyperCommand] | None = None,
    common: Sequence[str] = (),
) -> Any:
    """Return a command that runs a function; the function's parameters and groups become options.

    The parameters in `common` are the first options in its help.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=SETTINGS)
    app.command(name, cls=kind or OneLineCommand)(with_groups(function))
    command: Any = get_command(app)
    command.common = tuple(common)
    return command


class OneLineCommand(TyperCommand):
    """A command that turns expected errors into one line on stderr and an exit code.

    Attributes
    ----------
    about : str
        Its whole description; the help has the sentence and the examples of it.
    common : tuple of str
        The parameters that are the first options in the help, in this order.
    """

    common: tuple[str, ...] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.about = self.help or ""
        paragraphs = self.about.split("\n\n")
        self.help = lines_kept("\n\n".join(dict.fromkeys((paragraphs[0], paragraphs[-1]))))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the words as the user typed them, for messages."""
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        spelling = spelling_of(ctx)
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

    def panel_of(self, parameter: Any) -> str:
        """Return the heading of a parameter, wherever the help shows it."""
        if not parameter.opts[0].startswith("-"):
            return ARGUMENTS_PANEL
        return getattr(parameter, "rich_help_panel", None) or OPTIONS_PANEL

    def sections(self) -> dict[str, list[Any]]:
        """Return the parameters by the headings of the help, in its order: common options come first."""
        found: dict[str, list[Any]] = {name: [] for name in (ARGUMENTS_PANEL, *PANELS)}
        rank = {name: place for place, name in enumerate(self.common)}
        for parameter in self.params:
            heading = OPTIONS_PANEL if parameter.name in rank else self.panel_of(parameter)
            found.setdefault(heading, []).append(parameter)
        found[OPTIONS_PANEL].sort(key=lambda parameter: rank.get(parameter.name, len(rank)))
        return {heading: parameters for heading, parameters in found.items() if parameters}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options under the headings of their groups; ``--help`` is the last one."""
        sections = self.sections()
        sections[[*sections][-1]].append(self.get_help_option(ctx))
        for heading, parameters in sections.items():
            with formatter.section(heading):
                formatter.write_dl([_help_record(parameter, ctx) for parameter in parameters])


def _help_record(parameter: Any, ctx: Any) -> tuple[str, str]:
    """Return the names of a parameter and its meaning."""
    names, meaning = parameter.get_help_record(ctx)
    return (names if parameter.opts[0].startswith("-") else parameter.metavar.strip("[]")), meaning


class PageCommand(OneLineCommand):
    """A command whose option ``--html`` may stand without a file: a file ends in ``.html``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a bare ``--html`` an empty text."""
        words: list[str] = []
        for place, word in enumerate(args):
            follows = args[place + 1] if place + 1 < len(args) else ""
            words.append("--html=" if word == "--html" and not follows.endswith(PAGES) else word)
        parsed = super().parse_args(ctx, words)
        ctx.meta[ARGUMENTS] = list(args)
        return parsed


def lines_kept(text: str | None) -> str:
    """Mark examples for Click, by a backspace, so that it does not wrap their lines."""
    return re.sub(r"(?m)^(?=Example:|For example:)", "\b\n", text or "")


@contextmanager
def _warnings_as_lines(spelling: Mapping[str, str]) -> Iterator[None]:
    """Show each `HbsimWarning` once, as one line; show other warnings as usual."""
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


# The options that were given, and their spelling


def is_given(ctx: Any, name: str) -> bool:
    """Return whether a parameter of a command was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def spelling_of(ctx: Any) -> dict[str, str]:
    """Return the options by the names of their parameters: as typed, else their first names.

    Positional arguments have an empty text.
    """
    typed = {word.partition("=")[0] for word in ctx.meta.get(ARGUMENTS, ())}
    found = {}
    for parameter in ctx.command.params:
        first = parameter.opts[0] if parameter.opts[0].startswith("-") else ""
        found[str(parameter.name)] = next((name for name in parameter.opts if name in typed), first)
    return found


def spelled(error: HbsimError, spelling: Mapping[str, str]) -> str:
    """Return an error's text with the names of options as on the command line."""
    if isinstance(error, ParameterError) and "search_options" in spelling:
        error = _as_search_option(error)
    option = spelling.get(getattr(error, "field", ""))
    if not isinstance(error, ParameterError) or option is None:
        return in_options(str(error), spelling)
    value = "" if error.value is None or error.value is True else _text_of(error.value)
    # Errors in a file name fields, not options.
    is_of_file = error.field == "cluster" or str(error.value).endswith(".toml")
    rule = error.rule if is_of_file else in_options(error.rule, spelling)
    return f"{f'{option} {value}'.strip()}: {rule}"


def _as_search_option(error: ParameterError) -> ParameterError:
    """Return an error about an option of a searcher as one about ``--search-option``, or ``--points``."""
    table, dot, name = error.field.partition(".")
    if table != "search_options" or (not dot and isinstance(error.value, str)):
        return error
    if name == "points_to_evaluate":
        return ParameterError("points", json.dumps(error.value, default=str), error.rule)
    value = error.value if isinstance(error.value, str) else json.dumps(error.value, default=str)
    given = f"{name}={value}" if name and error.value is not None else name or value
    return ParameterError(table, given, error.rule)


def in_options(text: str, spelling: Mapping[str, str]) -> str:
    """Replace parameters in a text by options: ``grace_period``, ``replace=True``, ``brackets=3``."""

    def option(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        found = spelling.get(name)
        if not found or (value is None and "_" not in name):
            return match[0]  # without a value, only a name such as max_t is surely no plain word
        return found if value in (None, "True") else f"{found} {value}".replace("'", "")

    return PARAMETER.sub(option, text)


# Not within a path, a quoted name, a command's word or the options of a surrogate:
# a/max_t.csv, 'max_t', {max_t}, synthetic:seed=3.
PARAMETER: Final = re.compile(
    r"(?<![\w.'/:,{\\-])(?P<name>[a-z]+(_[a-z]+)*)(=(?P<value>'[^']*'|\w+(\.\w+)?))?(?!\w|[.:]\w|[(/=])"
)


def _text_of(value: object) -> str:
    if isinstance(value, tuple | list) and not isinstance(value, Step):
        return ",".join(map(str, value))
    return shlex.quote(value) if isinstance(value, str) else str(value)


def command_line(ctx: typer.Context, leave_out: Collection[str] = ()) -> str:
    """Return an equivalent command, with the options that were given, in the order of the help."""
    words = ["hbsim", str(ctx.info_name)]
    spelling = spelling_of(ctx)
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in leave_out and is_given(ctx, name):
            words += _words(spelling[name], parameter, ctx.params.get(name))
    return shlex.join(words)


def _words(option: str, parameter: Any, value: object) -> list[str]:
    if not option:
        return [str(value)]
    if isinstance(value, bool):
        return [option if value else parameter.secondary_opts[0]]
    if value == "" and str(parameter.metavar).startswith("["):  # its value may be left out
        return [option]
    if isinstance(value, list):
        return [word for one in value for word in (option, str(one))]
    return [option, _text_of(value) if isinstance(value, tuple) else str(value)]
