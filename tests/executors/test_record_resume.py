"""An interrupted recording goes on where it was, and only there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.errors import OutputError
from hbsim.executors.record import record
from hbsim.executors.record_part import Curve, PartFile, part_path

# Trial 3 notes that it was started, and waits until it may go on.
WAITING = """
    with open(HERE / "started", "a") as file:
        file.write(f"{args.trial} ")
    for epoch in range(1, 4):
        reporter(epoch=epoch, loss=args.lr / epoch)
        while args.trial == 3 and not (HERE / "go").exists():
            time.sleep(0.01)
"""
TIMES = ("seconds", "process_seconds")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.02)


@contextmanager
def recording(target: str, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A recording of five trials in a process of its own, once three of them have ended."""
    code = f"from hbsim.executors.record import record; record({target!r}, 5, {str(out)!r})"
    part = part_path(out)
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: part.exists() and part.read_bytes().count(b"\n") == 4)
            yield process
        finally:
            process.kill()
            (out.parent / "go").touch()  # so that its worker ends too


def test_goes_on_after_kill_9(train, tmp_path):
    target, out = train(WAITING), tmp_path / "c.parquet"
    with recording(target, out) as process:
        os.kill(process.pid, signal.SIGKILL)
    with open(part_path(out), "ab") as file:
        file.write(b'{"trial":4,"error":null,"col')  # a line that was being written
    seen = []
    record(target, 5, out, progress=seen.append)
    assert seen[0] == (5, 3, 0)
    assert (tmp_path / "started").read_text().split()[-2:] == ["3", "4"]
    assert (tmp_path / "started").read_text().count("0") == 1
    assert not part_path(out).exists()
    whole = record(target, 5, tmp_path / "whole.parquet")
    assert pl.read_parquet(out).drop(TIMES).equals(pl.read_parquet(whole).drop(TIMES))


def test_two_recordings_of_one_file_at_once_are_refused(train, tmp_path):
    target, out = train(WAITING), tmp_path / "c.parquet"
    with recording(target, out), pytest.raises(OutputError, match="another process"):
        record(target, 5, out)


def test_workers_end_with_the_recorder(train, tmp_path):
    body = """
    (HERE / "pid").write_text(str(os.getpid()))
    for epoch in range(1, 100_000):
        reporter(epoch=epoch, loss=0.0)
        time.sleep(0.01)
"""
    out = str(tmp_path / "c.parquet")
    code = f"from hbsim.executors.record import record; record({train(body)!r}, 1, {out!r})"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        process.kill()
    worker = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(worker))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"metric": "loss", "mode": "min"}, "metric"),
        ({"max_t": 3}, "max_t"),
        ({"test_metric": "loss"}, "test_metric"),
    ],
)
def test_another_recording_is_refused(train, tmp_path, options, name):
    target, out = train(), tmp_path / "c.parquet"
    interrupt(target, out)
    before = part_path(out).read_bytes()
    with pytest.raises(OutputError, match=f"has trials of a recording with {name}="):
        record(target, 3, out, **options)
    assert part_path(out).read_bytes() == before


def test_a_changed_function_is_refused(train, tmp_path):
    out = tmp_path / "c.parquet"
    interrupt(train(), out)
    with pytest.raises(OutputError, match="as it was before a change"):
        record(train("    reporter(epoch=1, loss=0.0)\n"), 3, out)


def test_fewer_trials_than_there_are(train, tmp_path):
    target, out = train(), tmp_path / "c.parquet"
    interrupt(target, out)
    assert set(pl.read_parquet(record(target, 1, out))["config"]) == {0}


def interrupt(target: str, out: Path) -> None:
    """Leave a part file with two of three trials."""

    def stop(progress: tuple[int, int, int]) -> None:
        if progress[1] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(target, 3, out, progress=stop)


SPEC = {"seed": 0}
CURVES = [
    Curve(0, {"epoch": [1, 2], "loss": [0.5, None]}),
    Curve(2, {"epoch": [1], "loss": [float("inf")]}, "Error: é"),
    Curve(1),
]


@given(cut=st.integers(0, 300))
def test_a_part_file_cut_at_any_byte(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("part") / "part"
    part = PartFile(path, SPEC)
    sizes = [path.stat().st_size]
    for curve in CURVES:
        part.append(curve)
        sizes.append(path.stat().st_size)
    part.close()
    os.truncate(path, min(cut, sizes[-1]))
    part = PartFile(path, SPEC)
    kept = sum(size <= cut for size in sizes[1:])
    assert list(part.curves()) == CURVES[:kept]
    assert part.failed == {curve.trial: curve.error is not None for curve in CURVES[:kept]}
    part.append(CURVES[2])
    assert list(part.curves()) == [*CURVES[:kept], CURVES[2]]
    part.close()


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "part"
    part = PartFile(path, SPEC)
    part.append(CURVES[0])
    part.close()
    path.write_bytes(path.read_bytes().replace(b'"trial"', b'"trail"'))
    with pytest.raises(OutputError, match="line 2 is damaged"):
        PartFile(path, SPEC)
    for other in ("something else\n", "[1]\n"):
        path.write_text(other)
        with pytest.raises(OutputError, match="no part of a recording"):
            PartFile(path, SPEC)


def test_a_full_disk_is_one_clear_error(train, tmp_path):
    """A limit on file sizes stands for the full disk; what was finished before it is kept."""
    target, out = train(), tmp_path / "c.parquet"
    code = f"""
import resource
from hbsim.executors.record import record
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
record({target!r}, 20, {str(out)!r})
"""
    failed = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert "OutputError" in failed.stderr.splitlines()[-1]
    assert "cannot be written" in failed.stderr.splitlines()[-1]
    assert not out.exists()
    seen = []
    record(target, 20, out, progress=seen.append)
    assert 0 < seen[0].finished < 20
    assert pl.read_parquet(out)["config"].n_unique() == 20
