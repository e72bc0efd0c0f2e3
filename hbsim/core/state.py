"""A scheduler's whole state in plain JSON types, and back."""

from __future__ import annotations

import warnings
from array import array
from collections import deque
from math import nan
from typing import TYPE_CHECKING, Final, cast

from hbsim.core.options import completed
from hbsim.core.packing import integers
from hbsim.errors import HbsimWarning, ParameterError

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["load", "save"]

SCHEMA: Final = 1


def save(scheduler: Scheduler) -> dict[str, object]:
    """Return the state: what `json.dumps(..., allow_nan=False)` takes."""
    count = scheduler.started
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
        "reported": [[trial, resource] for trial, resource in sorted(scheduler._reported.items())],
        "retries": list(scheduler._retries),
        "warned": scheduler._warned,
        "generator": scheduler._sampler.state_dict(),
        "extra": scheduler._extra_state(),
    }


def load(scheduler: Scheduler, state: dict[str, object]) -> None:
    """Put `scheduler` into a state that `save` returned; nothing is changed if that fails."""
    from hbsim.core.factory import build

    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        found = state.get("schema") if isinstance(state, dict) else state
        raise ParameterError("schema", found, f"must be {SCHEMA}: a scheduler's state_dict()")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        fresh = build(scheduler.options)
    try:
        _same_options(scheduler, cast(dict[str, object], state["options"]))
        _fill(fresh, state)
        _check(fresh, state)
    except ParameterError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ParameterError("state", problem, "must be what a scheduler's state_dict() returned") from None
    scheduler.__dict__.update(fresh.__dict__)


def _fill(scheduler: Scheduler, state: dict[str, object]) -> None:
    from hbsim.core.trials import RUNNING

    scheduler._bracket = array("H", integers(state["bracket"]))
    scheduler._status = bytearray(integers(state["status"]))
    scheduler._at = array("H", integers(state["at"]))
    scheduler._position = array("q", integers(state["position"]))
    scheduler._code = bytearray(integers(state["code"]))
    cutoffs = cast(list[float | None], state["cutoff"])
    scheduler._cutoff = array("d", [nan if cutoff is None else cutoff for cutoff in cutoffs])
    scheduler._attempts = dict(cast(list[tuple[int, int]], state["attempts"]))
    scheduler._reported = dict(cast(list[tuple[int, float]], state["reported"]))
    scheduler._retries = deque(integers(state["retries"]))
    scheduler._warned = bool(state["warned"])
    scheduler.started = len(scheduler._status)
    scheduler.running = scheduler._status.count(RUNNING)
    scheduler._sampler.load_state_dict(cast(dict[str, str], state["generator"]))
    scheduler._load_extra(cast(dict[str, object], state["extra"]))


def _check(scheduler: Scheduler, state: dict[str, object]) -> None:
    """Hold the columns against each other."""
    from hbsim.core.trials import STATUSES, VERDICTS, WAITING

    count = scheduler.started
    for name in ("bracket", "at", "position", "code", "cutoff"):
        length = len(cast(list[object], state[name]))
        if length != count:
            raise ParameterError(name, length, f"must have as many entries as status, {count}")
    limits = (
        ("status", scheduler._status, len(STATUSES)),
        ("bracket", scheduler._bracket, scheduler.brackets),
        ("at", scheduler._at, len(scheduler.levels) + 1),
        ("code", scheduler._code, len(VERDICTS)),
    )
    for name, column, limit in limits:
        if max(column, default=0) >= limit:
            raise ParameterError(name, max(column), f"must be below {limit}")
    named = {*scheduler._attempts, *scheduler._reported, *scheduler._retries}
    if not all(0 <= trial < count for trial in named):
        raise ParameterError("trial", max(named), f"must be one of the {count} trials")
    if any(scheduler._status[trial] != WAITING for trial in scheduler._retries):
        raise ParameterError("retries", list(scheduler._retries), "must be trials that wait for a retry")


def _same_options(scheduler: Scheduler, theirs: dict[str, object]) -> None:
    ours, theirs = scheduler.options.as_dict(), completed(theirs)
    for name in sorted({*ours, *theirs}, key=lambda name: (name != "type", name)):
        if ours.get(name) != theirs.get(name):
            rule = (
                f"the state is of a scheduler with {name}={theirs.get(name)!r}; the options must be the same"
            )
            raise ParameterError(name, ours.get(name), rule)
