"""An end at any step, by Ctrl-C or a crash, loses nothing that was finished."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hbsim.bench.sweep import run as run_module
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.plan import SweepPlan
from hbsim.bench.sweep.store import SweepStore
from hbsim.errors import OutputError
from tests.bench.sweep.made import SMALL, left, read, run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch):
    """Save the time of the disk: a process that ends loses nothing that it has written."""
    monkeypatch.setattr(os, "fsync", lambda number: None)


class Crash(BaseException):
    """The process is ended here."""


@contextmanager
def crashing(monkeypatch, step: int) -> Iterator[list[str]]:
    """Raise in place of a step that changes the disk, the so-manieth; give the steps that were done."""
    done: list[str] = []

    def counting(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if len(done) == step:
                raise Crash
            done.append(name)
            return function(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for place, name in (
            (os, "replace"),
            (os, "fsync"),
            (shutil, "rmtree"),
            (Path, "mkdir"),
            (Path, "rmdir"),
        ):
            patch.setattr(place, name, counting(name, getattr(place, name)))
        yield done


def done(out: Path) -> set[str]:
    """Return the keys that a reader finds, which may be none yet."""
    try:
        return set(SweepStore(out).status)
    except FileNotFoundError:
        return set()


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_ctrl_c_while_a_part_is_written_waits_until_it_is(name, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "LONGEST", 0.0)
    monkeypatch.setattr(run_module, "SHARE", 1e9)
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"
    function, calls = getattr(os, name), []

    def interrupted(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(sweep, out)
    assert len(calls) >= 20
    run(sweep, out)
    run(sweep, tmp_path / "fresh")
    assert left(out) == left(tmp_path / "fresh")


STEPS = 90  # more than there are


@pytest.fixture
def begun(tmp_path, monkeypatch) -> tuple[Path, SweepPlan]:
    """A folder whose sweep had more seeds once, and then fewer; and a sweep with other ones."""
    monkeypatch.setattr(run_module, "LONGEST", 0.0)
    monkeypatch.setattr(run_module, "SHARE", 1e9)
    text = SMALL.replace("[1, 4]", "1").replace("vary = {brackets = [1, 2]}", "")
    for seeds in ("[0, 1, 2]", "[0]"):
        run(read(tmp_path, text.replace("seeds = 3", f"seeds = {seeds}")), tmp_path / "begun")
    # 0 is there, 1 is kept, 5 is new; 2 stays kept.
    return tmp_path / "begun", read(tmp_path, text.replace("seeds = 3", "seeds = [0, 1, 5]"))


def crashed(sweep: SweepPlan, out: Path, monkeypatch, step: int) -> bool:
    """Run a sweep until a step; return whether there was such a one."""
    try:
        with crashing(monkeypatch, step) as steps:
            run(sweep, out)
    except Crash:
        return True
    assert len(steps) > 40
    return False


def test_no_step_at_which_it_ends_loses_anything(tmp_path, begun, monkeypatch):
    before, sweep = begun
    shutil.copytree(before, tmp_path / "fresh")
    run(sweep, tmp_path / "fresh")
    expected, known = left(tmp_path / "fresh"), done(before)
    assert len(known) == 6
    for step in range(STEPS):
        out = tmp_path / f"at-{step}"
        shutil.copytree(before, out)
        if not crashed(sweep, out, monkeypatch, step):
            break
        assert done(out) >= known, step
        with suppress(OutputError):  # the manifest is new, and the plan is not yet
            assert read_results(out).done.height >= 2
        run(sweep, out)
        assert left(out) == expected, step
    else:
        pytest.fail("there are more steps")


def test_an_end_while_it_goes_on_loses_nothing_either(tmp_path, begun, monkeypatch):
    before, sweep = begun
    shutil.copytree(before, tmp_path / "fresh")
    run(sweep, tmp_path / "fresh")
    expected, closing = left(tmp_path / "fresh"), tmp_path / "closing"
    for step in range(STEPS):  # until all has been written, and nothing is moved yet
        shutil.copytree(before, closing)
        assert crashed(sweep, closing, monkeypatch, step)
        if (closing / "closed").exists():
            break
        shutil.rmtree(closing)
    everything = done(closing)
    assert len(everything) == 8
    for step in range(16):
        out = tmp_path / f"at-{step}"
        shutil.copytree(closing, out)
        assert crashed(sweep, out, monkeypatch, step)
        assert done(out) == everything, step
        run(sweep, out)
        assert left(out) == expected, step
