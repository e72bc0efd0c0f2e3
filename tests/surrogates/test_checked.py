"""A user's surrogate: faults of its own are one SurrogateError that names it."""

import numpy as np
import polars as pl
import pytest

from hbsim import Real
from hbsim.core.space import Space
from hbsim.errors import SurrogateError
from hbsim.surrogates import Checked, Surrogate, Table, load

LEVELS = np.array([1.0, 3.0])
POINTS = np.array([[0.1], [0.2], [0.3]])


class Mine:
    metric = "loss"
    mode = "min"
    max_resource = 9
    space = Space({"x": Real(0.0, 1.0)})

    def evaluate(self, configurations, levels):
        shape = (len(configurations), len(levels))
        return np.ones(shape), np.tile(levels, (len(configurations), 1))


def make(**attributes):
    return Checked(type("Mine", (Mine,), attributes)())


def test_defaults_fill_in_the_protocol():
    surrogate = make()
    assert isinstance(surrogate, Surrogate)
    assert (surrogate.name, surrogate.resources, surrogate.rows) == ("Mine", None, None)
    assert surrogate.optimum(9.0) is None
    assert surrogate.test_values(POINTS, 9.0) is None
    values, seconds = surrogate.evaluate(POINTS, LEVELS)
    assert values.shape == seconds.shape == (3, 2)


def test_what_is_there_is_used():
    surrogate = make(
        name="own",
        rows=3,
        space=None,
        resources=[1, 3, 9],
        optimum=lambda self, level: 1,
        test_values=lambda self, configurations, level: [1, 2, 3],
    )
    assert (surrogate.name, surrogate.rows, surrogate.resources) == ("own", 3, (1.0, 3.0, 9.0))
    assert surrogate.optimum(9.0) == 1.0
    assert surrogate.test_values(np.arange(3), 9.0).tolist() == [1.0, 2.0, 3.0]


def test_lists_of_numbers_will_do_and_nan_is_a_value():
    surrogate = make(evaluate=lambda self, c, levels: ([[1, float("nan")]], [[1, 3]]))
    values, seconds = surrogate.evaluate(POINTS[:1], LEVELS)
    assert values.dtype == seconds.dtype == np.float64
    assert np.isnan(values[0, 1])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"mode": "maximum"}, "mode is 'maximum'"),
        ({"max_resource": 0}, "max_resource is 0"),
        ({"max_resource": "9"}, "max_resource is '9'"),
        ({"max_resource": float("nan")}, "max_resource is nan"),
        ({"resources": [1, 3]}, "must ascend"),
        ({"resources": [3, 1, 9]}, "must ascend"),
        ({"resources": [0, 9]}, "must ascend"),
        ({"resources": []}, "must ascend"),
        ({"resources": 9}, "must be numbers"),
        ({"rows": 1}, "rows is 1"),
        ({"rows": 2.5}, "rows is 2.5"),
        ({"space": {"x": 1}}, "must be an hbsim Space"),
        ({"space": None}, "needs a space"),
        ({"evaluate": 3}, "must be a method"),
    ],
)
def test_an_attribute_that_cannot_be(attributes, message):
    with pytest.raises(SurrogateError, match=f"Mine: .*{message}"):
        make(**attributes)


def test_missing_attributes_are_named():
    with pytest.raises(
        SurrogateError, match="object: has no attributes metric, mode, max_resource, evaluate"
    ):
        Checked(object())


def boom(self, *arguments):
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (boom, r"evaluate raised KeyError: 'lost' \(test_checked\.py, line \d+\)"),
        (lambda self, c, levels: np.ones((3, 2)), "must return values and seconds, got ndarray"),
        (lambda self, c, levels: None, "must return values and seconds, got NoneType"),
        (
            lambda self, c, levels: (np.ones(3), np.ones((3, 2))),
            r"values must have the shape \(3, 2\), got \(3,\)",
        ),
        (lambda self, c, levels: (np.ones((3, 2)), np.ones((2, 3))), r"seconds must have the shape"),
        (lambda self, c, levels: (np.full((3, 2), "a"), np.ones((3, 2))), "values must be numbers"),
        (lambda self, c, levels: ([[1], [2, 3], []], np.ones((3, 2))), "values must be numbers"),
        (
            lambda self, c, levels: (np.ones((3, 2)), np.tile([3, 1], (3, 1))),
            "from 3 at level 1 to 1 at level 3",
        ),
        (lambda self, c, levels: (np.ones((3, 2)), np.tile([-1, 1], (3, 1))), "0 or more"),
        (lambda self, c, levels: (np.ones((3, 2)), np.full((3, 2), np.nan)), "finite"),
        (lambda self, c, levels: (np.ones((3, 2)), np.full((3, 2), np.inf)), "finite"),
    ],
)
def test_a_fault_in_evaluate_is_one_error(evaluate, message):
    with pytest.raises(SurrogateError, match=message):
        make(evaluate=evaluate).evaluate(POINTS, LEVELS)


@pytest.mark.parametrize("optimum", [boom, lambda self, level: "best", lambda self, level: float("nan")])
def test_a_fault_in_optimum_is_one_error(optimum):
    with pytest.raises(SurrogateError, match="optimum"):
        make(optimum=optimum).optimum(9.0)


@pytest.mark.parametrize("tests", [boom, lambda self, c, level: np.ones(2)])
def test_a_fault_in_test_values_is_one_error(tests):
    with pytest.raises(SurrogateError, match="test_values"):
        make(test_values=tests).test_values(POINTS, 9.0)


def test_our_own_surrogates_pass_every_check(tmp_path):
    path = tmp_path / "curves.npz"
    np.savez(path, loss=np.array([[2.0, np.nan], [3.0, 2.0]]), t=np.array([[1.0, 2.0], [1.0, np.nan]]))
    table = Table.load(path, mode="min", censored="fail")
    values, _ = Checked(table).evaluate(np.arange(2), np.array([1.0, 2.0]))
    assert values.tobytes() == table.evaluate(np.arange(2), np.array([1.0, 2.0]))[0].tobytes()


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError("no")


TABLE = pl.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25]})
TABLES = {"polars": TABLE, "polars lazy": TABLE.lazy(), "column": TABLE["loss"], "numpy": np.zeros((3, 2))}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_no_surrogate(name):
    with pytest.raises(SurrogateError, match=r"is no surrogate: write it to a \.parquet or \.csv file"):
        load(TABLES[name])


def test_a_pandas_table_is_no_surrogate():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(SurrogateError, match="pandas: DataFrame is no surrogate"):
        load(pandas.DataFrame({"loss": [0.5]}))


def test_an_object_that_answers_nothing_is_no_surrogate():
    with pytest.raises(SurrogateError, match="RuntimeError: no"):
        load(Hostile())


@pytest.mark.parametrize("field", ["name", "metric", "mode", "max_resource", "resources", "rows", "space"])
@pytest.mark.parametrize(
    "value", [TABLE, np.zeros(3), 10**400, Hostile], ids=["table", "array", "huge", "class"]
)
def test_an_attribute_of_another_kind_is_one_line(field, value):
    with pytest.raises(SurrogateError) as caught:
        make(**{field: value})
    assert len(str(caught.value).splitlines()) == 1
    assert field in str(caught.value)


def test_complex_values_are_no_numbers():
    surrogate = make(evaluate=lambda self, c, levels: (np.ones((3, 2), dtype=complex), np.ones((3, 2))))
    with pytest.raises(SurrogateError, match="values must be numbers"):
        surrogate.evaluate(POINTS, LEVELS)
