"""From a name, a path, a file or an object to a surrogate."""

import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

import hbsim.surrogates
from hbsim.errors import ParameterError, SurrogateError
from hbsim.options import declared
from hbsim.surrogates import Checked, Ideal, Synthetic, Table, available, load
from hbsim.surrogates.options import SurrogateOptions

OWN = """
import numpy as np
import hbsim

class Mine:
    metric, mode, max_resource = "loss", "min", 9
    space = hbsim.core.space.Space({"x": hbsim.core.space.Real(0.0, 1.0)})

    def evaluate(self, configurations, levels):
        values = configurations[:, :1] / levels
        return values, np.tile(levels, (len(values), 1))

made = Mine()

class Needy(Mine):
    def __init__(self, what):
        self.what = what

class Empty:
    metrc = "loss"

number = 3
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def curves(path, **arrays):
    np.savez(
        path, val_loss=np.array([[2.0, 1.0], [3.0, 2.0]]), t=np.array([[1.0, 2.0], [1.0, 2.0]]), **arrays
    )
    return path


def test_available_names_load_or_say_what_is_missing():
    assert available() == ["boosting", "chars", "digits", "ideal", "sgd", "synthetic"]
    assert isinstance(load("synthetic"), Synthetic)
    assert isinstance(load("ideal"), Ideal)


def test_options_in_the_name():
    surrogate = load("synthetic:family=exponential, noise=0.1,early_rank=0.5,max_resource=27,mode=min,seed=4")
    assert (surrogate.family, surrogate.noise, surrogate.max_resource) == ("exponential", 0.1, 27.0)
    assert (surrogate.mode, surrogate.seed) == ("min", 4)
    ideal = load("ideal:max_resource=9,seconds=2,mode=min")
    assert (ideal.max_resource, ideal.seconds, ideal.mode) == (9.0, 2.0, "min")


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        ("synthetc", "surrogate", "Did you mean 'synthetic'"),
        ("digit", "surrogate", "Did you mean 'digits'"),
        ("", "surrogate", "is no surrogate"),
        ("synthetic:nose=1", "surrogate", "Did you mean 'noise'"),
        ("synthetic:noise", "surrogate", "needs a value"),
        ("synthetic:noise=", "surrogate", "needs a value"),
        ("synthetic:noise=1,noise=2", "surrogate", "twice"),
        ("synthetic:noise=much", "noise", "must be a number"),
        ("synthetic:seed=1.5", "seed", "whole number"),
        ("synthetic:family=powr", "family", "Did you mean 'power'"),
        ("ideal:noise=1", "surrogate", "no option of ideal"),
        ("own.py", "surrogate", "FILE.py:NAME"),
    ],
)
def test_a_bad_name_is_one_error(name, field, message):
    with pytest.raises(ParameterError, match=message) as error:
        load(name)
    assert error.value.field == field


def test_a_path_is_a_table(tmp_path):
    path = curves(tmp_path / "curves.npz")
    for given in (path, str(path)):
        table = load(given, mode="min", seconds_per_unit=3.0, first_level=0)
        assert isinstance(table, Table)
        assert table.resources == (1.0,)
        assert table.evaluate(np.array([0]), np.array([1.0]))[1].tolist() == [[3.0]]


@pytest.mark.parametrize("name", ["synthetic", "ideal", "own.py:Mine", Ideal()])
def test_table_options_are_for_tables(name):
    with pytest.raises(ParameterError, match="recorded curves") as error:
        load(name, censored="fail")
    assert error.value.field == "censored"


@pytest.mark.parametrize("name", ["Mine", "made"])
def test_a_class_or_an_object_from_a_file(own, name):
    surrogate = load(f"{own}:{name}")
    assert isinstance(surrogate, Checked)
    assert (surrogate.name, surrogate.metric, surrogate.rows) == (
        "Mine" if name == "Mine" else "made",
        "loss",
        None,
    )
    values, seconds = surrogate.evaluate(np.array([[0.5]]), np.array([1.0, 2.0]))
    assert (values.tolist(), seconds.tolist()) == ([[0.5, 0.25]], [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mien", "has no 'Mien'.*Did you mean 'Mine'"),
        ("Needy", r"Needy\(\) raised TypeError"),
        ("Empty", "metric, mode, max_resource, evaluate.*Did you mean 'metrc'"),
        ("number", "no attributes"),
    ],
)
def test_what_a_file_lacks_is_named(own, name, message):
    with pytest.raises(SurrogateError, match=message):
        load(f"{own}:{name}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"own\.py: raised ZeroDivisionError: division by zero \(own\.py, line 1\)"),
        ("import nothing_of_this_name", "raised ModuleNotFoundError"),
        ("def f(:", "raised SyntaxError"),
        ("raise SystemExit(3)", "raised SystemExit"),
    ],
)
def test_a_file_that_raises_is_one_error(tmp_path, text, message):
    path = tmp_path / "own.py"
    path.write_text(text)
    before = set(sys.modules), list(sys.path)
    with pytest.raises(SurrogateError, match=message):
        load(f"{path}:Mine")
    assert (set(sys.modules), sys.path) == before


def test_a_file_may_import_its_neighbour(tmp_path):
    Path(tmp_path / "neighbour_of_own.py").write_text(OWN)
    Path(tmp_path / "own.py").write_text("from neighbour_of_own import Mine")
    try:
        assert load(f"{tmp_path / 'own.py'}:Mine").metric == "loss"
    finally:
        sys.modules.pop("neighbour_of_own", None)
    assert str(tmp_path) not in sys.path


def test_no_such_file(tmp_path):
    with pytest.raises(SurrogateError, match="no such file"):
        load(f"{tmp_path / 'none.py'}:Mine")


def test_an_object_of_ours_is_itself():
    surrogate = Ideal()
    assert load(surrogate) is surrogate
    wrapped = Checked(surrogate)
    assert load(wrapped) is wrapped


def test_digits_decides_on_val_error_unless_told_otherwise():
    try:
        table = load("digits")
    except SurrogateError as error:
        pytest.skip(f"the packaged curves are not there: {error}")
    assert (table.name, table.metric, table.mode, table.max_resource) == ("digits", "val_error", "min", 81.0)
    assert table.resources == tuple(float(epoch) for epoch in range(1, 82))
    with pytest.raises(SurrogateError, match="Did you mean 'val_error'"):
        load("digits", metric="val_eror", mode="min")


def test_the_keywords_of_load_are_the_declared_options():
    declaration = {name: option.default for name, option in declared(SurrogateOptions).items()}
    keywords = {p.name: p.default for p in signature(load).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert set(declaration.items()) == set(keywords.items())


def test_every_public_name_loads():
    assert [name for name in hbsim.surrogates.__all__ if not callable(getattr(hbsim.surrogates, name))] == []
