"""Plain lines: useful, and bounded however much happens."""

from __future__ import annotations

import sys

import pytest

from hbsim.study.progress_display import PlainLines
from hbsim.study.progress_summary import ProgressSummary

from .made import Made


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Made(tmp_path / "exp", "fifo", max_t=1000, num_trials=None)


def watched(made, workers=4):
    overview = ProgressSummary(made.spec, made.state, made.study_folder, workers, made.clock)
    watcher = PlainLines(overview, "4 workers", made.clock)
    made.observers.append(watcher)
    return watcher


def later(made, watcher, seconds, steps):
    for _ in range(steps):
        made.clock.now += seconds / steps
        watcher.tick()


def read(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_short_study(made, capsys):
    watcher = watched(made, workers=2)
    job, other = made.start(0, 0.0), made.start(1, 0.0)
    made.rows(job, [(1, 0.5)], 65.0)
    watcher.tick()
    made.fail(other, "ValueError: [bold]no\x1b[31m\nmore", 66.0)
    made.close("interrupted", 70.0)
    assert read(capsys) == [
        "[0:00:00] fifo of train.py:train_fn starts, 4 workers, in exp",
        "[0:01:05] best accuracy 0.5: trial 0 at epoch 1, after 0:01:05",
        "[0:01:05] 2 started: 2 running; best accuracy 0.5 (trial 0); workers busy 100%",
        "[0:01:06] failed trial 1 (error): ValueError: [bold]no\\x1b[31m more; see exp/trials/000001/log.txt",
        "[0:01:10] 2 started: 1 interrupted, 1 failed; best accuracy 0.5 (trial 0); interrupted",
    ]


def test_a_study_that_goes_on_says_so(made, capsys):
    job = made.start(0, 5.0)
    made.rows(job, [(1, 0.5)], 6.0)
    watcher = watched(made)
    watcher.tick()
    assert read(capsys) == ["[0:00:06] fifo of train.py:train_fn goes on, 4 workers, in exp"]


def test_improvements_have_at_most_a_line_a_second(made, capsys):
    watcher = watched(made)
    job = made.start(0)
    for step in range(1, 551):
        made.rows(job, [(step, step / 1000)], step / 100)
        watcher.tick()
    best = [line for line in read(capsys) if " best " in line]
    assert 5 <= len(best) <= 6
    made.close("done", 6.0)
    assert read(capsys)[0] == "[0:00:06] best accuracy 0.55: trial 0 at epoch 550, after 0:00:05"


def test_improvements_that_cannot_be_seen_have_no_line(made, capsys):
    watcher = watched(made)
    job = made.start(0)
    for step in range(1, 9):
        made.rows(job, [(step, 1 - 10.0 ** -(step + 2))], 2.0 * step)
        watcher.tick()
    best = [line.partition(": ")[0] for line in read(capsys) if "] best " in line]
    shown = ["0.999", "0.9999", "0.99999", "1"]
    assert [line.rpartition(" ")[2] for line in best] == shown


def test_many_failures_are_counted(made, capsys):
    watcher = watched(made)
    watcher.tick()
    for number in range(1000):
        made.fail(made.start(0), f"error {number}", 5.0)
    later(made, watcher, 20, 200)
    lines = read(capsys)
    assert [line for line in lines if "failed trial" in line] == [
        f"[0:00:05] failed trial {n} (error): error {n}; see exp/trials/{n:06}/log.txt" for n in range(5)
    ]
    [summary] = [line for line in lines if "more failures" in line]
    assert summary.endswith("1,000 started: 1,000 failed; workers busy 12%; 995 more failures")


def test_one_more_failure_is_no_plural(made, capsys):
    watcher = watched(made)
    for number in range(6):
        made.fail(made.start(0), f"error {number}", 5.0)
    made.close("done", 6.0)
    assert read(capsys)[-1].endswith("; done; 1 more failure")
    assert watcher is made.observers[-1]


def test_time_does_not_run_backwards(made, capsys):
    """A study that is resumed needs a moment before its clock goes on from the last record."""
    made.fail(made.start(0), "error", 5.0)
    watcher = watched(made)
    made.clock.now += 3.0
    watcher.tick()
    made.close("done", 5.5)
    assert [line[:9] for line in read(capsys)] == ["[0:00:08]"] * 2


def test_a_summary_comes_every_ten_seconds_and_seldom_while_nothing_changes(made, capsys):
    watcher = watched(made)
    for number in range(10):
        made.start(number)
        later(made, watcher, 10, 40)
    assert 9 <= len(read(capsys)) - 1 <= 10
    later(made, watcher, 3600, 3600)
    assert len(read(capsys)) in (6, 7)


def test_stderr_that_is_closed_does_not_end_the_study(made, monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    watcher = watched(made)
    for stderr in (Closed(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        made.start(0)
        later(made, watcher, 60, 10)
