"""What is finished stays so: parts, going on, files that shrink and grow, and an end at any step."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
import pytest

from hbsim.bench.sweep import Store, Sweep, finish, open_folder, read_results, run_cells, write_down
from hbsim.bench.sweep import run as run_module
from hbsim.bench.sweep.tables import TABLES
from hbsim.errors import HbsimError, OutputError
from tests.bench.sweep.made import SMALL, left, read, run

GROWN = SMALL.replace("seeds = 3", "seeds = 4")
SHRUNK = SMALL.replace("seeds = 3", "seeds = 1")


class Crash(BaseException):
    """The process is ended here."""


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The keys of the studies that were run, in their order."""
    keys: list[str] = []
    runs = run_module.run_studies

    def counted(items):
        keys.extend(study.key for study, _ in items)
        return runs(items)

    monkeypatch.setattr(run_module, "run_studies", counted)
    return keys


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
        return set(Store(out).status)
    except FileNotFoundError:
        return set()


def test_a_finished_cell_is_never_run_again(tmp_path, ran):
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"
    first = run(sweep, out)
    assert (first.cells, first.done, first.before, len(ran)) == (18, 18, 0, 18)
    before = left(out)
    again = run(sweep, out)
    assert (again.done, again.before, len(ran)) == (18, 18, 18)
    assert left(out) == before


def test_a_file_that_grows_runs_only_what_is_new(tmp_path, ran):
    run(read(tmp_path, SMALL), tmp_path / "out")
    run(read(tmp_path, GROWN), tmp_path / "out")
    assert len(ran) == len(set(ran)) == 24
    run(read(tmp_path, GROWN), tmp_path / "fresh")
    assert left(tmp_path / "out") == left(tmp_path / "fresh")


def test_cells_that_a_file_leaves_out_are_kept_for_a_later_one(tmp_path, ran):
    out = tmp_path / "out"
    run(read(tmp_path, SMALL), out)
    run(read(tmp_path, SHRUNK), out)
    assert (out / "kept").is_dir()
    assert read_results(out).cells.height == 6
    assert pl.read_parquet(out / "cells.parquet").height == 6
    run(read(tmp_path, SMALL), out)
    assert len(ran) == 18
    assert not (out / "kept").exists()
    run(read(tmp_path, SMALL), tmp_path / "fresh")
    assert left(out) == left(tmp_path / "fresh")


def test_other_names_and_orders_run_nothing_again(tmp_path, ran):
    out = tmp_path / "out"
    run(read(tmp_path, SMALL), out)
    renamed = SMALL.replace('name = "syn"', 'name = "new"').replace("[1, 4]", "[4, 1]")
    run(read(tmp_path, renamed.replace('type = "promotion"', 'type = "promotion"\nname = "asha"')), out)
    assert len(ran) == 18
    cells = read_results(out).cells
    assert set(cells["surrogate"]) == {"new"}
    assert cells["workers"].to_list()[:4] == [4, 4, 4, 1]
    assert "asha" in set(cells["variant"])


def test_cells_with_the_same_inputs_share_a_study(tmp_path, ran):
    twice = f'{SMALL}[[surrogates]]\nsurrogate = "synthetic:mode=min,max_resource=9"\nname = "again"\n'
    found = run(read(tmp_path, twice), tmp_path / "out")
    assert (found.cells, found.done, len(ran)) == (36, 36, 18)
    results = read_results(tmp_path / "out")
    numbers = results.cells.drop("surrogate")
    one = numbers.filter(results.cells["surrogate"] == "syn")
    assert one.equals(numbers.filter(results.cells["surrogate"] == "again"))
    curves = pl.read_parquet(tmp_path / "out" / "anytime.parquet")
    counts = curves.group_by("surrogate").len()["len"]
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert results.tables["incumbents"].equals(results.tables["incumbents"].unique(maintain_order=True))


def test_what_is_finished_when_it_is_interrupted_is_there(tmp_path, ran, monkeypatch):
    monkeypatch.setattr(run_module, "LONGEST", 0.0)
    monkeypatch.setattr(run_module, "SHARE", 1e9)
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"

    def stop(count: int) -> None:
        if count in (6, 12):
            raise KeyboardInterrupt

    for expected in (6, 12):
        with pytest.raises(KeyboardInterrupt):
            run(sweep, out, progress=stop)
        assert len(done(out)) == expected
        results = read_results(out)
        assert results.done.height == expected
        assert results.cells.height == 18
    run(sweep, out)
    assert len(ran) == 18
    assert not (out / "parts").exists()
    run(sweep, tmp_path / "fresh")
    assert left(out) == left(tmp_path / "fresh")


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
def begun(tmp_path, monkeypatch) -> tuple[Path, Sweep]:
    """A folder whose sweep had more seeds once, and then fewer; and a sweep with other ones."""
    monkeypatch.setattr(run_module, "LONGEST", 0.0)
    monkeypatch.setattr(run_module, "SHARE", 1e9)
    text = SMALL.replace("[1, 4]", "1").replace("vary = {brackets = [1, 2]}", "")
    for seeds in ("[0, 1, 2]", "[0]"):
        run(read(tmp_path, text.replace("seeds = 3", f"seeds = {seeds}")), tmp_path / "begun")
    # 0 is there, 1 is kept, 5 is new; 2 stays kept.
    return tmp_path / "begun", read(tmp_path, text.replace("seeds = 3", "seeds = [0, 1, 5]"))


def crashed(sweep: Sweep, out: Path, monkeypatch, step: int) -> bool:
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


def test_a_retry_takes_the_place_of_what_failed(tmp_path, monkeypatch, ran):
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"
    kind = type(sweep.grid.studies[0])
    runs = kind.run

    def broken(study, surrogate):
        if study.seed == 1:
            raise ValueError("not today")
        return runs(study, surrogate)

    line = broken.__code__.co_firstlineno + 2
    with monkeypatch.context() as patch:
        patch.setattr(kind, "run", broken)
        found = run(sweep, out)
    assert (found.done, found.failed, found.is_complete) == (12, 6, False)
    cells = read_results(out).cells
    assert cells.filter(pl.col("seed") == 1)["status"].to_list() == ["failed"] * 6
    assert set(cells.filter(pl.col("seed") == 1)["error"]) == {
        f"ValueError: not today (test_store.py, line {line})"
    }
    assert run(sweep, out).failed == 6
    assert len(ran) == 18
    found = run(sweep, out, retry=True)
    assert (found.done, found.failed, found.before, len(ran)) == (18, 0, 12, 24)
    run(sweep, tmp_path / "fresh")
    assert left(out) == left(tmp_path / "fresh")


@pytest.mark.parametrize("table", [*TABLES, "plan"])
@pytest.mark.parametrize("damage", ["cut short", "missing", "empty"])
def test_a_damaged_table_is_one_clear_line(table, damage, tmp_path):
    sweep, out = read(tmp_path, SHRUNK), tmp_path / "out"
    run(sweep, out)
    path = out / f"{table}.parquet"
    whole = left(out)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut short" else b"")
    with pytest.raises(OutputError, match=rf"{table}\.parquet: (is|does)") as caught:
        read_results(out)
    assert "\n" not in str(caught.value)
    if table != "plan":
        assert "--force" in str(caught.value)
        with pytest.raises(OutputError, match=rf"{table}\.parquet"), open_folder(out, sweep.plan, False):
            pass
    run(sweep, out, force=table != "plan")
    assert left(out) == whole


def test_a_table_with_other_columns_is_none_of_a_sweep(tmp_path):
    run(read(tmp_path, SHRUNK), tmp_path / "out")
    pl.DataFrame({"key": ["a"], "time": [1]}).write_parquet(tmp_path / "out" / "incumbents.parquet")
    with pytest.raises(OutputError, match=r"incumbents\.parquet: has other columns"):
        read_results(tmp_path / "out")


def test_errors_of_the_disk_are_one_line(tmp_path, monkeypatch):
    sweep, out = read(tmp_path, SHRUNK), tmp_path / "out"

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with open_folder(out, sweep.plan, False) as store:
        write_down(sweep, out, "hbsim sweep study.toml")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(HbsimError, match=r"cannot be written: No space left on device"):
                run_cells(sweep, store, 1)
        run_cells(sweep, store, 1)
        finish(sweep, store)
    assert read_results(out).done.height == 6
