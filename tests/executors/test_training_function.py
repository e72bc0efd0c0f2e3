"""How training functions reach other processes: by module, by file, as code."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.training_function import (
    DefinitionsOnly,
    default_start,
    label_of,
    load_target,
    loading,
    make_target,
    stop_if_loading,
)

ROOT = Path(__file__).parents[2]
FUNCTION = """
import hbsim

@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_fn(args, reporter):
    return __name__
"""
# Loads the target of the first argument in a new process, and prints what the function returns.
LOAD = """
import json, sys
target = json.loads(sys.argv[1])
sys.path[:] = target["path"]
from hbsim.executors.training_function import load_target, loading
function = load_target(target)
assert not loading()
print(json.dumps([function(None, None), sorted(function.space.names)]))
"""
# At the end of a script: describes its function, and prints that.
DESCRIBE = """
import json
from hbsim.executors.training_function import make_target, stop_if_loading

def study():
    stop_if_loading()
    print(json.dumps(make_target(train_fn)))
"""


@hbsim.args(lr=hbsim.Real(0.1, 1.0))
def train_here(args, reporter):
    return helper()


def helper():
    return "helped"


class Holder:
    @staticmethod
    @hbsim.args(lr=hbsim.Real(0.1, 1.0))
    def train(args, reporter):
        return "held"


@pytest.fixture(autouse=True)
def _same_process():
    """Put back what loading changes: the module path, the arguments and what is loaded."""
    before = list(sys.path), list(sys.argv), set(sys.modules)
    yield
    sys.path[:], sys.argv[:] = before[:2]
    for name in set(sys.modules) - before[2]:
        if not name.startswith(("hbsim", "cloudpickle")):
            del sys.modules[name]


def elsewhere(target):
    """Return what the function returns in another process, and its parameters."""
    target = json.loads(json.dumps(target))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(target)], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def script(folder, text, *command, name="study.py"):
    """Run a script; return the target that it prints."""
    path = folder / name
    path.write_text(text)
    words = command or (str(path),)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, cwd=folder, env=environment
    )
    return json.loads(done.stdout)


def test_a_function_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package" / "__init__.py").touch()
    (tmp_path / "some_package" / "training.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(tmp_path)
    from some_package.training import train_fn

    target = make_target(train_fn)
    assert (target["module"], target["name"], target["main"]) == ("some_package.training", "train_fn", False)
    assert str(tmp_path) in target["path"]
    assert label_of(target) == "some_package.training:train_fn"
    assert elsewhere(target) == ["some_package.training", ["lr"]]


@pytest.mark.parametrize("function", [train_here, Holder.train])
def test_a_function_of_a_file_that_cannot_be_imported_by_name(function, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not (Path(entry) / "tests").is_dir()])
    target = make_target(function)
    assert target["file"] == str(Path(__file__).resolve())
    assert target["name"] == function.__qualname__
    target["path"].append(str(ROOT))
    assert elsewhere(target) == [function(None, None), ["lr"]]


@pytest.mark.parametrize(
    "guard", ["if __name__ == '__main__':\n    study()\n", "study()\nraise AssertionError\n"]
)
def test_a_script(tmp_path, guard):
    target = script(
        tmp_path, FUNCTION + DESCRIBE + guard.replace("\nraise", "\nif __name__ != '__main__': raise")
    )
    assert target["file"] == str((tmp_path / "study.py").resolve())
    assert target["main"] is True
    assert elsewhere(target) == ["study", ["lr"]]


def test_a_script_with_arguments_and_a_neighbour(tmp_path):
    (tmp_path / "neighbour.py").write_text("WORD = 'next door'")
    text = f"import sys\nimport neighbour\n{FUNCTION.replace('__name__', '[neighbour.WORD, sys.argv[1:]]')}"
    target = script(tmp_path, text + DESCRIBE + "study()", "study.py", "--fast", "3")
    assert elsewhere(target)[0] == ["next door", ["--fast", "3"]]


def test_a_script_that_is_run_as_a_module(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "other.py").write_text("WORD = 'beside'")
    text = "from .other import WORD\n" + FUNCTION.replace("__name__", "WORD") + DESCRIBE + "study()"
    target = script(tmp_path, text, "-m", "package.study", name="package/study.py")
    assert target["module"] == "package.study"
    assert elsewhere(target)[0] == "beside"


@pytest.mark.parametrize("name", ["json.py", "select.py", "hbsim_.py", "with-dash.py"])
def test_names_of_scripts(tmp_path, name):
    (tmp_path / name).write_text(FUNCTION)
    function = load_target(make_target(f"{tmp_path / name}:train_fn"))
    assert function(None, None) != "__main__"
    assert json.loads("1") == 1
    assert sys.modules["json"] is json


def test_closures_and_lambdas():
    word = ["enclosed"]

    def train_fn(args, reporter):
        return [word, helper()]

    for function in (train_fn, lambda args, reporter: [word, helper()]):
        target = make_target(hbsim.args(lr=hbsim.Real(0.1, 1.0))(function))
        assert "pickled" in target
        assert "<locals>" in label_of(target)
        target["path"] = [entry for entry in target["path"] if not (Path(entry or ".") / "tests").is_dir()]
        target["path"].append(str(ROOT))
        assert elsewhere(target) == [[["enclosed"], "helped"], ["lr"]]


def test_partials_and_callable_objects():
    partial = functools.partial(train_here)
    target = make_target(hbsim.args(lr=hbsim.Real(0.1, 1.0))(partial))
    assert "pickled" in target
    assert load_target(target)(None, None) == "helped"

    class Trainer:
        def __call__(self, args, reporter):
            return "called"

    target = make_target(hbsim.args(lr=hbsim.Real(0.1, 1.0))(Trainer()))
    assert load_target(target)(None, None) == "called"


def test_a_function_that_is_typed_in(tmp_path):
    text = FUNCTION + DESCRIBE + "exec(compile(FUNCTION, '<stdin>', 'exec'))\nstudy()"
    target = script(tmp_path, f"FUNCTION = {FUNCTION.replace('__name__', '2')!r}\n" + text)
    assert "pickled" in target
    assert elsewhere(target) == [2, ["lr"]]


def test_what_cannot_be_sent():
    lock = threading.Lock()

    @hbsim.args(lr=hbsim.Real(0.1, 1.0))
    def train_fn(args, reporter):
        return lock.locked()

    with pytest.raises(ParameterError, match="nothing that cannot be pickled") as caught:
        make_target(train_fn)
    assert caught.value.field == "train"


def test_file_and_name(tmp_path):
    (tmp_path / "study.py").write_text(FUNCTION)
    target = make_target(f"{tmp_path}/study.py:train_fn")
    assert target["main"] is False
    assert elsewhere(target) == ["study", ["lr"]]


def undecorated(args, reporter): ...


@pytest.mark.parametrize("train", [undecorated, lambda args, reporter: None, len])
def test_a_function_without_a_search_space(train):
    with pytest.raises(ParameterError, match=r"@hbsim\.args") as caught:
        make_target(train)
    assert caught.value.field == "train"


@pytest.mark.parametrize(
    ("train", "rule"), [("x.py:f", "no file"), ("x:f", "FILE.py:NAME"), (3, "FILE.py:NAME")]
)
def test_no_function(train, rule):
    with pytest.raises(ParameterError, match=rule):
        make_target(train)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("x = 1\nraise KeyError('data')\n", r"KeyError: 'data' \(line 2\)"),
        ("import sys\n\nsys.exit('bye')\n", r"SystemExit: bye \(line 3\)"),
        ("import neighbour_that_fails\n", r"ZeroDivisionError: division by zero \(line 1\)"),
        ("def f(:\n", r"SyntaxError.*line 1"),
        ("train = 1\n", "Did you mean 'train'"),
        (
            "import hbsim.executors.training_function as t\nt.stop_if_loading()\n",
            "starts a study before 'train_fn'",
        ),
        ("train_fn = 1\n", "is no function"),
        ("def train_fn(args, reporter): ...\n", "needs a search space"),
    ],
)
def test_a_file_that_does_not_load(tmp_path, text, rule):
    (tmp_path / "study.py").write_text(text.replace("train = 1", "def train(): ..."))
    (tmp_path / "neighbour_that_fails.py").write_text("1 / 0")
    before = set(sys.modules)
    with pytest.raises(ParameterError, match=rule) as caught:
        load_target(make_target(f"{tmp_path}/study.py:train_fn"))
    assert caught.value.field == "train"
    assert "study.py:train_fn" in str(caught.value.value)
    assert not loading()
    assert "raise" not in text or "study" not in set(sys.modules) - before


def test_a_script_that_hides_its_function(tmp_path):
    text = DESCRIBE + "if __name__ == '__main__':\n" + textwrap.indent(FUNCTION, "    ") + "    study()\n"
    target = script(tmp_path, text)
    with pytest.raises(ParameterError, match="when it is imported; define it at the top"):
        load_target(target)


def test_a_package_that_starts_a_study(tmp_path):
    (tmp_path / "eager").mkdir()
    (tmp_path / "eager" / "__init__.py").write_text(
        "import hbsim.executors.training_function as t\nt.stop_if_loading()\n"
    )
    (tmp_path / "eager" / "study.py").write_text(FUNCTION)
    target = {"module": "eager.study", "name": "train_fn", "path": [str(tmp_path), *sys.path], "argv": []}
    with pytest.raises(ParameterError, match="its package must load"):
        load_target(target)
    with pytest.raises(ParameterError, match="no module elsewhere"):
        load_target(target | {"module": "elsewhere"})


def test_a_study_may_start_outside_of_loading():
    assert not loading()
    stop_if_loading()
    assert not issubclass(DefinitionsOnly, Exception)


def test_the_start_that_is_safe(monkeypatch):
    for platform, start in (("linux", "fork"), ("darwin", "spawn")):
        monkeypatch.setattr(sys, "platform", platform)
        assert default_start() == start
