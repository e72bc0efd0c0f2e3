"""The construction of searchers by name, and their options."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import numpy as np

from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning, ParameterError, nearest
from hbsim.searchers.points_to_evaluate import FirstPoints, first_points
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.task import SearchTask, constraint_of

# The module and name of what makes a searcher of a task; the searcher's options are its other parameters.
# Of a kind ``base:NAME`` the function makes, of what stands for NAME, the function that does so.
KINDS: Final = {
    "random": ("hbsim.searchers.random", "make_random"),
    "grid": ("hbsim.searchers.grid", "GridSearcher"),
    "sobol": ("hbsim.searchers.qmc", "make_sobol"),
    "lhs": ("hbsim.searchers.qmc", "make_lhs"),
    "tpe": ("hbsim.searchers.tpe", "make_tpe"),
    "bohb": ("hbsim.searchers.tpe", "make_bohb"),
    "gp": ("hbsim.searchers.gp", "GaussianProcess"),
    "mobster": ("hbsim.searchers.gp", "Mobster"),
    "optuna:NAME": ("hbsim.searchers.optuna_sampler", "SamplerMaker"),
}
SEARCHERS: Final = tuple(KINDS)
COMMON: Final = ("points_to_evaluate", "constraints")  # options of all of them
BLIND: Final = ("random", "grid", "sobol", "lhs")  # those that do not learn
_METHODS: Final = ("suggest", "model_based")
_REPORTS: Final = ("register_pending", "observe", "forget")


def make_searcher(name: str, task: SearchTask, options: Mapping[str, object] | None = None) -> Searcher:
    """Make a searcher.

    Parameters
    ----------
    name : str
        One of `SEARCHERS`, where NAME stands for the name of a class of `optuna.samplers`.
    task : SearchTask
        What it searches over.
    options : mapping, optional
        Its options by name. All take ``points_to_evaluate``, a list of configurations by name that come first
        (what one leaves out has its default), and ``constraints``, a function of a configuration that returns
        whether it may be tried, or ``"FILE.py:NAME"``. Model-based ones take ``maxt_pending``: whether a new
        trial is pending at R as well.

    Returns
    -------
    searcher : Searcher
        It suggests rows where the task has rows, else points.

    Raises
    ------
    ParameterError
        The name or an option is unknown, an option breaks its rule, the searcher cannot take the task, or
        needs a package that is not installed.
    """
    check_name(name)
    make = _maker(name)
    given = check_options(options)
    _check_known(name, make, given)
    constraint, points = given.pop("constraints", None), given.pop("points_to_evaluate", None)
    maxt_pending = given.pop("maxt_pending", False)
    if not isinstance(maxt_pending, bool):
        raise ParameterError("search_options.maxt_pending", maxt_pending, "must be True or False")
    if constraint is not None:
        task = _with_constraint(task, constraint)
    searcher = make(task, **given)
    if points is None and not maxt_pending:
        return searcher
    return first_points(searcher, task, [] if points is None else points, maxt_pending or None)


def check_searcher(
    searcher: object, options: Mapping[str, object] | None = None, resumes: bool = False
) -> None:
    """Check a searcher: None, a name, or an object that has what the protocol asks for.

    Parameters
    ----------
    searcher : object
        What somebody gave for one.
    options : mapping, optional
        Options for it; only one by name takes any.
    resumes : bool
        Whether the study may be resumed, so that it has to have `resume`.

    Raises
    ------
    ParameterError
        It is none, or the options are none.
    """
    given = check_options(options)
    if searcher is None:
        searcher = "random"
    if isinstance(searcher, str):
        check_name(searcher)
        _check_known(searcher, _maker(searcher), given)
        return
    if given:
        raise ParameterError("search_options", given, "are for searchers by name; this one is made already")
    if isinstance(searcher, type):
        raise ParameterError("searcher", searcher, f"is a class; give an object, {searcher.__name__}(...)")
    needed = [
        *_METHODS,
        *(["resume"] if resumes else []),
        *(_REPORTS if getattr(searcher, "listens", True) else ()),
    ]
    if missing := [name for name in needed if not hasattr(searcher, name)]:
        rule = f"must be a name, or a Searcher; it has no {', '.join(missing)}"
        raise ParameterError("searcher", searcher, rule)


def limit_trials(scheduler: Scheduler, searcher: Searcher) -> None:
    """Have a study end when a searcher that has so many configurations is through.

    Warns
    -----
    HbsimWarning
        The study ends before: it tries the first part of a grid only.
    """
    limit = getattr(searcher, "limit", None)
    if limit is None:
        return
    most, within = scheduler.options.num_trials, _within(searcher)
    if most is not None and most < limit and not getattr(within, "shuffle", True):
        text = f"the study starts {most:,} trials, the first of a grid of {limit:,} configurations: "
        warnings.warn(
            HbsimWarning(f"{text}num_trials={limit} tries all, shuffle=True any of them"), stacklevel=4
        )
    scheduler.limit_trials(limit)


def _within(searcher: Searcher) -> Searcher:
    """Return the searcher behind queues."""
    while isinstance(searcher, FirstPoints):
        searcher = searcher.searcher
    return searcher


def about(searcher: Searcher) -> str:
    """Return in a few words how large a grid is; an empty text of other searchers."""
    within = _within(searcher)
    values: Mapping[str, int] | None = getattr(within, "values", None)
    limit: int | None = getattr(within, "limit", None)
    if limit is None or values is None:
        return ""
    size = getattr(within, "size", limit)
    of = "" if size == limit else f", of {size:,} without the constraint"
    product = " x ".join(f"{name} {n}" for name, n in values.items())
    scope = ", where they are active" if within.space.conditional else ""  # type: ignore[attr-defined]
    return f"grid of {limit:,} configurations{of}: {product}{scope}"


def check_name(name: object) -> None:
    """Check that it is the name of a searcher.

    Raises
    ------
    ParameterError
        It is none.
    """
    if not _is_known(name):
        rule = f"must be one of {', '.join(SEARCHERS)}.{nearest(str(name), SEARCHERS)}"
        raise ParameterError("searcher", name, rule)


def _is_known(name: object) -> bool:
    base, _, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    return name in SEARCHERS or bool(rest and f"{base}:NAME" in SEARCHERS)


def _maker(name: str) -> Callable[..., Searcher]:
    """Return the function that makes a searcher of a task."""
    base, _, rest = name.partition(":")
    module, made = KINDS[f"{base}:NAME" if rest else name]
    function = getattr(importlib.import_module(module), made)
    make: Callable[..., Searcher] = function(rest) if rest else function
    return make


def learns(name: str | None) -> bool:
    """Return whether a searcher that has this name here is model-based; None is random search."""
    return name is not None and name not in BLIND and _is_known(name)


def ends(searcher: object) -> bool:
    """Return whether a searcher, by name or made, has so many configurations and no more."""
    return searcher == "grid" if isinstance(searcher, str) else getattr(searcher, "limit", None) is not None


def takes(name: str | None) -> tuple[str, ...]:
    """Return the options that the searcher of this name takes; None is random search.

    Raises
    ------
    ParameterError
        There is no such searcher.
    """
    check_name(name := name or "random")
    return _known(name, _maker(name))


def _known(name: str, make: Callable[..., Searcher]) -> tuple[str, ...]:
    own = list(inspect.signature(make).parameters)[1:]  # the first one is the task
    return (*COMMON, *(["maxt_pending"] if learns(name) else []), *own)


def _check_known(name: str, make: Callable[..., Searcher], options: Mapping[str, object]) -> None:
    """Check that all options are some of a searcher's."""
    known = _known(name, make)
    for option, value in options.items():
        if option not in known:
            rule = f"is no option of the searcher {name}; it takes {', '.join(known)}."
            raise ParameterError(f"search_options.{option}", value, rule + nearest(option, known))


def check_options(options: object) -> dict[str, Any]:
    """Return the options of a searcher as a dict.

    Raises
    ------
    ParameterError
        They are no mapping with names.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ParameterError("search_options", options, "must be a dict of options by name")
    return dict(options)


def _with_constraint(task: SearchTask, constraint: object) -> SearchTask:
    found = constraint_of(constraint)
    if task.space is None:
        rule = "needs configurations by name: the learning curves have no search space"
        raise ParameterError("search_options.constraints", constraint, rule)
    return dataclasses.replace(task, constraint=found)


def plain_options(options: Mapping[str, object] | None) -> dict[str, object]:
    """Return options in plain JSON types; a function by its name, and without its file's folder.

    Raises
    ------
    ParameterError
        A value is neither a function nor of a JSON type.
    """
    plain = {name: _plain(f"search_options.{name}", value) for name, value in (options or {}).items()}
    if isinstance(constraint := plain.get("constraints"), str):
        plain["constraints"] = constraint.replace("\\", "/").rpartition("/")[2]
    return plain


def _plain(field: str, value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(field, item) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(field, item) for item in value]
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__name__))
    raise ParameterError(field, value, "must be a number, text, a list or a dict of these, or a function")
