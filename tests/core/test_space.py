"""Round trips between values and the unit cube, shares, and errors that name the field."""

import json
import math
import pickle  # noqa: TID251  (what a process pool does to a space)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core.space import Bool, Choice, Int, Real, Space
from hbsim.errors import ParameterError

UNIT = st.floats(0.0, 1.0)
LARGEST = 2**44


@st.composite
def reals(draw):
    log = draw(st.booleans())
    low = draw(st.floats(1e-12, 1e6)) if log else draw(st.floats(-1e6, 1e6))
    high = low * draw(st.floats(1.01, 1e9)) if log else low + draw(st.floats(0.01, 1e9))
    return Real(low, high, log=log)


@st.composite
def ints(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -LARGEST, LARGEST - 1))
    return Int(low, draw(st.integers(low + 1, LARGEST)), log=log)


CHOICES = st.lists(st.text(max_size=3) | st.integers() | st.none(), min_size=1, max_size=20, unique=True)
PARAMETERS = reals() | ints() | CHOICES.map(Choice) | st.booleans().map(Bool)
SPACES = st.dictionaries(st.text(min_size=1), PARAMETERS, max_size=5).map(Space)


def example() -> Space:
    return Space(
        {
            "lr": Real(1e-3, 1e-1, log=True),
            "depth": Int(2, 5),
            "activation": Choice("relu", "tanh", None),
            "nesterov": Bool(),
        }
    )


@given(parameter=reals(), unit=UNIT)
def test_real_values_survive(parameter, unit):
    value = parameter.decode(np.array([unit]))
    again = parameter.decode(parameter.encode(value, "x"))
    assert parameter.low <= value[0] <= parameter.high
    if parameter.log:
        np.testing.assert_allclose(again, value, rtol=1e-12)
    else:
        size = max(abs(parameter.low), abs(parameter.high))
        np.testing.assert_allclose(again, value, atol=8 * np.spacing(size))


@given(parameter=ints(), data=st.data())
def test_whole_numbers_survive_exactly(parameter, data):
    value = data.draw(st.integers(parameter.low, parameter.high))
    unit = parameter.encode([value], "x")
    assert 0.0 < unit[0] < 1.0
    assert parameter.decode(unit).tolist() == [value]


@pytest.mark.parametrize("low", [1, 2**20, LARGEST - 2000])
def test_whole_numbers_survive_exactly_where_shares_are_smallest(low):
    parameter = Int(low, LARGEST, log=True)
    top = np.arange(LARGEST - 1000, LARGEST + 1)
    assert (parameter.decode(parameter.encode(top, "x")) == top).all()


@settings(deadline=None)
@given(space=SPACES, data=st.data())
def test_one_point_reads_as_its_row_in_a_block_and_encodes_back(space, data):
    seed = data.draw(st.integers(0, 1000))
    points = space.sample(7, np.random.default_rng(seed))
    columns = space.decode(points)
    rows = [space.mapping(point) for point in points]
    for name in space.names:
        assert list(columns[name]) == [row[name] for row in rows]
    encoded = np.array([space.encode(row) for row in rows])
    assert space.dimension == 0 or (space.encode(columns) == encoded).all()


@settings(deadline=None)
@given(space=SPACES)
def test_json_keeps_everything(space):
    text = json.dumps(space.to_json(), allow_nan=False)
    again = Space.from_json(json.loads(text))
    assert again == space
    assert hash(again) == hash(space)
    assert repr(again) == repr(space)
    assert again.defaults == space.defaults


@given(parameter=PARAMETERS)
def test_the_default_is_a_value_of_the_parameter(parameter):
    unit = parameter.encode([parameter.initial], "default")
    assert 0.0 <= unit[0] <= 1.0


@given(parameter=PARAMETERS, unit=st.lists(UNIT, min_size=1, max_size=20))
def test_decoding_keeps_the_order_of_the_scale(parameter, unit):
    values = list(parameter.decode(np.array(sorted(unit))))
    places = list(parameter.encode(values, "x"))
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("parameter", "first", "last"),
    [
        (Real(0.1, 0.7), 0.1, 0.7),
        (Real(1e-3, 3e-1, log=True), 1e-3, 3e-1),
        (Int(-3, 3), -3, 3),
        (Int(1, 1000, log=True), 1, 1000),
        (Choice("a", "b", "c"), "a", "c"),
        (Bool(), False, True),
    ],
)
def test_both_ends_are_exact(parameter, first, last):
    assert list(parameter.decode(np.array([0.0, 1.0]))) == [first, last]


def test_whole_numbers_have_equal_shares():
    parameter = Int(3, 9)
    grid = (np.arange(7000) + 0.5) / 7000
    assert np.bincount(parameter.decode(grid))[3:].tolist() == [1000] * 7


def test_whole_numbers_on_a_log_scale_have_shares_with_half_unit_borders():
    parameter = Int(1, 20, log=True)
    grid = (np.arange(100_000) + 0.5) / 100_000
    found = np.bincount(parameter.decode(grid))[1:] / 100_000
    whole = math.log(20.5 / 0.5)
    expected = [math.log((k + 0.5) / (k - 0.5)) / whole for k in range(1, 21)]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_choices_come_back_as_they_were_given():
    parameter = Choice("a", 1, 2.5, None, ("x", 1))
    assert parameter.decode(np.array([0.1, 0.3, 0.5, 0.7, 0.9])) == ["a", 1, 2.5, None, ("x", 1)]
    assert Choice(["a", "b"]) == Choice(("a", "b")) == Choice("a", "b")
    assert Choice(range(3)) == Choice(0, 1, 2)


def test_columns_have_plain_types():
    columns = example().decode(np.full((2, 4), 0.5))
    kinds = [columns[name].dtype.kind for name in ("lr", "depth", "nesterov")]
    assert kinds == ["f", "i", "b"]
    assert columns["activation"] == ["tanh", "tanh"]
    types = [type(value) for value in example().mapping(np.full(4, 0.5)).values()]
    assert types == [float, int, str, bool]


def test_middle_is_the_default():
    space = Space(
        {"a": Real(0, 4), "b": Real(1e-3, 1e-1, log=True), "c": Int(0, 10), "d": Int(1, 100, log=True)}
    )
    assert space.defaults == {"a": 2.0, "b": 0.01, "c": 5, "d": 10}
    assert Real(0, 1, default=0.25).initial == 0.25
    assert Int(0, 9, default=9).initial == 9
    assert Choice("a", "b", default="b").initial == "b"
    assert Choice("a", None, default=None).initial is None
    assert Bool(default=True).initial is True


def test_space_answers_by_name_and_in_order():
    space = example()
    assert space.names == ("lr", "depth", "activation", "nesterov")
    assert list(space) == list(space.names)
    assert space.dimension == len(space) == 4
    assert "lr" in space
    assert "wd" not in space
    assert space["depth"] == Int(2, 5)
    assert pickle.loads(pickle.dumps(space)) == space


def test_the_order_of_coordinates_is_part_of_a_space():
    a, b = Real(0, 1), Int(0, 1)
    assert Space({"a": a, "b": b}) != Space({"b": b, "a": a})
    assert Space({"a": a}) != {"a": a}


def test_sampling_fills_the_cube_and_follows_the_generator():
    space = example()
    points = space.sample(5000, np.random.default_rng(3))
    assert points.shape == (5000, 4)
    counts = np.stack([np.bincount((column * 10).astype(int), minlength=10) for column in points.T])
    chi_square = ((counts - 500.0) ** 2 / 500.0).sum(axis=1)
    assert (chi_square < 27.9).all()  # the 0.999 quantile with 9 degrees of freedom
    assert (points == space.sample(5000, np.random.default_rng(3))).all()
    assert (points != space.sample(5000, np.random.default_rng(4))).any()


def test_columns_from_files_are_taken_as_they_are_read():
    space = Space({"n": Int(1, 9), "flag": Bool(), "c": Choice(16, 32)})
    read = {"n": np.array([1.0, 9.0]), "flag": np.array([0, 1]), "c": np.array([32, 16])}
    plain = {"n": [1, 9], "flag": [False, True], "c": [32, 16]}
    assert (space.encode(read) == space.encode(plain)).all()


def test_an_empty_space_is_one_point():
    space = Space({})
    assert space.sample(3, np.random.default_rng(0)).shape == (3, 0)
    assert space.mapping(np.empty(0)) == {}
    assert space.encode({}).shape == (0,)


@pytest.mark.parametrize(
    ("make", "field", "value", "rule"),
    [
        (lambda: Real(1, 1), "low", 1.0, "below high=1.0"),
        (lambda: Real(2, 1), "low", 2.0, "below high"),
        (lambda: Real(math.nan, 1), "low", None, "finite"),
        (lambda: Real(0, math.inf), "high", math.inf, "finite"),
        (lambda: Real(0, 10**400), "high", 10**400, "finite"),
        (lambda: Real(True, 2), "low", True, "finite number"),
        (lambda: Real("a", 2), "low", "a", "finite number"),
        (lambda: Real(-1e308, 1e308), "high", 1e308, "high - low"),
        (lambda: Real(0, 1, log=True), "low", 0.0, "above 0 with log=True"),
        (lambda: Real(1e-4, 1e-2, 1e-3), "log", 1e-3, "True or False"),
        (lambda: Real(0, 1, default=2), "default", 2.0, "between 0.0 and 1.0"),
        (lambda: Real(0, 1, default="x"), "default", "x", "finite number"),
        (lambda: Int(0.5, 3), "low", 0.5, "whole"),
        (lambda: Int(3, 3), "low", 3, "below high"),
        (lambda: Int(0, 2**44 + 1), "high", 2**44 + 1, "2**44"),
        (lambda: Int(0, 9, log=True), "low", 0, "above 0"),
        (lambda: Int(0, 9, default=1.5), "default", 1.5, "whole"),
        (lambda: Int(0, 9, default=10), "default", 10, "between 0 and 9"),
        (lambda: Choice(), "choices", (), "at least one"),
        (lambda: Choice([]), "choices", (), "at least one"),
        (lambda: Choice("a", "b", "a"), "choices", "a", "twice"),
        (lambda: Choice(1, True), "choices", True, "twice"),
        (lambda: Choice("a", {}), "choices", {}, "hashable"),
        (lambda: Choice(("a", []), "b"), "choices", ("a", []), "hashable"),
        (lambda: Choice(math.nan), "choices", None, "NaN"),
        (lambda: Choice("relu", "tanh", default="rely"), "default", "rely", "Did you mean 'relu'?"),
        (lambda: Choice(range(100), default=-1), "default", -1, "must be one of 0, 1"),
        (lambda: Bool(default=1), "default", 1, "True or False"),
        (lambda: Space({"lr": 0.1}), "lr", 0.1, "must be a Real, Int, Choice or Bool"),
        (lambda: Space({"": Bool()}), "parameters", "", "non-empty text"),
        (lambda: Space({3: Bool()}), "parameters", 3, "non-empty text"),
        (lambda: example().sample(-1, np.random.default_rng()), "n", -1, "0 or more"),
        (lambda: example().sample(1.5, np.random.default_rng()), "n", 1.5, "whole"),
        (lambda: example().decode(np.zeros((3, 5))), "points.shape", (3, 5), "must be (n, 4)"),
        (lambda: example().decode(np.zeros(4)), "points.shape", (4,), "must be (n, 4)"),
        (lambda: example().mapping(np.zeros((1, 4))), "point.shape", (1, 4), "must be (4,)"),
        (lambda: example().mapping([0, 0, 1.5, 0]), "activation", 1.5, "[0, 1]"),
        (lambda: example().mapping([0, -0.1, 0, 0]), "depth", -0.1, "[0, 1]"),
        (lambda: example().mapping([0, 0, 0, math.nan]), "nesterov", None, "[0, 1]"),
        (lambda: encode(lr=1.0), "lr", 1.0, "between 0.001 and 0.1"),
        (lambda: encode(lr=math.nan), "lr", None, "finite"),
        (lambda: encode(depth=2.5), "depth", 2.5, "whole"),
        (lambda: encode(depth="3"), "depth", "3", "number"),
        (lambda: encode(activation="than"), "activation", "than", "Did you mean 'tanh'?"),
        (lambda: encode(activation={}), "activation", {}, "must be one of"),
        (lambda: encode(nesterov="yes"), "nesterov", "yes", "must be one of False, True"),
        (lambda: encode(dept=3), "dept", 3, "Did you mean 'depth'?"),
        (lambda: Space({"a": Bool(), "b": Bool()}).encode({"a": True}), "b", None, "missing"),
        (lambda: encode(depth=[2, 3]), "lr", 0.01, "must be a list or an array"),
        (
            lambda: example().encode({n: [] for n in example()} | {"depth": [2]}),
            "columns",
            None,
            "same number",
        ),
        (lambda: Space({"a": Int(0, 3)}).encode({"a": np.array([1, 4])}), "a", 4, "between 0 and 3"),
        (lambda: Space({"a": Int(0, 3)}).encode({"a": np.zeros((2, 2))}), "a", None, "shape (n,)"),
    ],
)
def test_errors_name_the_field_the_value_and_the_rule(make, field, value, rule):
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.field == field
    assert value is None or caught.value.value == value
    assert rule in caught.value.rule


def encode(**changes: object) -> np.ndarray:
    values: dict[str, object] = {"lr": 0.01, "depth": 3, "activation": "relu", "nesterov": True}
    return example().encode(values | changes)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "parameters"),
        ({"parameters": [3]}, "parameters"),
        ({"parameters": [{"type": "bool", "default": True}]}, "parameters"),
        ({"parameters": [{"name": "a", "type": "boole", "default": True}]}, "a.type"),
        ({"parameters": [{"name": "a", "type": "bool"}]}, "a"),
        ({"parameters": [{"name": "a", "type": "bool", "default": 1}]}, "a.default"),
        ({"parameters": [{"name": "a", "type": "choice", "choices": "ab", "default": "a"}]}, "a.choices"),
        ({"parameters": [{"name": "a", "type": "choice", "choices": ["a"], "default": "b"}]}, "a.default"),
        (
            {"parameters": [{"name": "a", "type": "int", "low": 1, "high": 2, "log": 0, "default": 1}]},
            "a.log",
        ),
        (
            {"parameters": [{"name": "a", "type": "real", "low": 1, "high": 0, "log": False, "default": 1}]},
            "a.low",
        ),
        (
            {
                "parameters": [
                    {"name": "a", "type": "real", "low": "1", "high": 0, "log": False, "default": 1}
                ]
            },
            "a.low",
        ),
        ({"parameters": [{"name": "a", "type": "bool", "default": True}] * 2}, "parameters"),
    ],
)
def test_json_that_is_no_space_is_refused(data, field):
    with pytest.raises(ParameterError) as caught:
        Space.from_json(data)
    assert caught.value.field == field


@pytest.mark.parametrize("choice", [("x", 1), math.inf, frozenset()])
def test_choices_that_json_cannot_hold_are_refused(choice):
    with pytest.raises(ParameterError, match="cannot be written as JSON") as caught:
        Space({"a": Choice("b", choice)}).to_json()
    assert caught.value.field == "a"


@pytest.mark.parametrize("given", [None, 3, "lr", [("lr", Real(0, 1))], Real, Real(0, 1), np.zeros(3)])
def test_a_space_is_made_of_a_dict(given):
    with pytest.raises(ParameterError, match=r"parameters=.*must be a dict"):
        Space(given)
    with pytest.raises(ParameterError, match="parameters="):
        Space.from_json(given)
