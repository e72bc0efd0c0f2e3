"""What is finished stays so: parts, going on, files that shrink and grow, retries, and damaged tables."""

from __future__ import annotations

import itertools
import os
import shutil
import warnings
from pathlib import Path

import polars as pl
import pytest

from hbsim.bench.sweep import folder as folder_module
from hbsim.bench.sweep import run as run_module
from hbsim.bench.sweep.folder import open_folder, read_results
from hbsim.bench.sweep.plan import SweepPlan
from hbsim.bench.sweep.store import SweepStore
from hbsim.errors import HbsimError, HbsimWarning, OutputError
from hbsim.surrogates.parquet import parquet
from tests.bench.sweep.made import SMALL, left, read, run

GROWN = SMALL.replace("seeds = 3", "seeds = 4")
SHRUNK = SMALL.replace("seeds = 3", "seeds = 1")


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
        assert len(SweepStore(out).status) == expected
        results = read_results(out)
        assert results.done.height == expected
        assert results.cells.height == 18
    run(sweep, out)
    assert len(ran) == 18
    assert not (out / "parts").exists()
    run(sweep, tmp_path / "fresh")
    assert left(out) == left(tmp_path / "fresh")


def test_a_retry_takes_the_place_of_what_failed(tmp_path, monkeypatch, ran):
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"
    kind = type(sweep.studies[0])
    runs = kind.run

    def broken(study):
        if study.seed == 1:
            raise ValueError("not today")
        return runs(study)

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a small sweep that was run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    run(read(folder, SHRUNK), folder / "out")
    return folder


@pytest.fixture
def shrunk(finished, tmp_path) -> tuple[SweepPlan, Path]:
    """A sweep, and a folder of its own where it has finished."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return read(tmp_path, SHRUNK), tmp_path / "out"


def hurt(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut short" else b"")


@pytest.mark.parametrize("damage", ["cut short", "missing"])
def test_timelines_that_are_lost_are_drawn_again(damage, tmp_path, ran):
    sweep, out = read(tmp_path, SMALL), tmp_path / "out"
    run(sweep, out)
    whole, cells = left(out), read_results(out).cells
    ran.clear()
    hurt(out / "timelines.parquet", damage)
    with pytest.warns(
        HbsimWarning, match=r"timelines\.parquet: is .*hbsim sweep draws timelines again, and "
    ):
        results = read_results(out)
    assert results.cells.equals(cells)
    assert results.tables["timelines"].is_empty()
    with pytest.warns(HbsimWarning, match=r"timelines\.parquet"):
        found = run(sweep, out)
    assert (found.done, set(ran)) == (18, set(sweep.with_timelines))
    assert len(ran) == 6
    assert left(out) == whole


def test_results_do_without_timings_and_curves_over_time(shrunk, ran):
    sweep, out = shrunk
    whole = left(out)
    ran.clear()
    hurt(out / "timings.parquet", "missing")
    hurt(out / "anytime.parquet", "cut short")
    with pytest.warns(HbsimWarning, match=r"timings\.parquet: is .*not known how long these studies took"):
        assert read_results(out).done.height == 6
    with pytest.warns(HbsimWarning, match=r"timings\.parquet"):
        run(sweep, out)
    assert (ran, left(out)) == ([], whole)
    assert pl.read_parquet(out / "timings.parquet").is_empty()


def test_a_report_that_reads_while_a_sweep_moves_its_files_reads_again(shrunk, monkeypatch):
    _, out = shrunk
    path = out / "incumbents.parquet"
    content = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(folder_module.time, "sleep", lambda seconds: path.write_bytes(content))
    assert read_results(out).done.height == 6


@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("cells", "cut short"),
        ("incumbents", "missing"),
        ("rungs", "empty"),
        ("brackets", "cut short"),
        *(("plan", damage) for damage in ("cut short", "missing", "empty")),
    ],
)
def test_a_damaged_table_is_one_clear_line(table, damage, shrunk):
    sweep, out = shrunk
    whole = left(out)
    hurt(out / f"{table}.parquet", damage)
    with pytest.raises(OutputError, match=rf"{table}\.parquet: (is|does)") as caught:
        read_results(out)
    assert "\n" not in str(caught.value)
    if table != "plan":
        assert "--force" in str(caught.value)
        with pytest.raises(OutputError, match=rf"{table}\.parquet"), open_folder(out, sweep.cells, False):
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)  # of what --force throws away
        run(sweep, out, force=table != "plan")
    assert left(out) == whole


def test_a_table_with_other_columns_is_none_of_a_sweep(shrunk):
    _, out = shrunk
    table = parquet(pl.DataFrame({"key": ["a"], "time": [1]}))
    (out / "incumbents.parquet").write_bytes(table)
    with pytest.raises(OutputError, match=r"incumbents\.parquet: has other columns"):
        read_results(out)


def test_errors_of_the_disk_are_one_line(tmp_path, monkeypatch):
    sweep, out = read(tmp_path, SHRUNK), tmp_path / "out"

    written, sync = itertools.count(), os.fsync

    def full(number: int) -> None:
        if next(written) >= 6:  # the plan is on the disk
            raise OSError(28, "No space left on device")
        sync(number)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(HbsimError, match=r"cannot be written: No space left on device"):
            run(sweep, out)
    assert not (out / "cells.parquet").exists()
    run(sweep, out)
    assert read_results(out).done.height == 6
