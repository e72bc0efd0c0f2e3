"""Recording: what is written, that it does not depend on how it was recorded, and what is refused."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.runner.lock import StudyLock
from hbsim.study.record import _curves, prepare, study_folder
from hbsim.surrogates import describe, load
from hbsim.validation.validate import validate
from tests.profile import examples

# Trials that train for microseconds, on a busy machine.
pytestmark = pytest.mark.filterwarnings("ignore:.*the clock of row .* jumps")
QUIET = {"workers": 2, "progress": "none"}


def record(train: str, trials: int, out: Path, **options) -> pl.DataFrame:
    """Record, and read what was written."""
    hbsim.record(train, trials, out, **{**QUIET, **options})
    return pl.read_parquet(out)


def notes(out: Path) -> dict:
    return json.loads(pl.read_parquet_metadata(out)["hbsim"])


def test_a_recording_that_runs_is_not_removed(tmp_path):
    folder = study_folder(tmp_path / "curves.parquet")
    folder.mkdir()
    (folder / "journal.jsonl").touch()
    with StudyLock(folder), pytest.raises(OutputError, match="is being run"):
        prepare(tmp_path / "curves.parquet", resume=False, force=True)
    assert (folder / "journal.jsonl").exists()
    assert prepare(tmp_path / "curves.parquet", resume=False, force=True) == folder
    assert not folder.exists()


def test_long_form_with_metadata(train, tmp_path):
    out = tmp_path / "curves.parquet"
    table = record(train(), 3, out, metric="loss", mode="min", test_metric="seed_seen", max_t=4)
    names = ["config", "epoch", "loss", "seed_seen", "trial_seen", "seconds", "lr", "depth", "kind"]
    assert table.columns == names
    assert table["config"].to_list() == [0] * 4 + [1] * 4 + [2] * 4
    assert table["epoch"].to_list() == [1, 2, 3, 4] * 3
    assert table["trial_seen"].to_list() == table["config"].to_list()
    assert table["loss"].to_list() == [lr / e for lr, e in table.select("lr", "epoch").iter_rows()]
    assert table["depth"].dtype == pl.Int64
    assert set(table["kind"]) <= {"a", "b"}
    for _, curve in table.group_by("config"):
        assert curve["seconds"][0] > 0
        assert curve["seconds"].is_sorted()
    metadata = pl.read_parquet_metadata(out)
    said = [metadata[f"hbsim.{key}"] for key in ("metric", "mode", "test_metric")]
    assert said == ["loss", "min", "seed_seen"]
    told = notes(out)
    assert (told["schema"], told["resource"], told["time"], told["trials"]) == (1, "epoch", "seconds", 3)
    assert told["metrics"] == ["loss", "seed_seen", "trial_seen"]
    assert told["hyperparameters"] == ["lr", "depth", "kind"]
    assert told["failed"] == {}
    assert [p["name"] for p in told["space"]["parameters"]] == ["lr", "depth", "kind"]
    assert {path.name for path in tmp_path.glob("curves*")} == {"curves.parquet", "curves.parquet.study"}
    assert load(out).space == hbsim.load(f"{out}.study").spec.space


def test_same_trials_for_other_counts_and_workers_and_when_it_grows(train, tmp_path):
    target, out = train(), tmp_path / "few.parquet"
    few = record(target, 2, out)
    other = record(target, 2, tmp_path / "other.parquet", seed=1)
    many = record(target, 6, tmp_path / "many.parquet", workers=1)
    assert many["seed_seen"].n_unique() == 6
    assert many.filter(pl.col("config") < 2).drop("seconds").equals(few.drop("seconds"))
    assert set(other["seed_seen"]).isdisjoint(few["seed_seen"])
    assert set(other["lr"]).isdisjoint(few["lr"])
    for trials in (4, 6):
        grown = record(target, trials, out, resume=True)
        assert grown.filter(pl.col("config") < 2).equals(few)  # nothing is trained again
        assert grown.drop("seconds").equals(many.filter(pl.col("config") < trials).drop("seconds"))
    study = hbsim.load(f"{out}.study")
    assert (study.scheduler.num_trials, study.scheduler.options.num_trials) == (6, 6)
    assert record(target, 2, out, resume=True).equals(grown)  # as it began: nothing is to do
    for trials, rule in ((1, "was extended to 6; it goes on with as many or more"), (4, "was extended to 6")):
        with pytest.raises(ParameterError, match=rule) as caught:
            record(target, trials, out, resume=True)
        assert caught.value.field == "num_trials"
    assert pl.read_parquet(out).equals(grown)


def test_failed_trials_are_kept(train, tmp_path):
    body = """
    for epoch in range(1, 5):
        if args.trial == 1 and epoch == 3:
            raise ValueError("boom")
        if args.trial == 2 and epoch == 2:
            os._exit(3)
        if args.trial == 3:
            raise SystemExit(1)
        reporter(epoch=epoch, loss=float(epoch))
"""
    out = tmp_path / "c.parquet"
    said = r"^3 of 5 trials failed.*Trial 1: ValueError: boom \(train.py:\d+\)$"
    with pytest.warns(HbsimWarning, match=said):
        table = record(train(body), 5, out)
    assert dict(table.group_by("config").len().iter_rows()) == {0: 4, 1: 2, 2: 1, 4: 4}
    failed = notes(out)["failed"]
    assert set(failed) == {"1", "2", "3"}
    assert "3" in failed["2"]
    assert (tmp_path / "c.parquet.study/trials/000001/log.txt").read_text().count("boom")


EVERY_KIND = """
    import numpy as np
    reporter(epoch=np.int64(1), a=np.float32(0.1), b=True, text="no", lr=args.lr, array=np.zeros(2), c=np.nan)
    reporter(epoch=2, a=0.5, first=7, seconds=60)
    reporter(epoch=2.0, a=None, b=False, c=10**400, late=1e300, seconds=90)
    reporter(epoch=3, a=1.0, done=False)
    reporter(done=True)
"""


def test_what_run_takes_record_takes_too(train, tmp_path):
    target, out = train(EVERY_KIND), tmp_path / "c.parquet"
    table = record(target, 2, out, metric="a", mode="max").filter(config=0)
    names = ["config", "epoch", "a", "b", "c", "first", "metric_seconds", "late", "seconds"]
    assert table.columns == [*names, "lr", "depth", "kind"]
    assert table["epoch"].to_list() == [1, 2, 3]
    assert table["a"].dtype == pl.Float32
    assert table["a"][0] == pytest.approx(0.1)
    assert math.isnan(table["a"][1])  # of two reports at one epoch the last counts
    assert table["b"].to_list() == [1.0, 0.0, None]
    assert math.isnan(table["c"][0])
    assert math.isnan(table["c"][1])
    assert table["first"].to_list() == [None, 7, None]  # what the last lacks, the one before said
    assert table["metric_seconds"].to_list() == [None, 90, None]
    assert table["late"].to_list() == [None, 1e300, None]
    assert notes(out)["recorded"]["renamed"] == {"metric seconds": "metric_seconds"}
    fifo = hbsim.make_scheduler("fifo", max_t=1, num_trials=2)
    result = hbsim.run(
        target, fifo, folder=tmp_path / "exp", metric="a", until_return=True, searcher="random", **QUIET
    )
    result.export(tmp_path / "d.parquet")
    assert (
        pl.read_parquet(tmp_path / "d.parquet").drop("seconds").equals(pl.read_parquet(out).drop("seconds"))
    )


def test_without_a_metric_everything_is_recorded(train, tmp_path):
    body = """
    reporter(loss=0.5)
    reporter(acc=0.5)
    reporter(acc=0.25, done=True)
"""
    target = train(body)
    table = record(target, 1, tmp_path / "c.parquet")
    assert table["epoch"].to_list() == [1, 2, 3]  # nothing is decided: reports are counted
    assert table["loss"].to_list() == [0.5, None, None]
    assert table["acc"].to_list() == [None, 0.5, 0.25]
    study = hbsim.load(tmp_path / "c.parquet.study")
    assert study.summary()["metric"] is None
    assert study.summary()["best"] is None
    assert study.reports["value"].null_count() == 3
    record(target, 2, tmp_path / "d.parquet", max_t=2)
    with pytest.raises(ParameterError, match="nothing was decided"):
        validate([tmp_path / "d.parquet.study"])
    for options in (
        {"type": "stopping"},
        {"type": "fifo", "max_reward": 1.0},
        {"type": "fifo", "searcher": "tpe"},
    ):
        scheduler = hbsim.make_scheduler(options.pop("type"), max_t=4, num_trials=2)
        with pytest.raises(ParameterError) as caught:
            hbsim.run(target, scheduler, metric=None, folder=tmp_path / "exp", **options)
        assert caught.value.field == "metric"


def test_max_t_ends_a_trial_even_where_exceptions_are_caught(train, tmp_path):
    body = """
    assert reporter.milestone == 4
    for step in range(3, 100, 3):
        try:
            reporter(step=step / 2, loss=0.0)
        except Exception:
            pass
"""
    table = record(train(body), 2, tmp_path / "c.parquet", time_attr="step", max_t=4)
    assert table["step"].to_list() == [1.5, 3.0, 4.5] * 2


def test_the_function_of_the_readme_is_recorded(tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import hbsim\n\n\n@.*?)\n\n\nscheduler = ", text, flags=re.DOTALL)
    (tmp_path / "train.py").write_text(block)
    table = record(f"{tmp_path / 'train.py'}:train_fn", 2, tmp_path / "c.parquet")
    assert table["epoch"].to_list() == [*range(1, 28)] * 2
    assert table["accuracy"].is_between(0, 1).all()


CUT = """
    begin = (reporter.load() or {"epoch": 0})["epoch"]
    (HERE / f"began-{args.trial}-{begin}").touch()
    for epoch in range(begin + 1, 7):
        time.sleep(0.01)
        reporter(epoch=epoch, loss=args.lr / epoch, begin=begin)
        if epoch % 2 == 0:
            reporter.save({"epoch": epoch})
        if epoch == 5 and args.trial == 1 and not (HERE / "go").exists():
            (HERE / "ready").touch()
            time.sleep(600)
"""


def test_goes_on_after_kill_9_from_checkpoints(train, tmp_path, wait_for):
    target, out = train(CUT), tmp_path / "c.parquet"
    code = f"import hbsim; hbsim.record({target!r}, 4, {str(out)!r}, workers=1)"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        wait_for((tmp_path / "ready").exists)
        # What was reported last is in the journal; a checkpoint that is ahead of it would be refused.
        wait_for(lambda: hbsim.load(f"{out}.study").reports.filter(trial=1).height == 5)
        process.kill()
    (tmp_path / "go").touch()
    assert not out.exists()
    with pytest.raises(ParameterError, match="holds a study already; resume=True goes on with it"):
        hbsim.record(target, 4, out)
    table = record(target, 4, out, resume=True, workers=1)
    assert table["epoch"].to_list() == [1, 2, 3, 4, 5, 6] * 4
    assert table.filter(config=1)["begin"].to_list() == [0, 0, 0, 0, 4, 4]  # epoch 5 was trained again
    steps = table.filter(config=1)["seconds"].diff()
    assert steps[1:].min() >= 0.01  # the time of both jobs adds up, and that of the lost epoch does not count
    assert {path.name for path in tmp_path.glob("began-0-*")} == {"began-0-0"}
    whole = record(target, 4, tmp_path / "whole.parquet")
    assert table.drop("seconds", "begin").equals(whole.drop("seconds", "begin"))


def test_another_recording_is_refused(recorded):
    target, out = recorded
    before = (out.read_bytes(), Path(f"{out}.study/journal.jsonl").read_bytes())
    for options, field in (
        ({"seed": 1}, "seed"),
        ({"metric": "loss", "mode": "min"}, "metric"),
        ({"max_t": 3}, "max_t"),
        ({"time_attr": "step"}, "time_attr"),
    ):
        with pytest.raises(ParameterError, match="the study began with") as caught:
            hbsim.record(target, 2, out, resume=True, **QUIET, **options)
        assert caught.value.field == field
        assert (out.read_bytes(), Path(f"{out}.study/journal.jsonl").read_bytes()) == before


def test_an_earlier_recording_is_replaced_by_force_only(recorded):
    target, out = recorded
    before = pl.read_parquet(out)
    with pytest.raises(ParameterError, match="is there already; force=True replaces it"):
        hbsim.record(target, 3, out)
    assert pl.read_parquet(out).equals(before)
    table = record(target, 3, out, seed=1, force=True)
    assert set(table["lr"]).isdisjoint(before["lr"])
    assert hbsim.load(f"{out}.study").spec.seed == 1


@pytest.fixture
def recorded(train, tmp_path):
    target, out = train(), tmp_path / "c.parquet"
    hbsim.record(target, 2, out, **QUIET)
    return target, out


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"num_trials": 0}, "num_trials"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
        ({"mode": "least", "metric": "loss"}, "mode"),
        ({"metric": "loss"}, "mode"),
        ({"mode": "min"}, "metric"),
        ({"max_t": 0}, "max_t"),
        ({"max_t": math.nan}, "max_t"),
        ({"out": "c.npz"}, "out"),
        ({"out": "."}, "out"),
        ({"resume": True}, "folder"),
    ],
)
def test_bad_parameters(train, tmp_path, options, field):
    given = {"num_trials": 1, "out": "c.parquet", **options}
    with pytest.raises(ParameterError) as caught:
        hbsim.record(train(), given.pop("num_trials"), tmp_path / given.pop("out"), **given)
    assert caught.value.field == field
    assert not list(tmp_path.glob("c.*"))


@pytest.mark.parametrize(
    ("body", "options", "field", "rule"),
    [
        ("    reporter(epoch=1, los=0.5)\n", {"metric": "loss", "mode": "min"}, "metric", "epoch, los"),
        ('    reporter(epoch="1")\n', {}, "time_attr", "as a finite number"),
    ],
)
def test_reports_that_cannot_be_used(train, tmp_path, body, options, field, rule):
    out = tmp_path / "c.parquet"
    with pytest.raises(ParameterError, match=rule) as caught:
        record(train(body), 2, out, **options)
    assert caught.value.field == field
    assert not list(tmp_path.glob("c.*"))
    record(train(), 2, out)  # the mistake mended: nothing stands in its way


def test_a_test_metric_that_nobody_reports_costs_nothing(train, tmp_path):
    out = tmp_path / "c.parquet"
    with pytest.raises(ParameterError, match=r"no trial reported it.*Did you mean 'seed_seen'"):
        record(train(), 2, out, test_metric="seed_sen")
    assert not out.exists()
    record(train(), 2, out, test_metric="seed_seen", resume=True)
    assert notes(out)["test_metric"] == "seed_seen"


@pytest.mark.parametrize(
    ("body", "trials", "why"),
    [
        ("    raise ValueError('boom')\n", 2, "ValueError: boom"),
        ("    return\n", 20, "without a report"),  # ends after ten
    ],
)
@pytest.mark.filterwarnings("ignore:10 failures in a row")
def test_no_reports_at_all(train, tmp_path, body, trials, why):
    with pytest.raises(OutputError, match=f"no trial reported anything. The first one: .*{why}"):
        record(train(body), trials, tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()
    assert (tmp_path / "c.parquet.study/trials/000000/log.txt").exists()


def test_a_study_that_ends_by_failures_is_not_complete(train, tmp_path):
    body = "    assert args.trial == 0\n    reporter(epoch=1, loss=0.0)\n"
    with (
        pytest.warns(HbsimWarning, match="10 failures in a row"),
        pytest.raises(OutputError, match="ended before all trials had; it can be resumed"),
    ):
        record(train(body), 20, tmp_path / "c.parquet", workers=1)
    assert not (tmp_path / "c.parquet").exists()


TWO = """
    for epoch in range(1, 4):
        cpu = time.process_time()
        reporter(epoch=epoch, accuracy=args.lr * epoch, loss=args.lr / epoch, process_seconds=cpu)
"""


def test_a_recording_says_what_decides_and_options_are_stronger(train, tmp_path):
    out = tmp_path / "curves.parquet"
    record(train(TWO), 4, out)  # accuracy decides in `hbsim run` too
    table = load(out)
    assert (table.metric, table.mode) == ("accuracy", "max")
    other = load(out, metric="loss", mode="min")
    assert (other.metric, other.mode) == ("loss", "min")
    assert describe(table).parameters == ("lr", "depth", "kind")
    timed = load(out, time="process_seconds")
    times = pl.read_parquet(out)["process_seconds"].to_numpy().reshape(4, 3)
    assert (timed.evaluate(np.arange(4), np.array([1.0, 2.0, 3.0]))[1] == times).all()
    hbsim.load(f"{out}.study").export(tmp_path / "said.csv", metric="loss", mode="min")
    assert (load(tmp_path / "said.csv").metric, load(tmp_path / "said.csv").mode) == ("loss", "min")
    assert load(tmp_path / "said.csv").space == table.space


def test_times_are_no_metrics_of_a_recording(train, tmp_path):
    body = "    for epoch in range(1, 4):\n        reporter(epoch=epoch, loss=args.lr / epoch)\n"
    out = tmp_path / "one.parquet"
    record(train(body), 4, out)
    with pytest.raises(ParameterError) as caught:  # which way is better nobody said
        load(out)
    assert caught.value.field == "mode"
    assert load(out, mode="min").metric == "loss"
    record(train(), 4, tmp_path / "several.parquet")
    with pytest.raises(ParameterError, match=r"one of its columns loss, seed_seen, trial_seen$"):
        load(tmp_path / "several.parquet")


NAMES = """
import hbsim

FEW = {"trial": [1, 2, 3, 4, 5]}

@hbsim.args(trial=hbsim.Int(1, 9), seconds=hbsim.Real(0.0, 1.0, when=FEW), plain=hbsim.Bool())
def train_fn(args, reporter):
    for epoch in (1, 2):
        reporter(epoch=epoch, config=args.trial, row=epoch, accuracy=0.5)
"""


def test_names_that_columns_have_already(tmp_path):
    (tmp_path / "train.py").write_text(NAMES)
    out = tmp_path / "c.parquet"
    table = record(f"{tmp_path / 'train.py'}:train_fn", 12, out)
    metrics, parameters = ["metric_config", "metric_row", "accuracy"], ["hp_trial", "hp_seconds", "plain"]
    assert table.columns == ["config", "epoch", *metrics, "seconds", *parameters]
    assert table["metric_config"].to_list() == table["hp_trial"].to_list()
    assert (table["hp_seconds"].is_null() == (table["hp_trial"] > 5)).all()
    curves = load(out)
    assert curves.space.names == ("hp_trial", "hp_seconds", "plain")
    assert np.isfinite(curves.points).all()


def test_any_study_can_be_exported(train, tmp_path):
    scheduler = hbsim.make_scheduler(
        "promotion", max_t=4, reduction_factor=2, num_trials=8, mode="min", seed=0
    )
    body = """
    begin = reporter.load() or 0
    for epoch in range(begin + 1, 5):
        time.sleep(0.002)
        reporter.save(epoch)
        reporter(epoch=epoch, loss=args.lr / epoch)
"""
    result = hbsim.run(
        train(body), scheduler, folder=tmp_path / "exp", metric="loss", workers=1, progress="none"
    )
    result.export(tmp_path / "c.parquet")
    table = pl.read_parquet(tmp_path / "c.parquet")
    reached = dict(result.trials.select("trial", "reached").iter_rows())
    assert len(set(reached.values())) > 1
    for (trial,), curve in table.group_by("config"):
        assert curve["epoch"].to_list() == [*range(1, int(reached[trial]) + 1)]
        assert all(step > 0.002 for step in curve["seconds"].diff()[1:])
    curves = load(tmp_path / "c.parquet", censored="extrapolate")
    assert (curves.metric, curves.mode, curves.rows) == ("loss", "min", 8)
    with pytest.raises(ParameterError, match="is there already"):
        result.export(tmp_path / "c.parquet")


@st.composite
def jobs(draw):
    """Reports of a trial's jobs: resources that never go back within a job, and seconds that grow."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        levels = sorted(draw(st.lists(st.integers(1, 6), min_size=1, max_size=6)))
        made.append([(level, float(place + 1)) for place, level in enumerate(levels)])
    return made


@settings(max_examples=examples(80), deadline=None)
@given(trials=st.lists(jobs(), min_size=1, max_size=3))
def test_a_curve_is_made_of_what_was_not_trained_again(trials):
    kinds = {"config": pl.Int64, "job": pl.Int64, "resource": pl.Float64, "trained": pl.Float64}
    number, rows, expected = 0, [], []
    for config, stays in enumerate(trials):
        curve: list[tuple[int, float]] = []  # the naive way: what is at or past a report gives way to it
        for stay in stays:
            spent = next((s for level, s in reversed(curve) if level < stay[0][0]), 0.0)
            for level, trained in stay:
                rows.append((config, number, level, trained))
                curve = [point for point in curve if point[0] < level]
                curve.append((level, spent + trained))
            number += 1
        expected += [(config, *point) for point in curve]
    frame = pl.DataFrame(rows, schema=kinds, orient="row")
    assert _curves(frame).select("config", "resource", "seconds").rows() == expected
