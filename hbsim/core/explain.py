"""Why a trial was stopped, paused or promoted, worked out when someone asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hbsim.core.scheduler import FAILED, PAUSED, VERDICTS, WAITING
from hbsim.core.synchronous import Synchronous
from hbsim.core.types import Explanation, Verdict

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["explain"]

SINCE: Final = {
    FAILED: "It has failed for good since.",
    WAITING: "It has failed since and waits for a retry.",
}


def explain(scheduler: Scheduler, trial: int) -> Explanation:
    """Return the explanation of the last milestone that counted."""
    bracket = scheduler.bracket_of(trial)
    order = scheduler._position[trial]
    if order < 0:
        target = scheduler.levels[scheduler._at[trial]]
        text = f"Trial {trial} (bracket {bracket}) has reached no milestone yet; its first is {target}."
        return Explanation(trial, bracket, None, 0, None, None, None, _and_since(scheduler, trial, text))
    values = scheduler._rung_values(trial)
    then = values[: order + 1]
    value = then[order]
    rank = 1 + sum(other >= value for other in then[:order])
    held_against = scheduler._cutoff[trial]
    cutoff = None if held_against != held_against else held_against
    level = scheduler.levels[scheduler._at[trial] - 1]
    verdict = VERDICTS[scheduler._code[trial]]
    shown = "no number" if value == float("-inf") else f"{value * scheduler._sign:g}"
    held = "with nothing to hold it against" if cutoff is None else f"against a cutoff of {cutoff:g}"
    text = (
        f"Trial {trial} (bracket {bracket}) came to level {level} with {shown}, "
        f"rank {rank} of {order + 1} there, {held}: {verdict.value}.{_reason(scheduler, trial, verdict)}"
    )
    return Explanation(
        trial, bracket, level, order + 1, rank, cutoff, verdict, _and_since(scheduler, trial, text)
    )


def _reason(scheduler: Scheduler, trial: int, verdict: Verdict) -> str:
    if verdict is not Verdict.PAUSE:
        return ""
    paused = scheduler._status[trial] == PAUSED
    if isinstance(scheduler, Synchronous):
        if not scheduler.rung_is_complete(trial):
            return " Its rung is not complete yet."
        places = scheduler.places_in_rung(trial)
        return f" Of its complete rung {places} go on; it {'does not' if paused else 'went on'}."
    values = scheduler._rung_values(trial)
    value = values[scheduler._position[trial]]
    place = scheduler._position[trial]
    rank = 1 + sum(other > value or (other == value and at < place) for at, other in enumerate(values))
    if not paused:
        return " It was promoted later."
    places = int(len(values) / scheduler.geometry.eta)
    return f" Now it is rank {rank} of {len(values)}, and the best {places} go on."


def _and_since(scheduler: Scheduler, trial: int, text: str) -> str:
    since = SINCE.get(scheduler._status[trial])
    return f"{text} {since}" if since else text
