"""Everything is checked when an object is made, and nothing starts."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import pytest

from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler
from hbsim.errors import HbsimError, HbsimWarning, ParameterError
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.executors.training_function import DefinitionsOnly, execute, file_spec
from hbsim.simulation import Cluster
from hbsim.study.workers import check_executor

from .functions import climb, undecorated

SEEDS = [
    ("args", None),
    ("resource", None),
    ("searcher", None),
    ("search_options", None),
    ("checkpoint", "./exp/"),
    ("resume", False),
    ("num_trials", None),
    ("time_out", None),
    ("max_reward", 1.0),
    ("time_attr", "epoch"),
    ("reward_attr", "accuracy"),
    ("max_t", 100),
    ("grace_period", 10),
    ("reduction_factor", 4),
    ("brackets", 1),
    ("visualizer", "none"),
    ("type", "stopping"),
    ("dist_ip_addrs", None),
    ("keep_size_ratios", False),
    ("maxt_pending", False),
]
RUNGS = ("max_t", "grace_period", "reduction_factor", "brackets", "type", "keep_size_ratios", "maxt_pending")
OURS = [
    ("mode", "max"),
    ("seed", 0),
    ("workers", None),
    ("retries", 0),
    ("loss_retries", None),
    ("hang_timeout", None),
    ("keep", "best"),
    ("surrogate", None),
    ("cluster", None),
    ("progress", "auto"),
    ("start", None),
]
METHODS = [
    *("run", "join_jobs", "add_job", "get_best_config", "get_best_reward", "get_best_task_id"),
    *("get_training_curves", "state_dict", "load_state_dict", "save"),
]


def parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls).parameters.values())


@pytest.mark.parametrize(
    ("cls", "seeds"),
    [(HyperbandScheduler, SEEDS), (FIFOScheduler, [pair for pair in SEEDS if pair[0] not in RUNGS])],
)
def test_the_seeds_names_defaults_and_order(cls: type, seeds: list[tuple[str, object]]) -> None:
    found = parameters(cls)
    assert found[0].name == "train_fn"
    assert found[0].default is inspect.Parameter.empty
    assert [(p.name, p.default) for p in found[1:]] == [*seeds, ("executor", "local"), *OURS]
    by_place = [p.name for p in found if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert by_place == ["train_fn", *(name for name, _ in seeds), "executor"]
    assert {p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY} == {n for n, _ in OURS}


def test_methods_of_the_seed() -> None:
    for name in METHODS:
        assert callable(getattr(HyperbandScheduler, name))
    assert issubclass(HyperbandScheduler, FIFOScheduler)
    curves = inspect.signature(HyperbandScheduler.get_training_curves).parameters
    assert [(p.name, p.default) for p in curves.values()][1:] == [
        ("filename", None),
        ("plot", False),
        ("use_legend", True),
    ]


class Half:
    model_based = False


SIM = {"executor": "sim", "surrogate": "ideal", "max_t": 81}

BAD: list[tuple[str, dict[str, Any]]] = [
    ("train_fn", {"train_fn": 3}),
    ("train_fn", {"train_fn": undecorated}),
    ("train_fn", {"train_fn": "nowhere.py:train_fn"}),
    ("args", {"args": 7}),
    ("args", {"args": {"epochs": object()}}),
    ("args", {"args": {"epochs": float("nan")}}),
    ("args", {"args": {1: 2}}),
    ("lr", {"args": {"lr": 0.1}}),
    ("epoch", {"args": {"epoch": 3}}),
    ("resource", {"resource": {"num_cpu": 1}}),
    ("resource", {"resource": {"num_cpus": 100_000}}),
    ("resource", {"resource": 2}),
    ("searcher", {"searcher": "randm"}),
    ("searcher", {"searcher": Half()}),
    ("searcher", {"searcher": Half}),
    ("search_options", {"search_options": {"seed": 3}}),
    ("search_options", {"search_options": 3}),
    ("checkpoint", {"checkpoint": 3}),
    ("checkpoint", {"checkpoint": ""}),
    ("resume", {"resume": 1}),
    ("num_trials", {"num_trials": 0}),
    ("time_out", {"time_out": 0}),
    ("time_out", {"time_out": "soon"}),
    ("max_reward", {"max_reward": "good"}),
    ("max_reward", {"max_reward": float("nan")}),
    ("time_attr", {"time_attr": ""}),
    ("reward_attr", {"reward_attr": None}),
    ("reward_attr", {"reward_attr": "epoch"}),
    ("max_t", {"max_t": -1}),
    ("max_t", {"max_t": None}),
    ("grace_period", {"grace_period": 101}),
    ("reduction_factor", {"reduction_factor": 1}),
    ("brackets", {"brackets": 0}),
    ("visualizer", {"visualizer": "mxboard"}),
    ("type", {"type": "asha"}),
    ("type", {"type": "sha"}),
    ("type", {"type": "fifo"}),
    ("type", {"type": "pasha"}),
    ("type", {"type": "median"}),
    ("type", {"type": ["stopping"]}),
    ("dist_ip_addrs", {"dist_ip_addrs": "10.0.0.1"}),
    ("dist_ip_addrs", {"dist_ip_addrs": 3}),
    ("dist_ip_addrs", {"dist_ip_addrs": [10]}),
    ("dist_ip_addrs", {"dist_ip_addrs": ["me @10.0.0.1"]}),
    ("dist_ip_addrs", {"dist_ip_addrs": ["10.0.0.1"], "executor": Dask()}),
    ("workers", {"dist_ip_addrs": ["10.0.0.1"], "workers": 0}),
    ("resource", {"executor": "dask", "resource": {"num_cpus": 0}}),
    ("keep_size_ratios", {"keep_size_ratios": True}),
    ("keep_size_ratios", {"keep_size_ratios": 1, "type": "promotion"}),
    ("maxt_pending", {"maxt_pending": "yes"}),
    ("executor", {"executor": "dusk"}),
    ("executor", {"executor": None}),
    ("mode", {"mode": "best"}),
    ("seed", {"seed": -1}),
    ("workers", {"workers": 0}),
    ("retries", {"retries": -1}),
    ("hang_timeout", {"hang_timeout": 0}),
    ("keep", {"keep": "some"}),
    ("progress", {"progress": "bar"}),
    ("start", {"start": "forkserver"}),
    ("surrogate", {"executor": "sim", "surrogate": "digit"}),
    ("mode", {"executor": "sim", "surrogate": "digits"}),
    ("max_t", {"executor": "sim", "surrogate": "ideal"}),
    ("num_trials", {**SIM, "surrogate": "digits", "mode": "min", "num_trials": 10**6}),
    ("cluster", {**SIM, "cluster": 3}),
    ("workers", {**SIM, "workers": 2, "cluster": Cluster(workers=3)}),
    ("resource", {**SIM, "resource": {"cpus": 1}}),
    ("num_trial", {"num_trial": 3}),
]  # fmt: skip


def test_a_real_study_ignores_what_is_for_simulations(tmp_path: Path) -> None:
    with pytest.warns(HbsimWarning, match="a real study ignores surrogate, cluster") as caught:
        HyperbandScheduler(climb, num_trials=3, checkpoint=tmp_path, surrogate="digits", cluster=Cluster())
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("field", "given"), BAD)
def test_bad_input_is_one_error_with_the_parameters_name(
    field: str, given: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "exp"
    options: dict[str, Any] = {"train_fn": climb, "num_trials": 3, "checkpoint": folder, **given}
    with pytest.raises(ParameterError) as caught:
        HyperbandScheduler(**options)
    assert field in (caught.value.field, caught.value.field.partition(".")[0])
    assert not folder.exists()


@pytest.mark.parametrize("field", RUNGS)
def test_fifo_takes_no_option_of_rungs(field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        FIFOScheduler(climb, num_trials=3, **{field: 3})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_other_types_are_named_where_they_are() -> None:
    for type in ("hyperband", "pasha", "median"):
        with pytest.raises(ParameterError, match=rf"hbsim\.make_scheduler\('{type}'"):
            HyperbandScheduler(climb, num_trials=3, type=type)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"hbsim\.FIFOScheduler"):
        HyperbandScheduler(climb, num_trials=3, type="fifo")  # type: ignore[arg-type]


@pytest.mark.parametrize("executor", ["local", "sim"])
def test_a_study_needs_an_end_when_it_runs(executor: Any, tmp_path: Path) -> None:
    scheduler = HyperbandScheduler(climb, checkpoint=tmp_path / "exp", executor=executor)
    for run in (scheduler.run, scheduler.join_jobs):
        with pytest.raises(ParameterError, match="needs an end") as caught:
            run()
        assert caught.value.field == "num_trials"
    for field, given in (("num_trials", {"num_trials": 0}), ("time_out", {"time_out": -1})):
        with pytest.raises(ParameterError) as caught:
            scheduler.run(**given)
        assert caught.value.field == field
    assert not (tmp_path / "exp").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError) as caught:
        HyperbandScheduler(climb, num_trials=3, checkpoint=tmp_path)
    assert caught.value.field == "checkpoint"
    with pytest.raises(ParameterError) as caught:
        HyperbandScheduler(climb, num_trials=3, checkpoint=tmp_path / "notes.txt")
    assert caught.value.field == "checkpoint"


def test_nothing_starts_before_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "exp"
    scheduler = HyperbandScheduler(climb, num_trials=3, checkpoint=folder, dist_ip_addrs=[])
    assert not folder.exists()
    for ask in (scheduler.get_best_config, scheduler.get_best_reward, scheduler.get_training_curves):
        with pytest.raises(HbsimError, match="has not run"):
            ask()
    assert repr(scheduler).startswith("<HyperbandScheduler(type='stopping', max_t=100")
    assert "0 trials" in repr(scheduler)


@pytest.mark.parametrize(
    ("given", "remote"),
    [
        ({}, None),
        ({"dist_ip_addrs": []}, None),
        ({"executor": "dask"}, Dask()),
        ({"executor": "dask", "dist_ip_addrs": ()}, Dask()),
        ({"dist_ip_addrs": ["a", "b"]}, Hosts(["a", "b"])),
        ({"executor": "dask", "dist_ip_addrs": ["a"]}, Hosts(["a"])),
        ({"executor": ["me@a:22"]}, Hosts(["me@a:22"])),
        ({"executor": Hosts(["a"], lease=5)}, Hosts(["a"], lease=5)),
        ({"executor": Dask(scheduler_address="tls://a:1"), "dist_ip_addrs": []}, Dask("tls://a:1")),
    ],
)
def test_where_a_study_runs(given: dict[str, Any], remote: Hosts | Dask | None) -> None:
    scheduler = HyperbandScheduler(
        climb, num_trials=3, checkpoint=None, resource={"num_cpus": 1000} if remote else None, **given
    )
    assert scheduler.executor == ("local" if remote is None else type(remote).__name__.lower())
    assert check_executor(scheduler._setting.run.executor) == remote


def test_constants_may_be_a_namespace() -> None:
    FIFOScheduler(climb, argparse.Namespace(epochs=2), num_trials=1, checkpoint=None)


def test_brackets_beyond_what_fits_are_said_once() -> None:
    with pytest.warns(HbsimWarning, match="clipped to 2") as caught:
        HyperbandScheduler(climb, num_trials=1, brackets=9, checkpoint=None)
    assert len(caught) == 1


def test_maxt_pending_without_a_model_is_said_to_have_no_effect() -> None:
    with pytest.warns(HbsimWarning, match="not model-based"):
        HyperbandScheduler(climb, num_trials=1, maxt_pending=True, checkpoint=None)


def test_the_best_accuracy_is_no_end_for_a_loss() -> None:
    loss = HyperbandScheduler(climb, num_trials=1, mode="min", checkpoint=None)
    assert loss._setting.run.max_reward is None
    loss = HyperbandScheduler(climb, num_trials=1, mode="min", max_reward=1.0, checkpoint=None)
    assert loss._setting.run.max_reward == 1.0
    assert HyperbandScheduler(climb, num_trials=1, checkpoint=None)._setting.run.max_reward == 1.0


def test_a_file_is_executed_as_far_as_the_first_object(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(
        "from hbsim.autotorch.schedulers import FIFOScheduler\nbefore = 1\nFIFOScheduler(3)\nafter = 1\n"
    )
    definitions = execute(file_spec(file), "script")
    assert definitions.stopped
    assert hasattr(definitions.module, "before")
    assert not hasattr(definitions.module, "after")
    assert not issubclass(DefinitionsOnly, Exception)
