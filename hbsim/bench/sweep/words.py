"""What Python's options are called in a sweep's file."""

from __future__ import annotations

from typing import Final

from hbsim.errors import HbsimError, ParameterError, nearest

__all__ = ["CALLED", "in_words", "meant_option", "said"]

# Fields that the file calls otherwise than the parameters that they are for.
CALLED: Final = {"num_trials": "trials"}
WORDS: Final = {
    "give num_trials, max_time or max_reward": "give trials, max_time or max_full_runs",
    "num_trials": "trials",
    "replace=True": "replace = true",
    "True or False": "true or false",
}
ALIASES: Final = {"eta": "reduction_factor", "r": "grace_period", "R": "max_t"}  # of the papers


def in_words(rule: str) -> str:
    """Return a rule in the words of the file."""
    for word, own in WORDS.items():
        rule = rule.replace(word, own)
    return rule


def said(error: HbsimError) -> str:
    """Return an error's text in the words of the file."""
    if not isinstance(error, ParameterError):
        return in_words(str(error))
    value = "" if error.value is None else f" = {error.value}"
    return in_words(f"{error.field}{value}: {error.rule}")


def meant_option(name: str, known: tuple[str, ...]) -> str:
    """Say which field was probably meant, as `nearest` does; papers' letters are known too."""
    alias = ALIASES.get(name)
    return f" Did you mean {alias!r}?" if alias in known else nearest(name, known)
