"""What a trial meets on the cluster, where its parameters are distributions; drawn a block of trials at a time.

Everything is keyed by what it is for (a trial, a level, an attempt), never by the order of events, so
that it is the same under every scheduler.
"""

from __future__ import annotations

from hbsim.core.streams import BLOCK, Purpose, block_generator
from hbsim.simulation.cluster import Cluster
from hbsim.simulation.distributions import Distribution

__all__ = ["Luck"]


class Drawn:
    """One parameter: a number, or a draw for each (trial, part).

    Attributes
    ----------
    constant : float
        The number; NaN where it is drawn.
    """

    def __init__(self, parameter: float | Distribution, seed: int, purpose: Purpose) -> None:
        self.drawn = None if isinstance(parameter, float | int) else parameter
        self.constant = float("nan") if self.drawn is not None else float(parameter)  # type: ignore[arg-type]
        self._seed = seed
        self._purpose = purpose
        self._blocks: dict[tuple[int, int], list[float]] = {}

    def __call__(self, trial: int, part: int = 0) -> float:
        if self.drawn is None:
            return self.constant
        place = (trial // BLOCK, part)
        block = self._blocks.get(place)
        if block is None:
            uniform = block_generator(self._seed, self._purpose, *place).random(BLOCK)
            block = self._blocks[place] = self.drawn.quantile(uniform).tolist()
        return block[trial % BLOCK]


class Luck:
    """Start-up, delays and checkpoints of all trials of a study.

    Parameters
    ----------
    cluster : Cluster
        Its cluster.
    seed : int
        Of the study.
    width : int
        How many levels the scheduler has.
    """

    def __init__(self, cluster: Cluster, seed: int, width: int) -> None:
        self._width = width
        self._startup = Drawn(cluster.startup, seed, Purpose.STARTUP)  # type: ignore[arg-type]
        self.report_delay = Drawn(cluster.report_delay, seed, Purpose.REPORT)  # type: ignore[arg-type]
        self.decision_delay = Drawn(cluster.decision_delay, seed, Purpose.DECISION)  # type: ignore[arg-type]
        self.size = Drawn(cluster.checkpoint_size, seed, Purpose.CHECKPOINT)  # type: ignore[arg-type]

    def startup(self, trial: int, at: int, attempt: int) -> float:
        """Return the seconds of start-up of the job whose first milestone is the level of index `at`."""
        return self._startup(trial, attempt * self._width + at)

    @property
    def constant_startup(self) -> float:
        """The seconds of every start-up; NaN where they are drawn."""
        return self._startup.constant

    @property
    def no_delays(self) -> bool:
        """Whether reports and answers take no time."""
        return self.report_delay.constant == 0.0 == self.decision_delay.constant
