"""What is known of a study the slow way: every question goes through all that happened."""

from __future__ import annotations

from math import isfinite
from typing import Any

Event = tuple[Any, ...]


class NaiveObserved:
    """What happened: suggested; pending, trial, level; observed, trial, level, value; forgot, trial."""

    def __init__(self, mode: str) -> None:
        self.sign = 1 if mode == "max" else -1
        self.events: list[Event] = []

    def pending(self) -> dict[int, set[float | None]]:
        """Return the levels at which each trial is pending, where there are any."""
        found: set[tuple[int, float | None]] = set()
        trials = 0
        for what, *rest in self.events:
            if what == "suggested":
                found.add((trials, None))
                trials += 1
            elif what == "pending":
                found = {one for one in found if one != (rest[0], None)} | {(rest[0], rest[1])}
            elif what == "observed":
                found -= {(rest[0], None), (rest[0], rest[1])}
            else:
                found = {one for one in found if one[0] != rest[0]}
        return {trial: {level for t, level in found if t == trial} for trial, _ in found}

    def values(self) -> dict[tuple[int, float], float | None]:
        """Return the last value of each trial at each level, None for no number, larger is better."""
        found: dict[tuple[int, float], float | None] = {}
        for what, *rest in self.events:
            if what == "observed":
                trial, level, value = rest
                number = value is not None and isfinite(value)
                found[trial, level] = self.sign * value if number else None
        return found

    def at(self, level: float) -> dict[int, float]:
        """Return the trials' values at a level, the worst number for none."""
        here = {trial: value for (trial, where), value in self.values().items() if where == level}
        numbers = [value for value in here.values() if value is not None] or [0.0]
        return {trial: min(numbers) if value is None else value for trial, value in here.items()}

    def latest(self) -> dict[int, float]:
        """Return each trial's value at its highest level; no number is the worst of that level, or of all."""
        tops: dict[int, float] = {}
        for trial, level in self.values():
            tops[trial] = max(level, tops.get(trial, level))
        last = {trial: (top, self.values()[trial, top]) for trial, top in tops.items()}
        every = [value for _, value in last.values() if value is not None] or [0.0]
        found = {}
        for trial, (top, value) in last.items():
            same = [v for t, v in last.values() if t == top and v is not None]
            found[trial] = min(same or every) if value is None else value
        return found
