"""W&B and MLflow: a run a trial, in files that are read back and imported: what the study's journal says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from hbsim.errors import ParameterError
from hbsim.integrations.mlflow import MLflowCallback
from hbsim.integrations.wandb import WandbCallback
from hbsim.study.options import RunOptions
from hbsim.surrogates import import_runs
from tests.study.made import Made

pytest.importorskip("wandb")
pytest.importorskip("mlflow")

TRIALS = 6
# The first half of a study, and all of it once it is resumed, each in the way of a callback's process.
SERVE = """
import sys
from pathlib import Path
from hbsim.integrations.mlflow import MLflowCallback
from hbsim.integrations.wandb import WandbCallback
from hbsim.study.callback_process import serve

folder = Path(sys.argv[1])
journal = folder / "journal.jsonl"
lines = journal.read_bytes().splitlines(keepends=True)
for name, made in {"mlflow": MLflowCallback, "wandb": lambda: WandbCallback("tuning")}.items():
    for count in (len(lines) // 2, len(lines)):
        journal.write_bytes(b"".join(lines[:count]))
        serve(folder, name, made(), count == len(lines), 1e9, lambda: True, sys.exit)
"""

WITHOUT_KEY = """
import sys
from pathlib import Path
from hbsim.integrations.wandb import WandbCallback
from hbsim.study.callback_process import serve

serve(Path(sys.argv[1]), "wandb", WandbCallback(), False, 1e9, lambda: True, print)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a finished study, of which two trials failed, that was logged in two sessions."""
    folder = tmp_path_factory.mktemp("logged")
    made = Made(folder / "exp", num_trials=TRIALS, retries=1, max_t=3)
    broken = {(2, 1), (3, 2)}  # trials, and the epoch in which they fail
    made.play(2, lambda trial, epoch: (trial * 7 % 11 + epoch) / 40, lambda *where: where in broken)
    change = {"e": "change", "t": 0.0, "job": 0, "resource": 1.0, "values": {"lr": [1e-4, 0.25]}}
    first = next(place for place, one in enumerate(made.records) if one["e"] in ("rows", "reach"))
    made.records.insert(first, {**change, "t": made.records[first]["t"]})
    result = made.result()
    (folder / "exp" / "callbacks").mkdir()
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/runs.db", "WANDB_MODE": "offline"}
    environment = {**os.environ, **store, "PYTHONPATH": str(Path(__file__).parents[2])}
    for name in ("WANDB_DIR", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        environment.pop(name, None)
    words = [sys.executable, "-c", SERVE, str(folder / "exp")]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return result


def imported(study, folder, rows, name, **options):
    """Write rows of history into a file, and return the curves that are imported from it."""
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    import_runs(folder / name, metric="accuracy", mode="max", **options).write(folder / "curves.parquet")
    return pl.read_parquet(folder / "curves.parquet")


def check_curves(study, curves, resource, folder):
    """Check that imported curves and configurations are those of the study."""
    study.export(folder / "own.parquet")
    own = pl.read_parquet(folder / "own.parquet")
    columns = ("lr", "act", resource, "accuracy")  # no two trials have the same lr
    own, curves = own.rename({"epoch": resource}).select(columns), curves.select(columns)
    assert curves.cast(own.schema).sort("lr", resource).equals(own.sort("lr", resource))


def statuses(study):
    """Return why each trial ended last."""
    return dict(study.trials.select("trial", "status").rows())


def test_what_mlflow_has_is_imported_as_what_the_study_has(study, tmp_path):
    with sqlite3.connect(study.folder.parent / "runs.db") as store:
        runs = store.execute("select run_uuid, name, status from runs order by name").fetchall()
        tags: dict[str, dict[str, str]] = {run: {} for run, *_ in runs}
        for run, key, value in store.execute("select run_uuid, key, value from tags"):
            tags[run][key] = value
        params = store.execute("select run_uuid, key, value from params order by key").fetchall()
        names = ("run_id", "key", "value", "step", "timestamp")
        found = store.execute("select run_uuid, key, value, step, timestamp from metrics").fetchall()
    store.close()
    assert [name for _, name, _ in runs] == [f"exp-{trial:06}" for trial in range(TRIALS)]
    assert [int(tags[run]["hbsim.trial"]) for run, *_ in runs] == [*range(TRIALS)]
    assert {int(tags[run]["hbsim.trial"]): tags[run]["hbsim.status"] for run, *_ in runs} == statuses(study)
    assert [status for *_, status in runs] == [
        "FAILED" if status == "failed" else "FINISHED" for status in statuses(study).values()
    ]
    assert [tags[run].get("hbsim.changed/lr") for run, *_ in runs] == ["0.25"] + [None] * (TRIALS - 1)
    assert {tags[run].get("hbsim.failure") for run, *_ in runs} == {None, "error: ValueError: no"}
    order = {run: place for place, (run, *_) in enumerate(runs)}
    found.sort(key=lambda row: (order[row[0]], row[3]))
    with (tmp_path / "runs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["run_id", "params.lr", "params.act"])
        values = {(run, key): value for run, key, value in params}
        rows.writerows([run, values[run, "lr"], values[run, "act"]] for run in order)
    history = [dict(zip(names, row, strict=True)) for row in found]
    curves = imported(study, tmp_path, history, "metrics.csv", params=tmp_path / "runs.csv")
    check_curves(study, curves, "step", tmp_path)
    assert len({row[:2] + row[3:4] for row in found}) == len(found)  # nothing is written twice
    times = {(order[run], step): time for run, _, _, step, time in found}
    first = study.reports.unique(["trial", "resource"], keep="first").select("trial", "resource", "time")
    assert times == {(t, r): round(1000 * (1e9 + time)) for t, r, time in first.rows()}


def messages(data):
    """Yield the messages of a file of W&B, which has the form of LevelDB's logs behind seven bytes."""
    at, whole = 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


def test_what_wandb_has_is_imported_as_what_the_study_has(study, tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    history, configs, changed, summaries, groups, exits = [], {}, {}, {}, set(), {}
    for file in sorted(
        study.folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime
    ):
        run = file.stem.removeprefix("run-")
        for message in messages(file.read_bytes()):
            record = Record.FromString(message)
            if record.HasField("run"):
                groups.add((record.run.run_id, record.run.project, record.run.run_group))
                configs[run] = {one.key: json.loads(one.value_json) for one in record.run.config.update}
            elif record.HasField("config"):
                for one in record.config.update:
                    changed.setdefault(run, {})[one.key] = json.loads(one.value_json)
            elif record.HasField("summary"):
                values = {one.key: json.loads(one.value_json) for one in record.summary.update if one.key}
                summaries.setdefault(run, {}).update(values)
            elif record.HasField("history"):
                values = {one.nested_key[0]: json.loads(one.value_json) for one in record.history.item}
                history.append({"run_id": run, **values})
            elif record.HasField("exit"):
                exits[run] = record.exit.exit_code
    trials = {f"exp-{trial}": trial for trial in range(TRIALS)}
    assert groups == {(run, "tuning", "exp") for run in trials}
    assert {trials[run]: one["hbsim/status"] for run, one in summaries.items()} == statuses(study)
    assert {trials[run]: code for run, code in exits.items()} == {
        trial: int(status == "failed") for trial, status in statuses(study).items()
    }
    bests = {trials[run]: one.get("hbsim/best") for run, one in summaries.items()}
    assert bests == dict(study.trials.select("trial", "best").rows())
    assert {run: values["lr"] for run, values in changed.items() if "lr" in values} == {"exp-0": 0.25}
    assert all(row["_step"] == row["epoch"] for row in history)
    assert len({(row["run_id"], row["epoch"]) for row in history}) == len(history)  # nothing is written twice
    history.sort(key=lambda row: (trials[row["run_id"]], row["epoch"]))
    rows = [
        {**row, **{f"config.{name}": configs[row["run_id"]][name] for name in ("lr", "act")}}
        for row in history
    ]
    curves = imported(study, tmp_path, rows, "history.csv", resource="epoch")
    check_curves(study, curves, "epoch", tmp_path)


def test_without_a_key_wandb_says_so_once_at_the_start(study, tmp_path):
    folder = tmp_path / "exp"
    (folder / "callbacks").mkdir(parents=True)
    shutil.copy(study.folder / "journal.jsonl", folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    environment |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    words = [sys.executable, "-c", WITHOUT_KEY, str(folder)]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "on_study_start raised RuntimeError: W&B has no key: run wandb login, or set WANDB_API_KEY, or "
        "WANDB_MODE=offline; it gets no more calls\n"
    )
    assert done.stderr.count("Traceback") == 1


@pytest.mark.parametrize(("kind", "name"), [(MLflowCallback, "mlflow"), (WandbCallback, "wandb")])
def test_a_package_that_is_not_installed_is_named_with_the_extra(monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ParameterError, match=rf'pip install -e "\.\[{name}\]"'):
        kind()
    with pytest.raises(ParameterError, match=rf'pip install -e "\.\[{name}\]"'):
        RunOptions.checked(callbacks=[name])
