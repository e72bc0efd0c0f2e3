"""Nothing is left: killed jobs, what jobs leave behind, and a server or a controller that is killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from hbsim.errors import ParameterError
from hbsim.executors import processes, server_client
from tests.executors.serving import TRAIN, Serving, alive, wait_until
from tests.profile import thorough

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")

# Starts processes that would stay for ten minutes, each in another way, and says their ids.
LEAVES = """
    import os, signal, subprocess, sys

    def leave(*steps, fork_twice=False):
        out, into = os.pipe()
        if os.fork() == 0:
            if not fork_twice or os.fork() == 0:
                for step in steps:
                    step()
                os.write(into, b"%d\\n" % os.getpid())
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.execvp("sleep", ["sleep", "600"])
            os._exit(0)
        return int(os.read(out, 100))

    pids = [
        leave(),
        leave(lambda: os.setpgid(0, 0)),
        leave(os.setsid),
        leave(os.setsid, fork_twice=True),
        subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"]).pid,
    ]
    say(pids)
"""


class Clock:
    """In place of the module `time`: goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def serve(tmp_path):
    """Start servers, and close them."""
    made = []

    def start(**options):
        made.append(Serving(tmp_path, **options))
        made[-1].server.wait_ready()
        return made[-1]

    yield start
    for serving in made:
        serving.close()


def test_kill_sends_sigterm_first(serve):
    serving = serve()
    job = serving.run("import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); say(1); signal.pause()")
    assert job.heard() == 1
    serving.server.kill(job.number)
    assert serving.ended(job) == 5


@pytest.mark.parametrize("grace", [0.0, 0.1])
def test_kill_ends_a_job_that_ignores_sigterm(serve, grace):
    serving = serve(grace=grace)
    job = serving.run("import signal; signal.signal(15, signal.SIG_IGN); say(1)\nwhile True: signal.pause()")
    assert job.heard() == 1
    serving.server.kill(job.number)
    assert serving.ended(job) == -signal.SIGKILL


def test_kill_ends_a_job_that_is_stopped(serve):
    serving = serve(grace=0.1)
    job = serving.run("import os, signal; say(1); os.kill(os.getpid(), signal.SIGSTOP)")
    assert job.heard() == 1
    pid = serving.pid(job)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    serving.server.kill(job.number)
    assert serving.ended(job) == -signal.SIGKILL


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=thorough)])
def test_kill_before_the_job_has_begun(serve, start):
    serving = serve(start=start)
    jobs = []
    for _ in range(20 if start == "fork" else 2):
        jobs.append(serving.run("import signal; signal.pause()"))
        serving.server.kill(jobs[-1].number)
    assert {serving.ended(job) for job in jobs} == {-signal.SIGTERM}


def test_kill_of_what_has_ended_does_nothing(serve):
    serving = serve()
    job = serving.run("pass")
    assert serving.ended(job) == 0
    serving.server.kill(job.number)
    serving.server.kill(99)
    assert serving.ended(serving.run("status = 2")) == 2


@pytest.mark.parametrize(
    "end", ["status = 3", "import os; os.kill(os.getpid(), 9)", "import os; os._exit(3)"]
)
def test_what_a_job_leaves_is_gone_when_it_is_said_to_have_ended(serve, end):
    serving = serve()
    other = serving.run(textwrap.dedent(LEAVES) + "lines.readline()")
    others = other.heard()
    job = serving.run(textwrap.dedent(LEAVES) + end)
    pids = job.heard()
    assert len(pids) == 5
    assert serving.ended(job) in (3, -9)
    assert not any(alive(pid) for pid in pids)
    assert all(alive(pid) for pid in others)
    assert other.number not in serving.status
    other.connection.sendall(b"\n")
    assert serving.ended(other) == 0
    assert not any(alive(pid) for pid in others)


def test_close_leaves_nothing(serve):
    serving = serve()
    jobs = [serving.run(textwrap.dedent(LEAVES) + "lines.readline()") for _ in range(2)]
    pids = [pid for job in jobs for pid in (*job.heard(), serving.pid(job))]
    serving.close()
    assert not any(alive(pid) for pid in (*pids, serving.server.pid))
    serving.close()


def test_close_while_the_file_is_loaded(tmp_path):
    marker = tmp_path / "loads"
    serving = Serving(tmp_path, f"import time\nopen({str(marker)!r}, 'w').close()\ntime.sleep(600)\n")
    wait_until(marker.exists)
    serving.close()
    assert not alive(serving.server.pid)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_jobs_die_with_the_server(serve, start):
    serving = serve(start=start)
    code = "import signal; signal.signal(15, signal.SIG_IGN); say(1); signal.pause()"
    jobs = [serving.run(code) for _ in range(2)]
    assert [job.heard() for job in jobs] == [1, 1]
    pids = [serving.pid(job) for job in jobs]
    os.kill(serving.server.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids))
    wait_until(lambda: serving.server.receive() == [] and serving.server.dead)
    serving.server.kill(jobs[0].number)  # is no error


def test_the_controller_ends_what_a_dead_server_has_left(serve):
    serving = serve()
    job = serving.run("import subprocess; say(subprocess.Popen(['sleep', '600']).pid); lines.readline()")
    pids = [job.heard(), serving.pid(job)]
    os.kill(serving.server.pid, signal.SIGKILL)
    wait_until(lambda: not alive(serving.server.pid))  # its descendants are nobody's now
    serving.server.kill_all()
    assert not any(alive(pid) for pid in (*pids, serving.server.pid))


def test_the_controller_ends_a_server_that_is_stopped_and_all_that_descends_from_it(serve):
    serving = serve()
    job = serving.run(textwrap.dedent(LEAVES) + "lines.readline()")
    pids = [*job.heard(), serving.pid(job), serving.server.pid]
    os.kill(serving.server.pid, signal.SIGSTOP)
    serving.close()
    assert not any(alive(pid) for pid in pids)


def test_a_server_that_answers_is_no_problem(serve, monkeypatch):
    monkeypatch.setattr(server_client, "_PING", 0.0)
    monkeypatch.setattr(server_client, "_LOOK", 0.0)
    serving = serve()
    answers = 0
    while answers < 5:
        assert serving.server.look() is None
        select.select([serving.server], [], [], 1.0)
        answers += sum("pong" in message for message in serving.server.receive())


def test_a_server_that_hangs_is_a_problem_after_a_while(serve, monkeypatch):
    monkeypatch.setattr(server_client, "_LOOK", 0.0)
    hangs = "\nimport signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))\n"
    clock = Clock()
    monkeypatch.setattr(server_client, "time", clock)
    serving = serve(train=TRAIN + hangs)
    os.kill(serving.server.pid, signal.SIGUSR1)
    assert serving.server.look() is None  # asks
    for second in range(60):
        clock.now += 1.0
        assert serving.server.look() is None, second
    clock.now += 1.0
    assert serving.server.look() == "has not answered for 60 s"


def test_only_seconds_in_which_the_controller_runs_count(serve, monkeypatch):
    monkeypatch.setattr(server_client, "_LOOK", 0.0)
    clock = Clock()
    monkeypatch.setattr(server_client, "time", clock)
    serving = serve()
    os.kill(serving.server.pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(serving.server.pid).status() == psutil.STATUS_STOPPED)
    for _ in range(5):  # each time, both were stopped for an hour
        clock.now += 3600.0
        assert serving.server.look() is None
    os.kill(serving.server.pid, signal.SIGCONT)
    wait_until(lambda: psutil.Process(serving.server.pid).status() != psutil.STATUS_STOPPED)
    clock.now += 1.0
    assert serving.server.look() is None
    os.kill(serving.server.pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(serving.server.pid).status() == psutil.STATUS_STOPPED)
    for _ in range(6):
        clock.now += 1.0
        problem = serving.server.look()
    assert problem == "was stopped by a signal, and did not go on for 5 s"


def test_a_server_that_is_stopped_while_it_loads_has_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(server_client, "STOPPED", 0.1)
    marker = tmp_path / "loads"
    serving = Serving(tmp_path, f"import time\nopen({str(marker)!r}, 'w').close()\ntime.sleep(600)\n")
    wait_until(marker.exists)
    os.kill(serving.server.pid, signal.SIGSTOP)
    with pytest.raises(ParameterError, match="stopped by a signal"):
        serving.server.wait_ready()
    assert not alive(serving.server.pid)
    serving.close()


def test_a_process_that_cannot_be_killed_keeps_no_worker(monkeypatch, capfd):
    """Where the kernel does not let it go: a disk of the network that does not answer."""
    monkeypatch.setattr(processes, "GIVE_UP", 0.0)
    monkeypatch.setattr(processes, "kill_group", lambda pid, number=signal.SIGKILL: True)
    monkeypatch.setattr(processes, "kill", lambda pid, number=signal.SIGKILL: None)
    jobs = processes.JobProcesses()
    jobs.keep_children()
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            jobs.add(7, child.pid)
            assert jobs.reap() == []
            jobs.kill(7, 0.0)
            assert jobs.reap() == [(7, -signal.SIGKILL)]
            assert jobs.reap() == []
        finally:
            child.kill()
    assert f"process {child.pid} of a trial cannot be killed" in capfd.readouterr().err


# A controller in a process of its own: says the ids of its server and its job, then waits.
CONTROLLER = """
import json, os, sys, time
from pathlib import Path
from tests.executors.serving import Serving

serving = Serving(Path(sys.argv[1]), start=sys.argv[2])
serving.server.wait_ready()
job = serving.run(sys.argv[3])
pids = [serving.server.pid, *job.heard(), serving.pid(job)]
forked = os.fork()  # keeps the socket to the server open
if forked:
    print(json.dumps([forked, *pids]), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=thorough)])
def test_all_die_with_the_controller(tmp_path, start):
    code = textwrap.dedent(LEAVES) + "lines.readline()"
    command = [sys.executable, "-c", CONTROLLER, str(tmp_path), start, code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": _root()}
    ) as controller:
        assert controller.stdout is not None
        try:
            forked, *pids = json.loads(controller.stdout.readline())
        finally:
            controller.kill()
    try:
        assert len(pids) == 7
        wait_until(lambda: not any(alive(pid) for pid in pids))
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_server_that_loads_dies_with_the_controller(tmp_path):
    marker = tmp_path / "pid"
    train = f"import os, time\nopen({str(marker)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(600)\n"
    code = "import sys; from pathlib import Path; from tests.executors.serving import Serving\n"
    code += "Serving(Path(sys.argv[1]), sys.argv[2]).server.wait_ready()"
    command = [sys.executable, "-c", code, str(tmp_path), train]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": _root()}) as controller:
        try:
            wait_until(lambda: marker.exists() and marker.read_text().endswith("\n"))
        finally:
            controller.kill()
    wait_until(lambda: not alive(int(marker.read_text())))


def _root() -> str:
    return str(__file__).rpartition("/tests/")[0]
