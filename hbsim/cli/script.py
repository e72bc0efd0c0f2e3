"""The options for a script that trains: its command line, and its parameters as texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hbsim.cli.options import group, named_values
from hbsim.errors import ParameterError, nearest
from hbsim.options import option

if TYPE_CHECKING:
    from hbsim.core.space import Parameter
    from hbsim.executors.command import Command

FORM: Final = (
    "must be NAME=real:LOW:HIGH, NAME=int:LOW:HIGH (each may end in :log), NAME=choice:A,B or NAME=bool"
)


@dataclass(frozen=True)
class CommandOptions:
    """The options for a script in place of a training function."""

    command: str | None = option(
        None,
        metavar="COMMAND",
        help="The command line of a script; {lr} in it becomes the value of --param lr.",
    )
    space: list[str] | None = option(
        None,
        takes="texts",
        flags=("--param",),
        metavar="NAME=KIND",
        help="Each hyperparameter: lr=real:1e-4:0.1:log, width=int:16:256, opt=choice:adam,sgd or "
        "nesterov=bool.",
    )
    report_pattern: str | None = option(
        None,
        metavar="REGEX",
        help=r"Read reports from printed lines, such as epoch=(?P<epoch>\d+) acc=(?P<accuracy>\S+).",
    )
    shell: bool = option(False, takes="flag", help="Run the command by a shell.")
    cwd: str | None = option(
        None, metavar="DIR", help="Where the command runs (default: the current folder)."
    )


NAMES: Final = ("command", "space", "report_pattern", "shell", "cwd")
SCRIPT: Final = group("Script in place of a function", CommandOptions)


def check_command(values: Mapping[str, Any]) -> None:
    """Check that there is a command for what belongs to one, and no function beside it.

    Raises
    ------
    ParameterError
        There is none, or there is both.
    """
    if "command" in values:
        if "train" in values:
            raise ParameterError(
                "command", values["command"], f"goes without {values['train']}: one of both trains"
            )
        return
    for name in NAMES:
        if name in values and name != "cwd":
            value = values[name][0] if name == "space" else values[name]
            raise ParameterError(name, value, "is for a script: it needs --command")


def make_script(values: Mapping[str, Any]) -> Command:
    """Return the script that the options describe; constants of ``--arg`` are known to its command, too.

    Raises
    ------
    ParameterError
        A parameter has another form, or as by `hbsim.Command`.
    """
    from hbsim.executors.command import Command

    space = {**named_values("args", values.get("args", ())), **parse_space(values.get("space", ()))}
    names = ("report_pattern", "shell", "cwd")
    return Command(values["command"], space, **{name: values[name] for name in names if name in values})


def parse_space(texts: Sequence[str]) -> dict[str, Parameter]:
    """Parse parameters, ``NAME=KIND:...``; the last one of a name is used.

    Raises
    ------
    ParameterError
        A text has another form, or the parameter cannot exist.
    """
    return {text.partition("=")[0]: _parse(text) for text in texts}


def _parse(text: str) -> Parameter:
    name, equals, about = text.partition("=")
    kind, _, rest = about.partition(":")
    if not equals or not name:
        raise ParameterError("space", text, FORM)
    if kind not in _KINDS:
        raise ParameterError("space", text, f"{FORM}.{nearest(kind, _KINDS)}")
    try:
        return _KINDS[kind](rest)
    except ParameterError as error:
        raise ParameterError("space", text, f"{error.field}={error.value!r}: {error.rule}") from None
    except ValueError:
        raise ParameterError("space", text, FORM) from None


def _number(kind: str, text: str) -> Parameter:
    from hbsim.core.space import Int, Real

    low, high, *more = text.split(":")
    if more not in ([], ["log"]):
        raise ValueError(text)
    if kind == "int":
        return Int(int(low), int(high), log=bool(more))
    return Real(float(low), float(high), log=bool(more))


def _choice(text: str) -> Parameter:
    from hbsim.core.space import Choice

    return Choice([_value(word) for word in text.split(",")])


def _bool(text: str) -> Parameter:
    from hbsim.core.space import Bool

    if text:
        raise ValueError(text)
    return Bool()


def _value(text: str) -> object:
    """Return a choice: a number if it is written as Python writes it, else text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and str(value) == text else text


_KINDS: Final[Mapping[str, Callable[[str], Parameter]]] = {
    "real": lambda text: _number("real", text),
    "int": lambda text: _number("int", text),
    "choice": _choice,
    "bool": _bool,
}
