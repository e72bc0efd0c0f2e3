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
    """Raise in place of the step of this index that changes the disk; give the steps before."""
    done: list[str] = []

    def counting(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if len(done) == step:
                raise Crash
            done.append(f"{name} {Path(str(arguments[0])).name}")
            return function(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for place, name in ((os, "replace"), (shutil, "rmtree"), (Path, "mkdir"), (Path, "rmdir")):
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


NEVER = 10**6  # a step that no run has


@pytest.fixture
def begun(tmp_path, monkeypatch) -> tuple[Path, SweepPlan]:
    """A folder whose sweep had more seeds once, and then fewer; and a sweep with other ones."""
    monkeypatch.setattr(run_module, "LONGEST", 0.0)
    monkeypatch.setattr(run_module, "SHARE", 1e9)
    text = SMALL.replace("[1, 4]", "1").replace("vary = {brackets = [1, 2]}", "")
    text = text.replace("num_trials = 12", "num_trials = 4")
    for seeds in ("[0, 1, 2]", "[0]"):
        run(read(tmp_path, text.replace("seeds = 3", f"seeds = {seeds}")), tmp_path / "begun")
    # 0 is there, 1 is kept, 5 is new; 2 stays kept.
    return tmp_path / "begun", read(tmp_path, text.replace("seeds = 3", "seeds = [0, 1, 5]"))


def crashed(sweep: SweepPlan, out: Path, monkeypatch, step: int) -> list[str] | None:
    """Run a sweep until a step; return all its steps where it has not so many."""
    try:
        with crashing(monkeypatch, step) as steps:
            run(sweep, out)
    except Crash:
        return None
    return steps


def test_no_step_at_which_it_ends_loses_anything(tmp_path, begun, monkeypatch):
    before, sweep = begun
    shutil.copytree(before, tmp_path / "fresh")
    steps = crashed(sweep, tmp_path / "fresh", monkeypatch, NEVER)
    expected, known = left(tmp_path / "fresh"), done(before)
    assert len(known) == 6
    assert steps
    assert len(steps) > 20
    for step in range(len(steps)):
        out = tmp_path / f"at-{step}"
        shutil.copytree(before, out)
        assert crashed(sweep, out, monkeypatch, step) is None
        assert done(out) >= known, step
        known = done(out)  # what was finished a step before is so a step later
        with suppress(OutputError):  # the manifest is new, and the plan is not yet
            assert read_results(out).done.height >= 2
        run(sweep, out)
        assert left(out) == expected, step


def test_an_end_while_it_goes_on_loses_nothing_either(tmp_path, begun, monkeypatch):
    before, sweep = begun
    shutil.copytree(before, tmp_path / "fresh")
    steps = crashed(sweep, tmp_path / "fresh", monkeypatch, NEVER)
    expected, closing = left(tmp_path / "fresh"), tmp_path / "closing"
    assert steps
    shutil.copytree(before, closing)
    closed = next(place for place, step in enumerate(steps) if step.startswith("replace .closed"))
    # All is written, and nothing is moved yet.
    assert crashed(sweep, closing, monkeypatch, closed + 1) is None
    assert (closing / "closed").exists()
    everything = done(closing)
    assert len(everything) == 8
    shutil.copytree(closing, tmp_path / "going-on")
    steps = crashed(sweep, tmp_path / "going-on", monkeypatch, NEVER)
    assert steps
    for step in range(len(steps)):
        out = tmp_path / f"at-{step}"
        shutil.copytree(closing, out)
        assert crashed(sweep, out, monkeypatch, step) is None
        assert done(out) == everything, step
        run(sweep, out)
        assert left(out) == expected, step
