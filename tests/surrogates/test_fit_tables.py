"""What a fit is made from: files, spaces, options, and what is refused."""

import json
import sys

import numpy as np
import polars as pl
import pytest

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates import describe, fit, load
from hbsim.surrogates.fit_data import collect, derive_space, encode_columns, features, snap
from hbsim.surrogates.fitted import split_name
from hbsim.surrogates.table import Table
from tests.surrogates.fit_pilots import LEVELS


def long_form(n=30, **columns):
    """Return a frame with a line a configuration and level."""
    rng = np.random.default_rng(0)
    settings = {"config": np.arange(n), "lr": 10.0 ** rng.uniform(-4, 0, n), **columns}
    frame = pl.DataFrame(settings).join(pl.DataFrame({"epoch": LEVELS.astype(int)}), how="cross")
    return frame.with_columns(
        val=pl.col("lr").log10().abs() + 1 / pl.col("epoch") + (pl.col("config") % 7) * 0.01,
        seconds=2.0 * pl.col("epoch"),
    )


def test_a_space_is_read_off_the_columns():
    rng = np.random.default_rng(0)
    n = 60
    frame = pl.DataFrame(
        {
            "lr": 10.0 ** rng.uniform(-5, -1, n),
            "wide": np.append(rng.uniform(0, 1000, n - 1), 0.01),
            "depth": rng.integers(1, 9, n),
            "width": 2.0 ** rng.integers(2, 11, n),
            "momentum": rng.uniform(0, 1, n),
            "nesterov": rng.random(n) < 0.5,
            "optimizer": rng.choice(["sgd", "adam", "lion"], n),
            "units": [str(number) for number in rng.integers(100, 200, n)],
            "name": [f"run {number}" for number in range(n)],
            "fixed": np.full(n, 3),
            "sometimes": [None, *range(1, n)],
            "crowded": rng.uniform(0, 1, n) ** 6,
        }
    )
    space, notes = derive_space(frame, frame.columns)
    kinds = {name: type(space[name]) for name in space.names}
    assert kinds == {
        "lr": Real,
        "wide": Real,
        "depth": Int,
        "width": Int,
        "momentum": Real,
        "nesterov": Bool,
        "optimizer": Choice,
        "units": Int,
        "crowded": Real,
    }
    assert [name for name in space.names if getattr(space[name], "log", False)] == ["lr", "width"]
    assert (space["depth"].low, space["depth"].high) == (1, 8)
    left = "\n".join(notes)
    for words in (
        "name is left out: it is text with 60",
        "fixed is left out: it is the same",
        "sometimes is left",
    ):
        assert words in left
    assert "crowded is spread evenly" in left
    points = encode_columns("x", space, frame)
    back = space.decode(points)
    np.testing.assert_allclose(back["lr"], frame["lr"].to_numpy(), rtol=1e-9)
    assert back["optimizer"] == frame["optimizer"].to_list()
    assert back["units"].tolist() == [int(text) for text in frame["units"]]


def test_snapped_points_stay_and_stand_for_the_same():
    space = Space(
        {"a": Real(1e-3, 1, log=True), "b": Int(1, 300, log=True), "c": Choice(4, 8, 16), "d": Bool()}
    )
    points = space.sample(500, np.random.default_rng(0))
    moved = snap(space, points)
    assert moved[:, 0].tobytes() == points[:, 0].tobytes()
    assert snap(space, moved).tobytes() == moved.tobytes()
    before, after = space.decode(points), space.decode(moved)
    assert all(np.array_equal(before[name], after[name]) for name in space.names)
    assert len(np.unique(moved[:, 2])) == 3
    seen = features(space, moved)
    assert seen.shape == (500, 6)
    assert (seen[:, 2:5].sum(axis=1) == 1).all()


def test_a_recorded_space_is_used(tmp_path):
    space = Space({"lr": Real(1e-5, 10.0, log=True), "opt": Choice("sgd", "adam")})
    frame = long_form(opt=np.resize(["sgd", "adam"], 30))
    notes = {"metric": "val", "mode": "min", "hyperparameters": ["lr", "opt"], "space": space.to_json()}
    frame.write_parquet(tmp_path / "p.parquet", metadata={"hbsim": json.dumps(notes)})
    fitted = fit(tmp_path / "p.parquet")
    assert fitted.space == space
    assert fitted.notes == ()
    assert (fitted.metric, fitted.mode, fitted.max_resource) == ("val", "min", 81.0)


def test_csv_and_a_column_that_is_no_hyperparameter(tmp_path):
    long_form().write_csv(tmp_path / "a, b.csv")
    fitted = load(f"fit:{tmp_path / 'a, b.csv'},seed=2", metric="val", mode="min")
    assert (fitted.name, fitted.space.names) == ("fit:a, b.csv,seed=2", ("lr",))
    rng = np.random.default_rng(0)
    arrays = {
        "hp": ["x"],
        "X": rng.random((30, 1)),
        "val": rng.random((30, 3)),
        "gpu": rng.integers(0, 4, 30),
    }
    np.savez(tmp_path / "p.npz", **arrays)
    table = Table.load(tmp_path / "p.npz", metric="val", mode="min", seconds_per_unit=2.0)
    data = collect(table, settled=True)
    assert data.space.names == ("x",)
    assert "gpu" in table.configurations.columns


def test_what_a_row_was_is_kept(tmp_path):
    values = np.tile([3.0, 2.0, 1.0], (30, 1)) + np.arange(30)[:, None]
    seconds = np.tile([1.0, 2.0, 3.0], (30, 1))
    values[0, 1:] = np.nan  # diverged
    values[1, 2:], seconds[1, 2:] = np.nan, np.nan  # ended early
    values[2, 1] = np.inf  # and came back
    values[3, 2] = np.inf
    np.savez(tmp_path / "p.npz", hp=["x"], X=np.arange(30.0)[:, None], val=values, t=seconds)
    table = Table.load(tmp_path / "p.npz", metric="val", mode="min", censored="fail")
    data = collect(table, settled=False)
    assert data.ends[:4].tolist() == [3, 2, 3, 3]
    assert data.diverged[:4].tolist() == [1, 3, 3, 2]
    assert np.isnan(data.values[:4]).tolist() == [
        [False, True, True],
        [False, False, True],
        [False, True, False],
        [False, False, True],
    ]
    assert np.isnan(data.seconds[1]).tolist() == [False, False, True]
    assert (data.ended_early, data.complete) == (1, 27)
    said = collect(table, settled=True)
    assert (said.ends == 3).all()
    assert said.diverged[:4].tolist() == [1, 2, 3, 2]


def chance(*shape):
    return np.random.default_rng(1).random(shape)


def broken(path, **change):
    rng = np.random.default_rng(0)
    arrays = {
        "hp": ["x"],
        "X": rng.random((30, 1)),
        "val": rng.random((30, 3)),
        "t": np.tile([1.0, 2, 3], (30, 1)),
    }
    np.savez(path, **{**arrays, **change})
    return path


LATE = np.where(np.arange(30)[:, None] < 26, [[1.0, np.nan, np.nan]], [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"X": chance(9, 1), "val": chance(9, 3), "t": np.ones((9, 3))},
            "9 of 9 rows.*at least 20",
        ),
        ({"val": chance(30, 1), "t": np.ones((30, 1))}, "one level, 1; a fit needs at least two"),
        ({"val": LATE, "t": LATE}, "4 of 30 rows have a value at the last level, 3; a fit needs at least 5"),
        ({"val": np.ones((30, 3))}, "'val' is the same everywhere"),
        ({"val": np.full((30, 3), np.nan)}, "no finite value"),
        (
            {"X": np.ones((30, 1))},
            r"no hyperparameters to fit to \(x is left out: it is the same in every row\)",
        ),
        ({"hp": [], "X": np.ones((30, 0))}, "no hyperparameters to fit to; a column each"),
        ({"t": np.zeros((30, 3))}, "no row takes any time"),
    ],
)
def test_too_little_is_one_error(tmp_path, change, message):
    path = broken(tmp_path / "p.npz", **change)
    with pytest.raises(SurrogateError, match=message) as error:
        fit(path, metric="val", mode="min")
    assert error.value.source == str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pilot.parquet", ("pilot.parquet", 0)),
        ("a/b,c.csv", ("a/b,c.csv", 0)),
        ("a.npz,seed=3", ("a.npz", 3)),
        ("a.npz,seed=3.npz", ("a.npz,seed=3.npz", 0)),
        ("digits,seed=1", ("digits", 1)),
    ],
)
def test_a_name_is_a_table_and_options(text, expected):
    assert split_name(text) == expected


@pytest.mark.parametrize(
    ("name", "options", "field", "message"),
    [
        ("fit:", {}, "surrogate", "needs a table"),
        ("fit:synthetic", {}, "surrogate", "needs a table"),
        ("fit:p.npz,sed=1", {}, "surrogate", "Did you mean 'seed'"),
        ("fit:p.npz,seed=x", {}, "seed", "whole number"),
        ("fit:p.npz,seed=-1", {}, "seed", "must be at least 0|must lie"),
        ("fit:p.npz", {"test_metric": "test"}, "test_metric", "one metric"),
        ("fit:p.npz", {"mode": None}, "mode", "is needed"),
        ("fit:p.npz", {"yahpo_data": "x"}, "yahpo_data", "yahpo"),
    ],
)
def test_a_bad_request_is_one_error(tmp_path, monkeypatch, name, options, field, message):
    monkeypatch.chdir(tmp_path)
    broken(tmp_path / "p.npz")
    with pytest.raises(ParameterError, match=message) as error:
        load(name, **{"metric": "val", "mode": "min", **options})
    assert error.value.field == field


def test_no_such_file_and_no_scikit_learn(tmp_path, monkeypatch):
    with pytest.raises(SurrogateError, match=r"none\.npz: no such file"):
        load(f"fit:{tmp_path / 'none.npz'}", metric="val", mode="min")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SurrogateError, match=r'pip install -e "\.\[fit\]"'):
        load(f"fit:{broken(tmp_path / 'p.npz')}", metric="val", mode="min")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_a_table_is_described_by_the_parameters_of_its_fit(tmp_path, suffix):
    path = tmp_path / f"pilot{suffix}"
    rng, n = np.random.default_rng(1), 30
    settings = {
        "depth": rng.integers(1, 9, n),
        "momentum": rng.uniform(0, 1, n),
        "dropout": rng.uniform(0, 1, n),
        "batch": 2.0 ** rng.integers(4, 9, n),
        "fixed": np.full(n, 3),  # no parameter of a fit
    }
    frame = long_form(n, **settings)
    if suffix == ".npz":
        hp, x = ["lr", *settings], frame.gather_every(len(LEVELS)).select("lr", *settings).to_numpy()
        curves = {name: frame[name].to_numpy().reshape(n, -1) for name in ("val", "seconds")}
        np.savez(
            path, hp=hp, X=x, val=curves["val"], t=curves["seconds"], levels=LEVELS, gpu=np.arange(n) % 2
        )
    else:
        frame.write_csv(path) if suffix == ".csv" else frame.write_parquet(path)
    names = ("lr", "depth", "momentum", "dropout", "batch")
    assert fit(path, metric="val", mode="min").space.names == names
    assert describe(load(path, metric="val", mode="min")).parameters == names
    assert describe(load(path, metric="val", mode="min", wrap=["negate"])).parameters == names


def test_a_table_without_parameters_has_none_to_describe(tmp_path):
    np.savez(tmp_path / "bare.npz", val=np.random.default_rng(0).random((30, 3)))
    table = load(tmp_path / "bare.npz", mode="min", seconds_per_unit=1.0)
    assert describe(table).parameters is None
