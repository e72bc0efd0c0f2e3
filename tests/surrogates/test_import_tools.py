"""Runs that Syne Tune, Ray Tune, Optuna and MLflow really logged, held against what was trained.

The training function of all of them reports loss = (log10(lr) + 2)² + 1/epoch + layers/10, and sleeps for a
time in proportion to `layers` in each epoch; see docs/how-to/import.md for the versions.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hbsim.surrogates import import_runs, load

HERE = Path(__file__).parent / "imports"
LAST_OF_MLFLOW = "6bd5e6b6fc534647adb9d1f6048702b7"  # reports NaN from its third epoch on


@pytest.fixture(scope="session")
def optuna(tmp_path_factory):
    path = tmp_path_factory.mktemp("optuna") / "optuna.db"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(f"BEGIN; {(HERE / 'optuna.sql').read_text()} COMMIT;")
    return path


def read(name, optuna):
    """Return what is imported, the name of `layers`, the seconds that a layer sleeps, and from where NaN."""
    if name == "sqlite":
        imported = import_runs(f"sqlite:///{optuna}", study="digits")
        return imported, "layers", 0.004, (0.1, 3)
    if name == "journal":
        imported = import_runs(HERE / "optuna_journal.log", study="digits", metric="loss")
        return imported, "layers", 0.004, (0.1, 3)
    if name == "mlflow":
        files = {"params": HERE / "mlflow_runs.csv"}
        imported = import_runs(HERE / "mlflow_metrics.csv", metric="loss", mode="min", **files)
        return imported, "layers", 0.05, (1.0, 99)
    if name == "ray":
        return import_runs(HERE / "ray", metric="loss", mode="min"), "model/layers", 0.05, (0.2, 2)
    return import_runs(HERE / name), "layers", 0.02, (1.0, 99)


NAMES = ["syne_tune_stopping", "syne_tune_promotion", "ray", "sqlite", "journal", "mlflow"]


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_the_one_that_was_trained(name, optuna):
    imported, layers, sleep, (rate, epoch) = read(name, optuna)
    frame = imported.frame
    level = frame[imported.resource].to_numpy()
    expected = (np.log10(frame["lr"].to_numpy()) + 2) ** 2 + 1 / level + 0.1 * frame[layers].to_numpy()
    if name in ("sqlite", "journal"):
        act = frame["act"].to_numpy()
        expected += 0.05 * (act == "tanh")
    diverged = (frame["lr"].to_numpy() > rate) & (level >= epoch)
    if name == "mlflow":
        diverged = (frame["trial"] == LAST_OF_MLFLOW).to_numpy() & (level >= 3)
    np.testing.assert_allclose(
        frame[imported.metric].to_numpy(), np.where(diverged, np.nan, expected), rtol=1e-12
    )
    assert imported.no_number == diverged.sum()
    slept = sleep * frame[layers].to_numpy() * level
    assert (frame["seconds"].to_numpy() > 0.95 * slept).all()
    assert (frame["seconds"].to_numpy() < 3 * slept + 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_file_loads_and_says_what_it_is(name, optuna, tmp_path):
    imported, layers, *_ = read(name, optuna)
    assert imported.mode == "min"
    assert imported.early > 0
    imported.write(tmp_path / "curves.parquet")
    table = load(tmp_path / "curves.parquet", censored="extrapolate")
    assert (table.metric, table.mode, table.rows) == (imported.metric, "min", imported.trials)
    assert len(table.resources) == imported.levels
    assert table.censored_rows == imported.early
    assert {"lr", layers, "act" if layers == "layers" else "model/act"} <= set(table.configurations.columns)
    assert (table.space is None) == (name in ("ray", "mlflow"))
    imported.write(tmp_path / "curves.csv")
    plain = load(tmp_path / "curves.csv", censored="extrapolate")
    assert (plain.metric, plain.mode, plain.space) == (table.metric, table.mode, table.space)
    rows = np.arange(imported.trials)
    for one, other in zip(
        table.evaluate(rows, np.array(table.resources)),
        plain.evaluate(rows, np.array(table.resources)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_resumed_jobs_of_syne_tune_are_added_up():
    imported = import_runs(HERE / "syne_tune_promotion")
    mine = imported.frame.filter(pl.col("trial") == 0)
    # The file has st_worker_time 0.0438 | 0.0543, 0.1104 | 0.0434, ... 0.2676: three jobs.
    np.testing.assert_allclose(
        mine["seconds"].to_list()[:4], [0.0438, 0.0438 + 0.0543, 0.0438 + 0.1104, 0.1542 + 0.0434], atol=1e-4
    )
    assert mine["seconds"].to_list()[-1] == pytest.approx(0.1542 + 0.2676, abs=1e-4)
    assert "added up the time of jobs: it began again in 4 resumed jobs" in imported.notes
    # A promotion writes its milestone into max_resource_attr: no hyperparameter.
    assert imported.hyperparameters == ("lr", "layers", "act")
    assert "epochs is no hyperparameter: it changes within a trial" in imported.notes
    assert "epochs" in import_runs(HERE / "syne_tune_stopping").hyperparameters


def test_the_simulator_of_syne_tune_counts_elapsed_time_from_the_start_of_a_job():
    imported = import_runs(HERE / "syne_tune_simulated")
    assert imported.time == "elapsed_time"
    assert imported.hyperparameters == ("lr", "layers")
    frame = imported.frame  # its blackbox says 10 s for a layer and epoch
    np.testing.assert_allclose(frame["seconds"], 10.0 * frame["layers"] * frame["epoch"], rtol=1e-12)
    assert frame.filter(pl.col("epoch") == 9).height == imported.trials - imported.early > 1


def test_rays_total_goes_on_by_itself():
    imported = import_runs(HERE / "ray", metric="loss", mode="min")
    assert not any("added up" in note for note in imported.notes)
    resumed = imported.frame.filter(pl.col("trial") == "4f620_00005")["seconds"].to_list()
    assert resumed == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.02)


def test_ray_reads_progress_where_there_is_no_json(tmp_path):
    shutil.copytree(HERE / "ray", tmp_path / "ray")
    for path in (tmp_path / "ray").glob("*/result.json"):
        reports = pl.read_ndjson(path)
        reports.select(pl.exclude("config")).write_csv(path.with_name("progress.csv"))
        path.unlink()
    again = import_runs(tmp_path / "ray", metric="loss", mode="min")
    before = import_runs(HERE / "ray", metric="loss", mode="min")
    assert set(again.frame.columns) == set(before.frame.columns)
    assert again.frame.select(before.frame.columns).equals(before.frame)


def test_both_storages_of_optuna_are_read_alike(optuna):
    one, other = read("sqlite", optuna)[0], read("journal", optuna)[0]
    assert one.frame.columns == ["trial", "step", "value", "seconds", "lr", "layers", "act"]
    assert one.space == other.space
    same = ["trial", "step", "lr", "layers", "act"]
    assert one.frame.select(same).equals(other.frame.select(same))
    assert one.frame["value"].equals(other.frame["loss"])
    # Trials 0 and 3 became NaN, which Optuna calls a failure; their curves are there.
    assert one.frame.filter(pl.col("trial") == 0).height == 4


def test_the_space_is_the_one_that_was_searched(optuna):
    for name in ("syne_tune_stopping", "sqlite"):
        parts = {part["name"]: part for part in read(name, optuna)[0].space["parameters"]}
        assert {k: parts["lr"][k] for k in ("type", "low", "high", "log")} == {
            "type": "real",
            "low": 1e-4,
            "high": 1.0,
            "log": True,
        }
        assert parts["layers"]["type"] == "int"
        assert parts["act"]["choices"] == ["relu", "tanh"]


def test_without_the_table_of_runs_mlflow_has_no_settings_and_guesses_the_start():
    known = read("mlflow", None)[0]
    bare = import_runs(HERE / "mlflow_metrics.csv", metric="loss", mode="min")
    assert bare.hyperparameters == ()
    assert any("5 trials began is not known" in note for note in bare.notes)
    assert any("no hyperparameters" in note for note in bare.notes)
    one, other = known.frame["seconds"].to_numpy(), bare.frame["seconds"].to_numpy()
    np.testing.assert_allclose(one, other, atol=0.06)
    assert not np.array_equal(one, other)
