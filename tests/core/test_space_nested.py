"""Nested spaces, against a reading of them part by part; and what decorated functions get."""

import copy
import pickle  # noqa: TID251  (what a process pool does to a function)
from argparse import Namespace

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core.space import (
    Args,
    Bool,
    Choice,
    Dict,
    Int,
    List,
    NestedChoice,
    Parameter,
    Real,
    SearchedObject,
    Space,
    args,
    arguments,
    from_configspace,
    func,
    obj,
    space_of,
    to_configspace,
)
from hbsim.errors import ParameterError
from tests.profile import examples


@obj(lr=Real(0.0, 1.0), size=4)
class Made:
    """What it was made with."""

    def __init__(self, *given, **named):
        self.given, self.named = given, named

    def __eq__(self, other):
        return (self.given, self.named) == (other.given, other.named)

    def __hash__(self):
        return 0

    def __call__(self, x):
        return x * self.named["lr"]


@func(framework=Choice("mxnet", "pytorch"))
def chosen(framework):
    return framework


LEAVES = st.sampled_from(
    [Real(0.0, 1.0), Int(1, 4), Bool(), Choice("a", "b", None), "constant", 7, None, chosen()]
)


def nests(inner):
    names = st.sampled_from(["lr", "width", "x", "default", "choice", "0"])
    parts = st.dictionaries(names, inner, min_size=1, max_size=3)
    lists = st.lists(inner, max_size=3)
    choices = st.lists(inner, min_size=1, max_size=3).map(lambda all: [*all, Dict(z=Int(0, 3))])
    return st.one_of(
        lists.map(lambda items: List(*items)),
        parts.map(lambda items: Dict(**items)),
        choices.map(lambda items: Choice(*items)),
        parts.map(lambda items: Made(1, **items)),
    )


def draw(part, name, rng):
    """Return a configuration of a part, with full names, and its value: part by part, without a space."""
    if isinstance(part, Parameter):
        column = part.decode(rng.random(1))
        value = column[0] if isinstance(column, list) else column.tolist()[0]
        return {name: value}, value
    if isinstance(part, NestedChoice):
        place = int(rng.integers(len(part.choices)))
        config, value = draw(part.choices[place], f"{name}.{place}", rng)
        return {f"{name}.choice": place, **config}, value
    if isinstance(part, List):
        found = [draw(item, f"{name}.{place}", rng) for place, item in enumerate(part)]
        return merged(found), [value for _, value in found]
    if isinstance(part, Dict | SearchedObject):
        named = dict(part) if isinstance(part, Dict) else part.kwvars
        found = {n: draw(item, f"{name}.{n}", rng) for n, item in named.items()}
        values = {n: value for n, (_, value) in found.items()}
        return merged(found.values()), values if isinstance(part, Dict) else part.make(*part.args, **values)
    return {}, part


def merged(found):
    return {name: value for config, _ in found for name, value in config.items()}


@settings(deadline=None, max_examples=examples(300))
@given(tree=st.recursive(LEAVES, nests, max_leaves=8), seed=st.integers(0, 10**6))
def test_a_configuration_by_its_names_is_the_value_part_by_part(tree, seed):
    config, value = draw(tree, "net", np.random.default_rng(seed))

    @args(net=tree, rate=Real(0.0, 1.0))
    def train(args, reporter=None):
        return args.net

    config = {**config, "rate": 0.5}
    point = space_of(train).encode(config)
    read = space_of(train).mapping(point)
    assert read.keys() == config.keys()
    assert read == {n: pytest.approx(v) if isinstance(v, float) else v for n, v in config.items()}
    assert arguments(train, config).net == value
    assert train(train.args, config) == value


@settings(deadline=None, max_examples=examples(200))
@given(tree=st.recursive(LEAVES, nests, max_leaves=8), seed=st.integers(0, 10**6))
def test_what_is_sampled_is_valid_and_travels(tree, seed):
    space = Space({"net": tree} if hasattr(tree, "conditions") else {})
    assert Space.from_json(space.to_json()) == space
    assert pickle.loads(pickle.dumps(space)) == space
    points = space.sample(5, np.random.default_rng(seed))
    for config in space.mappings(points):
        again = space.mapping(space.encode(config)) if config else {}
        assert again == {n: pytest.approx(v) if isinstance(v, float) else v for n, v in config.items()}
        assert all(name.startswith("net") for name in config)


def test_names_say_where_a_parameter_is():
    net = Choice("small", List(Int(1, 3), Dict(act=Choice("relu", "tanh"), drop=0.5)))
    space = Space({"net": net, "optimizer": Made(momentum=Real(0, 1), lr=0.1)})
    assert space.names == ("net.choice", "net.1.0", "net.1.1.act", "optimizer.momentum")
    assert space["net.1.1.act"].conditions == (("net.choice", (1,)),)
    assert space.conditional == {"net.1.0", "net.1.1.act"}


def test_conditions_are_on_parts_beside_or_on_full_names():
    inner = Dict(kind=Choice("sgd", "adam"), momentum=Real(0, 1, when={"kind": "sgd"}))
    space = Space({"on": Bool(), "opt": inner, "rest": List(Int(1, 2, when={"opt.kind": "adam"}))})
    assert space["opt.momentum"].conditions == (("opt.kind", ("sgd",)),)
    assert space["rest.0"].conditions == (("opt.kind", ("adam",)),)
    both = Space({"on": Bool(), "opt": Choice(inner, None, default=None, when={"on": True})})
    assert both["opt.0.momentum"].conditions == (
        ("on", (True,)),
        ("opt.0.kind", ("sgd",)),
        ("opt.choice", (0,)),
    )
    assert both["opt.choice"].initial == 1


def test_configspace_has_them():
    pytest.importorskip("ConfigSpace", reason="needs the extra search")
    net = Choice("small", List(Int(1, 3), Choice(Dict(x=Real(0, 1)), 5)))
    space = Space({"net": net, "lr": Real(0, 1)})
    assert from_configspace(to_configspace(space)) == space
    assert set(net.cs) == {"choice", "1.0", "1.1.choice", "1.1.0.x"}

    @args(net=net)
    def train(args):
        return args.net

    assert set(train.cs) == {f"net.{name}" for name in net.cs} == set(train.kwspaces)
    for config in train.cs.sample_configuration(20):
        value = train(train.args, dict(config))
        assert value == "small" or value[0] in (1, 2, 3)


def test_spaces_in_autotorchs_words():
    assert Int(lower=0, upper=10) == Int(0, 10)
    assert Real(lower=1e-4, upper=1e-2, log=True, default=1e-3) == Real(1e-4, 1e-2, True, 1e-3)
    assert (Int(0, 10).lower, Int(0, 10).upper, Int(0, 10, default=2).default) == (0, 10, 2)
    assert {Int(0, 3).rand for _ in range(200)} == {0, 1, 2, 3}
    assert isinstance(Int(0, 3).rand, int)
    assert {Choice("a", None).rand for _ in range(100)} == {"a", None}
    assert hbsim.Categorical is hbsim.space.Choice is hbsim.Choice
    with pytest.raises(ParameterError, match="low=None: is missing"):
        Real(high=3)
    with pytest.raises(ParameterError, match="is another name of high"):
        Int(0, 3, upper=4)


def test_an_object_is_made_anew_and_calls_override():
    space = Made(3, size=Int(1, 2), extra="x")
    assert isinstance(space, SearchedObject)
    assert space.default == Made.__wrapped__(3, lr=0.5, size=2, extra="x")
    assert space.default is not space.default
    assert space(4) == 2.0
    assert space.sample(lr=0.25).named["lr"] == 0.25
    assert repr(space).startswith("Made(3, lr=Real(")
    assert chosen().default == "mxnet"
    assert Made.__doc__ == "What it was made with."


def test_dicts_read_as_attributes():
    value = Dict(a=Int(1, 3), b=Dict(c="x")).default
    assert isinstance(value, dict)
    assert value.a == value["a"] == 2
    assert value.b.c == "x"
    assert copy.deepcopy(value) == value
    with pytest.raises(AttributeError, match="no item 'd'"):
        _ = value.d


@pytest.mark.parametrize(
    ("make", "field", "rule"),
    [
        (lambda: Space({"net.0": Int(1, 2), "net": List(Int(1, 2))}), "net.0", "two parameters of this name"),
        (lambda: Made(Int(1, 2)), "Made", "by name"),
        (lambda: Choice(List(), "x", default="y"), "default", "one of the choices"),
        (lambda: List(Int(1, 2)).sample(**{"1": 3}), "1", "is no parameter"),
        (lambda: args(net=List), "net", "write its range"),
        (lambda: chosen()(3), "obj", "cannot be called"),
        (lambda: obj(lr=Real(0, 1))(3), "obj", "a class or a function"),
    ],
)
def test_what_is_wrong_is_said(make, field, rule):
    with pytest.raises(ParameterError, match=rule) as caught:
        make()
    assert caught.value.field == field


@args({"epochs": 3, "name": "x"}, lr=Real(0.0, 1.0), net=List(Int(1, 3), "y"))
def train_fn(args, reporter):
    reporter(epoch=1, accuracy=args.lr)
    return args


def test_the_decorator_takes_constants_as_a_dict_too():
    assert list(train_fn.kwvars) == ["epochs", "name", "lr", "net"]
    for constants in ({"epochs": 3}, Namespace(epochs=3)):
        for made in (args(constants, lr=Real(0, 1)), args(default=constants, lr=Real(0, 1))):
            assert made(lambda args: args).defaults == {"epochs": 3, "lr": 0.5}
    assert args(default=3)(lambda args: args).defaults == {"default": 3}


def test_a_function_called_by_hand_gets_the_configuration():
    found = train_fn(train_fn.args, {"net.0": 1, "lr": 0.25})
    assert found == {"epochs": 3, "name": "x", "lr": 0.25, "net": [1, "y"]}
    assert train_fn(train_fn.args).net == [2, "y"]
    assert train_fn(Namespace(epochs=9, more=1), config={"lr": 0.5}) == {
        "epochs": 9,
        "name": "x",
        "lr": 0.5,
        "net": [2, "y"],
        "more": 1,
    }
    reports = []
    train_fn(train_fn.args, {"lr": 0.25}, reporter=lambda **report: reports.append(report))
    assert reports == [{"epoch": 1, "accuracy": 0.25}]
    given = Args({"lr": 1})
    assert train_fn(given, lambda **report: None) is given
    with pytest.raises(ParameterError, match="lrr=1: is no argument"):
        train_fn(train_fn.args, {"lrr": 1})


def test_a_reporter_that_is_left_out_takes_everything():
    @args(lr=Real(0.0, 1.0))
    def train(args, reporter):
        assert reporter.load() is None
        state = reporter.get_dict()
        reporter.on_pause(lambda: None)
        reporter.save({"epoch": 1})
        reporter.save_dict(epoch=1)
        reporter(epoch=1, accuracy=args.lr)
        return reporter.has_dict() or state

    assert train(train.args) == {}


def test_update_changes_the_space_and_goes_along_by_value():
    def train(args, reporter=None):
        return args

    made = args(lr=Real(0.0, 1.0), epochs=3)(train)
    assert not made.changed
    made.update(lr=0.5, width=Int(1, 3), net=List(Int(1, 2)))
    assert made.changed
    assert list(made.space) == list(made.kwspaces) == ["width", "net.0"]
    assert arguments(made, {"width": 1}) == {"lr": 0.5, "epochs": 3, "width": 1, "net": [2]}
    sent = cloudpickle.loads(cloudpickle.dumps(made))
    assert sent.space == made.space
    assert sent(sent.args, {"width": 3}).width == 3
    made.args.epochs = 4
    assert made.defaults["epochs"] == arguments(made, {}).epochs == 4


def test_a_method_can_be_decorated():
    class Trainer:
        rate = 2.0

        @args(lr=Real(0.0, 1.0))
        def train(self, args, reporter):
            return self.rate * args.lr

    assert Trainer().train(arguments(Trainer().train, {"lr": 0.25}), None) == 0.5
    assert list(Trainer.train.space) == ["lr"]
