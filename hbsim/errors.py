"""The errors and warnings that hbsim raises on purpose, in one tree.

::

    HbsimError
    ├── ParameterError   (ValueError)    a parameter, option or field breaks a rule
    ├── ProtocolError    (RuntimeError)  a report or failure that cannot be
    ├── SurrogateError   (ValueError)    learning curves that cannot be used
    ├── JournalError     (ValueError)    a study's journal that is damaged, or not one
    ├── ExecutorError    (RuntimeError)  what runs the trials is lost, as a cluster's scheduler
    └── OutputError      (OSError)       results that cannot be written or read
    HbsimWarning         (UserWarning)   something was done that the user may not expect
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from hbsim.terminal import shown

LONGEST: Final = 3000  # characters of an error


def nearest(name: object, names: Iterable[str]) -> str:
    """Return a suggestion which of `names` was meant: ``" Did you mean 'x'?"``, or an empty text."""
    close = difflib.get_close_matches(name, list(names), n=1) if isinstance(name, str) else []
    return f" Did you mean {close[0]!r}?" if close else ""


def needs(package: str, extra: str) -> str:
    """Return the rule that a package is needed, and how to install it by an extra of hbsim."""
    return f'needs {package}: pip install -e ".[{extra}]" in the clone of hbsim'


def counted(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 trial``, ``2,000 trials``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def brief(value: object) -> str:
    """Return the `repr` of a value for errors: in one line, and cut where it is long."""
    try:
        text = repr(value)
    except Exception:  # of a user's class
        text = f"<{type(value).__name__}>"
    if len(text.splitlines()) > 1:  # a table, an array
        text = " ".join(text.split())
    return _cut(text, 500)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


class HbsimError(Exception):
    """The root of all errors that hbsim raises on purpose; its text is one line that can be printed."""

    def __init__(self, text: str = "") -> None:
        if not text.isprintable():  # names and files of users may contain line ends
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        super().__init__(_cut(text, LONGEST))


class ParameterError(HbsimError, ValueError):
    """A parameter breaks a rule; raised before any work starts.

    Attributes
    ----------
    field : str
        The parameter's name, as its user wrote it.
    value : object
        The value that was given.
    rule : str
        What the value has to satisfy.
    """

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        self.value = value
        self.rule = rule
        super().__init__(f"{field}={brief(value)}: {rule}")

    def __reduce__(self) -> tuple[type, tuple[str, object, str]]:
        return type(self), (self.field, self.value, self.rule)


class ProtocolError(HbsimError, RuntimeError):
    """A report or a failure that cannot be; the scheduler's state is what it was before.

    Attributes
    ----------
    trial : object
        The trial in the call.
    got : str
        The report or failure that was given.
    expected : str
        What would have been valid.
    """

    def __init__(self, trial: object, got: str, expected: str) -> None:
        self.trial = trial
        self.got = got
        self.expected = expected
        super().__init__(f"trial {trial}: got {got}; expected {expected}")

    def __reduce__(self) -> tuple[type, tuple[object, str, str]]:
        return type(self), (self.trial, self.got, self.expected)


class SurrogateError(HbsimError, ValueError):
    """Learning curves that cannot be used: an empty table, a missing column, time that goes back.

    Attributes
    ----------
    source : str
        The file or surrogate.
    problem : str
        What is wrong, and what is expected.
    """

    def __init__(self, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.source, self.problem)


class JournalError(HbsimError, ValueError):
    """A study's journal that is damaged, or that is not one this version can read.

    Attributes
    ----------
    path : str
        The file.
    line : int
        The first line that is not whole, counted from 1 as editors do.
    problem : str
        What is wrong, where it begins, and a remedy.
    """

    def __init__(self, path: str, line: int, problem: str) -> None:
        self.path = path
        self.line = line
        self.problem = problem
        super().__init__(f"{path}, line {line}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.path, self.line, self.problem)


class ExecutorError(HbsimError, RuntimeError):
    """What runs the trials is lost; the study stands in its journal, and can be resumed.

    Attributes
    ----------
    executor : str
        What was lost: ``"the Dask scheduler at tls://HOST:8786"``.
    problem : str
        The sign of the loss.
    """

    def __init__(self, executor: str, problem: str) -> None:
        self.executor = executor
        self.problem = problem
        super().__init__(f"{executor}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.executor, self.problem)


class OutputError(HbsimError, OSError):
    """Results that cannot be written or read.

    Attributes
    ----------
    path : str
        The file or folder.
    problem : str
        What is wrong, and a remedy.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.problem)


class HbsimWarning(UserWarning):
    """Something was done that the user may not expect, and what it was. Its text steers no terminal."""

    def __str__(self) -> str:
        return shown(super().__str__())
