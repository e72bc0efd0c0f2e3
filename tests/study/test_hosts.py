"""Workers on hosts that come and go, as the table and the plain lines show them."""

from __future__ import annotations

import io
from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console

from hbsim.executors.devices import Gpu
from hbsim.executors.slots import Slot
from hbsim.runner.records import WorkerJoined
from hbsim.study.progress_display import LiveTable, PlainLines, _about, gpu_labels
from hbsim.study.progress_summary import ProgressSummary, WorkerSummary

from .made import Made

A, B = "node-a.cluster.example", "node-b.cluster.example"
HOSTS = (A, A, B, B)


def gpu(host, number):
    return Gpu(str(number), "NVIDIA A100", None, f"GPU-{host}-{number}")


# Workers 0 and 1 are on A, 2 and 3 on B.
SLOTS = [Slot(worker, (0, 1), 2, (gpu(worker // 2, worker % 2),), {}) for worker in range(4)]
WORKERS = SimpleNamespace(slots=SLOTS, hosts=lambda: "2 hosts: a, b")


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Made(tmp_path / "exp", retries=1)


def overview_of(made):
    return ProgressSummary(made.spec, made.state, made.study_folder, None, made.clock)


@pytest.fixture
def table(made):
    console = Console(file=io.StringIO(), width=150, height=30, force_terminal=True, color_system=None)
    overview = overview_of(made)
    table = LiveTable(
        overview, lambda: SLOTS, lambda: _about(WORKERS, overview.workers.open), console, made.clock
    )
    made.observers.append(table)
    return table


def opened(made, *workers, t=None, hosts=HOSTS):
    for worker in workers:
        made.write("open", t, worker=worker, host=hosts[worker], cpus=2, gpus=[])


def shut(made, *workers, t=None, reason=" does not answer"):
    """Shut workers, for reasons that begin with the name of their host, as the fleet's do."""
    for worker in workers:
        made.write("shut", t, worker=worker, reason=f"{HOSTS[worker]}{reason}")


def lines(table, width=None):
    if width is not None:
        table._console.width = width
    with table._console.capture() as capture:
        table._console.print(table.picture())
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_workers_are_shown_with_their_hosts(made, table):
    opened(made, 0, 1, 2, 3)
    for worker in range(3):
        made.start(worker, 1.0)
    opened(made, 3)
    picture = lines(table)
    assert picture[0] == (
        "study promotion of train.py:train_fn, 4 workers: 2 CPU cores and 1 GPU each (4 x NVIDIA A100)"
        " on 2 hosts: a, b"
    )
    assert picture[5].startswith("worker host trial")
    rows = [line.split() for line in picture[7:]]
    assert [row[:3] for row in rows[:3]] == [["0", "node-a", "0"], ["1", "node-a", "1"], ["2", "node-b", "2"]]
    assert rows[3] == ["3", "node-b", "1", "idle"]  # nobody has asked yet
    assert [row[-6] for row in rows[:3]] == ["0", "1", "0"]  # its GPU


def test_one_host_has_no_column(made, table):
    opened(made, 0, 1)
    assert lines(table)[5].startswith("worker trial")


def test_a_host_that_does_not_answer(made, table):
    opened(made, 0, 1, 2, 3)
    for worker in range(3):
        made.start(worker, 1.0)
    shut(made, 2, 3, t=31.0)
    made.clock.now += 12
    picture = lines(table)
    assert "2 workers: 2 CPU cores" in picture[0]
    assert picture[1].endswith("; no answer from node-b.cluster.example for 12s")
    assert picture[2].endswith("3 of 20 started: 2 running, 1 no answer")
    assert [line.split()[0] for line in picture[-5:-1]] == ["0", "1", "2", "3"]
    assert " no answer for 12s " in picture[-3]  # it has a trial
    assert picture[-2].endswith(" no answer")
    opened(made, 2, 3, t=50.0)
    picture = lines(table)
    assert not [line for line in picture if "no answer" in line]
    assert picture[2].endswith("3 running")


def test_a_host_that_is_lost(made, table):
    opened(made, 0, 1, 2, 3)
    for worker in range(4):
        made.start(worker, 1.0)
    shut(made, 2, 3, t=31.0, reason=": its connection is closed")
    picture = lines(table)
    assert [line[0] for line in picture[7:11]] == ["0", "1", "2", "3"]
    silent = " no answer for 0s: host is gone: its connection is closed"
    assert all(f"{silent} lr=" in line for line in picture[9:11])
    made.fail(2, "its host is gone", 32.0, kind="lost")
    picture = lines(table)
    assert [line[0] for line in picture[8:12]] == ["0", "1", "3", "2"]  # what has no job comes last
    assert picture[11].endswith(" host is gone: its connection is closed")
    opened(made, 2, t=40.0)
    picture = lines(table)
    assert "3 workers: 2 CPU cores" in picture[0]
    assert any("its connection is closed lr=" in line for line in picture)


def test_a_host_that_is_taken_away(made, table):
    opened(made, 0, 1, 2, 3)
    for worker in range(3):
        made.start(worker, 1.0)
    shut(made, 2, 3, t=2.0, reason=" is taken away")
    picture = lines(table)
    assert "3 running" in picture[2]
    assert "no answer" not in " ".join(picture)
    assert " no report yet; host is taken away lr=" in picture[9]
    assert picture[10].endswith(" host is taken away")


def test_a_study_that_lost_a_host_does_not_end(made, table):
    opened(made, 0, 1, 2, 3)
    for worker in range(4):
        made.start(worker, 1.0)
    made.reach(0, 0.5, 2.0)
    made.gone(0, 2.0)
    for worker in (2, 3):
        shut(made, worker, t=31.0)
        made.fail(worker, "it did not answer", 31.0, kind="lost")
    assert lines(table)[1].endswith("workers busy 73%")  # worker 0 is to be given a trial that is tried again


def test_no_workers(made, table):
    assert lines(table)[1] == "time 0:00:00, no workers: waiting for a host"
    opened(made, 0, 1)
    assert lines(table)[1] == "time 0:00:00, workers busy 0%"
    shut(made, 0, 1, t=5.0)
    picture = lines(table)
    assert picture[0] == "study promotion of train.py:train_fn, no workers"
    assert picture[1] == "time 0:00:05, no workers: waiting for a host"
    made.close("interrupted", 6.0)
    assert lines(table)[1] == "time 0:00:06, interrupted"


@pytest.mark.parametrize("width", [80, 100, 150])
def test_a_narrow_table_has_room_for_what_workers_do(made, table, width):
    opened(made, 0, 1, 2, 3)
    made.start(0)
    shut(made, 2, 3)
    picture = lines(table, width)
    assert max(map(len, picture)) <= width
    assert [line.endswith("no answer") for line in picture].count(True) == 2
    assert ("time GPU state" in picture[5]) == (width >= 110)


def test_workers_that_differ(made):
    slots = [*SLOTS[:2], Slot(2, (0,), 1, (), {})]
    workers = SimpleNamespace(slots=slots, hosts=lambda: "2 hosts: a, b")
    assert _about(workers, range(3)) == "3 workers of 2 sizes on 2 hosts: a, b"
    assert _about(workers, [2]).startswith("1 worker: 1 CPU core on 2 hosts")
    assert _about(workers, []) == "no workers"
    assert _about(SimpleNamespace(slots=(), hosts=lambda: "0 hosts: "), []) == "no workers yet"


def test_workers_and_their_seconds(made):
    made.play(2, lambda trial, resource: trial / 10)  # here, before
    made.write("resume", 1000.0)
    overview = overview_of(made)
    made.observers.append(overview)
    team = overview.workers
    opened(made, 0, 1, t=1000.0)
    made.write("start", 1000.0, job=500, worker=0, trial=0, bracket=0, start=0, stop=1, attempt=0, point=[])
    shut(made, 0, t=1010.0)
    assert list(team.open) == [1]
    assert (team.idle, team.rows(), team.silent) == (1, [0, 1], {0: 1010.0})
    # Worker 0 does not count any more: nobody knows what it does.
    assert team.busy_share(1020.0) == pytest.approx(10 / 30)
    made.gone(500, 1020.0)
    assert not team.silent
    assert team.busy_share(1030.0) == pytest.approx(10 / 40)
    assert team.rows() == [1, 0]
    shut(made, 1, t=1030.0)
    assert team.busy_share(2000.0) == pytest.approx(10 / 40)  # nobody was there


@pytest.mark.parametrize(
    ("hosts", "short"),
    [
        ([A, A, B], ["node-a", "node-a", "node-b"]),
        ([A, A], []),
        (["x.one", "x.two"], ["x.one", "x.two"]),
        (["10.0.0.1", "10.0.0.2"], ["10.0.0.1", "10.0.0.2"]),
        (["me@10.0.0.1", "me@11.0.0.2"], ["me@10.0.0.1", "me@11.0.0.2"]),
        (["gpu1.lab:2222", "me@gpu2.lab"], ["gpu1", "me@gpu2"]),
        (["a", "b.c"], ["a", "b"]),
    ],
)
def test_short_names_of_hosts(made, hosts, short):
    team = WorkerSummary(made.journal_state, None)
    for worker, host in enumerate(hosts):
        team.record(WorkerJoined(time=0.0, worker=worker, host=host, cpus=1, gpus=[]))
    assert list(team.short_hosts().values()) == short


def test_gpus_are_numbered_on_each_host():
    uuids = [Slot(w, None, 1, (Gpu(f"GPU-{w}", "A100", None, f"GPU-{w}"),), {}) for w in range(4)]
    assert gpu_labels(uuids, {0: "a", 1: "a", 2: "b", 3: "b"}) == ["0", "1", "0", "1"]
    assert gpu_labels([*uuids, Slot(4, None, 1, (), {})]) == ["0", "1", "2", "3", ""]


# Plain lines


def watched(made, about="4 workers on 2 hosts: a, b"):
    watcher = PlainLines(overview_of(made), about, made.clock)
    made.observers.append(watcher)
    return watcher


def told(capsys):
    return capsys.readouterr().err.splitlines()


def test_lines_about_hosts_that_come_and_go(made, capsys):
    watcher = watched(made)
    opened(made, 0, 1, 2, 3)
    watcher.tick()
    assert len(told(capsys)) == 1  # as it says already
    shut(made, 2, 3, t=60.0)
    watcher.tick()
    opened(made, 2, t=90.0)
    watcher.tick()
    shut(made, 0, 1, 2, t=120.0, reason=": it has ended")
    watcher.tick()
    opened(made, 0, 3, t=150.0)
    watcher.tick()
    assert [line for line in told(capsys) if " trials" not in line and " started" not in line] == [
        f"[0:01:00] no answer from 2 workers ({B}); 2 now",
        f"[0:01:30] new 1 worker ({B}); 3 now",
        f"[0:02:00] lost 3 workers ({A}, {B}): host is gone: it has ended; no workers: waiting for a host",
        f"[0:02:30] new 2 workers ({A}, {B}); 2 now",
    ]


def test_no_worker_at_the_beginning(made, capsys):
    watcher = watched(made, "no workers yet")
    for _ in range(100):
        made.clock.now += 0.25
        watcher.tick()
    lines = told(capsys)
    assert lines[0].endswith("starts, no workers yet, in exp")
    assert next(line for line in lines if "workers:" in line).endswith("] no workers: waiting for a host")
    opened(made, 0)
    watcher.tick()
    assert told(capsys)[0].endswith(f"] new 1 worker ({A}); 1 now")


def test_hosts_that_flap_have_at_most_a_line_a_second(made, capsys):
    watcher = watched(made)
    opened(made, *range(4))
    for step in range(400):
        (shut if step % 2 else opened)(made, 3, t=step / 40)
        watcher.tick()
    assert len([line for line in told(capsys) if "worker" in line]) <= 12


def test_many_hosts_are_not_all_named(made, capsys):
    watcher = watched(made)
    watcher.tick()
    made.clock.now += 2
    opened(made, *range(50), hosts=[f"n{i}" for i in range(50)])
    watcher.tick()
    assert told(capsys)[-1].endswith("new 50 workers (n0, n1, n2 and 47 more); 50 now")


def test_local_studies_have_no_lines_about_workers(made, capsys):
    watcher = PlainLines(
        ProgressSummary(made.spec, made.state, made.study_folder, 2, made.clock), "2 workers", made.clock
    )
    made.observers.append(watcher)
    for _ in range(8):
        made.clock.now += 1
        watcher.tick()
    assert len(told(capsys)) == 1


def test_which_host_each_worker_was_on(made, tmp_path):
    opened(made, 0, 1, 2, t=1.0)
    shut(made, 2, t=3.0)
    opened(made, 2, t=4.0, hosts=(A, A, A, B))
    made.write("resume", 6.0)
    opened(made, 0, t=7.0, hosts=(B,))
    found = made.result()
    rows = [(0, A, 1.0, 6.0), (1, A, 1.0, 6.0), (2, B, 1.0, 3.0), (2, A, 4.0, 6.0), (0, B, 7.0, None)]
    assert found.hosts.rows() == rows
    assert found.hosts.columns == ["worker", "host", "opened", "shut"]
    found.write()
    assert pl.read_parquet(tmp_path / "exp" / "hosts.parquet").equals(found.hosts)


def test_a_study_on_this_machine_has_no_hosts(made, tmp_path):
    found = made.result()
    assert found.hosts.rows() == []
    found.write()
    assert not (tmp_path / "exp" / "hosts.parquet").exists()


@pytest.mark.parametrize("width", [40, 60, 80])
def test_hosts_are_named_on_narrow_terminals_too(made, table, width):
    opened(made, 0, 1, 2, 3)
    made.start(0)
    picture = lines(table, width)
    end = next(number for number, line in enumerate(picture) if line.startswith("time "))
    said = " ".join(picture[:end])
    assert said == (
        "study promotion of train.py:train_fn, 4 workers: 2 CPU cores and 1 GPU each (4 x NVIDIA A100)"
        " on 2 hosts: a, b"
    )
    assert max(map(len, picture)) <= width
