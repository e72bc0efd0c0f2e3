"""Free running: the simulator decides by itself."""

import math

import pytest

from hbsim.errors import counted
from hbsim.validation import validate
from hbsim.validation.measure import measure, read
from hbsim.validation.validate import check
from tests.validation import made

ONE_WORKER = ("stopping", "brackets", "from zero", "promotion", "pauses")


@pytest.mark.parametrize("name", ONE_WORKER)
def test_with_one_worker_every_decision_agrees(runs, name):
    for found in validate([runs[name]]).runs[0].checks:
        assert found.agreement.first is None
        assert found.agreement.unobserved == 0


# Not of trials that train again from zero: on a busy machine the second time may be shorter than the first.
@pytest.mark.parametrize("name", [name for name in ONE_WORKER if name != "from zero"])
def test_with_one_worker_and_its_own_parameters_the_makespan_is_the_sum_of_the_parts(runs, name):
    own = validate([runs[name]]).runs[0].checks[0]
    assert own.error == pytest.approx(0, abs=0.01)
    for part in ("start-up", "load", "save", "training"):
        assert own.simulated_parts[part] == pytest.approx(own.real_parts[part], rel=0.01, abs=1e-3)


@pytest.mark.parametrize("name", ["promotion", "two workers"])
def test_parts_add_up_to_all_worker_time(runs, name):
    part = validate([runs[name]]).runs[0]
    for found in part.checks:
        for parts, makespan in ((found.real_parts, found.real), (found.simulated_parts, found.simulated)):
            assert math.fsum(parts.values()) == pytest.approx(part.run.result.workers * makespan)
            assert min(parts.values()) >= 0


def test_whether_there_are_checkpoints_is_found(runs):
    assert validate([runs["from zero"]]).costs.resume.value == 0
    resumed = validate([runs["promotion"]]).costs
    assert resumed.resume.value == 1
    assert resumed.save.observations > 0
    assert resumed.load.observations == resumed.resume.observations > 0


def test_failures_are_measured_and_noted(runs):
    part = validate([runs["failures"]]).runs[0]
    failures = len(part.run.result.failures)
    assert part.costs.drop_rate.observations == failures > 0
    assert 0 < part.costs.drop_rate.value < 1
    assert f"{counted(failures, 'job')} failed" in part.notes[0]


def test_two_workers_are_reported_as_they_are(runs):
    part = validate([runs["two workers"]]).runs[0]
    agreement = part.calibrated.agreement
    assert agreement.real == len(part.run.result.decisions)
    assert agreement.simulated == len(part.calibrated.result.decisions)
    assert 0 < agreement.same <= agreement.common <= min(agreement.real, agreement.simulated)
    assert (agreement.first is None) == (agreement.same == agreement.real == agreement.simulated)


@pytest.mark.parametrize("records", [made.promoted, made.trained_again])
def test_known_seconds_come_out_again(tmp_path, records):
    run = read(made.write(tmp_path / "run", records(), "promotion", **made.ETA_TWO))
    found = check(run, measure([run.jobs]), "own", [run.name])
    assert found.agreement.first is None
    assert found.error == pytest.approx(0)
    assert found.real_parts["training"] == found.simulated_parts["training"]


def test_a_difference_is_said_and_what_was_never_seen_is_counted(tmp_path):
    run = read(made.write(tmp_path / "run", made.late_start()))
    found = check(run, measure([run.jobs]), "own", [run.name])
    agreement = found.agreement
    assert agreement.first == "trial 0 at 1: stop, simulated continue"
    assert (agreement.real, agreement.common, agreement.same) == (4, 4, 3)
    assert agreement.simulated == 4 + agreement.unobserved > 4
    assert found.error is not None


def test_a_run_that_was_cut_has_no_makespan_to_compare(tmp_path):
    records = [
        *made.late_start()[:5],
        made.late_start()[6],
        ("rows", 100.0, {"job": 1, "rows": []}),
        made.gone(1, 100.0, 2.0, start=2.0),
        ("close", 100.0, {"why": "max_time"}),
    ]
    part = validate([made.write(tmp_path / "run", records, num_trials=50)]).runs[0]
    assert part.calibrated.error is None
    assert part.calibrated.simulated <= 100
    assert "max_time" in part.notes[0]
    assert part.calibrated.result.scheduler.started == 2  # trials that never ran cannot be simulated
