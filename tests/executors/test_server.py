"""The warm server: what a job's process is given, how it ends, and what the controller is told."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from hbsim.errors import ParameterError
from tests.executors.serving import TRAIN, Serving, is_leader

STARTS = ("fork", "spawn")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")


@pytest.fixture
def serve(tmp_path):
    """Start servers, and close them."""
    made = []

    def start(train=TRAIN, *, ready=True, **options):
        made.append(Serving(tmp_path, train, **options))
        if ready:
            assert made[-1].server.wait_ready() >= 0
        return made[-1]

    yield start
    for serving in made:
        serving.close()


@pytest.mark.parametrize("start", STARTS)
def test_what_a_job_is_given(serve, monkeypatch, start):
    monkeypatch.setenv("KEPT", "as it was")
    monkeypatch.setenv("REMOVED", "yes")
    serving = serve(start=start)
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    code = """
        import os, signal, sys, threading
        say({
            "result": function(None, None),
            "env": {name: os.environ.get(name) for name in ("KEPT", "REMOVED", "SET", "OMP_NUM_THREADS")},
            "cpus": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None],
            "stdin": sys.stdin.read(),
            "handlers": [
                signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
                signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL,
                not signal.pthread_sigmask(signal.SIG_BLOCK, []),
            ],
            "threads": threading.active_count(),
        })
        print("out"); print("err", file=sys.stderr); os.write(1, b"raw\\n")
        status = 7
    """
    job = serving.run(code, {"REMOVED": None, "SET": "new"}, None if core is None else [core], 3)
    assert job.heard() == {
        "result": "trained",
        "env": {"KEPT": "as it was", "REMOVED": None, "SET": "new", "OMP_NUM_THREADS": "3"},
        "cpus": [core],
        "stdin": "",
        "handlers": [True] * 4,
        "threads": 1,
    }
    assert serving.ended(job) == 7
    assert serving.printed() == "out\nerr\nraw\n"


@pytest.mark.parametrize("start", STARTS)
def test_a_job_leads_its_own_session(serve, start):
    serving = serve(start=start)
    job = serving.run("say(1); lines.readline()")
    assert job.heard() == 1
    assert is_leader(serving.pid(job))
    job.connection.sendall(b"\n")
    assert serving.ended(job) == 0


def test_exit_codes_and_signals(serve):
    serving = serve()
    ends = {
        "import os; os._exit(3)": 3,
        "raise SystemExit(4)": 4,
        "raise SystemExit": 0,
        "raise SystemExit('why')": 1,
        "raise BaseException": 1,
        "import os; os.kill(os.getpid(), 9)": -9,
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": -signal.SIGTERM,
        "import os; os.abort()": -signal.SIGABRT,
        "pass": 0,
    }
    jobs = [serving.run(code) for code in ends]
    assert [serving.ended(job) for job in jobs] == list(ends.values())
    assert "why" in serving.printed()
    assert "Traceback" in serving.printed()


def test_a_forked_job_inherits_nothing_of_the_server_but_its_function(serve):
    serving = serve()
    blocker = serving.run("say(1); lines.readline()")
    assert blocker.heard() == 1
    job = serving.run(
        "import os; say(sorted(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')))"
    )
    if sys.platform == "linux":
        kinds = [name.partition(":")[0] for name in job.heard()]
        assert sorted(kinds) == sorted(["/dev/null", str(serving.log), str(serving.log), "socket"])
    assert serving.ended(job) == 0


def test_the_end_of_a_process_runs_what_it_registered(serve):
    train = TRAIN + "\nimport atexit\natexit.register(print, 'the server', flush=True)\n"
    serving = serve(train)
    code = """
        import atexit, sys, threading, time
        atexit.register(print, "registered")
        threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
        sys.stdout.write("no newline, ")
    """
    assert serving.ended(serving.run(code)) == 0
    assert serving.printed() == "no newline, thread\nregistered\n"


def test_processes_of_multiprocessing_are_ended(serve):
    serving = serve()
    code = """
        import multiprocessing, time
        context = multiprocessing.get_context("fork")
        process = context.Process(target=time.sleep, args=(600,), daemon=True)
        process.start()
    """
    assert serving.ended(serving.run(code)) == 0


def test_many_quick_jobs(serve):
    serving = serve()
    jobs = [serving.run(f"status = {number % 5}") for number in range(200)]
    assert [serving.ended(job) for job in jobs] == [number % 5 for number in range(200)]
    assert len(set(serving.pids.values())) == 200


def test_a_job_that_prints_a_lot(serve):
    serving = serve()
    assert serving.ended(serving.run("for _ in range(20000): print('x' * 999)")) == 0
    assert serving.log.stat().st_size == 20_000_000


@pytest.mark.parametrize("start", STARTS)
def test_a_job_that_cannot_be_set_up_ends(serve, capfd, start):
    serving = serve(start=start)
    serving.log = serving.folder / "missing" / "log.txt"
    job = serving.run("pass")
    assert serving.ended(job) == 1
    assert "missing" in capfd.readouterr().err


def test_what_the_file_prints_is_no_result(serve, capfd):
    serving = serve("print('loading')\n" + TRAIN)
    assert serving.ended(serving.run("pass")) == 0
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.count("loading") == 1
    assert serving.printed() == ""


@pytest.mark.parametrize(
    ("train", "rule"),
    [
        ("x = 1\nraise ValueError('no data')\n", r"ValueError: no data \(line 2\)"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(line 2\)"),
        ("def train_fn(:\n", "SyntaxError"),
        ("x = 1\n", "there is no 'train_fn'"),
        ("def train_fn(args, reporter): ...\n", "@hbsim.args"),
        ("train_fn = 3\n", "no function"),
        ("import os\nos._exit(3)\n", "exit status 3"),
        ("import os\nos.kill(os.getpid(), 11)\n", "signal 11"),
    ],
)
def test_a_file_that_does_not_load(serve, capfd, train, rule):
    serving = serve(train, ready=False)
    with pytest.raises(ParameterError, match=rule) as caught:
        serving.server.wait_ready()
    assert caught.value.field == "train"
    assert str(serving.folder / "train.py") in str(caught.value.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_broken_library_says_where(serve, tmp_path, capfd):
    """The function imports it when it is called; the server loads it beforehand."""
    (tmp_path / "torch.py").write_text("x = 1\nraise OSError('libcuda.so.1: no such\\nfile')\n")
    serving = serve(TRAIN.replace("    ", "    import torch\n    ", 1), ready=False)
    with pytest.raises(ParameterError) as caught:
        serving.server.wait_ready()
    said = f"OSError: libcuda.so.1: no such file ({tmp_path / 'torch.py'}, line 2)"
    assert caught.value.rule == f"must load in a process of its own; {said}"
    assert str(tmp_path / "train.py") in str(caught.value.value)
    assert "Traceback" in capfd.readouterr().err


def test_a_file_that_does_not_load_where_jobs_load_it(serve, tmp_path):
    once = f"import os\nos.mkdir({str(tmp_path / 'once')!r})\n"
    serving = serve(once + TRAIN, start="spawn")
    job = serving.run("pass")
    field, _, rule = job.heard()["fatal"]
    assert field == "train"
    assert "once" in rule
    assert serving.ended(job) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_threads_before_the_fork_are_said(serve, capfd):
    train = (
        TRAIN
        + "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    serving = serve(train)
    assert serving.ended(serving.run("pass")) == 0
    assert capfd.readouterr().err.count('start="spawn"') == 1


def test_numpy_starts_no_threads(serve, capfd):
    serving = serve("import numpy\nnumpy.ones((200, 200)) @ numpy.ones((200, 200))\n" + TRAIN)
    assert serving.ended(serving.run("pass")) == 0
    assert capfd.readouterr().err == ""
