"""Bad parameters and impossible news: one error each, that names the field, the value and the rule."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hbsim.core import Failure, Report, Verdict, make_scheduler
from hbsim.errors import HbsimWarning, ParameterError, ProtocolError

LEVELS: dict[str, Any] = {"max_t": 27, "grace_period": 1, "reduction_factor": 3}
GOOD: dict[str, dict[str, Any]] = {
    "stopping": LEVELS | {"brackets": 1},
    "promotion": LEVELS | {"brackets": 1},
    "sha": LEVELS | {"n": 27},
    "hyperband": LEVELS,
    "pasha": LEVELS,
    "median": {"max_t": 27, "grace_period": 1},
    "fifo": {"max_t": 27},
}
HALVING = ("stopping", "promotion", "sha", "hyperband", "pasha")
DRAWN = ("stopping", "promotion")


def refused(type: str, field: str, value: object, **options: Any) -> ParameterError:
    """Check that the field is refused and named; the other options are good ones."""
    with pytest.raises(ParameterError) as caught:
        make_scheduler(type, **GOOD.get(type, {}) | {field: value} | options)
    error = caught.value
    assert error.field == field
    assert error.value == value or (value != value and error.value != error.value)
    assert error.rule
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize("type", GOOD)
def test_good_options_are_taken(type: str) -> None:
    assert make_scheduler(type, **GOOD[type]).ask() is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grace_period", 0),
        ("grace_period", -1),
        ("grace_period", math.nan),
        ("grace_period", math.inf),
        ("grace_period", 0.5),
        ("grace_period", 28),
        ("grace_period", "1"),
        ("grace_period", True),
        ("max_t", math.inf),
        ("max_t", math.nan),
        ("max_t", 27.5),
        ("max_t", None),
        ("reduction_factor", 1),
        ("reduction_factor", 0.5),
        ("reduction_factor", -3),
        ("reduction_factor", math.inf),
        ("reduction_factor", math.nan),
        ("reduction_factor", "3"),
        ("resource_type", "epochs"),
    ],
)
def test_levels(field: str, value: object) -> None:
    for type in HALVING:
        refused(type, field, value)


@pytest.mark.parametrize("type", HALVING)
def test_fractions_need_float(type: str) -> None:
    error = refused(type, "grace_period", 0.5)
    assert "float" in error.rule
    options = GOOD[type] | {"grace_period": 0.5, "resource_type": "float"}
    make_scheduler(type, **options | ({"n": 81} if type == "sha" else {}))


@pytest.mark.parametrize("value", [0, -27, math.nan, math.inf, 27.5, "27"])
def test_fifo_max_t(value: object) -> None:
    refused("fifo", "max_t", value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "maximum"),
        ("mode", None),
        ("num_trials", 0),
        ("num_trials", -1),
        ("num_trials", 2.5),
        ("num_trials", True),
        ("retries", -1),
        ("retries", 0.5),
        ("retries", None),
        ("retries", 65_536),
        ("loss_retries", -1),
        ("loss_retries", 0.5),
        ("loss_retries", 65_536),
        ("seed", -1),
        ("seed", 1.5),
        ("seed", "0"),
        ("seed", None),
    ],
)
def test_common_options(field: str, value: object) -> None:
    for type in GOOD:
        refused(type, field, value)


@pytest.mark.parametrize("type", DRAWN)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("brackets", 0),
        ("brackets", -1),
        ("brackets", 1.5),
        ("brackets", None),
        ("bracket_sampling", "uniform"),
        ("shared_rungs", "yes"),
        ("shared_rungs", 1),
    ],
)
def test_brackets(type: str, field: str, value: object) -> None:
    refused(type, field, value)


@pytest.mark.parametrize(
    ("type", "field", "value"),
    [
        ("stopping", "rule", "median"),
        ("promotion", "straight_on", "no"),
        ("promotion", "keep_size_ratios", None),
        ("promotion", "failed_places", "lost"),
        ("promotion", "failed_places", True),
        ("sha", "n", 0),
        ("sha", "n", 2.5),
        ("sha", "quota", "floor"),
        ("sha", "overlap", "yes"),
        ("hyperband", "n_formula", "round"),
        ("hyperband", "quota", "none"),
        ("hyperband", "overlap", 2),
        ("pasha", "epsilon", -0.1),
        ("pasha", "epsilon", math.nan),
        ("pasha", "epsilon", math.inf),
        ("pasha", "epsilon", "auto"),
        ("pasha", "epsilon", True),
        ("pasha", "straight_on", 1),
        ("pasha", "keep_size_ratios", "yes"),
        ("pasha", "failed_places", "kept"),
        ("median", "interval", 0),
        ("median", "interval", -1),
        ("median", "interval", 0.5),
        ("median", "interval", None),
        ("median", "interval", math.inf),
        ("median", "among", "all"),
        ("median", "among", None),
        ("median", "min_samples", 0),
        ("median", "min_samples", 1.5),
        ("median", "min_samples", True),
        ("median", "grace_period", 28),
        ("median", "grace_period", 0),
        ("median", "grace_period", 0.5),
        ("median", "max_t", math.nan),
    ],
)
def test_options_of_a_type(type: str, field: str, value: object) -> None:
    refused(type, field, value)


def test_choices_suggest_the_near_one() -> None:
    assert "quantile-inclusive" in str(refused("stopping", "rule", "quantile-inclusiv"))
    assert "hyperband" in str(refused("promotion", "bracket_sampling", "hyperbnd"))


OTHERS = [
    *[(t, "n", 27) for t in ("stopping", "promotion", "hyperband", "pasha", "median", "fifo")],
    *[(t, "quota", "actual") for t in ("stopping", "promotion", "fifo")],
    *[(t, "overlap", False) for t in ("stopping", "promotion", "fifo")],
    *[(t, "n_formula", "ceil") for t in ("stopping", "promotion", "sha", "fifo")],
    *[(t, "rule", "quantile") for t in ("promotion", "sha", "hyperband", "fifo")],
    *[(t, "straight_on", True) for t in ("stopping", "sha", "hyperband", "fifo")],
    *[(t, "keep_size_ratios", False) for t in ("stopping", "sha", "hyperband", "fifo")],
    *[(t, "failed_places", "passed-on") for t in ("stopping", "sha", "hyperband", "fifo")],
    *[(t, "shared_rungs", False) for t in ("sha", "hyperband", "fifo")],
    *[(t, "bracket_sampling", "softmax") for t in ("sha", "hyperband", "fifo")],
    *[(t, "brackets", 1) for t in ("sha", "hyperband", "fifo")],
    *[(t, name, 1) for t in ("pasha", "median") for name in ("brackets", "quota", "overlap", "n_formula")],
    *[(t, name, False) for t in ("pasha", "median") for name in ("shared_rungs", "rule", "bracket_sampling")],
    *[("median", name, False) for name in ("straight_on", "keep_size_ratios", "failed_places")],
    *[(t, "epsilon", None) for t in ("stopping", "promotion", "sha", "hyperband", "median", "fifo")],
    *[
        (t, name, value)
        for t in ("stopping", "promotion", "sha", "hyperband", "pasha", "fifo")
        for name, value in (("interval", 1), ("among", "completed"), ("min_samples", 1))
    ],
    ("median", "reduction_factor", 3),
    ("fifo", "grace_period", 1),
    ("fifo", "reduction_factor", 3),
]


@pytest.mark.parametrize("type", GOOD)
def test_options_of_another_type(type: str) -> None:
    """Refused whatever the value, the default included."""
    others = [(field, value) for one, field, value in OTHERS if one == type]
    assert len(others) >= 8
    for field, value in others:
        refused(type, field, value)


@pytest.mark.parametrize("type", GOOD)
def test_unknown_option(type: str) -> None:
    refused(type, "worker", 4)
    assert "retries" in str(refused(type, "retris", 1))


@pytest.mark.parametrize(("type", "field"), [*[(type, "max_t") for type in GOOD], ("sha", "n")])
def test_required_options(type: str, field: str) -> None:
    options = {name: value for name, value in GOOD[type].items() if name != field}
    with pytest.raises(ParameterError) as caught:
        make_scheduler(type, **options)
    assert caught.value.field == field


def test_unknown_type() -> None:
    with pytest.raises(ParameterError) as caught:
        make_scheduler("promotoin", **GOOD["promotion"])
    assert caught.value.field == "type"
    assert caught.value.value == "promotoin"
    assert "'promotion'" in str(caught.value)


def test_milestones_must_not_be_too_many() -> None:
    make_scheduler("median", max_t=5000)
    for options in ({"max_t": 5001}, {"max_t": 2, "interval": 1e-9, "resource_type": "float"}):
        with pytest.raises(ParameterError) as caught:
            make_scheduler("median", **options)
        assert caught.value.field == "interval"


# warnings


def test_brackets_are_clipped_with_a_warning() -> None:
    for type in DRAWN:
        with pytest.warns(HbsimWarning, match="brackets"):
            scheduler = make_scheduler(type, **GOOD[type] | {"brackets": 9})
        assert {scheduler.ask().bracket for _ in range(300)} == {0, 1, 2, 3}


def test_sha_that_cannot_reach_R_warns() -> None:
    with pytest.warns(HbsimWarning, match="n"):
        scheduler = make_scheduler("sha", **GOOD["sha"] | {"n": 26, "num_trials": 26})
    stops = set()
    while (job := scheduler.ask()) is not None:
        stops.add(job.stop)
        scheduler.tell(Report(job.trial, job.stop, job.trial))
    assert stops == {1, 3, 9}
    assert scheduler.done


@pytest.mark.parametrize("type", HALVING)
def test_skipped_milestones_warn_once_in_a_life(type: str) -> None:
    scheduler = make_scheduler(type, **GOOD[type])
    jobs = [scheduler.ask() for _ in range(3)]
    with pytest.warns(HbsimWarning, match="milestone") as caught:
        scheduler.tell(Report(jobs[0].trial, 20, 1.0))
    assert len(caught) == 1
    for job in jobs[1:]:
        scheduler.tell(Report(job.trial, 20, 1.0))  # a second warning would be an error


def test_no_warning_for_a_report_a_little_late() -> None:
    scheduler = make_scheduler("stopping", **GOOD["stopping"])
    job = scheduler.ask()
    decision = scheduler.tell(Report(job.trial, 2.5, 1.0))
    assert (decision.verdict, decision.stop) == (Verdict.CONTINUE, 3)


# news


@pytest.mark.parametrize("type", GOOD)
def test_failure_kinds(type: str) -> None:
    scheduler = make_scheduler(type, **GOOD[type], retries=0)
    for kind in ("error", "oom", "lost", "preempted"):
        decision = scheduler.tell(Failure(scheduler.ask().trial, 0, kind))
        assert (decision.verdict, decision.stop) == (Verdict.STOP, None)
    job = scheduler.ask()
    before = scheduler.state_dict()
    with pytest.raises(ParameterError) as caught:
        scheduler.tell(Failure(job.trial, 0, "crash"))
    assert (caught.value.field, caught.value.value) == ("kind", "crash")
    assert scheduler.state_dict() == before
    scheduler.tell(Failure(job.trial, 0))


@pytest.mark.parametrize("type", GOOD)
def test_losses_have_a_count_of_their_own(type: str) -> None:
    """By the letters of failures' kinds, the last of which is for good; attempts count all of them."""
    cases = (
        (0, 2, "lpe"),
        (0, 2, "lpl"),
        (1, 1, "epl"),
        (1, 1, "pee"),
        (1, 0, "el"),
        (0, None, "l"),
        (2, None, "epl"),
    )
    for retries, loss_retries, kinds in cases:
        scheduler = make_scheduler(type, **GOOD[type], retries=retries, loss_retries=loss_retries)
        for attempt, letter in enumerate(kinds):
            job = scheduler.ask()
            assert (job.trial, job.attempt) == (0, attempt)
            kind = {"l": "lost", "p": "preempted", "e": "error"}[letter]
            is_last = attempt == len(kinds) - 1
            verdict = scheduler.tell(Failure(0, 0, kind)).verdict
            assert verdict is (Verdict.STOP if is_last else Verdict.RETRY)


def test_both_counts_fit_into_an_attempt() -> None:
    assert make_scheduler("fifo", max_t=3, retries=65_000, loss_retries=535)
    refused("fifo", "loss_retries", 536, retries=65_000)


def impossible(scheduler: Any, event: Report | Failure) -> None:
    before = scheduler.state_dict()
    with pytest.raises(ProtocolError) as caught:
        scheduler.tell(event)
    error = caught.value
    assert error.trial == event.trial
    assert error.got
    assert error.expected
    assert scheduler.state_dict() == before


@pytest.mark.parametrize("type", GOOD)
def test_trials_that_do_not_run(type: str) -> None:
    scheduler = make_scheduler(type, **GOOD[type], retries=1)
    for event in (Report(0, 1, 0.5), Failure(0, 1), Report(-1, 1, 0.5)):
        impossible(scheduler, event)  # nothing was asked for yet
    trial = scheduler.ask().trial
    impossible(scheduler, Report(trial + 1, 1, 0.5))
    assert scheduler.tell(Failure(trial, 0)).verdict is Verdict.RETRY
    impossible(scheduler, Report(trial, 1, 0.5))  # it waits for its retry
    impossible(scheduler, Failure(trial, 1))
    assert scheduler.ask().trial == trial
    assert scheduler.tell(Failure(trial, 0)).verdict is Verdict.STOP
    impossible(scheduler, Report(trial, 1, 0.5))
    job = scheduler.ask()
    assert job.trial == trial + 1
    scheduler.tell(Report(job.trial, 27, 0.5) if type == "fifo" else Report(job.trial, job.stop, 0.5))
    if type not in ("stopping", "median"):  # there the first at a rung goes on
        impossible(scheduler, Report(job.trial, 27, 0.5))


@pytest.mark.parametrize(
    "resource", [math.nan, math.inf, -math.inf, None, "1", 10**400], ids=lambda r: str(r)[:9]
)
def test_resources_that_are_not_finite(resource: float) -> None:
    for type, options in GOOD.items():
        scheduler = make_scheduler(type, **options)
        trial = scheduler.ask().trial
        impossible(scheduler, Report(trial, resource, 0.5))
        impossible(scheduler, Failure(trial, resource))
        assert scheduler.tell(Report(trial, 0.5, 0.5)).verdict is Verdict.CONTINUE


@pytest.mark.parametrize("type", GOOD)
def test_resources_go_up_within_a_job(type: str) -> None:
    scheduler = make_scheduler(type, **GOOD[type], retries=1)
    job = scheduler.ask()
    scheduler.tell(Report(job.trial, 0.5, 0.1))
    impossible(scheduler, Report(job.trial, 0.25, 0.1))
    impossible(scheduler, Failure(job.trial, 0.25))
    scheduler.tell(Report(job.trial, 0.5, 0.1))  # equal is no step back
    scheduler.tell(Failure(job.trial, 0.5))
    again = scheduler.ask()
    assert scheduler.tell(Report(again.trial, 0.125, 0.1)).verdict is Verdict.CONTINUE
