"""The decorator that gives a training function its search space."""

import copy
import functools
import pickle  # noqa: TID251  (what a process pool does to a function and its arguments)

import numpy as np
import pytest

from hbsim.core.space import Args, Bool, Choice, Int, Real, Space, args, arguments, space_of
from hbsim.errors import ParameterError


@args(lr=Real(1e-3, 1e-2, log=True), wd=Real(1e-3, 1e-2))
def train_fn(args, reporter):
    for epoch in range(3):
        reporter(epoch=epoch, accuracy=1 - args.lr * 0.5**epoch, lr=args.lr, wd=args.wd)


@args(
    lr=Real(1e-3, 1e-1, log=True), width=Int(8, 64), kind=Choice("a", "b"), fast=Bool(), epochs=10, path=None
)
def tuned(args):
    return args.epochs


def test_a_configuration_of_the_space_reaches_the_function():
    space = space_of(train_fn)
    reports = []
    configuration = space.mapping(space.sample(1, np.random.default_rng(0))[0])
    train_fn(arguments(train_fn, configuration), lambda **report: reports.append(report))
    assert [report["epoch"] for report in reports] == [0, 1, 2]
    assert {(report["lr"], report["wd"]) for report in reports} == {
        (configuration["lr"], configuration["wd"])
    }


def test_parameters_make_the_space_and_all_have_defaults():
    assert tuned.space == Space(
        {"lr": Real(1e-3, 1e-1, log=True), "width": Int(8, 64), "kind": Choice("a", "b"), "fast": Bool()}
    )
    assert list(tuned.defaults) == ["lr", "width", "kind", "fast", "epochs", "path"]
    assert tuned.defaults == {"lr": 0.01, "width": 36, "kind": "a", "fast": False, "epochs": 10, "path": None}


def test_the_function_stays_the_same_function():
    def plain(args):
        return args

    decorated = args(lr=Real(0, 1))(plain)
    assert decorated.__wrapped__ is plain
    assert decorated(3) == plain(3) == 3
    assert space_of(decorated) is space_of(plain)
    assert tuned.__name__ == "tuned"
    assert pickle.loads(pickle.dumps(tuned)) is tuned


def test_wrapped_functions_keep_their_space():
    @functools.wraps(tuned)
    def wrapper(args):
        return tuned(args)

    assert space_of(wrapper) is space_of(tuned)
    assert arguments(wrapper, {}) == tuned.defaults


def test_a_function_with_constants_only_has_an_empty_space():
    @args(epochs=3)
    def constant(args):
        return args.epochs

    assert len(space_of(constant)) == 0
    assert constant(arguments(constant, {})) == 3


def test_configurations_override_defaults_and_constants():
    found = arguments(tuned, {"width": 9, "epochs": 81})
    assert dict(found) == tuned.defaults | {"width": 9, "epochs": 81}
    assert tuned.defaults["width"] == 36


def test_arguments_read_and_set_as_attributes_and_as_items():
    found = arguments(tuned, {"lr": 0.05})
    assert found.lr == found["lr"] == 0.05
    assert "resume_from" not in found
    found.resume_from = 3
    found["bracket"] = 1
    assert (found["resume_from"], found.bracket) == (3, 1)
    assert list(found)[-2:] == ["resume_from", "bracket"]
    assert len(found) == 8
    assert found.get("nothing", 7) == 7
    assert repr(Args({"a": 1})) == "Args({'a': 1})"


def test_arguments_can_be_copied_and_sent():
    found = arguments(tuned, {"lr": 0.05})
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found
    copied = copy.copy(found)
    copied.lr = 0.0
    assert found.lr == 0.05


def test_missing_arguments_suggest_the_near_name():
    found = arguments(tuned, {})
    with pytest.raises(AttributeError, match=r"no argument 'widht' .* Did you mean 'width'\?"):
        _ = found.widht
    with pytest.raises(KeyError):
        found["widht"]
    assert not hasattr(found, "widht")


@pytest.mark.parametrize("name", ["keys", "items", "values", "get"])
def test_names_of_the_mapping_itself_are_refused(name):
    with pytest.raises(ParameterError, match="choose another name") as caught:
        args(**{name: 3})
    assert caught.value.field == name
    with pytest.raises(ParameterError, match="choose another name"):
        setattr(arguments(tuned, {}), name, 3)


def test_functions_without_a_space_are_told_to_decorate():
    def plain(args):
        return args

    with pytest.raises(ParameterError, match=r"function='plain': .*@hbsim\.args"):
        space_of(plain)
    with pytest.raises(ParameterError, match=r"@hbsim\.args"):
        arguments(plain, {})


def test_unknown_names_suggest_the_near_one():
    with pytest.raises(ParameterError, match=r"widht=8: .*Did you mean 'width'\?") as caught:
        arguments(tuned, {"widht": 8})
    assert caught.value.field == "widht"


@pytest.mark.parametrize(
    ("decorate", "field"),
    [
        (lambda: args(lr=Real)(tuned), "lr"),
        (lambda: args(lr=Real(0, 1))(3), "function"),
        (lambda: args(lr=Real(0, 1))(len), "function"),
    ],
)
def test_what_cannot_be_decorated_is_refused(decorate, field):
    with pytest.raises(ParameterError) as caught:
        decorate()
    assert caught.value.field == field
