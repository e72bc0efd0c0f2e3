"""Execute a training function's file for its definitions, and no further than the study that it starts."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hbsim.errors import ParameterError
from hbsim.source import source_spec

__all__ = [
    "Definitions",
    "DefinitionsOnly",
    "definitions_only",
    "execute",
    "file_spec",
    "loading",
    "stop_if_loading",
]

_loading = False


class DefinitionsOnly(BaseException):
    """Ends the execution of a file where it would start a study; no Exception, so that nothing catches it."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """What a file has defined.

    Attributes
    ----------
    module : ModuleType
        The file as a module.
    stopped : bool
        Whether its execution ended where it started a study.
    """

    module: ModuleType
    stopped: bool


def loading() -> bool:
    """Whether a file is being executed for its definitions only."""
    return _loading


def stop_if_loading() -> None:
    """Leave the file that is being executed for its definitions; what starts a study calls this first.

    Raises
    ------
    DefinitionsOnly
        If a file is being executed for its definitions.
    """
    if _loading:
        raise DefinitionsOnly


@contextmanager
def definitions_only() -> Iterator[None]:
    """Let nothing in this block start a study."""
    global _loading
    outer, _loading = _loading, True
    try:
        yield
    finally:
        _loading = outer


def file_spec(path: Path) -> importlib.machinery.ModuleSpec:
    """Return how to execute a file as a module named like it; another one if that name is taken."""
    name = path.stem
    other = sys.modules.get(name)
    if other is not None and getattr(other, "__file__", None) != str(path):
        name = f"{name}_of_study"
    spec = source_spec(name, path)
    if spec is None:
        raise ParameterError("train", str(path), "must be a Python file")
    return spec


def execute(spec: importlib.machinery.ModuleSpec, label: str) -> Definitions:
    """Execute a module anew, and keep it as loaded.

    Parameters
    ----------
    spec : ModuleSpec
        Which.
    label : str
        The training function, for errors.

    Raises
    ------
    ParameterError
        It raises something; with the line.
    """
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    before, stopped = sys.modules.get(spec.name), False
    sys.modules[spec.name] = module  # dataclasses and pickling look a module up by its name
    try:
        with definitions_only(), redirect_stdout(sys.stderr):  # stdout is for results
            spec.loader.exec_module(module)
    except DefinitionsOnly:
        stopped = True
    except (Exception, SystemExit) as error:
        _put_back(spec.name, before)
        rule = f"the file must load without an error; {_describe(error, spec.origin)}"
        raise ParameterError("train", label, rule) from error
    parent, _, child = spec.name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return Definitions(module, stopped)


def _put_back(name: str, module: ModuleType | None) -> None:
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def _describe(error: BaseException, origin: str | None) -> str:
    """One line: the error, and the innermost line of the file."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return f"{text} (line {lines[-1]})" if lines else text
