"""The module `searcher` of AutoTorch: ``import hbsim as at``, ``at.searcher.RandomSearcher(train_fn.cs)``."""

from hbsim.autotorch.searchers import BaseSearcher, BayesOptSearcher, GridSearcher, RandomSearcher

__all__ = ["BaseSearcher", "BayesOptSearcher", "GridSearcher", "RandomSearcher"]
