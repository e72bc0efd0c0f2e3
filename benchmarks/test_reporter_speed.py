"""Suites for pytest-benchmark: what a report and a checkpoint cost the training function.

Nothing here asserts on a time.
"""

from __future__ import annotations

import os
import select
import socket
from dataclasses import asdict

import pytest

from hbsim.executors import checkpoint, checkpoint_values
from hbsim.executors.report_ring import ReportRing
from hbsim.executors.reporter import Reporter
from hbsim.executors.trial_session import TrialChannel, TrialSession
from hbsim.runner.workers import Assignment

REPORTS = 20_000
TASK = asdict(Assignment(0, 0, 0, 0.0, 1.0, [], 0))


@pytest.fixture
def controller():
    """Return a trial's line; another process takes the reports and answers at milestones."""
    ours, theirs = socket.socketpair()
    ring, descriptor = ReportRing.create()
    pid = os.fork()
    if pid == 0:
        ours.close()
        answer(theirs, ring)
        os._exit(0)
    theirs.close()
    yield TrialChannel(ours, ReportRing(descriptor))
    ours.close()
    os.close(descriptor)
    os.waitpid(pid, 0)


@pytest.fixture
def silence():
    """Return a trial's line; nobody reads at the other end."""
    ours, theirs = socket.socketpair()
    _, descriptor = ReportRing.create()
    with ours, theirs:
        yield TrialChannel(ours, ReportRing(descriptor))
    os.close(descriptor)


def answer(connection: socket.socket, ring: ReportRing) -> None:
    """Take reports until nobody makes any more; the next milestone is always the next epoch."""
    last = 0
    while True:
        ready = select.select([connection], [], [], 0.03)[0]
        line = connection.recv(1 << 16) if ready else b"nothing"
        if not line:
            return
        if rows := ring.read()[0]:
            last = rows[-1].resource
        if b"wait" in line:
            connection.sendall(b'{"go": %d}\n' % (last + 1))


def make(channel: TrialChannel, milestone: float, folder: object) -> Reporter:
    setup = {"time_attr": "epoch", "metric": "accuracy", "folder": folder}
    session = TrialSession(channel, milestone)
    session.begin()
    return Reporter(session, TASK, setup, ("lr",))


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


@pytest.mark.benchmark(group="a checkpoint")
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
