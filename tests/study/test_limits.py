"""Limits of trials, real processes: a time limit."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

import hbsim
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.options import parse_duration

FUNCTION = """
import subprocess
import time

import hbsim


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def slow(args, reporter):
    reporter(epoch=1, accuracy=args.x)
    if args.trial == 0:
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        (reporter.folder / "pid").write_text(str(child.pid))
        time.sleep(1000)
    for epoch in (2, 3):
        reporter(epoch=epoch, accuracy=args.x)
"""
SCRIPT = """
echo "epoch=1 accuracy=$2"
if [ "$1" = 0 ]; then
    trap '' TERM
    setsid sleep 1000 & echo $! > "$HBSIM_CHECKPOINT_DIR/../pid"
    while :; do sleep 0.05; done
fi
for e in 2 3; do echo "epoch=$e accuracy=$2"; done
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["function", "script"])
def test_a_trial_that_trains_for_too_long_fails_with_all_that_it_started(kind):
    if kind == "function":
        Path("train.py").write_text(FUNCTION)
        train: object = "train.py:slow"
    else:
        Path("train.sh").write_text(SCRIPT)
        pattern = r"epoch=(?P<epoch>\d+) accuracy=(?P<accuracy>\S+)"
        space = {"x": hbsim.Real(0.0, 1.0)}
        train = hbsim.Command("sh train.sh {trial} {x}", space, report_pattern=pattern)
    scheduler = hbsim.make_scheduler("fifo", max_t=3, num_trials=2)
    result = hbsim.run(train, scheduler, workers=2, trial_timeout="0.5s", grace=0.3, progress="none")
    reason = "it trained for more than 0.5 s (trial_timeout)"
    assert result.failures.rows() == [(0, "error", reason)]
    assert result.trials["status"].to_list() == ["failed", "completed"]
    assert result.reports.filter(trial=0)["resource"].to_list() == [1]
    assert result.why == "done"
    pid = int(Path("exp/trials/000000/files/pid").read_text())
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_limit_is_a_duration_and_a_simulation_says_that_it_ignores_it():
    scheduler = hbsim.make_scheduler("fifo", max_t=3, num_trials=2)
    for value, rule in (("soon", "must be seconds, or a text as 90s, 30m, 1.5h or 2d"), (0, "above 0")):
        with pytest.raises(ParameterError, match=rule) as caught:
            hbsim.run("train.py:slow", scheduler, trial_timeout=value)
        assert caught.value.field == "trial_timeout"
    Path("train.py").write_text(FUNCTION)
    with pytest.warns(HbsimWarning, match=r"executor='sim' ignores trial_timeout, grace$"):
        hbsim.run(
            "train.py:slow", scheduler, executor="sim", surrogate="synthetic", trial_timeout="1h", grace="1m"
        )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5h", 5400),
        ("30m", 1800),
        ("1h 30m", 5400),
        ("2d", 172800),
        (" 5 s ", 5),
        ("1e3", 1000),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "3x", "1h, 2m", "h1", "5 minutes"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="could not convert"):
        parse_duration(text)


MEMORY = """
import time
from pathlib import Path

import hbsim


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def hungry(args, reporter):
    tried = reporter.folder / "tried"
    if args.trial == 0 and not tried.exists():
        tried.touch()
        raise MemoryError("no more")
    while args.trial == 1 and not Path("exp/trials/000002/files").exists():
        time.sleep(0.02)
    reporter.folder.touch()
    reporter(epoch=1, accuracy=args.x)
"""


def test_a_trial_that_ran_out_of_memory_is_tried_again_when_another_has_left():
    Path("train.py").write_text(MEMORY)
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=3, retries=1)
    result = hbsim.run("train.py:hungry", scheduler, workers=2, progress="none")
    assert result.failures["kind"].to_list() == ["oom"]
    assert set(result.trials["status"]) == {"completed"}
    jobs = result.jobs.filter(result.jobs["train_start"].is_not_null())
    assert jobs.filter(trial=0)["attempt"].to_list() == [0, 1]
    again = jobs.filter(trial=0, attempt=1).row(0, named=True)
    assert again["start_time"] >= jobs.filter(jobs["trial"] > 0)["end_time"].min()
