"""Who calibrates whom."""

import pytest

from hbsim.validation import validate
from hbsim.validation.report import tables
from tests.validation import made


def _runs(tmp_path, *names):
    made_runs = {"a": made.promoted, "b": made.promoted, "c": made.trained_again, "d": made.promoted}
    return [made.write(tmp_path / name, made_runs[name](), "promotion", **made.ETA_TWO) for name in names]


def test_one_run_is_calibrated_by_its_first_half(tmp_path):
    found = validate(_runs(tmp_path, "a")).runs[0].calibrated
    assert found.kind == "its first half"
    assert found.costs.startup.observations == 1
    assert found.costs.resume.observations == 1  # of the whole run: the half did not tell


def test_every_other_run_calibrates(tmp_path):
    validation = validate(_runs(tmp_path, "a", "b", "c", "d"))
    sources = [list(part.calibrated.parameters_from) for part in validation.runs]
    assert sources == [["b", "d"], ["a", "c"], ["b", "d"], ["a", "c"]]
    assert validation.costs.startup.observations == 12


def test_runs_on_as_many_workers_calibrate_each_other(tmp_path):
    options = {"reduction_factor": 3}
    one = _runs(tmp_path, "a", "b")
    two = [made.write(tmp_path / name, made.late_start(), **options) for name in ("x", "y")]
    validation = validate([*one, *two])
    sources = [list(part.calibrated.parameters_from) for part in validation.runs]
    assert sources == [["b"], ["a"], ["y"], ["x"]]
    assert validation.workers is None
    assert "workers" not in validation.cluster()


def test_checkpoints_are_not_calibrated_by_runs_without_any(tmp_path):
    stopping = [made.write(tmp_path / name, made.late_start(), num_trials=2) for name in ("s", "t")]
    (one,) = _runs(tmp_path, "a")
    alone = validate([one, *stopping]).runs[0].calibrated
    assert (alone.kind, alone.parameters_from) == ("its first half", ["a"])
    (other,) = _runs(tmp_path, "d")
    found = validate([one, *stopping[:1], other]).runs[0].calibrated  # of its own half, as no other can tell
    assert (found.kind, found.parameters_from) == ("other runs", ["d"])
    assert found.costs.save.observations == 3


def test_rows_of_seconds_say_whose_parameters_they_have(tmp_path):
    runs = _runs(tmp_path, "a", "b")
    (seconds,) = [t for t in tables(validate(runs)) if t.title == "Where the workers' seconds went"]
    labels = ["real", "simulated, its own", "simulated, other half", "simulated, seconds of b"]
    assert [row[1] for row in seconds.rows[:4]] == labels
    assert [row[0] for row in seconds.rows[:5]] == ["a", "", "", "", "b"]


def test_the_same_trials_lend_their_seconds(tmp_path):
    slow = made.write(tmp_path / "slow", made.promoted(unit=50.0), "promotion", **made.ETA_TWO)
    one, other = validate([*_runs(tmp_path, "a"), slow]).runs
    assert [part.checks[2].seconds_from for part in (one, other)] == ["slow", "a"]
    assert one.calibrated.simulated_parts["training"] == pytest.approx(10 + 20 + 20)
    assert one.checks[2].simulated_parts["training"] == pytest.approx(10 + 20 + 50)


def test_the_scheduler_does_not_decide_which_trials_there_are(tmp_path):
    other = made.write(tmp_path / "other", made.late_start(), seed=5)
    assert validate([*_runs(tmp_path, "a"), other]).runs[0].checks[2].seconds_from == "other"


def test_other_trials_lend_nothing(tmp_path):
    other = made.write(tmp_path / "other", made.promoted(), "promotion", study_seed=1, **made.ETA_TWO)
    assert len(validate([*_runs(tmp_path, "a"), other]).runs[0].checks) == 2


def test_folders_of_the_same_name_are_told_apart(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    folders = [*_runs(tmp_path / "one", "a"), *_runs(tmp_path / "two", "a")]
    names = [part.run.name for part in validate(folders).runs]
    assert names == [str(folder) for folder in folders]
