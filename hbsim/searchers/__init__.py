"""Searchers: they choose the configurations of new trials."""

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
from hbsim.searchers.first import FirstPoints
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher
from hbsim.searchers.rows import RowSearcher
from hbsim.searchers.task import Task

__all__ = [
    "SEARCHERS",
    "FirstPoints",
    "RandomSearcher",
    "RowSearcher",
    "Searcher",
    "Task",
    "about",
    "check_searcher",
    "ends",
    "learns",
    "limit_trials",
    "make_searcher",
    "takes",
]
