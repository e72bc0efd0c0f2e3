"""What a report says of decisions, brackets and time: rows of numbers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BracketRow", "Regrets", "RungRow", "Segment", "Shares", "Timeline"]


@dataclass(frozen=True)
class RungRow:
    """What was decided at a rung, summed over seeds; docs/reference/diagnosis.md defines the terms.

    Attributes
    ----------
    variant : str
        Whose.
    bracket : int
        The bracket; 0 starts at the lowest level.
    level : float
        The rung's level.
    recorded, stopped : int
        Trials that had a value there, and those of them that did not go on.
    better : int
        Of those that did not go on, how many would have ended better at R than the best that did.
    false_promotions : int
        Those that went on without being among as many of the rung's best at R.
    loss : float
        Mean over seeds of the normalised regret that this rung's decisions cost: the best of those recorded
        against the best of those that went on.
    """

    variant: str
    bracket: int
    level: float
    recorded: int
    stopped: int
    better: int
    false_promotions: int
    loss: float


@dataclass(frozen=True)
class Regrets:
    """Where the final regret of a variant came from: four parts, means over seeds, normalised.

    Attributes
    ----------
    variant : str
        Whose.
    sampling : float
        The best of the space against the best trial that was started.
    decisions : float
        That one against the best that early decisions let through.
    unfinished : float
        What failures and the end of the study took on top.
    choice : float
        What was left, against the incumbent that was chosen; can be negative, where a trial that was stopped
        is the incumbent.
    """

    variant: str
    sampling: float
    decisions: float
    unfinished: float
    choice: float


@dataclass(frozen=True)
class BracketRow:
    """A bracket of a variant: its share of trials, of trained resource, and of the winners, over seeds."""

    variant: str
    bracket: int
    trials: float
    resource: float
    winners: float


@dataclass(frozen=True)
class Shares:
    """How the workers of a variant spent their time: shares of all of it, means over seeds.

    `training` (for the first time) and `retrained`, `overhead` (start-up, checkpoints, waits), `idle` and
    `absent` sum to 1. `saved` is the training that resuming saved, over that which was done.
    """

    variant: str
    training: float
    retrained: float
    overhead: float
    idle: float
    absent: float
    saved: float


@dataclass(frozen=True)
class Segment:
    """A stretch of time on a worker; `level` is what was trained towards, None for start-up, checkpoints."""

    worker: int
    start: float
    end: float
    level: float | None


@dataclass(frozen=True)
class Timeline:
    """What workers did in one study of a variant: the first seed; of many workers the first few.

    `cut` is the time at which it is cut off for being long, None where it is whole.
    """

    variant: str
    seed: int
    workers: int
    levels: tuple[float, ...]
    segments: tuple[Segment, ...]
    cut: float | None = None
