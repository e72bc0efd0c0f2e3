"""Published curves, where somebody has put them beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates import describe, load

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NASBENCH = "nasbench_nlp_wt2.npz"
SCAN = "scan_vlm.npz"
TASKSET = ("taskset_mdb_patch128_LSTM128_bs64.npz", "taskset_mdb_patch32_GRU128_bs128.npz")


@pytest.fixture
def data():
    def path(name):
        if not (DATA / name).is_file():
            pytest.skip(f"no ../shared/data/{name} beside the repository")
        return DATA / name

    return path


def whole(table):
    values, seconds = table.evaluate(np.arange(table.rows), np.array(table.resources))
    assert np.isfinite(seconds).all()
    assert (seconds > 0).all()
    assert (np.diff(seconds, axis=1) >= 0).all()
    return values, seconds


@pytest.mark.parametrize(
    ("name", "rows", "early", "kept"), [(NASBENCH, 345, 4, 341), (SCAN, 1500, 1366, 134)]
)
def test_runs_that_end_early(data, name, rows, early, kept):
    path = data(name)
    with pytest.raises(SurrogateError, match=f"{early} of {rows} rows"):
        load(path, metric="val_loss", mode="min")
    raw = np.load(path, allow_pickle=False)["val_loss"].astype(float)
    failed = load(path, metric="val_loss", mode="min", censored="fail")
    values, _ = whole(failed)
    np.testing.assert_array_equal(values, raw)
    assert (failed.rows, failed.censored_rows) == (rows, early)
    excluded = load(path, metric="val_loss", mode="min", censored="exclude")
    assert (excluded.rows, excluded.censored_rows) == (kept, 0)
    carried, _ = whole(load(path, metric="val_loss", mode="min", censored="extrapolate"))
    there = ~np.isnan(raw)
    np.testing.assert_array_equal(carried[there], raw[there])
    assert np.isnan(carried).sum() <= np.isnan(raw).sum()


def test_recorded_seconds_are_kept(data):
    path = data(NASBENCH)
    raw = np.load(path, allow_pickle=False)["t"].astype(float)
    _, seconds = whole(load(path, metric="val_loss", mode="min", censored="fail"))
    there = ~np.isnan(raw)
    np.testing.assert_array_equal(seconds[there], raw[there])


@pytest.mark.parametrize(("name", "early"), list(zip(TASKSET, (99, 1), strict=True)))
def test_no_time_column_and_a_level_0(data, name, early):
    path = data(name)
    with pytest.raises(ParameterError) as error:
        load(path, metric="valid_loss", mode="min", censored="fail", first_level=0)
    assert error.value.field == "seconds_per_unit"
    table = load(path, metric="valid_loss", mode="min", censored="fail", first_level=0, seconds_per_unit=2.0)
    assert table.resources == tuple(float(level) for level in range(1, 51))
    assert (table.rows, table.censored_rows) == (1000, early)
    values, seconds = whole(table)
    np.testing.assert_array_equal(
        values, np.load(path, allow_pickle=False)["valid_loss"][:, 1:].astype(float)
    )
    assert (seconds == 2.0 * np.arange(1, 51)).all()
    assert table.configurations.columns[:2] == ["config", "learning_rate"]
    assert table.test_values(np.arange(1000), 50.0) is not None


def test_huge_losses_are_numbers(data):
    table = load(
        data(TASKSET[1]),
        metric="valid_loss",
        mode="min",
        censored="fail",
        first_level=0,
        seconds_per_unit=1.0,
    )
    assert np.nanmax(whole(table)[0]) > 1e17
    assert 0 < table.optimum(50.0) < 1
    said = describe(table)
    assert said.correlations[-1] == 1.0
    assert all(-1 <= c <= 1 for c in said.correlations)
