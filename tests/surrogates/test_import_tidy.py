"""From reports to curves, against a plain model of jobs, pauses and restarts."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.surrogates import fit, import_runs, load
from hbsim.surrogates.import_curves import counted_from_one, without_gaps


def ray(folder, trials, config=None):
    """Write reports, a list a trial, as Ray Tune does."""
    for number, reports in enumerate(trials):
        (folder / f"t{number}").mkdir(parents=True)
        settings = {"lr": 0.1 * (number + 1)} if config is None else config[number]
        lines = [json.dumps({"trial_id": f"t{number}", "config": settings, **r}) for r in reports]
        (folder / f"t{number}" / "result.json").write_text("\n".join(lines) + "\n")
    return folder


def syne_tune(folder, rows, metric="loss"):
    """Write reports (trial, epoch, loss, seconds in the job, reports in the job) as Syne Tune does."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["trial_id", "epoch", metric, "st_worker_time", "st_worker_iter"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    frame.with_columns(pl.lit(0.1).alias("config_lr")).write_csv(folder / "results.csv")
    (folder / "metadata.json").write_text(json.dumps({"metric_names": [metric], "metric_mode": "min"}))
    return folder


JOB = st.tuples(st.integers(0, 3), st.lists(st.floats(0.5, 9), min_size=1, max_size=4))


@given(jobs=st.lists(JOB, min_size=1, max_size=5))
def test_jobs_against_a_trial_that_keeps_its_own_books(jobs, tmp_path_factory):
    """Each job goes back some epochs, to its checkpoint, and trains on; time lost to that is not in it."""
    clock = {0: 0.0}  # by epoch, what training came to when it was reached, in the run that counts
    value = {}
    rows = [(1, e, 0.5, float(e), e - 1) for e in range(1, 30)]
    epoch = serial = 0
    for back, seconds in jobs:
        epoch = max(0, epoch - back)
        for later in [e for e in clock if e > epoch]:
            del clock[later], value[later]
        in_job = 0.0
        for report, spent in enumerate(seconds):
            epoch, in_job, serial = epoch + 1, in_job + spent, serial + 1
            clock[epoch], value[epoch] = clock[epoch - 1] + spent, float(serial)
            rows.append((0, epoch, float(serial), in_job, report))
    imported = import_runs(syne_tune(tmp_path_factory.mktemp("st"), rows))
    mine = imported.frame.filter(pl.col("trial") == 0)
    assert mine["epoch"].to_list() == sorted(value)
    assert mine["loss"].to_list() == [value[e] for e in sorted(value)]
    np.testing.assert_allclose(mine["seconds"], [clock[e] for e in sorted(value)])


@given(
    there=st.lists(st.sets(st.integers(1, 8), min_size=1), min_size=2, max_size=8),
)
def test_gaps_against_loops(there):
    trials = [t for t, levels in enumerate(there) for _ in levels]
    levels = np.array([float(level) for one in there for level in sorted(one)])
    common = []
    for level in sorted(set().union(*there)):
        running = [one for one in there if max(one) >= level]
        if 2 * sum(level in one for one in running) >= len(running):
            common.append(level)
    expected = []
    for trial, one in enumerate(there):
        for level in common:
            if level not in one:
                break
            expected.append((trial, level))
    left = {trial for trial, _ in expected}
    if len(left) < 2:
        with pytest.raises(ValueError, match="trials can be used"):
            without_gaps("x", np.array(trials), levels, "epoch")
        return
    stays, notes = without_gaps("x", np.array(trials), levels, "epoch")
    assert [(trials[row], levels[row]) for row in stays] == expected
    assert any("without the first" in note for note in notes) == (len(left) < len(there))


def test_what_is_left_loads_whatever_was_missing(tmp_path):
    """Trial 0 skips epoch 2, trial 3 reports odd levels only: neither stands in the way of the others."""
    levels = [(1, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), (1.5, 2.5), (1, 2)]
    reports = [[{"training_iteration": e, "loss": e, "time_total_s": e} for e in one] for one in levels]
    imported = import_runs(ray(tmp_path / "ray", reports), metric="loss", mode="min")
    counts = dict(imported.frame.group_by("trial").len().iter_rows())
    assert counts == {"t0": 1, "t1": 4, "t2": 4, "t4": 2}
    assert imported.notes[:3] == (
        "left out 2 of 6 levels, which fewer than half of the trials have",
        "1 trial without a training_iteration that others have: cut there",
        "left out 1 trial without the first training_iteration of the others",
    )
    imported.write(tmp_path / "curves.parquet")
    assert load(tmp_path / "curves.parquet", censored="fail").rows == 4


@pytest.mark.parametrize(
    ("steps", "first_level", "expected"),
    [
        ([0, 1, 2], None, [1, 2, 3]),
        ([0, 1, 2], 0, [0, 1, 2]),
        ([0, 1, 2], 1, [1, 2, 3]),
        ([0, 10, 20], None, [0, 10, 20]),
        ([0, 10, 20], 1, [1, 11, 21]),
        ([1, 2, 3], None, [1, 2, 3]),
        ([0], None, [0]),
    ],
)
def test_steps_that_count_from_0(steps, first_level, expected):
    levels, notes = counted_from_one(np.array(steps, dtype=float), first_level)
    assert levels.tolist() == expected
    assert bool(notes) == (steps[0] == 0)


def test_numbers_that_are_none_are_kept_as_nan_and_rows_without_the_metric_are_not(tmp_path):
    losses = [0.5, math.inf, -math.inf, math.nan]
    some = [{"training_iteration": e, "loss": loss, "time_total_s": e} for e, loss in enumerate(losses, 1)]
    more = [{"training_iteration": e, "loss": 1.0, "time_total_s": e} for e in (1, 2, 3, 4)]
    more.insert(2, {"training_iteration": 2, "lr_now": 0.1, "time_total_s": 2.5})
    imported = import_runs(ray(tmp_path / "ray", [some, more]), metric="loss", mode="min")
    first, second = (imported.frame.filter(trial=name) for name in ("t0", "t1"))
    assert [x == x for x in first["loss"]] == [True, False, False, False]
    assert imported.no_number == 3
    assert second["seconds"].to_list() == [1, 2, 3, 4]
    assert "left out 1 row without loss" in imported.notes
    imported.write(tmp_path / "c.parquet")
    values, _ = load(tmp_path / "c.parquet").evaluate([0], np.array([2.0]))
    assert np.isnan(values).all()  # no censored rows: it ran on


def test_an_empty_cell_of_syne_tune_is_nan_as_every_report_has_the_metric(tmp_path):
    rows = [(t, e, None if (t, e) == (0, 2) else 1.0, float(e), e - 1) for t in (0, 1) for e in (1, 2)]
    imported = import_runs(syne_tune(tmp_path / "st", rows))
    assert (imported.no_number, imported.early) == (1, 0)


def test_names_that_are_taken_are_changed(tmp_path):
    config = [{"epoch": 1, "loss": 2.0, "trial": "x", "seconds": 3, "lr": lr} for lr in (0.1, 0.2)]
    reports = [{"training_iteration": e, "loss": 1.0 / e, "step": 7 * e, "time_total_s": e} for e in (1, 2)]
    imported = import_runs(ray(tmp_path / "ray", [reports] * 2, config), metric="loss", mode="min")
    assert imported.metrics == ("loss", "metric_step")
    assert imported.hyperparameters == ("hp_epoch", "hp_loss", "hp_trial", "hp_seconds", "lr")
    assert "hyperparameter loss is called hp_loss, as its name is taken" in imported.notes
    assert "the resource training_iteration is called resource" in imported.notes
    for name in ("c.parquet", "c.csv"):
        imported.write(tmp_path / name)
        table = load(tmp_path / name, metric="loss", mode="min")
        assert table.evaluate([0], np.array([2.0]))[0] == 0.5
        assert set(imported.hyperparameters) <= set(table.configurations.columns)


def test_settings_of_several_types_become_text_and_missing_ones_null(tmp_path):
    config = [{"a": 1, "b": [1, 2], "c": True}, {"a": "x", "b": None}, {"a": 1.5, "d": 2}]
    reports = [{"training_iteration": e, "loss": 1.0, "time_total_s": e} for e in (1, 2)]
    imported = import_runs(ray(tmp_path / "ray", [reports] * 3, config), metric="loss", mode="min")
    rows = imported.frame.filter(pl.col("resource") == 1)
    assert rows["a"].to_list() == ["1", "x", "1.5"]
    assert rows["b"].to_list() == ["[1, 2]", None, None]
    assert rows["c"].to_list() == [True, None, None]
    assert rows["d"].to_list() == [None, None, 2]
    assert "hyperparameter a has values of several types: they are text" in imported.notes


def test_holes_in_time_are_filled_along_a_line(tmp_path):
    times = [None, 4.0, None, 8.0]
    reports = [{"training_iteration": e, "loss": 1.0} for e in (1, 2, 3, 4)]
    some = [r | ({} if t is None else {"time_total_s": t}) for r, t in zip(reports, times, strict=True)]
    imported = import_runs(ray(tmp_path / "ray", [some, some]), metric="loss", mode="min")
    assert imported.frame["seconds"].to_list() == [2.0, 4.0, 6.0, 8.0] * 2
    none = import_runs(ray(tmp_path / "none", [reports, reports]), metric="loss", mode="min")
    assert none.time is None
    assert "seconds" not in none.frame.columns


def test_a_restart_from_scratch_replaces_what_it_trains_again(tmp_path):
    before = [{"training_iteration": e, "loss": 1.0, "time_total_s": e} for e in (1, 2, 3)]
    again = [{"training_iteration": e, "loss": 2.0, "time_total_s": 2 * e} for e in (1, 2)]
    imported = import_runs(ray(tmp_path / "ray", [before + again, before]), metric="loss", mode="min")
    first = imported.frame.filter(trial="t0")
    assert first["loss"].to_list() == [2.0, 2.0]
    assert first["seconds"].to_list() == [2.0, 4.0]
    assert any(note.startswith("left out 3 rows: their level was reported again") for note in imported.notes)


def test_the_state_of_a_ray_experiment_names_the_metric(tmp_path):
    reports = [{"training_iteration": e, "loss": 1.0, "acc": 0.5, "time_total_s": e} for e in (1, 2)]
    folder = ray(tmp_path / "ray", [reports, reports])
    (folder / "experiment_state-2026-01-01.json").write_text(json.dumps({"runner_data": {"_metric": "acc"}}))
    imported = import_runs(folder)
    assert (imported.metric, imported.mode, imported.metrics) == ("acc", None, ("acc", "loss"))
    assert import_runs(folder, metric="loss").metric == "loss"


def test_the_same_file_twice_is_the_same_bytes(tmp_path):
    reports = [{"training_iteration": e, "loss": 1.0, "time_total_s": e} for e in (1, 2)]
    folder = ray(tmp_path / "ray", [reports] * 3)
    for name in ("a.parquet", "b.parquet"):
        import_runs(folder, metric="loss", mode="min").write(tmp_path / name)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_fit_takes_what_was_imported(tmp_path):
    pytest.importorskip("sklearn")
    config = [{"lr": 10 ** -(1 + t / 10), "act": "ab"[t % 2]} for t in range(24)]
    trials = [
        [
            {"training_iteration": e, "loss": abs(c["lr"] - 0.02) + 1 / e, "time_total_s": 2.0 * e}
            for e in (1, 2, 3)
        ]
        for c in config
    ]
    import_runs(ray(tmp_path / "ray", trials, config), metric="loss", mode="min").write(
        tmp_path / "c.parquet"
    )
    fitted = fit(tmp_path / "c.parquet")
    assert fitted.space.names == ("lr", "act")
    _, seconds = fitted.evaluate(fitted.space.sample(3, np.random.default_rng(0)), np.array([3.0]))
    np.testing.assert_allclose(seconds, 6.0, rtol=0.01)
