"""CSV exports of W&B and MLflow, in the forms that their pages and API give."""

from __future__ import annotations

import pytest

from hbsim.surrogates import import_runs

HEADER = ",".join(
    f'"{run} - val/loss{end}"' for run in ("brave-sun-1", "odd - name") for end in ("", "__MIN", "__MAX")
)
PANEL = f""""Step",{HEADER}
"0","0.9","0.9","0.9","0.8","0.8","0.8"
"1","0.7","0.7","0.7","NaN","NaN","NaN"
"2","0.6","0.6","0.6","",""," "
"""
TABLE = """"Name","State","Notes","Runtime","Sweep","lr","layers","val/loss"
"brave-sun-1","finished","-","120","","0.1","2","0.6"
"odd - name","crashed","-","80","","0.01","3","0.8"
"else","finished","-","80","","0.5","3","0.8"
"""
HISTORY = """run_id,_step,_runtime,_timestamp,loss,acc,epoch,config.lr,config.act
a1,0,2.0,1700000000,0.9,,1,0.1,relu
a1,1,3.0,1700000001,,0.5,1,0.1,relu
a1,2,5.0,1700000100,0.7,,2,0.1,relu
b2,0,1.0,1700000000,0.8,,1,0.2,tanh
b2,2,4.5,1700000003,NaN,,2,0.2,tanh
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="x.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_panel_has_runs_side_by_side(write):
    imported = import_runs(write(PANEL), mode="min")
    assert (imported.kind, imported.metric, imported.time) == ("W&B", "val/loss", None)
    assert imported.hyperparameters == ()
    assert imported.frame.rows()[:4] == [
        ("brave-sun-1", 1, 0.9),
        ("brave-sun-1", 2, 0.7),
        ("brave-sun-1", 3, 0.6),
        ("odd - name", 1, 0.8),
    ]
    assert (imported.early, imported.no_number) == (1, 1)


def test_a_table_of_runs_gives_a_panel_its_settings(write):
    imported = import_runs(write(PANEL), mode="min", params=write(TABLE, "runs.csv"))
    assert imported.hyperparameters == ("lr", "layers")
    assert imported.frame.select("lr", "layers").unique(maintain_order=True).rows() == [(0.1, 2), (0.01, 3)]


def test_a_panel_along_an_epoch_has_that_as_its_resource(write):
    text = PANEL.replace('"Step"', '"epoch"').replace("brave-sun-1 - val/loss__MIN", "brave-sun-1 - _step")
    imported = import_runs(write(text), mode="min")
    assert imported.resource == "epoch"
    assert imported.metrics == ("val/loss",)


def test_a_history_has_time_and_settings(write):
    imported = import_runs(write(HISTORY), metric="loss", mode="min", resource="epoch")
    assert imported.time == "_runtime"
    assert imported.frame.select("trial", "epoch", "loss", "seconds").rows()[:3] == [
        ("a1", 1, 0.9, 2.0),
        ("a1", 2, 0.7, 5.0),
        ("b2", 1, 0.8, 1.0),
    ]
    assert imported.hyperparameters == ("lr", "act")
    assert "left out 1 row without loss" in imported.notes
    assert imported.no_number == 1


def test_a_clock_that_begins_with_the_first_report(write):
    rows = [("a", 0, 0.0), ("a", 1, 3.0), ("a", 2, 6.0), ("b", 0, 0.5), ("b", 1, 2.0), ("b", 2, 4.0)]
    text = "run_id,_step,_runtime,loss\n" + "".join(
        f"{run},{step},{time},{9 - step}\n" for run, step, time in rows
    )
    imported = import_runs(write(text), mode="min")
    # Steps 0, 1, 2 are levels 1, 2, 3; each unit of run a took 3 s, so its first level too.
    assert imported.frame["seconds"].to_list() == [3.0, 6.0, 9.0, 0.5, 2.0, 4.0]
    assert "the clock of 1 trial shows 0 at the first level: that took the mean pace" in imported.notes
    untrained = import_runs(write(text), mode="min", first_level=0)
    assert untrained.frame["seconds"].to_list() == [3.0, 6.0, 2.0, 4.0]


def test_steps_of_a_history_are_the_resource_unless_something_else_is_said(write):
    imported = import_runs(write(HISTORY), metric="loss", mode="min")
    assert imported.frame["resource"].to_list() == [2, 2]
    assert "the resource is _step; say resource='epoch' for that" in imported.notes
    assert "left out level 0, the untrained state" in imported.notes


def test_without_marks_what_never_changes_is_a_setting(write):
    text = HISTORY.replace("config.lr", "lr").replace("config.act", "act")
    imported = import_runs(write(text), metric="loss", mode="min", resource="epoch")
    assert imported.hyperparameters == ("lr", "act")


CHART = """Run,Run ID,metric,step,timestamp,value
r1,a,loss,0,1700000001000,0.9
r1,a,loss,1,1700000002000,0.8
r1,a,loss,1,1700000003000,0.7
r2,b,loss,1,1700000013000,Infinity
r2,b,loss,0,1700000011000,0.5
"""


def test_a_chart_of_mlflow_with_a_step_that_was_logged_again(write):
    imported = import_runs(write(CHART), mode="min")
    assert imported.kind == "MLflow"
    assert imported.frame["trial"].to_list() == ["a", "a", "b", "b"]
    assert imported.frame["loss"].to_list()[:3] == [0.9, 0.7, 0.5]
    assert imported.no_number == 1
    # Step 0 is level 1; the way there is as long as that from 1 to 2: 2 s in both.
    assert imported.frame["seconds"].to_list() == [2.0, 4.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("start", "first"),
    [("2023-11-14 22:13:15+00:00", 6.0), ("2023-11-14 23:13:15", 2.0), ("1699999995000", 6.0), ("soon", 2.0)],
)
def test_a_start_counts_if_it_is_sure(write, start, first):
    runs = f"run_id,start_time,params.lr\na,{start},0.1\nb,{start},0.2\n"
    imported = import_runs(write(CHART), mode="min", params=write(runs, "runs.csv"))
    assert imported.frame["seconds"].to_list()[0] == first
    assert imported.hyperparameters == ("lr",)
