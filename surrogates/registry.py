"""The registry of surrogates, which loads learning curves from a name, a path or an object."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.surrogates import fitted
from hbsim.surrogates.options import Censored, Parsers, parse_options
from hbsim.surrogates.protocol import Surrogate
from hbsim.surrogates.synthetic import Ideal, Synthetic
from hbsim.surrogates.table import SHIPPED, SUFFIXES, Table
from hbsim.surrogates.user import Checked, load_file
from hbsim.surrogates.wrapper import Wrapper
from hbsim.surrogates.wrappers import wrap_all
from hbsim.surrogates.yahpo import PREFIX, Yahpo

_SHIPPED: Final = tuple(sorted((*SHIPPED, "ideal", "synthetic")))
_TABLES: Final = ("numpy", "pandas", "polars")
_YAHPO: Final = ("metric", "mode", "test_metric")  # the options of recorded curves that YAHPO takes
_SYNTHETIC: Final[Parsers] = {
    "family": str,
    "max_resource": float,
    "noise": float,
    "early_rank": float,
    "divergence": float,
    "cost_spread": float,
    "seconds": float,
    "mode": str,
    "seed": int,
}
_IDEAL: Final[Parsers] = {"max_resource": float, "mode": str, "seconds": float}


def available() -> list[str]:
    """Return the names of the surrogates that ship with hbsim."""
    return list(_SHIPPED)


def load(
    surrogate: str | os.PathLike[str] | object,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    time: str | None = None,
    seconds_per_unit: float | None = None,
    censored: Censored | None = None,
    test_metric: str | None = None,
    first_level: int | None = None,
    yahpo_data: str | os.PathLike[str] | None = None,
    wrap: str | Sequence[str] | None = None,
) -> Surrogate:
    """Load a surrogate.

    Parameters
    ----------
    surrogate : str, path or object
        One of `available()`, ``synthetic`` and ``ideal`` with options if wanted
        (``"synthetic:noise=0.1,seed=3"``); a path to a ``.npz``, ``.csv`` or ``.parquet`` file of
        recorded curves; ``fit:FILE``, a model of such a file (``"fit:pilot.parquet,seed=1"``), as in
        `fit`; ``yahpo:SCENARIO/INSTANCE`` (``"yahpo:lcbench/167168"``); ``FILE.py:NAME``, a
        class (made without arguments) or an object in a file; or an object with `evaluate`.
    metric, mode, time, seconds_per_unit, censored, test_metric, first_level
        For recorded curves only, as in `Table.load` (and `fit`, which needs no `censored` and has no
        `test_metric`); `metric`, `mode` and `test_metric` for yahpo too.
    yahpo_data : path, optional
        For yahpo only: the folder of its files, as in `Yahpo`.
    wrap : sequence of str, optional
        Wrappers around the surrogate, in this order, as in `wrap_all`: ``["noise:std=0.02", "negate"]``.

    Returns
    -------
    surrogate : Surrogate
        A user's own surrogate is wrapped in `Checked`, which adds defaults and checks.

    Raises
    ------
    ParameterError
        There is no such surrogate, or an option is missing, breaks its rule, or belongs to another kind of
        surrogate.
    SurrogateError
        A file or an object cannot be used; the error says why.
    """
    if isinstance(surrogate, os.PathLike):
        surrogate = os.fspath(surrogate)
    options = {
        "metric": metric,
        "mode": mode,
        "time": time,
        "seconds_per_unit": seconds_per_unit,
        "censored": censored,
        "test_metric": test_metric,
        "first_level": first_level,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return wrap_all(_load(surrogate, given, yahpo_data), () if wrap is None else wrap)


def _load(
    surrogate: object, given: Mapping[str, Any], yahpo_data: str | os.PathLike[str] | None
) -> Surrogate:
    """Return a surrogate without wrappers; `given` holds options of recorded curves."""
    text = surrogate if isinstance(surrogate, str) else ""
    yahpo = text.startswith(PREFIX)
    if yahpo_data is not None and not yahpo:
        raise ParameterError("yahpo_data", os.fspath(yahpo_data), f"is for {PREFIX}SCENARIO/INSTANCE")
    if text.startswith(fitted.PREFIX):
        name, seed = fitted.split_name(text.removeprefix(fitted.PREFIX))
        if "test_metric" in given:
            raise ParameterError("test_metric", given["test_metric"], "is not fitted: a fit is of one metric")
        return fitted.fit(name, seed=seed, **given)
    if text in SHIPPED:
        return _recorded(text, given)
    if Path(text).suffix in SUFFIXES:
        return Table.load(text, **given)
    for field, value in given.items():
        if not (yahpo and field in _YAHPO):
            name = text if isinstance(surrogate, str) else type(surrogate).__name__
            raise ParameterError(field, value, f"is for recorded curves; {name} is none")
    if yahpo:
        return Yahpo(text.removeprefix(PREFIX), data=yahpo_data, **given)
    return _named(text) if isinstance(surrogate, str) else _object(surrogate)


def _named(text: str) -> Surrogate:
    name, _, rest = text.partition(":")
    if name == "synthetic":
        return Synthetic(**parse_options(name, rest, _SYNTHETIC))
    if name == "ideal":
        return Ideal(**parse_options(name, rest, _IDEAL))
    path, colon, _ = text.rpartition(":")
    if colon and Path(path).suffix == ".py":
        return load_file(text)
    if Path(text).suffix == ".py":
        raise ParameterError("surrogate", text, "needs the name of a class or object: FILE.py:NAME")
    kinds = f"one of {', '.join(_SHIPPED)}; a {', '.join(SUFFIXES)} file; {fitted.PREFIX}FILE"
    kinds += f"; {PREFIX}SCENARIO/INSTANCE"
    near = nearest(name, _SHIPPED)
    raise ParameterError("surrogate", text, f"is no surrogate: {kinds}; or FILE.py:NAME.{near}")


def _object(surrogate: object) -> Surrogate:
    if isinstance(surrogate, Synthetic | Ideal | Table | fitted.Fitted | Yahpo | Checked | Wrapper):
        return surrogate
    kind = type(surrogate)
    if kind.__module__.partition(".")[0] in _TABLES:
        problem = f"{kind.__name__} is no surrogate: write it to a .parquet or .csv file, and name that"
        raise SurrogateError(kind.__module__.partition(".")[0], problem)
    return Checked(surrogate)


def _recorded(name: str, given: Mapping[str, Any]) -> Table:
    """Return packaged curves; they decide on the metric that the file says, unless another one is named."""
    packaged = files("hbsim.surrogates") / f"{name}.parquet"
    if not packaged.is_file():
        raise SurrogateError(name, f"its file {name}.parquet is missing from this installation")
    with as_file(packaged) as path:
        table = Table.load(path, **given)
    table.name = name
    return table
