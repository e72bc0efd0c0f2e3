"""A scheduler's whole state in plain JSON types, and back."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf, nan
from typing import TYPE_CHECKING, Final, cast

from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["integers", "load", "pack_rungs", "pack_values", "save", "unpack_rungs", "unpack_values"]

SCHEMA: Final = 1
KEYS: Final = {
    "options", "bracket", "status", "at", "position", "code", "cutoff", "attempts", "reported", "retries",
    "warned", "generator", "extra",
}  # fmt: skip


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
    """Put `scheduler` into a state that `save` returned."""
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        found = state.get("schema") if isinstance(state, dict) else state
        raise ParameterError("schema", found, f"must be {SCHEMA}: a scheduler's state_dict()")
    if missing := sorted(KEYS - state.keys()):
        raise ParameterError(
            "state", sorted(state), f"lacks {', '.join(missing)}: a scheduler's state_dict()"
        )
    _same_options(scheduler, cast(dict[str, object], state["options"]))
    from hbsim.core.scheduler import RUNNING

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


def _same_options(scheduler: Scheduler, theirs: dict[str, object]) -> None:
    ours = scheduler.options.as_dict()
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            rule = (
                f"the state is of a scheduler with {name}={theirs.get(name)!r}; the options must be the same"
            )
            raise ParameterError(name, ours.get(name), rule)


def integers(value: object) -> list[int]:
    """Return a list of integers out of a state."""
    return list(cast(list[int], value))


def pack_values(values: Sequence[float]) -> list[float | None]:
    """Return signed values; what is no number is None."""
    return [None if value == -inf else value for value in values]


def unpack_values(packed: object) -> list[float]:
    """Return what `pack_values` was given."""
    return [-inf if value is None else value for value in cast(list[float | None], packed)]


def pack_rungs(rungs: Iterable[tuple[list[float], list[int]]]) -> list[dict[str, object]]:
    """Return rungs, each its values and its trials, in JSON types."""
    return [{"values": pack_values(values), "trials": list(trials)} for values, trials in rungs]


def unpack_rungs(packed: object) -> list[tuple[list[float], list[int]]]:
    """Return what `pack_rungs` was given."""
    rungs = cast(list[dict[str, object]], packed)
    return [(unpack_values(rung["values"]), integers(rung["trials"])) for rung in rungs]
