"""The library of tasks: what is in it, and its curves at the levels of another study."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import hbsim
from hbsim.core.factory import make_scheduler
from hbsim.planning.library import Task, library
from hbsim.planning.pilot import read_pilot
from hbsim.surrogates import load
from hbsim.surrogates.table import SHIPPED
from tests.profile import examples

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "yahpo_lcbench"
LADDER = [1.0, 3.0, 9.0, 27.0, 81.0]


@pytest.fixture(scope="module")
def tasks():
    return library()


def test_tasks_of_a_group_lie_together_and_names_are_distinct(tasks):
    groups = [task.group for task in tasks]
    assert groups == sorted(groups, key=groups.index)
    assert len({task.name for task in tasks}) == len(tasks)
    assert {*SHIPPED, "lcbench"} <= set(groups)


def test_every_task_has_enough_whole_curves(tasks):
    for task in tasks:
        assert task.values.shape == task.seconds.shape == (len(task.values), len(task.levels))
        assert len(task.values) >= 200, task.name
        assert np.isfinite(task.values[:, -1]).sum() > 100, task.name
        assert (np.diff(task.seconds, axis=1, prepend=0.0) >= 0).all(), task.name
        assert (task.unit_seconds > 0).all(), task.name


def test_the_library_spreads_over_what_forecasts_depend_on(tasks):
    correlations = [task.rank_correlation(1 / 81) for task in tasks]
    assert min(correlations) < -0.3
    assert max(correlations) > 0.7
    spreads = [float(np.log(task.unit_seconds).std()) for task in tasks]
    assert min(spreads) == pytest.approx(0.0, abs=1e-12)
    assert max(spreads) > 0.6
    shares = [task.diverged for task in tasks]
    assert min(shares) == 0.0
    assert max(shares) > 0.4


def test_a_named_task_is_the_surrogate_of_that_name(tasks):
    task = next(task for task in tasks if task.name == "sgd")
    curves = load("sgd")
    assert (task.metric, task.mode, task.max_resource) == (curves.metric, curves.mode, curves.max_resource)
    values, seconds = curves.evaluate(np.arange(curves.rows), np.array(curves.resources))
    np.testing.assert_array_equal(task.values, values)
    np.testing.assert_array_equal(task.seconds, seconds)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the files of YAHPO's scenario lcbench")
def test_the_packed_curves_are_those_of_the_network(tasks):
    pytest.importorskip("onnxruntime", reason="evaluates the network")
    from benchmarks.plan_lcbench import packed

    found = packed(DATA, tasks=1, configurations=20)
    first = tasks[0]
    assert first.name == f"lcbench/{found['task'][0]}"
    values = found["val_accuracy"].to_numpy().reshape(20, -1) / 100.0
    np.testing.assert_allclose(first.values[:20], values, atol=0.011)  # a last bit may round up or down
    seconds = found["seconds"].to_numpy().reshape(20, -1)
    np.testing.assert_allclose(first.seconds[:20], seconds, atol=0.011 * seconds.max())


def test_the_page_names_all_groups_and_how_many_tasks_they_have(tasks):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "task-library.md").read_text("utf-8")
    rows = re.findall(r"^\| `(.*?)` \| (\d+) \|", page, re.MULTILINE)
    assert {group: int(count) for group, count in rows} == Counter(task.group for task in tasks)


numbers = st.floats(-1e3, 1e3)


@st.composite
def made_tasks(draw):
    count = draw(st.integers(2, 4))
    levels = np.cumsum(draw(arrays(np.float64, draw(st.integers(1, 6)), elements=st.floats(0.25, 9))))
    shape = (count, len(levels))
    values = draw(arrays(np.float64, shape, elements=numbers | st.just(math.nan)))
    values[0] = 1.0  # a table needs a finite value
    seconds = np.cumsum(draw(arrays(np.float64, shape, elements=st.floats(0.01, 50))), axis=1)
    return Task("made", "made", "", "unit", "loss", "min", levels, values, seconds)


@settings(max_examples=examples(60), deadline=None)
@given(made_tasks(), st.lists(st.floats(0.01, 1.0), max_size=5, unique=True), st.floats(1, 500))
def test_a_table_is_the_task_at_the_same_shares_of_a_run(task, shares, max_t):
    levels = sorted({share * max_t for share in shares} | {max_t})
    table = task.table(levels)
    values, seconds = table.evaluate(np.arange(len(task.values)), np.array(levels))
    for row in range(len(task.values)):
        clock = np.interp(
            np.array(levels) / max_t * task.max_resource, [0, *task.levels], [0, *task.seconds[row]]
        )
        np.testing.assert_allclose(seconds[row], clock, rtol=1e-9)
        for place, level in enumerate(levels):
            at = max(level / max_t * task.max_resource, task.levels[0])
            expected = np.interp(at, task.levels, task.values[row])
            if not np.isclose(task.levels, at, rtol=1e-12).any():  # there floats may fall on either side
                assert values[row, place] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    np.testing.assert_array_equal(values[:, -1], task.values[:, -1])
    np.testing.assert_array_equal(seconds[:, -1], task.seconds[:, -1])


def test_the_mean_cost_of_a_unit_can_be_given(tasks):
    table = tasks[0].table(LADDER, unit_seconds=60.0)
    _, seconds = table.evaluate(np.arange(200), np.array([81.0]))
    assert seconds.mean() / 81.0 == pytest.approx(60.0)


def test_a_study_can_be_simulated_on_each_task(tasks):
    for task in tasks:
        scheduler = make_scheduler("promotion", max_t=81, mode=task.mode, num_trials=30)
        result = hbsim.simulate(scheduler, task.table(scheduler.levels, 1.0), workers=4, replace=True)
        assert result.summary()["trials"] == 30


def cut(task, ends, levels):
    """Return a pilot of a task whose curves end early."""
    from hbsim.surrogates.table import Table
    from hbsim.surrogates.table_files import RecordedCurves

    count = len(ends)
    values, seconds = task.table(levels, 1.0).evaluate(np.arange(count), np.array(levels))
    after = np.array(levels) > np.array(ends)[:, None]
    values[after] = seconds[after] = np.nan
    columns, rows = {"loss": values, "seconds": seconds}, pl.DataFrame({"config": np.arange(count)})
    recorded = RecordedCurves("pilot", np.array(levels), columns, rows, {}, None, "seconds")
    return Table(recorded, metric="loss", mode="min", censored="extrapolate")


@pytest.mark.parametrize("ends", [[81.0] * 12, [81.0, 81.0, 81.0, 27.0, 9.0, 9.0, 3.0, 3.0, *[1.0] * 4]])
def test_the_clock_of_a_pilot_is_that_of_its_curves_even_where_most_end_early(ends):
    """Every curve has the same clock, by a factor: its first unit takes as long as ten of the others."""
    factors = np.geomspace(0.2, 5.0, 12)
    levels = np.arange(1.0, 82.0)
    seconds = factors[:, None] * (9.0 + levels)
    values = np.tile(np.arange(12.0)[:, None], (1, 81))
    task = Task("made", "made", "", "unit", "loss", "min", levels, values, seconds)
    raw = task.table(levels.tolist())
    scale = raw.evaluate(np.arange(12), np.array([81.0]))[1].mean() / 81.0
    pilot = read_pilot(cut(task, ends, levels.tolist()), 81.0)
    np.testing.assert_allclose(pilot.clock, 81.0 * (9.0 + levels) / 90.0)
    np.testing.assert_allclose(pilot.unit_seconds * scale, factors * 90.0 / 81.0)
    draws = [pilot.draw(np.random.default_rng(seed)) for seed in range(40)]
    seen = [draw for draw in draws if draw.clock[0] == pytest.approx(9.0)]  # all have a curve to the end
    assert len(seen) > 20
    np.testing.assert_allclose(seen[0].time_to(np.array([0.5, 27.0])), [4.5, 81.0 * 36.0 / 90.0])
    longer = read_pilot(cut(task, ends, levels.tolist()), 162.0)  # beyond what was seen: at the mean pace
    np.testing.assert_allclose(longer.draw(np.random.default_rng(0)).time_to(np.array([162.0])), [162.0])
