"""The live table: what it says of workers and of the study, at any width and height."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from hbsim.executors.devices import Gpu
from hbsim.executors.slots import Slot
from hbsim.study.progress_display import LiveTable, gpu_labels
from hbsim.study.progress_summary import ProgressSummary

from .made import Made


def slots(count, *gpus):
    return [Slot(w, None, 1, gpus[w % len(gpus) :][:1] if gpus else (), {}) for w in range(count)]


def shown(made, workers, width=140, height=40, gpus=()):
    """Return the lines of a table, before any record; `made.overview` is what it shows."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    overview = ProgressSummary(made.spec, made.state, made.study_folder, workers, made.clock)
    table = LiveTable(overview, lambda: slots(workers, *gpus), lambda: "some workers", console, made.clock)
    made.observers.append(table)
    return table


def lines(table):
    console = table._console
    with console.capture() as capture:
        console.print(table.picture())
    return capture.get().splitlines()


def rows(table):
    """Return the lines of the workers."""
    picture = lines(table)
    head = next(i for i, line in enumerate(picture) if "worker " in line and " state" in line)
    return [line for line in picture[head + 2 :] if line[:9].strip().isdigit()]


def row(table, worker):
    """Return the line of a worker without its hyperparameters."""
    return re.sub(r" ?lr=.*", "", " ".join(rows(table)[worker].split()))


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "exp", retries=1)


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("workers", [1, 4, 64, 300])
@pytest.mark.parametrize("height", [12, 25, 60])
def test_it_fits_the_terminal(tmp_path, width, workers, height):
    made = Made(tmp_path / "exp", num_trials=1000, brackets=3, reward="a_metric_with_a_very_long_name")
    gpus = [Gpu(f"GPU-{i}", "A100", None, f"GPU-{i}") for i in range(8)]
    table = shown(made, workers, width, height, gpus)
    for worker in range(workers - workers // 5):
        made.start(worker)
    made.fail(0, "a long story " * 30, 5.0)
    picture = lines(table)
    assert max(map(len, picture)) <= width
    assert len(picture) < height
    there = len(rows(table))
    hidden = [line for line in picture if "more workers" in line]
    assert there == min(workers, height - 10)  # study, time, trials, failed, folder
    if there < workers:
        rest, busy = range(there, workers), len([w for w in made.journal_state.workers if w >= there])
        assert (
            f"... and {len(rest)} more workers: {busy} with a trial, {len(rest) - busy} without" in hidden[0]
        )
    else:
        assert not hidden


def test_a_row_says_what_a_worker_does(made):
    table = shown(made, 3)
    job = made.start(0, 1.0)
    made.clock.now += 70
    assert row(table, 0) == "0 0 1/4 0/1 1m 10s no report yet"
    made.reach(job, 0.25, 80.0)
    assert row(table, 0) == "0 *0 1/4 1/1 ━━━━━━━━━━━━ 0.25 1m 19s paused, saving"
    made.start(1, 81.0)
    made.fail(1, "ValueError: no", 82.0)
    assert made.start(1, 82.0) == 2
    assert row(table, 1).endswith("no report yet, attempt 2")


def test_states_of_jobs_that_train(tmp_path):
    made = Made(tmp_path / "exp", "stopping", num_trials=2)
    table = shown(made, 3)
    job = made.start(0)
    made.start(1)
    made.start(2)
    assert row(table, 2) == "2 idle: num_trials reached"
    made.reach(job, 0.5, 1.0)
    made.start(2)
    made.rows(job, [(2, 0.5)], 2.0)
    assert row(table, 0).endswith(" 2/4 2/3 ━━━━━━━━ 0.5 2s training")
    made.clock.now += 3600
    assert row(table, 0).endswith(" silent for 1h 00m")


def test_what_a_held_job_waits_for(tmp_path):
    made = Made(tmp_path / "exp", num_trials=3, grace_period=9)
    table = shown(made, 4)
    jobs = [made.start(worker) for worker in range(3)]
    for job, value in zip(jobs, (0.1, 0.9, 0.5), strict=True):
        made.reach(job, value, 1.0)
    promoted = made.start(3, 2.0)
    assert made.journal_state.runs[promoted].trial == 1
    assert row(table, 3).endswith(" waits: worker 1 still saves trial 1")
    made.gone(jobs[1], 3.0)
    made.start(1)
    assert row(table, 3).endswith(" no report yet")
    made.rows(promoted, [(1, 0.3)], 4.0)
    assert row(table, 3).endswith(" trains again up to 9")


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("stopping", {}, "num_trials reached"),
        ("fifo", {}, "num_trials reached"),
        ("pasha", {}, "num_trials reached, nothing promotable"),
        ("promotion", {}, "num_trials reached, nothing promotable"),
        ("sha", {"n": 27}, "num_trials reached, the rung waits for its last trials"),
        ("sha", {"n": 27, "num_trials": None}, "the rung waits for its last trials"),
    ],
)
def test_idle_workers_say_why(tmp_path, kind, options, why):
    made = Made(tmp_path / "exp", kind, **{"num_trials": 27, **options})
    table = shown(made, 28)
    for worker in range(28):
        made.start(worker)
    assert row(table, 27) == f"27 idle: {why}"
    assert any(f"1 idle: {why}" in line for line in lines(table)[:3])


def test_the_end_of_a_study_shows_before_its_workers_are_idle(tmp_path):
    made = Made(tmp_path / "exp", "stopping", num_trials=2)
    table = shown(made, 3)
    first = made.start(0)
    made.start(1)
    made.start(2)
    assert row(table, 2) == "2 idle: num_trials reached"
    made.reach(first, 0.5, 1.0)
    assert row(table, 0).endswith("training")
    assert row(table, 2) == "2 idle"  # nobody has asked yet
    made.journal_state.closing = True
    assert row(table, 0).endswith("leaves at next report")
    assert row(table, 2) == "2 idle: the study ends"


def test_the_head_says_where_the_study_stands(made, monkeypatch):
    monkeypatch.chdir(made.study_folder.path.parent)
    table = shown(made, 2)
    one, two = made.start(0, 0.0), made.start(1, 10.0)
    made.reach(one, 0.5, 20.0)
    made.gone(one, 20.0)
    made.fail(two, "ValueError: [bold]no[/bold]\x1b[31m\nand more", 30.0, kind="oom")
    made.clock.now += 10
    head = [line.strip() for line in lines(table)[:7]]
    assert head == [
        "study   promotion of train.py:train_fn, some workers",
        "time    0:00:40, workers busy 50%",
        "trials  2 of 20 started: 1 waiting for memory, 1 paused",
        "best    accuracy 0.5: trial 0 at epoch 1, after 0:00:20",
        "lr=0.0001 act=relu",
        "failed  1 time; last trial 1 (oom, tried again): ValueError: [bold]no[/bold]\\x1b[31m and more",
        "folder  exp",
    ]


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("done", "done"),
        ("interrupted", "interrupted"),
        ("max_time", "ended: the time limit (max_time) is over"),
    ],
)
def test_at_the_end_only_the_study_is_left(made, why, words):
    table = shown(made, 2)
    made.start(0)
    made.close(why, 61.0)
    made.clock.now += 100
    picture = lines(table)
    assert picture[1].strip() == f"time    0:01:01, {words}"
    assert picture[2].strip() == "trials  1 of 20 started: 1 interrupted"
    assert not any("worker " in line for line in picture)


def test_busy_share_counts_from_where_a_study_goes_on(made):
    job = made.start(0, 0.0)
    made.reach(job, 0.5, 1000.0)
    made.gone(job, 1000.0)
    shown(made, 4)
    overview = made.observers[0]._summary
    made.start(0, 1000.0)
    other = made.start(1, 1000.0)
    made.gone(other, 1005.0)
    made.clock.now += 5
    assert overview.elapsed == 1010.0
    assert overview.workers.busy_share(1010.0) == pytest.approx((10 + 5) / (4 * 10))


def test_pictures_are_drawn_at_most_four_times_a_second(made, monkeypatch):
    table = shown(made, 2)
    drawn = []
    monkeypatch.setattr(table, "picture", lambda: drawn.append(made.clock.now) or "")
    for _ in range(200):
        made.clock.now += 0.01
        table.tick()
    assert 7 <= len(drawn) <= 9


def test_pictures_that_take_long_are_drawn_less_often(made, monkeypatch):
    table = shown(made, 2)
    drawn = []

    def slow():
        drawn.append(made.clock.now)
        made.clock.now += 0.5
        return ""

    monkeypatch.setattr(table, "picture", slow)
    for _ in range(1000):
        made.clock.now += 0.1
        table.tick()
    assert len(drawn) <= 12


class Gone(io.StringIO):
    def write(self, text):
        raise OSError("the terminal is gone")


def test_a_terminal_that_is_gone_does_not_end_the_study(made):
    console = Console(file=Gone(), width=80, height=25, force_terminal=True)
    overview = ProgressSummary(made.spec, made.state, made.study_folder, 1, made.clock)
    table = LiveTable(overview, lambda: slots(1), lambda: "", console, made.clock)
    made.observers.append(table)
    table.tick()
    made.start(0)
    made.clock.now += 10
    table.tick()
    table.close()


def test_a_study_is_drawn_from_its_first_to_its_last_moment(tmp_path):
    made = Made(tmp_path / "exp", num_trials=9)
    table = shown(made, 2)
    table.tick()
    made.play(2, lambda trial, resource: trial / 10)
    table.tick()
    table.close()
    assert "9 of 9 started" in table._console.file.getvalue()
    assert not table._live.is_started


def test_gpus_are_numbered():
    def gpu(visible):
        return Gpu(visible, "A100", None, visible)

    half = [Slot(w, None, 1, (gpu(f"GPU-{w % 2}"),), {}, 2) for w in range(4)]
    assert gpu_labels(half) == ["0", "1", "0", "1"]
    assert gpu_labels([Slot(0, None, 1, (gpu("2"), gpu("7")), {})]) == ["2,7"]
    assert gpu_labels(slots(2)) == []


def test_hyperparameters_and_the_best_trials_are_shown_at_80_columns(made):
    table = shown(made, 2, width=80, height=24)
    for trial, value in enumerate((0.3, 0.9, 0.6, 0.2)):
        job = made.start(trial % 2, trial * 2.0)
        made.reach(job, value, trial * 2.0 + 1)
        made.gone(job, trial * 2.0 + 1)
    job = made.start(0)
    made.rows(job, [(1, 0.05)], 9.0)
    picture = lines(table)
    assert max(map(len, picture)) <= 80
    place = next(place for place, line in enumerate(picture) if line.startswith(" best"))
    assert [" ".join(line.split()) for line in picture[place : place + 4]] == [
        "best accuracy 0.9: trial 1 at epoch 1, after 0:00:03",
        "lr=0.000251 act=tanh",
        "2. 0.6: trial 2, lr=0.000631 act=relu",
        "3. 0.3: trial 0, lr=0.0001 act=relu",
    ]
    assert rows(table)[0].rstrip().endswith("  lr=0.00158 act=tanh")  # in place of the word for training
    assert "3." not in "".join(lines(shown(made, 2, width=80, height=12)))
    wide = rows(shown(made, 2, width=140))[0].rstrip()
    assert wide.endswith("training  lr=0.00158 act=tanh")
