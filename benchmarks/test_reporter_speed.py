"""Suites for pytest-benchmark: what a report and a checkpoint cost the training function.

Nothing here asserts on a time.
"""

from __future__ import annotations

import json
import os
import socket

import pytest

from hbsim.executors import checkpoint, checkpoint_values
from hbsim.executors.reporter import Reporter
from hbsim.executors.trial_channel import Channel
from hbsim.executors.trial_talk import Talk

REPORTS = 20_000
TASK = {"job": 0, "trial": 0}


@pytest.fixture
def controller():
    """Return one end of a connection; another process reads the other and answers at milestones."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        answer(theirs)
        os._exit(0)
    theirs.close()
    yield ours
    ours.close()
    os.waitpid(pid, 0)


@pytest.fixture
def silence():
    """Return one end of a connection; nobody reads the other."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours


def answer(connection: socket.socket) -> None:
    """Read lines until nobody writes any more; the next milestone is always the next epoch."""
    with connection.makefile("rb") as lines:
        for line in lines:
            if line.endswith(b',"wait":true}\n'):
                connection.sendall(b'{"go": %d}\n' % (json.loads(line)["rows"][-1][2] + 1))


def make(controller: socket.socket, milestone: float, folder: object) -> Reporter:
    setup = {"time_attr": "epoch", "reward_attr": "accuracy", "folder": folder}
    talk = Talk(Channel(controller), milestone)
    talk.begin()
    return Reporter(talk, TASK, setup, ("lr",))


@pytest.mark.benchmark(group="20,000 reports of two metrics")
@pytest.mark.parametrize("kind", ["controller", "silence"])
def test_reports(benchmark, request, tmp_path, kind):
    reporter = make(request.getfixturevalue(kind), float("inf"), tmp_path)
    epochs = iter(range(1, 10**9))

    def work():
        for _ in range(REPORTS):
            reporter(epoch=next(epochs), accuracy=0.123456789, loss=2.5)

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds a report"] = round(benchmark.stats.stats.min / REPORTS * 1e6, 2)


@pytest.mark.benchmark(group="1,000 milestones, answered by another process")
def test_milestones(benchmark, controller, tmp_path):
    reporter = make(controller, 1, tmp_path)
    epochs = iter(range(1, 10**9))

    def work():
        for _ in range(1000):
            reporter(epoch=next(epochs), accuracy=0.5)

    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
    benchmark.extra_info["microseconds a milestone"] = round(benchmark.stats.stats.min / 1000 * 1e6, 2)


@pytest.mark.benchmark(group="a checkpoint, down to the disk")
@pytest.mark.parametrize("kind", ["two numbers", "tensors, 4 MB"])
def test_checkpoints(benchmark, tmp_path, kind):
    obj: object = {"epoch": 3, "best": 0.5}
    if kind != "two numbers":
        torch = pytest.importorskip("torch")
        obj = {"weights": torch.ones(1_000_000)}
    benchmark(checkpoint.save, tmp_path / "checkpoint", obj)


@pytest.mark.parametrize("what", ["100 MB of weights", "two numbers"])
@pytest.mark.parametrize("by", ["hbsim", "torch"])
@pytest.mark.parametrize("way", ["to a file", "from a file"])
def test_values(benchmark, tmp_path, way, by, what):
    torch = pytest.importorskip("torch")
    benchmark.group = f"{what} {way}"
    obj: object = {"epoch": 3, "best": 0.5}
    if what != "two numbers":
        obj = {f"layer {number}": torch.randn(250_000) for number in range(100)}
    path = tmp_path / "file"

    def write() -> None:
        path.unlink(missing_ok=True)
        with open(path, "wb") as file:
            if by == "torch":
                torch.save(obj, file)
            else:
                checkpoint_values.write(file, obj)

    def read() -> object:
        return torch.load(path, weights_only=True) if by == "torch" else checkpoint_values.read(path)

    write()
    benchmark(write if way == "to a file" else read)
