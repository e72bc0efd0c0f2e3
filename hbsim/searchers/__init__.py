"""Searchers, which choose the configurations of new trials."""

from hbsim.searchers.factory import (
    SEARCHERS,
    about,
    check_searcher,
    ends,
    learns,
    limit_trials,
    make_searcher,
    takes,
)
from hbsim.searchers.points_to_evaluate import FirstPoints
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher, RowSearcher
from hbsim.searchers.task import SearchTask

__all__ = [
    "SEARCHERS",
    "FirstPoints",
    "RandomSearcher",
    "RowSearcher",
    "SearchTask",
    "Searcher",
    "about",
    "check_searcher",
    "ends",
    "learns",
    "limit_trials",
    "make_searcher",
    "takes",
]
