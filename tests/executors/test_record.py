"""Recording: what is written, that it does not depend on how it was recorded, and what is refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.record import RecordProgress, record
from hbsim.executors.record_part import part_path
from hbsim.executors.reporter import Reporter
from hbsim.surrogates import describe, load

TIMES = ("seconds", "process_seconds")


def test_long_form_with_metadata(train, tmp_path):
    out = record(train(), 3, tmp_path / "curves.parquet", metric="loss", mode="min", test_metric="seed_seen")
    table = pl.read_parquet(out)
    names = ["config", "epoch", "loss", "seed_seen", "trial_seen", *TIMES, "lr", "depth", "kind"]
    assert table.columns == names
    assert table["config"].to_list() == [0] * 4 + [1] * 4 + [2] * 4
    assert table["epoch"].to_list() == [1, 2, 3, 4] * 3
    assert table["trial_seen"].to_list() == table["config"].to_list()
    assert table["loss"].to_list() == [lr / e for lr, e in table.select("lr", "epoch").iter_rows()]
    assert table["depth"].dtype == pl.Int64
    assert set(table["kind"]) <= {"a", "b"}
    metadata = pl.read_parquet_metadata(out)
    assert [metadata[f"hbsim.{key}"] for key in ("metric", "mode", "test_metric")] == [
        "loss",
        "min",
        "seed_seen",
    ]
    told = json.loads(metadata["hbsim"])
    assert (told["schema"], told["resource"], told["time"], told["trials"]) == (1, "epoch", "seconds", 3)
    assert told["metrics"] == ["loss", "seed_seen", "trial_seen"]
    assert told["hyperparameters"] == ["lr", "depth", "kind"]
    assert told["failed"] == {}
    assert [p["name"] for p in told["space"]["parameters"]] == ["lr", "depth", "kind"]


def test_only_the_file_is_left(train, tmp_path):
    record(train(), 1, tmp_path / "curves.parquet")
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"train.py", "curves.parquet"}


def test_times_are_cumulative(train, tmp_path):
    body = (
        "    for epoch in range(1, 4):\n        sum(range(100_000))\n        reporter(epoch=epoch, loss=0)\n"
    )
    table = pl.read_parquet(record(train(body), 2, tmp_path / "c.parquet"))
    for _, curve in table.group_by("config"):
        for name in TIMES:
            assert curve[name][0] > 0
            assert curve[name].is_sorted()
            assert curve[name].n_unique() == 3


def test_same_trials_for_other_counts_and_workers(train, tmp_path):
    few = pl.read_parquet(record(train(), 2, tmp_path / "few.parquet"))
    many = pl.read_parquet(record(train(), 5, tmp_path / "many.parquet", workers=3))
    other = pl.read_parquet(record(train(), 2, tmp_path / "other.parquet", seed=1))
    assert many.filter(pl.col("config") < 2).drop(TIMES).equals(few.drop(TIMES))
    assert many["seed_seen"].n_unique() == 5
    assert set(other["seed_seen"]).isdisjoint(few["seed_seen"])
    assert set(other["lr"]).isdisjoint(few["lr"])


def test_progress(train, tmp_path):
    seen: list[RecordProgress] = []
    record(train(), 2, tmp_path / "c.parquet", progress=seen.append)
    assert seen == [(2, 0, 0), (2, 1, 0), (2, 2, 0)]


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
    seen: list[RecordProgress] = []
    with pytest.warns(
        HbsimWarning, match=r"^3 of 5 trials failed.*Trial 1: ValueError: boom \(train.py:\d+\)$"
    ):
        out = record(train(body), 5, tmp_path / "c.parquet", workers=2, progress=seen.append)
    rows = dict(pl.read_parquet(out).group_by("config").len().iter_rows())
    assert rows == {0: 4, 1: 2, 2: 1, 4: 4}
    assert seen[-1] == (5, 5, 3)
    failed = json.loads(pl.read_parquet_metadata(out)["hbsim"])["failed"]
    assert failed["2"] == "the worker process died (exit status 3)"
    assert failed["3"].startswith("SystemExit: 1 ")


def test_a_dead_process_with_living_children(train, tmp_path):
    body = """
    reporter(epoch=1, loss=0.0)
    if args.trial == 0:
        if os.fork() == 0:
            time.sleep(600)
        os._exit(3)
"""
    with pytest.warns(HbsimWarning, match="1 of 2 trials failed"):
        out = record(train(body), 2, tmp_path / "c.parquet")
    assert len(pl.read_parquet(out)) == 2


def test_numbers_of_every_kind(train, tmp_path):
    body = """
    import numpy as np
    reporter(epoch=np.int64(1), a=np.float32(0.1), b=True, text="no", lr=args.lr, array=np.zeros(2), c=np.nan)
    reporter(epoch=2.0, a=None, b=False, c=float("inf"), late=1e300)
"""
    table = pl.read_parquet(record(train(body), 1, tmp_path / "c.parquet"))
    assert table.columns == ["config", "epoch", "a", "b", "c", "late", *TIMES, "lr", "depth", "kind"]
    assert table["epoch"].to_list() == [1, 2]
    assert table["a"].dtype == pl.Float32
    assert table["a"].to_list() == [pytest.approx(0.1), None]
    assert table["b"].to_list() == [1.0, 0.0]
    assert math.isnan(table["c"][0])
    assert table["c"][1] == math.inf
    assert table["late"].to_list() == [None, 1e300]


def test_done_is_no_report(train, tmp_path):
    body = "    for e in (1, 2):\n        reporter(epoch=e, loss=0, done=False)\n    reporter(done=True)\n"
    table = pl.read_parquet(record(train(body), 1, tmp_path / "c.parquet"))
    assert table.columns == ["config", "epoch", "loss", *TIMES, "lr", "depth", "kind"]
    assert table["epoch"].to_list() == [1, 2]


def test_max_t_ends_a_trial_even_where_exceptions_are_caught(train, tmp_path):
    body = """
    for step in range(3, 100, 3):
        try:
            reporter(step=step / 2, loss=0.0)
        except Exception:
            pass
"""
    table = pl.read_parquet(record(train(body), 2, tmp_path / "c.parquet", time_attr="step", max_t=4))
    assert table["step"].to_list() == [1.5, 3.0, 4.5] * 2


def test_the_function_of_the_readme_is_recorded(tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import hbsim\n\n\n@.*?)\n\n\nscheduler = ", text, flags=re.DOTALL)
    (tmp_path / "train.py").write_text(block)
    out = record(
        f"{tmp_path / 'train.py'}:train_fn", 2, tmp_path / "c.parquet", metric="accuracy", mode="max"
    )
    table = pl.read_parquet(out)
    assert table["epoch"].to_list() == [*range(1, 28)] * 2
    assert table["accuracy"].is_between(0, 1).all()


def test_the_example_with_checkpoints_is_recorded(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    target = Path(__file__).parents[2] / "examples" / "cnn_promotion.py"
    table = pl.read_parquet(record(f"{target}:train_fn", 1, tmp_path / "c.parquet", max_t=2))
    assert table["epoch"].to_list() == [1, 2]


def test_the_reporter_has_all_that_a_studys_has(train, tmp_path):
    public = [name for name in vars(Reporter) if not name.startswith("_")]
    body = f"""
    from hbsim.executors.reporter import TrialEnd

    @reporter.on_pause
    def checkpoint():
        raise AssertionError

    assert checkpoint and reporter.trial == args.trial
    assert all(hasattr(reporter, name) for name in {public})
    assert reporter.load() is None and reporter.milestone == 4
    (HERE / str(args.trial)).write_text(str(reporter.folder))
    (reporter.folder / "own").touch()
    for epoch in range(1, 9):
        try:
            reporter.save({{"epoch": epoch}})
            reporter(epoch=epoch, loss=0.0)
        except TrialEnd:
            reporter.folder.joinpath("own").unlink()
            raise
"""
    assert {"load", "save", "on_pause", "folder", "milestone"} <= set(public)
    table = pl.read_parquet(record(train(body), 2, tmp_path / "c.parquet", max_t=4))
    assert table["epoch"].to_list() == [1, 2, 3, 4] * 2
    folders = {(tmp_path / str(trial)).read_text() for trial in range(2)}
    assert len(folders) == 2
    assert not any(Path(folder).exists() for folder in folders)


def test_what_training_prints_does_not_matter(train, tmp_path, capfd):
    body = '    print("hello")\n    os.system("echo child")\n    reporter(epoch=1, loss=0.5)\n'
    assert len(pl.read_parquet(record(train(body), 1, tmp_path / "c.parquet"))) == 1
    assert capfd.readouterr().out == ""


def test_one_thread_unless_told(train, tmp_path):
    body = '    reporter(epoch=1, n=int(os.environ["OMP_NUM_THREADS"]))\n'
    assert pl.read_parquet(record(train(body), 1, tmp_path / "a.parquet"))["n"].to_list() == [1]
    assert pl.read_parquet(record(train(body), 1, tmp_path / "b.parquet", threads=2))["n"].to_list() == [2]


def test_existing_file_is_refused_and_replaced_by_force(train, tmp_path):
    out = tmp_path / "c.parquet"
    out.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        record(train(), 1, out)
    assert out.read_text() == "precious"
    record(train(), 1, out, force=True)
    assert len(pl.read_parquet(out)) == 4


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"trials": 0}, "trials"),
        ({"workers": 0}, "workers"),
        ({"threads": True}, "threads"),
        ({"seed": -1}, "seed"),
        ({"mode": "least", "metric": "loss"}, "mode"),
        ({"metric": "loss"}, "mode"),
        ({"mode": "min"}, "metric"),
        ({"max_t": 0}, "max_t"),
        ({"max_t": math.nan}, "max_t"),
        ({"time_attr": "seconds"}, "time_attr"),
        ({"time_attr": "lr"}, "lr"),
    ],
)
def test_bad_parameters(train, tmp_path, options, field):
    with pytest.raises(ParameterError) as caught:
        record(train(), options.pop("trials", 1), tmp_path / "c.parquet", **options)
    assert caught.value.field == field
    assert not list(tmp_path.glob("c.parquet*"))


@pytest.mark.parametrize("folder", ["missing/c.parquet", "."])
def test_bad_out(train, tmp_path, folder):
    with pytest.raises(OutputError, match="folder"):
        record(train(), 1, tmp_path / folder)


@pytest.mark.parametrize(
    ("body", "options", "field", "rule"),
    [
        ("    reporter(epoch=1, los=0.5)\n", {"metric": "loss", "mode": "min"}, "metric", "got epoch, los"),
        ('    reporter(epoch=1, loss="low")\n', {"metric": "loss", "mode": "min"}, "metric", "as a number"),
        ("    reporter(epoch=1, loss=1)\n", {"test_metric": "test"}, "test_metric", "got epoch, loss"),
        ("    reporter(step=1)\n", {}, "time_attr", "got step"),
        ('    reporter(epoch=float("nan"))\n', {}, "time_attr", "as a number"),
        ("    reporter(epoch=1, seconds=2)\n", {}, "seconds", "of this name"),
    ],
)
def test_reports_that_cannot_be_used(train, tmp_path, body, options, field, rule):
    with pytest.raises(ParameterError, match=rule) as caught:
        record(train(body), 2, tmp_path / "c.parquet", **options)
    assert caught.value.field == field
    assert not (tmp_path / "c.parquet").exists()
    record(train(), 2, tmp_path / "c.parquet")  # the mistake mended: nothing stands in its way


@pytest.mark.parametrize(
    ("body", "why"),
    [("    raise ValueError('boom')\n", "ValueError: boom"), ("    return\n", "without a report")],
)
def test_no_reports_at_all(train, tmp_path, body, why):
    with pytest.raises(OutputError, match=f"no trial reported anything. The first one: .*{why}"):
        record(train(body), 2, tmp_path / "c.parquet")
    assert not list(tmp_path.glob("*c.parquet*"))


def test_resource_must_increase(train, tmp_path):
    body = "    for epoch in (1, 2, 2):\n        reporter(epoch=epoch, loss=0.0)\n"
    with pytest.warns(HbsimWarning, match="epoch=2.0 was reported after epoch=2.0"):
        out = record(train(body), 1, tmp_path / "c.parquet")
    assert pl.read_parquet(out)["epoch"].to_list() == [1, 2]


def test_function_that_loads_here_and_not_in_a_worker(train, tmp_path):
    target = train("    pass\n\nif (HERE / 'once').exists():\n    os._exit(7)\n(HERE / 'once').touch()\n")
    with pytest.raises(ParameterError, match="it ended with exit status 7"):
        record(target, 1, tmp_path / "c.parquet")


@pytest.mark.parametrize(
    ("target", "content", "rule"),
    [
        ("train.py", "", "must be FILE.py:NAME"),
        ("train.txt:f", "", "must be FILE.py:NAME"),
        ("nothing.py:f", "", "there is no file"),
        ("train.py:f", "raise RuntimeError('broken')", "RuntimeError: broken"),
        ("train.py:f", "def f(:", "SyntaxError"),
        ("train.py:trian", "def train(args, reporter): ...", "Did you mean 'train'"),
        ("train.py:f", "f = 3", "f is no function"),
        ("train.py:f", "def f(args, reporter): ...", "put @hbsim.args"),
    ],
)
def test_function_that_cannot_be_loaded(tmp_path, target, content, rule):
    (tmp_path / "train.py").write_text(content)
    with pytest.raises(ParameterError, match=rule):
        record(str(tmp_path / target), 1, tmp_path / "c.parquet")
    assert not part_path(tmp_path / "c.parquet").exists()


TWO = """
    for epoch in range(1, 4):
        reporter(epoch=epoch, accuracy=args.lr * epoch, loss=args.lr / epoch)
"""


def test_a_recording_says_what_decides_and_options_are_stronger(train, tmp_path):
    out = record(train(TWO), 4, tmp_path / "curves.parquet")  # accuracy decides in `hbsim run` too
    table = load(out)
    assert (table.metric, table.mode) == ("accuracy", "max")
    other = load(out, metric="loss", mode="min", time="process_seconds")
    assert (other.metric, other.mode) == ("loss", "min")
    times = pl.read_parquet(out)["process_seconds"].to_numpy().reshape(4, 3)
    assert (other.evaluate(np.arange(4), np.array([1.0, 2.0, 3.0]))[1] == times).all()
    assert describe(table).parameters == ("lr", "depth", "kind")

    said = record(train(TWO), 4, tmp_path / "said.parquet", metric="loss", mode="min")
    assert (load(said).metric, load(said).mode) == ("loss", "min")


def test_times_are_no_metrics_of_a_recording(train, tmp_path):
    body = "    for epoch in range(1, 4):\n        reporter(epoch=epoch, loss=args.lr / epoch)\n"
    out = record(train(body), 4, tmp_path / "one.parquet")
    with pytest.raises(ParameterError) as caught:  # which way is better nobody said
        load(out)
    assert caught.value.field == "mode"
    assert load(out, mode="min").metric == "loss"
    several = record(train(), 4, tmp_path / "several.parquet")
    with pytest.raises(ParameterError, match=r"one of its columns loss, seed_seen, trial_seen$"):
        load(several)
