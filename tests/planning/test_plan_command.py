"""The command ``hbsim plan``: what it prints and writes, a study that it starts, and how its forecast did."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import hbsim
from hbsim.planning import library
from hbsim.planning import plan as plans
from hbsim.planning.check import check_forecast
from hbsim.planning.plan import prepare
from tests.bench.charted import column, marks
from tests.cli.conftest import call
from tests.planning.test_forecast import planned, task_of
from tests.planning.test_pilot import write

__all__ = ["call"]

TRAIN = """
import time
import hbsim

@hbsim.args(x=hbsim.Real(0.0, 1.0))
def train_fn(args, reporter):
    for epoch in range((reporter.load() or 0) + 1, 4):
        time.sleep(0.05)
        reporter.save(epoch)
        reporter(epoch=epoch, accuracy=args.x - 1 / epoch)
"""
SMALL = ("plan", "--max-t", "3", "--workers", "2", "--budget", "1.5s", "--unit-seconds", "0.05")


def make_small(patch):
    """Simulate one study of each of three groups: the tests look at what is made of them."""
    tasks = [task for task in library.library() if task.group in ("digits", "sgd", "lcbench")]
    patch.setattr(library, "library", lambda: tuple(tasks))
    patch.setattr(plans, "WORK", 1.0)
    patch.setattr(plans, "WORK_WITH_PILOT", 1.0)


@pytest.fixture(autouse=True)
def _few_studies(monkeypatch):
    make_small(monkeypatch)


def test_it_says_what_matters_first_and_ends_with_the_command(call):
    ran = call("plan", "--max-t", "9", "--workers", "2", "--budget", "30runs")
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert " full result within 15 full runs in " in lines[0]
    assert lines[1].startswith("Run promotion")
    assert "What nobody can know" in lines
    assert lines[-2] == "Start it"
    assert lines[-1].startswith("hbsim run train.py:train_fn --scheduler promotion --max-t 9 --workers 2")
    assert "--num-trials" in lines[-1]


def test_json_has_everything_and_nothing_else_is_on_stdout(call):
    ran = call(*SMALL, "--what-if", "workers=1,4", "--json")
    content = json.loads(ran.out)
    assert ran.code == 0
    assert next(iter(content)) == "schema"
    assert content["schema"] == 1
    assert [one["workers"] for one in content["what_if"]] == [1, 4]
    found = {one["variant"]: one for one in content["forecast"]}
    assert content["recommended"] in found
    assert content["setting"]["max_time"] == 1.5
    for one in found.values():
        assert one["trials"]["low"] <= one["trials"]["median"] <= one["trials"]["high"]
        assert 0 <= one["any_full_result"] <= 1
    assert content["start"][0].startswith("hbsim run ")
    assert content["said"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--budget", "0.1s"), "--budget 0.1s: is over after 0.67 of a full run"),
        (("--workers", "0"), "--workers 0: must be a whole number of at least 1"),
        (("--what-if", "gpus=2"), "--what-if gpus: must be about workers or budget"),
        (("--plot", "plan.txt"), "--plot plan.txt: must end in .png, .svg or .pdf"),
        (("--html", "no/plan.html"), "--html no/plan.html: there is no folder no"),
        (("--toml", "no/study.toml"), "--toml no/study.toml: there is no folder no"),
    ],
)
def test_bad_input_is_one_line_before_any_work(call, words, text):
    ran = call(*SMALL, *words)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith(f"hbsim: error: {text}")
    assert ran.err.count("\n") == 1
    assert list(Path().iterdir()) == []


@pytest.fixture(scope="module")
def run_as_planned(tmp_path_factory):
    """Return the folder of a plan's study that has been run, and what the plan printed."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("planned")
    (folder / "train.py").write_text(TRAIN)

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "hbsim", *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_small(patch)
        patch.setattr("sys.argv", ["hbsim", *SMALL, "--toml", "study.toml"])
        from hbsim.cli.main import main

        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 0
    assert (folder / "exp" / "forecast.json").is_file()
    run("run", "study.toml", "--progress", "none")
    return folder


def test_the_study_of_the_plan_runs_and_validate_says_how_the_forecast_did(run_as_planned, call):
    folder = run_as_planned / "exp"
    result = hbsim.load(folder)
    assert result.scheduler.type == "promotion"
    assert result.workers == 2
    assert result.why == "max_time"
    ran = call("validate", str(folder), "--json")
    (found,) = json.loads(ran.out)["forecasts"]
    lines = {one["quantity"]: one for one in found["lines"]}
    assert list(lines) == ["trials", "completed", "first_full_result", "busy_share", "machine_hours"]
    assert lines["trials"]["real"] == result.scheduler.started
    assert lines["completed"]["real"] == result.summary()["completed"] > 0
    for one in lines.values():
        low, high = (float("inf") if one[end] is None else one[end] for end in ("low", "high"))
        near = 1 / 1.5  # a second of the study may go to its start and its end
        if one["quantity"] == "busy_share":
            low, high = low - near, high + near
        elif one["quantity"] == "machine_hours":
            low, high = low * (1 - near), high * (1 + near)
        assert one["within"] == (low <= one["real"] <= high)
    text = call("validate", str(folder)).out
    assert f"The forecast in {folder}, and what came" in text
    assert "first full result" in text
    assert check_forecast(run_as_planned) is None


def test_a_study_that_is_there_is_no_place_for_a_forecast(run_as_planned, call):
    ran = call(*SMALL, "--folder", str(run_as_planned / "exp"))
    assert ran.code == 2
    assert "holds a study already" in ran.err


def test_a_studys_folder_is_a_pilot(run_as_planned, call):
    words = ("plan", "--max-t", "9", "--workers", "4", "--budget", "6s", "--pilot")
    content = json.loads(call(*words, str(run_as_planned / "exp"), "--json").out)
    result = hbsim.load(run_as_planned / "exp")
    assert content["pilot"]["curves"] == result.scheduler.started >= 10
    assert content["pilot"]["metric"] == "accuracy"
    assert (content["pilot"]["complete"], content["pilot"]["last_level"]) == (0, 3)
    assert content["pilot"]["rank_correlations"] == []
    assert content["grace_period_to_try"] is None
    assert "The pilot's curves were stopped by their values, so they say nothing of ranks." in content["said"]
    assert content["pilot"]["startup"] > 0
    seconds = result.reports["trained"].sum() / len(result.reports)
    assert 0.04 < content["setting"]["unit_seconds"] < 0.2, seconds
    assert content["run"]["metric"] == "accuracy"


def test_what_is_written_and_what_if_change_nothing_else_of_the_plan(monkeypatch):
    monkeypatch.setattr(plans, "WORK", 400.0)
    settings = {"max_t": 9, "budget": "60s", "workers": 4, "unit_seconds": 0.5}
    alone = prepare(**settings)
    assert len(alone.studies) > 3
    bare = alone.carry_out(1).as_dict()
    for more in ({"around": True}, {"what_if": {"workers": [2, 64, 256, 512]}}):
        plan = prepare(**settings, **more).carry_out(1)
        found = plan.as_dict()
        assert len(found.pop("what_if")) >= 3
        assert found == {name: value for name, value in bare.items() if name != "what_if"}
    assert 0 < plan.what_if_studies < plan.studies


def test_columns_are_left_out_where_there_is_no_room(call, monkeypatch):
    words = ("plan", "--max-t", "81", "--workers", "8", "--budget", "30runs", "--what-if", "workers=2,4")
    monkeypatch.setenv("COLUMNS", "80")
    narrow = call(*words).out
    tables = narrow[narrow.index("What 30runs buys") : narrow.index("Not told apart")]
    assert max(map(len, tables.splitlines())) <= 80
    assert "(not shown at this width: " in tables
    monkeypatch.setenv("COLUMNS", "220")
    assert "not shown" not in call(*words).out


def test_the_command_of_the_json_output_can_be_given_again(call):
    content = json.loads(call(*SMALL, "--html", "--json").out)
    assert content["command"].endswith("--html --json")
    assert json.loads(call(*content["command"].split()[1:]).out)["command"] == content["command"]


def test_a_study_file_needs_its_training_function(call):
    ran = call(*SMALL, "--train", "nope.py:f", "--toml", "study.toml")
    assert ran.code == 2
    assert ran.err == "hbsim: error: --train nope.py:f: there is no file nope.py\n"


def test_a_big_plan_says_so_at_once_and_simulates_fewer_studies(monkeypatch, call):
    monkeypatch.setattr(plans, "TRIALS_WITH_PILOT", 1.0)
    monkeypatch.setattr(plans, "LEAST_STUDIES", 1)
    monkeypatch.setattr(plans, "LONG", 0.0)
    ran = call(*SMALL, "--json")
    assert ran.err.startswith("hbsim: note: simulating ")
    assert json.loads(ran.out)["simulated"]["studies"] == 1


def test_a_pilot_of_too_few_curves_is_one_line(call):
    write(Path("few.csv"), 4)
    ran = call(
        *("plan", "--max-t", "9", "--budget", "1h", "--pilot", "few.csv"),
        *("--metric", "accuracy", "--mode", "max"),
    )
    assert ran.code == 2
    assert ran.err == "hbsim: error: --pilot few.csv: has 4 curves: at least 10 are needed\n"


def test_the_command_of_the_plan_is_one_that_run_takes(call):
    Path("train.py").write_text(TRAIN)
    command = call(*SMALL, "--train", "train.py:train_fn").out.splitlines()[-1]
    ran = call(*shlex.split(command)[1:], "--write-toml", "study.toml")
    assert ran.code == 0, ran.err


def test_the_charts_show_each_number_of_workers_and_the_page_needs_no_network(tmp_path):
    made = planned([task_of(spread=1.0)], what_if={"workers": [1, 2, 4]})
    completed = made.plot().vconcat[0]
    (line,), (band,) = marks(completed, "line"), marks(completed, "area")
    assert set(column(line, "of")) == {"1 worker", "2 workers", "4 workers"}
    last = {row["of"]: row for row in band["rows"]}  # the last point of each
    for one in made.what_if:
        row = last["1 worker" if one.workers == 1 else f"{one.workers} workers"]
        found = one.ranges["completed"]
        assert (row["low"], row["median"], row["high"]) == pytest.approx(
            (found.low, found.median, found.high)
        )
    text = made.page(tmp_path / "plan.html", ["hbsim run <x>"])
    assert (tmp_path / "plan.html").read_text() == text
    assert "Content-Security-Policy" in text
    assert "hbsim run &lt;x&gt;" in text
    assert "promotion" in made._repr_html_()
    assert "<table>" in made._repr_html_()


def test_python_and_command_have_the_same_plan(call):
    made = hbsim.plan(3, "1.5s", 2, 0.05)
    content = json.loads(call(*SMALL, "--json").out)
    assert content["forecast"] == made.as_dict()["forecast"]
    assert content["comparison"] == made.comparison.to_dicts()
    with pytest.raises(hbsim.errors.ParameterError, match="unit_seconds"):
        hbsim.plan(3, "1.5s", unit_second=1)
    assert repr(made) == "<Plan: max_t=3, 2 workers, 1.5s, promotion of 6 variants>"
    assert len(prepare(3, "1.5s", 2, 0.05).shortlist) == 6
