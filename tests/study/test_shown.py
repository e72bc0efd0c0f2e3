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
from hbsim.study.progress_display import NotebookLine, _in_notebook, shown
from hbsim.study.progress_summary import ProgressSummary

from .made import Made

WORKERS = SimpleNamespace(slots=[Slot(0, None, 1, (), {})], hosts=lambda: "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def kinds(made, progress):
    with ExitStack() as stack:
        options = RunOptions.checked(progress=progress)
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
    assert kinds(Made(tmp_path / "exp"), progress) == expected


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
    with pytest.raises(ParameterError, match=r'pip install -e "\.\[tensorboard\]"') as caught:
        RunOptions.checked(callbacks=["tensorboard"])
    assert caught.value.field == "callbacks"


def test_a_notebook_has_one_line_that_is_updated(tmp_path, monkeypatch):
    seen = []

    class Handle:
        def update(self, text, raw):
            seen[-1] = text["text/plain"]

    def display(text, raw, display_id):
        seen.append(text["text/plain"])
        return Handle()

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", SimpleNamespace())
    assert _in_notebook()
    made = Made(tmp_path / "exp", num_trials=2)
    line = NotebookLine(ProgressSummary(made.spec, made.state, made.study_folder, 1, made.clock), made.clock)
    made.observers.append(line)
    job = made.start(0, 0.0)
    line.tick()
    assert seen == ["[0:00:00] 1 of 2 started: 1 running; workers busy 0%"]
    made.reach(job, 0.5, 20.0)
    line.tick()
    made.gone(job, 20.0)
    line.tick()  # too soon
    assert "0.5: trial 0 at epoch 1" in seen[0]
    assert "1 running" in seen[0] or "1 paused" in seen[0]
    line.close()
    assert "1 paused" in seen[0]
    assert len(seen) == 1
