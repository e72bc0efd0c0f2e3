"""Who shows a study: what was asked for, else what fits."""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from hbsim.errors import ParameterError
from hbsim.executors.slots import Slot
from hbsim.study.options import RunOptions
from hbsim.study.progress_display import shown

from .made import Made

WORKERS = SimpleNamespace(slots=[Slot(0, None, 1, (), {})], hosts=lambda: "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def kinds(made, visualizer, progress):
    with ExitStack() as stack:
        options = RunOptions.checked(visualizer=visualizer, progress=progress)
        observers = shown(stack, made.spec, made.state, made.study_folder, options, WORKERS)
    return [type(observer).__name__ for observer in observers]


@pytest.mark.parametrize(
    ("progress", "stream", "term", "expected"),
    [
        ("auto", Terminal, "xterm", ["LiveTable"]),
        ("auto", Terminal, "dumb", ["PlainLines"]),
        ("auto", io.StringIO, "xterm", ["PlainLines"]),
        ("table", io.StringIO, "xterm", ["LiveTable"]),
        ("lines", Terminal, "xterm", ["PlainLines"]),
        ("none", Terminal, "xterm", []),
    ],
)
def test_progress(tmp_path, monkeypatch, progress, stream, term, expected):
    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setenv("TERM", term)
    assert kinds(Made(tmp_path / "exp"), "none", progress) == expected


def test_tensorboard_comes_beside(tmp_path):
    pytest.importorskip("tensorboardX")
    made = Made(tmp_path / "exp")
    assert kinds(made, "tensorboard", "none") == ["TensorBoard"]
    assert kinds(made, "tensorboard", "lines") == ["PlainLines", "TensorBoard"]


@pytest.mark.parametrize(
    ("field", "value"), [("progress", "bar"), ("visualizer", "mxboard"), ("progress", None)]
)
def test_other_values_are_errors(field, value):
    asked = {"visualizer": "none", "progress": "auto", field: value}
    with pytest.raises(ParameterError, match="must be one of") as caught:
        RunOptions.checked(**asked)
    assert (caught.value.field, caught.value.value) == (field, value)


def test_tensorboard_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ParameterError, match=r'pip install -e "\.\[tensorboard\]"'):
        RunOptions.checked(visualizer="tensorboard")
