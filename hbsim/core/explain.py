"""Why a trial was stopped, paused or promoted, worked out when someone asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbsim.core.types import Explanation, Verdict

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler

__all__ = ["explain"]


def explain(scheduler: Scheduler, trial: int) -> Explanation:
    """Return the explanation of the last milestone that counted."""
    bracket = scheduler.bracket_of(trial)
    verdict = scheduler.last_verdict(trial)
    since = scheduler.standing_since(trial)
    if verdict is None:
        target = scheduler.levels[scheduler.geometry.first[bracket]]
        text = f"Trial {trial} (bracket {bracket}) has reached no milestone yet; its first is {target}."
        return Explanation(trial, bracket, None, 0, None, None, None, _join(text, since))
    value, n, rank, cutoff = scheduler.standing(trial)
    level = scheduler.last_level(trial)
    shown = "no number" if value is None else f"{value:g}"
    held = ", with no cutoff yet" if cutoff is None else f", against a cutoff of {cutoff:g}"
    rule = ""
    if verdict is Verdict.COMPLETE:
        held = ""
    elif value is None:
        held, rule = "", " What is no number never goes on."
    text = (
        f"Trial {trial} (bracket {bracket}) came to level {level} with {shown}, "
        f"rank {rank} of {n} there{held}: {verdict.value}.{rule}"
    )
    return Explanation(trial, bracket, level, n, rank, cutoff, verdict, _join(text, since))


def _join(text: str, since: str) -> str:
    return f"{text} {since}" if since else text
