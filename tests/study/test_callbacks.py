"""Callbacks of a study: each event once, in order, and nothing that they do ends it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import chdir
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.study import callback_process, callbacks
from hbsim.study.callback_process import CallbackProcess, name_callbacks, serve
from hbsim.study.callbacks import CallbackObserver, StudyInfo
from hbsim.study.folder import JOURNAL
from hbsim.study.options import RunOptions
from hbsim.study.run import callbacks_of
from tests.doubles.journal_lines import read_journal
from tests.profile import examples

from .made import Made
from .recording_callbacks import (
    Exits,
    Fails,
    FailsAtOnce,
    Hangs,
    HangsInOwnProcess,
    LocalRecorder,
    Recorder,
)

TRAIN = f"{Path(__file__).parent / 'training.py'}:train_fn"
LIMIT = 60.0


def expected(folder):
    """Return the calls that the records of a study's journal stand for, naively, by kind."""
    made = {"start": [], "report": [], "decision": [], "failure": [], "end": []}
    trials, fate, reached, running = {}, {}, {}, set()
    words = {"pause": "paused", "stop": "stopped", "complete": "completed"}
    for record in read_journal(folder / JOURNAL):
        kind, time = record["e"], record.get("t", 0.0)
        if kind in ("start", "restart"):
            trials[record["job"]] = record["trial"]
            running.add(record["job"])
            made["start"].append((record["trial"], record["attempt"]))
        for at, _, resource, metrics in record.get("rows", ()):
            trial = trials[record["job"]]
            made["report"].append((trial, resource, metrics, at, reached.get(trial, -1.0)))
            reached[trial] = max(resource, reached.get(trial, -1.0))
        if kind == "reach":
            made["decision"].append((trials[record["job"]], record["value"], record["verdict"], time))
            fate[record["job"]] = words.get(record["verdict"], "interrupted")
        if kind == "fail":
            made["failure"].append((trials[record["job"]], record["kind"], record["reason"], time))
            fate[record["job"]] = "failed" if record["verdict"] == "stop" else "interrupted"
        if kind == "return":
            fate[record["job"]] = "completed"
        over = [record["job"]] if kind == "gone" else list(running) if kind in ("resume", "close") else []
        for job in over:
            running.remove(job)
            made["end"].append((trials[job], fate.get(job, "interrupted"), time))
    return made


def events(calls):
    """Return the calls of a callback by kind, in the form of `expected`."""
    kinds = {
        "start": lambda trial, attempt, config, time: (trial, attempt),
        "report": lambda trial, resource, metrics, time, reached, best: (
            *(trial, resource, metrics, time, reached),
        ),
        "decision": lambda trial, resource, value, verdict, time: (trial, value, verdict, time),
        "failure": lambda trial, kind, reason, verdict, time: (trial, kind, reason, time),
        "end": lambda trial, status, time: (trial, status, time),
    }
    return {name: [made(*words[1:]) for words in calls if words[0] == name] for name, made in kinds.items()}


def check_pairs(calls):
    """Check that each trial starts and ends in turn, and makes its reports in between."""
    running = set()
    for kind, trial, *_ in (words for words in calls if words[0] not in ("study", "over", "flush")):
        assert (trial in running) == (kind != "start"), (kind, trial)
        running ^= {trial} if kind in ("start", "end") else set()


def read(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


# A real study, with callbacks of all kinds


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run a study in which trial 1 fails in its third epoch; return its result, the calls and warnings."""
    folder = tmp_path_factory.mktemp("callbacks")
    recorder = LocalRecorder()
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=8, retries=1)
    in_own_process = [Recorder(str(folder / "calls.jsonl")), Exits()]
    with chdir(folder), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = hbsim.run(
            TRAIN,
            scheduler,
            workers=2,
            folder=folder / "exp",
            args={"how": "raise", "only": 1},
            progress="none",
            callbacks=[Fails(), recorder, *in_own_process],
        )
    return result, recorder.calls, read(folder / "calls.jsonl"), [str(one.message) for one in caught]


@pytest.mark.parametrize("which", [1, 2], ids=["in process", "own process"])
def test_every_event_is_recorded_once_and_in_order(ran, which):
    result, calls = ran[0], ran[which]
    assert events(calls) == expected(result.folder)
    check_pairs(calls)
    assert calls[0] == ["study", False]
    assert [words[:2] for words in calls if words[0] in ("study", "over")] == [calls[0], ["over", "done"]]
    assert calls[-1] == ["flush"]
    [counts] = [words[2] for words in calls if words[0] == "over"]
    assert counts == result.scheduler.status_counts()
    configurations = [words[3] for words in calls if words[0] == "start" and words[2] == 0]
    assert all(one in configurations for one in (result.configuration(trial) for trial in range(8)))
    best = [words for words in calls if words[0] == "report" and words[-1]]
    improvements, so_far = [], -inf  # in the order of the journal, which that of times may differ from
    for words in (words for words in calls if words[0] == "report"):
        value = words[3]["accuracy"] if isinstance(words[3], dict) else words[3]
        if value is not None and value > so_far:
            improvements.append(words)
            so_far = value
    assert best == improvements


def test_callbacks_that_fail_are_named_once_and_the_study_ends_as_without_them(ran):
    result, *_, said = ran
    assert result.why == "done"
    assert len(result.failures) == 2
    assert [text for text in said if "Fails" in text] == [
        "callback Fails: on_report raised ValueError: no\nnetwork; the study goes on"
    ]
    [exits] = [text for text in said if "Exits" in text]
    assert "its process has ended (exit code 3): see" in exits
    assert len([text for text in said if text.startswith("callback ")]) == 2


# In the study's process


def observed(made, callback, resumed=False):
    study = StudyInfo(made.spec, made.study_folder.path, resumed, 0.0)
    observer = CallbackObserver(type(callback).__name__, callback, study, made.state)
    made.observers = [observer]
    return observer


def curve(trial, resource):
    return (trial * 7 % 11 + resource) / 40


def test_a_call_that_hangs_is_broken_off_and_no_other_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "LONGEST", 0.05)
    made = Made(tmp_path / "exp", num_trials=4)
    observer = observed(made, Hangs())
    usual = signal.getsignal(signal.SIGALRM)
    with pytest.warns(HbsimWarning, match=r"Hangs: on_report took more than 0.05 s.*own_process") as caught:
        made.play(2, curve)
    observer.tick()
    observer.close()
    assert len(caught) == 1
    assert signal.getsignal(signal.SIGALRM) is usual


def test_what_is_known_is_taken_over_when_a_study_goes_on(tmp_path):
    made = Made(tmp_path / "exp", num_trials=9, retries=1)
    jobs = [made.start(worker, 0.0) for worker in range(3)]
    made.reach(jobs[0], 0.5, 1.0)
    made.gone(jobs[0], 1.0)
    made.rows(jobs[1], [(0.5, 0.7)], 1.0)
    recorder = LocalRecorder()
    made.write("change", job=jobs[1], resource=1, values={"batch": [32, 16], "act": ["relu", "relu"]})
    observer = observed(made, recorder, resumed=True)
    made.write("resume")
    described = {"bracket": 0, "start": 0, "stop": 1, "attempt": 0}
    made.write("restart", 2.0, worker=0, was=jobs[1], job=3, trial=1, **described)
    made.rows(3, [(0.5, 0.6)], 3.0)
    made.write("change", job=3, resource=0.75, values={"lr": [0.1, 0.5]})
    made.rows(3, [(0.75, 0.8)], 3.0)
    made.write("change", job=3, resource=0.8, values={"batch": [32, 32]})
    made.rows(3, [(0.8, 0.8)], 3.0)
    observer.close()
    reports = [words for words in recorder.calls if words[0] == "report"]
    assert [(*words[1:3], *words[-2:]) for words in reports] == [
        (1, 0.5, 0.5, False),
        (1, 0.75, 0.5, True),
        (1, 0.8, 0.75, False),  # as good as the best, and at the same time
    ]
    assert recorder.calls[0] == ["study", True]
    assert recorder.changes == [{"batch": 16}, {"batch": 16, "lr": 0.5}, {"lr": 0.5}]
    assert recorder.study.counts == {"running": 2, "paused": 1, "stopped": 0, "completed": 0, "failed": 0}


def test_after_an_error_at_the_start_there_are_no_more_calls(tmp_path):
    made, callback, said = Made(tmp_path / "exp", num_trials=2), FailsAtOnce(), []
    with pytest.warns(
        HbsimWarning, match="on_study_start raised .*: no server; it gets no more calls; the st"
    ):
        observer = observed(made, callback)
    made.play(2, curve)
    observer.tick()
    observer.close()
    made.result()
    (tmp_path / "exp" / "callbacks").mkdir()
    serve(tmp_path / "exp", "there", callback, False, 0.0, pytest.fail, said.append)
    assert said == ["on_study_start raised ConnectionError: no server; it gets no more calls"]
    assert callback.calls == []
    serve(tmp_path / "exp", "there", LocalRecorder(), True, 0.0, lambda: True, said.append)
    assert len(said) == 1


def test_a_promoted_trial_starts_once_its_last_process_has_ended(tmp_path):
    made, recorder = Made(tmp_path / "exp", num_trials=3), LocalRecorder()
    observer = observed(made, recorder)
    jobs = [made.start(worker, 0.0) for worker in range(3)]
    for job, value in zip(jobs, (0.9, 0.1, 0.2), strict=True):
        made.reach(job, value, 1.0)
    made.gone(jobs[1], 1.0)
    promoted = made.start(1, 2.0)  # trial 0, whose process still saves
    assert made.journal_state.runs[promoted].trial == 0
    assert [words[:2] for words in recorder.calls[-2:]] == [["decision", 2], ["end", 1]]
    made.gone(promoted, 3.0)  # its worker is lost before it begins
    assert recorder.calls[-1][:2] == ["end", 1]
    described = {"trial": 0, "bracket": 0, "start": 1, "stop": 3, "attempt": 0}
    made.write("restart", 4.0, worker=0, was=promoted, job=promoted + 1, **described)
    made.gone(jobs[0], 5.0)
    assert [words[:3] for words in recorder.calls[-2:]] == [["end", 0, "paused"], ["start", 0, 0]]
    made.write("resume")
    assert [words[:3] for words in recorder.calls[-2:]] == [["end", 2, "paused"], ["end", 0, "interrupted"]]
    check_pairs(recorder.calls)
    observer.close()


def test_an_error_ends_no_study_where_warnings_are_errors(tmp_path, capsys):
    made = Made(tmp_path / "exp", num_trials=4)
    observer = observed(made, Fails())
    made.play(2, curve)
    observer.close()
    assert capsys.readouterr().err.startswith("hbsim: callback Fails: on_report raised ValueError: no")


# In a process of its own


def written(folder, retries=1):
    """Return a study whose journal is in its folder, and the lines."""
    made = Made(folder, num_trials=7, retries=retries, max_t=9)
    made.play(2, curve, fails=lambda trial, resource: trial in (2, 5) and resource == 2)
    result = made.result()
    return result, made.study_folder.journal.read_bytes().splitlines(keepends=True)


@given(st.lists(st.floats(0, 1), max_size=4), st.booleans())
@settings(max_examples=examples(100), deadline=None)
def test_however_it_is_divided_each_event_is_recorded_once(tmp_path_factory, cuts, torn):
    folder = tmp_path_factory.mktemp("cut") / "exp"
    _, lines = written(folder)
    journal, whole = folder / JOURNAL, LocalRecorder()
    (folder / "callbacks").mkdir()
    serve(folder, "whole", whole, False, 0.0, lambda: True, pytest.fail)
    calls = []
    for cut in (*sorted(cuts), 1.0):
        count = max(1, round(cut * len(lines)))
        rest = lines[count][:20] if torn and count < len(lines) else b""
        journal.write_bytes(b"".join(lines[:count]) + rest)
        part = LocalRecorder()
        serve(folder, "parts", part, True, 0.0, lambda: True, pytest.fail)
        calls += part.calls
    ends = ("study", "over", "flush")
    assert [words for words in calls if words[0] not in ends] == [
        words for words in whole.calls if words[0] not in ends
    ]
    assert events(calls) == expected(folder)


def test_a_journal_that_grows_is_followed(tmp_path):
    folder = tmp_path / "exp"
    _, lines = written(folder)
    journal, recorder = folder / JOURNAL, LocalRecorder()
    whole = b"".join(lines)
    begin = len(lines[0]) + 30
    journal.write_bytes(whole[:begin])
    (folder / "callbacks").mkdir()
    at = iter(range(begin, len(whole) + 1, 97))

    def is_over():
        for end in at:
            with journal.open("ab") as file:
                file.write(whole[file.tell() : end])
            return False
        journal.write_bytes(whole)
        return True

    serve(folder, "LocalRecorder", recorder, False, 0.0, is_over, pytest.fail)
    assert events(recorder.calls) == expected(folder)
    assert recorder.calls.count(["flush"]) < len(lines) / 4


def test_another_study_in_the_folder_begins_anew(tmp_path):
    folder = tmp_path / "exp"
    result, _ = written(folder)
    (folder / "callbacks").mkdir()
    (folder / "callbacks" / "LocalRecorder.known").write_text("0123456789abcdef 9999999\n")
    recorder = LocalRecorder()
    serve(folder, "LocalRecorder", recorder, False, 0.0, lambda: True, pytest.fail)
    assert len([words for words in recorder.calls if words[0] == "start"]) == len(result.jobs)


CODE = f"""
import sys, hbsim
from tests.study.recording_callbacks import Recorder
folder, resume = sys.argv[1:]
scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=9)
hbsim.run({TRAIN!r}, scheduler, workers=2, folder=folder, resume=resume == "True", progress="none",
          args={{"seconds": 0.03}}, callbacks=[Recorder(folder + ".jsonl")])
"""


def wait_for(condition, what):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_after_kill_9_each_event_is_recorded_once(tmp_path):
    folder = tmp_path / "exp"
    journal, calls = folder / JOURNAL, tmp_path / "exp.jsonl"
    after = random.Random(os.getpid()).randrange(5, 40)
    for resume in (False, True):
        words = [sys.executable, "-c", CODE, str(folder), str(resume)]
        process = subprocess.Popen(words, cwd=tmp_path)
        if not resume:
            wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > after, "no records")
            process.send_signal(signal.SIGKILL)
        assert process.wait(LIMIT) == (0 if resume else -signal.SIGKILL)
        ends = 1 + resume
        wait_for(lambda: calls.exists() and calls.read_text().count('["over"') == ends, "no end")  # noqa: B023
        calls_so_far = read(calls)
    assert [words[1] for words in calls_so_far if words[0] == "study"] == [False, True]
    assert events(calls_so_far) == expected(folder)


# What is given


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("wandb", "must be a list"),
        ([LocalRecorder], r"is a class: give an object, LocalRecorder\(\)"),
        ([3], "must be an hbsim.Callback, or the name of one"),
        (["wanb"], "must be mlflow, tensorboard, wandb or FILE.py:NAME. Did you mean 'wandb'"),
        (["mine.txt:Mine"], "must be mlflow"),
    ],
)
def test_what_is_no_callback_is_an_error(value, rule):
    with pytest.raises(ParameterError, match=rule) as caught:
        RunOptions.checked(callbacks=value)
    assert caught.value.field == "callbacks"


class Misspelt(hbsim.Callback):
    def on_trial_ended(self, trial, status, time): ...


class TooFew(hbsim.Callback):
    def on_trial_end(self, trial, status): ...


class OfTwo(LocalRecorder, type("Other", (), {"on_epoch": print, "on_fit": print})):
    on_record = None

    def on_fit(self): ...

    def on_report(self, *arguments): ...


def test_methods_that_would_never_be_called_or_fail_are_an_error():
    rule = r"Misspelt: hbsim.Callback has no method on_trial_ended, .*Did you mean 'on_trial_end'\?"
    with pytest.raises(ParameterError, match=rule):
        RunOptions.checked(callbacks=[Misspelt()])
    with pytest.raises(
        ParameterError, match=r"TooFew\.on_trial_end must take the arguments trial, status, time: "
    ):
        RunOptions.checked(callbacks=[TooFew()])
    assert len(RunOptions.checked(callbacks=[OfTwo(), Recorder("x")]).callbacks) == 2


MINE = """
import hbsim
class Mine(hbsim.Callback): pass
class Misspelt(hbsim.Callback):
    def on_start(self, study): pass
class Needs(hbsim.Callback):
    def __init__(self, where): pass
made = Mine()
hbsim.run("x.py:f", None)
class Later(hbsim.Callback): pass
"""


def test_callbacks_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("callbacks_of_mine.py").write_text(MINE)
    names = [
        "callbacks_of_mine.py:Mine",
        "callbacks_of_mine.py:made",
        LocalRecorder(),
        LocalRecorder(),
        Recorder("x"),
    ]
    found = name_callbacks(names)
    assert [one.name for one in found] == [
        "Mine",
        "made",
        "LocalRecorder",
        "LocalRecorder-2",
        "Recorder",
    ]
    assert [type(one.callback).__name__ for one in found[:2]] == ["Mine", "Mine"]
    for name, rule in (
        ("Needs", "missing 1 required"),
        ("Misspelt", "has no method on_start, "),
        ("Later", "has no Later"),
        ("hbsim", "is no hbsim.C"),
    ):
        with pytest.raises(ParameterError, match=rule):
            name_callbacks([f"callbacks_of_mine.py:{name}"])
    with pytest.raises(ParameterError, match=r"there is no file none\.py"):
        name_callbacks(["none.py:Mine"])
    with pytest.raises(ParameterError, match="Recorder cannot be pickled, which own_process = True needs"):
        name_callbacks([Recorder(threading.Lock())])


def test_one_that_hangs_in_its_process_is_killed_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(callback_process, "LAST", 0.2)
    folder = tmp_path / "exp"
    written(folder)
    [hangs] = name_callbacks([HangsInOwnProcess()])
    study = StudyInfo(Made(tmp_path / "x").spec, folder, False, 0.0)
    process = CallbackProcess(hangs.name, hangs.how, study)
    process.tick()
    with pytest.warns(
        HbsimWarning, match=r"HangsInOwnProcess: it had not ended 0\.2 s after the study, and was killed"
    ):
        process.__exit__(None)
    assert process._process.returncode == -signal.SIGKILL


def test_a_callback_that_cannot_be_loaded_in_its_process_is_named(tmp_path):
    folder = tmp_path / "exp"
    written(folder)
    study = StudyInfo(Made(tmp_path / "x").spec, folder, False, 0.0)
    with (
        pytest.warns(HbsimWarning, match="callback lost: it cannot be loaded in its process, ParameterError"),
        CallbackProcess("lost", {"text": str(tmp_path / "gone.py:Mine")}, study),
    ):
        pass


def test_the_visualizer_is_short_for_a_callback():
    pytest.importorskip("tensorboardX")
    for before in ([], ["mine.py:Table"]):
        options = RunOptions.checked(visualizer="tensorboard", callbacks=before)
        assert list(callbacks_of(options)) == [*before, "tensorboard"]
    both = RunOptions.checked(visualizer="tensorboard", callbacks=["tensorboard"])
    assert list(callbacks_of(both)) == ["tensorboard"]
    assert list(callbacks_of(RunOptions.checked())) == []
