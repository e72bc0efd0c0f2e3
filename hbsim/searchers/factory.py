"""Searchers by name."""

from __future__ import annotations

from typing import Final

from hbsim.core.space import Space
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher
from hbsim.searchers.rows import RowSearcher

__all__ = ["SEARCHERS", "check_searcher", "make_searcher"]

SEARCHERS: Final = ("random",)
_METHODS: Final = ("suggest", "model_based")
_TOLD: Final = ("on_start", "on_report", "on_end")


def make_searcher(
    name: str, space: Space | None, rows: int | None, seed: int, replace: bool = False
) -> Searcher:
    """Make a searcher.

    Parameters
    ----------
    name : str
        ``"random"``.
    space : Space or None
        The search space; needed where there are no rows.
    rows : int or None
        How many configurations the surrogate has; None: any point of the space.
    seed : int
        0 or more.
    replace : bool
        Whether rows may come again; without rows it has no effect.

    Returns
    -------
    searcher : Searcher
        A `RowSearcher` where `rows` is given, else a `RandomSearcher`.

    Raises
    ------
    ParameterError
        The name is unknown, there are neither rows nor a space, or a parameter breaks a rule.
    """
    _check_name(name)
    if rows is not None:
        return RowSearcher(rows, seed, replace)
    if space is None:
        raise ParameterError("space", None, "a search space is needed where a surrogate has no rows")
    return RandomSearcher(space, seed)


def check_searcher(searcher: object, resumes: bool = False) -> None:
    """Check a searcher: None, a name, or an object that has what the protocol asks for.

    Parameters
    ----------
    searcher : object
        What somebody gave for one.
    resumes : bool
        Whether the study may be resumed, so that it has to have `resume`.

    Raises
    ------
    ParameterError
        It is none.
    """
    if searcher is None:
        return
    if isinstance(searcher, str):
        _check_name(searcher)
        return
    if isinstance(searcher, type):
        raise ParameterError("searcher", searcher, f"is a class; give an object, {searcher.__name__}(...)")
    needed = [
        *_METHODS,
        *(["resume"] if resumes else []),
        *(_TOLD if getattr(searcher, "listens", True) else ()),
    ]
    if missing := [name for name in needed if not hasattr(searcher, name)]:
        rule = f"must be a name, or a Searcher; it has no {', '.join(missing)}"
        raise ParameterError("searcher", searcher, rule)


def _check_name(name: object) -> None:
    if name not in SEARCHERS:
        rule = f"must be one of {', '.join(SEARCHERS)}.{nearest(str(name), SEARCHERS)}"
        raise ParameterError("searcher", name, rule)
