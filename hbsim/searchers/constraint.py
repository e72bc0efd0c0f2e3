"""Constraints: functions of a configuration, or where there is one."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError, nearest
from hbsim.searchers.task import Constraint
from hbsim.source import source_spec

__all__ = ["FIELD", "constraint_of", "split_constraint"]

FIELD: Final = "search_options.constraints"


def constraint_of(given: object) -> Constraint:
    """Return a constraint: the function that was given, or the one in a file, ``FILE.py:NAME``.

    Raises
    ------
    ParameterError
        It is neither; or there is no such file, it raises, or has no such function.
    """
    if callable(given):
        return given
    if not isinstance(given, str):
        rule = "must be a function of a configuration, a dict, that returns whether it may be tried"
        raise ParameterError(FIELD, given, rule)
    file, name = split_constraint(given)
    try:
        return _loaded(str(file.resolve()), name)
    except ParameterError as error:
        raise ParameterError(FIELD, given, error.rule) from None


def split_constraint(text: str) -> tuple[Path, str]:
    """Return the file and the name of ``FILE.py:NAME``.

    Raises
    ------
    ParameterError
        It is not of this form, or there is no such file.
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise ParameterError(FIELD, text, "must be a function, or where there is one: FILE.py:NAME")
    if not Path(path).is_file():
        raise ParameterError(FIELD, text, f"there is no file {path}")
    return Path(path), name


@functools.lru_cache(maxsize=64)  # a sweep asks for it once a study
def _loaded(file: str, name: str) -> Constraint:
    """Run a file as a module of its own, and return a function of it."""
    module_name = f"_hbsim_constraints_{hashlib.sha256(file.encode()).hexdigest()[:12]}"
    spec = source_spec(module_name, Path(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(module_name, None)
        raise ParameterError(FIELD, file, f"the file raised {type(error).__name__}: {error}") from error
    names = [n for n, found in vars(module).items() if callable(found) and not n.startswith("_")]
    if name not in names:
        raise ParameterError(FIELD, file, f"the file has no function {name!r}.{nearest(name, names)}")
    function: Constraint = getattr(module, name)
    return function
