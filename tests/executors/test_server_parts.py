"""The parts of the warm server: what it loads, what it knows of processes, how a process ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hbsim.executors import processes, server
from hbsim.executors.server import use_huge_pages
from hbsim.executors.slots import THREAD_VARIABLES
from tests.executors.serving import TRAIN, Serving

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
