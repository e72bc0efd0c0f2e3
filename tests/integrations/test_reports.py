"""What the callbacks for other libraries share."""

from __future__ import annotations

import pytest

from hbsim.errors import ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.trial_session import TrialEnd
from hbsim.integrations.reports import check_options, report, saved_folder
from tests.doubles.trial import reporter

METRICS = {"val_acc": 0.5, "val_loss": 1.0}


def save(folder):
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "weights").write_text("w")
    return folder / "inner"


def test_a_report_has_all_metrics_and_a_second_name(tmp_path):
    given, talk = reporter(tmp_path)
    report(given, METRICS, ("val_acc", "accuracy"), ("epoch", 2), save)
    assert talk.rows == [(2, {"val_acc": 0.5, "val_loss": 1.0, "accuracy": 0.5})]
    assert list(given.folder.iterdir()) == []


def test_a_missing_metric_names_those_that_are_there(tmp_path):
    given, _ = reporter(tmp_path)
    with pytest.raises(ParameterError, match=r"metric='accuracy': .*got val_acc, val_loss, epoch"):
        report(given, METRICS, ("val_accuracy", "accuracy"), ("epoch", 2), save)


def test_a_pause_keeps_the_folder_that_save_returns(tmp_path):
    given, _ = reporter(tmp_path, milestone=2)
    (given.folder / ".pause").mkdir()  # left by a process that was killed
    (given.folder / ".pause" / "torn").write_text("t")
    assert saved_folder(given) is None
    with pytest.raises(TrialEnd):
        report(given, METRICS, ("val_acc", "accuracy"), ("epoch", 2), save)
    assert [path.name for path in saved_folder(given).iterdir()] == ["weights"]
    assert list(given.folder.iterdir()) == []


def test_another_checkpoint_is_refused(tmp_path):
    given, _ = reporter(tmp_path)
    checkpoint.save(tmp_path / checkpoint.NAME, {"epoch": 1}, origin=given._origin)
    with pytest.raises(ParameterError, match=r"checkpoint='dict': .*saves a folder"):
        saved_folder(given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("m", "batch", None), "resource='batch': must be one of epoch, step"),
        ((None, "epoch", None), "metric=None: must be the name of a metric"),
        (("m", "epoch", 3), "reward_attr=3: must be the name of a metric"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ParameterError, match=message):
        check_options(*options)
