"""YAHPO's files: where they are looked for, what they say, and what is said where they cannot be used."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest

import hbsim
from hbsim.errors import HbsimError, ParameterError, SurrogateError
from hbsim.surrogates import load
from hbsim.surrogates.yahpo_files import find_folder
from tests.doubles.yahpo import Double, config_space

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("no_yahpo_settings")


def test_the_space_is_what_configspace_reads(yahpo_published, recwarn):
    reader = pytest.importorskip("ConfigSpace").ConfigurationSpace
    theirs = hbsim.core.space.from_configspace(reader.from_json(yahpo_published / "config_space.json"))
    recwarn.clear()  # it is an old format, says ConfigSpace
    named = partial(load, yahpo_data=yahpo_published)
    ours = named("yahpo:lcbench/167168").space
    apart = {"OpenML_task_id", "epoch"}
    assert {name for name in theirs if name not in apart} == set(ours)
    for name, parameter in ours.parameters.items():
        fields = asdict(theirs[name])
        assert type(theirs[name]) is type(parameter)
        assert asdict(parameter) == {
            **fields,
            "low": pytest.approx(fields["low"]),
            "high": pytest.approx(fields["high"]),
        }
    assert {"lower": theirs["epoch"].low, "upper": theirs["epoch"].high} == {"lower": 1, "upper": 52}
    for instance in theirs["OpenML_task_id"].choices:
        assert named(f"yahpo:lcbench/{instance}").name == f"yahpo:lcbench/{instance}"
    with pytest.raises(ParameterError, match="INSTANCE"):
        named("yahpo:lcbench/167083")


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("data_path: {}", "plain"),
        ("other: 1\ndata_path: {}  # mine\nlast: 2", "with spaces"),
        ("data_path: '{}'", "it''s"),
        ('data_path: "{}"', "caf\\xE9"),
        ('data_path: "{}"', "a\\\n  \\ b"),
        ("data_path: {}", "a\n  b"),
    ],
)
def test_the_settings_of_yahpo_gym(tmp_path, monkeypatch, line, folder):
    names = {"it''s": "it's", "caf\\xE9": "café", "a\\\n  \\ b": "a b", "a\n  b": "a b"}
    place = tmp_path / names.get(folder, folder)
    place.mkdir()
    (place / "model.onnx").touch()
    settings = tmp_path / "settings"
    settings.write_text(line.format(tmp_path / folder), encoding="utf-8")
    monkeypatch.setenv("YAHPO_LOCAL_CONFIG", str(settings))
    assert find_folder("lcbench") == place


def test_the_option_comes_before_the_variable_before_the_settings(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("option", "variable", "settings")]
    for place in places:
        (place / "lcbench").mkdir(parents=True)
        (place / "lcbench" / "model.onnx").touch()
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "yahpo_gym").write_text(f"data_path: {places[2]}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("YAHPO_LOCAL_CONFIG")
    assert find_folder("lcbench") == places[2] / "lcbench"
    monkeypatch.setenv("HBSIM_YAHPO_DATA", str(places[1]))
    assert find_folder("lcbench") == places[1] / "lcbench"
    assert find_folder("lcbench", places[0]) == places[0] / "lcbench"
    assert find_folder("lcbench", places[0] / "lcbench") == places[0] / "lcbench"


# What goes wrong


def refused(*arguments: object, **options: object) -> str:
    with pytest.raises(HbsimError) as error:
        load(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_bad_names_and_options(yahpo_data):
    known = partial(refused, "yahpo:lcbench/11", yahpo_data=yahpo_data)
    assert "one of 11, 22, 33" in refused("yahpo:lcbench/99", yahpo_data=yahpo_data)
    assert "yahpo:lcbench/INSTANCE" in refused("yahpo:lcbench", yahpo_data=yahpo_data)
    assert "'nb301' is not supported; lcbench is" in refused("yahpo:nb301/CIFAR10", yahpo_data=yahpo_data)
    assert "Did you mean 'val_accuracy'" in known(metric="val_acuracy")
    assert known(metric="time").startswith("metric='time'")
    assert known(test_metric="accuracy").startswith("test_metric='accuracy'")
    assert known(mode="min") == "mode='min': val_accuracy is better the higher it is"
    assert known(metric="val_cross_entropy", mode="max").endswith("is better the lower it is")
    assert known(mode="best").startswith("mode='best'")
    assert "recorded curves" in known(seconds_per_unit=1.0)
    assert refused("digits", yahpo_data=yahpo_data).startswith("yahpo_data=")
    surrogate = load("yahpo:lcbench/11", yahpo_data=yahpo_data)
    with pytest.raises(ParameterError, match="no such level"):
        surrogate.evaluate(np.zeros((1, 7)), np.array([1.5]))
    with pytest.raises(ParameterError, match=r"\(n, 7\)"):
        surrogate.evaluate(np.zeros((1, 6)), np.array([1.0]))


def test_files_that_are_not_there(yahpo_data, tmp_path, monkeypatch):
    source = "github.com/slds-lmu/yahpo_data"
    named = partial(refused, "yahpo:lcbench/11")
    nothing = named()
    assert source in nothing
    assert "HBSIM_YAHPO_DATA" in nothing
    monkeypatch.setenv("HBSIM_YAHPO_DATA", str(tmp_path / "none"))
    missing = named()
    assert missing.startswith(f"{tmp_path / 'none'}: no such folder, which HBSIM_YAHPO_DATA names")
    assert source in missing
    empty = named(yahpo_data=tmp_path)
    assert empty.startswith(f"{tmp_path / 'model.onnx'}: no such file")
    assert source in empty
    for name in ("encoding.json", "config_space.json"):
        Double().write(tmp_path)
        (tmp_path / name).unlink()
        assert named(yahpo_data=tmp_path).startswith(f"{tmp_path / name}: no such file")


def test_without_onnxruntime(yahpo_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert 'pip install -e ".[yahpo]"' in refused("yahpo:lcbench/11", yahpo_data=yahpo_data)


def changed(field: str, value: object, name: str | None = None) -> str:
    space = copy.deepcopy(config_space())
    where = space if name is None else next(h for h in space["hyperparameters"] if h["name"] == name)
    where[field] = value
    return json.dumps(space)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("model.onnx", "no network", "is no network that onnxruntime can read"),
        ("model.onnx", "", "is no network that onnxruntime can read"),
        ("encoding.json", "{", "is no JSON"),
        ("encoding.json", "[]", "must be a JSON object"),
        ("encoding.json", "{}", "has no whole number for OpenML_task_id 11"),
        ("encoding.json", '{"OpenML_task_id": {"11": 5}}', "cannot be evaluated"),
        ("config_space.json", "{}", "hyperparameters must be a list"),
        ("config_space.json", changed("conditions", [1]), "has conditions"),
        ("config_space.json", changed("name", "momentun", "momentum"), "has no hyperparameter momentum"),
        ("config_space.json", changed("choices", [], "OpenML_task_id"), "has no choices"),
        ("config_space.json", changed("type", "uniform_float", "epoch"), "epoch must be whole"),
        ("config_space.json", changed("type", "normal_float", "momentum"), "momentum is normal_float"),
        ("config_space.json", changed("q", 0.1, "momentum"), "in steps of 0.1"),
        ("config_space.json", changed("upper", 0.05, "momentum"), "momentum: "),
        ("config_space.json", changed("upper", "a", "momentum"), "momentum: "),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, problem):
    Double().write(tmp_path)
    (tmp_path / name).write_text(content)
    said = refused("yahpo:lcbench/11", yahpo_data=tmp_path)
    assert problem in said
    assert str(tmp_path) in said


def test_networks_of_another_shape_and_without_time(tmp_path):
    double = Double()
    double.write(tmp_path)
    double.offset[0] = np.nan
    (tmp_path / "model.onnx").write_bytes(double.onnx())
    with pytest.raises(SurrogateError, match="time that is no number"):
        load("yahpo:lcbench/11", yahpo_data=tmp_path)
    (tmp_path / "model.onnx").write_bytes(Double().onnx().replace(b"x_cont", b"x_conn"))
    assert "must map" in refused("yahpo:lcbench/11", yahpo_data=tmp_path)
