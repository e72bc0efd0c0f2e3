"""What hbsim compare, sweep and report say of the same studies is the same, in numbers and in words."""

import json

import hbsim

SPEC = """
seeds = 40
workers = 4
[defaults]
num_trials = 60
max_full_runs = 3
[[variants]]
type = "stopping"
[[variants]]
type = "promotion"
brackets = 3
[[variants]]
type = "fifo"
[[surrogates]]
surrogate = "digits"
"""
COMPARED = (
    *("--variant", "stopping", "--variant", "promotion,brackets=3", "--variant", "fifo", "--seeds", "40"),
    *("--workers", "4", "--trials", "60", "--max-full-runs", "3", "--surrogate", "digits", "--jobs", "1"),
)
SAID = ("answer", "summary", "notes", "across", "cells", "finished", "missing", "confirmed")


def said(report):
    """Return all that a report says of its task, but for what names its folder and command."""
    [task] = report["tasks"]
    return {name: report[name] for name in SAID} | {"task": task}


def test_compare_sweep_and_report_say_the_same(call, tmp_path):
    (tmp_path / "same.toml").write_text(SPEC)
    compared = json.loads(call("compare", *COMPARED, "--out", "compared", "--json").out)["report"]
    assert call("sweep", "same.toml", "--out", "swept", "--jobs", "1").code == 0
    reported = [
        json.loads(call("report", folder, "--json").out)["report"] for folder in ("compared", "swept")
    ]
    assert said(compared) == said(reported[0]) == said(reported[1])
    assert len(compared["tasks"][0]["rows"]) == 3
    assert compared["tasks"][0]["rows"][0]["draw"] is not None  # digits has rows for halves

    printed = [call("report", folder).out.split("\n", 1)[1] for folder in ("compared", "swept")]
    assert printed[0] == printed[1]
    shown = call("compare", *COMPARED, "--out", "compared").out
    assert printed[0].strip() in shown

    loaded = hbsim.load_sweep(tmp_path / "swept")
    assert loaded.report.answer == compared["answer"]
    rows = compared["tasks"][0]["rows"]
    assert loaded.table["variant"].to_list() == [row["variant"] for row in rows]
    assert loaded.table["draw_call"].to_list() == [row["draw"]["call"] for row in rows]
    assert loaded.table["score"].to_list() == [row["score"]["mean"] for row in rows]
