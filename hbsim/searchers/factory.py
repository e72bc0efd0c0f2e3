"""Searchers by name."""

from __future__ import annotations

from typing import Final

from hbsim.core.space import Space
from hbsim.errors import ParameterError, nearest
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher
from hbsim.searchers.rows import RowSearcher

__all__ = ["SEARCHERS", "make_searcher"]

SEARCHERS: Final = ("random",)


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
    if name not in SEARCHERS:
        rule = f"must be one of {', '.join(SEARCHERS)}.{nearest(str(name), SEARCHERS)}"
        raise ParameterError("searcher", name, rule)
    if rows is not None:
        return RowSearcher(rows, seed, replace)
    if space is None:
        raise ParameterError("space", None, "a search space is needed where a surrogate has no rows")
    return RandomSearcher(space, seed)
