"""Random effects on trials: start-up, delays and checkpoint sizes that are distributions.

Numbers are drawn for a block of trials at a time, and depend on trial, level and attempt, never on the order
of events: they are the same under every scheduler.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import nan
from typing import Final

import numpy as np

from hbsim.core.streams import BLOCK, Purpose, block_generator
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.distributions import Distribution
from hbsim.surrogates.protocol import Floats

PLACES: Final = 1 << 16
KEPT: Final = 1024  # blocks of draws for retries, of 32 KiB each; others are drawn again


class RandomEffect:
    """One parameter: a number, or a draw for each trial and part.

    Attributes
    ----------
    constant : float
        The number; NaN where it is drawn.
    is_random : bool
        Whether the parameter is random.
    width : int
        How many parts the first draws of a trial have: levels.
    first : array of float
        Flat, trial * width + part: these draws, of whole blocks; empty where nothing is drawn.
    """

    def __init__(
        self, parameter: float | str | Distribution, seed: int, purpose: Purpose, width: int
    ) -> None:
        self._distribution = parameter if isinstance(parameter, Distribution) else None
        self.is_random = self._distribution is not None
        self.constant = float(parameter) if isinstance(parameter, float | int) else nan
        self.width = width
        self.first = array("d")
        self._seed = seed
        self._purpose = purpose
        self._later: dict[tuple[int, int], array[float]] = {}

    def __call__(self, trial: int, part: int = 0) -> float:
        """Return the number for a trial's part."""
        if not self.is_random:
            return self.constant
        if part < self.width:
            self.grow(trial)
            return self.first[trial * self.width + part]
        place = (trial // BLOCK, part)
        block = self._later.get(place)
        if block is None:
            block = array("d", self._draw(*place).tobytes())
            keep_block(self._later, place, block)
        return block[trial % BLOCK]

    def grow(self, trial: int) -> None:
        """Make sure that `first` holds a trial."""
        if self.is_random:
            while trial * self.width >= len(self.first):
                block = len(self.first) // (self.width * BLOCK)
                parts = [self._draw(block, part) for part in range(self.width)]
                self.first.frombytes(np.stack(parts, axis=1).tobytes())

    def _draw(self, block: int, part: int) -> Floats:
        assert self._distribution is not None
        places = block_generator(self._seed, self._purpose, block, part).integers(0, PLACES, BLOCK)
        return quantiles(self._distribution)[places]


def keep_block(
    blocks: dict[tuple[int, int], array[float]], place: tuple[int, int], block: array[float]
) -> None:
    """Keep a block of draws, and no more than `KEPT`: the oldest goes."""
    if len(blocks) >= KEPT:
        del blocks[next(iter(blocks))]
    blocks[place] = block


@lru_cache(maxsize=64)
def quantiles(distribution: Distribution) -> Floats:
    """Return the quantiles in the middle of `PLACES` equal parts: millions of draws out of them are quick."""
    return distribution.quantile((np.arange(PLACES) + 0.5) / PLACES)


class RandomEffects:
    """Start-up, delays and checkpoints of all trials of a study.

    Parameters
    ----------
    cluster : Cluster
        Its parameters.
    seed : int
        Of the study.
    width : int
        How many levels the scheduler has.

    Attributes
    ----------
    first_startup : RandomEffect
        Of a trial's first attempt, by the level (an index) of the job's first milestone.
    report_delay, decision_delay : RandomEffect
        By the milestone's level.
    size : RandomEffect
        GB of a checkpoint.
    """

    def __init__(self, cluster: Cluster, seed: int, width: int) -> None:
        self._width = width
        self.first_startup = RandomEffect(cluster.startup, seed, Purpose.STARTUP, width)
        self.report_delay = RandomEffect(cluster.report_delay, seed, Purpose.REPORT, width)
        self.decision_delay = RandomEffect(cluster.decision_delay, seed, Purpose.DECISION, width)
        self.size = RandomEffect(cluster.checkpoint_size, seed, Purpose.CHECKPOINT, 1)

    def startup(self, trial: int, at: int, attempt: int) -> float:
        """Return the seconds of start-up of the job whose first milestone is the level of index `at`."""
        return self.first_startup(trial, attempt * self._width + at)

    def grow(self, count: int) -> None:
        """Draw what the first `count` trials need."""
        for effect in (self.first_startup, self.report_delay, self.decision_delay, self.size):
            effect.grow(count - 1)

    @property
    def no_delays(self) -> bool:
        """Whether reports and answers take no time."""
        return self.report_delay.constant == 0.0 == self.decision_delay.constant
