"""The warm server: what a job's process is given, how it ends, and what the controller is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hbsim.errors import ParameterError
from hbsim.executors import processes, server
from hbsim.executors.server import use_huge_pages
from hbsim.executors.slots import THREAD_VARIABLES
from tests.executors.serving import TRAIN, Serving, is_leader

STARTS = ("fork", "spawn")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")
TORCH = TRAIN.replace('return "trained"', "import torch\n    return torch.get_num_threads()")
# What a job imports beyond the server for its first steps, and with how many threads it computes.
STEPS = """
    import os, sys
    before = set(sys.modules)
    threads = function(None, None)
    import torch
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        optimizer.step()
    say([threads, sorted(set(sys.modules) - before), [name for name in os.environ if "NVML" in name]])
"""


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


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("import torch", True),
        ("import torch.nn as nn", True),
        ("from torch.optim import SGD", True),
        ("def f():\n    def g():\n        import numpy, torch", True),
        ("import torchvision", False),
        ("from . import torch", False),
        ("from .torch import nn", False),
        ("torch = 'import torch'", False),
        ("def f(:", False),
    ],
)
def test_whether_a_file_uses_a_library(tmp_path, text, uses):
    path = tmp_path / "train.py"
    path.write_text(text)
    assert server.uses("torch", lambda: None, path) is uses
    assert not server.uses("torch", lambda: None, tmp_path / "missing.py")


def test_whether_code_without_a_file_uses_a_library():
    def train_fn():
        def inner():
            import json.decoder

            return json

        return inner

    assert server.uses("json", train_fn, None)
    assert not server.uses("torch", train_fn, None)
    assert not server.uses("torch", print, None)


def test_pytorch_is_ready_in_a_forked_job(tmp_path, capfd, monkeypatch):
    pytest.importorskip("torch", exc_type=ImportError)
    monkeypatch.delenv(
        "PYTORCH_NVML_BASED_CUDA_CHECK", raising=False
    )  # Lightning sets it when it is imported
    serving = Serving(tmp_path, TORCH)
    try:
        serving.server.wait_ready()
        one, two = serving.run(STEPS), serving.run(STEPS, threads=2)
        assert one.heard() == [1, [], []]
        threads, more, _ = two.heard()
        assert (threads, [name for name in more if name.startswith("torch")]) == (2, [])
    finally:
        serving.close()
    assert capfd.readouterr().err == ""


def test_what_goes_on_after_the_function_is_ended(tmp_path):
    serving = Serving(tmp_path, grace=0.1)
    code = f"""
        import pathlib, threading, time
        def go_on():
            time.sleep(20)
            pathlib.Path({str(tmp_path / "went on")!r}).touch()
        threading.Thread(target=go_on).start()
        status = 3
    """
    try:
        serving.server.wait_ready()
        assert serving.ended(serving.run(code)) == 3
        assert "left running" in serving.printed()
        assert not (tmp_path / "went on").exists()
    finally:
        serving.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_children_and_sessions():
    before = processes.children()
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as child:
        try:
            assert processes.children() - before == {child.pid}
            assert child.pid in processes.children(since=child.pid)
            assert processes.in_session({child.pid}) == {child.pid}
        finally:
            child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not waited for yet
        assert child.pid in processes.children()
        assert not processes.in_session({child.pid})
    assert processes.children() == before
    assert not processes.kill_group(child.pid)
    processes.kill(child.pid)


@pytest.mark.parametrize(
    ("latest", "since", "among"),
    [(90, 50, [50, 70, 90]), (20, 50, [10, 20, 50, 70, 90, 99]), (0, 50, None), (90, 0, None)],
)
def test_process_ids_come_round(monkeypatch, latest, since, among):
    every = [10, 20, 30, 50, 70, 90, 99]
    monkeypatch.setattr(processes, "latest", lambda: latest)
    assert list(filter(processes._started_after(since), every)) == (every if among is None else among)


def test_huge_pages_change_nothing_but_speed():
    memory = bytearray(os.urandom(1 << 20) * 16)
    copy = bytes(memory)
    asked = use_huge_pages()
    assert (asked >= 8 << 20) == (sys.platform == "linux")
    assert memory == copy


def test_the_server_computes_with_one_thread(tmp_path, monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    seen = tmp_path / "seen"
    train = f"import os\nopen({str(seen)!r}, 'w').write(os.environ['OMP_NUM_THREADS'])\n" + TRAIN
    serving = Serving(tmp_path, train)
    try:
        serving.server.wait_ready()
        assert seen.read_text() == "1"
    finally:
        serving.close()
