"""Saving, loading and checking of a scheduler's state in plain JSON types."""

from __future__ import annotations

import warnings
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Final, cast

from hbsim.core.options import Options, with_later_options
from hbsim.core.types import (
    COMPLETE,
    COMPLETED,
    CONTINUE,
    FAILED,
    PAUSE,
    PAUSED,
    RUNNING,
    STATUSES,
    STOP,
    STOPPED,
    VERDICTS,
    WAITING,
)
from hbsim.errors import HbsimWarning, ParameterError

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

SCHEMA: Final = 1


def save(scheduler: Scheduler) -> dict[str, object]:
    """Return the state in types that `json.dumps(..., allow_nan=False)` takes."""
    count = scheduler.started
    losses = [[trial, count] for trial, count in sorted(scheduler._losses.items())]
    return {
        "schema": SCHEMA,
        "options": scheduler.options.as_dict(),
        "bracket": scheduler._bracket[:count].tolist(),
        "status": list(scheduler._status[:count]),
        "at": scheduler._at[:count].tolist(),
        "position": scheduler._position[:count].tolist(),
        "code": list(scheduler._code[:count]),
        "cutoff": [None if cutoff != cutoff else cutoff for cutoff in scheduler._cutoff[:count]],
        "attempts": [[trial, count] for trial, count in sorted(scheduler._attempts.items())],
        **({} if scheduler.options.loss_retries is None else {"losses": losses}),
        **({"extended_from": list(scheduler._extended_from)} if scheduler._extended_from else {}),
        "reported": [[trial, resource] for trial, resource in sorted(scheduler._reported.items())],
        "retries": list(scheduler._retries),
        "warned": scheduler._warned,
        "generator": scheduler._sampler.state_dict(),
        "extra": scheduler._extra_state(),
    }


def load(scheduler: Scheduler, state: dict[str, object]) -> None:
    """Restore a state that `save` returned in `scheduler`, which is unchanged if that fails."""
    from hbsim.core.factory import build

    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        found = state.get("schema") if isinstance(state, dict) else state
        raise ParameterError("schema", found, f"must be {SCHEMA}: a scheduler's state_dict()")
    try:
        before = integers(state.get("extended_from", []))
        options = _same_options(scheduler, cast(dict[str, object], state["options"]), before)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)
            fresh = build(options)
        fresh._extended_from = before
        _fill(fresh, state)
    except ParameterError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ParameterError("state", problem, "must be what a scheduler's state_dict() returned") from None
    scheduler.__dict__.update(fresh.__dict__)


def _fill(scheduler: Scheduler, state: dict[str, object]) -> None:
    scheduler._bracket = array("H", integers(state["bracket"]))
    scheduler._status = bytearray(integers(state["status"]))
    scheduler._at = array("H", integers(state["at"]))
    scheduler._position = array("q", integers(state["position"]))
    scheduler._code = bytearray(integers(state["code"]))
    cutoffs = cast(list[object], state["cutoff"])
    scheduler._cutoff = array("d", [nan if cutoff is None else number(cutoff) for cutoff in cutoffs])
    scheduler._attempts = {trial: integer(count) for trial, count in pairs(state["attempts"]).items()}
    if scheduler.options.loss_retries is not None:
        scheduler._losses = {trial: integer(count) for trial, count in pairs(state["losses"]).items()}
    scheduler._reported = {trial: number(resource) for trial, resource in pairs(state["reported"]).items()}
    scheduler._retries = deque(integers(state["retries"]))
    scheduler._warned = bool(state["warned"])
    scheduler.started = len(scheduler._status)
    scheduler.running = scheduler._status.count(RUNNING)
    scheduler._sampler.load_state_dict(cast(dict[str, str], state["generator"]))
    _check_columns(scheduler)
    scheduler._load_extra(cast(dict[str, object], state["extra"]))
    scheduler._check_extra()


def _check_columns(scheduler: Scheduler) -> None:
    """Check that the columns are consistent."""
    count = scheduler.started
    if count > scheduler._limit:
        raise ParameterError("status", count, f"must have at most num_trials={scheduler.num_trials} entries")
    limits = (
        ("status", scheduler._status, len(STATUSES)),
        ("bracket", scheduler._bracket, scheduler.brackets),
        ("at", scheduler._at, len(scheduler.levels) + 1),
        ("code", scheduler._code, len(VERDICTS)),
        ("position", scheduler._position, count or 1),
        ("cutoff", scheduler._cutoff, inf),
    )
    for name, column, limit in limits:
        if len(column) != count:
            raise ParameterError(name, len(column), f"must have as many entries as status, {count}")
        if max(column, default=0) >= limit:
            raise ParameterError(name, max(column), f"must be below {limit}")
    for trial in range(count):
        if not _can_be(scheduler, trial):
            raise ValueError(f"the columns of trial {trial} do not fit together")
    waiting = [trial for trial, status in enumerate(scheduler._status) if status == WAITING]
    if sorted(scheduler._retries) != waiting:
        raise ParameterError("retries", list(scheduler._retries), "must be the trials that wait for a retry")
    by_trial: dict[str, Iterable[int]] = {"attempts": scheduler._attempts, "losses": scheduler._losses}
    for name, named in (by_trial | {"reported": scheduler._reported}).items():
        if not all(0 <= trial < count for trial in named):
            raise ParameterError(name, max(named), f"must be of the {count} trials")


def _can_be(scheduler: Scheduler, trial: int) -> bool:
    """Return whether a trial's columns are consistent."""
    status, at, code = scheduler._status[trial], scheduler._at[trial], scheduler._code[trial]
    recorded = at > scheduler.geometry.first[scheduler._bracket[trial]]
    ended = {PAUSED: PAUSE, STOPPED: STOP, COMPLETED: COMPLETE}.get(status)
    attempt, lost = scheduler._attempts.get(trial, 0), scheduler._losses.get(trial, 0)
    most, most_lost = scheduler.options.retries, scheduler.options.loss_retries
    left = (most - (attempt - lost), 0 if most_lost is None else most_lost - lost)
    reported = scheduler._reported.get(trial)
    return (
        at >= scheduler.geometry.first[scheduler._bracket[trial]]
        and (at > scheduler._top) == (status == COMPLETED)
        and (recorded if ended is not None else True)
        and (scheduler._position[trial] >= 0 if recorded else scheduler._position[trial] == -1)
        and (code == ended if ended is not None else code in (CONTINUE, PAUSE))
        and (recorded or code == CONTINUE)
        and 0 <= lost <= attempt
        and sum(min(0, count) for count in left) == (-1 if status == FAILED else 0)
        and (status != WAITING or attempt > 0)
        and (reported is None or (status == RUNNING and reported < scheduler.levels[at]))
    )


def check_rungs(
    scheduler: Scheduler, rungs: Iterable[tuple[int, int, Sequence[int]]], group: Callable[[int], int]
) -> None:
    """Check that each trial is once in each rung that it has passed, and that its last position is right.

    Parameters
    ----------
    rungs : iterable of (int, int, sequence of int)
        The group of a rung, the index of its level, and its trials in order.
    group : callable
        Returns the group whose rungs a trial is in.
    """
    first, bracket, at = scheduler.geometry.first, scheduler._bracket, scheduler._at
    count = 0
    for which, level, trials in rungs:
        count += len(trials)
        if len(set(trials)) < len(trials):
            raise ValueError(f"a rung at level {scheduler.levels[level]:g} has a trial twice")
        for place, trial in enumerate(trials):
            there = 0 <= trial < scheduler.started and group(trial) == which
            if not (there and first[bracket[trial]] <= level < at[trial]):
                raise ValueError(f"a rung at level {scheduler.levels[level]:g} has trial {trial}")
            if at[trial] == level + 1 and scheduler._position[trial] != place:
                raise ValueError(f"trial {trial} is not at its position")
    if count != sum(at[trial] - first[bracket[trial]] for trial in range(scheduler.started)):
        raise ValueError("a trial is not in a rung that it has passed")


def _same_options(scheduler: Scheduler, theirs: dict[str, object], before: Sequence[int]) -> Options:
    """Check that a state's options are those of the scheduler; return them with the state's `num_trials`.

    The scheduler may have the number of trials as it was `before` an extension.
    """
    ours, theirs = scheduler.options.as_dict(), with_later_options(theirs)
    now = theirs.get("num_trials")
    if before and not (sorted({*before}) == [*before] and before[0] > 0 and before[-1] < integer(now)):
        raise ValueError(f"extended_from={before} to {now}")
    if ours.get("num_trials") in before:
        ours["num_trials"] = now
    for name in sorted({*ours, *theirs}, key=lambda name: (name != "type", name)):
        if ours.get(name) != theirs.get(name):
            rule = (
                f"the state is of a scheduler with {name}={theirs.get(name)!r}; the options must be the same"
            )
            raise ParameterError(name, ours.get(name), rule)
    return replace(scheduler.options, num_trials=cast(int | None, ours["num_trials"]))


def integers(value: object) -> list[int]:
    """Return a list of integers read from a state."""
    return [integer(item) for item in _items(value)]


def integer(item: object) -> int:
    """Return an integer read from a state."""
    if type(item) is not int:
        raise TypeError(f"{item!r} is no whole number")
    return item


def number(item: object) -> float:
    """Return a finite number read from a state, integers unchanged."""
    if type(item) is not int and type(item) is not float:
        raise TypeError(f"{item!r} is no number")
    if not isfinite(item):
        raise ValueError(f"{item!r} is not finite")
    return item


def pairs(value: object) -> dict[int, object]:
    """Return a dict that a state holds as pairs with distinct keys."""
    found = {integer(key): item for key, item in map(_items, _items(value))}
    if len(found) < len(_items(value)):
        raise ValueError("a trial is named twice")
    return found


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def pack_values(values: Sequence[float]) -> list[float | None]:
    """Return signed values with None for -inf."""
    return [None if value == -inf else value for value in values]


def unpack_values(packed: object) -> list[float]:
    """Return the values that `pack_values` packed."""
    return [-inf if value is None else float(number(value)) for value in _items(packed)]


def pack_rungs(rungs: Iterable[tuple[list[float], list[int]]]) -> list[dict[str, object]]:
    """Return rungs, each with its values and its trials, in JSON types."""
    return [{"values": pack_values(values), "trials": list(trials)} for values, trials in rungs]


def unpack_rungs(packed: object, count: int) -> list[tuple[list[float], list[int]]]:
    """Return the rungs that `pack_rungs` packed, of a scheduler with `count` trials."""
    rungs = cast(list[dict[str, object]], _items(packed))
    found = [(unpack_values(rung["values"]), integers(rung["trials"])) for rung in rungs]
    for _, trials in found:
        if trials and not 0 <= min(trials) <= max(trials) < count:
            raise ValueError(f"a rung has a trial that is none of the {count}")
    return found
