"""Pilots: how they are read, what is drawn from them, and what their ranks say."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hbsim.errors import ParameterError, SurrogateError
from hbsim.planning import plan as plans
from hbsim.planning.pilot import Pilot, read_pilot
from hbsim.planning.recommend import grace_to_try
from tests.cli.conftest import call
from tests.planning.test_forecast import planned, task_of
from tests.profile import examples

__all__ = ["call"]


def pilot_of(rates, diverged=0, values=None):
    n = len(rates)
    levels = np.array([1.0, 3.0, 9.0])
    values = np.linspace(0, 1, n)[:, None] * np.ones(3) if values is None else values
    lost = np.arange(n) < diverged
    return Pilot(
        source="pilot",
        kind="table",
        metric="accuracy",
        mode="max",
        levels=levels,
        values=values,
        ends=np.full(n, 3),
        seconds=np.array(rates, dtype=float)[:, None] * levels,
        diverged=lost,
        max_t=9.0,
    )


def write(path, rows=12, levels=(1, 3, 9), **columns):
    """Write a table of curves whose i-th run takes i + 1 seconds a unit."""
    frame = pl.DataFrame(
        [
            {"trial": row, "epoch": level, "accuracy": row / rows - 1 / level, "seconds": (row + 1.0) * level}
            for row in range(rows)
            for level in levels
        ]
    ).with_columns(**columns)
    frame.write_csv(path)
    return path


def test_constant_costs_stay_constant_and_their_intervals_have_a_tolerance():
    draw = pilot_of([2.0] * 10).draw(np.random.default_rng(0))
    seconds = draw.unit_seconds(np.arange(50.0), np.random.default_rng(1))
    assert seconds.tolist() == pytest.approx([2.0] * 50)


@settings(max_examples=examples(30))
@given(st.floats(-2, 2), st.floats(0.1, 1.5), st.integers(10, 60))
def test_costs_are_drawn_around_those_of_the_pilot(mean, std, count):
    random = np.random.default_rng(count)
    logs = random.standard_normal(count)
    logs = mean + std * (logs - logs.mean()) / logs.std(ddof=1)
    pilot = pilot_of(np.exp(logs))
    draws = [pilot.draw(random) for _ in range(300)]
    means, stds = (np.array([getattr(one, name) for one in draws]) for name in ("mean", "std"))
    assert means.mean() == pytest.approx(mean, abs=6 * std / math.sqrt(count * 300) + 1e-9)
    assert np.quantile(stds, 0.001) < std < np.quantile(stds, 0.999)
    # The costs of a draw are log-normal, and in the order that they had in the task.
    seconds = np.log(draws[0].unit_seconds(np.arange(400.0), random))
    assert (np.diff(seconds) > 0).all()
    assert seconds.mean() == pytest.approx(draws[0].mean, abs=1e-6)
    assert seconds.std() == pytest.approx(draws[0].std, rel=0.03)


@pytest.mark.parametrize(("diverged", "low", "high"), [(0, 0.0, 0.06), (10, 0.4, 0.6), (20, 0.94, 1.0)])
def test_the_share_of_diverged_runs_is_drawn_too(diverged, low, high):
    pilot = pilot_of(np.linspace(1, 2, 20), diverged)
    random = np.random.default_rng(0)
    shares = [pilot.draw(random).diverged for _ in range(300)]
    assert low <= np.mean(shares) <= high
    assert np.std(shares) > 0.005
    draw = pilot.draw(random)
    onsets = draw.onsets(200, random)
    assert np.isfinite(onsets).sum() == round(200 * draw.diverged)


def test_diverged_rows_of_a_task_are_replaced_by_others():
    draw = pilot_of(np.linspace(1, 2, 20)).draw(np.random.default_rng(0))
    good = np.arange(30) % 3 > 0
    rows = draw.rows(good, np.random.default_rng(1))
    assert len(rows) == 30
    assert set(rows.tolist()) == set(np.flatnonzero(good).tolist())


def test_rank_correlations_are_spearmans_with_an_interval():
    random = np.random.default_rng(3)
    values = random.random((40, 3))
    values[:, 1] = values[:, 2] + 0.1 * random.random(40)
    first, second = pilot_of(np.ones(40), values=values).correlations(np.array([1.0, 3.0, 9.0]))
    assert (first.level, second.level) == (1, 3)
    for column, one in enumerate((first, second)):
        assert one.value == pytest.approx(spearmanr(values[:, column], values[:, 2]).statistic)
        assert one.low < one.value < one.high
        assert one.curves == 40
    assert second.low > first.high


@pytest.mark.parametrize("mode", ["max", "min"])
def test_misleading_early_ranks_name_a_later_start(mode):
    final = np.arange(20.0)
    values = np.stack([-final, final**2, final], axis=1) * (1 if mode == "max" else -1)
    pilot = pilot_of(np.ones(20), values=values)
    levels = np.array([1.0, 3.0, 9.0])
    found = grace_to_try(pilot.correlations(levels))
    assert found is not None
    assert found.level == 3
    good = pilot_of(np.ones(20), values=np.stack([final, final, final], axis=1))
    assert grace_to_try(good.correlations(levels)) is None
    assert grace_to_try([]) is None


def test_a_table_is_read_with_its_ends_and_its_costs(tmp_path):
    path = write(tmp_path / "pilot.csv")
    early = pl.read_csv(path).filter((pl.col("trial") > 0) | (pl.col("epoch") == 1))
    early.write_csv(path)
    pilot = read_pilot(path, 9, metric="accuracy", mode="max")
    assert pilot.unit_seconds.tolist() == pytest.approx([row + 1.0 for row in range(12)])
    assert (len(pilot.ends), pilot.complete, int(pilot.diverged.sum())) == (12, 11, 0)
    scaled = read_pilot(path, 9, 13.0, "accuracy", "max")
    assert scaled.unit_seconds.tolist() == pytest.approx((2 * pilot.unit_seconds).tolist())


def test_runs_without_a_number_at_their_end_have_diverged(tmp_path):
    lost = pl.when((pl.col("trial") < 3) & (pl.col("epoch") >= 3)).then(None).otherwise(pl.col("accuracy"))
    path = write(tmp_path / "pilot.csv", accuracy=lost)
    pilot = read_pilot(path, 9, metric="accuracy", mode="max")
    assert pilot.diverged.tolist() == [True] * 3 + [False] * 9
    assert pilot.complete == 9


def test_a_pilot_of_which_every_curve_diverged_is_an_error_and_of_many_the_first_sentence(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(plans, "WORK_WITH_PILOT", 1.0)
    options = {"unit_seconds": None, "budget": "300s", "metric": "accuracy", "mode": "max"}
    path = write(tmp_path / "pilot.csv", accuracy=pl.lit(None, dtype=pl.Float64))
    with pytest.raises((ParameterError, SurrogateError)) as caught:
        planned(pilot=path, **options)
    assert "accuracy" in str(caught.value)
    most = pl.when(pl.col("trial") > 0).then(None).otherwise(pl.col("accuracy"))
    made = planned(pilot=write(tmp_path / "most.csv", accuracy=most), **options)
    assert made.as_dict()["said"][0].startswith("11 of 12 curves of your pilot diverged")


def test_curves_that_may_have_been_stopped_by_their_values_say_nothing_of_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "WORK_WITH_PILOT", 1.0)
    path = write(tmp_path / "pilot.csv", 24)
    frame = pl.read_csv(path)
    # As promotion leaves them: those with a good value at level 1 go on, and end in no order.
    order = (pl.col("trial") * 7 % 24 / 24).alias("end")
    kept = frame.with_columns(
        accuracy=pl.when(pl.col("epoch") == 9).then(-pl.col("accuracy")).otherwise("accuracy")
    )
    kept.with_columns(order).filter((pl.col("epoch") == 1) | (pl.col("trial") >= 12)).drop("end").write_csv(
        path
    )
    made = planned(pilot=path, unit_seconds=None, budget="300s", metric="accuracy", mode="max")
    assert made.pilot.complete == 12
    assert made.correlations == []
    content = made.as_dict()
    assert (content["grace_period_to_try"], content["test"]) == (None, [])
    assert any("so they say nothing of ranks" in line for line in content["said"])


def test_a_pilot_that_ends_before_max_t_has_no_complete_curves(tmp_path):
    path = write(tmp_path / "pilot.csv")
    short = read_pilot(path, 27, metric="accuracy", mode="max")
    assert (short.complete, short.last) == (0, 9)
    assert [one.level for one in short.correlations(np.array([1.0, 3.0, 9.0, 27.0]))] == [1, 3]
    long = read_pilot(path, 3, metric="accuracy", mode="max")
    assert (long.complete, long.last) == (12, 3)
    assert [one.level for one in long.correlations(np.array([1.0, 3.0]))] == [1]


@pytest.mark.parametrize(
    ("rows", "options", "field", "rule"),
    [
        (9, {"metric": "accuracy", "mode": "max"}, "pilot", "has 9 curves: at least 10 are needed"),
        (12, {"metric": "loss", "mode": "min"}, "metric", "is not in the table"),
        (12, {"metric": "accuracy"}, "mode", "is needed"),
    ],
)
def test_pilots_that_cannot_be_used_are_an_error(tmp_path, rows, options, field, rule):
    path = write(tmp_path / "pilot.csv", rows)
    with pytest.raises((ParameterError, SurrogateError)) as caught:
        planned(pilot=path, unit_seconds=None, **options)
    assert f"{field}=" in str(caught.value)
    assert rule in str(caught.value)


@pytest.mark.parametrize("source", ["none.csv", "synthetic", "no-such-name", ".", 3])
def test_other_sources_are_an_error_in_one_line(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ParameterError, SurrogateError)) as caught:
        read_pilot(source, 9)
    assert len(str(caught.value).splitlines()) == 1


def test_a_table_without_times_takes_what_is_said(tmp_path):
    path = write(tmp_path / "pilot.csv")
    pl.read_csv(path).drop("seconds").write_csv(path)
    with pytest.raises(ParameterError) as caught:
        read_pilot(path, 9, metric="accuracy", mode="max")
    assert caught.value.field == "unit_seconds"
    pilot = read_pilot(path, 9, 5.0, "accuracy", "max")
    assert set(pilot.unit_seconds.tolist()) == {5.0}


def test_a_pilot_narrows_the_forecast(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "WORK_WITH_PILOT", 300.0)
    tasks = [task_of(spread=spread, seed=n) for n, spread in enumerate((0.0, 0.5, 1.0, 1.5, 2.0))]
    constant = pl.col("epoch") * 1.0
    path = write(tmp_path / "pilot.csv", seconds=constant)
    wide = planned(tasks, budget="60s").forecasts[0].ranges["trials"]
    made = planned(tasks, budget="60s", unit_seconds=None, pilot=path, metric="accuracy", mode="max")
    narrow = made.forecasts[0].ranges["trials"]
    assert narrow.high / narrow.low < wide.high / wide.low
    assert made.correlations[0].value == pytest.approx(1.0)
    options = made.run_options()
    assert (options["metric"], options["mode"], options["max_time"]) == ("accuracy", "max", 60.0)


def test_a_plan_names_the_later_start_and_the_command_that_tests_it(tmp_path, monkeypatch, call):
    monkeypatch.setattr(plans, "WORK_WITH_PILOT", 1.0)
    epoch = pl.col("epoch")
    value = pl.when(epoch == 1).then(-pl.col("trial")).otherwise(pl.col("trial")) * 1.0
    path = write(tmp_path / "pilot.csv", 24, accuracy=value)
    made = planned(pilot=path, unit_seconds=None, budget="300s", metric="accuracy", mode="max")
    assert made.grace_to_try is not None
    (command,) = made.as_dict()["test"]
    assert "grace_period=3" in command
    words = command.split()[1:]
    ran = call(*words, "--seeds", "3", "--jobs", "1", "--json")
    assert ran.code == 0, ran.err
