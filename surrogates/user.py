"""Users' own surrogates: loaded from a Python file, completed, and checked at each call."""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import SurrogateError, brief, nearest
from hbsim.source import load_module
from hbsim.surrogates.protocol import Floats, Ints, SurrogateBase
from hbsim.surrogates.table import LONGEST

_PLACES: Final = re.compile(r" at 0x[0-9a-fA-F]+|\b_hbsim_user_[0-9a-f]+\.")
_NOTHING: Final = object()
_ROWS: Final = 10**8  # the most rows whose order is drawn at once
_MOST: Final = 2.0**53  # the largest resource: larger whole numbers are not exact, and sums have room
_REQUIRED: Final = ("metric", "mode", "max_resource", "evaluate")


class Checked(SurrogateBase):
    """A wrapper of any object with `evaluate`, which turns faults of the object into a SurrogateError.

    It needs `metric`, `mode`, `max_resource` and `evaluate`, and `space` or `rows`. The rest of
    `Surrogate` has defaults: `name` (the class), `resources` (None: any level), and no `optimum`, no
    `test_values` and no `points`.

    Parameters
    ----------
    wrapped : object
        The user's surrogate.
    name : str, optional
        The name to use if the object has no `name`.

    Raises
    ------
    SurrogateError
        An attribute is missing or invalid; later, a call raises or returns invalid values.
    """

    def __init__(self, wrapped: object, name: str | None = None) -> None:
        self.wrapped = wrapped
        self.name = name or type(wrapped).__name__  # the name in errors until the object's own is known
        self.name = self._text("name", self.name)
        self._require_attributes()
        self.metric = self._text("metric", "")
        self.mode: Mode = self._read_mode()
        self.max_resource = self._number("max_resource")
        if self.max_resource > _MOST:
            raise self._error(f"max_resource is {self.max_resource:g}: must be at most {_MOST:g}")
        self.resources = self._read_resources()
        self.rows = self._read_rows()
        self.space = self._read_space()

    @property
    def points(self) -> Floats | None:
        """The rows as points of the unit cube of its space, shape (rows, d); None without `points`.

        Raises
        ------
        SurrogateError
            The points have another shape, or lie outside the cube.
        """
        given = self._get("points")
        if given is None or self.rows is None or self.space is None:
            return None
        points = self._array("points", given, (self.rows, self.space.dimension))
        if not ((points >= 0.0) & (points <= 1.0)).all():
            raise self._error("points must lie in [0, 1]")
        return points

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the wrapped surrogate's metric and seconds, shapes (n, m), checked.

        Raises
        ------
        SurrogateError
            The call raised, did not return two (n, m) arrays of numbers, or returned time that is no
            number, is negative or goes back.
        """
        result = self._call("evaluate", configurations, levels)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise self._error(f"evaluate must return values and seconds, got {type(result).__name__}")
        shape = (len(configurations), len(levels))
        values = self._array("values", result[0], shape)
        seconds = self._array("seconds", result[1], shape)
        self._check_time(seconds, levels)
        return values, seconds

    def optimum(self, level: float) -> float | None:
        """Return the wrapped surrogate's optimum, None if it has none."""
        if self._get("optimum") is None:
            return None
        best = self._call("optimum", level)
        if best is None:
            return None
        number = _finite(best)
        if number is None:
            raise self._error(f"optimum must return a finite number or None, got {brief(best)}")
        return number

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the wrapped surrogate's test values, shape (n,), None if it has none."""
        if self._get("test_values") is None:
            return None
        tests = self._call("test_values", configurations, level)
        return None if tests is None else self._array("test_values", tests, (len(configurations),))

    def _error(self, problem: str) -> SurrogateError:
        return SurrogateError(self.name, placeless(problem))

    def _require_attributes(self) -> None:
        missing = [field for field in _REQUIRED if self._get(field, _NOTHING) is _NOTHING]
        if missing:
            names = [n for n in dir(type(self.wrapped)) if not n.startswith("_")]
            plural = "s" if len(missing) > 1 else ""
            near = nearest(missing[0], names)
            raise self._error(f"has no attribute{plural} {', '.join(missing)}.{near}")
        if not callable(self._get("evaluate")):
            raise self._error("evaluate must be a method: evaluate(configurations, levels)")

    def _read_mode(self) -> Mode:
        mode = self._get("mode")
        if isinstance(mode, str) and mode in ("max", "min"):
            return "max" if mode == "max" else "min"
        raise self._error(f"mode is {brief(mode)}: must be 'max' or 'min'")

    def _get(self, field: str, default: object = None) -> object:
        try:
            return getattr(self.wrapped, field, default)
        except Exception as error:
            raise self._error(f"{field} raised {describe_exception(error)}") from error

    def _text(self, field: str, default: str) -> str:
        text = self._get(field, default)
        if not isinstance(text, str):
            raise self._error(f"{field} is {brief(text)}: must be text")
        return text

    def _number(self, field: str) -> float:
        value = self._get(field)
        number = _finite(value)
        if number is None or number <= 0:
            raise self._error(f"{field} is {brief(value)}: must be a finite number above 0")
        return number

    def _read_resources(self) -> tuple[float, ...] | None:
        given = self._get("resources")
        if given is None:
            return None
        try:
            levels = tuple(float(level) for level in given)  # type: ignore[attr-defined]
        except Exception:
            raise self._error(
                f"resources is {brief(given)}: must be numbers, or None for any level"
            ) from None
        ascending = all(a < b for a, b in zip((0.0, *levels), levels, strict=False))
        if not ascending or not levels or levels[-1] != self.max_resource:
            rule = f"must ascend from above 0 to max_resource={self.max_resource:g}"
            raise self._error(f"resources is {brief(given)}: {rule}")
        return levels

    def _read_rows(self) -> int | None:
        rows = self._get("rows")
        if rows is None:
            return None
        if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or not 2 <= rows <= _ROWS:
            raise self._error(f"rows is {brief(rows)}: must be a whole number, 2 to {_ROWS:,}, or None")
        return int(rows)

    def _read_space(self) -> Space | None:
        space = self._get("space")
        if space is not None and not isinstance(space, Space):
            raise self._error(f"space is {brief(space)}: must be an hbsim Space, or None")
        if space is None and self.rows is None:
            raise self._error("needs a space (its parameters), or rows (how many configurations it has)")
        return space

    def _call(self, method: str, *arguments: object) -> object:
        try:
            return getattr(self.wrapped, method)(*arguments)
        except Exception as error:
            raise self._error(f"{method} raised {describe_exception(error)}") from error

    def _array(self, what: str, given: object, shape: tuple[int, ...]) -> Floats:
        try:
            array = np.asarray(given)
            if array.dtype.kind not in "biufO":
                raise TypeError
            array = array.astype(np.float64)
        except Exception:  # of a user's class
            raise self._error(f"{what} must be numbers") from None
        if array.shape != shape:
            raise self._error(f"{what} must have the shape {shape}, got {array.shape}")
        return array

    def _check_time(self, seconds: Floats, levels: Floats) -> None:
        if not seconds.size:
            return
        if not (seconds <= LONGEST).all() or (seconds[:, 0] < 0).any():
            raise self._error(f"seconds must be finite numbers, 0 or more, and {LONGEST:g} at most")
        back = seconds[:, 1:] < seconds[:, :-1]
        if back.any():
            row, column = (int(i) for i in np.argwhere(back)[0])
            now, then = seconds[row, column : column + 2].tolist()
            span = f"from {now:g} at level {levels[column]:g} to {then:g} at level {levels[column + 1]:g}"
            raise self._error(f"seconds must not go back along a row: {span}")


def _finite(value: object) -> float | None:
    """Return a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if np.isfinite(number) else None


def placeless(text: str) -> str:
    """Remove from a text the addresses of objects in memory, and the path of a user's file.

    ``<_hbsim_user_f11fcc2d0acc.Crash object at 0x7f...>`` becomes ``<Crash object>``, in every process.
    """
    return _PLACES.sub("", text)


def describe_exception(error: BaseException) -> str:
    """Return an exception in one line: its type, its text, and the file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = placeless(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}"


def load_file(spec: str) -> Checked:
    """Import ``FILE.py:NAME``; a class is made without arguments, an object is used as it is.

    Raises
    ------
    SurrogateError
        The file does not exist or raises, has no such name, or the name is no surrogate.
    """
    path, _, name = spec.rpartition(":")
    module = _import(Path(path))
    if not hasattr(module, name):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise SurrogateError(path, f"has no {name!r}.{nearest(name, names)}")
    found = getattr(module, name)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise SurrogateError(path, f"{name}() raised {describe_exception(error)}") from error
    return Checked(found, name=name)


def _import(path: Path) -> ModuleType:
    """Import the file as a separate module, with its folder first on the import path meanwhile."""
    if not os.path.isfile(path):
        raise SurrogateError(str(path), "no such file")
    if path.suffix != ".py":
        raise SurrogateError(str(path), "cannot be imported: give a .py file")
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        return load_module("_hbsim_user", path)
    except (Exception, SystemExit) as error:
        raise SurrogateError(str(path), f"raised {describe_exception(error)}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
