"""The same classes over simulated trials: one flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hbsim
from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler
from hbsim.errors import HbsimError, ParameterError
from hbsim.searchers import FirstPoints
from hbsim.simulation import Cluster, Result
from hbsim.study.workers import count_workers

from .functions import climb


def simulated(folder: Path, surrogate: str = "ideal", **options: Any) -> HyperbandScheduler:
    given = {"num_trials": 30, "max_t": 27, "grace_period": 1, "reduction_factor": 3, "workers": 4, **options}
    return HyperbandScheduler(
        climb, executor="sim", surrogate=surrogate, checkpoint=folder, max_reward=None, **given
    )


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_it_is_hbsim_simulate(type: str, tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp", "synthetic", type=type, seed=3, brackets=2)
    scheduler.join_jobs()
    core = hbsim.make_scheduler(
        type, max_t=27, grace_period=1, reduction_factor=3, brackets=2, num_trials=30, seed=3
    )
    expected = hbsim.simulate(core, "synthetic", workers=4, seed=3)
    assert isinstance(scheduler.result, Result)
    assert scheduler.result.jobs.equals(expected.jobs)
    assert scheduler.result.decisions.equals(expected.decisions)
    assert scheduler.get_best_reward() == expected.summary()["best"]
    assert not (tmp_path / "exp").exists()


def test_results(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp")
    result = scheduler.run()
    assert scheduler.run() is result
    assert scheduler.get_best_config() == {"quality": pytest.approx(scheduler.get_best_reward())}
    reports = scheduler.get_training_curves(tmp_path / "new" / "curves.png")
    assert (tmp_path / "new" / "curves.png").stat().st_size > 1000
    assert reports.columns == ["trial", "resource", "value"]
    reached = reports.filter(reports["trial"] == scheduler.get_best_task_id())["resource"].max()
    assert reached == 27


def test_the_picture_of_a_simulated_study_leaves_that_of_the_real_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "curves.png").write_text("real")
    monkeypatch.setattr("hbsim.autotorch.curves._has_display", lambda: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scheduler = simulated(tmp_path / "exp")
    scheduler.run()
    scheduler.get_training_curves(plot=True)
    assert (tmp_path / "exp" / "curves.png").read_text() == "real"
    (drawn,) = tmp_path.glob("hbsim-*/curves.png")
    assert capsys.readouterr().err.endswith(f"the training curves are in {drawn}\n")


def test_fifo_trains_to_the_end_of_the_curves() -> None:
    scheduler = FIFOScheduler(
        climb, num_trials=5, executor="sim", surrogate="ideal", cluster=Cluster(workers=2), checkpoint=None
    )
    trials = scheduler.run().trials
    assert trials["status"].to_list() == ["completed"] * 5
    assert set(trials["resource"]) == {81.0}


def test_workers_are_as_many_as_fit_on_this_machine(tmp_path: Path) -> None:
    result = simulated(tmp_path / "exp", workers=None, resource={"num_cpus": 1}).run()
    assert result.workers == count_workers(None, {"num_cpus": 1})
    assert simulated(tmp_path / "exp", workers=None, cluster=Cluster(workers=6)).run().workers == 6


def test_hosts_are_simulated_as_machines_like_this(tmp_path: Path) -> None:
    options: dict[str, Any] = {"workers": None, "resource": {"num_cpus": 1}}
    here = count_workers(None, {"num_cpus": 1})
    scheduler = simulated(tmp_path / "exp", dist_ip_addrs=["a", "b"], **options)
    assert scheduler.run().workers == 2 * here
    scheduler = simulated(tmp_path / "exp", **options)
    scheduler.add_remote(["a", "b", "c"])
    assert (scheduler.run().workers, scheduler.executor) == (3 * here, "sim")


def test_a_simulation_goes_on_in_steps(tmp_path: Path) -> None:
    """A study of more trials goes on from where it stood; a time is that of the call."""
    scheduler = simulated(tmp_path / "exp", num_trials=None)
    first = scheduler.run(num_trials=10)
    scheduler.add_job({"quality": 0.999})
    scheduler.schedule_next()
    scheduler.join_jobs()
    again = scheduler.result
    count = len(first.jobs)
    assert again.jobs.head(count).drop("verdict").equals(first.jobs.drop("verdict"))
    assert again.configuration(10) == {"quality": pytest.approx(0.999)}
    assert scheduler.num_finished_tasks == 12
    plain = simulated(tmp_path / "exp", num_trials=11).run()
    assert again.configuration(11) == plain.configuration(10)
    timed = simulated(tmp_path / "exp", num_trials=40)
    assert timed.run(time_out=5).end_time == 5
    timed.join_jobs()
    assert timed.result.end_time == 5
    assert timed.run(time_out=7).end_time == 12
    assert timed.run(time_out=1e6).why == "done"
    unlimited = simulated(tmp_path / "exp", num_trials=None, time_out=5)
    unlimited.run()
    unlimited.schedule_next()
    with pytest.raises(ParameterError, match="any number of trials"):
        unlimited.join_jobs()


def test_without_a_surrogate_curves_are_by_a_formula(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    scheduler = HyperbandScheduler(
        climb, executor="sim", num_trials=5, checkpoint=tmp_path / "exp", workers=2
    )
    assert "curves by a formula, at random, stand for those of functions.py:climb" in capsys.readouterr().err
    scheduler.join_jobs()
    assert set(scheduler.get_best_config()) == {"lr", "kind"}
    assert not (tmp_path / "exp").exists()
    real = FIFOScheduler(
        climb, num_trials=3, checkpoint=tmp_path / "exp", resource={"num_cpus": 1}, progress="none"
    )
    real.run()
    options: dict[str, Any] = {"surrogate": str(tmp_path / "exp"), "max_reward": None, "checkpoint": None}
    recorded = FIFOScheduler(climb, num_trials=3, executor="sim", **options)
    assert set(recorded.run().trials["final"]) == set(real.result.trials["final"])
    assert recorded.get_best_config() == real.get_best_config()


def test_a_table_has_rows_with_names_and_none_to_queue(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp", "digits", mode="min")
    scheduler.run()
    config = scheduler.get_best_config()
    assert config
    assert all(isinstance(name, str) for name in config)
    with pytest.raises(ParameterError, match="rows"):
        simulated(tmp_path / "exp", "digits", mode="min").add_job(config)


def test_time_out_is_in_simulated_seconds(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp", num_trials=None, time_out=50, retries=1)
    result = scheduler.run()
    assert result.end_time == 50


def test_queued_configurations_come_first(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp")
    scheduler.add_job({"quality": 0.999999})
    scheduler.run()
    assert scheduler.get_best_task_id() == 0
    assert scheduler.get_best_reward() == pytest.approx(0.999999)


def test_a_state_round_trip(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path / "exp")
    scheduler.add_job({"quality": 0.5})
    scheduler.run()
    state = json.loads(json.dumps(scheduler.state_dict(), allow_nan=False))
    other = simulated(tmp_path / "other")
    other.load_state_dict(state)
    assert {**other.state_dict(), "folder": ""} == {**scheduler.state_dict(), "folder": ""}
    assert other.run().jobs.equals(scheduler.result.jobs)
    assert other.get_best_config() == scheduler.get_best_config()


def test_saving_needs_no_run(tmp_path: Path) -> None:
    file = simulated(tmp_path / "exp").save()
    assert json.loads(file.read_text())["trials"]["started"] == 0


class Listener:
    """A model-based searcher that writes down what it is told."""

    model_based = True
    listens = True

    def __init__(self) -> None:
        self.told: list[tuple[str, int, float]] = []
        self.known = 0

    def suggest(self, n: int) -> NDArray[np.float64]:
        return np.full((n, 1), 0.5)

    def resume(self, configurations: NDArray[Any]) -> None:
        self.known = len(configurations)

    def register_pending(self, trial: int, level: float) -> None:
        self.told.append(("start", trial, level))

    def observe(self, trial: int, level: float, value: float | None) -> None:
        self.told.append(("report", trial, level))

    def forget(self, trial: int) -> None:
        self.told.append(("end", trial, 0.0))


def test_maxt_pending_registers_new_trials_at_max_t(tmp_path: Path) -> None:
    plain, pending = Listener(), Listener()
    simulated(tmp_path, searcher=plain, num_trials=3, workers=1).run()
    simulated(tmp_path, searcher=pending, num_trials=3, workers=1, maxt_pending=True).run()
    more = [("start", trial, 27.0) for trial in range(3)]
    at = [pending.told.index(each) for each in more]
    assert all(pending.told[place - 1] == ("start", trial, 1.0) for trial, place in enumerate(at))
    rest = [each for place, each in enumerate(pending.told) if place not in at]
    assert rest == [each for each in plain.told if each not in more]  # pending there already, once


def test_a_searcher_object_runs_once(tmp_path: Path) -> None:
    scheduler = simulated(tmp_path, searcher=Listener(), num_trials=3)
    scheduler.run()
    assert scheduler.run() is scheduler.result
    scheduler._running.over = False
    with pytest.raises(HbsimError, match="new searcher"):
        scheduler.run()


@pytest.mark.parametrize("taken", range(6))
def test_a_queue_goes_on_after_what_it_handed_out(taken: int) -> None:
    points = [[0.1], [0.2], [0.3]]
    whole = FirstPoints(hbsim_searcher(), np.array(points))
    expected = whole.suggest(8)
    assert expected[:3].tolist() == points
    resumed = FirstPoints(hbsim_searcher(), np.array(points))
    resumed.resume(expected[:taken])
    rest = np.concatenate([resumed.suggest(1) for _ in range(8 - taken)])
    assert rest.tolist() == expected[taken:].tolist()


def hbsim_searcher() -> Any:
    from hbsim.searchers import SearchTask, make_searcher

    return make_searcher("random", SearchTask(hbsim.Space({"x": hbsim.Real(0.0, 1.0)}), 0))
