"""Spaces to and from ConfigSpace."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.core.space import Bool, Choice, Int, Real, Space, from_configspace, to_configspace
from hbsim.errors import ParameterError

ConfigSpace = pytest.importorskip("ConfigSpace")

SPACE = Space(
    {
        "width": Int(8, 512, log=True, default=32),
        "lr": Real(1e-4, 1e-1, log=True, default=1e-3),
        "momentum": Real(0, 0.99, default=0.9),
        "depth": Int(-1, 5),
        "activation": Choice("relu", "tanh", None, 3, default="tanh"),
        "batch": Choice(16, 32, 64),
        "one": Choice("only"),
        "nesterov": Bool(default=True),
    }
)


def test_a_space_survives_the_round_trip_in_its_order():
    again = from_configspace(to_configspace(SPACE))
    assert again == SPACE
    assert again.names == SPACE.names
    assert [type(value) for value in again.defaults.values()] == [type(v) for v in SPACE.defaults.values()]


@settings(deadline=None)
@given(
    low=st.integers(-(2**44), 2**44 - 1),
    size=st.integers(1, 1000),
    real=st.floats(-1e3, 1e3).map(lambda x: round(x, 6)),
    choices=st.lists(st.text(max_size=5), min_size=1, max_size=5, unique=True),
)
def test_ranges_and_choices_survive(low, size, real, choices):
    space = Space(
        {
            "i": Int(low, min(low + size, 2**44)),
            "r": Real(real, round(real + 2.0, 6), default=real),
            "c": Choice(choices, default=choices[-1]),
        }
    )
    assert from_configspace(to_configspace(space)) == space


def test_samples_of_the_other_side_are_values_of_ours():
    theirs = to_configspace(SPACE)
    theirs.seed(0)
    for configuration in theirs.sample_configuration(50):
        values = dict(configuration)
        again = SPACE.mapping(SPACE.encode(values))
        for name in ("lr", "momentum"):
            assert again.pop(name) == pytest.approx(values.pop(name), rel=1e-9)
        assert again == values


def test_spaces_of_others_are_read():
    theirs = ConfigSpace.ConfigurationSpace()
    theirs.add(
        ConfigSpace.Float("lr", (1e-3, 1.0), log=True),
        ConfigSpace.Integer("depth", (1, 4)),
        ConfigSpace.OrdinalHyperparameter("size", ["s", "m", "l"], default_value="m"),
        ConfigSpace.Constant("dataset", "digits"),
        ConfigSpace.Categorical("flag", [False, True], default=True),
        ConfigSpace.Categorical("even", ["a", "b"], weights=[2, 2]),
    )
    space = from_configspace(theirs)
    assert space.parameters["size"] == Choice("s", "m", "l", default="m")
    assert space.parameters["dataset"] == Choice("digits")
    assert space.parameters["flag"] == Bool(default=True)
    assert space.parameters["even"] == Choice("a", "b")
    assert space.parameters["depth"] == Int(1, 4, default=2)
    assert set(space) == {"lr", "depth", "size", "dataset", "flag", "even"}


CONDITIONAL = Space(
    {
        "opt": Choice("sgd", "adam", "none"),
        "momentum": Real(0, 0.99, default=0.9, when={"opt": "sgd"}),
        "layers": Int(1, 3),
        "width": Int(8, 64, log=True, default=16, when={"layers": [2, 3], "opt": ["sgd", "adam"]}),
        "nesterov": Bool(when={"opt": "sgd"}),
        "deep": Choice("a", "b", when={"nesterov": True}),
    }
)


def test_conditions_survive_the_round_trip():
    assert from_configspace(to_configspace(CONDITIONAL)) == CONDITIONAL


def test_conditional_samples_of_the_other_side_are_values_of_ours():
    theirs = to_configspace(CONDITIONAL)
    theirs.seed(0)
    for configuration in theirs.sample_configuration(100):
        values = dict(configuration)
        again = CONDITIONAL.mapping(CONDITIONAL.encode(values))
        assert again.keys() == values.keys()  # neither more nor less is active
        assert again == pytest.approx(values)


def test_conditions_of_others_are_read_and_parents_put_first():
    theirs = ConfigSpace.ConfigurationSpace()
    theirs.add(
        z := ConfigSpace.Categorical("z", ["x", "y", "w"]),
        b := ConfigSpace.Integer("b", (1, 5)),
        o := ConfigSpace.OrdinalHyperparameter("o", ["s", "m", "l"]),
        a := ConfigSpace.Float("a", (0.0, 1.0)),
        c := ConfigSpace.Float("c", (0.0, 1.0)),
    )
    not_x, large = ConfigSpace.NotEqualsCondition(a, z, "x"), ConfigSpace.GreaterThanCondition(a, b, 2)
    theirs.add(ConfigSpace.AndConjunction(not_x, large, ConfigSpace.LessThanCondition(a, o, "l")))
    either = [ConfigSpace.EqualsCondition(c, b, value) for value in (1, 4)]
    theirs.add(ConfigSpace.OrConjunction(*either))
    space = from_configspace(theirs)
    assert space["a"].conditions == (("b", (3, 4, 5)), ("o", ("m", "s")), ("z", ("w", "y")))
    assert space["c"].conditions == (("b", (1, 4)),)
    assert space.names.index("a") > max(space.names.index(parent) for parent in "bzo")


def test_hyperparameters_added_on_the_other_side_come_last():
    theirs = to_configspace(Space({"z": Bool(), "y": Bool()}))
    theirs.add(ConfigSpace.Float("a", (0.0, 1.0)))
    assert from_configspace(theirs).names == ("z", "y", "a")


def with_or(theirs):
    theirs.add(f := ConfigSpace.Categorical("f", [False, True]))
    on_c = ConfigSpace.EqualsCondition(theirs["i"], theirs["c"], "a")
    theirs.add(ConfigSpace.OrConjunction(on_c, ConfigSpace.EqualsCondition(theirs["i"], f, True)))


def with_condition_on_a_real(theirs):
    theirs.add(r := ConfigSpace.Float("r", (0.0, 1.0)))
    theirs.add(ConfigSpace.GreaterThanCondition(theirs["i"], r, 0.5))


def with_condition_that_never_holds(theirs):
    both = [ConfigSpace.EqualsCondition(theirs["i"], theirs["c"], value) for value in "ab"]
    theirs.add(ConfigSpace.AndConjunction(*both))


def with_forbidden(theirs):
    theirs.add(ConfigSpace.ForbiddenEqualsClause(theirs["c"], "b"))


def with_normal(theirs):
    theirs.add(ConfigSpace.NormalFloatHyperparameter("n", mu=0, sigma=1, lower=-1, upper=1))


def with_weights(theirs):
    theirs.add(ConfigSpace.Categorical("w", ["a", "b"], weights=[1, 2]))


def with_huge(theirs):
    theirs.add(ConfigSpace.Integer("h", (0, 2**45)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (with_or, "conditions"),
        (with_condition_on_a_real, "conditions"),
        (with_condition_that_never_holds, "when.c"),
        (with_forbidden, "forbidden_clauses"),
        (with_normal, "n"),
        (with_weights, "w.weights"),
        (with_huge, "h.high"),
    ],
)
def test_what_a_space_cannot_hold_is_refused(change, field):
    theirs = to_configspace(Space({"i": Int(1, 3), "c": Choice("a", "b", default="a")}))
    change(theirs)
    with pytest.raises(ParameterError) as caught:
        from_configspace(theirs)
    assert caught.value.field == field


@pytest.mark.parametrize("parameter", [Real(1e-14, 1, log=True), Real(1.23456e-12, 1.0)])
def test_what_configspace_cannot_hold_is_refused(parameter):
    with pytest.raises(ParameterError) as caught:
        to_configspace(Space({"tiny": parameter}))
    assert caught.value.field == "tiny"


@pytest.mark.parametrize("convert", [to_configspace, from_configspace])
def test_without_the_package_the_extra_is_named(convert, monkeypatch):
    monkeypatch.setitem(sys.modules, "ConfigSpace", None)
    with pytest.raises(ParameterError, match=r"ConfigSpace='not installed'.*\[search\]"):
        convert(SPACE)
