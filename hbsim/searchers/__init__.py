"""Searchers: they choose the configurations of new trials."""

from hbsim.searchers.factory import SEARCHERS, check_searcher, make_searcher
from hbsim.searchers.protocol import Searcher
from hbsim.searchers.random import RandomSearcher
from hbsim.searchers.rows import RowSearcher

__all__ = ["SEARCHERS", "RandomSearcher", "RowSearcher", "Searcher", "check_searcher", "make_searcher"]
