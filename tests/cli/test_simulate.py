"""``hbsim simulate``: what it prints, and what it writes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

import hbsim as package
from hbsim.cli.study_output import _wasted
from hbsim.core import make_scheduler
from tests.profile import thorough

WORDS = "simulate --surrogate synthetic --scheduler promotion --trials 200 --seed 3"
PROMOTION = tuple(WORDS.split())


def simulated() -> package.Result:
    """Return what PROMOTION simulates."""
    return package.simulate(
        make_scheduler("promotion", max_t=81, num_trials=200, seed=3), "synthetic", seed=3
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_says_the_same_as_the_library(call):
    printed = json.loads(
        call(*PROMOTION, "--brackets", "2", "--workers", "7", "--startup", "0.5", "--json").out
    )
    scheduler = make_scheduler("promotion", max_t=81, num_trials=200, seed=3, brackets=2)
    cluster = package.Cluster(workers=7, startup=0.5)
    result = package.simulate(scheduler, "synthetic", seed=3, cluster=cluster)
    assert printed["summary"] == result.summary()
    assert printed["rungs"] == result.rungs().to_dicts()
    assert printed["incumbent"]["any"] == result.incumbent().to_dicts()[-1]
    assert printed["incumbent"]["max_t"] == result.incumbent("max_t").to_dicts()[-1]


@pytest.mark.parametrize(
    ("type", "words", "options"),
    [
        (
            "pasha",
            "--epsilon 0.25 --eta 2 --no-straight-on --keep-size-ratios --failed-places held",
            {
                "reduction_factor": 2,
                "epsilon": 0.25,
                "straight_on": False,
                "keep_size_ratios": True,
                "failed_places": "held",
            },
        ),
        (
            "median",
            "--grace-period 2 --interval 5 --among recorded --min-samples 3",
            {"grace_period": 2, "interval": 5, "among": "recorded", "min_samples": 3},
        ),
    ],
)
def test_options_of_pasha_and_median(call, type, words, options):
    request = ("simulate", "--scheduler", type, "--trials", "40", *words.split(), "--surrogate", "synthetic")
    printed = json.loads(call(*request, "--explain", "7", "--json").out)
    shown = printed["summary"]["scheduler"]
    assert {name: shown[name] for name in options} == options
    result = package.simulate(make_scheduler(type, max_t=81, num_trials=40, **options), "synthetic")
    assert printed["rungs"] == result.rungs().to_dicts()
    assert printed["explain"][0]["text"] == result.scheduler.explain(7).text
    shown = call(*request).out.splitlines()[0]
    assert shown.startswith(f"{type} max_t=81 grace_period=")
    assert ("interval=5" in shown) == (type == "median")


def test_the_mode_is_the_surrogates(call):
    printed = json.loads(call("simulate", "--scheduler", "fifo", "--trials", "3", "--json").out)
    assert printed["summary"]["scheduler"]["mode"] == printed["summary"]["mode"] == "min"
    assert printed["summary"]["metric"] == "val_error"


def test_every_option_comes_to_the_scheduler_and_the_cluster(call, tmp_path):
    words = "--rule rank --shared-rungs --bracket-sampling hyperbolic"
    assert call("simulate", "--scheduler", "stopping", "--trials", "3", *words.split()).code == 2
    words = (
        "simulate --scheduler promotion --max-t 27.5 --grace-period 1.5 --reduction-factor 2.5 --brackets 2"
        " --bracket-sampling hyperband --shared-rungs --no-straight-on --keep-size-ratios --retries 2"
        " --failed-places held --resource-type float --trials 30 --seed 5 --max-time 400"
        " --surrogate synthetic:seed=2 --workers 3"
        " --speed 1,2,0.5 --startup lognormal:mean=1,std=2 --report-delay 2 --decision-delay 0.5"
        " --suggest-delay 0.75 --save 3 --load 4 --straggler-std 0.5 --drop-rate 0.01"
        " --no-resume --report async"
        " --mtbf 50 --mttr uniform:low=1,high=2 --preempted-every weibull:mean=90,shape=0.7 --preempted-for 5"
        " --notice 1.5 --schedule 0:2,100.5:3"
        " --retry-from zero --checkpoint-size 0.25 --save-bandwidth 2 --load-bandwidth 4 --store-bandwidth 1"
        " --price 2.5 --out x"
    )
    assert call(*words.split()).code == 0
    options = json.loads((tmp_path / "x" / "summary.json").read_text())["options"]
    assert options["scheduler"] == {
        "type": "promotion",
        "max_t": 27.5,
        "mode": "max",
        "num_trials": 30,
        "retries": 2,
        "seed": 5,
        "resource_type": "float",
        "grace_period": 1.5,
        "reduction_factor": 2.5,
        "brackets": 2,
        "bracket_sampling": "hyperband",
        "shared_rungs": True,
        "straight_on": False,
        "keep_size_ratios": True,
        "failed_places": "held",
    }
    assert options["cluster"] == {
        "workers": 3,
        "speed": [1, 2, 0.5],
        "startup": "lognormal:mean=1,std=2",
        "report_delay": 2,
        "decision_delay": 0.5,
        "suggest_delay": 0.75,
        "save": 3,
        "load": 4,
        "straggler_std": 0.5,
        "drop_rate": 0.01,
        "resume": False,
        "report": "async",
        "mtbf": "exponential:mean=50",
        "mttr": "uniform:low=1,high=2",
        "preempted_every": "weibull:mean=90,shape=0.7",
        "preempted_for": "exponential:mean=5",
        "notice": 1.5,
        "schedule": [[0, 2], [100.5, 3]],
        "trace": None,
        "retry_from": "zero",
        "checkpoint_size": 0.25,
        "save_bandwidth": 2,
        "load_bandwidth": 4,
        "store_bandwidth": 1,
        "machines": [],
        "gpus_per_trial": 1,
        "slowdown": 1,
        "price": 2.5,
    }
    assert options["study"]["max_time"] == 400


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sha --n 27 --quota nominal --overlap", {"n": 27, "quota": "nominal", "overlap": True}),
        ("hyperband --n-formula floor", {"n_formula": "floor", "quota": "actual", "overlap": False}),
        ("stopping --rule top-k", {"rule": "top-k"}),
    ],
)
def test_options_of_the_other_schedulers(call, words, expected):
    ran = call("simulate", "--trials", "30", "--json", "--scheduler", *words.split())
    options = json.loads(ran.out)["summary"]["scheduler"]
    assert {name: options[name] for name in expected} == expected


def test_files_of_a_study(call, tmp_path):
    assert call(*PROMOTION, "--out", "x").code == 0
    names = {
        "jobs.parquet",
        "trials.parquet",
        "decisions.parquet",
        "failures.parquet",
        "incumbent.parquet",
        "summary.json",
        "hbsim.json",
    }
    assert set(contents(tmp_path / "x")) == names
    result = package.simulate(
        make_scheduler("promotion", max_t=81, num_trials=200, seed=3), "synthetic", seed=3
    )
    for name in ("jobs", "trials", "decisions", "failures"):
        assert pl.read_parquet(tmp_path / "x" / f"{name}.parquet").equals(getattr(result, name))
    assert pl.read_parquet(tmp_path / "x" / "incumbent.parquet").equals(result.incumbent())
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["versions"]["hbsim"] == package.__version__


FAILING = "--workers 4 --mtbf 60 --mttr 15 --drop-rate 0.002 --price 9000 --checkpoint-size 0.5 --retries 1"


def test_what_failed_and_what_it_cost(call, tmp_path):
    out = call(*PROMOTION, *FAILING.split(), "--out", "x").out
    scheduler = make_scheduler("promotion", max_t=81, num_trials=200, seed=3, retries=1)
    options = {"mtbf": 60, "mttr": 15, "drop_rate": 0.002, "price": 9000, "checkpoint_size": 0.5}
    cluster = package.Cluster(workers=4, **options)
    result = package.simulate(scheduler, "synthetic", seed=3, cluster=cluster)
    summary = result.summary()
    facts = {line[:18].strip(): line[18:].strip() for line in out.splitlines()}
    idle = summary["idle_cost"] / summary["cost"]
    assert facts["cost"] == f"{summary['cost']:,.2f}, {idle:.1%} of it for idle workers"
    assert facts["workers absent"] == f"{summary['absent_share']:.1%}"
    assert facts["jobs cut short"] == f"{summary['lost']} lost"
    peaks = f"at most {summary['disk_peak']:.4g} GB; {summary['disk_peak_collected']:.4g} GB where those"
    assert f"{facts['checkpoints']} ".startswith(peaks)
    table = out[out.index("bracket ") :].splitlines()
    assert table[0].endswith("failed")
    assert [int(line.split()[-1]) for line in table[1:6]] == result.rungs()["failed"].to_list()
    assert sum(result.rungs()["failed"]) > 0
    assert pl.read_parquet(tmp_path / "x" / "failures.parquet").equals(result.failures)
    assert pl.read_parquet(tmp_path / "x" / "disk.parquet").equals(result.disk())


def test_checkpoints_that_are_all_needed_are_said_once(call):
    out = call(*PROMOTION, "--max-time", "9", "--checkpoint-size", "0.5").out
    (line,) = (line for line in out.splitlines() if line.startswith("checkpoints"))
    assert re.fullmatch(r"checkpoints +at most [\d.]+ GB *", line)


@pytest.mark.parametrize(
    ("wasted", "text"),
    [(0.7966225443, ", 0.7966 of them wasted"), (1234567.25, ", 1,234,567 of them wasted"), (0, "")],
)
def test_what_was_wasted_has_few_digits(wasted, text):
    assert _wasted({"wasted_resource": wasted}) == text


@pytest.mark.parametrize("option", ["--retries", "--loss-retries"])
@pytest.mark.parametrize(("retries", "warns"), [("0", True), ("50", False)])
def test_many_trials_that_fail_for_good_are_warned_of(call, option, retries, warns):
    out, err = call(*PROMOTION, "--drop-rate", "0.02", option, retries, "--json")[1:]
    failed = json.loads(out)["summary"]["failed"]
    assert warns == (failed >= 20)
    line = f"hbsim: warning: {failed} of 200 trials failed for good: give more {option} (now {retries})\n"
    assert err == (line if warns else "")


@pytest.mark.parametrize(("surrogate", "own"), [("synthetic", "synthetic:seconds=..., "), ("digits", "")])
def test_curves_that_hardly_train_are_noted(call, surrogate, own):
    words = ("simulate", "--scheduler", "fifo", "--trials", "9", "--surrogate", surrogate, "--workers", "3")
    assert call(*words, "--startup", "1").err == ""
    out, err = call(*words, "--startup", "9000", "--json")[1:]
    summary = json.loads(out)["summary"]
    trained = summary["training_share"] * 3 * summary["simulated_seconds"] / 9
    assert err == (
        f"hbsim: note: a trial of these curves trains for {trained:.4g} s on average, and start-up, loading, "
        "saving and waiting take 9,000 s (2.5 h) a job: give the curves' real cost "
        f"({own}--wrap cost:factor=...)\n"
    )


def test_a_study_whose_workers_all_go(call):
    code, out, err = call(*PROMOTION, "--schedule", "0:2,7:0")
    assert code == 0
    assert "s, when the last worker went: there was work" in out
    assert err.startswith("hbsim: warning: no worker is left after 7 s, and there is work: ")
    assert err.count("\n") == 1


def test_the_command_in_the_summary_gives_the_same_files(call, tmp_path):
    words = (
        "--surrogate",
        "synthetic:noise=0.1",
        "--no-resume",
        "--speed",
        "1,2",
        "--workers",
        "2",
        "--trials",
        "9",
    )
    call("simulate", "--scheduler", "promotion", *words, "--out", "x", "--force")
    command = json.loads((tmp_path / "x" / "summary.json").read_text())["command"]
    program, *again = shlex.split(command)
    assert program == "hbsim"
    assert call(*again, "--out", "y").code == 0
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


@pytest.mark.parametrize("plots", [False, pytest.param(True, marks=thorough)])
def test_the_same_bytes_whatever_python_hashes(hbsim, tmp_path, plots):
    words = (*PROMOTION, "--brackets", "3", *(("--plot",) if plots else ()))
    for name, seed in (("x", "0"), ("y", "12345")):
        assert hbsim(*words, "--out", name, PYTHONHASHSEED=seed).code == 0
    assert len(contents(tmp_path / "x")) == (10 if plots else 7)
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


def test_refused_folders_cost_no_work(call, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "other").touch()
    code, out, err = call(*PROMOTION, "--trials", "1000000000", "--out", "x", "--force")
    assert (code, out) == (2, "")
    assert "files that hbsim did not write" in err


def test_force_replaces_results(call, tmp_path):
    assert call(*PROMOTION, "--out", "x", "--plot").code == 0
    refused = call(*PROMOTION, "--out", "x")
    assert refused.code == 2
    assert refused.err.endswith("x: holds results already; --force replaces them\n")
    assert call(*PROMOTION, "--out", "x", "--force").code == 0
    assert not (tmp_path / "x" / "timeline.png").exists()


def test_plots_without_out_have_their_own_folder(call, tmp_path):
    for _ in range(2):  # the second replaces the first
        ran = call(*PROMOTION, "--trials", "20", "--plot")
        assert ran.code == 0
    assert ran.out.endswith("hbsim-plots: hbsim.json, incumbent.png, survival.png, timeline.png\n")
    assert set(contents(tmp_path / "hbsim-plots")) == {
        "hbsim.json",
        "incumbent.png",
        "survival.png",
        "timeline.png",
    }


def test_explains_trials(call):
    out = call(*PROMOTION, "--explain", "17", "--explain", "3").out
    scheduler = make_scheduler("promotion", max_t=81, num_trials=200, seed=3)
    package.simulate(scheduler, "synthetic", seed=3)
    printed = " ".join(out.split())
    for trial in (17, 3):
        assert scheduler.explain(trial).text in printed


def test_the_rungs_of_the_table_add_up(call):
    out = call(*PROMOTION, "--brackets", "2").out
    rows = [
        line.replace(",", "").split()
        for line in out[out.index("bracket ") :].splitlines()[1:]
        if line.strip()
    ]
    assert len(rows) == 5 + 4
    for bracket, _level, trials, _share, *became in rows:
        assert bracket in "01"
        assert int(trials) == sum(map(int, became))


def test_nothing_came_to_a_milestone(call):
    code, out, err = call(*PROMOTION, "--max-time", "0.001", "--plot")
    assert (code, err) == (0, "")
    assert "32 running" in out


def test_nobody_shows_a_number(call, tmp_path):
    lines = "0,1,nan,1", "0,2,inf,2", "0,3,1,3", "1,1,inf,1", "1,2,0,2", "1,3,0,3"
    (tmp_path / "none.csv").write_text("\n".join(["config,epoch,loss,seconds", *lines]))
    words = "simulate --scheduler stopping --max-t 3 --trials 2 --surrogate none.csv --metric loss --mode min"
    code, out, err = call(*words.split())
    assert code == 1
    assert "2 stopped" in out
    assert "no trial has shown a number: loss was none at all 2 milestones" in err


def test_facts_name_what_failed_trials_had_reached_and_checkpoints_that_were_lost(call, tmp_path):
    (tmp_path / "trace.csv").write_text(
        "worker,start,end,state\n0,0,1.5,up\n0,1.5,9,preempted\n1,0,2,up\n1,2,9,down\n"
    )
    cluster = ["--surrogate", "ideal:max_resource=9", "--max-t", "9", "--trials", "2", "--max-time", "5"]
    cluster += ["--cluster-trace", "trace.csv", "--save", "1"]
    paused = call("simulate", "--scheduler", "promotion", "--no-straight-on", *cluster).out
    assert "1, not saved in time at a pause" in paused
    stopped = call("simulate", "--scheduler", "stopping", *cluster).out
    assert "had reached 1 units of the resource" in stopped


def test_curves_that_are_to_end_early_take_no_more_time(call, tmp_path):
    """Five rows of 10 s a unit, of which row k has 2 k + 1 of 9 levels."""
    lines = [f"{row},{t},{1 / (row + t)},{10 * t}" for row in range(5) for t in range(1, 2 * row + 2)]
    (tmp_path / "c.csv").write_text("\n".join(["config,epoch,loss,seconds", *lines]))
    (tmp_path / "c.csv.json").write_text('{"metric": "loss", "mode": "min"}')
    words = (
        "simulate",
        "--surrogate",
        "c.csv",
        "--scheduler",
        "fifo",
        "--trials",
        "5",
        "--workers",
        "1",
        "--json",
    )
    printed = json.loads(call(*words, "--censored", "final").out)["summary"]
    assert printed["simulated_seconds"] == 10 * (1 + 3 + 5 + 7 + 9)
    assert (printed["completed"], printed["best"]) == (5, 1 / 13)
    printed = json.loads(call(*words, "--censored", "extrapolate").out)["summary"]
    assert printed["simulated_seconds"] == 5 * 90
    wrong = call(*words, "--censored", "fnal")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "'final'" in wrong.err
