"""`hbsim.run` on other machines, which a stand-in plays: what is kept, and how it goes on."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.errors import ExecutorError, HbsimWarning, ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.local import trial_folder
from hbsim.executors.remote.store import CheckpointStore, newest
from hbsim.study.folder import RemoteRuns, StudyFolder
from hbsim.study.run import run
from tests.doubles.checkpoints import describe_newest, load_newest
from tests.doubles.fake_remote import FakeRemote, standing_in
from tests.doubles.journal_lines import read_journal
from tests.doubles.trial import of_job

from .training import from_zero, steady, train_fn

Cluster = type[FakeRemote]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    monkeypatch.chdir(tmp_path)
    with standing_in(monkeypatch, tmp_path / "away") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exp"


def study(folder: Path, executor: Any = "dask", **options: Any) -> Any:
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=9, seed=2)
    return run(steady, scheduler, folder=folder, executor=executor, **{"progress": "none", **options})


def kinds(folder: Path) -> list[str]:
    return [record["e"] for record in read_journal(folder / "journal.jsonl")]


def have_checkpoints(trials: Path, count: int = 9) -> set[int]:
    found = (trial_folder(trials, trial) / checkpoint.NAME for trial in range(count))
    return {trial for trial, path in enumerate(found) if describe_newest(path) is not None}


def note_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "remote.json").read_text())
    return content


def environments(folder: Path) -> list[str]:
    runs = json.loads((folder / "environment.json").read_text())["runs"]
    return [one["executor"] for one in runs]


# A study


@pytest.mark.parametrize("keep", ["best", "completed", "all", "none"])
def test_checkpoints_that_are_of_use_are_kept(cluster: Cluster, folder: Path, keep: Any) -> None:
    options = hbsim.Hosts(["a", "b"])
    result = study(folder, options, keep=keep, resource={"num_cpus": 1}, workers=2)
    [made] = cluster.made
    assert (made.options, made.asked, made.start_method) == (options, (2, {"num_cpus": 1}), None)
    assert environments(folder) == ["hosts"]
    assert result.why == "done"
    assert kinds(folder)[1:3] == ["open", "open"]
    assert (result.summary()["trials"], result.workers) == (9, 2)
    completed = {trial for trial in range(9) if result.scheduler.status(trial) == "completed"}
    best = result.incumbent()["trial"][-1]
    assert completed
    stays = {"best": {best}, "completed": completed | {best}, "all": set(range(9)), "none": set()}[keep]
    assert set(made.gathered or ()) == stays
    assert have_checkpoints(folder / "trials") == stays
    assert have_checkpoints(cluster.away) == stays
    assert set(made.pruned) == set(range(9)) - stays


def test_what_is_written_down_of_it(cluster: Cluster, folder: Path) -> None:
    study(folder)
    note = note_of(folder)
    assert note == {"schema": 1, "study": cluster.made[0].study, "storage": "auto", "gathered": True}
    assert len(bytes.fromhex(note["study"])) == 8
    assert environments(folder) == ["dask"]
    assert cluster.made[0].options == hbsim.Dask()
    study(folder.with_name("other"))
    assert note_of(folder.with_name("other"))["study"] != note["study"]


def test_local_studies_know_nothing_of_it(cluster: Cluster, folder: Path) -> None:
    study(folder, "local")
    assert not cluster.made
    assert not (folder / "remote.json").exists()
    assert environments(folder) == ["local"]


# Going on


def interrupted_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt studies when so many jobs have started."""
    from hbsim.runner.real import RealExecutor

    begin = RealExecutor.start

    def start(self: RealExecutor, worker: int, job: Any) -> None:
        begin(self, worker, job)
        if self.journal_state.jobs.started == count:
            self.interrupt()

    monkeypatch.setattr(RealExecutor, "start", start)


@pytest.mark.parametrize("executors", [("dask", "local"), ("local", "dask"), ("dask", "dask")])
def test_it_goes_on_wherever_trials_run(
    executors: tuple[str, str], cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupted_after(6, patch)
        with pytest.raises(KeyboardInterrupt) as caught:
            study(folder, executors[0])
    assert caught.value.result.why == "interrupted"
    if executors[0] == "dask":
        statuses = enumerate(caught.value.result.scheduler.trial_statuses())
        can_go_on = {trial for trial, status in statuses if status in ("paused", "running")}
        assert can_go_on
        assert can_go_on <= set(cluster.made[0].gathered or ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = study(folder, executors[1], resume=True)
    assert result.why == "done"
    assert environments(folder) == list(executors)
    assert len({made.study for made in cluster.made}) == 1
    trained = Path("trained.txt").read_text().splitlines()
    assert len(set(trained)) == len(trained)  # nothing was trained twice


def test_hosts_that_are_lost_end_it_as_a_crash_does(cluster: Cluster, folder: Path) -> None:
    cluster.lose = 8
    with pytest.raises(ExecutorError, match="the way to a, b: cannot be reached") as caught:
        study(folder)
    assert caught.value.executor == "the way to a, b"
    assert copy.copy(caught.value).problem == "cannot be reached any more"  # as between processes
    assert "close" not in kinds(folder)
    assert hbsim.load(folder).why is None
    assert note_of(folder)["gathered"] is False
    assert cluster.made[0].gathered is None
    cluster.lose = None
    assert study(folder, resume=True).why == "done"
    assert cluster.made[1].study == cluster.made[0].study


def test_checkpoints_that_only_hosts_have_are_said_to_be(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    cluster.lose = 8
    with pytest.raises(ExecutorError):
        study(folder)
    cluster.lose = None
    paused = hbsim.load(folder).trials.filter(status="paused")["trial"].to_list()
    assert len(paused) > 1
    here = trial_folder(folder / "trials", paused[0])
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(trial_folder(tmp_path / "away", paused[0]), here)
    count = f"{len(paused) - 1} of {len(paused)} paused trials have no checkpoint in this folder"
    with pytest.warns(HbsimWarning, match=count):
        result = study(folder, "local", resume=True)
    assert result.why == "done"
    assert note_of(folder)["gathered"] is False  # hosts may hold something all the same


def test_checkpoints_that_never_were_are_nowhere(cluster: Cluster, folder: Path) -> None:
    cluster.lose = 8
    scheduler = [hbsim.make_scheduler("promotion", max_t=9, num_trials=9, seed=2) for _ in range(2)]
    with pytest.raises(ExecutorError):
        run(from_zero, scheduler[0], folder=folder, executor="dask", progress="none")
    assert "reach" in kinds(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(from_zero, scheduler[1], folder=folder, progress="none", resume=True)
    assert result.why == "done"


def test_on_this_machine_it_waits_for_what_a_killed_run_has_left_on_hosts(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.lose = 3
    with pytest.raises(ExecutorError):
        study(folder)
    waited: list[Path] = []
    monkeypatch.setattr("hbsim.study.run.wait_for_earlier_runs", lambda trials, say: waited.append(trials))
    assert study(folder, "local", resume=True).why == "done"
    assert waited == [folder / "trials"]


def test_a_worker_that_is_shut_is_seen(cluster: Cluster, folder: Path, capsys: Any) -> None:
    cluster.shut = 3
    result = study(folder, progress="lines")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "hbsim: starting a cluster"
    assert lines[1].endswith("starts, 2 workers: 1 thread on shared CPU cores each on 2 hosts: a, b, in exp")
    assert result.why == "done"
    assert "shut" in kinds(folder)


@pytest.mark.parametrize(("executor", "loss_retries"), [("dask", None), ("dask", 1), ("local", 0)])
def test_trials_that_were_lost_for_good_are_said_with_what_helps(
    cluster: Cluster, folder: Path, executor: str, loss_retries: int | None
) -> None:
    """A trial that hangs is lost, too."""
    scheduler = hbsim.make_scheduler("fifo", max_t=9, num_trials=2, loss_retries=loss_retries)
    how = {"hang_timeout": 0.5, "grace": 0.1, "args": {"how": "hang"}, "progress": "none"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", HbsimWarning)
        run(train_fn, scheduler, folder=folder, executor=executor, **how)  # type: ignore[arg-type]
    limit = "retries=0" if loss_retries is None else f"loss_retries={loss_retries}"
    text = f"2 trials were lost and have failed for good, by {limit}: with more loss_retries such a trial "
    found = [str(warning.message) for warning in caught if "were lost" in str(warning.message)]
    assert found == ([f"{text}goes on from its last checkpoint"] if executor == "dask" else [])


# Requests that cannot be


@pytest.mark.parametrize("there", [False, True])
def test_a_cluster_that_cannot_be_leaves_nothing(cluster: Cluster, folder: Path, there: bool) -> None:
    if there:
        folder.mkdir()
    cluster.refuse = ParameterError("hosts", "a", "cannot be reached")
    with pytest.raises(ParameterError, match="cannot be reached"):
        study(folder, ["a"])
    assert cluster.made[0].closed
    assert cluster.made[0].discarded
    assert folder.exists() == there
    assert not there or not list(folder.iterdir())


def test_a_study_that_began_keeps_what_hosts_have_of_it(cluster: Cluster, folder: Path) -> None:
    cluster.lose = 3
    with pytest.raises(ExecutorError):
        study(folder)
    cluster.lose, cluster.refuse = None, ParameterError("hosts", "a", "cannot be reached")
    with pytest.raises(ParameterError, match="cannot be reached"):
        study(folder, resume=True)
    assert [one.discarded for one in cluster.made] == [False, False]


def test_a_study_in_which_nothing_is_reported_as_it_should_be_is_discarded(
    cluster: Cluster, folder: Path
) -> None:
    with pytest.raises(ParameterError, match="loss"):
        study(folder, metric="loss")
    assert cluster.made[0].discarded
    assert not folder.exists()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("executor", {"executor": "dusk"}),
        ("surrogate", {"executor": "sim"}),
        ("executor", {"executor": None}),
        ("executor", {"executor": hbsim.Dask}),
        ("hosts", {"executor": []}),
        ("hosts", {"executor": ["a", "b c"]}),
        ("workers", {"workers": 0}),
        ("workers", {"workers": 1.5}),
        ("resource", {"resource": {"gpus": 1}}),
    ],
)
def test_wrong_requests(cluster: Cluster, folder: Path, field: str, given: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        study(folder, **given)
    assert caught.value.field == field
    assert not cluster.made
    assert not folder.exists()


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("hbsim.study.workers.find_spec", lambda name: None)
    for executor in ("dask", hbsim.Dask("tcp://a:1")):
        with pytest.raises(ParameterError, match=r"executor='dask': needs Dask: pip install -e "):
            study(folder, executor)
    assert not folder.exists()


# The note


@pytest.mark.parametrize("storage", [None, "auto", "file:///elsewhere"])
def test_checkpoints_come_from_the_store_of_another_run(tmp_path: Path, storage: str | None) -> None:
    url, scheduler = (tmp_path / "store").as_uri(), hbsim.make_scheduler("promotion", max_t=9, num_trials=9)
    study_folder = StudyFolder(tmp_path / "exp")
    study_folder.trials.mkdir(parents=True)
    number = RemoteRuns(study_folder).number()
    RemoteRuns(study_folder).begin(url, scheduler)
    for trial, job in ((1, 4), (2, 5)):
        away = trial_folder(tmp_path / "away", trial)
        checkpoint.save(away / checkpoint.NAME, {"made by": job}, origin=of_job(job))
        found = newest(away)
        assert found is not None
        CheckpointStore(url, number).put(trial, job, found[1])
    checkpoint.save(trial_folder(study_folder.trials, 2) / checkpoint.NAME, {"made by": 6}, origin=of_job(6))

    said: list[str] = []
    RemoteRuns(study_folder).bring_back(url, said.append)  # it is the same store: nothing to do
    assert not said
    RemoteRuns(study_folder).bring_back(storage, said.append)
    assert said == [f"looking for checkpoints in {url}", "copied 1 checkpoint from there"]
    loaded = [load_newest(trial_folder(study_folder.trials, trial) / checkpoint.NAME) for trial in (1, 2)]
    assert loaded == [{"made by": 4}, {"made by": 6}]
    assert RemoteRuns(study_folder).number() == number


@pytest.mark.parametrize("text", ["", "{}", '{"study": 3}', '{"study": "zz"}', "[1"])
def test_a_note_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "remote.json").write_text(text)
    note = RemoteRuns(StudyFolder(tmp_path))
    assert note.study is None
    assert note.number() == note_of(tmp_path)["study"]


def test_a_note_of_an_earlier_version(tmp_path: Path) -> None:
    content = {"schema": 1, "study": "5" * 16, "storage": "s3://bucket", "gathered": True}
    (tmp_path / "dask.json").write_text(json.dumps(content))
    note = RemoteRuns(StudyFolder(tmp_path))
    assert note.number() == "5" * 16
    note.begin("pull", hbsim.make_scheduler("fifo", max_t=9))
    assert note_of(tmp_path) == {**content, "storage": "pull", "gathered": False}
    assert RemoteRuns(StudyFolder(tmp_path)).study == "5" * 16
