"""Tables in long form, .csv and .parquet: one line a configuration and level."""

import json

import numpy as np
import polars as pl
import pytest

from hbsim import Real
from hbsim.bench.sweep.curves import files_of
from hbsim.core.space import Space
from hbsim.errors import HbsimWarning, ParameterError, SurrogateError
from hbsim.surrogates import Table

LINES = {
    "config": [1, 1, 0, 0, 2],
    "epoch": [1, 2, 1, 2, 1],
    "val_error": [0.5, 0.4, 0.6, None, 0.3],
    "test_error": [0.55, 0.45, 0.65, None, 0.35],
    "seconds": [1.0, 2.0, 1.5, 3.5, 2.0],
    "lr": [0.1, 0.1, 0.2, 0.2, 0.3],
    "activation": ["relu", "relu", "tanh", "tanh", "relu"],
}


BOTH = pytest.mark.parametrize("save", [".csv", ".parquet"], indirect=True)


@pytest.fixture
def save(tmp_path, request):
    """Write a table, as .csv unless a test has both kinds of file."""
    suffix = getattr(request, "param", ".csv")

    def write(columns):
        path = tmp_path / f"curves{suffix}"
        frame = pl.DataFrame(columns)
        frame.write_csv(path) if suffix == ".csv" else frame.write_parquet(path)
        return path

    return write


def load(path, **options):
    return Table.load(path, **{"metric": "val_error", "mode": "min", **options})


@BOTH
def test_rows_are_the_configurations_in_order(save):
    table = load(save(LINES), censored="fail")
    values, seconds = table.evaluate(np.arange(3), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(values, [[0.6, np.nan], [0.5, 0.4], [0.3, np.nan]])
    np.testing.assert_array_equal(seconds, [[1.5, 3.5], [1, 2], [2, 4]])
    assert table.resources == (1.0, 2.0)
    assert table.test_values(np.array([1]), 2.0).tolist() == [0.45]
    assert table.configurations.to_dict(as_series=False) == {
        "config": [0, 1, 2],
        "lr": [0.2, 0.1, 0.3],
        "activation": ["tanh", "relu", "relu"],
    }


@BOTH
def test_a_diverged_row_has_not_ended_and_a_short_one_has(save):
    with pytest.raises(SurrogateError, match="1 of 3 rows"):
        load(save(LINES))
    assert load(save(LINES), censored="exclude").configurations["config"].to_list() == [0, 1]


@BOTH
def test_text_may_name_configurations_and_another_word_the_level(save):
    lines = {
        "trial": ["b", "b", "a", "a"],
        "step": [10, 20, 10, 20],
        "acc": [1, 2, 3, 4],
        "seconds": [1, 2, 1, 2],
    }
    table = Table.load(save(lines), metric="acc", mode="max")
    assert table.resources == (10.0, 20.0)
    assert table.evaluate(np.array([0]), np.array([20.0]))[0].tolist() == [[4.0]]
    assert table.configurations["trial"].to_list() == ["a", "b"]


def test_level_0_is_left_out_and_may_be_missing(save):
    lines = {
        "config": [0, 0, 1],
        "epoch": [0, 1, 1],
        "val_error": [9.0, 1.0, 2.0],
        "seconds": [0.0, 1.0, 1.0],
    }
    table = load(save(lines))
    assert (table.resources, table.rows) == ((1.0,), 2)


def test_time_by_another_name_or_stated(save):
    lines = {k: v for k, v in LINES.items() if k != "seconds"} | {"clock": LINES["seconds"]}
    path = save(lines)
    with pytest.raises(ParameterError) as error:
        load(path)
    assert error.value.field == "seconds_per_unit"
    named = load(path, time="clock", censored="fail")
    assert named.evaluate(np.array([0]), np.array([2.0]))[1].tolist() == [[3.5]]
    stated = load(path, seconds_per_unit=3.0, censored="fail")
    assert stated.evaluate(np.array([0]), np.array([2.0]))[1].tolist() == [[6.0]]


def test_a_named_metric_is_one_even_if_it_never_changes_within_a_configuration(save):
    lines = {
        "config": [0, 0, 1, 1],
        "epoch": [1, 2, 1, 2],
        "val_error": [0.5, 0.5, 0.6, 0.6],
        "seconds": [1, 2, 1, 2],
    }
    assert load(save(lines)).optimum(2.0) == 0.5


@BOTH
def test_large_and_infinite_losses_are_numbers(save):
    lines = {"config": [0, 1], "epoch": [1, 1], "val_error": [1e34, np.inf], "seconds": [1, 1]}
    values, _ = load(save(lines)).evaluate(np.array([0, 1]), np.array([1.0]))
    assert values.tolist() == [[1e34], [np.inf]]


def changed(**columns):
    return {**LINES, **columns}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({k: [] for k in LINES}, "empty"),
        ({k: v[:2] for k, v in LINES.items()}, "one row"),
        ({k: v for k, v in LINES.items() if k != "config"}, "no column for the configuration"),
        ({k: v for k, v in LINES.items() if k != "epoch"}, "no column for the level"),
        (changed(step=LINES["epoch"]), "several columns for the level"),
        (changed(epoch=[1, 1, 1, 2, 1]), "config 1, epoch 1 is there twice"),
        (changed(epoch=[1, 3, 1, 2, 1]), "config 1 has no epoch 2"),
        (changed(epoch=[1, 2, 1, 2, 2]), "config 2 has no epoch 1"),
        (changed(epoch=["a", "b", "a", "b", "a"]), "'epoch' must hold numbers"),
        (changed(epoch=[1, -2, 1, 2, 1]), "0 or more"),
        (changed(epoch=[1, None, 1, 2, 1]), "empty cells"),
        (changed(config=[1, None, 0, 0, 2]), "empty cells"),
        (changed(val_error=["x", "y", "z", "x", "y"]), "'val_error' must hold numbers"),
        (changed(seconds=["x", "y", "z", "x", "y"]), "'seconds' must hold numbers"),
        (changed(seconds=[2.0, 1.0, 1.5, 3.5, 2.0]), "row 1 at level 2 has less time"),
        (changed(seconds=[None, 1.0, 1.5, 3.5, 2.0]), "row 1 at level 1 has no time"),
        (changed(epoch=[0, 0, 0, 0, 0], config=[0, 1, 2, 3, 4]), "level above 0"),
    ],
)
def test_a_bad_table_is_one_error(save, lines, message):
    with pytest.raises(SurrogateError, match=message):
        load(save(lines), censored="fail")


def test_a_metric_that_is_not_there_suggests_the_near_one(save):
    with pytest.raises(SurrogateError, match="Did you mean 'val_error'"):
        load(save(LINES), metric="val_eror")


def test_a_first_level_is_not_for_long_form(save):
    with pytest.raises(ParameterError, match="first_level"):
        load(save(LINES), first_level=0)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage", b"PAR1 no parquet PAR1", b"a,b\n1,2,3\n"])
def test_a_broken_file_is_one_error(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(SurrogateError, match="broken"):
        load(path)


def test_a_file_that_says_what_decides_needs_no_options(tmp_path):
    path = tmp_path / "noted.parquet"
    said = {"hbsim.metric": "val_error", "hbsim.mode": "min", "hbsim.test_metric": "lr"}
    pl.DataFrame(LINES).write_parquet(path, metadata=said)
    table = Table.load(path, censored="fail")
    assert (table.metric, table.mode) == ("val_error", "min")
    assert table.test_values(np.array([0]), 1.0).tolist() == [0.2]
    with pytest.raises(ParameterError, match="mode"):
        Table.load(path, metric="test_error", censored="fail")  # said of another metric
    with pytest.warns(HbsimWarning, match="val_error is taken with mode='max', and the file says 'min'"):
        assert Table.load(path, mode="max", censored="fail").mode == "max"


def test_a_file_that_describes_itself(tmp_path):
    path = tmp_path / "described.parquet"
    space = Space({"lr": Real(0.01, 1.0)})
    lines = {k: v for k, v in LINES.items() if k != "epoch"} | {
        "chunk": LINES["epoch"],
        "constant": [7.0] * 5,
    }
    said = {
        "resource": "chunk",
        "hyperparameters": ["lr", "activation"],
        "metric": "val_error",
        "mode": "min",
    }
    pl.DataFrame(lines).write_parquet(
        path, metadata={"hbsim": json.dumps({**said, "space": space.to_json()})}
    )
    table = Table.load(path, censored="fail")
    assert table.space == space
    assert table.configurations.columns == ["config", "lr", "activation"]
    assert Table.load(path, metric="constant", mode="min", censored="fail").optimum(1.0) == 7.0


def test_a_file_beside_a_table_says_what_is_in_it(tmp_path):
    path = tmp_path / "plain.csv"
    pl.DataFrame({**LINES, "clock": [5.0, 6.0, 5.0, 6.0, 5.0]}).write_csv(path)
    with pytest.raises(ParameterError, match="metric"):
        Table.load(path, censored="fail")
    said = {"metric": "val_error", "mode": "min", "time": "clock", "hyperparameters": ["lr"]}
    (tmp_path / "plain.csv.json").write_text(json.dumps(said))
    table = Table.load(path, censored="final")
    assert (table.metric, table.mode, table.hyperparameters) == ("val_error", "min", ("lr",))
    np.testing.assert_array_equal(
        table.evaluate(np.arange(3), np.array([1.0, 2.0]))[1], [[5, 6], [5, 6], [5, 5]]
    )
    other = Table.load(path, metric="test_error", mode="max", time="seconds", censored="fail")  # are stronger
    assert (other.metric, other.mode) == ("test_error", "max")
    assert other.evaluate(np.array([1]), np.array([1.0]))[1].tolist() == [[1.0]]
    assert files_of({"surrogate": str(path)}) == (str(path), f"{path}.json")
    assert files_of({"surrogate": f"fit:{path},seed=1"}) == (str(path), f"{path}.json")


@pytest.mark.parametrize("text", ["[]", "{", '{"space": {"parameters": 3}, "resource": 4}'])
def test_notes_that_cannot_be_used_are_left_aside(tmp_path, text):
    path = tmp_path / "odd.parquet"
    pl.DataFrame(LINES).write_parquet(path, metadata={"hbsim": text})
    assert load(path, censored="fail").space is None
