"""Numbers of other kinds, extreme factors, mixed use: what ordinary traces do not reach."""

import json
import math
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from hbsim.core import Failure, Report, Verdict, make_scheduler
from hbsim.errors import HbsimWarning, ParameterError, ProtocolError

TYPES = [
    ("stopping", {}),
    ("promotion", {}),
    ("sha", {"n": 9}),
    ("hyperband", {}),
    ("pasha", {}),
    ("median", {"interval": 2}),
    ("fifo", {}),
]


@pytest.mark.parametrize(("type", "options"), TYPES)
def test_numpy_numbers_leave_a_plain_state(type, options):
    scheduler = make_scheduler(type, max_t=np.int64(9), num_trials=np.int32(9), seed=np.uint8(3), **options)
    for _ in range(6):
        scheduler.ask()
    scheduler.tell(Report(np.int64(0), np.float32(0.5), np.float32(0.25)))
    scheduler.tell(Report(np.int64(1), np.int64(1), np.float64(0.5)))
    scheduler.tell(Failure(np.int64(2), np.float64(0.5)))
    assert scheduler.explain(np.int64(1)).trial == 1
    json.dumps(scheduler.state_dict(), allow_nan=False)


def test_options_are_the_decimals_that_they_print_as():
    geometries = [
        make_scheduler("stopping", max_t=1000, reduction_factor=eta).geometry
        for eta in (2.2, Decimal("2.2"), Fraction(11, 5), np.float64(2.2))
    ]
    assert all(geometry == geometries[0] for geometry in geometries)
    assert geometries[0].eta == Fraction(11, 5)


def test_a_fraction_that_no_decimal_prints_is_refused():
    with pytest.raises(ParameterError, match=r"reduction_factor=Fraction\(7, 3\)") as caught:
        make_scheduler("stopping", max_t=343, grace_period=27, reduction_factor=Fraction(7, 3))
    assert caught.value.field == "reduction_factor"


@pytest.mark.parametrize("eta", [1.0001, 10**400, 1 + 10**-12])
def test_factors_that_no_study_can_use_are_refused_at_once(eta):
    with pytest.raises(ParameterError) as caught:
        make_scheduler("stopping", max_t=1000, reduction_factor=eta)
    assert caught.value.field == "reduction_factor"


@pytest.mark.parametrize("rule", ["quantile", "quantile-inclusive", "rank", "top-k"])
@pytest.mark.parametrize("eta", [1.1, 1e6])
def test_a_cut_at_either_end(rule, eta):
    scheduler = make_scheduler("stopping", max_t=10**7, reduction_factor=eta, rule=rule, num_trials=20)
    verdicts = []
    while (job := scheduler.ask()) is not None:
        verdicts.append(scheduler.tell(Report(job.trial, job.stop, -job.trial)).verdict)
        if verdicts[-1] is Verdict.CONTINUE:
            scheduler.tell(Failure(job.trial, job.stop))
    # Each value is the worst so far: only the rank rule lets some of these through, while 1 - 1/n <= 10/11.
    go_on = 11 if (rule, eta) == ("rank", 1.1) else 1
    assert verdicts == [Verdict.CONTINUE] * go_on + [Verdict.STOP] * (20 - go_on)


@pytest.mark.parametrize("type", ["stopping", "promotion", "pasha", "median"])
def test_no_cutoff_is_a_negative_zero(type):
    scheduler = make_scheduler(type, max_t=9, mode="min", num_trials=12)
    for _ in range(12):
        job = scheduler.ask()
        decision = scheduler.tell(Report(job.trial, job.stop, 0.0))
        for milestone in decision.milestones:
            assert milestone.cutoff is None or math.copysign(1, milestone.cutoff) == 1
        if decision.verdict is Verdict.CONTINUE:
            scheduler.tell(Failure(job.trial, job.stop))


@pytest.mark.parametrize("how", ["reach", "fail"])
def test_an_engine_may_mix_reach_and_tell(how):
    scheduler = make_scheduler(
        "promotion", max_t=9, grace_period=3, straight_on=False, num_trials=3, retries=1
    )
    for _ in range(3):
        scheduler.ask()
    scheduler.tell(Report(0, 2, 0.9))
    if how == "reach":
        for trial, value in enumerate((0.9, 0.5, 0.1)):
            scheduler.reach(trial, value)
    else:
        scheduler.fail(0)
    assert scheduler.ask().trial == 0
    assert scheduler.tell(Report(0, 1, 0.5)).verdict is Verdict.CONTINUE


def test_a_loser_of_a_complete_rung_is_told_its_final_rank():
    scheduler = make_scheduler("sha", max_t=9, n=9, num_trials=9)
    for _ in range(9):
        scheduler.ask()
    for trial in range(9):
        scheduler.tell(Report(trial, 1, trial))
    loser, winner = scheduler.explain(0), scheduler.explain(8)
    assert (loser.n, loser.rank, loser.cutoff) == (9, 9, 6.0)
    assert loser.text.endswith("the best 3 go on: it does not.")
    assert (winner.n, winner.rank) == (9, 1)
    assert winner.text.endswith("the best 3 go on: it goes on.")
    assert scheduler.ask().trial == 6
    assert scheduler.explain(6).text.endswith("the best 3 go on: it went on.")


def test_a_trial_whose_better_one_failed_is_told_that_it_goes_on():
    scheduler = make_scheduler("promotion", max_t=9, straight_on=False, num_trials=3)
    for _ in range(3):
        scheduler.ask()
    for trial, value in enumerate((0.9, 0.5, 0.1)):
        scheduler.tell(Report(trial, 1, value))
    assert scheduler.ask().trial == 0
    assert "it is rank 2 of 3, and the best 1 go on" in scheduler.explain(1).text
    scheduler.tell(Failure(0, 2))
    assert "it is rank 1 of 3, and the best 1 go on" in scheduler.explain(1).text
    assert scheduler.ask().trial == 1


def test_warnings_as_errors_leave_the_scheduler_usable():
    scheduler = make_scheduler("stopping", max_t=9, num_trials=2)
    scheduler.ask()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HbsimWarning):
            scheduler.tell(Report(0, 4, 0.5))
        assert scheduler.tell(Report(0, 4, 0.5)).stop == 9


@pytest.mark.parametrize("event", [5, None, "report", (0, 1, 0.5)])
def test_what_is_no_event_is_refused(event):
    with pytest.raises(ParameterError):
        make_scheduler("fifo", max_t=9).tell(event)


@pytest.mark.parametrize("trial", [-1, 1, 0.0, "0", None, True, 10**30])
def test_what_is_no_trial_is_refused(trial):
    scheduler = make_scheduler("fifo", max_t=9)
    scheduler.ask()
    for ask in (scheduler.explain, scheduler.status, scheduler.bracket_of):
        with pytest.raises(ProtocolError):
            ask(trial)
    with pytest.raises(ProtocolError):
        scheduler.tell(Report(trial, 1, 0.5))


BROKEN = [
    ("extra", {}),
    ("generator", {}),
    ("options", 5),
    ("bracket", "x"),
    ("bracket", [9] * 6),
    ("status", [300] * 6),
    ("status", [9] * 6),
    ("at", [70000] * 6),
    ("at", [60] * 6),
    ("position", []),
    ("cutoff", []),
    ("retries", [99]),
    ("retries", [0]),
    ("attempts", [[77, 1]]),
    ("attempts", 3),
]


@pytest.mark.parametrize(("field", "value"), BROKEN)
def test_a_broken_state_is_refused_and_changes_nothing(field, value):
    for type, options in TYPES:
        if type in ("stopping", "promotion"):
            options = {**options, "brackets": 2}
        scheduler, other = (make_scheduler(type, max_t=9, num_trials=9, **options) for _ in range(2))
        for _ in range(6):
            scheduler.ask()
        state = json.loads(json.dumps(scheduler.state_dict()))
        other.ask()
        before = other.state_dict()
        state[field] = value
        with pytest.raises(ParameterError):
            other.load_state_dict(state)
        assert other.state_dict() == before


def test_half_a_state_is_refused():
    scheduler = make_scheduler("fifo", max_t=9)
    for name in scheduler.state_dict():
        state = scheduler.state_dict()
        del state[name]
        with pytest.raises(ParameterError):
            scheduler.load_state_dict(state)


def test_what_ran_at_a_restart_is_listed_and_can_be_offered_again():
    scheduler = make_scheduler("promotion", max_t=9, num_trials=4, retries=1)
    jobs = [scheduler.ask() for _ in range(3)]
    scheduler.tell(Report(1, 1, 0.5))
    again = make_scheduler("promotion", max_t=9, num_trials=4, retries=1)
    again.load_state_dict(scheduler.state_dict())
    assert again.running_jobs() == [jobs[0], jobs[2]]
    for job in again.running_jobs():
        assert again.tell(Failure(job.trial, job.start, "lost")).verdict is Verdict.RETRY
    assert [again.ask() for _ in range(2)] == [jobs[0]._replace(attempt=1), jobs[2]._replace(attempt=1)]


def test_asha_is_told_its_name_here():
    with pytest.raises(ParameterError, match="ASHA is 'promotion'"):
        make_scheduler("asha", max_t=9)
