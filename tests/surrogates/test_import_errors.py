"""Mistakes: one line that says what is wrong and what would be right."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from hbsim.errors import HbsimError
from hbsim.surrogates import import_runs

HERE = Path(__file__).parent / "imports"
RAY = HERE / "ray"
ST = HERE / "syne_tune_stopping"
JOURNAL = HERE / "optuna_journal.log"
MLFLOW = HERE / "mlflow_metrics.csv"
LONG = "run_id,_step,_runtime,loss,lr\na,1,1,0.5,0.1\na,2,2,0.4,0.1\nb,1,1,0.3,0.2\nb,2,2,0.2,0.2\n"
LOSS = {"metric": "loss"}

WRONG_OPTIONS = {
    "nothing": (" ", {}, "source=' ': must name a file or folder"),
    "no file": ("nothing.csv", {}, "nothing.csv: no such file or folder"),
    "no tool": (ST, {"kind": "raytune"}, "kind='raytune': must be one of 'syne-tune', 'ray'"),
    "no mode": (ST, {"mode": "least"}, "mode='least': must be one of 'max', 'min'."),
    "a server": (
        "postgresql://me:pw@host/db",
        {},
        "source='host/db': is a server's; copy the study into a file",
    ),
    "a study of ray": (RAY, {"study": "x"}, "study='x': is for optuna; "),
    "params of ray": (RAY, {"params": "x.csv"}, "params='x.csv': is for wandb and mlflow; "),
    "no metric said": (RAY, {}, "one of loss, acc"),
    "near metric": (
        RAY,
        {"metric": "los"},
        "metric='los' is not in it; there are: loss, acc. Did you mean 'loss'?",
    ),
    "text as metric": (RAY, {"metric": "date"}, "metric='date' must hold numbers, not text"),
    "resource as metric": (RAY, {"metric": "training_iteration"}, "is the resource already"),
    "near resource": (RAY, LOSS | {"resource": "training_iter"}, "Did you mean 'training_iteration'?"),
    "text as resource": (
        RAY,
        LOSS | {"resource": "trial_id"},
        "resource='trial_id' must hold numbers, not text",
    ),
    "waiting as time": (
        ST,
        {"time": "st_tuner_time"},
        "waiting and other trials included; st_worker_time is the time",
    ),
    "a date as time": (
        RAY,
        LOSS | {"time": "timestamp"},
        "is a date, not a duration; time_total_s is the time",
    ),
    "one iteration": (RAY, LOSS | {"time": "time_this_iter_s"}, "is the time of one iteration; time_total_s"),
    "no such time": (RAY, LOSS | {"time": "t"}, "time='t' is not in it; there are: "),
    "first level": (JOURNAL, {"study": "digits", "first_level": 2}, "first_level=2: must be 0 or 1"),
    "no step 0": (ST, {"first_level": 1}, "first_level=1: says what step 0 is; the first is 1"),
    "several studies": (JOURNAL, {}, "study=None: is needed: "),
    "near study": (JOURNAL, {"study": "digit"}, "it has: digits, other. Did you mean 'digits'?"),
    "no values": (
        JOURNAL,
        {"study": "other"},
        "none of the 2 trials of study 'other' has intermediate values",
    ),
    "no params file": (MLFLOW, LOSS | {"params": "no.csv"}, "params='no.csv': no such file"),
    "a folder for a file": (RAY, {"kind": "optuna"}, "is a folder; what optuna leaves is a file"),
    "a trial's file": (RAY / "train_4f620_00000" / "result.json", {}, "give the experiment's folder"),
    "a trial's folder": (RAY / "train_4f620_00000", {}, "is the folder of one trial"),
    "a folder of others": (HERE, {}, "is from no tool that hbsim knows (a folder with neither"),
    "csv as journal": (MLFLOW, {"kind": "optuna"}, "mlflow_metrics.csv, line 1: is no operation of Optuna's"),
    "journal as csv": (JOURNAL, {"kind": "mlflow"}, "optuna_journal.log: cannot be read as CSV"),
}


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_wrong_options(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source, options, expected = WRONG_OPTIONS[name]
    _is_one_line(source, options, expected)


WRONG_FILES = {
    "empty": ("", {}, "x.csv: is from no tool that hbsim knows (it is empty)"),
    "empty of a tool": ("", {"kind": "wandb"}, "x.csv: is empty"),
    "header only": (LONG.splitlines()[0], {}, "has a header, but no rows"),
    "a column twice": (LONG.replace("lr", "loss"), LOSS, "names a column twice: 'loss'; rename or remove"),
    "two runs of one name": ("Step,a - loss,a - loss\n1,2,3\n", {}, "names a column twice: 'a - loss'"),
    "no csv": ("a,_step\n1,2,3,4\n", {}, "cannot be read as CSV: "),
    "prose": ("Dear all,\n", {}, "(its first line is 'Dear all,')"),
    "json": ('{"a": 1}\n', {}, "(JSON, but no journal of Optuna)"),
    "a report of ray": ('{"training_iteration": 1}\n', {}, "is one trial's file of Ray Tune"),
    "a table of runs": ("Name,State,Runtime,lr\na,finished,3,0.1\n", {}, "is a table of runs, one row a run"),
    "no run": (LONG.replace("run_id", "x"), {}, "has no column that names the run: one of run_id"),
    "no step": (LONG.replace("_step", "x"), {}, "resource=None: is needed: "),
    "text as step": (LONG.replace("a,1", "a,one"), LOSS, "resource='_step' must hold numbers, not text"),
    "text as metric": (LONG.replace("0.5", "low"), LOSS, "metric='loss' must hold numbers, not text"),
    "negative step": (LONG.replace("a,1", "a,-1"), LOSS, "a level is negative: _step is -1"),
    "negative time": (LONG.replace("a,1,1", "a,1,-1"), LOSS, "a time is negative: _runtime is -1"),
    "one trial": (
        "\n".join(LONG.splitlines()[:3]),
        LOSS,
        "1 of 1 trials can be used; ranks need at least two",
    ),
    "only step 0": ("run_id,_step,loss\na,0,1\nb,0,2\n", LOSS, "has no level above 0"),
    "no metric at all": ("run_id,_step,lr\na,1,0.1\nb,1,0.2\n", {}, "holds no metric"),
    "empty metric": ("run_id,_step,loss\na,1,\nb,1,\n", LOSS, "metric='loss' is empty everywhere"),
    "time as axis": (
        "Relative Time (Process),a - loss\n1,2\n",
        {},
        "choose Step or an epoch as the panel's X axis",
    ),
    "groups": ("Step,Group: a - loss\n1,2\n", {}, "ungroup the panel and export again"),
    "mlflow value": ("run_id,key,value,step\na,loss,low,1\n", {}, "column 'value' must hold numbers"),
    "mlflow metrics": ("run_id,key,value,step\na,l,1,1\na,m,1,1\n", {}, "metric=None: is needed for "),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_files(name, tmp_path):
    text, options, expected = WRONG_FILES[name]
    (tmp_path / "x.csv").write_text(text)
    _is_one_line(tmp_path / "x.csv", options, expected)


def _is_one_line(source, options, expected):
    with pytest.raises(HbsimError) as caught:
        import_runs(source, **options)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    _is_one_line(tmp_path / "x.csv", {}, "cannot be read: it is not UTF-8 text")


def test_wrong_archives_and_metadata(tmp_path):
    (tmp_path / "results.csv.zip").write_text("no zip")
    _is_one_line(tmp_path, {}, "cannot be read as a zip file with a CSV")
    with zipfile.ZipFile(tmp_path / "results.csv.zip", "w") as archive:
        archive.writestr("a.txt", "")
    _is_one_line(tmp_path, {}, "must hold one .csv file; it holds 0")
    with zipfile.ZipFile(tmp_path / "results.csv.zip", "w") as archive:
        archive.writestr("results.csv", "trial,epoch\n1,1\n")
    _is_one_line(tmp_path, {}, "has no column trial_id")
    (tmp_path / "metadata.json").write_text("{")
    with zipfile.ZipFile(tmp_path / "results.csv.zip", "w") as archive:
        archive.writestr("results.csv", "trial_id,epoch\n1,1\n")
    _is_one_line(tmp_path, {}, "metadata.json: is no JSON")


def test_wrong_databases(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE studies (study_id INTEGER)")
    _is_one_line(path, {}, "is no storage of Optuna: it has no table study_directions")
    with closing(sqlite3.connect(path)) as file:
        file.executescript("CREATE TABLE experiments(a); CREATE TABLE runs(a); CREATE TABLE metrics(a);")
    _is_one_line(path, {}, "is MLflow's database; export its metrics as CSV")
    path.write_bytes(path.read_bytes()[:3000])
    _is_one_line(path, {}, "cannot be read as a SQLite file")


def test_a_storage_whose_parts_do_not_fit(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as file:
        script = (HERE / "optuna.sql").read_text().replace('"FloatDistribution"', "FloatDistribution")
        file.executescript(f"BEGIN; {script} COMMIT;")
    _is_one_line(path, {}, "holds what Optuna does not write: JSONDecodeError")


def test_two_objectives(tmp_path):
    entries = [{"op_code": 0, "study_name": "s", "directions": [1, 2]}]
    (tmp_path / "x.log").write_text("\n".join(map(json.dumps, entries)))
    _is_one_line(tmp_path / "x.log", {}, "study 's' has 2 objectives; Optuna keeps no curves for those")


def test_a_line_in_the_middle_that_is_torn_is_an_error_and_the_last_one_is_left_out(tmp_path):
    lines = JOURNAL.read_text().splitlines()
    (tmp_path / "x.log").write_text("\n".join([*lines[:40], lines[40][:20]]))
    imported = import_runs(tmp_path / "x.log")
    assert "left out the last line, which was not written to its end" in imported.notes
    (tmp_path / "x.log").write_text("\n".join([*lines[:30], lines[30][:20], *lines[31:40]]))
    _is_one_line(tmp_path / "x.log", {"study": "digits"}, "line 31: is no operation")
    for number in range(3):
        folder = tmp_path / "ray" / f"t{number}"
        folder.mkdir(parents=True)
        report = json.dumps({"training_iteration": 1, "loss": 1.0, "config": {}})
        torn = report[:20] if number == 0 else ""
        (folder / "result.json").write_text(f"{report}\n{torn}")
    assert "left out 1 line not written to the end" in import_runs(tmp_path / "ray").notes
    (folder / "result.json").write_text(f"{report[:20]}\n{report}\n")
    _is_one_line(tmp_path / "ray", {}, "result.json, line 1: is no JSON")


def test_no_reports_at_all(tmp_path):
    (tmp_path / "ray" / "t0").mkdir(parents=True)
    (tmp_path / "ray" / "t0" / "result.json").write_text("")
    _is_one_line(tmp_path / "ray", {}, "none of its 1 trials reported anything")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,lr\na,1\n", "has no column that names runs"),
        ("run_id,lr\nz,1\n", "names none of the 5 runs"),
        (
            "run_id,lr\n7480ce5336ee45a4992cd55f3dddb416,1\n7480ce5336ee45a4992cd55f3dddb416,2\n",
            "names a run twice",
        ),
    ],
)
def test_wrong_tables_of_runs(tmp_path, text, expected):
    (tmp_path / "runs.csv").write_text(text)
    _is_one_line(MLFLOW, LOSS | {"params": tmp_path / "runs.csv"}, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x.json", "must end in .parquet or .csv"), ("there.csv", "is there already"), ("d.csv", "is a folder")],
)
def test_nothing_is_written_over(tmp_path, name, expected):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(HbsimError, match=expected):
        import_runs(ST).write(tmp_path / name)
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.csv", "there.csv"]
    import_runs(ST).write(tmp_path / "there.csv", force=True)
    assert (tmp_path / "there.csv").read_text().startswith("trial,epoch,loss")


METADATA = (
    "{",
    "1" * 5000,
    "[" * 50_000,
    '{"metric_names": 3}',
    '{"metric_names": ["x"], "metric_mode": 1.5}',
)


@pytest.mark.parametrize("text", METADATA, ids=range(len(METADATA)))
def test_what_syne_tune_never_writes_is_refused_or_not_looked_at(tmp_path, text):
    shutil.copy(ST / "results.csv.zip", tmp_path)
    (tmp_path / "metadata.json").write_text(text)
    if text.startswith('{"'):
        assert import_runs(tmp_path, **LOSS).metric == "loss"
    else:
        _is_one_line(tmp_path, LOSS, "metadata.json: is no JSON")


def test_an_archive_that_is_damaged_within(tmp_path):
    content = bytearray((ST / "results.csv.zip").read_bytes())
    content[60:80] = bytes(20)
    (tmp_path / "results.csv.zip").write_bytes(content)
    _is_one_line(tmp_path, LOSS, "cannot be read as a zip file with a CSV")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"datetime_start":"2026', '"datetime_start":"x2026'),
        ('"distribution":"{', '"distribution":"[3]"}{'),
        ('\\"name\\": \\"FloatDistribution\\"', '\\"name\\": \\"CategoricalDistribution\\"'),
    ],
)
def test_what_optuna_never_writes_is_one_line(tmp_path, old, new):
    text = JOURNAL.read_text()
    assert old in text
    (tmp_path / "study").write_text(text.replace(old, new))
    _is_one_line(tmp_path / "study", {"study": "digits"}, "")


@pytest.mark.parametrize("field", ["metric", "resource", "time", "study"])
def test_names_must_be_text(field):
    _is_one_line(ST, {field: 3}, f"{field}=3: must be text")


def test_paths_must_be_paths():
    _is_one_line(3, {}, "source=3: must be a path")
    _is_one_line(MLFLOW, {"params": 1.5}, "params=1.5: must be a path")
