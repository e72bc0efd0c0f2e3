"""TensorBoard's files: read back, they say what was reported, once."""

from __future__ import annotations

import errno
import struct
from itertools import chain

import numpy as np
import pytest

from hbsim.errors import HbsimWarning
from hbsim.integrations import tensorboard
from hbsim.runner.journal import Journal
from hbsim.study.callback_process import serve
from hbsim.study.callbacks import CallbackObserver, StudyInfo
from tests.study.made import Made

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from hbsim.integrations.tensorboard import TensorBoardCallback


def crc32c(data):
    """Return the checksum of RFC 3720, masked as event files have it; a bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(file):
    data = file.read_bytes()
    while data:
        [length] = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12]) == (crc32c(data[:8]),)
        assert struct.unpack("<I", data[12 + length : 16 + length]) == (crc32c(body),)
        yield Event.FromString(body)
        data = data[16 + length :]


def run(made, name):
    """Return the events of a run, file after file in the order of names, as TensorBoard reads them."""
    files = sorted((made.study_folder.path / "tensorboard" / name).iterdir())
    for file in files:
        assert next(events(file)).file_version == "brain.Event:2"
    return list(chain.from_iterable(list(events(file))[1:] for file in files))


def scalars(made, name, tag):
    found = ((event, value) for event in run(made, name) for value in event.summary.value)
    return [(event.step, value.simple_value, event.wall_time) for event, value in found if value.tag == tag]


def hparams(made, name):
    found = {value.tag: value for event in run(made, name) for value in event.summary.value}
    return {
        tag.partition("/")[2]: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for tag, value in found.items()
        if tag.startswith("_hparams_")
    }


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "exp", num_trials=9, retries=1)


def watched(made):
    study = StudyInfo(made.spec, made.study_folder.path, False, 100.0)
    board = CallbackObserver("tensorboard", TensorBoardCallback(), study, made.state)
    made.observers = [board]
    return board


def reported(made, trial):
    """Return the first report at each resource of a trial, from the records."""
    jobs = {record["job"]: record["trial"] for record in made.records if "trial" in record}
    rows = [row for record in made.records for row in record.get("rows", ()) if jobs[record["job"]] == trial]
    first = {}
    for at, _, resource, metrics in rows:
        if resource > max(first, default=0):
            first[resource] = (resource, pytest.approx(metrics["accuracy"]), pytest.approx(100.0 + at))
    return list(first.values())


def curve(trial, resource):
    return (trial + resource) / 40


def test_scalars_are_the_reports(made):
    board = watched(made)
    made.play(2, curve, fails=lambda trial, resource: trial == 4 and resource == 1)
    board.close()
    for trial in (0, 1, 2, 3, 5, 6, 7, 8):
        assert scalars(made, f"{trial:06}", "accuracy") == reported(made, trial)
    assert scalars(made, "000004", "accuracy") == []
    assert len(reported(made, 8)) == 27


def test_the_study_has_its_incumbent_and_counts(made):
    board = watched(made)
    made.play(2, curve)
    board.tick()
    board.close()
    result = made.result()
    expected = [
        (int(row["time"]), pytest.approx(row["value"]), pytest.approx(100 + row["time"]))
        for row in result.incumbent().iter_rows(named=True)
    ]
    assert scalars(made, "study", "incumbent/accuracy") == expected
    for status in ("running", "paused", "stopped", "completed", "failed"):
        assert scalars(made, "study", f"trials/{status}")[-1][1] == made.scheduler.status_counts()[status]


def test_hyperparameters(made):
    board = watched(made)
    made.play(2, curve, fails=lambda trial, resource: trial == 4)
    board.close()
    statuses = made.scheduler.trial_statuses()
    for trial, status in enumerate(statuses):
        session = hparams(made, f"{trial:06}")
        given = session["session_start_info"].session_start_info.hparams
        configuration = made.spec.space.mapping(np.array(made.journal_state.points[trial]))
        assert given["lr"].number_value == pytest.approx(configuration["lr"])
        assert given["act"].string_value == configuration["act"]
        [metric] = session["experiment"].experiment.metric_infos
        assert metric.name.tag == "best/accuracy"
        ended = {"completed": 1, "failed": 2}.get(status)  # STATUS_SUCCESS, STATUS_FAILURE
        assert ("session_end_info" in session) == (ended is not None)
        if ended:
            assert session["session_end_info"].session_end_info.status == ended
    [last] = scalars(made, "000008", "best/accuracy")[-1:]
    assert last[:2] == (27, pytest.approx(curve(8, 27)))


def test_all_metrics_are_there_and_gaps_are_no_numbers(made):
    board = watched(made)
    job = made.start(0)
    made.write("rows", 1.0, job=job, rows=[[1.0, 1.0, 0.5, {"accuracy": 0.5, "loss a/b": None}]])
    board.close()
    assert [row[:2] for row in scalars(made, "000000", "accuracy")] == [(0, 0.5)]
    [(_, value, _)] = scalars(made, "000000", "loss a/b")
    assert value != value


def test_a_resource_that_is_not_whole_is_in_thousandths(tmp_path):
    made = Made(tmp_path / "exp", resource_type="float", max_t=1.0, grace_period=0.1)
    board = watched(made)
    job = made.start(0)
    made.rows(job, [(0.0125, 0.5), (0.05, 0.25)], 1.0)
    board.close()
    assert [row[:2] for row in scalars(made, "000000", "accuracy")] == [(12, 0.5), (50, 0.25)]


def test_what_a_trial_trains_again_is_not_written_again(made):
    board = watched(made)
    job = made.start(0)
    made.rows(job, [(0.25, 0.1), (0.5, 0.2)], 1.0)
    made.fail(job, "no", 2.0)
    again = made.start(0)
    made.rows(again, [(0.25, 0.3), (0.5, 0.4), (0.75, 0.5)], 3.0)
    board.close()
    assert [row[1] for row in scalars(made, "000000", "accuracy")] == pytest.approx([0.1, 0.2, 0.5])


def test_a_study_that_goes_on_adds_files_and_repeats_nothing(made):
    folder, journal = made.study_folder.path, made.study_folder.journal
    job = made.start(0)
    made.rows(job, [(0.25, 0.9), (0.5, 0.2)], 1.0)
    made.result()
    (folder / "callbacks").mkdir()
    serve(folder, "tensorboard", TensorBoardCallback(), False, 100.0, lambda: True, pytest.fail)
    [file] = (folder / "tensorboard" / "000000").iterdir()
    before = file.read_bytes()
    known = len(made.records)
    made.write("resume")
    number = made.journal_state.jobs.started
    described = {"trial": 0, "bracket": 0, "start": 0, "stop": 1, "attempt": 0}
    made.write("restart", 1.0, worker=0, was=job, job=number, **described)
    made.rows(number, [(0.25, 0.3), (0.5, 0.4), (0.75, 0.5)], 2.0)
    made.reach(number, 0.6, 3.0)
    made.gone(number, 3.0)
    with Journal.open(journal, "never") as opened:
        for record in made.records[known:]:
            opened.append(record)
    serve(folder, "tensorboard", TensorBoardCallback(), True, 100.0, lambda: True, pytest.fail)
    assert file.read_bytes() == before
    assert [row[1] for row in scalars(made, "000000", "accuracy")] == pytest.approx([0.9, 0.2, 0.5, 0.6])
    assert [row[1] for row in scalars(made, "000000", "best/accuracy")] == pytest.approx([0.9, 0.9])
    assert len(scalars(made, "study", "incumbent/accuracy")) == 1
    assert scalars(made, "study", "trials/paused")[-1][1] == 1


def test_few_files_are_open_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "OPEN", 3)
    made = Made(tmp_path / "exp", num_trials=12)
    board = watched(made)
    most = []
    made.observers.append(
        type("Count", (), {"record": lambda self, record: most.append(len(board._callback._files._open))})()
    )
    made.play(6, curve)
    board.close()
    assert max(most) == 3
    for trial in range(12):
        assert scalars(made, f"{trial:06}", "accuracy") == reported(made, trial)
        assert len(list((made.study_folder.path / "tensorboard" / f"{trial:06}").iterdir())) == 1


def test_a_full_disk_is_said_once(made, monkeypatch):
    board = watched(made)
    made.start(0)

    def full(self, run):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensorboard.EventFiles, "_file", full)
    with pytest.warns(HbsimWarning, match="No space left on device.*the study goes on") as caught:
        made.play(2, curve)
    board.tick()
    board.close()
    assert len(caught) == 1
