"""A run's curves as the simulator reads them."""

import numpy as np

from hbsim.surrogates import Surrogate
from hbsim.validation.curves import RunCurves
from hbsim.validation.measure import read
from tests.validation import made


def _curves(folder, records):
    return RunCurves(read(made.write(folder, records, "promotion", **made.ETA_TWO)))


def test_a_job_that_goes_on_adds_its_seconds(tmp_path):
    curves = _curves(tmp_path / "run", made.promoted())
    assert isinstance(curves, Surrogate)
    values, seconds = curves.evaluate(np.array([1, 0]), np.array([1.0, 2.0, 9.0]))
    assert values.tolist() == [[0.2, 0.3, 0.3], [0.1, 0.1, 0.1]]  # the last value is held
    assert seconds.tolist() == [[20, 40, 180], [10, 20, 90]]  # and the trial's own rate
    assert curves.observed.sum(axis=1).tolist() == [1, 2]


def test_a_job_that_trains_from_zero_has_its_seconds_from_zero(tmp_path):
    curves = _curves(tmp_path / "run", made.trained_again())
    assert curves.seconds[1, :3].tolist() == [20, 41, 81]


def test_a_trial_that_never_reported_takes_as_long_as_the_others(tmp_path):
    records = [
        made.start(0, 0),
        ("fail", 5.0, {"job": 0, "kind": "error", "reason": "", "resource": 0, "verdict": "stop"}),
        made.gone(0, 5.0, 2.0),
        made.start(1, 1, at=5.0),
        made.reach(1, 27.0, 0, "continue", made.rows(7.0, (20.0, 1.0, 0.2))),
    ]
    curves = RunCurves(read(made.write(tmp_path / "run", records)))
    assert np.isnan(curves.values[0]).all()
    assert curves.seconds[0].tolist() == curves.seconds[1].tolist() == [20, 60, 180]


def test_a_value_that_is_no_number_is_none(tmp_path):
    reported = made.rows(2.0, (10.0, 1.0, None))
    records = [
        made.start(0, 0),
        ("reach", 12.0, {"job": 0, "rows": reported, "at": 0, "value": None, "verdict": "stop"}),
    ]
    curves = RunCurves(read(made.write(tmp_path / "run", records)))
    assert np.isnan(curves.values[0]).all()


def test_seconds_of_another_run(tmp_path):
    ours = _curves(tmp_path / "ours", made.promoted())
    theirs = _curves(tmp_path / "theirs", made.promoted())
    theirs.seconds = 3 * theirs.seconds
    theirs.observed[1, 1] = False
    theirs.seconds[1] = [50, 0, 0, 0, 0]
    ours.take_seconds(theirs)
    assert ours.seconds[0].tolist() == [30, 60, 120, 240, 270]
    assert ours.seconds[1].tolist() == [50, 100, 200, 400, 450]  # in proportion beyond what they have
    assert ours.values[1, 1] == 0.3
