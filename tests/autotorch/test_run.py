"""Studies that run for real through the seed's classes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler
from hbsim.errors import HbsimError, HbsimWarning, OutputError, ParameterError
from hbsim.runner.lock import StudyLock
from hbsim.study.result import RunResult, load

from .functions import climb, says_done, wait_at_gate, without_epochs

QUICK: dict[str, Any] = {"resource": {"num_cpus": 1}, "workers": 1, "progress": "none"}


def hyperband(folder: Path | None, **options: Any) -> HyperbandScheduler:
    given = {"num_trials": 4, "max_t": 4, "grace_period": 1, "reduction_factor": 2, **QUICK, **options}
    return HyperbandScheduler(climb, checkpoint=folder, **given)


def test_results(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    result = scheduler.run()
    assert isinstance(result, RunResult)
    assert scheduler.result is result
    assert scheduler.run() is result  # it is over
    scheduler.join_jobs()
    assert scheduler.result is result
    reports = scheduler.get_training_curves()
    assert reports.columns == ["trial", "resource", "value"]
    best = reports.sort("value", descending=True).row(0, named=True)
    assert scheduler.get_best_reward() == best["value"]
    assert scheduler.get_best_task_id() == best["trial"]
    config = scheduler.get_best_config()
    assert set(config) == {"lr", "kind"}
    assert best["value"] == config["lr"] * best["resource"] / 10
    assert "4 trials" in repr(scheduler)


def test_promotion_with_size_ratios_resumes_what_was_promoted(tmp_path: Path) -> None:
    scheduler = hyperband(
        tmp_path / "exp", type="promotion", keep_size_ratios=True, num_trials=8, args={"epochs": 4}
    )
    result = scheduler.run()
    options = result.summary()["scheduler"]
    assert isinstance(options, dict)
    assert (options["type"], options["keep_size_ratios"]) == ("promotion", True)
    assert result.summary()["trials"] == 8
    assert set(result.trials["status"]) <= {"paused", "completed"}
    started = result.decisions.group_by("level").len().sort("level")["len"].to_list()
    assert started == sorted(started, reverse=True)
    assert all(above * 2 <= below for below, above in pairwise(started))


def test_fifo_runs_every_trial_until_it_returns(tmp_path: Path) -> None:
    scheduler = FIFOScheduler(climb, {"epochs": 6}, num_trials=3, checkpoint=tmp_path / "exp", **QUICK)
    scheduler.join_jobs()
    trials = scheduler.result.trials
    assert trials["status"].to_list() == ["completed"] * 3
    assert trials["reached"].to_list() == [6.0] * 3
    assert len(scheduler.get_training_curves()) == 18


def test_max_reward_ends_the_study(tmp_path: Path) -> None:
    scheduler = FIFOScheduler(climb, num_trials=50, max_reward=0.0, checkpoint=tmp_path / "exp", **QUICK)
    result = scheduler.run()
    assert isinstance(result, RunResult)
    assert result.why == "max_reward"
    assert result.summary()["trials"] == 1


def test_a_temporary_folder() -> None:
    scheduler = hyperband(None, num_trials=1)
    scheduler.run()
    assert (scheduler.folder / "journal.jsonl").is_file()


SCRIPT = """
import hbsim
from tests.autotorch.functions import without_epochs

def main():
    scheduler = hbsim.FIFOScheduler(
        without_epochs, {{"broken": {broken}}}, num_trials=3, workers=1, max_reward=None,
        resource={{"num_cpus": 1}}, checkpoint=None, progress="lines",
    )
    scheduler.join_jobs()
    print(scheduler.folder)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("broken", [-1, 1])
def test_of_a_temporary_folder_the_logs_of_failures_stay(tmp_path: Path, broken: int) -> None:
    """Nothing that was named is gone; without a failure nothing is left."""
    file = tmp_path / "study.py"
    file.write_text(SCRIPT.format(broken=broken))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(file)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    folder = Path(ran.stdout.strip())
    left = [path for path in folder.rglob("*") if path.is_file()]
    if broken < 0:
        assert "; see " not in ran.stderr
        assert not folder.exists()
        return
    log = Path(ran.stderr.partition("; see ")[2].partition("\n")[0])
    assert left == [tmp_path / log]
    assert "the last words of a trial" in left[0].read_text()


def test_done_is_the_seeds_way_to_finish(tmp_path: Path) -> None:
    for kind, options in ((FIFOScheduler, {}), (HyperbandScheduler, {"max_t": 9, "grace_period": 1})):
        folder = tmp_path / kind.__name__
        scheduler = kind(says_done, num_trials=3, checkpoint=folder, max_reward=None, **options, **QUICK)
        scheduler.join_jobs()
        result = scheduler.result
        assert isinstance(result, RunResult)
        completed = result.trials.filter(status="completed")
        assert completed["reached"].to_list() == completed["resource"].to_list() == [3.0] * len(completed)
        assert len(completed) == (3 if kind is FIFOScheduler else result.summary()["returned"]) >= 1
        assert (result.summary()["failed"], result.summary()["best"]) == (0, scheduler.get_best_reward())


def test_fifo_counts_reports_where_they_have_no_resource(tmp_path: Path) -> None:
    """A trial that goes on from its checkpoint counts on, and so does a study that is read again."""
    options: dict[str, Any] = {"checkpoint": tmp_path / "exp", "max_reward": None, "retries": 1, **QUICK}
    scheduler = FIFOScheduler(without_epochs, {"broken": 1, "epochs": 4}, num_trials=3, **options)
    scheduler.join_jobs()
    result = load(tmp_path / "exp")
    assert result.trials["resource"].to_list() == result.trials["reached"].to_list() == [4.0] * 3
    of_the_broken = result.reports.filter(trial=1)
    assert of_the_broken["resource"].to_list() == [1, 2, 3, 4]
    assert of_the_broken["job"].n_unique() == 2
    assert (result.summary()["trained_resource"], result.summary()["wasted_resource"]) == (12, 0)


def test_queued_configurations_come_first(tmp_path: Path) -> None:
    plain = hyperband(tmp_path / "plain", num_trials=2)
    plain.run()
    scheduler = hyperband(tmp_path / "exp", num_trials=4)
    scheduler.add_job({"lr": 0.25, "kind": "b"})
    scheduler.add_job(SimpleNamespace(args={"config": {"lr": 0.75, "kind": "a"}}))
    result = scheduler.run()
    assert isinstance(result, RunResult)
    assert [result.configuration(trial)["kind"] for trial in (0, 1)] == ["b", "a"]
    assert [result.configuration(trial)["lr"] for trial in (0, 1)] == pytest.approx([0.25, 0.75])
    assert isinstance(plain.result, RunResult)
    for trial in (0, 1):  # then those of the searcher, from its first
        assert result.configuration(trial + 2) == plain.result.configuration(trial)
    scheduler.add_job({"lr": 0.5, "kind": "a"})  # after the study: one more trial
    scheduler.schedule_next()
    scheduler.join_jobs()
    result = scheduler.result
    assert result.summary()["trials"] == scheduler.num_finished_tasks == 6
    assert result.configuration(4) == {"lr": pytest.approx(0.5), "kind": "a"}
    third = hyperband(tmp_path / "third", num_trials=3).run()
    assert result.configuration(5) == third.configuration(2)


@pytest.mark.parametrize(
    ("field", "task"),
    [
        ("lr", {"kind": "a"}),
        ("lr", {"lr": 2.0, "kind": "a"}),
        ("kind", {"lr": 0.5, "kind": "c"}),
        ("depth", {"lr": 0.5, "kind": "a", "depth": 1}),
        ("lr", {"lr": [0.1, 0.2], "kind": "a"}),
        ("task", "lr=0.5"),
        ("task", SimpleNamespace(args=[])),
        ("task", SimpleNamespace(fn=says_done, args={"config": {"lr": 0.5, "kind": "a"}})),
    ],
)
def test_a_bad_configuration_is_not_queued(field: str, task: object, tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    with pytest.raises(ParameterError) as caught:
        scheduler.add_job(task)
    assert caught.value.field.partition("[")[0] == field
    assert scheduler.state_dict()["queue"] == []


def test_nothing_to_resume_begins_anew(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp", resume=True)
    with pytest.warns(HbsimWarning, match="no study to resume"):
        scheduler.run()
    assert scheduler.result.summary()["trials"] == 4


def test_a_folder_of_autotorch_is_moved(tmp_path: Path) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "checkpoint.ag").write_bytes(b"a pickle")
    scheduler = hyperband(tmp_path / "exp", num_trials=1)
    with pytest.warns(HbsimWarning, match=r"exp\.1"):
        scheduler.run()
    assert (tmp_path / "exp.1" / "checkpoint.ag").read_bytes() == b"a pickle"


def test_the_folder_of_a_running_study_is_not_moved(tmp_path: Path) -> None:
    folder = tmp_path / "exp"
    hyperband(folder).run()
    with StudyLock(folder):
        again = hyperband(folder)
        with pytest.raises(OutputError, match="being run by process"):
            again.run()
    assert not (tmp_path / "exp.1").exists()
    with pytest.warns(HbsimWarning, match=r"exp\.1"):
        again.run()
    with pytest.warns(HbsimWarning, match=r"exp\.2"):
        hyperband(folder).run()


def test_after_a_time_it_goes_on_where_it_stood(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    options: dict[str, Any] = {"num_trials": 2, "max_t": 2, "grace_period": 1, "reduction_factor": 2}
    scheduler = HyperbandScheduler(
        wait_at_gate, {"gate": str(gate)}, checkpoint=tmp_path / "exp", **options, **QUICK
    )
    scheduler.join_jobs(timeout=1)
    first = scheduler.result.end_time
    scheduler.join_jobs(timeout=1)
    assert scheduler.result.end_time >= first + 1
    assert scheduler.result.summary()["running"] == 1
    gate.touch()
    scheduler.join_jobs()
    assert scheduler.result.summary()["running"] == 0
    assert scheduler.result.summary()["trials"] == 2


def test_a_queue_after_the_study_began_keeps_its_journal_readable(tmp_path: Path) -> None:
    """The searcher keeps its name in the journal, and a new scheduler goes on with the study."""
    options = {"searcher": "sobol", "search_options": {"constraints": in_the_middle}, "num_trials": None}
    scheduler = hyperband(tmp_path / "exp", **options)
    for _ in range(2):
        scheduler.schedule_next()
    scheduler.join_jobs()
    scheduler.add_job({"lr": 0.5, "kind": "b"})
    scheduler.join_jobs()
    read = load(tmp_path / "exp")
    assert (read.spec.searcher, read.spec.search_options) == (
        "sobol",
        {"constraints": "in_the_middle"},
    )
    assert read.configuration(2) == {"lr": pytest.approx(0.5), "kind": "b"}
    state = json.loads(json.dumps(scheduler.state_dict(), allow_nan=False))
    assert (state["queued_trials"], len(state["queue"])) == ([2], 1)
    other = hyperband(tmp_path / "other", **options)
    other.load_state_dict(state)
    other.schedule_next()
    other.join_jobs()
    plain = hyperband(tmp_path / "plain", **{**options, "num_trials": 3}).run()
    assert isinstance(plain, RunResult)
    configs = other.config_history
    assert [configs[trial] for trial in (0, 1, 3)] == [plain.configuration(trial) for trial in range(3)]
    assert {name: value for name, value in state.items() if name != "queued_trials"}["queue"] == state[
        "queue"
    ]


def in_the_middle(config: dict[str, Any]) -> bool:
    return bool(config["lr"] < 0.9)


def test_a_time_of_a_call_ends_the_study(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    scheduler = HyperbandScheduler(
        wait_at_gate,
        {"gate": str(gate)},
        num_trials=2,
        max_t=2,
        grace_period=1,
        checkpoint=tmp_path / "exp",
        **QUICK,
    )
    scheduler.run(time_out=1)
    ended = scheduler.result
    scheduler.join_jobs()
    assert scheduler.result is ended  # it is over, as in AutoTorch
    assert ended.summary()["why"] == "max_time"
    gate.touch()
    assert scheduler.run(time_out=60).summary()["why"] == "done"
    assert scheduler.num_finished_tasks == 2
    with pytest.raises(ParameterError) as caught:
        scheduler.run(num_trials=0)
    assert caught.value.field == "num_trials"


def test_objects_in_files(tmp_path: Path) -> None:
    import hbsim

    obj = {"weights": [1.5, None], "names": ("a", "b"), "bytes": b"\0"}
    hbsim.save(obj, tmp_path / "new" / "object.ag")
    assert hbsim.load(tmp_path / "new" / "object.ag") == obj
    with pytest.raises(ParameterError):
        hbsim.save({"what": object()}, tmp_path / "new" / "object.ag")
    assert hbsim.load(tmp_path / "new" / "object.ag") == obj  # it stays as it was
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["object.ag"]
    (tmp_path / "text").write_text("no object")
    for call in (lambda: hbsim.load(tmp_path / "text"), lambda: hbsim.save(1, tmp_path / "text" / "file")):
        with pytest.raises(OutputError):
            call()


INTERRUPTED = """
import sys
from hbsim.autotorch.schedulers import HyperbandScheduler
from {module} import wait_at_gate

scheduler = HyperbandScheduler(wait_at_gate, {{"gate": sys.argv[1]}}, num_trials=2, max_t=2, grace_period=1,
    reduction_factor=2, workers=1, progress="none", checkpoint={folder!r}, resume={resume})
try:
    scheduler.run()
except KeyboardInterrupt as error:
    print(type(error).__name__, scheduler.result.summary()["trials"], scheduler.get_best_task_id())
    sys.exit(7)
print("over", scheduler.result.summary()["trials"])
"""


def script(tmp_path: Path, resume: bool) -> list[str]:
    (tmp_path / "gated.py").write_text(Path(__file__).with_name("functions.py").read_text())
    text = INTERRUPTED.format(module="gated", folder=str(tmp_path / "exp"), resume=resume)
    (tmp_path / "script.py").write_text(text)
    return [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "gate")]


def test_ctrl_c_keeps_the_result_and_the_study(tmp_path: Path) -> None:
    journal = tmp_path / "exp" / "journal.jsonl"
    process = subprocess.Popen(
        script(tmp_path, False), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and '"rows"' in journal.read_text()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert out.split() == ["Interrupted", "1", "0"]
    (tmp_path / "gate").touch()
    done = subprocess.run(script(tmp_path, True), capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["over", "2"], done.stderr


def test_a_report_without_the_reward_ends_the_study(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp", reward_attr="f1")
    with pytest.raises(ParameterError) as caught:
        scheduler.run()
    assert caught.value.field == "reward_attr"


# SchedulerState


def test_a_state_goes_on_in_another_object(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    filled: dict[str, object] = {}
    state = scheduler.state_dict(filled)
    assert filled == state
    text = json.dumps(state, allow_nan=False)
    other = hyperband(tmp_path / "other")
    other.load_state_dict(json.loads(text))
    assert other.state_dict() == state
    assert other.get_best_config() == scheduler.get_best_config()
    assert other.get_training_curves().equals(scheduler.get_training_curves())
    before = other.result
    assert other.run() is before  # it was over
    assert not (tmp_path / "other").exists()
    with pytest.raises(HbsimError, match="new scheduler"):
        other.load_state_dict(state)


def test_a_queue_is_part_of_the_state(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp", num_trials=1)
    scheduler.add_job({"lr": 0.25, "kind": "b"})
    file = scheduler.save(tmp_path / "state.json")
    other = hyperband(tmp_path / "exp", num_trials=1)
    other.load_state_dict(json.loads(file.read_text()))
    assert other.state_dict() == scheduler.state_dict()
    other.run()
    assert other.get_best_config()["kind"] == "b"


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("max_t", {"max_t": 8}),
        ("seed", {"seed": 1}),
        ("reward_attr", {"reward_attr": "f1"}),
        ("args", {"args": {"epochs": 3}}),
        ("type", {"type": "promotion"}),
        ("executor", {"executor": "sim", "surrogate": "ideal"}),
    ],
)
def test_a_state_of_other_options_is_refused(field: str, options: dict[str, Any], tmp_path: Path) -> None:
    state = hyperband(tmp_path / "exp").state_dict()
    other = hyperband(tmp_path / "exp", **options)
    with pytest.raises(ParameterError) as caught:
        other.load_state_dict(state)
    assert caught.value.field in (field, "straight_on", "keep_size_ratios")


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    state = scheduler.state_dict()
    before = scheduler.state_dict()
    bad: list[Any] = [
        None,
        {},
        {"schema": 2},
        {**state, "scheduler": {}},
        {**state, "queue": [[0.5]]},
        {**state, "queue": 3},
        {name: value for name, value in state.items() if name != "options"},
    ]
    for each in bad:
        with pytest.raises(ParameterError):
            scheduler.load_state_dict(each)
        assert scheduler.state_dict() == before


def test_a_state_without_its_study_is_refused(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    state = scheduler.state_dict()
    (tmp_path / "exp").rename(tmp_path / "moved")
    with pytest.raises(ParameterError, match="holds no study"):
        hyperband(tmp_path / "exp").load_state_dict(state)
    found = hyperband(tmp_path / "moved")
    found.load_state_dict(state)
    assert found.folder == tmp_path / "moved"


def test_saved_beside_the_study(tmp_path: Path) -> None:
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    assert scheduler.save() == tmp_path / "exp" / "scheduler.json"
    assert json.loads(scheduler.save().read_text()) == scheduler.state_dict()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        scheduler.save(tmp_path / "file" / "state.json")


# Pictures


def test_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    for name in ("curves.png", "curves.svg", "curves.pdf"):
        scheduler.get_training_curves(tmp_path / "new" / name, use_legend=False)
        assert (tmp_path / "new" / name).stat().st_size > 1000
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("hbsim.autotorch.curves._has_display", lambda: False)
    scheduler.get_training_curves(plot=True)
    assert str(tmp_path / "exp" / "curves.png") in capsys.readouterr().err
    with pytest.raises(ParameterError) as caught:
        scheduler.get_training_curves(tmp_path / "curves.xyz")
    assert caught.value.field == "filename"


def test_pictures_are_shown_where_there_is_a_display(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    shown: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) or True)
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    scheduler.get_training_curves(plot=True)
    scheduler.get_training_curves(tmp_path / "mine.png", plot=True)
    assert shown == [(tmp_path / "exp" / "curves.png").as_uri(), (tmp_path / "mine.png").as_uri()]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", [SimpleNamespace(kernel=None), SimpleNamespace(), None])
def test_pictures_are_shown_in_a_notebook_and_only_there(
    tmp_path: Path, monkeypatch: Any, shell: object
) -> None:
    shown: list[object] = []
    display = SimpleNamespace(display=shown.append)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    scheduler = hyperband(tmp_path / "exp")
    scheduler.run()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    scheduler.get_training_curves(plot=True)
    is_notebook = hasattr(shell, "kernel")
    assert [hasattr(one, "to_dict") for one in shown] == [True] * is_notebook
    assert (tmp_path / "exp" / "curves.png").exists() != is_notebook
