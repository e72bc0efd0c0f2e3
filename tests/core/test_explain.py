"""`explain`: why a trial was stopped, paused or promoted."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from hbsim.core import Explanation, Failure, Report, Verdict, make_scheduler
from hbsim.errors import ProtocolError

NINE: dict[str, Any] = {"max_t": 9, "grace_period": 1, "reduction_factor": 3}
GOOD: dict[str, dict[str, Any]] = {
    "stopping": NINE | {"brackets": 1},
    "promotion": NINE | {"brackets": 1},
    "sha": NINE | {"n": 9},
    "hyperband": NINE,
    "pasha": NINE,
    "median": {"max_t": 9, "grace_period": 1},
    "fifo": {"max_t": 9},
}


def told(type: str, values: list[float | None], **options: Any) -> Any:
    """Return a scheduler that was told these values at level 1, trials 0, 1, ... in order."""
    scheduler = make_scheduler(type, **GOOD[type], **options)
    for _ in values:
        scheduler.ask()
    for trial, value in enumerate(values):
        scheduler.tell(Report(trial, 1, value))
    return scheduler


@pytest.mark.parametrize("type", GOOD)
def test_before_any_decision(type: str) -> None:
    scheduler = make_scheduler(type, **GOOD[type])
    trial = scheduler.ask().trial
    scheduler.tell(Report(trial, 0.5, 1.0))
    before = scheduler.state_dict()
    explanation = scheduler.explain(trial)
    assert isinstance(explanation, Explanation)
    assert (explanation.trial, explanation.bracket) == (0, 0)
    assert explanation.level is None
    assert explanation.rank is None
    assert explanation.cutoff is None
    assert explanation.verdict is None
    assert "\n" not in explanation.text
    assert explanation.text
    assert scheduler.state_dict() == before


@pytest.mark.parametrize("type", GOOD)
@pytest.mark.parametrize("trial", [1, -1, 10**6])
def test_unknown_trial(type: str, trial: int) -> None:
    scheduler = make_scheduler(type, **GOOD[type])
    scheduler.ask()
    with pytest.raises(ProtocolError) as caught:
        scheduler.explain(trial)
    assert caught.value.trial == trial


def test_it_is_frozen() -> None:
    explanation = told("stopping", [1.0]).explain(0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.level = 3


def test_stopping() -> None:
    """The cutoff is the quantile of the values before: of 0, 3 it is 2, and 1 is below."""
    scheduler = told("stopping", [0.0, 3.0, 1.0, 5.0])
    stopped = scheduler.explain(2)
    assert (stopped.level, stopped.n, stopped.rank) == (1, 3, 2)
    assert stopped.cutoff == pytest.approx(2.0)
    assert stopped.verdict is Verdict.STOP
    assert "2" in stopped.text
    best = scheduler.explain(3)
    assert (best.level, best.n, best.rank, best.verdict) == (1, 4, 1, Verdict.CONTINUE)
    first = scheduler.explain(0)
    assert (first.n, first.rank, first.cutoff, first.verdict) == (1, 1, None, Verdict.CONTINUE)


def test_stopping_at_a_higher_level() -> None:
    scheduler = told("stopping", [1.0, 2.0])
    scheduler.tell(Report(0, 3, 7.0))
    scheduler.tell(Report(1, 3, 6.0))
    explanation = scheduler.explain(1)
    assert (explanation.level, explanation.n, explanation.rank) == (3, 2, 2)
    assert explanation.cutoff == 7.0
    assert explanation.verdict is Verdict.STOP


def test_min_mode_speaks_of_the_values_as_they_were_told() -> None:
    scheduler = told("stopping", [3.0, 0.0, 2.0], mode="min")
    explanation = scheduler.explain(2)
    assert (explanation.n, explanation.rank, explanation.verdict) == (3, 2, Verdict.STOP)
    assert explanation.cutoff == pytest.approx(1.0)  # 0 is better: two thirds of the way to it


@pytest.mark.parametrize("type", ["promotion", "sha"])
def test_paused(type: str) -> None:
    scheduler = told(type, [1.0, 3.0, 2.0])
    explanation = scheduler.explain(0)
    assert (explanation.level, explanation.verdict) == (1, Verdict.PAUSE)


def test_promotion() -> None:
    scheduler = told("promotion", [1.0, 2.0, 3.0])
    first, second, third = (scheduler.explain(trial) for trial in range(3))
    assert (first.level, first.n, first.rank, first.verdict) == (1, 1, 1, Verdict.PAUSE)
    assert (second.level, second.n, second.rank, second.verdict) == (1, 2, 1, Verdict.PAUSE)
    assert (third.level, third.n, third.rank, third.verdict) == (1, 3, 1, Verdict.CONTINUE)


def test_ties_and_non_numbers_rank_after_the_earlier() -> None:
    scheduler = told("promotion", [1.0, 1.0, None, 1.0, math.inf, 0.5])
    assert [scheduler.explain(trial).rank for trial in range(6)] == [1, 2, 3, 3, 5, 4]
    assert [scheduler.explain(trial).n for trial in range(6)] == [1, 2, 3, 4, 5, 6]


def test_complete() -> None:
    scheduler = make_scheduler("fifo", max_t=9)
    scheduler.ask()
    scheduler.tell(Report(0, 9, 0.5))
    explanation = scheduler.explain(0)
    assert (explanation.level, explanation.n, explanation.rank) == (9, 1, 1)
    assert explanation.verdict is Verdict.COMPLETE
    assert explanation.cutoff is None


@pytest.mark.parametrize(
    ("places", "own", "next_best"),
    [
        ("passed-on", "It has failed for good since.", "Now it is rank 1 of 3, and the best 1 go on."),
        (
            "held",
            "It has failed for good since, and keeps its rank.",
            "Now it is rank 2 of 3, and the best 1 go on, "
            "with 1 of these places kept by trials that failed for good.",
        ),
    ],
)
def test_who_has_the_place_of_a_trial_that_failed(places: str, own: str, next_best: str) -> None:
    scheduler = told("promotion", [3.0, 2.0, 1.0], failed_places=places)
    scheduler.tell(Failure(scheduler.ask().trial, 2))
    assert scheduler.explain(0).text.endswith(f": pause. {own}")
    assert scheduler.explain(1).text.endswith(f": pause. {next_best}")


def test_after_a_failure_the_last_milestone_is_still_told() -> None:
    scheduler = told("stopping", [1.0])
    scheduler.tell(Failure(0, 2, "oom"))
    explanation = scheduler.explain(0)
    assert (explanation.level, explanation.n, explanation.rank) == (1, 1, 1)


@pytest.mark.parametrize("type", ["stopping", "median", "promotion", "pasha", "sha"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_never_goes_on(type: str, bad: float | None) -> None:
    """Nothing is said of a cutoff, nor of places that it cannot have."""
    scheduler = told(type, [bad, bad, bad])
    word = "stop" if type in ("stopping", "median") else "pause"
    for trial in range(3):
        text = scheduler.explain(trial).text
        assert f"level 1 with no number, rank {trial + 1} of {trial + 1} there: {word}. What is no" in text
        assert "best 1 go on" not in text
    assert told("fifo", [bad]).explain(0).level is None


def test_the_best_value_so_far_is_not_what_counted_where_the_last_is_no_number() -> None:
    scheduler = told("median", [5.0, 1.0])
    assert "What counted is its best value so far" in told_next(scheduler, 0, 2.0)
    assert "What counted" not in told_next(scheduler, 0, None, level=3)


def told_next(scheduler: Any, trial: int, value: float | None, level: float = 2) -> str:
    scheduler.tell(Report(trial, level, value))
    text: str = scheduler.explain(trial).text
    return text
