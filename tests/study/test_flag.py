"""One study, for real and simulated: `hbsim.run` with another `executor`, and nothing else."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.study.interrupts import Interrupted
from hbsim.study.result import RunResult
from hbsim.study.simulated_run import SimulatedResult
from tests.study import training
from tests.study.training import from_zero

pytestmark = pytest.mark.filterwarnings("ignore:.*the clock of row")  # on a slow machine
OPTIONS: dict[str, Any] = {"seed": 3, "resource": {"num_cpus": 1}, "progress": "none"}


def promotion(**options: Any) -> Any:
    return hbsim.make_scheduler("promotion", **{"max_t": 9, "num_trials": 12, "seed": 3, **options})


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("real") / "exp"
    result = hbsim.run(from_zero, promotion(), folder=folder, executor="local", **OPTIONS)
    assert isinstance(result, RunResult)
    return result


def simulated(scheduler: Any = None, train: Any = from_zero, **options: Any) -> SimulatedResult:
    given = {**OPTIONS, **options}
    result = hbsim.run(train, promotion() if scheduler is None else scheduler, executor="sim", **given)
    assert isinstance(result, SimulatedResult)
    return result


def attributes(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


REAL_RESULTS_ONLY = {"changed", "export", "write", "hosts", "capacity", "page"}  # about the folder


@pytest.mark.filterwarnings("ignore:.*ended early")
def test_the_same_call_with_another_executor(real: RunResult) -> None:
    before = {path: path.stat().st_mtime_ns for path in real.folder.rglob("*")}
    result = simulated(folder=real.folder)
    assert result.workers == real.workers
    assert result.scheduler.options == real.scheduler.options
    assert {**result.spec.as_dict(), "study": ""} == {**real.spec.as_dict(), "study": ""}
    assert attributes(RunResult) - attributes(SimulatedResult) == REAL_RESULTS_ONLY
    for table in ("jobs", "trials", "decisions", "reports", "configurations"):
        ours, theirs = getattr(result, table).schema, getattr(real, table).schema
        shared = {name: kind for name, kind in theirs.items() if name not in ("reached", "metrics")}
        assert {name: ours.get(name) for name in shared} == shared, table
    assert result.reports.select(value=hbsim_field("accuracy"))["value"].equals(result.reports["value"])
    assert set(real.failures.columns) <= set(result.failures.columns)
    assert result.plot().to_dict()["layer"]
    assert result.incumbent().schema == real.incumbent().schema
    assert set(real.summary()) <= set(result.summary())
    assert result.why == real.why == "done"
    assert result.best is not None
    assert result.best.config == result.best_config
    assert result.best.value == result.summary()["best"]
    assert (result.best.trial, result.best.checkpoint) == (result.summary()["best_trial"], None)
    with pytest.raises(OutputError, match="the study was simulated: no model was trained"):
        result.best.load()
    assert result.folder is None
    assert {path: path.stat().st_mtime_ns for path in real.folder.rglob("*")} == before


def hbsim_field(name: str) -> Any:
    import polars as pl

    return pl.col("metrics").struct.field(name)


@pytest.mark.filterwarnings("ignore:.*ended early")
def test_a_study_is_simulated_on_its_own_curves(real: RunResult) -> None:
    """Configurations are those that were tried, each with the values that it had."""
    result = simulated(folder=real.folder)
    tried = {tuple(row) for row in real.configurations.drop("trial").rows()}
    assert {tuple(row) for row in result.configurations.drop("trial").rows()} == tried
    recorded = {
        (tuple(real.configuration(trial).values()), resource): value
        for trial, resource, value in real.reports.select("trial", "resource", "value").rows()
    }
    seen = result.reports.filter(resource=1).select("trial", "resource", "value").rows()
    assert len(seen) == 12
    for trial, resource, value in seen:
        assert value == pytest.approx(recorded[tuple(result.configuration(trial).values()), resource])
    assert result.best_config == result.configuration(int(result.incumbent()["trial"][-1]))


def test_other_sources_of_curves(real: RunResult, tmp_path: Path) -> None:
    file = tmp_path / "curves.parquet"
    real.export(file)
    by_file = simulated(folder=tmp_path / "no", surrogate=file, surrogate_options={"censored": "final"})
    by_folder = simulated(
        folder=tmp_path / "no", surrogate=str(real.folder), surrogate_options={"censored": "final"}
    )
    assert by_file.jobs.equals(by_folder.jobs)
    assert by_file.configurations.equals(by_folder.configurations)
    with pytest.warns(HbsimWarning, match="of 12 trials in .*exp ended early: their last values stay"):
        simulated(folder=tmp_path / "no", surrogate=real.folder)
    with pytest.raises(ParameterError, match="replace=True"):
        simulated(promotion(num_trials=13), surrogate=file, surrogate_options={"censored": "final"})
    again = simulated(
        promotion(num_trials=30), surrogate=file, surrogate_options={"censored": "final"}, replace=True
    )
    assert again.scheduler.started == 30


def test_curves_by_a_formula_have_the_configurations_of_the_function(tmp_path: Path) -> None:
    """The curves are those of `hbsim.simulate`, trial by trial; the configurations those of `hbsim.run`."""
    result = simulated(folder=tmp_path / "no", surrogate="synthetic", workers=3, resource=None)
    plain = hbsim.simulate(promotion(), "synthetic:max_resource=9", workers=3, seed=3)
    assert result.jobs.equals(plain.jobs)
    assert result.decisions.equals(plain.decisions)
    assert result.configurations.columns == ["trial", "lr", "wd"]
    assert plain.configurations.columns == ["trial", "learning_rate", "weight_decay", "width_multiplier"]
    space = result.spec.space
    points = result.curves.configurations()[:12, : space.dimension]
    from hbsim.searchers import SearchTask, make_searcher

    assert (points == make_searcher("random", SearchTask(space, 3)).suggest(12)).all()
    assert result.configuration(4) == space.mapping(points[4])
    assert result.summary()["regret"] == plain.summary()["regret"]


def test_curves_by_a_formula_take_the_metric_the_mode_and_the_searcher_of_the_study(tmp_path: Path) -> None:
    options = {"folder": tmp_path / "no", "surrogate": "synthetic:noise=0", "searcher": "grid"}
    result = simulated(
        promotion(mode="min", max_t=27, num_trials=None),
        metric="loss",
        search_options={"points": 3},
        **options,
    )
    assert result.curves.surrogate.mode == "min"
    assert result.curves.surrogate.max_resource == 27
    assert result.summary()["metric"] == "loss"
    assert "loss" in result.reports.schema["metrics"].to_schema()
    assert len(result.trials) == 9
    assert result.configurations["lr"].n_unique() == 3


def test_fifo_until_the_function_returns_ends_where_curves_end(tmp_path: Path) -> None:
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=4)
    result = simulated(scheduler, folder=tmp_path / "no", surrogate="ideal", until_return=True, metric=None)
    assert set(result.trials["resource"]) == {81.0}
    assert result.trials["status"].to_list() == ["completed"] * 4


def test_options_without_a_meaning_are_named_and_change_nothing(tmp_path: Path) -> None:
    given = {"folder": tmp_path / "no", "surrogate": "synthetic"}
    plain = simulated(**given)
    assert not (tmp_path / "no").exists()
    ignored = {
        "resume": True,
        "args": {"epochs": 9},
        "hang_timeout": 5,
        "grace": 1,
        "keep": "all",
        "fsync": "never",
        "start": "spawn",
    }
    with pytest.warns(HbsimWarning) as caught:
        result = simulated(**given, **ignored)
    assert [str(one.message) for one in caught] == [f"executor='sim' ignores {', '.join(ignored)}"]
    assert caught[0].filename == __file__
    assert result.jobs.equals(plain.jobs)
    with pytest.warns(HbsimWarning, match=r"executor='sim' ignores resource$"):
        assert simulated(**given, workers=5).workers == 5
    with (
        pytest.warns(HbsimWarning, match="ignores args"),
        pytest.raises(ParameterError, match="is no argument of the function"),
    ):
        simulated(**given, args={"nothing": 1})


def test_a_real_study_ignores_what_is_for_simulations(tmp_path: Path) -> None:
    given = {"surrogate": "digits", "cluster": hbsim.Cluster(), "replace": True}
    with pytest.warns(HbsimWarning, match="a real study ignores surrogate, cluster, replace"):
        hbsim.run(from_zero, promotion(num_trials=1), folder=tmp_path / "exp", **OPTIONS, **given)


def test_workers_are_those_of_the_real_study(tmp_path: Path, real: RunResult) -> None:
    given = {"folder": tmp_path / "no", "surrogate": "synthetic"}
    assert simulated(**given).workers == real.workers
    machines = hbsim.Cluster(schedule=[(0, 4), (9, 7)])
    assert simulated(**given, cluster=machines).workers == 7
    assert simulated(**given, cluster=hbsim.Cluster(startup=3)).workers == real.workers
    assert simulated(**given, cluster=hbsim.Cluster(workers=6)).workers == 6
    with pytest.raises(ParameterError, match=r"GPU.*with workers=N"):
        simulated(**{**given, "resource": {"num_gpus": 999}})


@pytest.mark.filterwarnings("ignore:.*ended early")
def test_why_a_simulated_study_ended(tmp_path: Path) -> None:
    given = {"folder": tmp_path / "no", "surrogate": "synthetic"}
    assert simulated(**given, max_time=4).why == "max_time"
    assert simulated(**given, max_reward=0.2).why == "max_reward"
    gone = {"cluster": hbsim.Cluster(schedule=[(0, 2), (5, 0)])}
    with pytest.warns(HbsimWarning, match="no worker is left"):
        assert simulated(**given, **gone).why is None


def test_an_interrupted_simulation_has_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: Any, **options: Any) -> Any:
        result = hbsim.simulate(*given, **options)
        result.interrupted = True
        raise Interrupted("interrupted", result)

    monkeypatch.setattr("hbsim.study.simulated_run.simulate", interrupted)
    with pytest.raises(Interrupted) as caught:
        simulated(folder=tmp_path / "no", surrogate="synthetic")
    assert isinstance(caught.value.result, SimulatedResult)
    assert caught.value.result.why == "interrupted"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            {},
            r"no learning curves of training.py:from_zero, .*no holds no study: record some \(hbsim record\)",
        ),
        ({"surrogate": "digits"}, "digits has batch_size, .*, and training.py:from_zero has lr, wd"),
        ({"surrogate": "syntetic"}, "Did you mean 'synthetic'"),
        ({"surrogate": "synthetic", "surrogate_options": {"censord": 1}}, "censord=1: is no option"),
        ({"surrogate": "synthetic", "cluster": "aws-spot"}, "must be an hbsim.Cluster"),
        ({"surrogate": "synthetic:mode=min"}, "mode='max': the surrogate synthetic"),
    ],
)
def test_wrong_requests(tmp_path: Path, given: dict[str, Any], rule: str) -> None:
    with pytest.raises(ParameterError, match=rule):
        simulated(folder=tmp_path / "no", **given)


def test_curves_of_another_function_or_metric(real: RunResult, tmp_path: Path) -> None:
    rule = "exp holds a study of training.py:from_zero: record some"
    with pytest.raises(ParameterError, match=rule):
        simulated(folder=real.folder, train=training.with_a_rank)
    with pytest.raises(ParameterError, match=r"has lr, wd, and training.py:with_a_rank has lr"):
        simulated(folder=tmp_path, train=training.with_a_rank, surrogate=real.folder)
    with pytest.raises(ParameterError, match="loss"):
        simulated(folder=real.folder, metric="loss")
