"""What a training function changes of what it was given, as it reports it: kept, shown, resumed."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import hbsim
from hbsim.bench.study_page import StudyPage
from hbsim.cli.show import picture
from hbsim.executors.reporter import Reporter
from hbsim.ranks import Ranks
from hbsim.runner.journal_state import JournalState
from hbsim.runner.workers import Assignment
from hbsim.study.status import read_status

FUNCTION = """
import hbsim


@hbsim.args(lr=hbsim.Real(0.1, 1.0), batch_size=64, opt=hbsim.Choice("adam"), steps=10)
def train(args, reporter):
    state = reporter.load() or {"epoch": 0, "batch_size": args.batch_size}
    reporter.on_pause(lambda: state)
    for epoch in range(state["epoch"] + 1, 10):
        state["epoch"] = epoch
        if epoch == 3:
            state["batch_size"] = 16
        best = 1 if epoch < 3 else 2
        reporter(epoch=epoch, accuracy=best * args.lr, batch_size=state["batch_size"], opt="sgd", steps=10)
"""
SCRIPT = """
import hbsim
import sys

lr, opt = float(sys.argv[1]), sys.argv[2]
for epoch in range(1, 10):
    hbsim.report(epoch=epoch, accuracy=lr, lr=lr, opt=opt, batch_size=64 if epoch < 2 else 16)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_function_changes_values_which_are_shown_beside_the_configuration(capsys):
    Path("train.py").write_text(FUNCTION)
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=3, straight_on=False)
    result = hbsim.run("train.py:train", scheduler, workers=1, progress="none")
    best = result.best
    assert best.resource == 3
    assert best.changed == {"batch_size": 16, "opt": "sgd"}
    assert best.config["opt"] == "adam"
    assert best.load()["batch_size"] == 16  # the next job of the trial finds it in its checkpoint
    assert result.changed(best.trial, 1) == {"opt": ("adam", "sgd")}
    assert "opt" not in result.reports["metrics"].struct.fields
    again = hbsim.load("exp")
    assert again.best == best
    status = read_status("exp")
    top = {one.trial: one.changed for one in status.top()}
    assert top.pop(best.trial) == best.changed
    assert list(top.values()) == [{"opt": "sgd"}] * 2
    console = Console(width=120)
    console.print(*picture(status, Path("exp"), console))
    assert re.search(r"adam -> sgd +64 -> 16", capsys.readouterr().out)
    assert "<td>adam -&gt; sgd</td>" in StudyPage(status).trial_table()


def test_a_script_changes_a_constant():
    Path("train.py").write_text(SCRIPT)
    space = {"lr": hbsim.Real(0.1, 1.0), "opt": hbsim.Choice("adam"), "batch_size": 64}
    command = hbsim.Command(f"{sys.executable} train.py {{lr}} {{opt}}", space)
    result = hbsim.run(command, hbsim.make_scheduler("fifo", max_t=3, num_trials=1), progress="none")
    assert result.changed(0) == {"batch_size": (64, 16)}
    assert result.changed(0, 1) == result.best.changed == {}  # the first report of the best value


GIVEN = {"size": 64, "lr": 0.1, "opt": "adam", "on": True, "layers": (3, 2), "single": 1e-3}


@pytest.mark.parametrize(
    ("report", "changed"),
    [
        ({"size": 16}, {"size": [64, 16]}),
        ({"size": np.int64(16)}, {"size": [64, 16]}),
        ({"size": 16.5}, {"size": [64, 16.5]}),
        ({"size": 64.0, "lr": np.float32(0.1), "opt": "adam", "on": 1}, {}),
        ({"opt": "sgd", "on": False}, {"opt": ["adam", "sgd"], "on": [True, False]}),
        ({"opt": 3, "lr": "0.2", "layers": (1,), "size": None}, {}),
        ({"lr": float("nan"), "size": np.zeros(2), "opt": "x" * 999}, {}),
        ({"epoch": 9, "accuracy": 0.5, "other": 1}, {}),
    ],
)
def test_what_is_a_change(report, changed, tmp_path):
    assert told({}, report, tmp_path) == [changed]
    assert told({}, report, tmp_path, times=2) == [changed, {}]


def test_a_value_that_is_as_it_was_given_again(tmp_path):
    assert told({"size": 16}, {"size": 16}, tmp_path) == [{}]
    assert told({"size": 16, "gone": 1}, {"size": 64}, tmp_path) == [{"size": [64, 64]}]
    state = JournalState([1, 9], "max", "accuracy")
    state.changes = {0: [(1, {"size": [64, 16]}), (3, {"size": [64, 64], "lr": [0.1, 0.2]})]}
    assert state.changed(0, 0.5) == state.changed(1) == {}
    assert state.changed(0, 2) == {"size": (64, 16)}
    assert state.changed(0) == {"lr": (0.1, 0.2)}


def told(before: dict[str, object], report: dict[str, object], folder: Path, times: int = 1) -> list[Any]:
    """Return what a reporter says has changed, after changes in earlier jobs."""
    said: list[Any] = []

    def take(resource: float, metrics: dict[str, float | None], changed: Any = None) -> None:
        said.append(changed or {})

    session = Namespace(check=lambda: None, report=take, last=0.0, milestone=9.0, ranks=Ranks())
    task = asdict(Assignment(0, 0, 0, 0.0, inf, [], 0, changed=before))
    setup = {"time_attr": "epoch", "metric": "accuracy", "folder": str(folder)}
    made = Reporter(session, task, setup, ("size",), GIVEN)  # type: ignore[arg-type]
    for _ in range(times):
        made(**{"epoch": 9, "accuracy": 0.5, **report})
    return said
