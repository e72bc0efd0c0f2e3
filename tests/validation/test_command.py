"""``hbsim validate``, its files and its pictures."""

import json
import sys
import tomllib

import numpy as np
import polars as pl
import pytest

import hbsim
from hbsim.bench.segments import OVERHEAD
from hbsim.cli.main import main
from hbsim.validation import validate
from hbsim.validation.measure import read
from hbsim.validation.report import real_segments, tables, timelines
from tests.bench.charted import marks
from tests.validation import made


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["hbsim", "validate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    return made.write(tmp_path / "real", made.promoted(), "promotion", **made.ETA_TWO)


def test_tables_for_people(command, folder):
    code, out, err = command(folder)
    assert (code, err) == (0, "")
    assert "real: promotion of train.py:train_fn, 1 worker, 2 trials; 3 of 3 decisions agree" in out
    assert "its first half  3 of 3" in out
    assert "hbsim.Cluster(workers=1, startup=4.0, report_delay=0.5, save=3.0, load=4.0," in out


def test_one_json_object(command, folder):
    code, out, _ = command(folder, "--json")
    content = json.loads(out)
    assert (code, content["schema"], content["command"]) == (0, 1, f"hbsim validate {folder}")
    (run,) = content["runs"]
    assert run["recorded_order"] == {"decisions": 3, "same": 3}
    assert [check["kind"] for check in run["checks"]] == ["its own", "its first half"]
    assert run["checks"][0]["makespan"]["error"] == pytest.approx(0)


def test_files(command, folder, tmp_path):
    code, out, _ = command(folder, "--out", tmp_path / "out")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert code == 0
    names = {"cluster.json", "cluster.toml", "hbsim.json", "timeline.png", "validation.json", "validation.md"}
    assert files == names
    assert all(name in out for name in files)
    options = json.loads((tmp_path / "out" / "cluster.json").read_text())
    assert hbsim.Cluster(**options) == hbsim.Cluster(workers=1, startup=4, report_delay=0.5, save=3, load=4)
    assert json.loads((tmp_path / "out" / "validation.json").read_text())["cluster"] == options


def test_the_measured_cluster_is_one_that_can_be_simulated(command, folder, tmp_path):
    command(folder, "--out", tmp_path / "out")
    text = (tmp_path / "out" / "cluster.toml").read_text()
    assert "# from 3 jobs\nstartup = 4.0\n" in text
    assert "# from 0 failures: the default\ndrop_rate = 0.0\n" in text
    assert 'source = ["real: promotion of train.py:train_fn, 1 worker, 2 trials"]' in text
    options = json.loads((tmp_path / "out" / "cluster.json").read_text())
    assert hbsim.Cluster.from_file(tmp_path / "out" / "cluster.toml") == hbsim.Cluster(**options)


def test_runs_with_other_numbers_of_workers_leave_it_open(command, folder, tmp_path):
    other = made.write(tmp_path / "other", made.late_start())  # on two
    command(folder, other, "--out", tmp_path / "out")
    assert "workers" not in tomllib.loads((tmp_path / "out" / "cluster.toml").read_text())


def test_a_timeline_a_run(command, folder, tmp_path):
    other = made.write(tmp_path / "other", made.late_start())
    command(folder, other, "--out", tmp_path / "out")
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["timeline-other.png", "timeline-real.png"]


def test_what_is_wrong_is_one_line(command, tmp_path):
    code, out, err = command(tmp_path, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"hbsim: error: {tmp_path}: holds no study")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_rows_of_tables_are_as_long_as_their_heads(folder):
    for table in tables(validate([folder])):
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_exit_and_saving_are_no_training_in_the_picture(folder):
    parts = real_segments(read(folder))
    lengths = pl.DataFrame({"level": parts.level, "seconds": parts.end - parts.start})
    sums = dict(lengths.group_by("level").agg(pl.col("seconds").sum()).iter_rows())
    assert sums == {0: 31.0, 1: 20.5, OVERHEAD: 22.0}  # with the waits at milestones


def test_both_timelines_have_one_axis_of_time(folder):
    part = validate([folder]).runs[0]
    above, below = marks(timelines(part.run, part.calibrated), "rect")
    domains = [mark["encoding"]["x"]["scale"]["domain"] for mark in (above, below)]
    assert domains[0] == domains[1]
    assert np.isclose(domains[0][1], max(part.calibrated.real, part.calibrated.simulated))
    assert max(row["end"] for row in above["rows"]) == pytest.approx(part.calibrated.real)
