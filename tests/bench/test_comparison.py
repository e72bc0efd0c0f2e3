"""`hbsim.compare`, `hbsim.sweep` and `hbsim.load_sweep`: the same cells as the commands, as frames."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tomllib
from html import escape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.bench.comparison import cluster_table
from hbsim.bench.sweep.curves import half_of
from hbsim.bench.sweep.plan import make_plan, read_sweep
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.simulation import Cluster
from hbsim.simulation.cluster_files import presets
from hbsim.toml_files import to_toml
from tests.bench.sweep.made import SMALL
from tests.cli.conftest import Ran
from tests.profile import examples

CURVES = "synthetic:mode=min,max_resource=9"


@pytest.fixture(scope="module")
def compared() -> hbsim.Sweep:
    variants = ["promotion", {"type": "fifo", "name": "random search"}]
    return hbsim.compare(
        variants, vary={"brackets": [1, 2]}, surrogate=CURVES, workers=4, num_trials=30, seeds=4, jobs=1
    )


def test_frames_are_of_all_cells(compared: hbsim.Sweep):
    names = ["promotion,brackets=1", "promotion,brackets=2", "random search"]
    assert compared.cells.height == 12
    assert compared.cells["variant"].unique(maintain_order=True).to_list() == names
    assert compared.incumbents.columns[:8] == [
        "key", "variant", "surrogate", "cluster", "workers", "seed", "split", "part"
    ]  # fmt: skip
    assert {"time", "trial", "picked", "value", "regret", "test"} <= set(compared.incumbents.columns)
    assert compared.anytime.height == 12 * 64
    assert sorted(compared.table["variant"]) == names
    assert compared.table["rank"].min() == 1
    assert set(compared.table["curves_call"]) <= {"best", "not told apart", "worse"}
    assert compared.table["draw_call"].null_count() == 3  # these curves have no rows
    for name in ("score", "regret", "curves_difference"):
        low, mean, high = (compared.table[f"{name}{end}"] for end in ("_low", "", "_high"))
        assert ((low <= mean) & (mean <= high)).all()
    assert (compared.table["score_low"] < compared.table["score_high"]).any()
    assert compared.folder is None
    assert escape(compared.report.answer) in compared._repr_html_()


def test_a_chart_and_a_page(compared: hbsim.Sweep, tmp_path: Path):
    chart = json.dumps(compared.plot().to_dict())
    assert "random search" in chart
    page = compared.page(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == page
    assert "Comparison on synthetic" in page
    assert "random search" in page
    with pytest.raises(OutputError, match="cannot be written"):
        compared.page(tmp_path / "none" / "page.html")


def test_what_matters_is_in_the_report(compared: hbsim.Sweep):
    judged = dataclasses.replace(compared, matters="10%")
    (task,) = judged.report.tasks
    chances = [(row.curves.better, row.curves.same, row.curves.worse) for row in task.rows]
    assert all(sum(three) == pytest.approx(1) for three in chances)
    assert compared.report.tasks[0].matters is None


def test_the_command_has_the_same_cells(compared: hbsim.Sweep, call, tmp_path: Path):
    words = ["--variant", "promotion", "--variant", "fifo", "--vary", "brackets=1,2", "--surrogate", CURVES]
    made: Ran = call(
        "compare", *words, "--workers", "4", "--trials", "30", "--seeds", "4", "--jobs", "1", "--out", "out"
    )
    assert made.code == 0, made.err
    loaded = hbsim.load_sweep(tmp_path / "out")
    assert loaded.cells["key"].to_list() == compared.cells["key"].to_list()
    assert loaded.folder == tmp_path / "out"
    assert loaded.table.drop("variant").equals(compared.table.drop("variant"))


def test_a_sweep_from_a_file_and_from_plain_objects(tmp_path: Path):
    (tmp_path / "study.toml").write_text(SMALL)
    from_file = hbsim.sweep(tmp_path / "study.toml", tmp_path / "out", jobs=1)
    from_dict = hbsim.sweep(tomllib.loads(SMALL), jobs=1)
    assert from_file.cells.equals(from_dict.cells)
    again = hbsim.sweep(tmp_path / "out" / "sweep.toml", tmp_path / "out", jobs=1)
    assert again.cells.equals(from_file.cells)


def test_halves_go_round_the_splits():
    found = hbsim.compare(["fifo"], num_trials=3, max_time=0.5, seeds=range(18, 24), jobs=1)
    assert found.cells.select("seed", "split", "part").rows() == [
        (18, 9, 0), (19, 9, 1), (20, 0, 0), (21, 0, 1), (22, 1, 0), (23, 1, 1),
    ]  # fmt: skip
    assert {half_of(seed) for seed in range(20)} == {(split, part) for split in range(10) for part in (0, 1)}
    whole = hbsim.compare(["fifo"], num_trials=3, max_time=0.5, seeds=2, halves=False, jobs=1)
    assert whole.cells["split"].null_count() == 2
    mine = {"surrogate": "digits", "wrap": ["half=4,1"]}  # a half that was asked for is not halved again
    given_ = hbsim.compare(["fifo"], surrogate=mine, num_trials=3, max_time=0.5, seeds=2, jobs=1)
    assert given_.cells["split"].null_count() == 2


def test_the_best_are_confirmed_on_fresh_seeds(tmp_path: Path):
    spec = {**tomllib.loads(SMALL), "confirm": 2}
    found = hbsim.sweep(spec, tmp_path / "out", jobs=1)
    confirm = found.confirm
    assert confirm is not None
    assert confirm.cells["seed"].unique().to_list() == [3, 4]
    assert set(confirm.cells["variant"]) <= set(found.cells["variant"])
    loaded = hbsim.load_sweep(tmp_path / "out").confirm
    assert loaded is not None
    assert loaded.cells.equals(confirm.cells)


def test_what_is_warned_of_is_a_warning():
    with pytest.warns(HbsimWarning, match="brackets=9 is clipped to 3"):
        found = hbsim.compare(
            ["stopping,brackets=9", "fifo"], surrogate=CURVES, num_trials=5, seeds=1, jobs=1
        )
    assert found.cells.height == 2


@pytest.mark.parametrize(
    ("options", "field", "rule"),
    [
        ({"variants": []}, "variant", "at least one"),
        ({"variants": ["stoping"]}, "variant", "Did you mean 'stopping'?"),
        ({"variants": ["stopping,brackets=0"]}, "variant", "brackets must be a whole number"),
        ({"variants": [{"type": "stopping", "brackets": 0}]}, "variant", "brackets must be a whole number"),
        ({"variants": [{"type": "stopping", "bracket": 3}]}, "variant", "Did you mean 'brackets'?"),
        ({"vary": {"retries": [0, -1]}}, "vary", "retries must be"),
        ({"variants": [3]}, "variant", "must be a text"),
        ({"surrogate": 3}, "surrogate", "must be a text"),
        ({"surrogate": "syntetic"}, "surrogate", "Did you mean 'synthetic'?"),
        ({"surrogate": {"surrogate": CURVES, "sede": 3}}, "sede", "is no field here"),
        ({"trials": 5}, "trials", "is called num_trials"),
        ({"num_trials": 0}, "num_trials", "must be a whole number of at least 1"),
        ({"num_trials": None}, "num_trials", "have no end"),
        ({"seeds": 0}, "seeds", "must be"),
        ({"seeds": range(0, 9, 2)}, "seeds", "in steps of 1"),
        ({"workers": 0}, "workers", "must be"),
        ({"workers": 3, "cluster": Cluster(workers=4)}, "workers", "say how many in one place"),
        ({"max_time": "soon"}, "max_time", "must be a number"),
        ({"max_t": 99}, "max_t", "the curves of"),
        ({"beyond": 0.5}, "beyond", "at least 1"),
        ({"confirm": 0}, "confirm", "at least 1"),
        ({"matters": "0%"}, "matters", "above 0"),
        ({"searcher": "gpp"}, "searcher", "must be one of"),
        ({"jobs": 0}, "jobs", "at least 1"),
        ({"folder": __file__}, "folder", "is a file"),
    ],
    ids=str,
)
def test_what_is_wrong_names_the_argument(options: dict[str, object], field: str, rule: str):
    usual: dict[str, object] = {
        "variants": ["stopping", "fifo"],
        "surrogate": CURVES,
        "num_trials": 5,
        "jobs": 1,
    }
    with pytest.raises(ParameterError) as caught:
        hbsim.compare(**{**usual, **options})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_what_is_wrong_in_plain_objects_names_the_place():
    for change, rule in (
        ({"seeds": "3"}, 'seeds = "3": must be a whole number'),
        (
            {"variants": [{"type": "stopping", "brackets": 0}]},
            "variants.0.brackets = 0: must be a whole number",
        ),
    ):
        with pytest.raises(ParameterError) as caught:
            hbsim.sweep({**tomllib.loads(SMALL), **change})
        assert (caught.value.field, caught.value.value) == ("spec", None)
        assert caught.value.rule.startswith(rule)


SCRIPT = """
import hbsim

found = hbsim.compare(["stopping", "fifo"], surrogate="synthetic", num_trials=9, seeds=2, jobs=2)
print(found.cells.height)
"""


def test_a_script_needs_no_guard_for_its_processes(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    made = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (made.returncode, made.stdout) == (0, "4\n"), made.stderr


# What is written as TOML, and read again.

leaves = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
keys = st.text(min_size=1, max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@settings(max_examples=examples(100))
@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_is_read_again(content: dict[str, object]):
    # An empty table is left out at the top: there it means the same as none.
    assert tomllib.loads(to_toml(content)) == {name: value for name, value in content.items() if value != {}}


@pytest.mark.parametrize("name", presets())
def test_a_cluster_as_a_table_is_the_same_cluster(name: str):
    cluster = Cluster.from_file(name)
    table = json.loads(json.dumps(cluster_table(cluster)))
    spec = {"seeds": 1, "defaults": {"num_trials": 2}, "variants": [{"type": "fifo"}], "clusters": [table]}
    (study,) = make_plan({**spec, "surrogates": [{"surrogate": CURVES}]}).studies
    assert study.of.cluster.as_dict() == cluster.as_dict()


def test_a_cluster_with_a_trace_and_speeds(tmp_path: Path):
    (tmp_path / "trace.csv").write_text("worker,start,end,state\na,0,1000,up\nb,0,1000,up\n")
    for cluster in (Cluster(trace=tmp_path / "trace.csv"), Cluster(speed=(1.0, 2.0), workers=2)):
        text = to_toml({
            "seeds": 1, "defaults": {"num_trials": 2}, "variants": [{"type": "fifo"}],
            "surrogates": [{"surrogate": CURVES}], "clusters": [cluster_table(cluster)],
        })  # fmt: skip
        (tmp_path / "study.toml").write_text(text)
        (study,) = read_sweep(tmp_path / "study.toml").studies
        assert study.of.cluster.as_dict() == cluster.as_dict()
    assert dataclasses.replace(Cluster(), workers=3) == Cluster(workers=3)


def test_why_nothing_is_said_of_another_draw():
    options = {"surrogate": "digits", "workers": 8, "max_time": 3, "seeds": 4, "jobs": 1}
    (task,) = hbsim.compare(["stopping", "fifo"], num_trials=501, **options).report.tasks  # type: ignore[arg-type]
    assert any("studies saw all 1,000 rows; where trials are at most 500" in note for note in task.notes)
    (task,) = hbsim.compare(["stopping", "fifo"], num_trials=500, **options).report.tasks  # type: ignore[arg-type]
    assert not any("saw all" in note for note in task.notes)
