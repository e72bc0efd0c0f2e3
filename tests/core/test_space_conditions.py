"""Parameters that count in some configurations only, against a reading of one value after the other."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core.space import Bool, Choice, Int, Parameter, Real, Space, arguments
from hbsim.errors import ParameterError

SPACE = Space(
    {
        "opt": Choice("sgd", "adam", None),
        "momentum": Real(0, 1, default=0.9, when={"opt": "sgd"}),
        "nesterov": Bool(when={"opt": ["sgd"]}),
        "layers": Int(1, 4),
        "width_2": Int(8, 64, log=True, when={"layers": range(2, 5)}),
        "width_3": Int(8, 64, when={"layers": (3, 4), "opt": ["adam", None]}),
        "skip": Choice("a", "b", default="b", when={"nesterov": True}),
    }
)
NAMES = {"Bool": Bool, "Choice": Choice, "Int": Int, "Real": Real, "Space": Space}
SGD = {"opt": "sgd", "momentum": 0.5, "nesterov": False, "layers": 1}


@st.composite
def conditional_spaces(draw):
    parameters: dict[str, Parameter] = {}
    for place in range(draw(st.integers(1, 6))):
        kinds = [Choice("a", "b", "c"), Choice(None, 2), Int(1, 4), Bool(), Real(0, 1), Int(1, 9, log=True)]
        parameter = draw(st.sampled_from(kinds))
        parents = [name for name, p in parameters.items() if not isinstance(p, Real)]
        when = {}
        for parent in draw(st.lists(st.sampled_from(parents), unique=True, max_size=2)) if parents else []:
            values = sorted({repr(v): v for v in read(parameters[parent], np.linspace(0, 1, 50))}.items())
            when[parent] = draw(st.lists(st.sampled_from([v for _, v in values]), min_size=1, unique=True))
        parameters[f"p{place}"] = parameter.under(when)
    return Space(parameters)


def read(parameter, unit):
    column = parameter.decode(np.array(unit, dtype=float))
    return column if isinstance(column, list) else column.tolist()


def naive(space, point):
    """Read one coordinate after the other."""
    found = {}
    for (name, parameter), unit in zip(space.parameters.items(), point, strict=True):
        if all(other in found and found[other] in values for other, values in parameter.conditions):
            found[name] = read(parameter, [unit])[0]
    return found


@settings(deadline=None)
@given(space=conditional_spaces(), seed=st.integers(0, 1000))
def test_a_point_reads_as_one_coordinate_after_the_other(space, seed):
    points = np.random.default_rng(seed).random((7, space.dimension))
    wanted = [naive(space, point) for point in points]
    assert space.mappings(points) == [space.mapping(point) for point in points] == wanted
    columns = space.decode(points)
    for row, one in enumerate(wanted):
        assert {n: list(c)[row] for n, c in columns.items()} == {**space.defaults, **one}
        for j, name in enumerate(space):
            assert space.active(points)[row, j] == (name in one) == space.is_active(name, one)


@settings(deadline=None)
@given(space=conditional_spaces(), seed=st.integers(0, 1000))
def test_settled_points_are_the_same_configurations_and_one_each(space, seed):
    points = np.random.default_rng(seed).random((7, space.dimension))
    settled, wanted = space.settled(points), space.mappings(points)
    assert space.mappings(settled) == wanted
    assert (space.settled(settled) == settled).all()
    again = np.array([space.encode(one) for one in wanted])
    for one, other in zip(space.mappings(again), wanted, strict=True):
        assert one == pytest.approx(other)
    assert (space.settled(again) == again).all()
    columns = {n: [one.get(n) for one in wanted] for n in space}
    assert (space.encode(columns) == again).all()
    assert (space.encode(dict(space.decode(points))) == again).all()
    for name in space.conditional:  # coordinates that do not count leave no trace
        j = space.names.index(name)
        changed = points.copy()
        changed[:, j] = 0.123
        same = ~space.active(points)[:, j]
        assert (space.settled(changed)[same] == settled[same]).all()


@settings(deadline=None)
@given(space=conditional_spaces())
def test_json_and_repr_keep_conditions(space):
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert hash(again) == hash(space)
    assert eval(repr(space), NAMES) == space


def test_a_space_without_conditions_is_written_and_shown_as_before():
    space = Space({"x": Real(0, 1), "c": Choice("a", "b", default="b")})
    assert space.to_json() == {
        "parameters": [
            {"name": "x", "type": "real", "low": 0.0, "high": 1.0, "log": False, "default": 0.5},
            {"name": "c", "type": "choice", "choices": ["a", "b"], "default": "b"},
        ]
    }
    shown = "{'x': Real(low=0.0, high=1.0, log=False, default=0.5), 'c': Choice('a', 'b', default='b')}"
    assert repr(space) == f"Space({shown})"
    assert not space.conditional
    points = np.array([[0.3, 0.4]])
    assert space.settled(points) is points
    assert space.active(points).all()


def test_samples_are_uniform_where_they_count_and_settled():
    points = SPACE.sample(6000, np.random.default_rng(1))
    active = SPACE.active(points)
    assert (SPACE.settled(points) == points).all()
    momentum = points[active[:, 1], 1]
    assert len(momentum) == pytest.approx(2000, abs=200)
    assert np.bincount((momentum * 4).astype(int)).tolist() == pytest.approx([len(momentum) / 4] * 4, rel=0.2)


def test_a_function_gets_the_default_of_what_is_not_active():
    @hbsim.args(**SPACE.parameters, epochs=3)
    def train(args, reporter):
        return args.opt, args.momentum, args.width_2

    assert train(arguments(train, {"opt": "adam", "layers": 1}), None) == ("adam", 0.9, 23)
    assert SPACE.defaults["momentum"] == 0.9


@pytest.mark.parametrize("left_out", [{}, {"momentum": None}, {"momentum": math.nan}, {"momentum": 0.9}])
def test_what_is_not_active_may_be_left_out_or_be_none_or_the_default(left_out):
    given = {"opt": "adam", "layers": 2, "width_2": 9}
    assert (SPACE.encode(given | left_out) == SPACE.encode(given)).all()


def test_conditions_are_the_same_in_any_order_and_of_numpy_values():
    plain = Space({"l": Int(1, 4), "b": Bool(), "x": Real(0, 1, when={"b": True, "l": [2, 3]})})
    other = Real(0, 1, when={"l": list(np.array([3, 2, 3])), "b": np.True_})
    again = Space({"l": Int(1, 4), "b": Bool(), "x": other})
    assert (again, repr(again), json.dumps(again.to_json())) == (
        plain,
        repr(plain),
        json.dumps(plain.to_json()),
    )
    assert Real(0, 1, when={"c": ["b", None, 1]}) == Real(0, 1, when={"c": [1, "b", None]})


def test_none_can_be_a_value_of_a_parent():
    assert SPACE.mapping(SPACE.encode({"opt": None, "layers": 3, "width_2": 8, "width_3": 8}))["width_3"] == 8


@pytest.mark.parametrize(
    ("make", "field", "rule"),
    [
        (lambda: Real(0, 1, when="opt"), "when", "must be a dict"),
        (lambda: Real(0, 1, when={1: 2}), "when", "non-empty text"),
        (lambda: Bool(when={"a": []}), "when.a", "needs a value"),
        (lambda: Int(1, 2, when={"a": {1, 2}}), "when.a", "a list of values"),
        (lambda: Choice("a", when={"a": [[1]]}), "when.a", "a list of values"),
        (lambda: Space({"a": Bool(when={"b": True}), "b": Bool()}), "a.when", "comes before 'a' (none does)"),
        (lambda: Space({"a": Bool(when={"a": True})}), "a.when", "comes before"),
        (lambda: Space({"opt": Bool(), "b": Bool(when={"opr": True})}), "b.when", "Did you mean 'opt'?"),
        (lambda: Space({"a": Real(0, 1), "b": Bool(when={"a": 0.5})}), "b.when", "is a Real"),
        (lambda: Space({"a": Int(0, 3), "b": Bool(when={"a": 4})}), "b.when.a", "between 0 and 3"),
        (lambda: Space({"a": Choice("x"), "b": Bool(when={"a": "y"})}), "b.when.a", "must be one of 'x'"),
        (lambda: SPACE.encode({"opt": "sgd", "layers": 1, "nesterov": True}), "momentum", "with opt='sgd'"),
        (lambda: SPACE.encode({"opt": "adam", "layers": 1, "momentum": 0.5}), "momentum", "leave it out"),
        (lambda: SPACE.encode(SGD | {"momentum": None}), "momentum", "finite number"),
        (lambda: SPACE.encode(SGD | {"momentum": 2}), "momentum", "between 0.0 and 1.0"),
        (lambda: SPACE.encode({"layers": 1}), "opt", "is missing"),
        (lambda: SPACE.encode(SGD | {"width_2": 9}), "width_2", "layers in (2, 3, 4)"),
        (
            lambda: SPACE.encode({"opt": "adam", "layers": 3, "width_2": 9}),
            "width_3",
            "layers in (3, 4) and opt in ('adam', None)",
        ),
        (lambda: SPACE.encode({"opt": ["sgd"], "layers": [1], "nesterov": [True]}), "momentum", "is missing"),
    ],
)
def test_errors_name_the_field_and_the_rule(make, field, rule):
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.field == field
    assert rule in caught.value.rule


@pytest.mark.parametrize(
    ("when", "field"),
    [(3, "b.when"), ({"a": True}, "b.when"), ({"a": ["x"]}, "b.when.a"), ({"c": [True]}, "b.when")],
)
def test_json_with_other_conditions_is_refused(when, field):
    entries = Space({"a": Bool(), "b": Bool(when={"a": True})}).to_json()["parameters"]
    entries[1]["when"] = when
    with pytest.raises(ParameterError) as caught:
        Space.from_json({"parameters": entries})
    assert caught.value.field == field
