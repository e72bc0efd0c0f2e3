"""What a journal says of each job, and which folders are refused."""

import pytest

from hbsim.errors import JournalError, OutputError, ParameterError
from hbsim.runner.lock import StudyLock
from hbsim.validation import validate
from hbsim.validation.measure import read
from tests.validation import made


def test_seconds_of_a_stay_add_up(tmp_path):
    run = read(made.write(tmp_path / "run", made.promoted(), "promotion", **made.ETA_TWO))
    last = run.jobs[2]
    assert (last.trained, last.wait, last.load, last.save, last.rest, last.gap) == (20, 0.5, 4, 3, 3, 1)
    assert (last.stood, last.start_resource, last.verdict) == (1, 1, "pause")
    assert last.end_time - last.start_time == 30.5
    assert run.complete


def test_a_worker_without_work_is_idle_not_starting(tmp_path):
    records = [*made.promoted()[:-2]]
    records.insert(6, ("none", 45.0, {"worker": 0}))
    options = {**made.ETA_TWO, "reduction_factor": 2}
    with pytest.raises(JournalError):  # there was a job for it
        read(made.write(tmp_path / "wrong", records, "promotion", **options))
    run = read(made.write(tmp_path / "run", made.late_start()))
    assert [job.gap for job in run.jobs] == [0, 0]


def test_a_trial_whose_last_process_still_saves_is_held_back(tmp_path):
    records = made.two_pauses()
    records[-1] = made.gone(1, 50.0, 20.5, start=2.0, wait=0.5, save=8.0)
    records.insert(5, made.start(2, 1, worker=1, at=41.0, stood=1, stop=2))
    records += [
        made.reach(2, 76.0, 1, "pause", made.rows(56.0, (20.0, 2.0, 0.3))),
        made.gone(2, 77.0, 52.0, start=2.0, load=4.0),
        ("close", 77.0, {"why": "done"}),
    ]
    run = read(made.write(tmp_path / "run", records, "promotion", **made.ETA_TWO))
    assert run.jobs[2].held == 9
    assert run.jobs[2].rest == 3
    assert [job.held for job in run.jobs[:2]] == [0, 0]


def test_jobs_end_with_the_process_that_ran_the_study(tmp_path):
    records = [
        *made.two_pauses()[:4],
        ("resume", 30.0, {}),
        ("restart", 31.0, {**made.start(2, 1)[2], "was": 1}),
        made.reach(2, 53.5, 0, "pause", made.rows(33.0, (20.0, 1.0, 0.2))),
        made.gone(2, 54.5, 33.0, start=2.0, wait=0.5),
        ("close", 54.5, {"why": "done"}),
    ]
    del records[5][2]["point"]
    run = read(made.write(tmp_path / "run", records, "promotion"))
    assert [(job.end_time, job.whole) for job in run.jobs] == [(17.5, True), (18.5, False), (54.5, True)]
    assert run.resumed == 1


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"folders=.*no journal\.jsonl"):
        validate([tmp_path])
    with pytest.raises(ParameterError, match="give one or more"):
        validate([])


def test_a_study_without_decisions_is_refused(tmp_path):
    folder = made.write(tmp_path / "run", [made.start(0, 0)])
    with pytest.raises(ParameterError, match="nothing was decided"):
        validate([folder])


def test_a_folder_that_is_given_twice_is_refused(tmp_path):
    folder = made.write(tmp_path / "run", made.late_start())
    with pytest.raises(ParameterError, match="twice"):
        validate([folder, tmp_path / "." / "run"])


def test_a_study_that_is_running_is_refused(tmp_path):
    folder = made.write(tmp_path / "run", made.late_start())
    with StudyLock(folder), pytest.raises(OutputError, match="is being run by"):
        validate([folder])
    validate([folder])


def test_a_decision_that_the_scheduler_would_not_make_is_an_error(tmp_path):
    records = made.two_pauses()
    records[1][2]["verdict"] = "stop"
    with pytest.raises(JournalError, match="line 3"):
        validate([made.write(tmp_path / "run", records, "promotion")])
