"""What a sweep keeps of a cell is what a study by hand, and hbsim compare, say of it."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import hbsim
from hbsim.bench.diagnosis import diagnose, timeline
from hbsim.bench.sweep.cell import resource_at, run_studies
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.store import DONE, FAILED, TABLES
from hbsim.cli.main import app
from hbsim.core import make_scheduler
from hbsim.simulation import Cluster
from hbsim.surrogates import load
from tests.bench.sweep.made import SMALL, read, run
from tests.profile import examples

STUDY = """\
seeds = [4, 7]
workers = 3
[defaults]
num_trials = 30
max_time = 90.0
[[variants]]
type = "stopping"
vary = {brackets = [1, 2]}
[[variants]]
type = "promotion"
retries = 1
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=9,divergence=0.2"
name = "syn"
[[surrogates]]
surrogate = "digits"
max_t = 81
[[clusters]]
name = "rough"
startup = "lognormal:mean=2,std=1"
drop_rate = 0.01
"""
VARIANTS = {
    "stopping,brackets=1": ("stopping", {"brackets": 1}),
    "stopping,brackets=2": ("stopping", {"brackets": 2}),
    "promotion,retries=1": ("promotion", {"retries": 1}),
}
CURVES = {"syn": "synthetic:mode=min,max_resource=9,divergence=0.2", "digits": "digits"}


def by_hand(row: dict[str, Any]) -> hbsim.Result:
    """Simulate a cell, on the half of the rows that it names."""
    return simulated(row["variant"], row["surrogate"], row["seed"], row["split"], row["part"])


@cache
def simulated(variant: str, surrogate: str, seed: int, split: int | None, part: int | None) -> hbsim.Result:
    type, own = VARIANTS[variant]
    max_t = {"syn": 9, "digits": 81}[surrogate]
    wrap = [] if split is None else [f"half={split},{part}"]
    assert bool(wrap) == (surrogate == "digits")  # 30 trials of 1,000 rows
    scheduler = make_scheduler(type, max_t=max_t, mode="min", num_trials=30, seed=seed, **own)
    cluster = Cluster(workers=3, startup="lognormal:mean=2,std=1", drop_rate=0.01)
    return hbsim.simulate(
        scheduler, load(CURVES[surrogate], wrap=wrap), seed=seed, cluster=cluster, max_time=90.0
    )


def known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    run(read(folder, STUDY), folder / "out")
    return read_results(folder / "out")


def test_cells_are_those_of_simulate(results):
    assert results.cells.height == 12
    for row in results.cells.iter_rows(named=True):
        result = by_hand(row)
        summary, found = result.summary(), diagnose(result)
        assert row["status"] == DONE
        assert row["error"] is None
        for name in ("trials", "jobs", "completed", "stopped", "paused", "failed", "running"):
            assert row[name] == summary[name]
        for name in ("simulated_seconds", "busy_share", "cost"):
            assert row[name] == known(summary[name])
        assert row["trained_resource"] == pytest.approx(summary["trained_resource"], rel=1e-12)
        assert row["is_deserted"] is False
        for name in ("training", "retrained", "overhead", "idle", "absent", "saved"):
            assert row[f"{name}_share"] == known(found.shares[name])
        for name in ("sampling", "decisions", "unfinished", "choice", "best_started"):
            assert row[f"{name}_part"] == known(getattr(found.regrets, name))


def test_incumbents_are_those_of_simulate(results):
    for row in results.cells.iter_rows(named=True):
        result = by_hand(row)
        rows = results.tables["incumbents"].filter(pl.col("key") == row["key"])
        incumbents = result.incumbent()
        assert rows["time"].to_list() == incumbents["time"].to_list()
        assert rows["trial"].to_list() == incumbents["trial"].to_list()
        assert rows["picked"].to_list() == incumbents["value"].to_list()
        values = [known(value) for value in result.values_at_max(incumbents["trial"].to_list())]
        assert rows["value"].to_list() == values
        best = result.curves.surrogate.optimum(result.scheduler.levels[-1])
        regrets = [None if value is None or best is None else max(0.0, value - best) for value in values]
        assert rows["regret"].to_list() == regrets
        assert row["value"] == (values[-1] if values else None)


def test_rungs_brackets_and_timelines_are_the_diagnosis(results):
    timelines = 0
    for row in results.cells.iter_rows(named=True):
        result = by_hand(row)
        found, (stretches, cut) = diagnose(result), timeline(result)
        tables = {name: frame.filter(pl.col("key") == row["key"]) for name, frame in results.tables.items()}
        assert_frame_equal(tables["rungs"].drop("key"), found.rungs.fill_nan(None))
        brackets = found.brackets.select(tables["brackets"].columns[1:]).fill_nan(None)
        assert_frame_equal(tables["brackets"].drop("key"), brackets)
        if row["seed"] == 4:  # the first of each variant and task
            timelines += 1
            assert_frame_equal(tables["timelines"].drop("key", "cut"), stretches.fill_nan(None))
            assert set(tables["timelines"]["cut"]) == {cut}
        else:
            assert tables["timelines"].is_empty()
    assert timelines == 6


def test_compare_has_the_same_cells(results, tmp_path):
    arguments = [argument for name in VARIANTS for argument in ("--variant", name)]
    arguments += [
        "--surrogate",
        "digits",
        "--workers",
        "3",
        "--trials",
        "30",
        "--max-time",
        "90",
        "--max-t",
        "81",
    ]
    arguments += ["--startup", "lognormal:mean=2,std=1", "--drop-rate", "0.01", "--seed", "4", "--seeds", "4"]
    ran = CliRunner().invoke(app, ["compare", *arguments, "--jobs", "1", "--out", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.stderr
    theirs, ours = read_results(tmp_path / "out"), results.cells.filter(pl.col("surrogate") == "digits")
    both = theirs.cells.join(ours.select("key"), on="key", maintain_order="right")
    assert_frame_equal(both.drop("cluster"), ours.drop("cluster"))


def test_a_cell_can_be_had_by_simulate(results):
    """The command that a user enters for one cell says the same numbers."""
    row = results.cells.filter(pl.col("surrogate") == "digits", pl.col("seed") == 7).row(0, named=True)
    assert (row["split"], row["part"]) == (3, 1)
    arguments = ["--scheduler", "stopping", "--brackets", "1", "--surrogate", "digits", "--workers", "3"]
    arguments += ["--trials", "30", "--max-time", "90", "--startup", "lognormal:mean=2,std=1"]
    arguments += ["--drop-rate", "0.01", "--wrap", "half=3,1", "--seed", "7", "--json"]
    ran = CliRunner().invoke(app, ["simulate", *arguments])
    assert ran.exit_code == 0, ran.stderr
    summary = json.loads(ran.stdout)["summary"]
    assert row["variant"] == "stopping,brackets=1"
    for name in ("jobs", "completed", "simulated_seconds", "regret"):
        assert row[name] == summary[name], name


def test_what_a_study_raises_is_its_outcome(tmp_path, monkeypatch):
    first, second, *_ = read(tmp_path, SMALL).studies

    def broken(study):
        if study.seed == second.seed and study.key == second.key:
            raise OverflowError(f"too much of {object()}")
        return runs(study)

    runs = type(first).run
    monkeypatch.setattr(type(first), "run", broken)
    found = run_studies([(first, True), (second, True)])
    assert {name: dict(frame.schema) for name, frame in found.items()} == TABLES
    assert found["cells"]["status"].to_list() == [DONE, FAILED]
    assert (
        found["cells"]["error"].to_list()[1].startswith("OverflowError: too much of <object object> (test_")
    )
    assert found["timings"]["key"].to_list() == [first.key, second.key]
    for name in ("incumbents", "rungs", "brackets", "timelines"):
        assert set(found[name]["key"]) == {first.key}


def test_curves_that_have_changed_since_are_no_result(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(OWN.format(shift=0))
    (study,) = read(tmp_path, ONE).studies
    own.write_text(OWN.format(shift=1))
    (changed,) = read(tmp_path, ONE).studies  # this process has the new ones now
    found = run_studies([(study, False), (changed, False)])["cells"]
    assert found["status"].to_list() == [FAILED, DONE]
    assert "are not the curves that were checked" in found["error"][0]


ONE = """\
seeds = 1
defaults = {num_trials = 5}
variants = [{type = "fifo"}]
surrogates = [{surrogate = "own.py:Own"}]
"""
OWN = """
import numpy as np
from hbsim import Real, Space

class Own:
    metric, mode, max_resource = "loss", "min", 9.0
    space = Space({{"x": Real(0, 1)}})

    def evaluate(self, points, levels):
        return np.repeat(points, len(levels), 1) + {shift}, np.repeat(levels[None, :], len(points), 0)
"""

HARSH = Cluster(
    workers=4, startup=0.5, report_delay=0.25, save=1.0, load=0.5, straggler_std=0.5, drop_rate=0.01
)
TYPES = {"stopping": {}, "promotion": {"brackets": 2}, "hyperband": {}, "fifo": {}}


def study(type: str, seed: int, harsh: bool = False) -> hbsim.Result:
    own = TYPES[type]
    scheduler = make_scheduler(type, max_t=9, mode="min", num_trials=40, seed=seed, **own)  # type: ignore[arg-type]
    cluster = HARSH if harsh else Cluster(workers=4)
    curves = "synthetic:mode=min,max_resource=9"
    return hbsim.simulate(scheduler, curves, seed=seed, cluster=cluster, max_time=60.0)


def naive_resource(jobs: pl.DataFrame, time: float) -> float:
    total = 0.0
    for job in jobs.iter_rows(named=True):
        if job["train_start"] is not None and job["train_start"] < time:
            span = job["end_time"] - job["train_start"]
            share = 1.0 if time >= job["end_time"] else (time - job["train_start"]) / span
            total += share * (job["stop_resource"] - job["start_resource"])
    return total


@pytest.mark.parametrize("type", TYPES)
@settings(max_examples=examples(10), deadline=None)
@given(seed=st.integers(0, 99), times=st.lists(st.floats(0, 100), max_size=4), harsh=st.booleans())
def test_it_is_what_was_trained_by_then(type: str, seed: int, times: list[float], harsh: bool):
    result = study(type, seed, harsh)
    times = [*times, *result.jobs["end_time"][:5].to_list(), result.end_time]
    found = resource_at(result.jobs, np.array(times))
    assert found.tolist() == pytest.approx([naive_resource(result.jobs, time) for time in times])
    assert found[-1] == pytest.approx(result.summary()["trained_resource"])


def test_of_no_jobs_it_is_zero():
    assert resource_at(study("fifo", 0).jobs.clear(), np.array([0.0, 5.0])).tolist() == [0.0, 0.0]


def test_trial_i_is_the_same_under_every_variant_of_a_seed():
    first = study("fifo", 1).curves.configurations()
    for type in TYPES:
        other = study(type, 1).curves.configurations()
        count = min(len(first), len(other))
        assert count >= 30
        assert np.array_equal(first[:count], other[:count])
    assert not np.array_equal(first, study("fifo", 0).curves.configurations())
