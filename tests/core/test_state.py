"""`state_dict` in the middle of anything: plain JSON, and the same answers afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbsim.core import Failure, Report, Verdict, make_scheduler
from hbsim.errors import HbsimError, ParameterError
from tests.doubles.pair import Pair, make_real, round_trip
from tests.doubles.traces import act, actions, scheduler_options
from tests.profile import THOROUGH, examples

LEVELS: dict[str, Any] = {"max_t": 27, "grace_period": 1, "reduction_factor": 3}
GOOD: dict[str, dict[str, Any]] = {
    "stopping": LEVELS | {"brackets": 2},
    "promotion": LEVELS | {"brackets": 2},
    "sha": LEVELS | {"n": 27},
    "hyperband": LEVELS,
    "pasha": LEVELS,
    "median": {"max_t": 27, "grace_period": 1, "interval": 4},
    "fifo": {"max_t": 27},
}


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(scheduler_options(), st.integers(1, 6), actions, actions)
def test_two_that_share_a_past_share_the_future(
    chosen: tuple[str, dict[str, Any]], workers: int, past: list[Any], future: list[Any]
) -> None:
    """Without the double: the original and its copy, told the same, end in the same state."""
    pair = Pair(*chosen)
    for op, which, value in past:
        act(pair, workers, op, which, value)
    state = round_trip(pair.real)
    copy = make_real(*chosen)
    copy.load_state_dict(state)
    original = pair.real
    pair.real = Twins(original, copy)
    for op, which, value in future:
        if op != "reload":
            act(pair, workers, op, which, value)
    assert round_trip(original) == round_trip(copy)


class Twins:
    """Two schedulers that are told the same and must answer the same."""

    def __init__(self, one: Any, other: Any) -> None:
        self.both = (one, other)

    def same(self, answers: list[Any]) -> Any:
        assert answers[0] == answers[1]
        return answers[0]

    def ask(self) -> Any:
        return self.same([one.ask() for one in self.both])

    def tell(self, event: Any) -> Any:
        return self.after(lambda one: one.tell(event))

    def extend(self, num_trials: int) -> None:
        self.after(lambda one: one.extend(num_trials))

    def after(self, call: Callable[[Any], Any]) -> Any:
        answers: list[Any] = []
        for one in self.both:
            try:
                answers.append(call(one))
            except HbsimError as error:
                answers.append(error)
        if isinstance(answers[0], HbsimError):
            self.same([str(answer) for answer in answers])
            raise answers[0]
        return self.same(answers)

    def explain(self, trial: int) -> Any:
        return self.same([one.explain(trial) for one in self.both])

    def dropped(self) -> list[int]:
        answers: list[int] = self.same([list(one.dropped()) for one in self.both])
        return answers

    def state_dict(self) -> Any:
        return self.same([one.state_dict() for one in self.both])

    @property
    def num_trials(self) -> Any:
        return self.same([one.num_trials for one in self.both])

    @property
    def options(self) -> Any:
        return self.same([one.options for one in self.both])

    @property
    def done(self) -> bool:
        return bool(self.same([one.done for one in self.both]))


@pytest.mark.parametrize("type", GOOD)
def test_mid_retry(type: str) -> None:
    """Two wait for a retry when the state is taken; the copy offers them in the same order."""
    scheduler = make_scheduler(type, **GOOD[type], retries=2, num_trials=4)
    jobs = [scheduler.ask() for _ in range(3)]
    for job in (jobs[2], jobs[0]):
        assert scheduler.tell(Failure(job.trial, 0, "lost")).verdict is Verdict.RETRY
    copy = make_scheduler(type, **GOOD[type], retries=2, num_trials=4)
    copy.load_state_dict(round_trip(scheduler))
    for job in (jobs[2], jobs[0]):
        assert copy.ask() == job._replace(attempt=1)
    assert copy.ask().trial == 3
    assert copy.ask() is None
    assert not copy.done


@pytest.mark.parametrize("type", GOOD)
def test_a_state_is_a_snapshot(type: str) -> None:
    """What happens later does not change a state that was taken before, nor a state its scheduler."""
    scheduler = make_scheduler(type, **GOOD[type])
    jobs = [scheduler.ask() for _ in range(5)]
    state = scheduler.state_dict()
    text = json.dumps(state)
    for job in jobs:
        scheduler.tell(Report(job.trial, job.stop, 0.5))
    assert json.dumps(state) == text
    copy = make_scheduler(type, **GOOD[type])
    copy.load_state_dict(state)
    copy.tell(Report(jobs[0].trial, jobs[0].stop, 0.5))
    assert json.dumps(state) == text


@pytest.mark.parametrize("type", GOOD)
def test_the_warning_of_skipped_milestones_is_remembered(type: str) -> None:
    if type == "fifo":
        return
    scheduler = make_scheduler(type, **GOOD[type] | {"seed": 1})
    jobs = [scheduler.ask() for _ in range(2)]
    with pytest.warns(UserWarning, match="milestone"):
        scheduler.tell(Report(jobs[0].trial, 20, 1.0))
    copy = make_scheduler(type, **GOOD[type] | {"seed": 1})
    copy.load_state_dict(round_trip(scheduler))
    copy.tell(Report(jobs[1].trial, 20, 1.0))  # a warning would be an error


CHANGES: dict[str, dict[str, Any]] = {
    "stopping": {"rule": "rank", "brackets": 1, "bracket_sampling": "hyperband", "shared_rungs": True},
    "promotion": {
        "straight_on": False,
        "keep_size_ratios": True,
        "failed_places": "held",
        "brackets": 1,
        "shared_rungs": True,
    },
    "sha": {"n": 28, "quota": "nominal", "overlap": True},
    "hyperband": {"n_formula": "floor", "quota": "nominal", "overlap": True},
    "pasha": {"epsilon": 0, "straight_on": False, "keep_size_ratios": True, "failed_places": "held"},
    "median": {"interval": 3, "among": "recorded", "min_samples": 2, "grace_period": 2},
    "fifo": {},
}
COMMON = {"max_t": 26, "mode": "min", "num_trials": 7, "retries": 1, "loss_retries": 1, "seed": 1}
LEVEL_CHANGES = {"grace_period": 2, "reduction_factor": 2}


@pytest.mark.parametrize("type", GOOD)
def test_loads_only_into_the_same_options(type: str) -> None:
    state = round_trip(make_scheduler(type, **GOOD[type]))
    levels = {} if type in ("median", "fifo") else LEVEL_CHANGES
    for field, value in (COMMON | levels | CHANGES[type]).items():
        other = make_real(type, GOOD[type] | {field: value})
        before = other.state_dict()
        with pytest.raises(ParameterError, match=field):
            other.load_state_dict(state)
        assert other.state_dict() == before


@pytest.mark.parametrize("made_with", [6, 7, 9])
def test_the_state_of_an_extended_scheduler_has_its_number_of_trials(made_with: int) -> None:
    scheduler = make_scheduler("promotion", **GOOD["promotion"] | {"num_trials": 6})
    scheduler.ask()
    scheduler.extend(7)
    scheduler.extend(9)
    state = round_trip(scheduler)
    assert state["options"]["num_trials"] == 9
    other = make_scheduler("promotion", **GOOD["promotion"] | {"num_trials": made_with})
    other.load_state_dict(state)
    assert (other.num_trials, other.options.num_trials) == (9, 9)
    assert round_trip(other) == state
    for fewer in (5, 8, 10):
        with pytest.raises(ParameterError, match="num_trials"):
            make_scheduler("promotion", **GOOD["promotion"] | {"num_trials": fewer}).load_state_dict(state)


def test_an_extended_scheduler_starts_no_more_trials_than_there_are_configurations() -> None:
    scheduler = make_scheduler("fifo", max_t=9, num_trials=1)
    scheduler.limit_trials(2)
    scheduler.extend(5)
    assert [scheduler.ask() is None for _ in range(3)] == [False, False, True]
    assert scheduler.num_trials == 2


def test_loads_only_into_the_same_type() -> None:
    state = round_trip(make_scheduler("stopping", **GOOD["stopping"]))
    with pytest.raises(ParameterError):
        make_scheduler("promotion", **GOOD["promotion"]).load_state_dict(state)


def test_the_same_options_written_otherwise_are_the_same() -> None:
    """3 and 3.0 are one number, and an option given at its default is the default."""
    state = round_trip(make_scheduler("stopping", **GOOD["stopping"]))
    options = GOOD["stopping"] | {"reduction_factor": 3.0, "rule": "quantile", "retries": 0}
    other = make_scheduler("stopping", **options)
    other.load_state_dict(state)
    assert other.ask() == make_scheduler("stopping", **GOOD["stopping"]).ask()


def test_an_interval_that_is_the_grace_period_is_its_default() -> None:
    state = round_trip(make_scheduler("median", max_t=27, grace_period=4))
    make_scheduler("median", max_t=27, grace_period=4, interval=4).load_state_dict(state)
    state = round_trip(make_scheduler("median", max_t=27))
    make_scheduler("median", max_t=27, interval=1.0).load_state_dict(state)


def test_a_state_from_before_failed_places_is_of_their_default() -> None:
    scheduler = make_scheduler("promotion", **GOOD["promotion"])
    scheduler.ask()
    state = scheduler.state_dict()
    del state["options"]["failed_places"]
    for places in ("passed-on", "held"):
        other = make_scheduler("promotion", **GOOD["promotion"], failed_places=places)
        if places == "held":
            with pytest.raises(ParameterError, match="failed_places"):
                other.load_state_dict(state)
        else:
            other.load_state_dict(state)
            assert other.state_dict() == scheduler.state_dict()


def test_a_state_without_loss_retries_is_as_before_there_were_any() -> None:
    scheduler = make_scheduler("promotion", **GOOD["promotion"], retries=1)
    job = scheduler.ask()
    assert scheduler.tell(Failure(job.trial, 0, "lost")).verdict is Verdict.RETRY
    state = round_trip(scheduler)
    assert not {"loss_retries", "losses"} & {*state, *state["options"]}
    other = make_scheduler("promotion", **GOOD["promotion"], retries=1)
    other.load_state_dict(state)
    assert other.state_dict() == scheduler.state_dict()
    other.ask()
    assert other.tell(Failure(job.trial, 0, "error")).verdict is Verdict.STOP


@pytest.mark.parametrize("state", [{}, {"options": {}}])
def test_what_is_no_state_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        make_scheduler("fifo", max_t=3).load_state_dict(state)


def stand(type: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a state in which trials run, pause, have ended, have failed and wait for a retry."""
    scheduler = make_scheduler(type, **options)
    for number in range(60):
        job = scheduler.ask()
        if job is None:
            break
        if number % 9 == 4:
            scheduler.tell(Failure(job.trial, 0, "lost"))
        elif number % 7 < 5:
            scheduler.tell(Report(job.trial, job.stop, None if number == 10 else (number * 37 % 11) / 11))
    return round_trip(scheduler)


@pytest.mark.parametrize("loss_retries", [None, 0])
@pytest.mark.parametrize("type", GOOD)
def test_a_state_in_which_one_number_is_another_is_refused_or_works(
    type: str, loss_retries: int | None
) -> None:
    """Numbers of a state, in turn: a state that is taken can be asked, reported to and explained.

    In the quick profile it is one number of three, others with `loss_retries` than without.
    """
    options = GOOD[type] | {"retries": 1, "loss_retries": loss_retries}
    state = stand(type, options)
    make_real(type, options).load_state_dict(state)
    refused = 0
    paths = numbers(state) if THOROUGH else numbers(state)[loss_retries is None :: 3]
    for path in paths:
        for change in (1, -1, 1000):
            changed = json.loads(json.dumps(state))
            box = changed
            for part in path[:-1]:
                box = box[part]
            box[path[-1]] += change
            scheduler = make_real(type, options)
            before = scheduler.state_dict()
            try:
                scheduler.load_state_dict(changed)
            except ParameterError:
                refused += 1
                assert scheduler.state_dict() == before
                continue
            for job in scheduler.running_jobs():
                scheduler.tell(Report(job.trial, job.stop, 0.5))
            for _ in range(20):
                job = scheduler.ask()
                if job is not None:
                    scheduler.tell(Report(job.trial, job.stop, 0.25))
            for trial in range(scheduler.started):
                scheduler.explain(trial)
            scheduler.dropped()
    assert refused


def numbers(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where the numbers in a state are, its options and its generator aside."""
    if isinstance(tree, dict):
        keys = [key for key in tree if key not in ("options", "generator", "schema", "warned")]
    elif isinstance(tree, list):
        keys = list(range(len(tree)))
    else:
        return [path] if isinstance(tree, int | float) and not isinstance(tree, bool) else []
    return [place for key in keys for place in numbers(tree[key], (*path, key))]
