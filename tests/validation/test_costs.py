"""The cluster's parameters, measured from journals with known seconds."""

import numpy as np
import pytest

from hbsim.validation import validate
from hbsim.validation.measure import (
    JobReport,
    Measured,
    ReachedMilestone,
    RecordedJob,
    measure,
    read,
    straggler_std,
)
from hbsim.validation.validate import check
from tests.validation import made


def test_parameters_and_how_many_observations_each_has(tmp_path):
    run = read(made.write(tmp_path / "run", made.promoted(), "promotion", **made.ETA_TWO))
    costs = measure([run.jobs])
    assert costs.startup == Measured(4.0, 3)  # 2 to start, 1 to exit, 1 between jobs
    assert costs.report_delay == Measured(0.5, 3)
    assert (costs.save, costs.load) == (Measured(3.0, 3), Measured(4.0, 1))
    assert costs.drop_rate == costs.straggler_std == Measured(0.0, 0)
    assert costs.resume == Measured(1.0, 1)


def test_trials_that_train_from_zero_have_no_checkpoints(tmp_path):
    run = read(made.write(tmp_path / "run", made.trained_again(), "promotion", **made.ETA_TWO))
    costs = measure([run.jobs])
    assert costs.resume == Measured(0.0, 1)
    assert costs.options()["resume"] is False


def test_what_a_refused_checkpoint_took_is_start_up_and_no_save(tmp_path):
    run = read(made.write(tmp_path / "run", made.refused(save=5.0), "promotion", **made.ETA_TWO))
    costs = measure([run.jobs])
    assert (costs.save, costs.load) == (Measured(0.0, 0), Measured(0.0, 0))
    assert costs.startup == Measured(9.0, 3)  # the 4 of others, and 5 for nothing
    found = check(run, costs, "own", [run.name])
    assert found.error == pytest.approx(0)
    assert found.simulated_parts == pytest.approx(found.real_parts)
    assert found.real_parts["start-up"] == 27.0
    notes = validate([tmp_path / "run"]).runs[0].notes
    assert notes == ["3 jobs saved what no trial went on from: their seconds are start-up"]


def test_jobs_that_do_not_pause_save_as_start_up(tmp_path):
    records = [
        made.start(0, 0),
        made.reach(0, 12.0, 0, "continue", made.rows(2.0, (10.0, 1.0, 0.2))),
        made.reach(0, 34.0, 1, "continue", made.rows(4.0, (30.0, 3.0, 0.2))),
        made.reach(0, 96.0, 2, "complete", made.rows(6.0, (90.0, 9.0, 0.2))),
        made.gone(0, 96.0, 2.0, start=2.0, save=4.0),
        made.start(1, 1, at=96.0),
        made.reach(1, 108.0, 0, "stop", made.rows(98.0, (10.0, 1.0, 0.1))),
        made.gone(1, 108.0, 98.0, start=2.0),
        ("none", 108.0, {"worker": 0}),
        ("close", 108.0, {"why": "done"}),
    ]
    run = read(made.write(tmp_path / "run", records))
    costs = measure([run.jobs])
    assert (costs.startup, costs.save) == (Measured(4.0, 2), Measured(0.0, 0))
    assert check(run, costs, "own", [run.name]).error == pytest.approx(0)


def test_several_runs_count_together(tmp_path):
    one = read(made.write(tmp_path / "one", made.promoted(), "promotion", **made.ETA_TWO))
    other = read(made.write(tmp_path / "other", made.trained_again(), "promotion", **made.ETA_TWO))
    costs = measure([one.jobs, other.jobs])
    assert costs.startup.observations == 6
    assert costs.resume == Measured(1.0, 2)


def test_failures_are_counted_by_exposed_second(tmp_path):
    records = [
        made.start(0, 0),
        ("fail", 100.0, {"job": 0, "kind": "lost", "reason": "", "resource": 0, "verdict": "stop"}),
        made.gone(0, 100.0, 2.0),
        made.start(1, 1, at=100.0),
        made.reach(1, 122.0, 0, "continue", made.rows(102.0, (20.0, 1.0, 0.2))),
    ]
    run = read(made.write(tmp_path / "run", records))
    assert measure([run.jobs]).drop_rate == Measured(pytest.approx(1 - np.exp(-1 / 122)), 1)


@pytest.mark.parametrize("std", [0.1, 0.4])
def test_noise_of_the_model_is_found_again(std):
    draws = np.random.default_rng(0).standard_normal((500, 3))
    found = straggler_std([_noisy(1 + std * np.abs(draws))])
    assert found.value == pytest.approx(std, rel=0.1)
    assert found.observations == 1500


def test_trials_that_differ_among_themselves_have_no_noise():
    factors = np.repeat(np.linspace(1, 9, 20)[:, None], 3, axis=1)
    assert straggler_std([_noisy(factors)]) == Measured(0.0, 60)


def test_a_few_stretches_are_no_fit():
    assert straggler_std([_noisy(np.array([[1.0, 2.0, 3.0]]))]) == Measured(0.0, 3)


def _noisy(factors):
    """Return a job a trial, whose first unit also builds the model; then stretches of 2, 6 and 18 units."""
    jobs = []
    for trial, row in enumerate(factors):
        job = RecordedJob(trial, trial, 0, 0.0, 0.0, None)
        trained = 50.0
        job.reports.append(JobReport(1.0, trained, 0.5))
        job.decided[0] = ReachedMilestone(0.5, trained)
        for at, (units, factor) in enumerate(zip((2, 6, 18), row, strict=True), start=1):
            trained += units * factor
            job.reports.append(JobReport(job.reports[-1].resource + units, trained, 0.5))
            job.decided[at] = ReachedMilestone(0.5, trained)
        jobs.append(job)
    return jobs
