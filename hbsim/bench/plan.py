"""What is to be compared: variants, seeds, learning curves and a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from hbsim.bench.variants import Variant
from hbsim.core.streams import check_seed
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.searchers import ends
from hbsim.simulation import Cluster, Result
from hbsim.study import simulate
from hbsim.surrogates import Surrogate

__all__ = ["Plan"]

INSTANT: Final = 1e-300  # seconds: a study that starts, and is cut before anything can be reported


@dataclass(frozen=True)
class Plan:
    """A grid of studies: every variant with every seed.

    Attributes
    ----------
    variants : tuple of Variant
        At least one.
    surrogate : callable
        Makes the learning curves; called once in each process.
    seeds : range
        The seeds of the studies and of their schedulers, the same for all variants.
    cluster : Cluster
        Where they run.
    max_time : float or None
        Simulated seconds at which each study is cut.
    replace : bool
        Whether rows of a table may come again.

    Raises
    ------
    ParameterError
        There is no variant or seed, a study would have no end, or variants have another `max_t`.
    """

    variants: tuple[Variant, ...]
    surrogate: Callable[[], Surrogate]
    seeds: range
    cluster: Cluster = field(default_factory=Cluster)
    max_time: float | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        if not self.variants:
            raise ParameterError("variants", (), "must be at least one")
        for variant in self.variants:
            if variant.checked().max_t != self.max_t:
                rule = f"max_t must be {self.max_t:g}, as in the first variant: all are scored there"
                raise ParameterError("variant", variant.label, rule)
        if not self.seeds:
            raise ParameterError("seeds", len(self.seeds), "must be a whole number of at least 1")
        check_seed(self.seeds[0])
        open_ = [v for v in self.variants if v.options.get("num_trials") is None]
        endless = [v.label for v in open_ if not ends(v.searcher)]
        if self.max_time is None and endless:
            rule = f"is needed, or max_time: without either {endless[0]} has no end"
            raise ParameterError("num_trials", None, rule)

    @property
    def max_t(self) -> float:
        """R, where all variants are scored."""
        return self.variants[0].checked().max_t

    @property
    def cells(self) -> list[tuple[int, int]]:
        """All (variant's index, seed), seed by seed: what is finished first has all variants."""
        return [(variant, seed) for seed, variant in product(self.seeds, range(len(self.variants)))]

    def run(self, surrogate: Surrogate, variant: int, seed: int) -> Result:
        """Simulate one study."""
        return self._simulate(surrogate, variant, seed, self.max_time)

    def check(self, surrogate: Surrogate) -> list[str]:
        """Start a study of every variant and cut it at once, so that what is wrong shows before any work.

        Returns
        -------
        list of str
            What every study would warn of, each warning once, with the variants that it is about.

        Raises
        ------
        ParameterError
            Options do not fit together, or not with the learning curves.
        SurrogateError
            The learning curves cannot be used.
        """
        said: dict[str, list[str]] = {}
        for index, variant in enumerate(self.variants):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", HbsimWarning)
                self._simulate(surrogate, index, self.seeds[0], INSTANT)
            for warning in caught:
                said.setdefault(str(warning.message), []).append(variant.label)
        return [f"{'; '.join(labels)}: {message}" for message, labels in said.items()]

    def _simulate(self, surrogate: Surrogate, variant: int, seed: int, max_time: float | None) -> Result:
        chosen = self.variants[variant]
        return simulate(
            chosen.make(surrogate.mode, seed),
            surrogate,
            seed=seed,
            cluster=self.cluster,
            searcher=chosen.searcher,
            max_time=max_time,
            replace=self.replace,
            search_options=chosen.search_options,
        )
